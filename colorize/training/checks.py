"""What a run is asked for, checked before its first step: all that would fail hours later."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import fields, replace
from inspect import signature
from pathlib import Path, PurePath
from typing import Any

import torch
from torch.utils.data import Subset

from colorize.checks import (
    require_choice,
    require_flag,
    require_non_negative,
    require_path,
    require_positive,
    require_share,
    require_whole,
)
from colorize.data.dataset import ImageDataset
from colorize.data.transforms import RandomCrop
from colorize.errors import ColorizeError, InputError
from colorize.evaluation.evaluate import evaluate, have_same_classes
from colorize.models import Colorizer, eval_mode
from colorize.models.checkpoint import SUFFIX, load_checkpoint, save_checkpoint
from colorize.training.config import FitOptions, Recipe
from colorize.training.images import PROBE, Images, KeyedImages, as_images, is_path, side
from colorize.training.optim import OPTIMIZERS, SCHEDULES

LAST = "-last"
"""What the name of the last weights ends in."""

OWN_METADATA = ("step", "steps", "validation", "recipe", "run", "curve", "best_by")
"""What a run itself writes into its checkpoints."""

_LARGEST_SEED = 2**43


def check_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe in plain numbers when every field has a sense."""
    if not isinstance(recipe, Recipe):
        raise InputError(f"recipe: expected a Recipe, got {type(recipe).__name__}")
    recipe = Recipe(**_plain_fields(recipe))
    require_choice(recipe.optimizer, "optimizer", OPTIMIZERS)
    require_choice(recipe.schedule, "schedule", SCHEDULES)
    if recipe.init != "default":
        raise InputError(
            f"init: fit takes a model as it is; expected 'default', got {recipe.init!r}; see "
            "colorize.training.optim.initialise"
        )
    for name in ("lr", "weight_decay", "clip", "rotation"):
        require_non_negative(getattr(recipe, name), name)
    for name in ("warmup", "aging", "neutral"):
        require_share(getattr(recipe, name), name)
    require_share(recipe.ema, "ema", closed=False)
    if not isinstance(recipe.betas, tuple) or len(recipe.betas) != 2:
        raise InputError(f"betas: expected two numbers, got {recipe.betas!r}")
    for beta in recipe.betas:
        require_share(beta, "betas", closed=False)
    require_positive(recipe.epochs, "epochs")
    require_whole(recipe.batch_size, "batch_size", 1)
    require_whole(recipe.crop, "crop", 0)
    require_whole(recipe.test_crop, "test_crop", 0)
    RandomCrop(1, recipe.rotation, recipe.zoom)
    if not isinstance(recipe.lr_scale, Mapping):
        raise InputError(f"lr_scale: expected factors by name, got {recipe.lr_scale!r}")
    for prefix, factor in recipe.lr_scale.items():
        require_non_negative(factor, f"lr_scale[{prefix!r}]")
    frozen = recipe.frozen if isinstance(recipe.frozen, tuple) else (None,)
    if not all(isinstance(p, str) for p in (*frozen, *recipe.lr_scale)):
        raise InputError(
            f"frozen, lr_scale: expected beginnings of names, got {recipe.frozen!r} and "
            f"{list(recipe.lr_scale)!r}"
        )
    return recipe


def check_options(options: FitOptions, recipe: Recipe) -> FitOptions:
    """Return the options in plain numbers when a run can be executed so."""
    if not isinstance(options, FitOptions):
        raise InputError(f"options: expected FitOptions, got {type(options).__name__}")
    options = FitOptions(**_plain_fields(options))
    require_whole(options.accumulate, "accumulate", 1)
    if recipe.batch_size % options.accumulate:
        raise InputError(
            f"accumulate: expected a divisor of the batch of {recipe.batch_size}, "
            f"got {options.accumulate}"
        )
    require_whole(options.save_every, "save_every", 1)
    require_whole(options.early_steps, "early_steps", 0)
    if options.workers is not None:
        require_whole(options.workers, "workers", 0)
    require_choice(options.mixed_precision, "mixed_precision", ("no", "fp16", "bf16"))
    if options.log_dir is not None:
        require_path(options.log_dir, "log_dir")
    return options


def check_seed(seed: int) -> int:
    """Return a seed that every generator takes."""
    seed = _plain(seed, "seed")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < _LARGEST_SEED:
        raise InputError(f"seed: expected a whole number from 0 to 2**43 - 1, got {seed!r}")
    return seed


def check_name(name: str) -> str:
    """Return the name of a run when its files can be called so."""
    if not isinstance(name, str) or not name or PurePath(name).name != name or "\0" in name:
        raise InputError(f"name: expected a file name without folder and ending, got {name!r}")
    if name.endswith((LAST, SUFFIX)) or name.startswith("."):
        raise InputError(
            f"name: expected one that neither ends in {LAST} (the last weights of another run) or "
            f"{SUFFIX} nor begins with a dot, got {name!r}"
        )
    return name


def check_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a checkpoint is to hold besides, when JSON can and nothing else is called so."""
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, Mapping):
        raise InputError(f"metadata: expected a dict, got {metadata!r:.80}")
    metadata = dict(metadata)
    taken = {*OWN_METADATA, *signature(save_checkpoint).parameters}
    if clash := sorted(taken & metadata.keys()):
        raise InputError(
            f"metadata: expected other names than {', '.join(clash)}, which fit writes itself"
        )
    if not all(isinstance(name, str) for name in metadata):
        raise InputError(f"metadata: expected names as keys, got {', '.join(map(repr, metadata))}")
    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"metadata: expected what JSON can hold, {error}") from error
    return metadata


def check_images(
    train_set: Images, val_set: Images, recipe: Recipe, model: Colorizer
) -> tuple[ImageDataset | KeyedImages, ImageDataset | KeyedImages, Recipe]:
    """Make data sets of what was given, and a recipe that says what they do."""
    same = is_path(train_set) and is_path(val_set) and train_set == val_set
    size, test_size = recipe.crop or model.input_size, recipe.test_crop or model.input_size
    train = as_images(train_set, "train_set", size, "train" if same else None)
    val = as_images(val_set, "val_set", test_size, "val" if same else None)
    for what, images in (("train_set", train), ("val_set", val)):
        if not have_same_classes(model, images):
            raise InputError(
                f"{what}: its classes are not those of the model (class_names), which would learn "
                "other meanings of them; take photos of those classes, or another model"
            )
    crop = train.random_crop if isinstance(train, ImageDataset) and train.train else RandomCrop(1)
    is_so: dict[str, Any] = {"crop": side(train), "test_crop": side(val), "rotation": crop.rotation}
    is_so["zoom"] = None if crop.zoom is None else tuple(crop.zoom)
    for name, value in is_so.items():
        asked = getattr(recipe, name)
        if asked and asked != value:
            raise InputError(
                f"{name}: the recipe says {asked}, and the images have {value or 'none'}; the data "
                f"set makes the crops: give it {name.removeprefix('test_')} when it is made, or "
                "leave it out of the recipe"
            )
    return train, val, replace(recipe, **is_so)


def check_model(model: Colorizer) -> None:
    """Try whether the weights that a run would save could be loaded again."""
    if not isinstance(model, Colorizer):
        raise InputError(
            f"model: expected a Colorizer (not compiled or wrapped), got {type(model).__name__}"
        )
    if any(p.dtype in (torch.float16, torch.bfloat16) for p in model.parameters()):
        raise InputError(
            "model: expected weights in float32, got half precision, whose steps round to nothing; "
            "FitOptions(mixed_precision=...) computes in it"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{SUFFIX}"
        try:
            save_checkpoint(model, path)
            load_checkpoint(path)
        except (ColorizeError, TypeError, ValueError, AttributeError) as error:
            reason = str(error).replace(str(path), "its checkpoint")
            raise InputError(f"model: its weights could not be loaded again: {reason}") from error


def check_first_step(
    model: Colorizer,
    train_set: ImageDataset | KeyedImages,
    val_set: ImageDataset | KeyedImages,
) -> None:
    """Try a loss on the first training image, and a validation, without changing anything."""
    items = [train_set[index, PROBE] for index in _telling(train_set)]
    batch = {name: torch.stack([i[name] for i in items]).to(model.device) for name in items[0]}
    validation = Subset(val_set, _telling(val_set))
    with eval_mode(model), torch.no_grad():
        _explained("train_set", lambda: model.loss(batch))
        _explained("val_set", lambda: evaluate(model, validation, with_loss=True))


def _telling(images: ImageDataset | KeyedImages) -> list[int]:
    """The first and the last image, and those of labels that a class branch may not have."""
    chosen = {0, len(images) - 1}
    if labels := getattr(images, "labels", None):
        chosen |= {labels.index(max(labels)), labels.index(min(labels))}
    return sorted(chosen)


def _explained(what: str, call: Any) -> None:
    try:
        call()
    except ColorizeError as error:
        raise InputError(f"{what}: the model cannot learn from it: {error}") from error


def _plain_fields(config: Recipe | FitOptions) -> dict[str, Any]:
    plain = {f.name: _plain(getattr(config, f.name), f.name) for f in fields(config)}
    for f in fields(config):
        if isinstance(f.default, bool):
            require_flag(plain[f.name], f.name)
    return plain


def _plain(value: Any, name: str) -> Any:
    """Numbers of numpy and torch as Python's, as JSON knows no others; lists as tuples."""
    if isinstance(value, list | tuple):
        return tuple(_plain(one, name) for one in value)
    if isinstance(value, Mapping):
        return {key: _plain(one, name) for key, one in value.items()}
    if hasattr(value, "item"):
        try:
            return value.item()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"{name}: expected one number, got {value!r}") from error
    return value
