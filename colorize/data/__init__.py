"""Images from folders, archives and the packages we depend on."""

from colorize.data.bundled import BUNDLED_SPLITS, bundled_dataset, bundled_photographs
from colorize.data.dataset import ColorizationDataset, Division, Split
from colorize.data.images import decode_rgb, is_grey
from colorize.data.items import ImageDataset
from colorize.data.sources import Rejected

__all__ = [
    "ColorizationDataset",
    "Division",
    "ImageDataset",
    "Rejected",
    "Split",
    "decode_rgb",
    "is_grey",
    "bundled_dataset",
    "bundled_photographs",
    "BUNDLED_SPLITS",
]
