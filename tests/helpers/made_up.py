"""Made-up results of study A whose every number is known, and the cells of a Markdown table."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from colorize.evaluation.evaluate import SWEEP
from colorize.experiments.catalog import EXPERIMENTS

MACHINE = {"platform": "Linux x86_64", "cores": 2, "gpu": None, "torch": "2.9.1"}
COLORS = ("rmse_ab", "rmse_rgb", "psnr", "ssim", "colorfulness", "colorfulness_error", "auc")
JUDGED = (*COLORS, "recognized", "recognized_own")
CONTENTS = ("busyness", "colors", "green", "blue")
TRUTH = 35.0
WITHOUT = {
    "lpips": {"missing": "LPIPS needs the weights of AlexNet"},
    "fid": {"missing": "FID needs the package torch-fidelity"},
}


def values(key: int | str, n: int, low: float = 1, high: float = 30) -> list[float]:
    """n numbers that depend on the key alone."""
    seed = key if isinstance(key, int) else int.from_bytes(key.encode(), "big")
    return [float(x) for x in np.random.default_rng(seed).uniform(low, high, n)]


def measured(images: dict[str, list[float]], n: int, **more: Any) -> dict[str, Any]:
    """A test as ``evaluate`` gives it, from the values of single images."""
    found = {k: {"mean": float(np.mean(v)), "std": float(np.std(v))} for k, v in images.items()}
    truth = {"colorfulness_truth": {"mean": TRUTH, "std": 9.0}}
    return {"n": n, **found, **truth, **more, "images": images}


def point(temperature: float, name: str) -> dict[str, Any]:
    """One of a sweep: the colder, the more color and the more error."""
    own = values(name, 1)[0]
    return {
        "temperature": temperature,
        "rmse_ab": {"mean": 15 - 2 * temperature + own, "std": 1.0},
        "psnr": {"mean": 20 + temperature, "std": 1.0},
        "colorfulness": {"mean": 41 - 20 * temperature, "std": 1.0},
        "colorfulness_truth": {"mean": TRUTH, "std": 9.0},
        # Best in the middle.
        "auc_rebalanced": {"value": 0.6 - (temperature - 0.5) ** 2},
    }


def curve(points: int = 4, *, loss: float = 2.0) -> list[dict[str, Any]]:
    """A learning curve whose validation loss is least at the second point."""
    return [
        {
            "step": 100 * k,
            "images": 3200 * k,
            "seconds": 10.0 * k,
            "train_loss": loss / k,
            "val_loss": loss + 0.1 * (k - 2) ** 2,
            "rmse_ab": 12.0 + 0.25 * k,
            "colorfulness": 10.0 * k,
            "colorfulness_truth": TRUTH,
        }
        for k in range(1, points + 1)
    ]


def result(
    name: str,
    *,
    seed: int = 0,
    n: int = 40,
    digest: str = "a" * 64,
    rebalanced: float = 0.5,
    scale: str = "small",
    **images: list[float],
) -> dict[str, Any]:
    """A run's results; ``images`` are metrics of single images in place of the made-up ones."""
    experiment = dataclasses.replace(EXPERIMENTS[name].scaled(scale), seed=seed)
    found = {key: values(f"{name}{seed}{key}", n) for key in JUDGED}
    labels = len(experiment.data.classes) or 2
    found |= {key: values(key, n) for key in CONTENTS}
    found |= {"label": [float(i % labels) for i in range(n)], **images}
    own = {"auc_rebalanced": {"value": rebalanced}, **WITHOUT}
    truth = {
        f"{key}_truth": {"mean": 0.75, "std": 0.25} for key in ("recognized", "recognized_own")
    }
    grey = {key: values(f"grey{key}", n) for key in JUDGED}
    temperatures = () if name == "euclidean" else SWEEP
    part = {"grey_left_out": 7, "rejected": 0, "images_sha256": digest}
    return {
        "experiment": dataclasses.asdict(experiment),
        "steps": 400,
        "images_seen": 129280,
        "seconds": 1974.0,
        "precision": "no",
        "parameters": 3869529,
        "curve": curve(),
        "data": {
            "train": {**part, "images": 6491},
            "val": {**part, "images": 807},
            "test": {**part, "images": n},
        },
        "test": measured(found, n, **own, **truth),
        "test_last": None,
        "grey": measured(grey, n, auc_rebalanced={"value": 0.25}, **WITHOUT),
        "sweep": [point(t, name) for t in temperatures],
        "validation_sweep": [point(t, name) for t in temperatures],
        "machine": MACHINE,
    }


def study(*names: str, seeds: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
    """Results by the name of the run; ``seeds``: how many runs some experiments have."""
    found = {}
    for name in names:
        for seed in range((seeds or {}).get(name, 1)):
            run = name if seed == 0 else f"{name}-seed{seed}"
            found[run] = result(name, seed=seed, **more)
    return found


def pair(shift: float, noise: float, n: int = 40) -> dict[str, Any]:
    """Errors that differ much from picture to picture, and by ``shift`` between the models."""
    base = np.array(values("base", n, 5, 60))
    changes = shift + noise * np.array(values("noise", n, -1, 1))
    return {
        "simplified": result("simplified", n=n, rmse_ab=list(base + changes)),
        "rebalanced-ours": result("rebalanced-ours", n=n, rmse_ab=list(base)),
    }


def as_before(result: dict[str, Any]) -> dict[str, Any]:
    """The same run as an older version wrote it: nothing of single images and no judges."""
    new = {"images", "auc_rebalanced", "recognized", "recognized_own", "lpips", "fid", *CONTENTS}
    new |= {"label", "recognized_truth", "recognized_own_truth"}
    old = {k: v for k, v in result.items() if k not in ("validation_sweep", "precision")}
    fields = result["experiment"].items()
    old["experiment"] = {k: v for k, v in fields if k not in ("folder", "beside")}
    for part in ("test", "grey"):
        old[part] = {k: v for k, v in result[part].items() if k not in new}
    old["data"] = {
        part: {k: v for k, v in found.items() if k != "images_sha256"}
        for part, found in result["data"].items()
    }
    return old


def cells(table: str) -> list[list[str]]:
    """The rows of a Markdown table, each of as many cells as its header."""
    lines = table.splitlines()
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines), table
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    assert {len(row) for row in rows} == {len(rows[0])}, table
    assert set(rows[1]) == {"---"}
    return [rows[0], *rows[2:]]


def tables_in(text: str) -> list[list[list[str]]]:
    """Every table in a Markdown text, each standing between empty lines."""
    parts = text.split("\n\n")
    found = [cells(part) for part in parts if part.startswith("|")]
    assert sum(line.startswith("|") for line in text.splitlines()) == sum(
        len(table) + 1 for table in found
    )
    return found
