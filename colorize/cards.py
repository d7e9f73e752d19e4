"""Model cards and tables in Markdown, written from results and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from colorize import paths
from colorize.errors import DataError
from colorize.experiments import RECIPES, get_experiment

TERMS = {
    "tiny-imagenet": "Tiny ImageNet, from ImageNet: non-commercial research",
    "vehicles": "ImageNet: non-commercial research",
    "vehicles-final": "ImageNet: non-commercial research",
    "ncd": "Natural-Color Dataset, distributed by its authors for research",
    "stanford-dogs": "ImageNet: non-commercial research",
    "photos": "a mix of public research sets, for research",
    "bundled": "photographs inside scikit-image, matplotlib and scikit-learn, under their licences",
}
COLUMNS = {
    "rmse_ab": "RMSE ab",
    "rmse_rgb": "RMSE RGB",
    "psnr": "PSNR [dB]",
    "ssim": "SSIM",
    "colorfulness": "colorfulness",
}
LABEL_COLUMNS = {"top1": "top-1 [%]", "top5": "top-5 [%]"}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(value: Mapping[str, float], digits: int = 2) -> str:
    """Mean and spread over the images; no mean (null in JSON) is that of equal images' PSNR."""
    if value["mean"] is None:
        return "∞"
    return f"{value['mean']:.{digits}f} ± {value['std']:.{digits}f}"


def metrics_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """One row a model, the truth and grey as bounds; all measured on the same images.

    Args:
        results: by name, as ``colorize.runner.run_experiment`` returns them.
    """
    labelled = any(key in r["test"] for r in results.values() for key in LABEL_COLUMNS)
    labels = LABEL_COLUMNS if labelled else {}

    def row(name: str, size: str, found: Mapping[str, Any]) -> list[str]:
        shares = [f"{100 * found[k]['mean']:.1f}" if k in found else "" for k in labels]
        return [name, size, *_metric_cells(found), *shares]

    rows = []
    for name, r in results.items():
        size = f"{r['parameters'] / 1e6:.1f} M"
        rows.append(row(name, size, r["test"]))
        if r.get("test_last"):
            rows.append(row(f"{name}, last step", size, r["test_last"]))
    some = next(iter(results.values()))
    rows.append(row("grey", "", some["grey"]))
    truth = ["truth", "", "0", "0", "∞", "1", spread(some["test"]["colorfulness_truth"])]
    rows.append([*truth, *("" for _ in labels)])
    return table(["model", "parameters", *COLUMNS.values(), *labels.values()], rows)


def experiments_table(experiments: Mapping[str, Mapping[str, Any]]) -> str:
    """Name, what it changes, and the claim it tests; one row an experiment.

    Args:
        experiments: ``dataclasses.asdict`` of them, by name.
    """
    rows = []
    for name, e in experiments.items():
        prior = e["prior"] or "none"
        smoothing = f", smoothed over {e['smoothing']}" if e["smoothing"] else ""
        parent = e["parent"] or ""
        rows.append([f"`{name}`", parent, f"{e['model']}; prior {prior}{smoothing}", e["claim"]])
    return table(["experiment", "differs from", "model and prior", "claim"], rows)


def findings_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Every trained experiment against its parent: what changed, and by how much on the test set.

    A difference below two standard errors of the two means is called undecided. It speaks of
    these images and this seed only.
    """
    rows = []
    for name, result in results.items():
        parent = result["experiment"]["parent"]
        if parent in results and _images(result) == _images(results[parent]):
            cells = [
                _difference(result["test"][key], results[parent]["test"][key], result["test"]["n"])
                for key in ("rmse_ab", "psnr", "colorfulness")
            ]
            rows.append([f"{name} against {parent}", *cells, result["experiment"]["claim"]])
    if not rows:
        return "No experiment and its parent have both been trained and tested on the same images."
    return table(["comparison", "Δ RMSE ab", "Δ PSNR [dB]", "Δ colorfulness", "claim"], rows)


def _images(result: Mapping[str, Any]) -> tuple[str, int]:
    """What makes two test sets of a scale the same: the set with its classes, and the count."""
    return result["experiment"]["data"]["label"], result["test"]["n"]


def _difference(ours: Mapping[str, float], theirs: Mapping[str, float], n: int) -> str:
    error = ((ours["std"] ** 2 + theirs["std"] ** 2) / n) ** 0.5
    change = ours["mean"] - theirs["mean"]
    verdict = "" if abs(change) >= 2 * error else ", undecided"
    return f"{change:+.2f} (± {error:.2f}{verdict})"


_BEGIN, _END = "<!-- {name}: written by colorize tables -->", "<!-- /{name} -->"


def replace_section(text: str, name: str, content: str) -> str:
    """Put ``content`` between the two comments that mark a section of a Markdown file.

    Raises:
        DataError: when the marks are missing.
    """
    begin, end = _BEGIN.format(name=name), _END.format(name=name)
    if text.count(begin) != 1 or text.count(end) != 1:
        raise DataError(f"expected the marks {begin} and {end} once each")
    before, rest = text.split(begin)
    return f"{before}{begin}\n{content}\n{end}{rest.split(end)[1]}"


def readme_sections(
    experiments: Mapping[str, Mapping[str, Any]], results: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """The sections of the README that hold numbers or names of experiments, by name."""
    sections = {"experiments": experiments_table(experiments)}
    if not results:
        sections["results"] = "No experiment has been trained yet."
        return sections
    sections["results"] = f"{metrics_table(results)}\n\n{protocol(results)}"
    return sections


def protocol(results: Mapping[str, Mapping[str, Any]]) -> str:
    """n, seed and machine behind a table of results."""
    some = next(iter(results.values()))
    seeds = sorted({r["experiment"]["seed"] for r in results.values() if "experiment" in r})
    seeded = f" one run each, seed {', '.join(map(str, seeds))};" if seeds else ""
    return (
        f"n = {some['test']['n']} images; mean ± spread over the images;{seeded} "
        f"{hardware(some['machine'])}. From `CHECKPOINTS/*.json`."
    )


def speed_section(photo: Mapping[str, Any], full_size: Mapping[str, Any]) -> str:
    """What ``benchmarks/photo.py`` and ``benchmarks/full_size.py`` measured."""
    rows = [
        [f"`{name}`", *(f"{found[key]:.0f}" for key in ("torch", "folded", "onnx"))]
        for name, found in photo["photos"].items()
    ]
    header = ["ms a photo at 256 px", "torch", "batch norm folded, channels last", "ONNX Runtime"]
    large = "; ".join(
        f"{found['megapixels']:.0f} megapixels: {found['seconds']:.1f} s, "
        f"peak memory {found['peak_gib']:.2f} GiB"
        for found in full_size["large"]
    )
    gains = {(found["method"], found["cell"]): found["overall"] for found in full_size["oracle"]}
    cells = sorted({cell for _, cell in gains})
    upsampling = ", ".join(
        f"{gains['bilateral', cell]:.2f} against {gains['bilinear', cell]:.2f} for cells of "
        f"{cell} px"
        for cell in cells
    )
    return (
        f"{table(header, rows)}\n\n`{full_size['model']}` on {large}. True color averaged over "
        f"cells and brought back along the edges of lightness, against bilinear, in RMSE ab on "
        f"{full_size['n']} photographs ({full_size['data']}): {upsampling}. "
        f"{hardware(photo['machine'])}, {photo['threads']} threads. From `benchmarks/*.json`."
    )


def hardware(machine: Mapping[str, Any]) -> str:
    """Platform, cores or GPU, and torch of ``colorize.evaluation.machine``."""
    processor = machine["gpu"] or f"{machine['cores']} cores, no GPU"
    return f"{machine['platform']}, {processor}, torch {machine['torch']}"


def write_card(results: Mapping[str, Any], path: Path) -> Path:
    """Write a checkpoint's card: data and terms, recipe, numbers, limits."""
    with paths.replacing(path) as temporary:
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
    return f"""# {name}

{experiment["claim"]}

- Model: `{experiment["model"]}`, options {_plain(experiment["options"])}, \
{results["parameters"]:,} parameters.
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

## Limits

Trained on {recipe["crop"]} px crops of {spec["name"]} only: on other subjects it guesses, mostly \
towards the colors of its own. Colors are plausible, not true; one seed.
"""


def _command(experiment: Mapping[str, Any]) -> str:
    name, scale, recipe = experiment["name"], experiment["scale"], experiment["recipe"]
    words = [f"python -m colorize train {name} --scale {scale} --seed {experiment['seed']}"]
    standard = get_experiment(name, scale)
    if recipe["epochs"] != standard.recipe.epochs:
        words.append(f"--epochs {recipe['epochs']:g}")
    if recipe["optimizer"] != standard.recipe.optimizer:
        words += [f"--recipe {n}" for n, r in RECIPES.items() if r.optimizer == recipe["optimizer"]]
    return " ".join(words)


def _metric_cells(found: Mapping[str, Any]) -> list[str]:
    # A classifier has no metrics of color.
    return [spread(found[k], 3 if k == "ssim" else 2) if k in found else "" for k in COLUMNS]


def _plain(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in options.items()) or "none"
