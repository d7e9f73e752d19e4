"""The command that collects all results: one CSV file, and the tables of docs/results.md."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colorize import paths
from colorize.errors import DataError
from colorize.experiments.catalog import EXPERIMENTS, get_experiment
from colorize.experiments.photo_model import PHOTO
from colorize.experiments.presets import SCALES
from colorize.experiments.study_a import REPEATED, STUDY_A, STUDY_A_VARIANTS
from colorize.experiments.study_b import JOINT, SEEDS, STUDY_B, SUBJECTS

if TYPE_CHECKING:
    from colorize.report.statistics import Results

# No experiments of the list: a run made again, and what was tried before.
_MEASURED_BESIDE = ("simplified-reproduced", "photo-tried-lambda-0.8")
_BEGIN, _END = "<!-- table {} -->", "<!-- end {} -->"


def results(arguments: list[str]) -> int:
    argparse.ArgumentParser(
        prog="colorize results",
        description="Collect the results in CHECKPOINTS into results.csv, and write the tables of "
        "docs/results.md again where it is there.",
    ).parse_args(arguments)

    from colorize.report.csv_file import write_csv

    runs = _all_results(paths.checkpoints())
    if not runs:
        raise DataError(f"There are no results in {paths.checkpoints()}; train an experiment first")
    print(write_csv(runs, paths.checkpoints() / "results.csv"))
    document = paths.home() / "docs" / "results.md"
    if document.is_file():
        missing = {*STUDY_A, *STUDY_B, *JOINT, *PHOTO, *_MEASURED_BESIDE} - runs.keys()
        if missing:
            raise DataError(f"{document} needs the results of {', '.join(sorted(missing))}")
        print(write_tables(document, _tables(runs)))
    return 0


def write_tables(document: Path, tables: Mapping[str, str]) -> Path:
    """Put every table between its two marks; what is written around them stays as it is."""
    from colorize.storage import atomic_write

    text = document.read_text(encoding="utf-8")
    for name, content in tables.items():
        begin, end = _BEGIN.format(name), _END.format(name)
        if text.count(begin) != 1 or text.count(end) != 1:
            raise DataError(f"{document}: expected the marks {begin} and {end} once each")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{content}\n{end}{rest.split(end)[1]}"
    with atomic_write(document) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return document


def _all_results(folder: Path) -> dict[str, Any]:
    """Results by the name of the run; those of another scale than "small" have it in front."""
    from colorize.evaluation.results import load_results

    results = {}
    for path in sorted(folder.rglob("*.json")):
        scale = path.relative_to(folder).parts[0]
        name = f"{scale}/{path.stem}" if scale in SCALES else path.stem
        results[name] = load_results(path)
    return results


def _tables(runs: Results) -> dict[str, str]:
    """The tables of the document by name, of the runs at small scale."""
    from colorize.report import failures
    from colorize.report import tables as t

    def of(names: Iterable[str], seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
        """The runs of experiments in their order; not those that were made again."""
        wanted = [get_experiment(name, "small", seed).run for seed in seeds for name in names]
        return {run: runs[run] for run in wanted if run in runs}

    once = [name for name in (*STUDY_A, *STUDY_A_VARIANTS) if not name.endswith("-final")]
    final = [name for name in STUDY_A if name.endswith("-final")]
    study_a = of((*STUDY_A, *STUDY_A_VARIANTS))
    main, (again, tried) = "rebalanced-ours", _MEASURED_BESIDE
    tables = {
        "experiments": t.experiments_table({name: vars(EXPERIMENTS[name]) for name in STUDY_A}),
        "study-a": _measured(of(once, [0])),
        "study-a-final": _measured(of(final, [0])),
        "study-a-seeds": t.seeds_table(of(REPEATED)),
        "study-a-differences": t.differences_table(study_a),
        "study-a-failures": failures.failures_table(main, runs[main]),
        "study-a-classes": failures.classes_table(main, runs[main]),
        "reproduction": t.metrics_table({name: runs[name] for name in ("simplified", again)}),
        "joint": _measured(of(["joint-ncd"])),
        "photo-failures": failures.failures_table("photo", runs["photo"]),
        "photo": _measured({name: runs[name] for name in ("photo", tried)}),
    }
    for prefix in SUBJECTS:
        ablation = of([name for name in STUDY_B if name.startswith(prefix)])
        tables[f"study-b-{prefix}"] = "\n\n".join(
            (
                t.seeds_table(ablation, t.ABLATION_METRICS),
                t.protocol(ablation),
                t.differences_table(ablation, t.ABLATION_METRICS),
                t.inputs_table(ablation, f"{prefix}-class-true"),
            )
        )
    return tables


def _measured(runs: Results) -> str:
    from colorize.report.tables import field_table, metrics_table, protocol

    return "\n\n".join((metrics_table(runs), field_table(runs), protocol(runs)))
