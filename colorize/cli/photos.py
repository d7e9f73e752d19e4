"""The command without a name: color photos."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections import Counter
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from colorize import storage
from colorize.cli.console import put, say
from colorize.cli.options import parse, prediction_settings, recorded_settings
from colorize.cli.outcome import SUMMARY, Outcome, explain, is_full, listed
from colorize.cli.plan import PIPE, InputPhoto, Inputs, find_inputs, names_several
from colorize.cli.targets import Chooser, Targets, check_depth, choose_destination
from colorize.errors import InputError
from colorize.photo.metadata import read_made

if TYPE_CHECKING:
    import numpy as np

    from colorize.models import Colorizer
    from colorize.photo.files import Photo


def color_photos(arguments: list[str]) -> int:
    """Color the photos that the command line names; give 1 when one of them failed."""
    options = parse(arguments)
    if options.output == PIPE or (options.photos == [PIPE] and options.output is None):
        _to_stdout(options)
        return 0
    inputs = find_inputs(options.photos)
    for name in ("hint", "mask"):
        if getattr(options, name) and len(inputs.photos) > 1:
            raise InputError(f"--{name}: expected one photo to color, got {len(inputs.photos)}")
    for problem in inputs.problems:
        say(problem)
    *others, last = options.photos
    if others and options.output is None and f"{last}: no such file" in inputs.problems:
        say(f"if the result is to be {last}, write -o {last}")
    if not inputs.photos and options.photos[0].isalpha():
        say(f"{options.photos[0]} is no command either: colorize --help lists them")
    if not inputs.photos and inputs.problems:
        options.output = None  # not at fault
    batch = Batch(options, inputs)
    try:
        batch.color_all()
    finally:
        batch.report()
    return 1 if batch.has_failed else 0


class Batch:
    """One run over all photos. What fails in one of them does not end it, except a full disk."""

    def __init__(self, options: argparse.Namespace, inputs: Inputs) -> None:
        self._options, self._inputs = options, inputs
        self.outcomes: list[Outcome] = []
        self._disk_is_full, self._is_printed = False, True
        destination = choose_destination(options, several=names_several(options.photos))
        check_depth(destination.suffix, options.depth)
        self._chooser = Chooser(destination, inputs.photos, options.overwrite)
        self._recorded = recorded_settings(options)

    def color_all(self) -> None:
        """Color one photo after the other. A model that cannot be loaded ends the run."""
        options, photos = self._options, self._inputs.photos
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
        """Whether something was not colored or not printed, or all photos were results."""
        counts = Counter(outcome.status for outcome in self.outcomes)
        only_results = counts["result"] == len(self.outcomes) > 0
        failed = self._inputs.problems or counts["failed"] or self._disk_is_full
        return bool(failed or only_results or not self._is_printed)

    def report(self) -> None:
        """Say what was left out and why, and sum up."""
        counts = Counter(outcome.status for outcome in self.outcomes)
        counts["failed"] += len(self._inputs.problems)
        counts["not tried"] = len(self._inputs.photos) - len(self.outcomes)
        if self._options.json:
            values = {**self._as_values(), "counts": {key: counts[key] for key in SUMMARY}}
            self._is_printed &= put(json.dumps(values))
        if self._options.quiet:
            return
        by_reason: dict[str, list[str]] = {}
        for name, reason in self._inputs.left_out:
            by_reason.setdefault(reason, []).append(name)
        for reason, names in sorted(by_reason.items()):
            say(f"left out: {len(names)} ({reason}): {listed(names)}")
        for status in ("done", "result", "color"):
            names = [outcome.photo for outcome in self.outcomes if outcome.status == status]
            if names:
                say(f"{SUMMARY[status]}: {listed(names)}")
        parts = [f"{counts[key]} {text}" for key, text in SUMMARY.items() if counts[key]]
        say(", ".join(parts) or "nothing to color")

    def _as_values(self) -> dict[str, Any]:
        """Give the report as values of JSON."""
        return {
            "settings": self._recorded,
            "photos": [asdict(outcome) for outcome in self.outcomes],
            "problems": self._inputs.problems,
            "left_out": [rejected._asdict() for rejected in self._inputs.left_out],
        }

    def _color(self, photo: InputPhoto) -> Outcome:
        """Color one photo, unless its results are there; any error becomes its outcome."""
        outcome = Outcome(str(photo.path), "failed")
        try:
            content = sys.stdin.buffer.read() if photo.piped else photo.path
            targets = self._choose(photo, content, outcome)
            if targets is None or not targets.missing:
                return outcome
            original = _read(content, outcome.photo, self._options)
            if self._is_left_alone(original, outcome):
                return outcome
        except Exception as error:  # noqa: BLE001 - one photo never ends the others
            outcome.error, outcome.results = explain(error, photo), []
            return outcome
        model = self._model
        try:
            pictures = self._make(original, model, outcome)
            try:
                self._write(pictures, targets, outcome)
            except FileExistsError:  # another process has taken the name meanwhile
                targets = self._chooser.choose_again(photo, targets)
                outcome.results = [str(path) for path in targets.paths]
                self._write(pictures, targets, outcome)
        except Exception as error:  # noqa: BLE001
            outcome.error, outcome.notes = explain(error, photo), []
            outcome.results = [str(path) for path in targets.paths if path.exists()]
            self._disk_is_full = is_full(error, targets.paths[0].parent)
        return outcome

    def _choose(self, photo: InputPhoto, content: bytes | Path, outcome: Outcome) -> Targets | None:
        """Choose where the results go; None for a photo that is a result itself."""
        if isinstance(content, bytes):
            sha256 = storage.sha256_bytes(content)
        elif self._chooser.find_made(photo.path) or read_made(photo.path):
            outcome.status = "result"
            return None
        else:
            sha256 = storage.sha256_file(photo.path)
        targets = self._chooser.choose(photo, sha256, self._recorded)
        outcome.results = [str(path) for path in targets.paths]
        if not targets.missing:
            outcome.status = "done"
        return targets

    def _make(
        self, original: Photo, model: Colorizer, outcome: Outcome
    ) -> list[tuple[np.ndarray, Photo]]:
        """Color a photo: each picture to be written, with what surrounds it."""
        outcome.notes += original.notes
        pictures = [(rgb, original) for rgb in _predict(original, model, self._options)]
        if self._options.compare:
            pictures.append(_side_by_side(original, [rgb for rgb, _ in pictures]))
        return pictures

    def _write(
        self, pictures: list[tuple[np.ndarray, Photo]], targets: Targets, outcome: Outcome
    ) -> None:
        from colorize.photo.files import write_photo

        for path, (rgb, photo) in zip(targets.paths, pictures, strict=True):
            if path in targets.missing:
                outcome.notes += write_photo(
                    *(rgb, photo, path, path.suffix),
                    made=targets.made,
                    record=self._chooser.record(path.parent),
                    replace=path not in targets.absent,
                )
                if not (self._options.quiet or self._options.json):
                    self._is_printed &= put(str(path))
        for path in self._chooser.leftovers(targets):
            outcome.notes.append(f"{path} is a sample of an earlier run")
        outcome.status = "colored"

    def _is_left_alone(self, original: Photo, outcome: Outcome) -> bool:
        """Whether a photo is a result itself, or has colors that are to stay."""
        from colorize.photo.tint import has_color

        if original.metadata.made is not None:
            outcome.status = "result"
        elif has_color(original.rgb):
            if self._options.only_grey:
                outcome.status = "color"
            else:
                outcome.notes.append("its own colors are replaced; --only-grey leaves such photos")
        return outcome.status != "failed"

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
    more = options.samples, options.compare, options.json, options.only_grey
    if len(options.photos) != 1 or any(more):
        raise InputError(
            "standard output takes one photo, without --samples, --compare, --json, --only-grey"
        )
    if sys.stdout.isatty():
        raise InputError("expected standard output to go to a file or program, got the terminal")
    suffix = options.suffix or ".png"
    check_depth(suffix, options.depth)
    inputs = find_inputs(options.photos)
    if inputs.problems or len(inputs.photos) != 1:
        raise InputError(inputs.problems[0] if inputs.problems else "expected one photo")

    from colorize.data.decode import read_bytes
    from colorize.photo.files import write_photo
    from colorize.photo.record import Made

    (photo,) = inputs.photos
    content = sys.stdin.buffer.read() if photo.piped else read_bytes(photo.path, str(photo.path))
    sha256 = storage.sha256_bytes(content)
    original = _read(content, str(photo.path), options)
    if original.metadata.made is not None:
        raise InputError(f"{photo.path}: is a result itself; color its photo")
    (rgb,) = _predict(original, _load(options), options)
    encoded = io.BytesIO()
    made = Made(None if photo.piped else photo.path.name, sha256, recorded_settings(options))
    notes = write_photo(rgb, original, encoded, suffix, made=made)
    for note in [] if options.quiet else [*original.notes, *notes]:
        say(f"{photo.path}: {note}")
    sys.stdout.buffer.write(encoded.getbuffer())
    sys.stdout.buffer.flush()


def _read(content: bytes | Path, name: str, options: argparse.Namespace) -> Photo:
    from colorize.photo.files import read_photo

    return read_photo(
        content,
        name,
        depth=options.depth or 8,
        truncated=options.truncated,
        max_pixels=options.max_pixels,
    )


def _load(options: argparse.Namespace) -> Colorizer:
    from colorize.models.fuse import fuse_conv_bn
    from colorize.models.hub import find_device, load_model

    model = fuse_conv_bn(load_model(options.model, weights=options.weights))
    return model.to(find_device(None if options.device == "auto" else options.device))


def _predict(photo: Photo, model: Colorizer, options: argparse.Namespace) -> list[np.ndarray]:
    from colorize.data.decode import decode_over_white
    from colorize.photo.colorize import colorize_image

    settings = prediction_settings(options)
    if options.mask is not None:
        mask = decode_over_white(options.mask, f"--mask: {options.mask}")
        settings["mask"] = mask.mean(axis=2) >= 128
    colored = colorize_image(photo.rgb, model, **settings)
    return [colored] if options.samples is None else [*colored]


def _side_by_side(original: Photo, colored: list[np.ndarray]) -> tuple[np.ndarray, Photo]:
    """Put a photo and its results into one picture, with what surrounds the photo."""
    import numpy as np

    pictures = [original.rgb.astype(colored[0].dtype), *colored]
    if original.rgb.dtype == np.uint8 and colored[0].dtype == np.uint16:
        pictures[0] *= 257
    alpha = original.alpha
    repeated = None if alpha is None else np.tile(alpha, (1, len(pictures)))
    return np.concatenate(pictures, axis=1), replace(original, alpha=repeated)
