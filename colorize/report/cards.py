"""The card of a checkpoint: model, data and terms, recipe, numbers, limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from colorize.report.statistics import Result
from colorize.report.tables import field_table, hardware, metrics_table, prior
from colorize.storage import atomic_write

TERMS = {
    "tiny-imagenet": "Tiny ImageNet, from ImageNet: non-commercial research",
    "vehicles": "ImageNet: non-commercial research",
    "vehicles-final": "ImageNet: non-commercial research",
    "ncd": "Natural-Color Dataset, distributed by its authors for research",
    "stanford-dogs": "ImageNet: non-commercial research",
    "photos": (
        "research only; the mix cannot be handed on. It is `photos-128` (natural scenes of Intel's "
        "set, Caltech-101, several sets of cats, dogs and pandas, flowers of five kinds, clothing) "
        "and `photos-160` (parts of SYSU-Scenes, Places365, AVA, Stanford Cars, PACS, VOC 2007, "
        "Flickr8k, ShanghaiTech, Clothing Co-Parsing and others); all are named with their own "
        "terms in [photo-sources.md](photo-sources.md)"
    ),
    "bundled": "photographs inside scikit-image, matplotlib and scikit-learn, under their licences",
}
# Of the training images of that mix: who trains on other photographs has other terms.
_PHOTOS = "dde69dad09c126fa8930188d77266ee60f86f98a696fdfd01c606d923cebf21a"
_CARD = """# {name}

Claim: {claim}

- Model: `{model}`, options {options}, {parameters:,} parameters. Temperature: {temperature}.
- Data: {data}, {classes} classes. Images: {sizes}; {grey} grey ones left out. Terms: {terms}.
- Prior of the rebalancing: {prior}.
- Recipe: {recipe}.
- Training: {images_seen:,} images in {minutes:.1f} minutes ({hardware}).
- Made by: `{command}`, with the images in `DATA` or `--data`; numbers in the `.json` beside it.

## Test of the {tested} weights, n = {n}, mean ± standard deviation over the images

{metrics}

{field_metrics}

## Limits

{limits} Colors are plausible, not true; one seed.
"""


def write_card(results: Result, path: Path) -> Path:
    """Write the card of a checkpoint from its results."""
    with atomic_write(path) as temporary:
        temporary.write_text(card(results), encoding="utf-8")
    return path


def card(results: Result) -> str:
    """The text of a checkpoint's card."""
    experiment, data = results["experiment"], results["data"]
    recipe, spec = experiment["recipe"], experiment["data"]
    named = {experiment["name"]: results}
    return _CARD.format(
        name=experiment["name"],
        claim=experiment["claim"],
        model=experiment["model"],
        options=_options(experiment["options"]),
        parameters=results["parameters"],
        temperature=_temperature(results),
        data=spec["name"],
        classes=len(spec["classes"]) or "all",
        sizes=", ".join(f"{part} {split['images']:,}" for part, split in data.items()),
        grey=sum(split["grey_left_out"] for split in data.values()),
        terms=_terms(spec["name"], data["train"]["content_sha256"]),
        prior=_prior(experiment),
        recipe=(
            f"{recipe['optimizer']}, peak rate {recipe['lr']:g}, {recipe['schedule']} schedule, "
            f"batch {recipe['batch_size']}, crop {recipe['crop']} px, {recipe['epochs']:g} epochs; "
            f"precision {results['precision']}; seed {experiment['seed']}"
        ),
        images_seen=results["images_seen"],
        minutes=results["seconds"] / 60,
        hardware=hardware(results["machine"]),
        command=results["command"],
        n=results["test"]["n"],
        tested=experiment["tested"],
        metrics=metrics_table(named),
        field_metrics=field_table(named),
        limits=experiment["limits"]
        or (
            f"Trained on {recipe['crop']} px crops of {spec['name']} only: on other subjects it "
            "guesses, mostly towards the colors of its own."
        ),
    )


def _terms(name: str, content_sha256: str) -> str:
    own = name == "photos" and content_sha256 != _PHOTOS
    return TERMS.get("" if own else name, "see the source of the images")


def _options(options: Mapping[str, Any]) -> str:
    # The temperature has words of its own, and may be another one by now.
    shown = {key: value for key, value in options.items() if key != "temperature"}
    return ", ".join(f"{key} = {value}" for key, value in shown.items()) or "none"


def _prior(experiment: Mapping[str, Any]) -> str:
    if not experiment["prior"]:
        return "none, all colors count alike"
    return f"{prior(experiment)}; λ = {experiment['lam']}"


def _temperature(results: Result) -> str:
    if results["temperature"] is None:
        return "none"
    chosen = results["experiment"]["choose_temperature"]
    return f"{results['temperature']:g}{', chosen on the validation images' if chosen else ''}"
