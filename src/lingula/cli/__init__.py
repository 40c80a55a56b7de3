"""The command line: thin, translating between the shell and the library."""

import os

# Products of numpy are small here. Its own threads would spin while they wait for each other, beside those of a server.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
