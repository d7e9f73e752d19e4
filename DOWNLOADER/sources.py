"""What can be fetched, as data: where it is, how it is recognized, and how it unpacks.

Nothing here is fetched; another table of the same classes (a mirror, a replica on loopback) serves
the same functions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from colorize.errors import InputError
from colorize.experiments.presets import MORE_VEHICLES, VEHICLES

_WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class File:
    """One file of a source.

    ``url`` or ``drive`` (a Google Drive id) says where it is. ``sha256`` is the whole digest or its
    first digits; empty where nobody published one. ``size`` in bytes and ``images`` are about
    right: they serve the listing and the check of free disk, never the acceptance of a file.
    ``archive`` files are unpacked into the folder ``into`` of the set, and something must match
    each pattern of ``expects`` in them; others are stored under the name ``saved``. A file that
    stands for one class has ``{wnid}`` in its texts.
    """

    name: str
    url: str = ""
    drive: str = ""
    sha256: str = ""
    size: int = 0
    images: int = 0
    archive: Literal["", "tar", "zip"] = ""
    into: str = ""
    expects: tuple[str, ...] = ()
    saved: str = ""

    @property
    def address(self) -> str:
        """Where a person can fetch the file with a browser."""
        return self.url or f"https://drive.google.com/file/d/{self.drive}/view"

    def of_class(self, wnid: str) -> File:
        """The file of one class."""
        name, url, into = (
            text.replace("{wnid}", wnid) for text in (self.name, self.url, self.into)
        )
        return replace(self, name=name, url=url, into=into)


@dataclass(frozen=True)
class Source:
    """A data set (unpacked into a folder of its name) or a few loose files.

    Either ``files`` is given, or ``each_class``: one archive a class, for ``classes`` or, where
    that is empty, for those the user names. ``place`` is the folder of ``colorize.paths`` that it
    belongs to.
    """

    name: str
    title: str
    licence: str
    files: tuple[File, ...] = ()
    each_class: File | None = None
    classes: tuple[str, ...] = ()
    place: Literal["data", "precalculated", "checkpoints"] = "data"

    @property
    def loose(self) -> bool:
        """Whether the files are stored as they come, instead of unpacked into a folder."""
        return bool(self.files) and not any(file.archive for file in self.files)

    def plan(self, classes: Sequence[str] | None = None) -> tuple[File, ...]:
        """The files to fetch, for some classes only where the source has one archive a class.

        Raises InputError where classes are missing, malformed, unknown to the source, or make no
        sense for it.
        """
        if self.each_class is None:
            if classes is not None:
                raise InputError(f"{self.name} comes as a whole: it takes no classes")
            return self.files
        wanted = tuple(dict.fromkeys(self.classes if classes is None else classes))
        if not wanted:
            raise InputError(
                f"{self.name} needs the classes to fetch, as WordNet ids: --classes n02691156 ..."
            )
        for wnid in wanted:
            if not _WNID.fullmatch(wnid):
                raise InputError(f"a class is a WordNet id like n02691156, not {wnid!r}")
            if self.classes and wnid not in self.classes:
                raise InputError(
                    f"{wnid} is none of the classes of {self.name}: {' '.join(self.classes)}. "
                    "Any class can be had with imagenet-synsets"
                )
        return tuple(self.each_class.of_class(wnid) for wnid in wanted)


VEHICLES_FINAL = VEHICLES + MORE_VEHICLES

_IMAGENET_TERMS = "ImageNet terms: non-commercial research"

# Neither sizes nor digests of single synsets are published; 13.2 million images in 19,167 synsets
# and about 90 kB an image are, and common things have more images than the average of 690.
_SYNSET = File(
    name="{wnid}.tar",
    url="https://image-net.org/data/winter21_whole/{wnid}.tar",
    size=100_000_000,
    images=1_100,
    archive="tar",
    into="{wnid}",
    expects=("*.JPEG",),
)

_AUTHORS = "https://raw.githubusercontent.com/richzhang/colorization/caffe/colorization/resources"
_WEIGHTS = "https://colorizers.s3.us-east-2.amazonaws.com"
_DOGS = "http://vision.stanford.edu/aditya86/ImageNetDogs"

_TABLE = (
    Source(
        name="vehicles",
        title="study A: 5 ImageNet synsets (winter 2021)",
        licence=_IMAGENET_TERMS,
        each_class=_SYNSET,
        classes=VEHICLES,
    ),
    Source(
        name="vehicles-final",
        title="study A, final: 10 ImageNet synsets (winter 2021)",
        licence=_IMAGENET_TERMS,
        each_class=_SYNSET,
        classes=VEHICLES_FINAL,
    ),
    Source(
        name="imagenet-synsets",
        title="any ImageNet synsets (winter 2021), by --classes",
        licence=_IMAGENET_TERMS,
        each_class=_SYNSET,
    ),
    Source(
        name="tiny-imagenet",
        title="Tiny ImageNet: 200 classes at 64x64",
        licence=_IMAGENET_TERMS,
        files=(
            File(
                name="tiny-imagenet-200.zip",
                url="https://cs231n.stanford.edu/tiny-imagenet-200.zip",
                sha256="6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821",
                size=248_100_043,
                images=120_000,
                archive="zip",
                expects=(
                    "tiny-imagenet-200/wnids.txt",
                    "tiny-imagenet-200/words.txt",
                    "tiny-imagenet-200/train/n*/images/*.JPEG",
                    "tiny-imagenet-200/val/images/*.JPEG",
                    "tiny-imagenet-200/val/val_annotations.txt",
                ),
            ),
        ),
    ),
    Source(
        name="ncd",
        title="Natural-Color Dataset (Anwar et al. 2020): fruit and vegetables",
        licence="distributed by the survey's authors for research",
        files=(
            File(
                name="NCD.zip",
                drive="1k_UvYzdrHbphW4UcbDb9jWB0ZQIAGEAo",
                # Not published: an upper estimate, so that a full disk is noticed early.
                size=150_000_000,
                images=721,
                archive="zip",
                expects=("ColorfulOriginal/*/*",),
            ),
        ),
    ),
    Source(
        name="stanford-dogs",
        title="Stanford Dogs: 120 breeds, with the official split",
        licence="ImageNet terms: non-commercial research; cite Khosla et al. 2011",
        files=(
            File(
                name="stanford-dogs-images.tar",
                url=f"{_DOGS}/images.tar",
                sha256="a443fc2f9a851aa1a7b8e4fa4af94b8459fce2c9f5a2f4dd4669cf9673a4ec58",
                size=793_579_520,
                images=20_580,
                archive="tar",
                expects=("Images/n*-*/*.jpg",),
            ),
            File(
                name="stanford-dogs-lists.tar",
                url=f"{_DOGS}/lists.tar",
                sha256="34b47cacd9a98b5d150e084f24d29391c084c55272295ec65c85651bc35f4d6c",
                size=481_280,
                archive="tar",
                expects=("train_list.mat", "test_list.mat"),
            ),
        ),
    ),
    Source(
        name="imagenet-prior",
        title="color prior of ImageNet and its 313 ab bins, by the authors of the 2016 paper",
        licence="BSD-2-Clause",
        place="precalculated",
        files=(
            File(
                name="prior_probs.npy",
                url=f"{_AUTHORS}/prior_probs.npy",
                sha256="19d00659c7d6f6ee47456fd2c19c86a073f7124875e3d5ab9d601864e062b56c",
                size=2_584,
                saved="prior-imagenet.npy",
            ),
            File(
                name="pts_in_hull.npy",
                url=f"{_AUTHORS}/pts_in_hull.npy",
                sha256="b5dec01315c34f43f1c8c089e84c45ae35d1838d8e77ed0e7ca930f79ffa450e",
                size=5_088,
                saved="pts_in_hull.npy",
            ),
        ),
    ),
    Source(
        name="eccv16",
        title="published weights of Zhang et al. 2016",
        licence="BSD-2-Clause",
        place="checkpoints",
        files=(
            File(
                name="colorization_release_v2-9b330a0b.pth",
                url=f"{_WEIGHTS}/colorization_release_v2-9b330a0b.pth",
                sha256="9b330a0bae53f4ded77b1e23defbf78beaa09c10ebc4c4999e8e4f4a160b93f9",
                size=128_976_165,
                saved="colorization_release_v2-9b330a0b.pth",
            ),
        ),
    ),
    Source(
        name="siggraph17",
        title="published weights of Zhang et al. 2017",
        licence="BSD-2-Clause",
        place="checkpoints",
        files=(
            File(
                name="siggraph17-df00044c.pth",
                url=f"{_WEIGHTS}/siggraph17-df00044c.pth",
                sha256="df00044c0a4d7c3edcecf6f75437ce346a66e7a42612d9b968e1a7e17dbc6f66",
                size=136_787_426,
                saved="siggraph17-df00044c.pth",
            ),
        ),
    ),
)

SOURCES: Mapping[str, Source] = MappingProxyType({source.name: source for source in _TABLE})
