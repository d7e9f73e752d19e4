"""How fast training is on this machine, as shares of what the machine can do.

    python benchmarks/speed.py [--threads 2] [--output benchmarks/speed.json]

Everything is measured in one run; compare the ratios, not the seconds. Nothing else should be
running. The memory figure comes from a process of its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from timing import median_seconds, peak_gib, run_alone
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from colorize.color.bins import ABBins, published_bin_centers
from colorize.color.lab import rgb_to_lab
from colorize.data.bundled import bundled_photographs
from colorize.data.dataset import ColorizationDataset
from colorize.data.decode import decode_rgb
from colorize.evaluation.results import machine, save_results
from colorize.experiments.presets import FAST, PAPER
from colorize.models import ClassificationModel, Colorizer, EuclideanModel, SimplifiedModel
from colorize.training.optim import build_optimizer, initialise

NETS: dict[str, type[Colorizer]] = {
    "classification": ClassificationModel,
    "euclidean": EuclideanModel,
    "simplified": SimplifiedModel,
}
# Size, batch, width; the second is the small scale of study A.
SIZES = ((64, 32, 1.0), (64, 32, 0.5), (176, 4, 1.0))


def convolution_rate() -> float:
    """GFLOP/s of a 3x3 convolution 256 to 256 on 16x16, batch 16, forward and backward."""
    layer = torch.nn.Conv2d(256, 256, 3, padding=1).to(memory_format=torch.channels_last)
    x = torch.randn(16, 256, 16, 16).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    flops = count_flops(lambda: layer(x).sum().backward())
    return flops / median_seconds(lambda: layer(x).sum().backward(), 30) / 1e9


def count_flops(run: Callable[[], object]) -> int:
    """Floating point operations of the matrix products and convolutions in a call."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def make_step(
    net: Callable[..., Colorizer], size: int, batch: int, width: float = 1.0
) -> Callable[[], None]:
    """A whole training step on random images: colors, targets, net, backward, optimizer."""
    torch.manual_seed(0)
    model = net(width=width)
    initialise(model, FAST.init)
    model.to(memory_format=torch.channels_last).train()
    optimizer = build_optimizer(model, PAPER)
    rgb = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)

    def step() -> None:
        optimizer.zero_grad()
        model.loss({"rgb": rgb})["loss"].backward()
        optimizer.step()

    return step


def encoding_seconds(size: int, batch: int) -> float:
    """Seconds to encode the targets of one batch: 5 nearest bins at a quarter of the size."""
    bins = ABBins(published_bin_centers())
    rgb = torch.randint(0, 256, (batch, 3, size // 4, size // 4), dtype=torch.uint8)
    ab = rgb_to_lab(rgb)[:, 1:]
    return median_seconds(lambda: bins.encode(ab), 30)


def data_rates(folder: Path, count: int = 160) -> dict[str, float]:
    """Images/s from 481x321 JPEG files to batches of 176 px crops, decoded anew and from memory."""
    photographs = [decode_rgb(path, name) for name, path in bundled_photographs().items()]
    for i in range(count):
        picture = Image.fromarray(photographs[i % len(photographs)]).resize((481, 321))
        picture.rotate(i % 4).save(folder / f"{i}.jpg", quality=90)
    rates = {}
    for name, cache in (("decoded", False), ("cached", True)):
        dataset = ColorizationDataset(folder, 176, train=True, cache=cache, grey="keep")
        loader = DataLoader(dataset, 4)
        rates[name] = len(dataset) / median_seconds(partial(list, loader), 3)
    return rates


def measure() -> dict[str, Any]:
    """All figures."""
    memory = {name: run_alone(__file__, "--memory-of", name) for name in NETS}
    results: dict[str, Any] = {"peak_memory_gib": memory}
    rate = convolution_rate()
    results |= {"convolution_gflops": rate, "steps": []}
    with tempfile.TemporaryDirectory() as folder:
        results["jpeg_to_batch"] = data_rates(Path(folder))
    for size, batch, width in SIZES:
        encoding = encoding_seconds(size, batch)
        loading = batch / results["jpeg_to_batch"]["cached"] if size == 176 else None
        for name, net in NETS.items():
            step = make_step(net, size, batch, width)
            flops = count_flops(step)
            seconds = median_seconds(step, 5)
            results["steps"].append(
                {
                    "net": name,
                    "model": net.__name__,
                    "width": width,
                    "size": size,
                    "batch": batch,
                    "images_per_second": batch / seconds,
                    "share_of_convolution_rate": flops / seconds / 1e9 / rate,
                    "share_encoding": encoding / seconds,
                    "share_data": None if loading is None else loading / seconds,
                }
            )
    results["threads"] = torch.get_num_threads()
    results["machine"] = machine()
    return results


def show(results: dict[str, Any]) -> None:
    """Print the figures as a table."""
    print(f"3x3 convolution, forward and backward: {results['convolution_gflops']:.0f} GFLOP/s")
    print("net             size batch width  images/s  of conv. rate  encoding   data")
    for row in results["steps"]:
        share = row["share_data"]
        data = "" if share is None else f"{share:.2%}"
        print(
            f"{row['net']:15} {row['size']:4} {row['batch']:5} {row['width']:5g} "
            f"{row['images_per_second']:9.2f} "
            f"{row['share_of_convolution_rate']:14.0%} {row['share_encoding']:9.2%} {data:>7}"
        )
    rates = results["jpeg_to_batch"]
    print(f"JPEG to batch: {rates['decoded']:.0f} images/s, from memory {rates['cached']:.0f}")
    for name, gib in results["peak_memory_gib"].items():
        print(f"peak memory, 256 px, batch 8, {name}: {gib:.2f} GiB")


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--memory-of", choices=sorted(NETS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        make_step(NETS[options.memory_of], 256, 8)()
        print(json.dumps(peak_gib()))
        return
    results = measure()
    show(results)
    save_results(results, options.output)
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()
