"""From files to a finished set, in steps that can each be repeated.

Everything unfinished is in ``NAME.part``. One archive at a time is fetched, unpacked beside the
others, noted, and removed; then the set is put together, every image opened, the record written,
and the folder renamed: the only moment at which something appears under the set's name.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from colorize.errors import DownloadError
from DOWNLOADER.fetch import fetch, require_free, sha256
from DOWNLOADER.record import Job, compose, read_json, write_json
from DOWNLOADER.sources import File
from DOWNLOADER.unpack import opened, unpack
from DOWNLOADER.verify import find_bad, images_below


def build(job: Job) -> None:
    """Bring the set of ``job`` and put it in its place.

    Raises DownloadError where a file cannot be had, is not what it should be, or has no image.
    """
    _prepare(job)
    _require_disk(job)
    for file in job.files:
        _unit(job, file)
    tree = _assemble(job)
    bad = _set_aside(job, tree)
    images = len(images_below(tree))
    if not images:
        raise DownloadError(
            f"no image of {job.source.name} can be opened: {job.bad_list} says why. "
            f"Remove {job.work} to start afresh"
        )
    notes = [read_json(_note(job, file)) for file in job.files]
    _record(job, tree / job.record.name, compose(job, notes, images, len(bad)))
    _commit(job, tree)


def place(job: Job) -> None:
    """Bring the loose files of ``job``, each checked and then renamed.

    Raises DownloadError where a file cannot be had, or one in its place is not what it should be.
    """
    job.work.mkdir(exist_ok=True)
    _require_disk(job)
    notes, fetched = [], False
    for file in job.files:
        final = job.to / file.saved
        if _done(job, file):
            origin, digest = "found in place", _check_found(final, file)
        else:
            path, digest = _obtain(job, file)
            origin, fetched = file.address, True
            path.replace(final)
        notes.append(_describe(file, final.stat().st_size, digest, origin))
    if fetched or not job.record.is_file():
        _record(job, job.record, compose(job, notes, 0, 0))


def _record(job: Job, path: Path, content: dict[str, Any]) -> None:
    # By way of the working folder: what a kill leaves beside the file goes when that goes.
    write_json(job.work / "record.json", content)
    (job.work / "record.json").replace(path)


def check(path: Path, file: File) -> str:
    """SHA-256 of ``path`` if it can be ``file``: by digest where one is known, and by looking
    through the whole table of contents of an archive.

    Raises DownloadError where it is not.
    """
    digest = sha256(path)
    if not digest.startswith(file.sha256):
        raise DownloadError(
            f"expected SHA-256 {file.sha256}, came {digest} ({path.stat().st_size:,} bytes)"
        )
    if file.archive:
        with opened(path, file.archive):
            pass
    return digest


def _check_found(path: Path, file: File) -> str:
    try:
        return check(path, file)
    except DownloadError as error:
        raise DownloadError(
            f"{path} is there, but is not {file.name}: {error}. Remove it and run again"
        ) from error


def _prepare(job: Job) -> None:
    """Keep what an earlier run unpacked only where it was for the same request."""
    # Through JSON, to compare with what is read: tuples become lists there.
    request: dict[str, Any] = json.loads(
        json.dumps({"arguments": job.arguments, "files": [asdict(file) for file in job.files]})
    )
    note = job.work / "request.json"
    if read_json(note) == request:
        return
    for left in ("units", "tree"):
        if (job.work / left).exists():
            shutil.rmtree(job.work / left)
    (job.work / "bad.json").unlink(missing_ok=True)
    write_json(note, request)


def _require_disk(job: Job) -> None:
    """One archive at a time lies beside all that is unpacked."""
    missing = [file for file in job.files if not _done(job, file)]
    unpacked = sum(_unpacked_size(job, file) for file in missing)
    require_free(job.work, unpacked + max((file.size for file in missing), default=0))


def _done(job: Job, file: File) -> bool:
    if file.archive:
        return _note(job, file).exists()
    return (job.to / file.saved).is_file() and not job.replace


def _unpacked_size(job: Job, file: File) -> int:
    if job.keep is None or not file.images:
        return file.size
    return min(file.size, file.size * job.keep // file.images)


def _note(job: Job, file: File) -> Path:
    return job.work / "units" / f"{file.name}.json"


def _unit(job: Job, file: File) -> None:
    """Fetch and unpack one archive; its note says that this is done."""
    note = _note(job, file)
    if note.exists():
        return
    archive, digest = _obtain(job, file)
    size, ours = archive.stat().st_size, archive.parent == job.work
    folder = note.with_suffix("")
    temporary = note.with_suffix(".tmp")
    for left in (folder, temporary):
        if left.exists():
            shutil.rmtree(left)
    try:
        junk = unpack(archive, file.archive, temporary, job.keep, file.expects)
    except DownloadError:
        if ours:
            archive.unlink()
        raise
    temporary.replace(folder)
    origin = file.address if ours else f"by hand, {archive.name}"
    write_json(note, {**_describe(file, size, digest, origin), "left_out": junk})
    if ours:
        archive.unlink()


def _obtain(job: Job, file: File) -> tuple[Path, str]:
    """The checked file and its digest: put there by hand, left by an earlier run, or fetched."""
    target = job.work / file.name
    for found in (target, job.by_hand(file)) if file.archive else (target,):
        if found.is_file():
            return found, _check_found(found, file)
    try:
        if file.drive:
            # gdown takes long to import and is needed for one source.
            from DOWNLOADER.drive import fetch_drive

            digest = fetch_drive(
                file,
                target,
                lambda path: check(path, file),
                job.limits,
                job.progress,
                job.cookies,
            )
        else:
            digest = fetch(file, target, lambda path: check(path, file), job.limits, job.progress)
    except DownloadError as error:
        raise DownloadError(
            f"{error}. By hand: fetch {file.address}, put it at {job.by_hand(file)}, "
            "and run the same command"
        ) from error
    return target, digest


def _describe(file: File, size: int, digest: str, origin: str) -> dict[str, Any]:
    return {"name": file.name, "source": origin, "bytes": size, "sha256": digest}


def _assemble(job: Job) -> Path:
    """Move all that was unpacked into one tree; what an earlier run has moved is there already."""
    tree = job.work / "tree"
    tree.mkdir(exist_ok=True)
    for file in job.files:
        folder = _note(job, file).with_suffix("")
        if not folder.exists():
            continue
        if file.into:
            folder.replace(tree / file.into)
            continue
        for entry in sorted(folder.iterdir()):
            entry.replace(tree / entry.name)
        folder.rmdir()
    return tree


def _set_aside(job: Job, tree: Path) -> dict[str, str]:
    """Open every image, list the bad ones beside the set and move them out of it."""
    known = job.work / "bad.json"
    if not known.exists():
        # Leftovers of a set that is being replaced.
        job.bad_list.unlink(missing_ok=True)
        if job.bad_folder.exists():
            shutil.rmtree(job.bad_folder)
    bad = {**read_json(known), **find_bad(tree, job.progress)}
    # Written before the first move, for a later run does not see what was moved.
    write_json(known, bad)
    if not bad:
        return bad
    lines = [f"{relative}\t{reason}\n" for relative, reason in sorted(bad.items())]
    job.bad_list.write_text("".join(lines), encoding="utf-8")
    for relative in bad:
        if (tree / relative).exists():
            aside = job.bad_folder / relative
            aside.parent.mkdir(parents=True, exist_ok=True)
            (tree / relative).replace(aside)
    return bad


def _commit(job: Job, tree: Path) -> None:
    if job.final.exists():
        old = job.work / "old"
        if old.exists():
            shutil.rmtree(old)
        job.final.replace(old)
    tree.replace(job.final)
