"""``python -m lingula``."""

from lingula.cli.main import main

main()
