"""Model cards and tables in Markdown, written from results and from nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from colorize import storage
from colorize.experiments.catalog import get_experiment
from colorize.experiments.presets import RECIPES
from colorize.report import findings
from colorize.report.tables import METRICS, Results, hardware, measured, spread, table

TERMS = {
    "tiny-imagenet": "Tiny ImageNet, from ImageNet: non-commercial research",
    "vehicles": "ImageNet: non-commercial research",
    "vehicles-final": "ImageNet: non-commercial research",
    "ncd": "Natural-Color Dataset, distributed by its authors for research",
    "stanford-dogs": "ImageNet: non-commercial research",
    "photos": "a mix of public research sets, for research",
    "bundled": "photographs inside scikit-image, matplotlib and scikit-learn, under their licences",
}
_COLUMNS = ("rmse_ab", "rmse_rgb", "psnr", "ssim", "colorfulness")
_LABEL_COLUMNS = ("top1", "top5")
_PRECISIONS = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}
_FIELD_COLUMNS = (
    *("auc", "auc_rebalanced", "colorfulness_error", "recognized", "recognized_own"),
    *("lpips", "fid"),
)


def metrics_table(results: Results) -> str:
    """One row a model, the truth and grey as bounds; all measured on the same images."""
    labelled = any(key in r["test"] for r in results.values() for key in _LABEL_COLUMNS)
    columns = _COLUMNS + (_LABEL_COLUMNS if labelled else ())

    def row(name: str, size: str, found: Mapping[str, Any]) -> list[str]:
        return [name, size, *(_cell(found, key) for key in columns)]

    rows = []
    for name, r in results.items():
        size = f"{r['parameters'] / 1e6:.1f} M"
        rows.append(row(name, size, r["test"]))
        last = row(f"{name}, last step", size, r["test_last"]) if r.get("test_last") else []
        # With a falling rate the last weights often are the best ones.
        if last and last[1:] != rows[-1][1:]:
            rows.append(last)
        rows += [row(f"{other}, beside it", "", own) for other, own in _beside(r).items()]
    some = next(iter(results.values()))
    rows.append(row("grey", "", some["grey"]))
    truth = ["truth", "", "0", "0", "∞", "1", spread(some["test"]["colorfulness_truth"])]
    rows.append([*truth, *("" for _ in columns[len(truth) - 2 :])])
    return table(["model", "parameters", *(METRICS[key].title for key in columns)], rows)


def field_table(results: Results) -> str:
    """The field's other metrics, one row a model, the truth and grey as bounds, and in a line below
    what could not be measured and why.

    Results without them, of an older version, are left out.
    """
    judged = {name: r for name, r in results.items() if "images" in r["test"]}
    if not judged:
        return "The field's other metrics have not been measured yet."
    some = next(iter(judged.values()))
    columns = [
        key
        for key in _FIELD_COLUMNS
        if any(measured(r["test"], key) is not None for r in judged.values())
    ]

    def row(name: str, found: Mapping[str, Any]) -> list[str]:
        return [name, *(_cell(found, key, plain=True) for key in columns)]

    truth = {
        "auc": {"value": 1.0},
        "auc_rebalanced": {"value": 1.0},
        "colorfulness_error": {"value": 0.0},
        "lpips": {"value": 0.0},
        "fid": {"value": 0.0},
    } | {
        key: some["test"][f"{key}_truth"]
        for key in ("recognized", "recognized_own")
        if f"{key}_truth" in some["test"]
    }
    rows = []
    for name, r in judged.items():
        rows.append(row(name, r["test"]))
        rows += [row(f"{other}, beside it", own) for other, own in _beside(r).items()]
    rows += [row("grey", some["grey"]), row("truth", truth)]
    missing = [
        f"{some['test'][key]['missing']}."
        if some["test"][key]["missing"].startswith(METRICS[key].title)
        else f"{METRICS[key].title}: {some['test'][key]['missing']}."
        for key in _FIELD_COLUMNS
        if "missing" in some["test"].get(key, {})
    ]
    below = f"\n\nNot measured here: {' '.join(missing)}" if missing else ""
    return table(["model", *(METRICS[key].title for key in columns)], rows) + below


def _beside(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The tests of other experiments on the same images, but those that could not be had."""
    return {name: own for name, own in result.get("beside", {}).items() if "missing" not in own}


def experiments_table(experiments: Results) -> str:
    """Name, what it changes, and the claim it tests; one row an experiment.

    Args:
        experiments: ``dataclasses.asdict`` of them, by name.
    """
    rows = []
    for name, e in experiments.items():
        prior = e["prior"] or "none"
        smoothing = f", smoothed over {e['smoothing']}" if e["smoothing"] else ""
        parent = e["baseline"] or ""
        rows.append([f"`{name}`", parent, f"{e['model']}; prior {prior}{smoothing}", e["claim"]])
    return table(["experiment", "differs from", "model and prior", "claim"], rows)


def results_section(results: Results) -> str:
    """Both tables of metrics for every test set, and the spread over the seeds.

    Empty where there are no results.
    """
    sets: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, result in results.items():
        if result["experiment"]["seed"] == 0:
            sets.setdefault(result["experiment"]["data"]["label"], {})[name] = result
    parts = [*map(measured_section, sets.values()), seeds_table(results)]
    return "\n\n".join(part for part in parts if part)


def measured_section(results: Results) -> str:
    """Both tables of metrics of models that were tested on the same images, and how."""
    return f"{metrics_table(results)}\n\n{field_table(results)}\n\n{protocol(results)}"


_SEED_COLUMNS = ("rmse_ab", "psnr", "ssim", "colorfulness", "auc_rebalanced", "recognized_own")


def seeds_table(results: Results) -> str:
    """Mean ± standard deviation over the seeds, of the experiments that have several."""
    rows = []
    for name in dict.fromkeys(r["experiment"]["name"] for r in results.values()):
        own = findings.runs_of(results, name)
        if len(own) > 1:
            cells = [_over_seeds(_seed_values(own, key), key) for key in _SEED_COLUMNS]
            rows.append([f"`{name}`", str(len(own)), *cells])
    if not rows:
        return ""
    titles = [METRICS[key].title for key in _SEED_COLUMNS]
    return table(["mean ± standard deviation over seeds", "seeds", *titles], rows)


def reproduction_table(results: Results, again: Results) -> str:
    """Runs that were made again elsewhere, by seed 0 of the same experiments, and how far they are
    from the mean of the seeds, in standard deviations between them.

    Args:
        again: their results, by any name. Experiments without several seeds are left out.
    """
    rows = []
    for name, result in again.items():
        own = findings.runs_of(results, result["experiment"]["name"])
        if len(own) > 1:
            rows.append([f"`{name}`", *(_against_seeds(own, result, key) for key in _SEED_COLUMNS)])
    titles = [METRICS[key].title for key in _SEED_COLUMNS]
    return table(["trained again (from the mean of the seeds)", *titles], rows) if rows else ""


def _seed_values(runs: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    values = [measured(run["test"], key) for run in runs]
    return [METRICS[key].scale * value for value in values if value is not None]


def _over_seeds(values: Sequence[float], key: str) -> str:
    if len(values) < 2:
        return ""
    digits = max(2, METRICS[key].digits)
    return f"{statistics.fmean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def _against_seeds(runs: Sequence[Mapping[str, Any]], result: Mapping[str, Any], key: str) -> str:
    values, found = _seed_values(runs, key), _seed_values([result], key)
    if len(values) < 2 or not found:
        return ""
    written = f"{found[0]:.{max(2, METRICS[key].digits)}f}"
    spread = statistics.stdev(values)
    return (
        f"{written} ({(found[0] - statistics.fmean(values)) / spread:+.1f} sd)"
        if spread
        else written
    )


def protocol(results: Results) -> str:
    """n, size, seed, precision and machine behind a table of results."""
    some = next(iter(results.values()))
    described = [r["experiment"] for r in results.values() if "experiment" in r]
    seeds = sorted({e["seed"] for e in described})
    crops = sorted({e["recipe"]["test_crop"] for e in described})
    precisions: dict[str, list[str]] = {}
    for name, r in results.items():
        precisions.setdefault(_PRECISIONS[r.get("precision", "no")], []).append(f"`{name}`")
    trained = (
        f"trained in {next(iter(precisions))}"
        if len(precisions) == 1
        else "; ".join(f"trained in {p}: {', '.join(names)}" for p, names in precisions.items())
    )
    parts = [
        f"n = {some['test']['n']} images",
        *([f"center crops of {', '.join(map(str, crops))} px"] if crops else []),
        *(
            [f"{some['data']['test']['grey_left_out']} grey ones left out"]
            if "data" in some
            else []
        ),
        "nothing compressed in between",
        "mean ± spread over the images",
        *([f"one run each, seed {', '.join(map(str, seeds))}, {trained}"] if seeds else []),
        hardware(some["machine"]),
    ]
    return f"{'; '.join(parts)}. From `CHECKPOINTS/*.json`."


def write_card(results: Mapping[str, Any], path: Path) -> Path:
    """Write a checkpoint's card: data and terms, recipe, numbers, limits."""
    with storage.atomic_write(path) as temporary:
        temporary.write_text(card(results), encoding="utf-8")
    return path


def card(results: Mapping[str, Any]) -> str:
    """The text of a checkpoint's card."""
    experiment, data, machine = results["experiment"], results["data"], results["machine"]
    recipe, spec = experiment["recipe"], experiment["data"]
    name = experiment["name"]
    sizes = ", ".join(f"{part} {found['images']:,}" for part, found in data.items())
    grey = sum(found["grey_left_out"] for found in data.values())
    gpu = machine["gpu"] or f"no GPU, {machine['cores']} cores"
    smoothing = f", smoothed over {experiment['smoothing']}" if experiment["smoothing"] else ""
    prior = f"{experiment['prior']}{smoothing}; λ = {experiment['lam']}"
    return (
        f"""# {name}

{experiment["claim"]}

- Model: `{experiment["model"]}`, options {_plain(experiment["options"])}, \
{results["parameters"]:,} parameters.
- Temperature: {_temperature(results)}.
- Data: {spec["name"]}, {len(spec["classes"]) or "all"} classes. Images: {sizes}; \
{grey} grey ones left out. Terms: {TERMS.get(spec["name"], "see its source")}.
- Prior of the rebalancing: {prior if experiment["prior"] else "none, all colors count alike"}.
- Recipe: {recipe["optimizer"]}, peak rate {recipe["lr"]:g}, {recipe["schedule"]} schedule, batch \
{recipe["batch_size"]}, crop {recipe["crop"]} px, {recipe["epochs"]:g} epochs; seed \
{experiment["seed"]}.
- Training: {results["images_seen"]:,} images in {results["seconds"] / 60:.1f} minutes \
({machine["platform"]}, {gpu}, torch {machine["torch"]}).
- Made by: `{_command(experiment)}`; numbers in the `.json` beside it.

## Test, n = {results["test"]["n"]}, mean ± spread over the images

{metrics_table({name: results})}

{field_table({name: results})}

## Limits

{get_experiment(name).limits or _limits(recipe, spec)} Colors are plausible, not true; one seed.

{findings.contents_table({name: results})}
""".rstrip()
        + "\n"
    )


def _temperature(results: Mapping[str, Any]) -> str:
    value = results.get("temperature")
    if value is None:
        return "none"
    experiment = results["experiment"]
    tempered = get_experiment(experiment["name"], experiment["scale"]).choose_temperature
    return f"{value:g}{', chosen on the validation images' if tempered else ''}"


def _limits(recipe: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    return (
        f"Trained on {recipe['crop']} px crops of {spec['name']} only: on other subjects it "
        "guesses, mostly towards the colors of its own."
    )


def _command(experiment: Mapping[str, Any]) -> str:
    name, scale, recipe = experiment["name"], experiment["scale"], experiment["recipe"]
    words = [f"python -m colorize train {name} --scale {scale} --seed {experiment['seed']}"]
    standard = get_experiment(name, scale)
    if recipe["epochs"] != standard.recipe.epochs:
        words.append(f"--epochs {recipe['epochs']:g}")
    if recipe["optimizer"] != standard.recipe.optimizer:
        words += [f"--recipe {n}" for n, r in RECIPES.items() if r.optimizer == recipe["optimizer"]]
    return " ".join(words)


def _cell(found: Mapping[str, Any], key: str, *, plain: bool = False) -> str:
    """Mean ± spread over the images; the mean alone of shares, and where ``plain``; nothing of what
    was not measured, as a classifier has no metrics of color."""
    metric = METRICS[key]
    if "mean" in found.get(key, {}) and metric.scale == 1 and not plain:
        return spread(found[key], max(2, metric.digits))
    value = measured(found, key)
    return "" if value is None else f"{metric.scale * value:.{metric.digits}f}"


def _plain(options: Mapping[str, Any]) -> str:
    # The temperature has a line of its own, and may be another one by now.
    shown = {key: value for key, value in options.items() if key != "temperature"}
    return ", ".join(f"{key} = {value}" for key, value in shown.items()) or "none"
