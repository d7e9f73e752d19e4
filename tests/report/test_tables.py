"""Tables and cards: every number in them is one of the results."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest

from colorize import paths
from colorize.evaluation.results import load_results
from colorize.experiments.catalog import EXPERIMENTS
from colorize.experiments.presets import TINY_DOGS, TINY_VEHICLES
from colorize.report import cards, cells, failures, temperature
from colorize.report import tables as t

Results = dict[str, dict[str, Any]]


def _rows(table: str) -> dict[str, dict[str, str]]:
    """First cell of a row -> its cells by the title of their column."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    header, _, *rows = ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)
    assert all(len(row) == len(header) for row in rows)
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def _number(cell: str) -> float:
    return float(cell.split()[0])


def test_metrics_are_those_of_the_results(study_a: Results) -> None:
    rows = _rows(t.metrics_table(study_a))
    field = _rows(t.field_table(study_a))
    assert rows.keys() > {*study_a, "grey", "truth"}
    for name, result in study_a.items():
        for key in cells.ERROR_METRICS:
            cell, digits = rows[name][cells.METRICS[key].title], cells.METRICS[key].digits
            assert _number(cell) == pytest.approx(result["test"][key]["mean"], abs=10**-digits)
            std = result["test"][key]["std"]
            assert float(cell.split("±")[1]) == pytest.approx(std, abs=10**-digits)
        share = 100 * result["test"]["auc_rebalanced"]["value"]
        assert _number(field[name]["AuC, rebalanced [%]"]) == pytest.approx(share, abs=0.1)
    grey = study_a["euclidean"]["grey"]["rmse_ab"]["mean"]
    assert _number(rows["grey"]["RMSE ab"]) == pytest.approx(grey, abs=0.01)
    assert rows["truth"]["RMSE ab"] == "0.00" and _number(field["truth"]["AuC [%]"]) == 100
    assert "LPIPS" not in field["grey"], "nobody measured it"


def test_what_was_not_measured_is_empty_or_said(study_a: Results, fruit: Results) -> None:
    assert "FID" in t.field_table(study_a).split("\n\n")[1]
    labelled = _rows(t.metrics_table({n: fruit[n] for n in ("ncd-class", "ncd-color")}))
    assert labelled["ncd-class"]["PSNR [dB]"] == "" == labelled["ncd-color"]["top-1 [%]"]
    assert _number(labelled["ncd-class"]["top-1 [%]"]) > 0
    # The PSNR of equal images is infinite, which JSON does not have.
    study_a["euclidean"]["test"]["psnr"] = {"mean": None, "std": None}
    assert _rows(t.metrics_table(study_a))["euclidean"]["PSNR [dB]"] == "∞"


def test_other_nets_on_the_same_images_have_rows(results: Results) -> None:
    name, other = "simplified-final", "simplified"
    rows = _rows(t.metrics_table({name: results[name]}))
    also = results[name]["also_tested"][other]["psnr"]["mean"]
    assert _number(rows[f"{other}, same images"]["PSNR [dB]"]) == pytest.approx(also, abs=0.01)


def test_the_last_weights_have_a_row_where_others_were_tested(results: Results) -> None:
    name, result = "joint-ncd", results["joint-ncd"]
    # Here the best step was the last one.
    assert f"{name}, last step" not in _rows(t.metrics_table({name: result}))
    result["test_last"]["rmse_rgb"] = {"mean": 12.34, "std": 1.0}
    rows = _rows(t.metrics_table({name: result}))
    assert _number(rows[f"{name}, last step"]["RMSE RGB"]) == 12.34
    assert _number(rows[name]["RMSE RGB"]) != 12.34


def test_borders_are_compared_image_by_image(study_a: Results) -> None:
    rng, name = np.random.default_rng(0), "unbalanced"
    points = [
        {
            "temperature": value,
            "images": (images := {m: rng.random(50) for m in ("colorfulness", "border_sharpness")}),
            **{metric: {"mean": values.mean()} for metric, values in images.items()},
        }
        for value in (1.0, 0.38, 0.0)
    ]
    study_a[name]["borders"] = points
    row = _rows(temperature.borders_table(study_a))[name]
    first, last = (points[i]["border_sharpness"]["mean"] for i in (0, -1))
    assert _number(row["border sharpness [1/px], T = 0"]) == pytest.approx(last, abs=1e-3)
    assert _number(row["change"]) == pytest.approx(last - first, abs=1e-3)


def test_differences_at_another_temperature(study_a: Results) -> None:
    """Regression has one answer; what was not measured is left out, not shown at T = 0.38."""
    for run in ("simplified", "simplified-seed1"):
        study_a[run]["borders"] = []
    pairs = [(name, "euclidean") for name in ("unbalanced", "rebalanced-ours", "simplified")]
    rows = _rows(temperature.temperatures_table(study_a, pairs))
    assert list(rows) == ["unbalanced", "rebalanced-ours"]
    before = study_a["euclidean"]["test"]["colorfulness"]["mean"]
    for name, row in rows.items():
        for point in study_a[name]["borders"]:
            change = point["colorfulness"]["mean"] - before
            shown = row[f"colorfulness, T = {point['temperature']:g}"]
            assert _number(shown) == pytest.approx(change, abs=0.051)


def test_the_first_steps_are_those_of_the_curve(study_a: Results) -> None:
    lines = t.early_table(study_a).splitlines()
    split = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    (_, _, *columns), _, (_, _, *raw), (_, _, *averaged), *_, truth = split
    curve = study_a["euclidean"]["curve"]
    points = {f"step {p['step']}": p for p in curve} | {"end": curve[-1]}
    for column, *shown in zip(columns, raw, averaged, strict=True):
        keys = ("colorfulness",) if column == "end" else ("raw_colorfulness", "colorfulness")
        values = [float(cell) for cell in shown if cell]
        assert values == pytest.approx([points[column][key] for key in keys], abs=0.051)
    assert float(truth[-1]) == pytest.approx(curve[-1]["colorfulness_truth"], abs=0.051)


def test_means_and_deviations_over_the_seeds(fruit: Results) -> None:
    rows = _rows(t.seeds_table(fruit, t.ABLATION_METRICS, 20))
    values = [
        100 * fruit[f"ncd-joint{end}"]["test"]["top1"]["mean"] for end in ("", "-seed1", "-seed2")
    ]
    mean, std = (float(part) for part in rows["ncd-joint"]["top-1 [%]"].split("±"))
    assert mean == pytest.approx(np.mean(values), abs=0.1)
    assert std == pytest.approx(np.std(values, ddof=1), abs=0.1)
    assert rows["ncd-joint"]["seeds"] == "3" and rows["ncd-class"]["RMSE ab"] == ""
    assert rows["chance, 20 classes"]["top-5 [%]"] == "25.0"
    assert len(rows) == len(fruit) / 3 + 2 and "±" in rows["grey"]["RMSE ab"]


def test_differences_from_the_baseline(study_a: Results) -> None:
    rows = _rows(t.differences_table(study_a))
    # The baseline of "unbalanced" is not among them, "euclidean" has none.
    name, baseline = "simplified", "rebalanced-ours"
    assert list(rows) == [name] and rows[name]["baseline"] == baseline
    expected = t.difference(study_a, name, baseline, "psnr")
    cell = re.sub(r"[][,*=]", "", rows[name]["PSNR [dB]"])
    numbers = [float(part) for part in cell.split()]
    assert numbers == pytest.approx(list(expected or ())[:3], abs=0.01)
    assert "|" not in t.differences_table({name: study_a[name]})


def test_differences_that_stand_and_that_are_none(study_a: Results) -> None:
    """A run against itself with a little noise, and with much added."""
    rng = np.random.default_rng(0)
    one = study_a["euclidean"]
    pairs = [("same", "euclidean"), ("worse", "euclidean")]
    runs = {"euclidean": one}
    for name, added in (("same", 0.0), ("worse", 3.0)):
        runs[name] = copy.deepcopy(one)
        runs[name]["experiment"]["name"] = name
        test = runs[name]["test"]
        values = np.array(test["images"]["rmse_ab"]) + added
        test["images"]["rmse_ab"] = (values + rng.normal(0, 1, len(values))).tolist()
        test["rmse_ab"]["mean"] = float(np.mean(test["images"]["rmse_ab"]))
    text = t.differences_table(runs, ["rmse_ab"], pairs)
    rows = _rows(text)
    assert rows["same"]["RMSE ab"].endswith("=") and "**" not in rows["same"]["RMSE ab"]
    assert rows["worse"]["RMSE ab"].startswith("**+") and "=" not in rows["worse"]["RMSE ab"]
    assert "1 of 2" in text


def test_a_difference_is_judged_with_those_of_other_tables(study_a: Results) -> None:
    """p = 0.036 stands alone, and not beside another that is none."""
    one = study_a["euclidean"]
    values = np.array(one["test"]["images"]["rmse_ab"])
    noise = np.random.default_rng(0).normal(size=len(values))
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    runs = {"euclidean": one}
    for name, t_value in (("slight", 2.1), ("none", 0.0)):
        runs[name] = copy.deepcopy(one)
        runs[name]["experiment"]["name"] = name
        test = runs[name]["test"]
        test["images"]["rmse_ab"] = (values + noise + t_value / len(values) ** 0.5).tolist()
        test["rmse_ab"]["mean"] = float(np.mean(test["images"]["rmse_ab"]))
    one["test"]["rmse_ab"]["mean"] = float(values.mean())
    slight, none = ("slight", "euclidean"), ("none", "euclidean")
    alone = t.differences_table(runs, ["rmse_ab"], [slight])
    together = t.differences_table(runs, ["rmse_ab"], [slight], among=[slight, none])
    assert "**" in alone and "**" not in together
    assert "0 of 1" in together and "among 2 together" in together


def test_what_a_model_knows_beyond_its_answers_to_other_images(study_a: Results) -> None:
    shuffled = study_a["euclidean"]["baselines"]["shuffled"]
    rows = _rows(t.baselines_table(study_a))
    cells_of = rows["euclidean"]
    gain = study_a["euclidean"]["test"]["auc_rebalanced"]["value"]
    gain -= shuffled["auc_rebalanced"]["value"]
    assert _number(cells_of["gain"]) == pytest.approx(100 * gain, abs=0.06)
    assert rows.keys() < study_a.keys(), "of further seeds there are no weights"
    better, baseline = (rows[n] for n in ("simplified", "rebalanced-ours"))
    more = _number(better["gain"]) - _number(baseline["gain"])
    assert _number(better["more than the baseline's"]) == pytest.approx(more, abs=0.11)
    assert cells_of["more than the baseline's"] == ""
    assert any(name.startswith("constant") for name in _rows(t.field_table(study_a)))


def test_what_a_classifier_of_color_makes_of_other_colors(fruit: Results) -> None:
    rows = _rows(t.inputs_table(fruit, "ncd-class-true"))
    assert list(rows)[1:3] == ["true color", "grey"]
    changes = [
        100 * (run["inputs"]["ncd-joint"]["top1"]["mean"] - run["inputs"]["grey"]["top1"]["mean"])
        for name, run in fruit.items()
        if name.startswith("ncd-class-true")
    ]
    colored = rows["colored by ncd-joint"]
    assert _number(colored["top-1 [%] against grey"]) == pytest.approx(np.mean(changes), abs=0.1)
    # What coloring first loses against learning to read grey.
    lost = _number(colored["top-1 [%] against the one trained on grey"])
    on_grey = rows["grey, and was trained on it (ncd-class)"]["top-1 [%]"]
    assert lost == pytest.approx(_number(colored["top-1 [%]"]) - _number(on_grey), abs=0.11)
    del fruit["ncd-class-seed2"]
    assert "train `ncd-class`" in t.ablation_tables(fruit, 20)


def test_failures_are_images_that_have_much_of_something(study_a: Results) -> None:
    result = study_a["simplified"]
    images = result["test"]["images"]
    busiest = np.argsort(images["busyness"], kind="stable")[-(len(images["busyness"]) // 4) :]
    error = np.array(images["rmse_ab"])
    rows = _rows(failures.failures_table("simplified", result))
    cell = rows[failures.CONTENTS["busyness"]]["grey, most"]
    assert cell == f"{np.mean(np.array(result['grey']['images']['rmse_ab'])[busiest]):.2f}"
    chosen = failures.failures(result, 3)
    first = chosen[failures.CONTENTS["busyness"]]
    assert sorted(first) == sorted(sorted(busiest, key=lambda i: -error[i])[:3])
    indices = [i for some in chosen.values() for i in some]
    assert len(indices) == len(set(indices)) == 12


def test_classes_have_names(study_a: Results) -> None:
    rows = _rows(failures.classes_table("simplified", study_a["simplified"], 2))
    errors = [float(row["RMSE ab, simplified"]) for row in rows.values()]
    assert len(rows) == 4 and errors == sorted(errors, reverse=True)
    assert not any(name.startswith("n0") for name in rows)
    assert (
        failures.class_name("n04146614") == "school bus" and failures.class_name("Apple") == "Apple"
    )


def test_the_table_of_experiments() -> None:
    trained = {"euclidean": load_results(paths.shipped_checkpoints() / "euclidean.json")}
    experiments = {name: vars(e) for name, e in EXPERIMENTS.items()}
    rows = _rows(t.experiments_table(experiments, trained))
    assert rows["`euclidean`"]["trained"] == "float32, weights last"
    assert rows["`simplified-final`"]["trained"] == "not trained yet"
    for name, experiment in EXPERIMENTS.items():
        assert rows[f"`{name}`"]["baseline"] == (experiment.baseline or "")
        assert rows[f"`{name}`"]["claim"] == experiment.claim


@pytest.mark.parametrize("name", ["euclidean", "simplified-final", "photo", "joint-ncd"])
def test_a_card_has_what_its_checkpoint_stands_on(name: str, results: Results) -> None:
    result = results[name]
    text = cards.card(result)
    test, recipe = result["test"], result["experiment"]["recipe"]
    for part in (
        f"{result['parameters']:,} parameters",
        f"{result['images_seen']:,} images",
        f"n = {test['n']}",
        f"{test['psnr']['mean']:.2f} ± {test['psnr']['std']:.2f}",
        f"precision {result['precision']}",
        f"{recipe['epochs']:g} epochs",
        cards.TERMS[result["experiment"]["data"]["name"]],
        result["command"],
        t.hardware(result["machine"]),
    ):
        assert part in text, part
    assert "None" not in text and "nan" not in text


def test_photo_trained_on_other_photographs_has_not_the_terms_of_ours(results: Results) -> None:
    data = {**results["photo"]["data"]}
    data["train"] = {**data["train"], "content_sha256": "0" * 64}
    text = cards.card({**results["photo"], "data": data})
    assert cards.TERMS["photos"] not in text and "see the source of the images" in text


def test_a_table_of_what_was_only_measured(results: Results) -> None:
    """``colorize evaluate`` knows no experiment."""
    result = dict(results["joint-ncd"])
    del result["experiment"]
    assert t.protocol({"mine": result}).startswith(f"n = {result['test']['n']} images; ")
    assert _rows(t.metrics_table({"mine": result})).keys() >= {"mine", "grey"}


def test_the_line_below_a_table_says_how_every_net_in_it_was_trained(results: Results) -> None:
    name, other = "simplified-final", "simplified"
    shown, others = {name: results[name]}, {other: results[other]}
    results[name]["precision"] = "bfloat16"
    assert "trained in bfloat16; weights: last" in t.protocol(shown)
    line = t.protocol(shown, others=others)
    assert f"trained in bfloat16 ({name}), float32 ({other}); weights: last" in line
    assert line.startswith(f"n = {results[name]['test']['n']} images; ")


def test_the_final_nets_by_subject(results: Results) -> None:
    name, other = "simplified-final", "simplified"
    final = results[name]
    classes = sorted(final["experiment"]["data"]["classes"])
    subjects = {"vehicles": TINY_VEHICLES, "dogs": TINY_DOGS}
    text = failures.subjects_table({name: final}, subjects)
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in text.splitlines()[2:]]
    total = 0
    for row in rows:
        if row[1] == other:
            members = subjects[row[2]]
            labels = final["test"]["images"]["label"]
            chosen = [i for i, label in enumerate(labels) if classes[int(label)] in members]
            for cell, test in zip(
                row[4:6], (final["test"], final["also_tested"][other]), strict=True
            ):
                values = [test["images"]["rmse_ab"][i] for i in chosen]
                assert float(cell) == pytest.approx(np.mean(values), abs=0.01)
            total += int(row[3])
    assert total == final["test"]["n"]
