"""``python -m colorize``, and the command ``colorize``."""

import os
import sys


def run() -> int:
    """Run the command line; Ctrl-C while it is imported ends it without a traceback."""
    # Read when torch is loaded. Threads that spin for long while they wait for one that another
    # program has displaced made one photo take 522 seconds instead of 14.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        from colorize.cli import main

        return main()
    except KeyboardInterrupt:
        sys.stderr.write("colorize: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(run())
