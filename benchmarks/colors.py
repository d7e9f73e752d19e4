"""How long the dominant colors of a data set take.

    python benchmarks/colors.py --data NCD.zip [--threads 2] [--output benchmarks/colors.json]

Nothing else should be running. The scan of the data set, which decodes every image once, is timed
for itself.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

from colorize.analysis.dominant import common_colors, dominant_colors
from colorize.data.dataset import ColorizationDataset
from colorize.evaluation.results import machine, save_results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("colors.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    start = time.perf_counter()
    dataset = ColorizationDataset(options.data, 64, grey="keep")
    scan = time.perf_counter() - start
    seconds = []
    for _ in range(options.repeats):
        start = time.perf_counter()
        found = common_colors(dominant_colors(dataset))
        seconds.append(time.perf_counter() - start)
    results = {
        "images": len(dataset),
        "colors": len(found.share),
        "scan_seconds": scan,
        "seconds": {"median": statistics.median(seconds), "all": seconds},
        "threads": options.threads,
        "machine": machine(),
    }
    save_results(results, options.output)
    print(f"{len(dataset)} images: scan {scan:.1f} s, colors {statistics.median(seconds):.1f} s")
    print(f"written: {options.output}")


if __name__ == "__main__":
    main()
