"""What can be fetched, as data: where it is, its terms, and how it is recognized."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from colorize.errors import InputError
from colorize.experiments.presets import MORE_VEHICLES, VEHICLES

_WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class File:
    """One file of an entry.

    Attributes:
        name: at the source; a ``.tar`` or ``.tgz`` is unpacked, everything else is kept as it
            comes.
        url: its address; or else ``drive``, its id on Google Drive.
        sha256, md5: empty where nobody published one.
        size: bytes, about right: for the listing, the free disk, and the most that is accepted.
        images: their number, about right, for the listing.
        saved: the name under which a file is kept; ``name`` when empty.
        into: the folder of the set that a tar is unpacked into.
        expects: a pattern that a file in the archive must match, where no hash is known.
    """

    name: str
    url: str = ""
    drive: str = ""
    sha256: str = ""
    md5: str = ""
    size: int = 0
    images: int = 0
    saved: str = ""
    into: str = ""
    expects: str = ""

    @property
    def target(self) -> str:
        """The name under which the file is kept."""
        return self.saved or self.name

    @property
    def address(self) -> str:
        """Where a person can fetch the file with a browser."""
        return self.url or f"https://drive.google.com/file/d/{self.drive}/view"


@dataclass(frozen=True)
class CatalogEntry:
    """A data set, a prior or weights, under the name that the command takes.

    Attributes:
        files: what it consists of; or else ``each_class``, one tar a class, with ``{wnid}`` in
            its texts.
        classes: those of ``each_class``; when empty, the user names them.
        place: the folder of ``colorize.paths`` that it belongs to.
    """

    name: str
    title: str
    licence: str
    files: tuple[File, ...] = ()
    each_class: File | None = None
    classes: tuple[str, ...] = ()
    place: Literal["data", "precalculated", "checkpoints"] = "data"

    @property
    def is_folder(self) -> bool:
        """Whether it is unpacked into a folder of its name."""
        return all(file.name.endswith((".tar", ".tgz")) for file in self.files)

    def select(self, classes: Sequence[str] | None = None) -> tuple[File, ...]:
        """Return the files to fetch; ``classes`` only where there is one tar a class."""
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
        return tuple(_of_class(self.each_class, wnid) for wnid in wanted)


def _of_class(file: File, wnid: str) -> File:
    name, url, into = (text.replace("{wnid}", wnid) for text in (file.name, file.url, file.into))
    return replace(file, name=name, url=url, into=into)


_IMAGENET_TERMS = "ImageNet terms: non-commercial research"

# Neither sizes nor digests of single synsets are published; 13.2 million images in 19,167 synsets
# and about 90 kB an image are, and common things have more images than the average of 690.
_SYNSET = File(
    name="{wnid}.tar",
    url="https://image-net.org/data/winter21_whole/{wnid}.tar",
    size=100_000_000,
    images=1_100,
    into="{wnid}",
    expects="*.JPEG",
)

_AUTHORS = "https://raw.githubusercontent.com/richzhang/colorization/caffe/colorization/resources"
_WEIGHTS = "https://colorizers.s3.us-east-2.amazonaws.com"
_DOGS = "http://vision.stanford.edu/aditya86/ImageNetDogs"
_COCO = "http://images.cocodataset.org/zips"
_COCO_TERMS = "Flickr terms of use; rights stay with the photographers, COCO owns none"
_COCO_VAL = File(
    "val2017.zip",
    f"{_COCO}/val2017.zip",
    sha256="4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
    size=815_585_330,
    images=5_000,
    saved="coco-val2017.zip",
)


def _weights(name: str, year: int, file: str, sha256: str, size: int) -> CatalogEntry:
    return CatalogEntry(
        name,
        f"published weights of Zhang et al. {year}",
        "BSD-2-Clause",
        files=(File(file, f"{_WEIGHTS}/{file}", sha256=sha256, size=size),),
        place="checkpoints",
    )


_TABLE = (
    CatalogEntry(
        "vehicles",
        "study A: 5 ImageNet synsets (winter 2021)",
        _IMAGENET_TERMS,
        each_class=_SYNSET,
        classes=VEHICLES,
    ),
    CatalogEntry(
        "vehicles-final",
        "study A, final: 10 ImageNet synsets (winter 2021)",
        _IMAGENET_TERMS,
        each_class=_SYNSET,
        classes=VEHICLES + MORE_VEHICLES,
    ),
    CatalogEntry(
        "imagenet-synsets",
        "any ImageNet synsets (winter 2021), by --classes",
        _IMAGENET_TERMS,
        each_class=_SYNSET,
    ),
    CatalogEntry(
        "tiny-imagenet",
        "Tiny ImageNet: 200 classes at 64x64",
        _IMAGENET_TERMS,
        files=(
            File(
                "tiny-imagenet-200.zip",
                "https://cs231n.stanford.edu/tiny-imagenet-200.zip",
                sha256="6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821",
                size=248_100_043,
                images=120_000,
                saved="tiny-imagenet.zip",
            ),
        ),
    ),
    CatalogEntry(
        "ncd",
        "Natural-Color Dataset (Anwar et al. 2020): fruit and vegetables",
        "distributed by the survey's authors for research",
        files=(
            File(
                "NCD.zip",
                drive="1k_UvYzdrHbphW4UcbDb9jWB0ZQIAGEAo",
                # Not published: an upper estimate, so that a full disk is noticed early.
                size=150_000_000,
                images=721,
                saved="ncd.zip",
                expects="ColorfulOriginal/*/*",
            ),
        ),
    ),
    CatalogEntry(
        "stanford-dogs",
        "Stanford Dogs: 120 breeds, with the official split",
        "ImageNet terms: non-commercial research; cite Khosla et al. 2011",
        files=(
            File(
                "stanford-dogs-images.tar",
                f"{_DOGS}/images.tar",
                sha256="a443fc2f9a851aa1a7b8e4fa4af94b8459fce2c9f5a2f4dd4669cf9673a4ec58",
                size=793_579_520,
                images=20_580,
            ),
            File(
                "stanford-dogs-lists.tar",
                f"{_DOGS}/lists.tar",
                sha256="34b47cacd9a98b5d150e084f24d29391c084c55272295ec65c85651bc35f4d6c",
                size=481_280,
            ),
        ),
    ),
    CatalogEntry(
        "imagewoof",
        "Imagewoof: ten breeds of dogs at 160 px, of ImageNet",
        _IMAGENET_TERMS,
        files=(
            File(
                "imagewoof2-160.tgz",
                "https://s3.amazonaws.com/fast-ai-imageclas/imagewoof2-160.tgz",
                sha256="663c22f69c2802d85e2a67103c017e047096702ffddf9149a14011b7002539bf",
                size=92_560_471,
                images=12_954,
            ),
        ),
    ),
    CatalogEntry(
        "coco",
        "COCO 2017: photographs of everyday scenes, to train photo",
        _COCO_TERMS,
        files=(
            File(
                "train2017.zip",
                f"{_COCO}/train2017.zip",
                sha256="69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
                size=19_336_861_798,
                images=118_287,
                saved="coco-train2017.zip",
            ),
            _COCO_VAL,
        ),
    ),
    CatalogEntry(
        "coco-val",
        "COCO 2017, its validation part alone: to test photo",
        _COCO_TERMS,
        files=(_COCO_VAL,),
    ),
    CatalogEntry(
        "places365-val",
        "Places365, its validation part: scenes at 256 px, to train photo",
        "Places365 terms: research and education, not to be handed on",
        files=(
            File(
                "val_256.tar",
                "https://data.csail.mit.edu/places/places365/val_256.tar",
                md5="e27b17d8d44f4af9a78502beb927f808",
                size=525_158_400,
                images=36_500,
                into="train",
                expects="val_256/*.jpg",
            ),
        ),
    ),
    CatalogEntry(
        "imagenet-prior",
        "color prior of ImageNet and its 313 ab bins, by the authors of the 2016 paper",
        "BSD-2-Clause",
        files=(
            File(
                "prior_probs.npy",
                f"{_AUTHORS}/prior_probs.npy",
                sha256="19d00659c7d6f6ee47456fd2c19c86a073f7124875e3d5ab9d601864e062b56c",
                size=2_584,
                saved="prior-imagenet.npy",
            ),
            File(
                "pts_in_hull.npy",
                f"{_AUTHORS}/pts_in_hull.npy",
                sha256="b5dec01315c34f43f1c8c089e84c45ae35d1838d8e77ed0e7ca930f79ffa450e",
                size=5_088,
            ),
        ),
        place="precalculated",
    ),
    _weights(
        "eccv16",
        2016,
        "colorization_release_v2-9b330a0b.pth",
        sha256="9b330a0bae53f4ded77b1e23defbf78beaa09c10ebc4c4999e8e4f4a160b93f9",
        size=128_976_165,
    ),
    _weights(
        "siggraph17",
        2017,
        "siggraph17-df00044c.pth",
        sha256="df00044c0a4d7c3edcecf6f75437ce346a66e7a42612d9b968e1a7e17dbc6f66",
        size=136_787_426,
    ),
)

CATALOG = {entry.name: entry for entry in _TABLE}
