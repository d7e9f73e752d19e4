"""The sections of a README that programs write: the tables of the experiments, and the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from colorize import paths, storage
from colorize.errors import DataError
from colorize.evaluation.results import load_results
from colorize.experiments.photo_model import PHOTO
from colorize.experiments.study import run_study, run_study_a
from colorize.experiments.study_a import STUDY_A
from colorize.experiments.study_b import JOINT, SEEDS, STUDY_B, SUBJECTS
from colorize.report import ablation, answers
from colorize.report.cards import (
    experiments_table,
    measured_section,
    protocol,
    reproduction_table,
    results_section,
)
from colorize.report.tables import hardware, table

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


def write_sections(readme: Path) -> Path:
    """Write every section of a README that holds numbers or names of experiments again.

    The results are those in ``CHECKPOINTS``; measurements of speed lie in ``benchmarks``, beside
    the README.

    Raises:
        DataError: when the marks of a section are missing; nothing is written then.
    """
    text = readme.read_text(encoding="utf-8")
    sections = {**_study_sections(), **_speed_sections(readme.parent / "benchmarks")}
    for name, content in sections.items():
        text = replace_section(text, name, content)
    with storage.atomic_write(readme) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return readme


def _study_sections() -> dict[str, str]:
    study = run_study_a("small", train=False)
    both = run_study("small", train=False, experiments=STUDY_B, seeds=SEEDS)
    described = {name: asdict(study.experiments[name]) for name in STUDY_A}
    sections = {
        "experiments": experiments_table(described),
        "results": results_section(study.results) or "No experiment has been trained yet.",
        "study-a-answers": answers.answers(study.results),
        "study-b": ablation.readme_section(both.results, list(SUBJECTS)),
        "study-b-answers": ablation.answers(both.results, list(SUBJECTS), details=False),
    }
    again = _other_results("*-reproduced")
    if reproduced := reproduction_table(study.results, again):
        sections["reproduction"] = f"{reproduced}\n\n{protocol(again)}"
    for name, experiments in (("joint", JOINT), ("photo", PHOTO)):
        found = run_study("small", train=False, experiments=experiments).results
        # What was tried before, measured on the same images by "colorize evaluate".
        found |= _other_results(f"{name}-tried-*")
        if found:
            sections[name] = measured_section(found)
    return sections


def _other_results(pattern: str) -> dict[str, dict[str, Any]]:
    """Results that are of no experiment of the list, by the name of their file."""
    found = sorted((paths.checkpoints() / "ablation").glob(f"{pattern}.json"))
    return {path.stem: load_results(path) for path in found}


def _speed_sections(folder: Path) -> dict[str, str]:
    sections = {}
    measured = [folder / f"{name}.json" for name in ("photo", "full_size")]
    if all(path.is_file() for path in measured):
        sections["speed"] = speed_section(*(load_results(path) for path in measured))
    if (speed := folder / "speed.json").is_file():
        sections["training-speed"] = training_speed_section(load_results(speed))
    return sections


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


def training_speed_section(speed: Mapping[str, Any]) -> str:
    """What ``benchmarks/speed.py`` measured of training steps."""
    rows = [
        [
            f"`{step['model']}`",
            f"{step['width']:g}",
            f"{step['size']} px, batch {step['batch']}",
            f"{step['images_per_second']:.1f}",
            f"{100 * step['share_of_convolution_rate']:.0f} %",
        ]
        for step in speed["steps"]
    ]
    header = ["training steps", "width", "images", "images/s", "share of a convolution's rate"]
    return (
        f"{table(header, rows)}\n\n{hardware(speed['machine'])}, {speed['threads']} threads, "
        "float32. From `benchmarks/speed.json`."
    )
