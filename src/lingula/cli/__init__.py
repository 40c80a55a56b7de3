"""The command line: thin, translating between the shell and the library."""
