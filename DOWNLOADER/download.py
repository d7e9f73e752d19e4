"""Fetch a data set, the color prior or published weights, whole or not at all.

    python DOWNLOADER/download.py --list
    python DOWNLOADER/download.py ncd
    python DOWNLOADER/download.py vehicles --max-per-class 500
    python DOWNLOADER/download.py imagenet-synsets --classes n02691156 n02739889

A .zip is kept as it is, for the library reads it in place. A .tar or .tgz is unpacked. When a set
of many archives is interrupted, the same command goes on with the first archive that is missing;
one that broke off starts again from its first byte. Exit status: 0 complete, 1 not complete, 2 the
request makes no sense, 130 interrupted with Ctrl-C.
"""

from __future__ import annotations

import argparse
import errno
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

if not __package__:
    # Started as a script: Python put this folder on the path, not the checkout that holds it.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from filelock import FileLock, Timeout

from colorize import paths
from colorize.errors import ColorizeError, DownloadError, InputError
from colorize.storage import atomic_write
from DOWNLOADER.catalog import CATALOG, CatalogEntry, File
from DOWNLOADER.fetch import check_in_place, fetch, require_free
from DOWNLOADER.unpack import unpack

_PLACES = {
    "data": paths.data,
    "precalculated": paths.precalculated,
    "checkpoints": paths.checkpoints,
}
_RECORD = ".download.json"
# From a file, where it goes and where a person may put it, to its SHA-256.
_Fetch = Callable[[File, Path, Path], str]


def download(
    name: str,
    *,
    to: str | Path | None = None,
    classes: Sequence[str] | None = None,
    max_per_class: int | None = None,
    replace: bool = False,
    cookies: str | Path | None = None,
    progress: bool = True,
) -> Path:
    """Fetch an entry of the catalog unless it is here; return its folder or first file.

    Args:
        to: the folder that gets it; None for the project's DATA, PRECALCULATED or CHECKPOINTS.
        classes: WordNet ids, for the ImageNet synsets.
        max_per_class: keep that many images of each synset, always the same ones.
        replace: fetch anew in place of what is here.
        cookies: a Netscape cookies file for Google Drive.

    Another process that fetches the same is waited for.
    """
    if name not in CATALOG:
        raise InputError(f"there is no {name!r} to fetch; there are {', '.join(CATALOG)}")
    entry = CATALOG[name]
    files = entry.select(classes)
    request = _request(entry, files, max_per_class)
    cookies = None if cookies is None else str(Path(cookies).expanduser())
    bring = partial(fetch, progress=progress, cookies=cookies)
    folder = _folder(entry, to)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _alone(folder / f".{name}.lock"):
            if entry.is_folder:
                return _bring_folder(folder / name, files, request, bring, replace)
            return _bring_files(folder, name, files, bring, replace)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DownloadError(
            f"the disk of {folder} is full. Make room, or choose another with --to"
        ) from error


def _request(
    entry: CatalogEntry, files: Sequence[File], max_per_class: int | None
) -> dict[str, Any]:
    """Say what distinguishes one set of this entry from another."""
    if entry.each_class is None:
        if max_per_class is not None:
            raise InputError(f"{entry.name} comes as a whole: it takes no max_per_class")
        return {}
    if max_per_class is not None and max_per_class < 1:
        raise InputError(f"max_per_class should be at least 1, came {max_per_class}")
    return {"classes": sorted(file.into for file in files), "max_per_class": max_per_class}


def _folder(entry: CatalogEntry, to: str | Path | None) -> Path:
    return _PLACES[entry.place]() if to is None else Path(to).expanduser().resolve()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock at ``path``. The system releases it when this process dies."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("another process fetches the same; waiting for it", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _bring_files(
    folder: Path, name: str, files: Sequence[File], bring: _Fetch, replace: bool
) -> Path:
    unpacked = folder / name
    if unpacked.is_dir() and any(unpacked.iterdir()) and not replace:
        # By an earlier version, which unpacked every .zip.
        return unpacked
    missing = [file for file in files if replace or not (folder / file.target).is_file()]
    require_free(folder, sum(file.size for file in missing))
    for file in files:
        target = folder / file.target
        if file in missing:
            bring(file, target, target)
        else:
            check_in_place(target, file)
    return folder / files[0].target


def _bring_folder(
    final: Path, files: Sequence[File], request: Mapping[str, Any], bring: _Fetch, replace: bool
) -> Path:
    """Unpack into NAME.part, one archive at a time, and rename it when it is whole."""
    work = final.with_name(f"{final.name}.part")
    if replace or not final.exists() or not any(final.iterdir()):
        tree = _fill_tree(work, files, request, bring)
        if final.exists():
            final.replace(work / "old")
        tree.replace(final)
    else:
        record = _read_record(final)
        if record.get("arguments") != request:
            content = f"the set with {record['arguments']}" if record else "no finished download"
            raise DownloadError(
                f"{final} holds {content}, asked for is {request or 'the whole set'}. Move it "
                "away, choose another folder with --to, or let it be replaced with --replace"
            )
    shutil.rmtree(work, ignore_errors=True)
    return final


def _fill_tree(
    work: Path, files: Sequence[File], request: Mapping[str, Any], bring: _Fetch
) -> Path:
    """Fetch and unpack what is missing of a set; its record tells what an earlier run did."""
    tree = work / "tree"
    record = _read_record(tree)
    if record.get("arguments") != request:
        shutil.rmtree(work, ignore_errors=True)
        tree.mkdir(parents=True)
        record = {"arguments": request, "files": {}}
    missing = [file for file in files if file.name not in record["files"]]
    sizes = [file.size for file in missing]
    # One archive at a time lies beside all that is unpacked.
    require_free(work, sum(sizes) + max(sizes, default=0))
    for file in missing:
        record["files"][file.name] = _add(file, tree, request.get("max_per_class"), bring)
        with atomic_write(tree / _RECORD) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return tree


def _add(file: File, tree: Path, keep: int | None, bring: _Fetch) -> str:
    """Fetch a tar, unless somebody put it beside the set, and unpack it; return its SHA-256."""
    by_hand, fetched = tree.parents[1] / file.name, tree.with_name(file.name)
    into = tree / file.into
    if file.into:
        shutil.rmtree(into, ignore_errors=True)
    if by_hand.is_file():
        digest = check_in_place(by_hand, file)
        unpack(by_hand, into, keep)
    else:
        digest = bring(file, fetched, by_hand)
        try:
            unpack(fetched, into, keep)
        finally:
            fetched.unlink()
    if file.expects and next(into.glob(file.expects), None) is None:
        raise DownloadError(f"{file.name} should hold {file.expects}, but nothing in it is so")
    return digest


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / _RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def print_list(to: str | Path | None = None) -> None:
    """Print a row for each entry: what it is, how large, on which terms, and whether it is here."""
    rows = [("name", "size", "images", "licence", "here", "what", "source")]
    for entry in CATALOG.values():
        files = entry.files or ((entry.each_class,) if entry.each_class else ())
        each = " a class" if entry.each_class and not entry.classes else ""
        count = max(1, len(entry.classes))
        images = count * sum(file.images for file in files)
        size = count * sum(file.size for file in files)
        unit, scale = ("MB", 1e6) if size >= 1e6 else ("kB", 1e3)
        rows.append(
            (
                entry.name,
                f"~{size / scale:,.0f} {unit}{each}",
                f"~{images:,}{each}" if images else "-",
                entry.licence,
                _state(entry, _folder(entry, to)),
                entry.title,
                files[0].address,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _state(entry: CatalogEntry, folder: Path) -> str:
    final = folder / entry.name
    if final.is_dir():
        keep = _read_record(final).get("arguments", {}).get("max_per_class")
        return f"yes, at most {keep} a class" if keep else "yes"
    if not entry.is_folder and all((folder / file.target).is_file() for file in entry.files):
        return "yes"
    return "begun" if final.with_name(f"{final.name}.part").exists() else "-"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", help=", ".join(CATALOG))
    add("--list", action="store_true", help="show what there is and what is here")
    add("--to", metavar="FOLDER", help="the folder that gets it")
    add("--classes", nargs="+", metavar="WNID", help="ImageNet synsets, like n02691156")
    add("--max-per-class", type=int, metavar="N", help="keep N images a class, always the same")
    add("--replace", action="store_true", help="fetch anew in place of what is here")
    add("--cookies", metavar="FILE", help="Netscape cookies of a signed-in browser, for Drive")
    add("--quiet", action="store_true", help="no progress bars")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status that the module's head explains."""
    parser = _parser()
    options = vars(parser.parse_args(argv))
    name, listed = options.pop("name"), options.pop("list")
    if name is None and not listed:
        parser.error("say what to fetch, or --list")
    try:
        if listed:
            print_list(options["to"])
        else:
            path = download(name, progress=not options.pop("quiet"), **options)
            print(f"{name}: complete, {path}")
    except InputError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print(
            "\nstopped; the same command goes on with the archive that broke off", file=sys.stderr
        )
        return 130
    except (ColorizeError, OSError) as error:
        print(f"{name or '--list'}: not complete: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
