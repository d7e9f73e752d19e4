"""``python -m colorize``."""

import sys

from colorize.cli import main

if __name__ == "__main__":
    sys.exit(main())
