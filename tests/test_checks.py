"""Checks return what fits and refuse the rest."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch

import colorize
from colorize import checks
from colorize.errors import InputError


@pytest.mark.filterwarnings("error")
def test_what_fits_is_returned_itself() -> None:
    value = torch.zeros(2, 3, 4, 5)
    for shape in ((2, 3, 4, 5), (None, 3, None, None), (None,) * 4):
        assert checks.require_tensor(value, "x", shape=shape, floating=True) is value
    for dtype in (torch.uint8, torch.float16, torch.float64):
        rgb = torch.zeros(1, 3, 2, 2, dtype=dtype)
        assert checks.require_rgb(rgb) is rgb
    assert checks.require_positive(1e-300, "x") == 1e-300
    for number in (0, np.float32(2), np.int64(3)):
        assert checks.require_non_negative(number, "x") == number
    assert checks.require_choice("soft", "target", ("soft", "onehot")) == "soft"


@pytest.mark.parametrize(
    "value", [torch.zeros(2, 4), torch.zeros(3), torch.zeros(1, 2, 3), np.zeros((2, 3)), None]
)
def test_tensor_that_does_not_fit(value: Any) -> None:
    with pytest.raises(InputError, match=r"^size:.*\(\*, 3\)"):
        checks.require_tensor(value, "size", shape=(None, 3))


def test_types_that_are_not_taken() -> None:
    nested = torch.nested.nested_tensor([torch.zeros(3, 4, 4)], layout=torch.jagged)
    for loose in (nested, torch.zeros(1, 3, 4, 4).to_sparse()):
        with pytest.raises(InputError, match=r"^rgb:.*dense"):
            checks.require_rgb(loose)
    with pytest.raises(InputError, match=r"^x:.*int64"):
        checks.require_tensor(torch.zeros(2, dtype=torch.int64), "x", shape=(2,), floating=True)
    for dtype in (torch.int8, torch.int64, torch.bool):
        with pytest.raises(InputError, match=r"^rgb:"):
            checks.require_rgb(torch.zeros(1, 3, 2, 2, dtype=dtype))


def test_rgb_beyond_its_range_is_refused_and_rounding_is_not() -> None:
    image = torch.linspace(0, 1, 24, dtype=torch.float64).view(2, 3, 2, 2)
    assert checks.require_rgb(image * 1.0005) is not None
    for wrong in (image * 255, image * 2 - 1, image * 1.02):
        with pytest.raises(InputError, match=r"^image:.*0\.\.1"):
            checks.require_rgb(wrong, "image")
    image[1, 2, 0, 0] = torch.nan
    with pytest.raises(InputError, match=r"^image:.*finite.* 1$"):
        checks.require_rgb(image, "image")


def test_numbers_and_choices() -> None:
    for value in (-1e-300, float("inf"), float("-inf"), float("nan"), True, 10**5000):
        for check in (checks.require_positive, checks.require_non_negative):
            with pytest.raises(InputError, match=r"^sigma:"):
                check(value, "sigma")
    with pytest.raises(InputError, match=r"^sigma:"):
        checks.require_positive(0, "sigma")
    for count in (0, 2.0, True, 2**63, -(10**5000)):
        with pytest.raises(InputError, match=r"^size:"):
            checks.require_whole(count, "size", 1)  # type: ignore[arg-type]
    for choice in ("Soft", ["soft"], np.array(["soft", "soft"])):
        with pytest.raises(InputError, match=r"^target:.*soft, onehot"):
            checks.require_choice(choice, "target", ("soft", "onehot"))


def test_a_word_is_no_boolean_in_any_public_call() -> None:
    # fit checks its dataclasses.
    others = {"ColorizeError", "Recipe", "FitOptions", "EXPERIMENTS"}
    for call in (getattr(colorize, name) for name in set(colorize.__all__) - others):
        parameters = inspect.signature(call).parameters.values()
        needed = {p.name: None for p in parameters if p.default is p.empty}
        for flag in [p.name for p in parameters if isinstance(p.default, bool)]:
            with pytest.raises(InputError, match=f"^{flag}: expected True or False, got 'no'"):
                call(**{**needed, flag: "no"})
