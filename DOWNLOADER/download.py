"""Fetch a data set, the color prior or published weights, whole or not at all.

    python DOWNLOADER/download.py --list
    python DOWNLOADER/download.py ncd
    python DOWNLOADER/download.py vehicles --max-per-class 500
    python DOWNLOADER/download.py imagenet-synsets --classes n02691156 n02739889

The same command goes on where an interrupted one stopped. Exit status: 0 the set is complete
(images that cannot be opened are set aside and listed beside it), 1 it is not, 2 the request makes
no sense, 130 interrupted with Ctrl-C.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

if not __package__:
    # Started as a script: Python put this folder on the path, not the checkout that holds it.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from filelock import FileLock, Timeout

from colorize import paths
from colorize.errors import ColorizeError, InputError
from DOWNLOADER.build import build, place
from DOWNLOADER.polite import POLITE, Limits
from DOWNLOADER.record import Job, is_complete, read_json, state
from DOWNLOADER.sources import SOURCES, Source

_PLACES = {
    "data": paths.data,
    "precalculated": paths.precalculated,
    "checkpoints": paths.checkpoints,
}


def download(
    name: str,
    *,
    to: str | Path | None = None,
    classes: Sequence[str] | None = None,
    max_per_class: int | None = None,
    replace: bool = False,
    cookies: str | Path | None = None,
    progress: bool = True,
    limits: Limits = POLITE,
    sources: Mapping[str, Source] = SOURCES,
) -> Path:
    """Fetch a source unless it is there already; return its folder, or its first loose file.

    ``to`` is the folder that gets the set (default: the project's DATA, PRECALCULATED or
    CHECKPOINTS). ``classes`` (WordNet ids) and ``max_per_class`` (a fixed sample) are for the
    ImageNet synsets. ``replace`` fetches anew in place of what is there. ``cookies`` is a Netscape
    cookies file for Google Drive. Another process that fetches the same set is waited for.

    Raises InputError for a request that makes no sense, DownloadError where the set cannot be
    completed; what has come by then is kept, and the same call goes on from there.
    """
    source = _source(name, sources)
    job = Job(
        source=source,
        files=source.plan(classes),
        arguments=_arguments(source, classes, max_per_class),
        to=_folder(source, to),
        replace=replace,
        cookies=None if cookies is None else Path(cookies).expanduser(),
        progress=progress,
        limits=limits,
    )
    job.to.mkdir(parents=True, exist_ok=True)
    with _alone(job):
        if source.loose:
            place(job)
        elif replace or not is_complete(job):
            build(job)
        if job.work.exists():
            shutil.rmtree(job.work)
    return job.final


def _source(name: str, sources: Mapping[str, Source]) -> Source:
    if name not in sources:
        raise InputError(f"there is no source {name!r}; there are {', '.join(sources)}")
    return sources[name]


def _folder(source: Source, to: str | Path | None) -> Path:
    return _PLACES[source.place]() if to is None else Path(to).expanduser().resolve()


def _arguments(
    source: Source, classes: Sequence[str] | None, max_per_class: int | None
) -> dict[str, object]:
    """What distinguishes one set of this source from another."""
    if source.each_class is None:
        if max_per_class is not None:
            raise InputError(f"{source.name} comes as a whole: it takes no max_per_class")
        return {}
    if max_per_class is not None and max_per_class < 1:
        raise InputError(f"max_per_class should be at least 1, came {max_per_class}")
    wanted = source.classes if classes is None else classes
    return {"classes": sorted(set(wanted)), "max_per_class": max_per_class}


@contextmanager
def _alone(job: Job) -> Iterator[None]:
    """Hold the lock of the set. It is released by the system when this process dies."""
    lock = FileLock(job.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another process fetches {job.source.name}; waiting for it", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def listing(
    to: str | Path | None = None, sources: Mapping[str, Source] = SOURCES
) -> list[tuple[str, ...]]:
    """A heading and a row for each source: name, size, images, licence, present, title, address."""
    rows: list[tuple[str, ...]] = [
        ("name", "size", "images", "licence", "present", "what", "source")
    ]
    for source in sources.values():
        files = source.files or ((source.each_class,) if source.each_class else ())
        count = max(1, len(source.classes)) if source.each_class else 1
        each = " a class" if source.each_class and not source.classes else ""
        images = count * sum(file.images for file in files)
        job = Job(source, files, {}, _folder(source, to))
        rows.append(
            (
                source.name,
                _size(count * sum(file.size for file in files)) + each,
                f"~{images:,}{each}" if images else "-",
                source.licence,
                state(job),
                source.title,
                files[0].address,
            )
        )
    return rows


def _size(size: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"~{size / scale:.3g} {unit}"
    return f"~{size / 1e3:.3g} kB"


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _parser(sources: Mapping[str, Source]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help=", ".join(sources))
    parser.add_argument("--list", action="store_true", help="show what there is and what is here")
    parser.add_argument("--to", metavar="FOLDER", help="the folder that gets the set")
    parser.add_argument(
        "--classes", nargs="+", metavar="WNID", help="ImageNet synsets, like n02691156"
    )
    parser.add_argument(
        "--max-per-class", type=int, metavar="N", help="keep N images a class, always the same"
    )
    parser.add_argument(
        "--replace", action="store_true", help="fetch anew in place of what is there"
    )
    parser.add_argument(
        "--cookies",
        metavar="FILE",
        help="Netscape cookies of a signed-in browser, for Google Drive",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return parser


def _summary(name: str, final: Path, sources: Mapping[str, Source]) -> str:
    job = Job(sources[name], sources[name].files, {}, final.parent)
    if job.source.loose:
        return "\n".join(f"{name}: complete, {job.to / file.saved}" for file in job.files)
    record = read_json(job.record)
    text = f"{name}: complete, {record['images']:,} images in {final}"
    if record["bad_images"]:
        text += (
            f"\n{name}: {record['bad_images']} more cannot be opened; they are in "
            f"{job.bad_folder}, with reasons in {job.bad_list}"
        )
    return text


def main(
    argv: Sequence[str] | None = None,
    sources: Mapping[str, Source] = SOURCES,
    limits: Limits = POLITE,
) -> int:
    """The command line; returns the exit status that the module's head explains."""
    parser = _parser(sources)
    options = parser.parse_args(argv)
    if options.name is None and not options.list:
        parser.error("say what to fetch, or --list")
    try:
        if options.list:
            _print_table(listing(options.to, sources))
        else:
            _run(options, sources, limits)
    except InputError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    except (ColorizeError, OSError) as error:
        print(f"{options.name or '--list'}: not complete: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace, sources: Mapping[str, Source], limits: Limits) -> None:
    final = download(
        options.name,
        to=options.to,
        classes=options.classes,
        max_per_class=options.max_per_class,
        replace=options.replace,
        cookies=options.cookies,
        progress=not options.quiet,
        limits=limits,
        sources=sources,
    )
    print(_summary(options.name, final, sources))


if __name__ == "__main__":
    sys.exit(main())
