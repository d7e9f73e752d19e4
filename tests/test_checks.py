"""Checks return what fits, and say what was expected and what came when it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from colorize import checks, errors
from colorize.errors import ColorizeError, InputError


@pytest.mark.parametrize(
    "shape", [(2, 3, 4, 5), (None, 3, None, None), (2, None, 4, 5), (None, None, None, None)]
)
def test_tensor_that_fits_is_returned_itself(shape: tuple[int | None, ...]) -> None:
    value = torch.zeros(2, 3, 4, 5)
    assert checks.require_tensor(value, "x", shape=shape) is value
    assert checks.require_tensor(value, "x", shape=shape, floating=True) is value


def test_scalar_and_empty_tensors_fit_their_shapes() -> None:
    assert checks.require_tensor(torch.tensor(1.0), "x", shape=()).dim() == 0
    assert checks.require_tensor(torch.zeros(0, 3), "x", shape=(None, 3)).shape == (0, 3)


@pytest.mark.parametrize(
    ("value", "shape", "expected", "came"),
    [
        (torch.zeros(2, 4), (None, 3), "(*, 3)", "(2, 4)"),
        (torch.zeros(3), (None, 3), "(*, 3)", "(3,)"),
        (torch.zeros(1, 2, 3), (None, 3), "(*, 3)", "(1, 2, 3)"),
        (np.zeros((2, 3)), (None, 3), "(*, 3)", "ndarray"),
        ([[0, 1, 2]], (None, 3), "(*, 3)", "list"),
        (None, (None, 3), "(*, 3)", "NoneType"),
    ],
)
def test_tensor_that_does_not_fit(
    value: Any, shape: tuple[int | None, ...], expected: str, came: str
) -> None:
    with pytest.raises(InputError) as error:
        checks.require_tensor(value, "the argument", shape=shape)
    text = str(error.value)
    assert text.startswith("the argument") and expected in text and came in text


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_floating_is_required_when_asked(dtype: torch.dtype) -> None:
    value = torch.zeros(2, dtype=dtype)
    assert checks.require_tensor(value, "x", shape=(2,)) is value
    with pytest.raises(InputError, match=f"x.*floating.*{dtype}"):
        checks.require_tensor(value, "x", shape=(2,), floating=True)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32, torch.float64])
def test_rgb_types_that_are_taken(dtype: torch.dtype) -> None:
    rgb = torch.zeros(1, 3, 2, 2, dtype=dtype)
    assert checks.require_rgb(rgb) is rgb


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64, torch.bool])
def test_rgb_types_that_are_not(dtype: torch.dtype) -> None:
    with pytest.raises(InputError, match=rf"picture: expected uint8 .*0\.\.255.*got {dtype}"):
        checks.require_rgb(torch.zeros(1, 3, 2, 2, dtype=dtype), "picture")


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 4, 4, 4), (1, 4, 4, 3), (1, 1, 4, 4)])
def test_rgb_shapes_that_are_not(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"rgb: expected shape \(\*, 3, \*, \*\)"):
        checks.require_rgb(torch.zeros(shape))


def test_positive() -> None:
    assert checks.require_positive(1e-300, "x") == 1e-300
    assert checks.require_positive(3, "x") == 3
    for value in (0, -0.0, -1e-300, float("inf"), float("-inf"), float("nan")):
        with pytest.raises(InputError, match=f"sigma: .*above 0.*got {value}"):
            checks.require_positive(value, "sigma")


def test_choice() -> None:
    assert checks.require_choice("soft", "target", ("soft", "onehot")) == "soft"
    for value in ("Soft", "", "so", "onehot "):
        with pytest.raises(InputError, match=f"target: expected one of soft, onehot.*{value!r}"):
            checks.require_choice(value, "target", ("soft", "onehot"))


def test_every_error_on_purpose_is_one_family() -> None:
    found = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    assert len(found) > 1
    for error in found:
        assert issubclass(error, ColorizeError) and issubclass(error, ValueError)
        assert error.__doc__
