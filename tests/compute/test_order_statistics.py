"""Order statistics: the same from NumPy and from PyTorch, along every dimension."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bravaismap.compute import order_statistics
from bravaismap.compute.order_statistics import kth_smallest, lower_median, lower_nanmedian, sorted_values


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_kth_smallest_is_that_of_the_sorted_values(dim: int) -> None:
    values = torch.rand(5, 6, 7, generator=torch.Generator().manual_seed(1))
    for k in range(1, values.shape[dim] + 1):
        assert torch.equal(kth_smallest(values, k, dim), values.sort(dim).values.select(dim, k - 1))


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_lower_median_is_that_of_pytorch(count: int) -> None:
    values = torch.rand(4, count, 3, generator=torch.Generator().manual_seed(2)).round(decimals=1)
    assert torch.equal(lower_median(values, 1), values.median(1).values)


def test_other_devices_use_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.rand(3, 9, generator=torch.Generator().manual_seed(3))
    by_numpy = kth_smallest(values, 4)
    monkeypatch.setattr(order_statistics, "_parted", lambda _: False)
    assert torch.equal(kth_smallest(values, 4), by_numpy)


def test_values_are_left_as_they_are() -> None:
    values = torch.tensor([[3.0, 1.0, 2.0]])
    assert kth_smallest(values, 2).tolist() == [2.0]
    assert values.tolist() == [[3.0, 1.0, 2.0]]


def lines() -> Tensor:
    """Return values with none, some and all of a line NaN, even and odd numbers of them left, and infinite ones."""
    drawn = torch.randn(3, 4, 12, generator=torch.Generator().manual_seed(0))
    drawn[0, 0] = torch.nan
    drawn[0, 1, ::2] = torch.nan
    drawn[1, 2, :5] = torch.nan
    drawn[2, 3, 3:] = torch.inf
    return drawn


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_medians_are_the_lower_ones_of_what_is_not_nan(kind: torch.dtype) -> None:
    drawn = lines().to(kind)
    torch.testing.assert_close(lower_nanmedian(drawn), drawn.nanmedian(-1).values, rtol=0, atol=0, equal_nan=True)
    assert lower_nanmedian(drawn).dtype == kind
    assert float(lower_nanmedian(torch.tensor([4.0, 1.0, 3.0, 2.0]))) == 2
    assert lower_nanmedian(drawn[1, 0, 0:1]) == drawn[1, 0, 0]


def test_sorted_values_are_those_of_pytorch() -> None:
    drawn = lines().nan_to_num(0.5)
    before = drawn.clone()
    torch.testing.assert_close(sorted_values(drawn), drawn.sort(-1).values, rtol=0, atol=0)
    torch.testing.assert_close(drawn, before, rtol=0, atol=0)


@pytest.mark.parametrize("axis", [0, 1])
def test_records_at_once_have_the_values_that_each_has(axis: int) -> None:
    drawn = lines().nan_to_num(0.5)
    for function in (lower_nanmedian, sorted_values):
        each = torch.stack([function(record) for record in drawn.unbind(axis)])
        torch.testing.assert_close(torch.func.vmap(function, in_dims=axis)(drawn), each, rtol=0, atol=0)
