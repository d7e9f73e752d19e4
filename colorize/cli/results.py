"""The command that collects all results: one CSV file, and the tables of docs/results.md."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colorize import paths
from colorize.errors import DataError
from colorize.experiments.catalog import get_experiment
from colorize.experiments.photo_losses import PHOTO_LOSS_PAIRS, PHOTO_LOSS_SEEDS, PHOTO_LOSSES
from colorize.experiments.presets import SCALES, TINY_DOGS, TINY_VEHICLES
from colorize.experiments.study_a import (
    FINALS,
    REPEATED,
    STUDY_A_ALL,
    STUDY_A_JUDGED,
    STUDY_A_PAIRS,
)
from colorize.experiments.study_b import (
    CLASSES,
    FOLD_SEEDS,
    JOINT,
    SEEDS,
    STUDY_B,
    STUDY_B_FOLDS,
    STUDY_B_WOOF,
    SUBJECTS,
    TASK_PAIRS,
)

if TYPE_CHECKING:
    from colorize.report.statistics import Results

# The net whose failures are shown.
_FAILING = "rebalanced-ours"
_BEGIN, _END = "<!-- table {} -->", "<!-- end {} -->"


def results(arguments: list[str]) -> int:
    argparse.ArgumentParser(
        prog="colorize results",
        description="Collect the results in CHECKPOINTS into results.csv, write its cards again, "
        "and the tables of docs/results.md where it is there.",
    ).parse_args(arguments)

    from colorize.evaluation.results import load_results
    from colorize.report.cards import write_card
    from colorize.report.csv_file import write_csv

    runs = _all_results(paths.checkpoints())
    if not runs:
        raise DataError(f"There are no results in {paths.checkpoints()}; train an experiment first")
    print(write_csv(runs, paths.checkpoints() / "results.csv"))
    for card in sorted(paths.checkpoints().rglob("*.md")):
        if card.with_suffix(".json").is_file():
            print(write_card(load_results(card.with_suffix(".json")), card))
    document = paths.home() / "docs" / "results.md"
    if document.is_file():
        needed = {_FAILING, *STUDY_B, *JOINT, *PHOTO_LOSSES, "photo"}
        missing = needed - runs.keys()
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
    from colorize.report import failures, temperature
    from colorize.report import tables as t

    def of(names: Iterable[str], seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
        """The runs of experiments in their order."""
        wanted = [get_experiment(name, "small", seed).run for seed in seeds for name in names]
        return {run: runs[run] for run in wanted if run in runs}

    every_seed = of(STUDY_A_ALL)
    once = of([name for name in STUDY_A_ALL if name not in FINALS], [0])
    finals = of(FINALS, [0])
    losses = of(PHOTO_LOSSES, PHOTO_LOSS_SEEDS)
    losses_once = of(PHOTO_LOSSES, [0])
    tables = {
        "experiments": t.experiments_table(
            {name: vars(e) for name, e in STUDY_A_ALL.items()}, runs
        ),
        "study-a": _measured(once, runs),
        "study-a-baselines": t.baselines_table(every_seed),
        "study-a-borders": temperature.borders_table({**once, **finals}),
        "study-a-temperature": temperature.temperatures_table(
            every_seed, [pair for pair in STUDY_A_JUDGED if pair[0] not in FINALS]
        ),
        "study-a-early": t.early_table(once),
        "study-a-final": _measured(finals, runs),
        "study-a-subjects": failures.subjects_table(
            finals, {"vehicles": TINY_VEHICLES, "dogs": TINY_DOGS}
        ),
        "study-a-seeds": t.seeds_table(of(REPEATED)),
        "study-a-failures": failures.failures_table(_FAILING, runs[_FAILING]),
        "study-a-classes": failures.classes_table(_FAILING, runs[_FAILING]),
        "joint": _measured(of(["joint-ncd"]), runs),
        "photo-failures": failures.failures_table("photo", runs["photo"]),
        "photo": _measured({"photo": runs["photo"]}, runs),
        "photo-baselines": t.baselines_table({"photo": runs["photo"]}),
        "photo-losses": _measured(losses_once, runs),
        "photo-losses-baselines": t.baselines_table(losses),
        "photo-losses-borders": temperature.borders_table(losses_once),
        "photo-losses-temperature": temperature.temperatures_table(losses, PHOTO_LOSS_PAIRS),
        "photo-losses-seeds": t.seeds_table(losses),
        "photo-losses-differences": t.differences_table(losses, pairs=PHOTO_LOSS_PAIRS),
        "study-b-fruit": _study_b("fruit", of(STUDY_B_FOLDS, FOLD_SEEDS), FOLD_SEEDS),
        "study-b-woof": _study_b("woof", of(STUDY_B_WOOF)),
    }
    for question, pairs in STUDY_A_PAIRS.items():
        text = t.differences_table(every_seed, pairs=pairs, among=STUDY_A_JUDGED)
        tables[f"study-a-{question}"] = text
    for subject in SUBJECTS:
        ablation = of([name for name in STUDY_B if name.startswith(subject)])
        tables[f"study-b-{subject}"] = _study_b(subject, ablation)
    return tables


def _study_b(subject: str, runs: Results, seeds: Sequence[int] = SEEDS) -> str:
    from colorize.report.tables import ablation_tables

    if not runs:
        return _not_trained(subject, seeds)
    return ablation_tables(runs, CLASSES["small"][subject], TASK_PAIRS.get(subject, ()))


def _not_trained(group: str, seeds: Sequence[int]) -> str:
    words = " ".join(map(str, seeds))
    return f"Not trained yet: `python -m colorize train {group} --seed {words}`."


def _measured(runs: Results, every: Results) -> str:
    """The tables of some models, with those of all runs that were tested on the same images."""
    from colorize.report.tables import field_table, metrics_table, protocol

    names = {name for run in runs.values() for name in run["also_tested"]}
    others = {name: run for name, run in every.items() if name in names}
    return "\n\n".join((metrics_table(runs), field_table(runs), protocol(runs, others=others)))
