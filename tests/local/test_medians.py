"""Medians and sorted values: those of PyTorch, of one record and of several at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bravaismap.local.medians import lower_median, sorted_values


def values() -> Tensor:
    """Return values with none, some and all of a line NaN, even and odd numbers of them left, and infinite ones."""
    drawn = torch.randn(3, 4, 12, generator=torch.Generator().manual_seed(0))
    drawn[0, 0] = torch.nan
    drawn[0, 1, ::2] = torch.nan
    drawn[1, 2, :5] = torch.nan
    drawn[2, 3, 3:] = torch.inf
    return drawn


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_medians_are_the_lower_ones_of_what_is_not_nan(kind: torch.dtype) -> None:
    drawn = values().to(kind)
    torch.testing.assert_close(lower_median(drawn), drawn.nanmedian(-1).values, rtol=0, atol=0, equal_nan=True)
    assert lower_median(drawn).dtype == kind
    assert float(lower_median(torch.tensor([4.0, 1.0, 3.0, 2.0]))) == 2
    assert lower_median(drawn[1, 0, 0:1]) == drawn[1, 0, 0]


def test_sorted_values_are_those_of_pytorch() -> None:
    drawn = values().nan_to_num(0.5)
    before = drawn.clone()
    torch.testing.assert_close(sorted_values(drawn), drawn.sort(-1).values, rtol=0, atol=0)
    torch.testing.assert_close(drawn, before, rtol=0, atol=0)


@pytest.mark.parametrize("axis", [0, 1])
def test_records_at_once_have_the_values_that_each_has(axis: int) -> None:
    drawn = values().nan_to_num(0.5)
    for function in (lower_median, sorted_values):
        each = torch.stack([function(record) for record in drawn.unbind(axis)])
        torch.testing.assert_close(torch.func.vmap(function, in_dims=axis)(drawn), each, rtol=0, atol=0)
