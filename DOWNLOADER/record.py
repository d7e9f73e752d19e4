"""The small record that a finished download carries, and by which it is recognized."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from colorize import storage
from colorize.errors import DownloadError
from DOWNLOADER.polite import POLITE, Limits
from DOWNLOADER.sources import File, Source
from DOWNLOADER.verify import images_below

_FORMAT = 1


@dataclass(frozen=True)
class Job:
    """One request: what, with which arguments, where to, and how."""

    source: Source
    files: tuple[File, ...]
    arguments: Mapping[str, Any]
    to: Path
    replace: bool = False
    cookies: Path | None = None
    progress: bool = True
    limits: Limits = POLITE

    @property
    def final(self) -> Path:
        """The folder of the set, or the first of its loose files."""
        if self.source.loose:
            return self.to / self.files[0].saved
        return self.to / self.source.name

    @property
    def work(self) -> Path:
        """Where everything unfinished is kept until the last step."""
        return self.to / f"{self.source.name}.part"

    @property
    def lock(self) -> Path:
        """Held by the one process that works on this set."""
        return self.to / f".{self.source.name}.lock"

    @property
    def record(self) -> Path:
        """The record: inside a set, beside loose files."""
        if self.source.loose:
            return self.to / f".{self.source.name}.download.json"
        return self.final / ".download.json"

    @property
    def bad_list(self) -> Path:
        """The list of images that cannot be opened, with reasons."""
        return self.to / f"{self.source.name}.bad.txt"

    @property
    def bad_folder(self) -> Path:
        """Where those images are kept."""
        return self.to / f"{self.source.name}.bad"

    @property
    def keep(self) -> int | None:
        """How many images of each class are wanted, None for all."""
        return self.arguments.get("max_per_class")

    def by_hand(self, file: File) -> Path:
        """Where a file that somebody fetched by hand is looked for."""
        return self.to / (file.saved or file.name)


def compose(job: Job, files: list[dict[str, Any]], images: int, bad: int) -> dict[str, Any]:
    """The record of a set that has just been finished."""
    return {
        "format": _FORMAT,
        "name": job.source.name,
        "title": job.source.title,
        "licence": job.source.licence,
        "arguments": dict(job.arguments),
        "files": files,
        "images": images,
        "bad_images": bad,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where the file is missing.

    Raises DownloadError where it is there and cannot be read as one.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DownloadError(f"{path} should be JSON: {error}. Remove it and run again") from error
    if not isinstance(content, dict):
        raise DownloadError(f"{path} should hold a JSON object. Remove it and run again")
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object in one step."""
    with storage.atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def is_complete(job: Job) -> bool:
    """Whether the set that ``job`` asks for is there, whole.

    Raises DownloadError where something else is in its place: a folder without a record, the set
    with other arguments, or one that has lost or gained images.
    """
    if not job.final.exists() or (job.final.is_dir() and not any(job.final.iterdir())):
        return False
    record = read_json(job.record)
    remedy = (
        f"Move {job.final} away, give another folder with --to, or let it be fetched anew in "
        "its place with --replace"
    )
    if not record:
        raise DownloadError(f"{job.final} is there, but not from a finished download. {remedy}")
    if record.get("arguments") != dict(job.arguments):
        raise DownloadError(
            f"{job.final} holds the set with {record.get('arguments')}, asked for is "
            f"{dict(job.arguments)}. {remedy}"
        )
    images = len(images_below(job.final))
    if images != record.get("images"):
        raise DownloadError(
            f"{job.final} had {record.get('images')} images when it was finished, now it has "
            f"{images}. {remedy}"
        )
    return True


def state(job: Job) -> str:
    """What is present, in a few words for the listing."""
    if job.source.loose:
        there = sum((job.to / file.saved).is_file() for file in job.files)
        if there == len(job.files):
            return "complete" if job.record.is_file() else "present, unchecked"
        return "begun" if there or job.work.exists() else "-"
    record = read_json(job.record)
    if not record:
        if job.final.exists():
            return "a folder without record"
        return "begun" if job.work.exists() else "-"
    text = f"complete: {record.get('images', 0):,} images"
    if most := record.get("arguments", {}).get("max_per_class"):
        text += f", at most {most} a class"
    if bad := record.get("bad_images"):
        text += f", {bad} bad set aside"
    return text
