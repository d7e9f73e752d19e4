"""``python -m colorize``, and the command ``colorize``."""

import sys


def run() -> int:
    """Run the command line; Ctrl-C while it is imported ends it without a traceback."""
    try:
        from colorize.cli import main

        return main()
    except KeyboardInterrupt:
        sys.stderr.write("colorize: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(run())
