"""Tables in Markdown, written from results and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from colorize.report.cells import (
    COMPARED_METRICS,
    ERROR_METRICS,
    FIELD_METRICS,
    LABEL_METRICS,
    METRICS,
    cell,
    interval,
    over_seeds,
    table,
    titles,
)
from colorize.report.statistics import (
    Results,
    decided,
    difference,
    group_by_experiment,
    mean_over_seeds,
    paired_difference,
    shared_training,
    value_of,
)

ABLATION_METRICS = (*LABEL_METRICS, "rmse_ab", "psnr", "colorfulness")
_LAST = ", last step"
_EARLY_STEPS = (10, 20, 30, 40, 50, 60, 80, 90, 100, 150, 200, 300)
_NULL = {"mean": "each image's own tint", "constant": "the best one color"}
# What the truth itself would get.
_TRUTH: dict[str, float | None] = {
    "psnr": None,
    **dict.fromkeys(("rmse_ab", "rmse_rgb", "colorfulness_error", "lpips", "fid"), 0.0),
    **dict.fromkeys(("ssim", "auc", "auc_rebalanced"), 1.0),
}


def metrics_table(results: Results) -> str:
    """One row a model, then what knows nothing and the truth; all of the same images, mean ± std
    over them.
    """
    labelled = any("top1" in result["test"] for result in results.values())
    metrics = ERROR_METRICS + (LABEL_METRICS if labelled else ())
    rows = []
    for name, test in _tests(results).items():
        size = f"{results[name]['parameters'] / 1e6:.1f} M" if name in results else ""
        rows.append([name, size, *(cell(test, metric) for metric in metrics)])
    return table(["model", "parameters", *titles(metrics)], rows)


def field_table(results: Results) -> str:
    """The field's other metrics, one row a model, then what knows nothing and the truth; below,
    what could not be measured.
    """
    first = next(iter(results.values()))
    metrics = [
        metric
        for metric in FIELD_METRICS
        if any(value_of(result["test"], metric) is not None for result in results.values())
    ]
    rows = [
        [name, *(cell(test, metric, spread=False) for metric in metrics)]
        for name, test in _tests(results).items()
        if not name.endswith(_LAST)
    ]
    text = table(["model", *titles(metrics)], rows)
    missing = [METRICS[m].title for m in FIELD_METRICS if "missing" in first["test"].get(m, {})]
    return f"{text}\n\nNot measured: {', '.join(missing)}." if missing else text


def baselines_table(results: Results) -> str:
    """One row an experiment: its rebalanced AuC, that of its own answers given to other images, and
    the gain, which is the evidence that it knows something; then how much larger that is than the
    gain of its baseline on the same images. The 95 % intervals are as of ``difference``.

    Runs of which this was not measured are left out.
    """
    metric = "auc_rebalanced"
    measured: dict[str, Any] = {}
    for run, result in results.items():
        test, others = result["test"], result["baselines"].get("shuffled")
        if others and metric in others["images"]:
            gain = np.subtract(test["images"][metric], others["images"][metric])
            images = {**test["images"], "gain": gain.tolist()}
            test = {**test, "images": images, "gain": {"mean": float(gain.mean())}}
            measured[run] = {**result, "test": test}
    rows = []
    for name, runs in group_by_experiment(measured).items():
        baseline = runs[0]["experiment"]["baseline"]
        more = difference(measured, name, baseline, "gain") if baseline else None
        rows.append(
            [
                name,
                str(len(runs)),
                over_seeds([run["test"] for run in runs], metric),
                over_seeds([run["baselines"]["shuffled"] for run in runs], metric),
                interval(mean_over_seeds(measured, name, "gain"), metric),
                interval(more, metric),
            ]
        )
    title = METRICS[metric].title
    shuffled = f"{title}, its answers shuffled"
    header = ["experiment", "seeds", title, shuffled, "gain", "more than the baseline's"]
    return table(header, rows)


def seeds_table(
    results: Results, metrics: Sequence[str] = COMPARED_METRICS, classes: int | None = None
) -> str:
    """One row an experiment, then grey: mean ± standard deviation over its seeds.

    Args:
        classes: how many there are, for the level of chance; None where nothing is classified.
    """
    groups = group_by_experiment(results)
    rows = [
        [name, str(len(runs)), *(over_seeds([run["test"] for run in runs], m) for m in metrics)]
        for name, runs in groups.items()
    ]
    longest = max(groups.values(), key=len)
    grey = [over_seeds([run["grey"] for run in longest], metric) for metric in metrics]
    rows.append(["grey", str(len(longest)), *grey])
    if classes is not None:
        level = {"top1": 100 / classes, "top5": 100 * min(5, classes) / classes}
        chance = (f"{level[metric]:.1f}" if metric in level else "" for metric in metrics)
        rows.append([f"chance, {classes} classes", "", *chance])
    return table(["experiment", "seeds", *titles(metrics)], rows)


def differences_table(
    results: Results,
    metrics: Sequence[str] = COMPARED_METRICS,
    pairs: Iterable[tuple[str, str]] | None = None,
    among: Iterable[tuple[str, str]] = (),
) -> str:
    """One row a pair: the difference of an experiment from a baseline, with the 95 % interval.

    Bold is what stands among all that is judged together, by Benjamini and Hochberg; "=" marks an
    interval within the margin of no difference. Pairs that are not both among the results are left
    out; a sentence says so where that is all of them.

    Args:
        pairs: experiment and baseline; None for each experiment with its own.
        among: further pairs that are judged together with these and shown elsewhere.
    """
    shown = own_pairs(results) if pairs is None else list(pairs)
    changes = {
        (pair, metric): change
        for pair in dict.fromkeys((*shown, *among))
        for metric in metrics
        if (change := difference(results, *pair, metric)) is not None
    }
    p_values = [change.p for change in changes.values()]
    stands = dict(zip(changes, decided(p_values), strict=True))
    strictly = dict(zip(changes, decided(p_values, "by"), strict=True))

    def marked(pair: tuple[str, str], metric: str) -> str:
        change = changes.get((pair, metric))
        if change is None:
            return ""
        text = interval(change, metric)
        if stands[pair, metric]:
            text = f"**{text}**"
        measure = METRICS[metric]
        reach = measure.factor * max(-change.low, change.high)
        return f"{text} =" if reach <= measure.margin else text

    known = [key for key in changes if key[0] in shown]
    rows = [
        [*pair, *(marked(pair, metric) for metric in metrics)]
        for pair in shown
        if any((pair, metric) in changes for metric in metrics)
    ]
    if not rows:
        return "No experiment here has its baseline among the results."
    text = table(["experiment", "baseline", *titles(metrics)], rows)
    together = f", judged among {len(changes)} together" if len(changes) > len(known) else ""
    return (
        f"{text}\n\n{sum(stands[key] for key in known)} of {len(known)} differences stand by "
        f"Benjamini and Hochberg at 5 % (bold){together}; by Benjamini and Yekutieli, "
        f"{sum(strictly[key] for key in known)}."
    )


def own_pairs(results: Results) -> list[tuple[str, str]]:
    """Each experiment with its own baseline, where it has one."""
    baselines = {n: r[0]["experiment"]["baseline"] for n, r in group_by_experiment(results).items()}
    return [(name, baseline) for name, baseline in baselines.items() if baseline is not None]


def early_table(results: Results) -> str:
    """Colorfulness on the validation images in the first steps and after the last one, before and
    after the weights are averaged; then the truth.

    Runs whose first steps were not validated (``early_steps``) are left out.
    """
    rows, truth = [], ""
    for name, result in results.items():
        end = result["curve"][-1]
        points = {point["step"]: point for point in result["curve"]}
        if "raw_colorfulness" in points.get(_EARLY_STEPS[0], {}):
            truth = f"{end['colorfulness_truth']:.1f}"
            for weights, key in (("raw", "raw_colorfulness"), ("averaged", "colorfulness")):
                values = [points.get(step, {}).get(key) for step in _EARLY_STEPS] + [end.get(key)]
                cells = ["" if value is None else f"{value:.1f}" for value in values]
                rows.append([name, weights, *cells])
    rows.append(["truth", "", *[""] * len(_EARLY_STEPS), truth])
    return table(["model", "weights", *(f"step {step}" for step in _EARLY_STEPS), "end"], rows)


def ablation_tables(
    results: Results, classes: int, pairs: Sequence[Sequence[tuple[str, str]]] = ()
) -> str:
    """All tables of one subject of study B: the means over the seeds with their protocol, the
    differences from the baselines, and what each classifier makes of other colors.

    Args:
        classes: as of ``seeds_table``.
        pairs: as of ``differences_table``, one more table each; all are judged together.
    """
    compared = (own_pairs(results), *pairs)
    judged = list(chain.from_iterable(compared))
    seen = [n for n, runs in group_by_experiment(results).items() if runs[0]["inputs"]]
    return "\n\n".join(
        (
            seeds_table(results, ABLATION_METRICS, classes),
            protocol(results),
            *(differences_table(results, ABLATION_METRICS, each, judged) for each in compared),
            *(inputs_table(results, name) for name in seen),
        )
    )


def inputs_table(results: Results, name: str) -> str:
    """What a classifier that was trained on true color makes of other colors, and beside it the one
    that was trained on grey, its baseline; a sentence where not all seeds of that are trained.

    Args:
        name: of the experiment.

    Raises:
        KeyError: when it was not trained.
    """
    groups = group_by_experiment(results)
    runs = groups[name]
    baseline = runs[0]["experiment"]["baseline"]
    if len(groups.get(baseline, [])) != len(runs):
        return f"`{name}` has no table: train `{baseline}` with the same {len(runs)} seeds."
    on_grey = [run["test"] for run in groups[baseline]]

    def against(tests: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> str:
        pairs = zip(tests, others, strict=True)
        changes = [test["top1"]["mean"] - other["top1"]["mean"] for test, other in pairs]
        return interval(paired_difference(changes, shared_training(runs)), "top1")

    rows = [[f"grey, and was trained on it ({baseline})", *_labels_over_seeds(on_grey), "", ""]]
    tests_of = {"true color": [run["test"] for run in runs]}
    for kind in runs[0]["inputs"]:
        seen = "grey" if kind == "grey" else f"colored by {kind}"
        tests_of[seen] = [run["inputs"][kind] for run in runs]
    for seen, tests in tests_of.items():
        against_grey = "" if seen == "grey" else against(tests, tests_of["grey"])
        cells = [*_labels_over_seeds(tests), against_grey, against(tests, on_grey)]
        rows.append([seen, *cells])
    header = ["top-1 [%] against grey", "top-1 [%] against the one trained on grey"]
    return table(["the classifier sees", *titles(LABEL_METRICS), *header], rows)


def experiments_table(experiments: Mapping[str, Mapping[str, Any]], results: Results) -> str:
    """One row an experiment: what it is, its baseline, the claim that it tests, and how far it is.

    Args:
        experiments: the fields of each (``dataclasses.asdict``) by name.
        results: by the name of the run.
    """
    rows = []
    for name, experiment in experiments.items():
        cells = [experiment["baseline"] or "", f"{experiment['model']}; prior {prior(experiment)}"]
        rows.append([f"`{name}`", *cells, experiment["claim"], _state(results.get(name))])
    return table(["experiment", "baseline", "model and prior", "claim", "trained"], rows)


def protocol(results: Results, images: str | None = None, others: Results | None = None) -> str:
    """One line below a table: n, size, seeds, precision, weights and machine.

    Args:
        images: what was made of the images, where no run says so.
        others: the runs of nets that were tested on the same images and have a row in the table.
    """
    first = next(iter(results.values()))
    parts = [f"n = {_listed(result['test']['n'] for result in results.values())} images"]
    parts += [images] if images else []
    runs = {name: result for name, result in results.items() if "experiment" in result}
    if runs:
        experiments = [run["experiment"] for run in runs.values()]
        grey = (run["data"]["test"]["grey_left_out"] for run in runs.values())
        nets = {**runs, **(others or {})}
        parts += [
            f"center crops of {_listed(e['recipe']['test_crop'] for e in experiments)} px",
            f"{_listed(grey)} grey ones left out",
            f"seed {_listed(e['seed'] for e in experiments)}",
            f"trained in {_names_by(nets, lambda run: run['precision'])}",
            f"weights: {_names_by(nets, lambda run: run['experiment']['tested'])}",
        ]
    return f"{'; '.join([*parts, hardware(first['machine'])])}."


def prior(experiment: Mapping[str, Any]) -> str:
    """Name and smoothing of the prior of an experiment; "none" where it has none."""
    if not experiment["smoothing"]:
        return experiment["prior"] or "none"
    sigma = f"(σ {experiment['sigma']:g})"
    return f"{experiment['prior']}, smoothed over {experiment['smoothing']} {sigma}"


def hardware(machine: Mapping[str, Any]) -> str:
    """Platform, cores or GPU, and torch, of ``evaluation.results.machine``."""
    processor = machine["gpu"] or f"{machine['cores']} cores, no GPU"
    return f"{machine['platform']}, {processor}, torch {machine['torch']}"


def _names_by(runs: Results, property_of: Callable[[Mapping[str, Any]], str]) -> str:
    """A property that all runs share, or each of its values with the runs that have it."""
    names_of: dict[str, list[str]] = {}
    for name, run in runs.items():
        names_of.setdefault(property_of(run), []).append(name)
    if len(names_of) == 1:
        return next(iter(names_of))
    return ", ".join(f"{value} ({', '.join(names)})" for value, names in names_of.items())


def _state(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return "not trained yet"
    return f"{result['precision']}, weights {result['experiment']['tested']}"


def _labels_over_seeds(tests: Sequence[Mapping[str, Any]]) -> list[str]:
    return [over_seeds(tests, metric) for metric in LABEL_METRICS]


def _tests(results: Results) -> dict[str, Mapping[str, Any]]:
    """What the rows of a table show: the models by name, what knows nothing, and the truth."""
    tests: dict[str, Mapping[str, Any]] = {}
    for name, result in results.items():
        tests[name] = result["test"]
        last = result.get("test_last")
        # Where the last step was the best one, both are the same.
        if last and last["rmse_rgb"] != result["test"]["rmse_rgb"]:
            tests[f"{name}{_LAST}"] = last
        tests |= {
            f"{other}, same images": test
            for other, test in result.get("also_tested", {}).items()
            if "missing" not in test
        }
    first = next(iter(results.values()))
    known = [metric for metric in METRICS if f"{metric}_truth" in first["test"]]
    truth = {metric: {"value": value} for metric, value in _TRUTH.items()}
    truth |= {metric: first["test"][f"{metric}_truth"] for metric in known}
    # They do not depend on the model, so whichever has them has those of all.
    null = {
        f"{kind}, {_NULL[kind]}": test
        for result in results.values()
        for kind, test in result["baselines"].items()
        if kind in _NULL
    }
    return {**tests, "grey": first["grey"], **null, "truth": truth}


def _listed(values: Iterable[int]) -> str:
    return ", ".join(str(value) for value in sorted(set(values)))
