"""Median times and peak memory, measured in one way by all benchmarks."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Run = Callable[[], object]


def median_seconds(run: Run, repeats: int) -> float:
    """Time ``repeats`` calls after one to warm up; the median."""
    return alternating_medians({"run": run}, repeats)["run"]


def alternating_medians(runs: Mapping[str, Run], repeats: int) -> dict[str, float]:
    """Time several functions in turns, so that what slows the machine down slows all of them.

    Returns:
        The median seconds of each, of ``repeats`` calls after one to warm up.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def run_alone(script: str, *arguments: object) -> Any:
    """Run a script in a process of its own, as peak memory is that of a process; the JSON that it
    prints.
    """
    command = [sys.executable, script, *map(str, arguments)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(printed)


def processor_seconds(*arguments: str, repeats: int) -> float:
    """Processor time of a new process of this Python, after one to warm up; the median."""
    times = []
    for _ in range(repeats + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(times[1:])


def peak_gib() -> float:
    """The most memory that this process has used."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Linux counts what the parent had at the start into ru_maxrss, but not into this.
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    # Bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30
