"""The command line: color photos, train experiments, export models, execute the notebook."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from colorize.cli import study
from colorize.cli.app import app
from colorize.cli.console import put, say
from colorize.cli.export import export
from colorize.cli.notebook import notebook
from colorize.cli.outcome import lacks_memory
from colorize.cli.photos import color_photos
from colorize.cli.results import results
from colorize.cli.sheet import sheet
from colorize.errors import ColorizeError
from colorize.extras import missing


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; exit status 0 when all was done, 1 when something failed, 130 for Ctrl-C."""
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
    finally:  # also of --help, which ends with SystemExit
        is_printed = put(end="")
    return status or int(not is_printed)


def _run(arguments: list[str]) -> int:
    commands = {
        "train": study.train,
        "evaluate": study.evaluate,
        "export": export,
        "notebook": notebook,
        "models": study.models,
        "results": results,
        "app": app,
        "sheet": sheet,
    }
    try:
        if arguments and arguments[0] in commands:
            return commands[arguments[0]](arguments[1:])
        return color_photos(arguments)
    except BrokenPipeError:
        say("standard output: nobody reads it any more")
        return 1
    except (ColorizeError, OSError) as error:
        say(str(error))
        return 1
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        say("there is not enough memory")
        return 1
    except ModuleNotFoundError as error:
        extra = "notebook" if arguments[:1] == ["notebook"] else "train"
        say(str(missing("This command", error, extra)))
        return 1
    except KeyboardInterrupt as interrupt:
        say(str(interrupt) or "interrupted")
        return 130
