"""The command without a name: color photos."""

from __future__ import annotations

import argparse
import errno
import io
import shutil
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from colorize import storage
from colorize.cli.console import put, say
from colorize.cli.options import parse, prediction_settings, recorded_settings
from colorize.cli.plan import PIPE, InputPhoto, Inputs, find_inputs, names_several
from colorize.cli.targets import Chooser, Targets, choose_destination
from colorize.errors import ColorizeError, InputError

if TYPE_CHECKING:
    import numpy as np

    from colorize.models import Colorizer
    from colorize.photo.files import Photo

_MOST_NAMES = 10
_SUMMARY = {
    "colored": "colored",
    "done": "colored already",
    "result": "results of an earlier run left out",
    "failed": "failed",
    "not tried": "not tried",
}


def color_photos(arguments: list[str]) -> int:
    """Color the photos that the command line names; give 1 when one of them failed."""
    options = parse(arguments)
    if options.output == PIPE or (options.photos == [PIPE] and options.output is None):
        _to_stdout(options)
        return 0
    inputs = find_inputs(options.photos)
    if options.hint and len(inputs.photos) > 1:
        raise InputError(f"--hint: expected one photo to color, got {len(inputs.photos)}")
    batch = Batch(options, inputs)
    try:
        if inputs.photos:
            batch.color_all()
    finally:
        batch.report()
    return 1 if batch.has_failed else 0


@dataclass
class Outcome:
    """What became of a photo; ``status`` is a key of ``_SUMMARY``."""

    photo: str
    status: str
    results: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str | None = None


class Batch:
    """One run over all photos. What fails in one of them does not end it, except a full disk."""

    def __init__(self, options: argparse.Namespace, inputs: Inputs) -> None:
        self._options, self._inputs = options, inputs
        self.outcomes: list[Outcome] = []
        self._disk_is_full = False

    def color_all(self) -> None:
        """Color one photo after the other. A model that cannot be loaded ends the run."""
        options, photos = self._options, self._inputs.photos
        several = names_several(options.photos)
        destination = choose_destination(
            options.output, options.suffix, options.samples, several=several
        )
        self._chooser = Chooser(destination, photos, options.overwrite)
        self._recorded = recorded_settings(options)
        hidden = len(photos) == 1 or options.quiet or sys.stderr is None
        # None: no bar when standard error is no terminal.
        for photo in tqdm(photos, unit="photo", disable=True if hidden else None):
            outcome = self._color(photo)
            self.outcomes.append(outcome)
            self._tell(outcome)
            if self._disk_is_full:
                say("the disk is full: the run ends")
                return

    @property
    def has_failed(self) -> bool:
        """Whether a photo could not be colored, or there was nothing to color but results."""
        counts = Counter(outcome.status for outcome in self.outcomes)
        only_results = counts["result"] == len(self.outcomes) > 0
        return bool(self._inputs.problems or counts["failed"] or self._disk_is_full or only_results)

    def report(self) -> None:
        """Say what was not done and why, and sum up."""
        for problem in self._inputs.problems:
            say(problem)
        if self._options.quiet:
            return
        by_reason: dict[str, list[str]] = {}
        for name, reason in self._inputs.left_out:
            by_reason.setdefault(reason, []).append(name)
        for reason, names in sorted(by_reason.items()):
            say(f"left out: {len(names)} ({reason}): {_listed(names)}")
        counts = Counter(outcome.status for outcome in self.outcomes)
        for status in ("done", "result"):
            names = [outcome.photo for outcome in self.outcomes if outcome.status == status]
            if names:
                say(f"{_SUMMARY[status]}: {_listed(names)}")
        counts["failed"] += len(self._inputs.problems)
        counts["not tried"] = len(self._inputs.photos) - len(self.outcomes)
        parts = [f"{counts[key]} {text}" for key, text in _SUMMARY.items() if counts[key]]
        say(", ".join(parts) or "nothing to color")

    def _color(self, photo: InputPhoto) -> Outcome:
        """Color one photo, unless its results are there; any error becomes its outcome."""
        outcome = Outcome(str(photo.path), "failed")
        try:
            content = sys.stdin.buffer.read() if photo.piped else photo.path
            targets = self._choose(photo, content, outcome)
            if targets is None or not targets.missing:
                return outcome
            original = _read(content, outcome)
            if original.metadata.made is not None:
                outcome.status = "result"
                return outcome
        except Exception as error:  # noqa: BLE001 - one photo never ends the others
            outcome.error = _explain(error, photo)
            return outcome
        model = self._model
        try:
            self._write(original, model, targets, outcome)
        except Exception as error:  # noqa: BLE001
            outcome.error = _explain(error, photo)
            self._disk_is_full = _is_full(error, targets.paths[0].parent)
        return outcome

    def _choose(self, photo: InputPhoto, content: bytes | Path, outcome: Outcome) -> Targets | None:
        """Choose where the results go; None for a photo that is a result itself."""
        if isinstance(content, bytes):
            sha256 = storage.sha256_bytes(content)
        elif self._chooser.find_made(photo.path) is not None:
            outcome.status = "result"
            return None
        else:
            sha256 = storage.sha256_file(photo.path)
        targets = self._chooser.choose(photo, sha256, self._recorded)
        outcome.results = [str(path) for path in targets.paths]
        if not targets.missing:
            outcome.status = "done"
        return targets

    def _write(self, original: Photo, model: Colorizer, targets: Targets, outcome: Outcome) -> None:
        from colorize.photo.files import write_photo

        colored = _predict(original, model, self._options)
        outcome.notes += original.notes
        for path, rgb in zip(targets.paths, colored, strict=True):
            if path in targets.missing:
                record = self._chooser.record(path.parent)
                outcome.notes += write_photo(
                    rgb, original, path, path.suffix, made=targets.made, record=record
                )
                if not self._options.quiet:
                    put(str(path))
        outcome.status = "colored"

    @cached_property
    def _model(self) -> Colorizer:
        return _load(self._options)

    def _tell(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            say(f"{outcome.photo}: {outcome.error}")
        for note in [] if self._options.quiet else dict.fromkeys(outcome.notes):
            say(f"{outcome.photo}: {note}")


def _to_stdout(options: argparse.Namespace) -> None:
    """Write one photo to standard output, and nothing else."""
    if len(options.photos) != 1 or options.samples is not None:
        raise InputError("standard output takes one photo, without --samples")
    if sys.stdout.isatty():
        raise InputError("expected standard output to go to a file or program, got the terminal")
    inputs = find_inputs(options.photos)
    if inputs.problems or len(inputs.photos) != 1:
        raise InputError(inputs.problems[0] if inputs.problems else "expected one photo")

    from colorize.data.decode import read_bytes
    from colorize.photo.files import read_photo, write_photo
    from colorize.photo.record import Made

    (photo,) = inputs.photos
    content = sys.stdin.buffer.read() if photo.piped else read_bytes(photo.path, str(photo.path))
    sha256 = storage.sha256_bytes(content)
    original = read_photo(content, str(photo.path))
    (rgb,) = _predict(original, _load(options), options)
    encoded = io.BytesIO()
    made = Made(None if photo.piped else photo.path.name, sha256, recorded_settings(options))
    notes = write_photo(rgb, original, encoded, options.suffix or ".png", made=made)
    for note in [] if options.quiet else [*original.notes, *notes]:
        say(f"{photo.path}: {note}")
    sys.stdout.buffer.write(encoded.getbuffer())
    sys.stdout.buffer.flush()


def _read(content: bytes | Path, outcome: Outcome) -> Photo:
    from colorize.photo.files import read_photo

    return read_photo(content, outcome.photo)


def _load(options: argparse.Namespace) -> Colorizer:
    from colorize.models.fuse import fuse_conv_bn
    from colorize.models.hub import load_model
    from colorize.photo.prediction import find_device

    model = fuse_conv_bn(load_model(options.model, weights=options.weights))
    return model.to(find_device(options.device))


def _predict(photo: Photo, model: Colorizer, options: argparse.Namespace) -> list[np.ndarray]:
    from colorize.photo.colorize import colorize_image

    colored = colorize_image(photo.rgb, model, **prediction_settings(options))
    return [colored] if options.samples is None else [*colored]


def _explain(error: Exception, photo: InputPhoto) -> str:
    """Say in one line what an error means for a photo."""
    if isinstance(error, ColorizeError):
        return str(error).removeprefix(f"{photo.path}: ")
    if isinstance(error, MemoryError) or "memory" in str(error):
        return "there is not enough memory for it"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'file'}: {error.strerror}"
    text = str(error).splitlines()[0] if str(error) else "no message"
    return f"{type(error).__name__}: {text}"


def _is_full(error: Exception, folder: Path) -> bool:
    if not isinstance(error, OSError):
        return False
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # Pillow's encoders give no number.
    return error.errno is None and folder.is_dir() and shutil.disk_usage(folder).free < 1 << 16


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
