"""Order statistics: the same from NumPy and from PyTorch, along every dimension."""

from __future__ import annotations

import pytest
import torch

from bravaismap.compute import order_statistics
from bravaismap.compute.order_statistics import kth_smallest, lower_median


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
