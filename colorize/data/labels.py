"""Class labels from the folders that a data set comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from colorize.data.joined import JoinedSource, Source
from colorize.data.sources import Rejected
from colorize.data.splits import SPLITS
from colorize.errors import DataError

_NCD_COLOR = "colorfuloriginal"
_ANNOTATIONS = "val_annotations.txt"

Folders = tuple[str, ...]


class Labelled(NamedTuple):
    """The class of each image that has one, and the images that have none, with reasons."""

    class_of: dict[str, str]
    rejected: list[Rejected]


def list_images(source: Source) -> Labelled:
    """List the files of a source that may be images with their classes, and the rest.

    Of several sources each is listed for itself; what they call alike is one class.
    """
    if isinstance(source, JoinedSource):
        joined = Labelled({}, [])
        for name, part in source.parts.items():
            class_of, rejected = list_images(part)
            joined.class_of.update({f"{name}/{file}": label for file, label in class_of.items()})
            joined.rejected.extend(Rejected(f"{name}/{file}", why) for file, why in rejected)
        return joined
    listing = source.listing()
    annotations = read_annotations([rejected.name for rejected in listing.rejected], source)
    labelled = classes_from_folders(listing.images, source.name, annotations)
    return Labelled(labelled.class_of, [*listing.rejected, *labelled.rejected])


def classes_from_folders(
    names: Sequence[str], root_name: str, annotations: Mapping[str, Mapping[str, str]]
) -> Labelled:
    """Name the class of every image.

    The class is the first folder of the name, after these are taken away: folders around all
    images; ``train``, ``val`` and ``test``; and ``images`` at the end. Images without a folder get
    one class, named after the root (or the last folder around all images), except where only a
    split folder holds them while other images have classes (the unlabelled test images of Tiny
    ImageNet): those are rejected. Of the Natural-Color Dataset only what lies in ColorfulOriginal
    counts; the grey copies beside it are rejected.

    ``train`` next to other class folders is a class, since it may be a vehicle: split folders are
    taken away where nothing else or at least two of them stand side by side.

    Args:
        names: relative, with forward slashes.
        root_name: name of the root.
        annotations: ``read_annotations``; images that it lists take their class from there.
    """
    class_of: dict[str, str] = {}
    rejected: list[Rejected] = []
    by_folder: dict[str, Folders] = {}
    ncd = _ncd_root(names)
    for name in names:
        parts = PurePosixPath(name).parts
        listed = annotations.get("/".join(_without_images(parts[:-1])))
        if ncd is not None and _is_beside(parts, ncd):
            rejected.append(Rejected(name, "beside NCD's ColorfulOriginal, not in it"))
        elif listed is None:
            by_folder[name] = _without_images(parts[:-1])
        elif parts[-1] in listed:
            class_of[name] = listed[parts[-1]]
        else:
            rejected.append(Rejected(name, f"not listed in {_ANNOTATIONS}"))
    folders, unwrapped = _unwrap(set(by_folder.values()), root_name)
    labelled = bool(class_of) or any(folders.values())
    for name, original in by_folder.items():
        remaining = folders[original]
        if remaining:
            class_of[name] = remaining[0]
        elif labelled and original and original[-1].lower() in SPLITS:
            rejected.append(Rejected(name, f"no class: directly in {original[-1]}"))
        else:
            class_of[name] = unwrapped
    return Labelled(class_of, rejected)


def read_annotations(names: Sequence[str], source: Source) -> dict[str, dict[str, str]]:
    """Read Tiny ImageNet's ``val_annotations.txt`` wherever it is: folder -> file name -> class."""
    annotations: dict[str, dict[str, str]] = {}
    for name in names:
        path = PurePosixPath(name)
        if path.name != _ANNOTATIONS:
            continue
        classes = annotations["/".join(path.parent.parts)] = {}
        lines = source.read(name).decode("utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, start=1):
            columns = line.split("\t")
            if len(columns) < 2 or not all(columns[:2]):
                raise DataError(
                    f"{name}, line {number}: expected a file name, a tab and a class; got {line!r}"
                )
            classes[columns[0]] = columns[1]
    return annotations


def _without_images(folders: Folders) -> Folders:
    return folders[:-1] if folders and folders[-1].lower() == "images" else folders


def _ncd_root(names: Sequence[str]) -> Folders | None:
    """The folder that holds ColorfulOriginal, when there is one."""
    for name in names:
        folders = PurePosixPath(name).parent.parts
        for depth, folder in enumerate(folders):
            if folder.lower() == _NCD_COLOR:
                return folders[:depth]
    return None


def _is_beside(parts: Folders, ncd: Folders) -> bool:
    depth = len(ncd)
    return parts[:depth] == ncd and parts[depth].lower() != _NCD_COLOR


def _unwrap(originals: set[Folders], root_name: str) -> tuple[dict[Folders, Folders], str]:
    """Take away, from the top, split folders and folders around everything.

    Returns what remains of each, and the name of the last folder around everything.
    """
    remaining = {folders: folders for folders in originals}
    while True:
        firsts = {folders[0] for folders in remaining.values() if folders}
        splits = {first for first in firsts if first.lower() in SPLITS}
        if splits and (splits == firsts or len(splits) > 1):
            strip = splits
        elif len(firsts) == 1 and _is_wrapper(list(remaining.values())):
            strip = firsts
            (root_name,) = firsts
        else:
            return remaining, root_name
        remaining = {
            original: folders[1:] if folders and folders[0] in strip else folders
            for original, folders in remaining.items()
        }


def _is_wrapper(all_folders: list[Folders]) -> bool:
    """Whether the one first folder holds class folders, and is not itself the only class."""
    below = {folders[1] for folders in all_folders if len(folders) > 1}
    loose = any(len(folders) < 2 for folders in all_folders)
    return len(below) > 1 or (len(below) == 1 and not loose)
