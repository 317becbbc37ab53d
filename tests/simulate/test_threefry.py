"""Threefry-2x32: the published known answers, and numbers that are what they are called."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from bravaismap.simulate.batch.threefry import normal, signed, threefry, uniform, wrapped


def words(*values: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor([wrapped(value)], dtype=torch.int32) for value in values)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0), (0, 0), (0x9D1C5EC6, 0x8BD50731)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0xFD36D048, 0x2D17272C)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xBA3E4725, 0xF27D669E)),
    ],
)
def test_known_answers_of_13_rounds(counter: tuple, key: tuple, expected: tuple) -> None:
    """Those that are published with Random123, the library of Salmon et al."""
    found = threefry(words(*key), words(*counter))
    assert [int(word) % 2**32 for word in found] == list(expected)


def test_a_number_does_not_depend_on_its_neighbours() -> None:
    counter = torch.arange(1000, dtype=torch.int32)
    keys = torch.tensor([[5], [6]], dtype=torch.int32), torch.tensor([[7], [7]], dtype=torch.int32)
    whole = threefry(keys, (counter, torch.zeros_like(counter)))
    assert whole[0].shape == (2, 1000)
    alone = threefry((keys[0][1], keys[1][1]), (counter[417:418], torch.zeros(1, dtype=torch.int32)))
    assert [int(part[1, 417]) for part in whole] == [int(part[0]) for part in alone]
    assert len(torch.cat([part.flatten() for part in whole]).unique()) > 3990  # of 4000; 2³² values


def test_uniform_and_normal_numbers() -> None:
    counter = torch.arange(200_000, dtype=torch.int32)
    both = threefry(words(3, 4), (counter, torch.zeros_like(counter)))
    for word in both:
        assert stats.kstest(uniform(word).numpy(), "uniform").pvalue > 1e-3
        assert stats.kstest(normal(word).double().numpy(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(*(normal(word).numpy() for word in both))[0, 1]) < 5 / np.sqrt(len(counter))
    neighbours = normal(both[0]).numpy()
    assert abs(np.corrcoef(neighbours[1:], neighbours[:-1])[0, 1]) < 5 / np.sqrt(len(counter))


def test_the_ends_are_never_drawn() -> None:
    ends = torch.tensor([-(2**31), 2**31 - 1], dtype=torch.int32)
    assert uniform(ends).tolist() == pytest.approx([0.5 / 2**32, 1 - 0.5 / 2**32], abs=1e-18)
    assert bool((uniform(ends) > 0).all() & (uniform(ends) < 1).all())
    assert bool((signed(ends).abs() < 1).all())
    assert bool((normal(ends).abs() < 5.5).all())


@pytest.mark.parametrize("value", [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40 + 7])
def test_wrapped_keeps_the_lowest_bits(value: int) -> None:
    assert wrapped(value) % 2**32 == value % 2**32
    assert -(2**31) <= wrapped(value) < 2**31
