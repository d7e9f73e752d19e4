"""Print lines whatever the terminal can show, and whether or not anybody reads them."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import unicodedata
from typing import TextIO

from tqdm import tqdm

# Control characters, lone surrogates, and what breaks lines.
_NOT_SHOWN = ("Cc", "Cs", "Zl", "Zp")


def put(text: str = "", end: str = "\n") -> bool:
    """Print one line on standard output, above the progress bar; tell whether it went there.

    It counts as gone where nobody reads it. So does what a command printed before by itself.
    """
    error = _write(text, sys.stdout, end)
    # EINVAL: Windows, of a reader that has gone.
    if not isinstance(error, OSError) or error.errno in (errno.EPIPE, errno.EINVAL):
        return True
    say(f"standard output: {error.strerror}")
    return False


def say(message: str) -> None:
    """Print one line about the run on standard error, above the progress bar."""
    _write(f"colorize: {message}", sys.stderr)


def _write(text: str, stream: TextIO | None, end: str = "\n") -> Exception | None:
    if stream is None:  # closed before this process began
        return None
    encoding = stream.encoding or "utf-8"
    shown = "".join(map(_escaped, text)).encode(encoding, "backslashreplace").decode(encoding)
    try:
        # Ctrl-C while tqdm makes its lock ends in an AttributeError.
        tqdm.write(shown, file=stream, end=end, nolock=True)
        stream.flush()
        return None
    except (OSError, ValueError) as error:
        # What is printed from here on, also when Python ends, goes nowhere.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        return error


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _NOT_SHOWN:
        return character
    code = ord(character)
    # A byte of a name that is not in the encoding of the file system.
    code -= 0xDC00 if 0xDC80 <= code <= 0xDCFF else 0
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
