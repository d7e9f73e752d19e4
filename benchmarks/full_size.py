"""Coloring at full size: what guided upsampling gains, at which size to look, time and memory.

    python benchmarks/full_size.py [--data FOLDER_OR_ZIP] [--model photo] [--limit 60]
        [--threads 2] [--output benchmarks/full_size.json]

On photographs with known color, by default those that come with our dependencies:

* oracle: the true ab, averaged over cells of 4, 8 and 16 pixels, brought back to full size;
* model: what the model answers at its own size, brought to full size;
* look: the same for several sizes at which the net looks at the picture;
* sizes: how far the color of a picture moves when the file has another size.

Then seconds and peak memory of a picture of 12 megapixels, and peak memory of one of 100, each in a
process of its own. Nothing else should be running for that part; ``--no-time`` leaves it out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from timing import median_seconds, peak_gib, run_alone
from torch import Tensor

from colorize.color.lab import rgb_to_lab
from colorize.data.bundled import bundled_photographs
from colorize.data.dataset import ColorizationDataset
from colorize.data.decode import decode_rgb
from colorize.evaluation.examples import spread_indices
from colorize.evaluation.metrics import colorfulness, rmse_ab
from colorize.evaluation.results import machine, save_results
from colorize.models import Colorizer
from colorize.models.hub import load_model
from colorize.photo.colorize import colorize_image
from colorize.photo.upsampling import METHODS, make_upsampler

CELLS = (4, 8, 16)
LOOKS = (96, 128, 160, 192, 224, 256)
SIDES = (128, 192, 256)
TWELVE, HUNDRED = (3000, 4000), (8000, 12500)


def photographs(data: Path | None, side: int, limit: int) -> list[Tensor]:
    """(1, 3, side, side) or, of the bundled ones, (1, 3, H, W) with that short side; uint8."""
    if data is None:
        found = bundled_photographs().items()
        rgb = [decode_rgb(path, name, resize=side) for name, path in found]
        return [torch.from_numpy(image).movedim(-1, 0)[None] for image in rgb]
    dataset = ColorizationDataset(data, side, resize=side)
    return [dataset[i]["rgb"][None] for i in spread_indices(len(dataset), limit)]


def errors(ab: Tensor, lab: Tensor) -> dict[str, float]:
    """RMSE of ab over the picture, and where the tenth of it with the steepest lightness is."""
    L = F.pad(lab[:, :1], (1, 1, 1, 1), mode="replicate")
    down = L[..., 2:, 1:-1] - L[..., :-2, 1:-1]
    steep = down.square() + (L[..., 1:-1, 2:] - L[..., 1:-1, :-2]).square()
    # The quantile of more than 16 million values is not defined in torch.
    edge = steep >= np.quantile(steep.numpy(), 0.9)
    squared = (ab - lab[:, 1:]).square().mean(1, keepdim=True)
    return {"overall": float(rmse_ab(ab, lab[:, 1:])), "edges": float(squared[edge].mean().sqrt())}


def mean_of(rows: Iterable[dict[str, float]]) -> dict[str, float]:
    """Mean over the pictures of every figure."""
    kept = list(rows)
    return {name: statistics.fmean(row[name] for row in kept) for name in kept[0]}


def oracle(pictures: list[Tensor]) -> list[dict[str, Any]]:
    """Errors of the true color, reduced and brought back, for each cell and method."""
    results = []
    for cell in CELLS:
        for method in METHODS:
            rows = []
            for rgb in pictures:
                h, w = (n // cell * cell for n in rgb.shape[2:])
                lab = rgb_to_lab(rgb[:, :, :h, :w])
                coarse = F.avg_pool2d(lab, cell)
                upsampler = make_upsampler(method, coarse[:, 1:], coarse[:, :1], (h, w))
                rows.append(errors(upsampler.rows(lab[:, :1], 0), lab))
            results.append({"cell": cell, "method": method, **mean_of(rows)})
    return results


def colored(rgb: Tensor, model: Colorizer, **arguments: Any) -> Tensor:
    """The picture as the model colors it, (1, 3, H, W) uint8."""
    found = colorize_image(rgb[0].movedim(0, -1).numpy(), model, **arguments)
    return torch.from_numpy(found).movedim(-1, 0)[None]


def by_model(pictures: list[Tensor], model: Colorizer, **arguments: Any) -> dict[str, float]:
    """Errors of a model's color, and its colorfulness."""
    rows = []
    for rgb in pictures:
        found = colored(rgb, model, **arguments)
        error = errors(rgb_to_lab(found)[:, 1:], rgb_to_lab(rgb))
        rows.append({**error, "colorfulness": float(colorfulness(found))})
    return mean_of(rows)


def by_size(pictures: list[Tensor], model: Colorizer) -> list[dict[str, float]]:
    """How far ab moves, compared at the smallest size, when the file is smaller than it was."""
    results = []
    answers: dict[int, list[Tensor]] = {}
    for side in (*SIDES, 0):
        answers[side] = []
        for rgb in pictures:
            h, w = rgb.shape[2:]
            found = colored(_resized(rgb, *_scaled(h, w, side or min(h, w))), model)
            answers[side].append(_resized(found, *_scaled(h, w, min(SIDES))))
    spread = statistics.fmean(float(rgb_to_lab(a)[:, 1:].std()) for a in answers[0])
    for side in SIDES:
        moved = [
            float(rmse_ab(rgb_to_lab(one)[:, 1:], rgb_to_lab(full)[:, 1:]))
            for one, full in zip(answers[side], answers[0], strict=True)
        ]
        results.append(
            {"short_side": side, "rmse_to_full": statistics.fmean(moved), "spread": spread}
        )
    return results


def _scaled(height: int, width: int, side: int) -> tuple[int, int]:
    scale = side / min(height, width)
    return round(height * scale), round(width * scale)


def _resized(rgb: Tensor, height: int, width: int) -> Tensor:
    image = Image.fromarray(rgb[0].movedim(0, -1).numpy())
    resized = image.resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(resized)).movedim(-1, 0)[None]


def large_photograph(height: int, width: int) -> np.ndarray:
    """A bundled photograph, enlarged, with a camera's grain: (height, width, 3) uint8."""
    path = bundled_photographs()["china"]
    image = Image.fromarray(decode_rgb(path, "china")).resize((width, height))
    rgb = np.array(image)
    grain = np.random.default_rng(0).integers(-3, 4, (height, width, 1), dtype=np.int16)
    for rows in range(0, height, 500):
        band = slice(rows, rows + 500)
        rgb[band] = (rgb[band] + grain[band]).clip(0, 255)
    return rgb


def run_large(size: tuple[int, int], model: str, threads: int, repeats: int) -> dict[str, float]:
    """Seconds (median after one call to warm up) and peak memory of coloring an array."""
    with tempfile.TemporaryDirectory() as folder:
        # The child has only what anyone has who colors a picture, not what making it takes.
        file = Path(folder) / "picture.npy"
        np.save(file, large_photograph(*size))
        options = ("--model", model, "--threads", threads, "--repeats", repeats)
        measured = run_alone(__file__, "--child", file, *options)
    return {"megapixels": size[0] * size[1] / 1e6, **measured}


def child(file: Path, model: str, repeats: int) -> None:
    """Print seconds and peak memory of coloring an array, as JSON."""
    net, rgb = load_model(model), np.load(file)
    seconds = median_seconds(lambda: colorize_image(rgb, net), repeats)
    print(json.dumps({"seconds": seconds, "peak_gib": peak_gib()}))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    arguments = (options.data, options.side, options.limit)
    pictures, model = photographs(*arguments), load_model(options.model)
    results: dict[str, Any] = {
        "data": "bundled photographs" if options.data is None else options.data.name,
        "n": len(pictures),
        "short_side": options.side,
        "model": options.model,
        "oracle": oracle(pictures),
        "by_model": [{"method": m, **by_model(pictures, model, upsampling=m)} for m in METHODS],
        "look": [{"size": s, **by_model(pictures, model, size=s)} for s in LOOKS],
        "input_size": model.input_size,
        "colorfulness_truth": statistics.fmean(float(colorfulness(p)) for p in pictures),
        "sizes": by_size(pictures, model),
    }
    if options.time:
        results["large"] = [
            run_large(TWELVE, options.model, options.threads, 5),
            run_large(HUNDRED, options.model, options.threads, 1),
        ]
    return {**results, "threads": options.threads, "machine": machine()}


def show(results: dict[str, Any]) -> None:
    """Print the figures."""
    print(
        f"{results['n']} photographs, short side {results['short_side']}; ab RMSE overall / edges"
    )
    for row in results["oracle"]:
        print(f"true color, cells of {row['cell']:2} {_line(row)}")
    for row in results["by_model"]:
        print(f"{results['model']}: {_line(row)}")
    for row in results["look"]:
        print(f"look at {row['size']:3} {_line({'method': '', **row})}")
    print(f"colorfulness of the truth {results['colorfulness_truth']:.1f}")
    for row in results["sizes"]:
        print(
            f"file of {row['short_side']:3}: ab moves by {row['rmse_to_full']:.2f} "
            f"(its spread: {row['spread']:.2f})"
        )
    for row in results.get("large", []):
        print(
            f"{row['megapixels']:.0f} megapixels: {row['seconds']:.2f} s, "
            f"peak {row['peak_gib']:.2f} GiB"
        )


def _line(row: dict[str, Any]) -> str:
    color = f", colorfulness {row['colorfulness']:.1f}" if "colorfulness" in row else ""
    return f"{row['method']:9} {row['overall']:.3f} / {row['edges']:.3f}{color}"


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder or .zip of photographs")
    parser.add_argument("--side", type=int, default=384, help="short side (default: 384)")
    parser.add_argument("--limit", type=int, default=60, help="most photographs (default: 60)")
    parser.add_argument("--model", default="photo")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--no-time", dest="time", action="store_false")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--repeats", type=int, default=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child:
        child(options.child, options.model, options.repeats)
        return
    results = measure(options)
    show(results)
    save_results(results, options.output)
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()
