"""The subjects and, for each scale, their images, recipe and width."""

from __future__ import annotations

from dataclasses import dataclass, replace

from colorize.data.spec import DataSpec
from colorize.training.config import Recipe


@dataclass(frozen=True)
class Setting:
    """A subject at one scale: its images, how long to train, and the width of the nets.

    Attributes:
        width: of the models; None for their own default, the paper's.
    """

    data: DataSpec
    recipe: Recipe
    width: float | None = None


SCALES = ("paper", "small", "quick")
PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
"""Of training, by the name in results and commands; Accelerate's word for each."""

VEHICLES = ("n06255081", "n02739889", "n03351262", "n02691156", "n02918964")
MORE_VEHICLES = ("n00449695", "n00449517", "n00449295", "n00451635", "n00451563")
TINY_VEHICLES = (
    *("n02814533", "n02917067", "n03100240", "n03393912", "n03444034"),
    *("n03447447", "n03599486", "n03662601", "n03670208", "n03796401"),
    *("n03977966", "n04146614", "n04285008", "n04465501", "n04487081"),
)
TINY_DOGS = ("n02085620", "n02094433", "n02099601", "n02099712", "n02106662", "n02113799")

# Zhang 2016 trained with Adam at these rates; study A kept them for its own data.
PAPER = Recipe(
    optimizer="adam",
    lr=3.16e-5,
    weight_decay=1e-3,
    schedule="constant",
    warmup=0,
    epochs=100,
    crop=176,
    test_crop=256,
    ema=0,
    init="default",
    clip=0,
)
FAST = Recipe(crop=64, test_crop=64, init="kaiming")
RECIPES = {"paper": PAPER, "fast": FAST}

# Iizuka 2016 trained with Adadelta on 224 px out of images reduced to 256; here the optimizer is
# one of the axes of the ablation.
_PAPER_B = replace(FAST, epochs=100, crop=224, test_crop=224, rotation=0.1)
_FAST_B = replace(FAST, rotation=0.1)
_QUICK = replace(FAST, epochs=10, batch_size=16, ema=0.98)
_BUNDLED = DataSpec("bundled", "bundled")
# The class of a patch is its photograph, so training and test take patches of the same ones.
_BUNDLED_CLASSES = DataSpec("bundled", "bundled-patches", split_by="patch", reseed=True)
_TINY = "tiny-imagenet"
_FINAL = VEHICLES + MORE_VEHICLES
# The decoder is new, the encoder is not: it keeps what it knows at a lower rate, and its first
# stages as they are, which saves a quarter of a step. Crops of many scales and aged lightness, for
# photographs are of all kinds.
_PHOTOS = Recipe(
    lr=2e-3,
    lr_scale={"encoder": 0.15},
    schedule="constant",
    warmup=0.05,
    epochs=5.5,
    crop=128,
    test_crop=160,
    ema=0.999,
    init="default",
    zoom=(0.5, 1.0),
    aging=0.5,
    neutral=0.07,
    frozen=("encoder.conv_stem", "encoder.bn1", "encoder.blocks.0", "encoder.blocks.1"),
)
# To compare losses: one size, and what only old prints need is left out.
_PHOTO_LOSSES = replace(_PHOTOS, test_crop=128, aging=0.0, neutral=0.0)
_PHOTO_PACKS = DataSpec(
    "photos", "photos", split_by="folders", sources=("photos-128.zip", "photos-160.zip")
)

SETTINGS: dict[str, dict[str, Setting]] = {
    "vehicles": {
        "paper": Setting(DataSpec("vehicles", "vehicles", VEHICLES), PAPER),
        "small": Setting(DataSpec(_TINY, "tiny-vehicles", TINY_VEHICLES), FAST, 0.5),
        "quick": Setting(_BUNDLED, _QUICK, 0.25),
    },
    # The share of a picture that a patch has is the paper's at every scale, or as near as the net's
    # grid of 8 pixels allows.
    "vehicles-patches": {
        "paper": Setting(DataSpec("vehicles", "vehicles", VEHICLES), PAPER),
        "small": Setting(
            DataSpec(_TINY, "tiny-vehicles", TINY_VEHICLES), replace(FAST, crop=48), 0.5
        ),
        "quick": Setting(_BUNDLED, replace(_QUICK, crop=48), 0.25),
    },
    # As many steps as "vehicles-final" has, on the classes of "vehicles": 6,491 training images in
    # place of 9,095 at small scale, and half of the classes at the paper's.
    "vehicles-longer": {
        "paper": Setting(
            DataSpec("vehicles", "vehicles", VEHICLES), replace(PAPER, epochs=2 * PAPER.epochs)
        ),
        "small": Setting(
            DataSpec(_TINY, "tiny-vehicles", TINY_VEHICLES), replace(FAST, epochs=42), 0.5
        ),
    },
    "vehicles-final": {
        "paper": Setting(DataSpec("vehicles-final", "vehicles-final", _FINAL), PAPER),
        "small": Setting(
            DataSpec(_TINY, "tiny-vehicles-dogs", TINY_VEHICLES + TINY_DOGS),
            replace(FAST, epochs=30),
            0.5,
        ),
        "quick": Setting(_BUNDLED, replace(_QUICK, epochs=15), 0.25),
    },
    "fruit": {
        "paper": Setting(DataSpec("ncd", "ncd", resize=256, reseed=True), _PAPER_B),
        "small": Setting(
            DataSpec("ncd", "ncd", resize=144, reseed=True),
            replace(_FAST_B, epochs=15, crop=128, test_crop=128),
            0.25,
        ),
        "quick": Setting(_BUNDLED_CLASSES, replace(_QUICK, epochs=3, rotation=0.1), 0.125),
    },
    # Seed k tests the k-th of five folds, so that every image is tested once.
    "fruit-folds": {
        "paper": Setting(
            DataSpec("ncd", "ncd-folds", resize=256, split_by="folds", reseed=True), _PAPER_B
        ),
        "small": Setting(
            DataSpec("ncd", "ncd-folds", resize=144, split_by="folds", reseed=True),
            replace(_FAST_B, epochs=60, crop=128, test_crop=128),
            0.25,
        ),
    },
    "fruit-final": {
        "paper": Setting(DataSpec("ncd", "ncd", resize=256), _PAPER_B),
        "small": Setting(
            DataSpec("ncd", "ncd", resize=144),
            replace(_FAST_B, epochs=40, crop=128, test_crop=128),
            0.5,
        ),
        "quick": Setting(
            DataSpec("bundled", "bundled-patches", split_by="patch"),
            replace(_QUICK, epochs=6, rotation=0.1),
            0.125,
        ),
    },
    "photos": {
        "paper": Setting(_PHOTO_PACKS, replace(_PHOTOS, epochs=25, crop=160, test_crop=224)),
        "small": Setting(_PHOTO_PACKS, _PHOTOS),
        "quick": Setting(
            _BUNDLED, replace(_PHOTOS, epochs=2, batch_size=16, crop=64, test_crop=64, ema=0.9)
        ),
    },
    # 40,000 crops for each loss.
    "photo-losses": {
        "small": Setting(_PHOTO_PACKS, replace(_PHOTO_LOSSES, epochs=40_000 / 38_281)),
        "quick": Setting(
            _BUNDLED,
            replace(_PHOTO_LOSSES, epochs=1, batch_size=16, crop=64, test_crop=64, ema=0.9),
        ),
    },
    # Ten breeds of ImageNet.
    "woof": {
        "small": Setting(
            DataSpec("imagewoof", "imagewoof", resize=144, reseed=True),
            replace(_FAST_B, epochs=8, crop=128, test_crop=128),
            0.25,
        ),
    },
    "dogs": {
        "paper": Setting(DataSpec("stanford-dogs", "dogs", resize=256, reseed=True), _PAPER_B),
        "small": Setting(
            DataSpec(_TINY, "tiny-dogs", TINY_DOGS, reseed=True), replace(_FAST_B, epochs=8), 0.25
        ),
    },
}
"""By subject, then by scale."""
