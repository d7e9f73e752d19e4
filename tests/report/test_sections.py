"""The parts of a README that programs write; the whole command is tested in test_cli."""

from __future__ import annotations

import pytest
from helpers.made_up import MACHINE, cells

from colorize.errors import DataError
from colorize.report import readme as r


def test_a_section_is_replaced_between_its_marks() -> None:
    begin, end = "<!-- results: written by colorize tables -->", "<!-- /results -->"
    text = f"# Title\n\n{begin}\nold\n{end}\n\n## Next\n"
    new = r.replace_section(text, "results", "| new \\1 $ |")
    assert new == f"# Title\n\n{begin}\n| new \\1 $ |\n{end}\n\n## Next\n"
    assert r.replace_section(new, "results", "old") == text
    for bad in ("", text.replace(end, ""), text.replace(begin, ""), text + text):
        with pytest.raises(DataError, match=r"expected the marks .* once each"):
            r.replace_section(bad, "results", "new")


def test_the_speed_of_training() -> None:
    step = {
        "model": "SimplifiedModel",
        "width": 0.5,
        "size": 64,
        "batch": 32,
        "images_per_second": 186.66,
        "share_of_convolution_rate": 0.886,
    }
    text = r.training_speed_section({"steps": [step, step], "threads": 2, "machine": MACHINE})
    rows, below = text.split("\n\n")
    _, *found = cells(rows)
    assert found == [["`SimplifiedModel`", "0.5", "64 px, batch 32", "186.7", "89 %"]] * 2
    assert below.startswith("Linux x86_64, 2 cores, no GPU, torch 2.9.1, 2 threads")
