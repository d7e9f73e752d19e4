"""Cards and tables: every number in them is one of the results, and a table is a table."""

from __future__ import annotations

import copy
import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.made_up import MACHINE, as_before, cells, result, study, tables_in

from colorize.experiments.catalog import EXPERIMENTS, get_experiment
from colorize.report import cards as c

COLUMNS = ("rmse_ab", "rmse_rgb", "psnr", "ssim", "colorfulness")
TITLES = ["RMSE ab", "RMSE RGB", "PSNR [dB]", "SSIM", "colorfulness"]


@pytest.mark.parametrize("last", [False, True])
def test_the_table_of_metrics(last: bool) -> None:
    results = study("simplified", "rebalanced")
    if last:
        results["simplified"]["test_last"] = result("simplified", seed=9)["test"]
    header, *rows = cells(c.metrics_table(results))
    assert header == ["model", "parameters", *TITLES]
    names = ["simplified", *(["simplified, last step"] if last else []), "rebalanced"]
    assert [row[0] for row in rows] == [*names, "grey", "truth"]
    tests = [results["simplified"]["test"]]
    tests += [results["simplified"]["test_last"]] if last else []
    tests += [results["rebalanced"]["test"], results["simplified"]["grey"]]
    for row, found in zip(rows, tests, strict=False):
        for cell, key in zip(row[2:], COLUMNS, strict=True):
            mean, std = (float(part) for part in cell.split(" ± "))
            digits = 3 if key == "ssim" else 2
            assert mean == round(found[key]["mean"], digits)
            assert std == round(found[key]["std"], digits)
    assert [row[1] for row in rows[:-2]] == ["3.9 M"] * (len(rows) - 2)
    assert rows[-1][2:] == ["0", "0", "∞", "1", "35.00 ± 9.00"]


def test_the_last_step_has_a_row_only_when_it_is_another_one() -> None:
    """With a falling rate the last weights often are the best ones."""
    results = study("simplified")
    best = results["simplified"]["test"]
    plain = c.metrics_table(results)
    results["simplified"]["test_last"] = copy.deepcopy(best)
    assert c.metrics_table(results) == plain
    results["simplified"]["test_last"]["psnr"]["mean"] += 0.02
    assert "simplified, last step" in c.metrics_table(results)


def test_labels_have_columns_where_they_were_measured() -> None:
    results = study("simplified")
    results["simplified"]["test"] |= {"top1": {"mean": 0.5, "std": 0.5}, "top5": {"mean": 0.915}}
    header, row, grey, truth = cells(c.metrics_table(results))
    assert header[-2:] == ["top-1 [%]", "top-5 [%]"]
    assert row[-2:] == ["50.0", "91.5"] and grey[-2:] == truth[-2:] == ["", ""]


def test_the_fields_metrics() -> None:
    results = study("simplified", "rebalanced")
    text = c.field_table(results)
    table, below = text.split("\n\n")
    header, *rows = cells(table)
    assert header == [
        *("model", "AuC [%]", "AuC, rebalanced [%]", "colorfulness error", "recognized [%]"),
        "recognized, own classes [%]",
    ]
    assert [row[0] for row in rows] == ["simplified", "rebalanced", "grey", "truth"]
    test, grey = results["rebalanced"]["test"], results["simplified"]["grey"]
    for row, found in ((rows[1], test), (rows[2], grey)):
        assert row[1] == f"{100 * found['auc']['mean']:.1f}"
        assert row[2] == f"{100 * found['auc_rebalanced']['value']:.1f}"
        assert row[3] == f"{found['colorfulness_error']['mean']:.1f}"
        assert row[4] == f"{100 * found['recognized']['mean']:.1f}"
    assert rows[3][1:] == ["100.0", "100.0", "0.0", "75.0", "75.0"]
    assert below == (
        "Not measured here: LPIPS needs the weights of AlexNet. "
        "FID needs the package torch-fidelity."
    )


def test_the_fields_metrics_with_lpips_and_fid_and_without_the_rest() -> None:
    results = study("simplified")
    for part, lpips in (("test", 0.1234), ("grey", 0.3)):
        found = results["simplified"][part]
        found |= {"lpips": {"mean": lpips, "std": 0.1}, "fid": {"value": 43.21}}
        for key in ("recognized", "recognized_own"):
            del found[key]
        found["recognized"] = {"missing": "the classes are none of ImageNet's"}
        found["auc_rebalanced"] = {"missing": "the prior is not here"}
    for key in ("recognized_truth", "recognized_own_truth"):
        del results["simplified"]["test"][key]
    table, below = c.field_table(results).split("\n\n")
    header, row, grey, truth = cells(table)
    assert header[3:] == ["LPIPS", "FID"]
    assert (row[3:], grey[3:]) == (["0.123", "43.2"], ["0.300", "43.2"])
    assert truth[1:] == ["100.0", "0.0", "0.000", "0.0"]
    assert "AuC, rebalanced [%]: the prior is not here." in below
    assert "recognized [%]: the classes are none of ImageNet's." in below


def test_results_of_an_older_version_have_no_row_among_the_fields_metrics() -> None:
    results = study("simplified", "rebalanced")
    old = {**results, "simplified": as_before(results["simplified"])}
    rows = cells(c.field_table(old).split("\n\n")[0])
    assert [row[0] for row in rows[1:]] == ["rebalanced", "grey", "truth"]
    assert "|" not in c.field_table({"simplified": old["simplified"]})


@pytest.mark.parametrize("name", [n for n, e in EXPERIMENTS.items() if not e.folder])
@pytest.mark.parametrize("scale", ["paper", "small", "quick"])
def test_every_card(name: str, scale: str) -> None:
    results = result(name, scale=scale, seed=3)
    experiment = get_experiment(name, scale)
    text = c.card(results)
    recipe = experiment.recipe
    for part in (
        f"# {name}\n\n{experiment.claim}\n",
        f"`{experiment.model}`",
        "3,869,529 parameters",
        "train 6,491, val 807, test 40; 21 grey ones left out",
        f"{len(experiment.data.classes) or 'all'} classes",
        f"λ = {experiment.lam}" if experiment.prior else "rebalancing: none,",
        f"{recipe.optimizer}, peak rate {recipe.lr:g}, {recipe.schedule} schedule",
        f"crop {recipe.crop} px, {recipe.epochs:g} epochs; seed 3",
        "129,280 images in 32.9 minutes (Linux x86_64, no GPU, 2 cores, torch 2.9.1)",
        f"`python -m colorize train {name} --scale {scale} --seed 3`",
        "## Test, n = 40,",
        "## Limits",
        c.metrics_table({name: results}),
        c.field_table({name: results}),
    ):
        assert part in text, part
    assert f"Terms: {c.TERMS[experiment.data.name]}." in text
    assert ("research" in text) == (scale != "quick")
    assert "smoothed over ab" in text or experiment.smoothing is None
    for key, value in experiment.options.items():
        assert f"{key} = {value}" in text
    assert not re.search(r"None|nan|\{", text)
    tables_in(text)


def test_the_card_of_a_gpu() -> None:
    results = result("simplified")
    results["machine"] = {**MACHINE, "gpu": "Tesla T4"}
    assert "(Linux x86_64, Tesla T4, torch 2.9.1)" in c.card(results)


def test_the_command_in_a_card_is_the_one_that_made_it() -> None:
    """Epochs or a recipe that are not those of the scale belong to the command."""
    results = result("simplified")
    recipe = results["experiment"]["recipe"]
    recipe["epochs"] = 0.2
    (command,) = re.findall(r"`(python -m colorize train [^`]*)`", c.card(results))
    assert "--epochs 0.2" in command


def test_write_card(tmp_path: Path) -> None:
    path = tmp_path / "new" / "simplified.md"
    assert c.write_card(result("simplified"), path) == path
    assert path.read_text(encoding="utf-8") == c.card(result("simplified"))
    assert [p.name for p in path.parent.iterdir()] == ["simplified.md"]
    broken = {key: value for key, value in result("simplified").items() if key != "grey"}
    with pytest.raises(KeyError, match="grey"):
        c.write_card(broken, path)
    assert path.read_text(encoding="utf-8") == c.card(result("simplified"))
    assert [p.name for p in path.parent.iterdir()] == ["simplified.md"]


def test_what_is_tested_beside_a_run_has_rows_below_it() -> None:
    results = study("simplified-final", "rebalanced-ours-final")
    results["simplified-final"]["beside"] = {
        "simplified": result("simplified")["test"],
        "rebalanced-ours": {"missing": "rebalanced-ours was not trained yet"},
    }
    expected = ["simplified-final", "simplified, beside it", "rebalanced-ours-final", "grey"]
    for table in (c.metrics_table(results), c.field_table(results)):
        _, *rows = cells(table.split("\n\n")[0])
        assert [row[0] for row in rows] == [*expected, "truth"]
    (alone,) = (row for row in cells(c.metrics_table(study("simplified")))[1:2])
    _, _, beside, *_ = cells(c.metrics_table(results))
    assert beside[2:] == alone[2:]


def test_the_table_of_experiments() -> None:
    described = {name: dataclasses.asdict(e) for name, e in EXPERIMENTS.items()}
    header, *rows = cells(c.experiments_table(described))
    assert header == ["experiment", "differs from", "model and prior", "claim"]
    for row, experiment in zip(rows, EXPERIMENTS.values(), strict=True):
        assert row[0] == f"`{experiment.name}`" and row[1] == (experiment.baseline or "")
        assert row[2].startswith(f"{experiment.model}; prior {experiment.prior or 'none'}")
        assert ("smoothed over ab" in row[2]) == (experiment.smoothing == "ab")
        assert row[3] == experiment.claim


def test_protocol() -> None:
    results = {"a": result("simplified"), "b": result("simplified", seed=2)}
    text = c.protocol(results)
    for part in (
        *("n = 40 images", "center crops of 64 px", "7 grey ones left out", "seed 0, 2,"),
        *("trained in float32;", "Linux x86_64, 2 cores, no GPU, torch 2.9.1"),
    ):
        assert part in text, part
    # What `colorize evaluate` measures was trained by somebody else.
    measured = {k: v for k, v in results["a"].items() if k not in ("experiment", "data")}
    text = c.protocol({"a": measured})
    for word in ("seed", "crops", "grey ones", "trained", "None"):
        assert word not in text
    assert text.startswith("n = 40 images; nothing compressed")


def test_the_protocol_names_what_was_trained_in_another_precision() -> None:
    results = study("simplified", "rebalanced", "euclidean")
    results["rebalanced"]["precision"] = "bf16"
    # Older results do not say it; they were of the default.
    del results["euclidean"]["precision"]
    text = c.protocol(results)
    assert "trained in float32: `simplified`, `euclidean`" in text
    assert "trained in bfloat16: `rebalanced`" in text


def test_means_over_the_seeds() -> None:
    results = study(
        "simplified", "rebalanced", "euclidean", seeds={"simplified": 3, "rebalanced": 2}
    )
    # One run was tested without the prior of ImageNet, another is of an older version.
    results["simplified-seed1"]["test"]["auc_rebalanced"] = {"missing": "no prior"}
    results["rebalanced-seed1"] = as_before(results["rebalanced-seed1"])
    header, simple, rebalanced = cells(c.seeds_table(results))
    assert header[1:5] == ["seeds", "RMSE ab", "PSNR [dB]", "SSIM"]
    assert header[6:] == ["AuC, rebalanced [%]", "recognized, own classes [%]"]
    assert (simple[:2], rebalanced[:2]) == (["`simplified`", "3"], ["`rebalanced`", "2"])
    runs = [results[name]["test"] for name in results if name.startswith("simplified")]
    for cell, key in zip(simple[2:6], ("rmse_ab", "psnr", "ssim", "colorfulness"), strict=True):
        means = [run[key]["mean"] for run in runs]
        digits = 3 if key == "ssim" else 2
        assert cell == f"{np.mean(means):.{digits}f} ± {np.std(means, ddof=1):.{digits}f}"
    assert simple[6] == "50.00 ± 0.00", "of the two runs that have it"
    own = [100 * run["recognized_own"]["mean"] for run in runs]
    assert simple[7] == f"{np.mean(own):.2f} ± {np.std(own, ddof=1):.2f}"
    assert rebalanced[6:] == ["", ""], "one run is no spread"
    assert c.seeds_table(study("simplified", "rebalanced")) == c.seeds_table({}) == ""


def test_a_reproduction_is_told_in_standard_deviations_of_the_seeds() -> None:
    results = study("simplified", "rebalanced", seeds={"simplified": 3})
    for seed, run in enumerate(r for n, r in results.items() if n.startswith("simplified")):
        run["test"]["rmse_ab"]["mean"] = 15.0 + 0.1 * seed
        run["test"]["psnr"]["mean"] = 20.0
        run["test"]["auc_rebalanced"] = {"value": (0.70, 0.72, 0.74)[seed]}
    again = result("simplified")
    again["test"]["rmse_ab"]["mean"] = 15.25
    again["test"]["psnr"]["mean"] = 20.5
    again["test"]["auc_rebalanced"] = {"value": 0.71}
    del again["test"]["recognized_own"]
    both = {"simplified-reproduced": again, "rebalanced-reproduced": result("rebalanced")}
    header, row = cells(c.reproduction_table(results, both))
    found = dict(zip(header, row, strict=True))
    assert row[0] == "`simplified-reproduced`", "the other has one seed only"
    assert found["RMSE ab"] == "15.25 (+1.5 sd)"
    assert found["AuC, rebalanced [%]"] == "71.00 (-0.5 sd)"
    assert found["PSNR [dB]"] == "20.50", "no spread, nothing to divide by"
    assert found["recognized, own classes [%]"] == ""
    assert c.reproduction_table(study("simplified"), both) == ""
    assert c.reproduction_table(results, {}) == ""


def test_the_section_of_results_has_a_part_for_every_test_set() -> None:
    names = ("simplified", "rebalanced", "simplified-final")
    results = study(*names, seeds={"simplified": 2})
    text = c.results_section(results)
    first = {name: results[name] for name in names[:2]}
    final = {"simplified-final": results["simplified-final"]}
    expected = [
        part
        for own in (first, final)
        for part in (c.metrics_table(own), c.field_table(own), c.protocol(own))
    ]
    assert text == "\n\n".join([*expected, c.seeds_table(results)])
    assert len(tables_in(text)) == 5 and "seed1" not in text
    assert c.results_section({}) == ""
