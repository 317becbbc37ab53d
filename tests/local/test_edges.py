"""Strain where a crystal ends: what the cut Gaussian sees, and how sure that is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from bravaismap.compute.together import Length
from bravaismap.local.demodulation import Demodulated, grid_length
from bravaismap.local.displacement import Locked
from bravaismap.local.edges import edge_gradient
from bravaismap.local.strain import strain_std

SIGMA, STEP, SIZE = 12.0, 4, 121
BASIS = torch.tensor([[0.7, 19.6], [18.9, -1.3]], dtype=torch.float64)


def bent(share: np.ndarray, slope: float, bend: float) -> Locked:
    """A crystal displaced along x by slope x + bend x²/2, averaged in a Gaussian over what there is of it."""
    x = np.arange(SIZE) * np.ones((SIZE, 1))
    moved = slope * x + 0.5 * bend * x**2
    seen = [gaussian_filter(share * plane, SIGMA, mode="constant", truncate=4) for plane in (np.ones_like(x), moved)]
    mean = torch.from_numpy((seen[1] / np.maximum(seen[0], 1e-3))[::STEP, ::STEP].copy())
    shift = torch.stack([torch.zeros_like(mean), mean], -1) @ torch.linalg.inv(BASIS)
    points = grid_length(SIZE, STEP)
    shift = torch.nn.functional.pad(shift, (0, 0, 0, points - shift.shape[1], 0, points - shift.shape[0]))
    flat = torch.ones(points, points, dtype=torch.float64)
    waves = Demodulated(BASIS, torch.ones(1, 2).double(), flat[None].to(torch.complex128), flat, flat, STEP)
    covariance = 1e-6 * torch.eye(2, dtype=torch.float64).expand(points, points, 2, 2)
    return Locked(waves, torch.ones(1, dtype=torch.complex128), shift % 1.0, covariance, flat)


def right_of(edge: int) -> np.ndarray:
    share = np.zeros((SIZE, SIZE))
    share[:, edge:] = 1.0
    return share


@pytest.mark.parametrize("edge", [0, 40])
def test_a_uniform_strain_is_uniform_up_to_the_edge(edge: int) -> None:
    share = right_of(edge)
    gradient, _ = edge_gradient(bent(share, 0.02, 0.0), torch.from_numpy(share), SIGMA)
    inside = gradient[:, edge // STEP :]
    expected = torch.tensor([[0.0, 0.0], [0.0, 0.02]], dtype=torch.float64)
    torch.testing.assert_close(inside, expected.expand_as(inside), rtol=0, atol=1e-5)


def test_errors_grow_towards_an_edge_and_more_where_the_strain_changes() -> None:
    share = right_of(0)
    at_edge = []
    for bend in (0.0, 4e-4):
        locked = bent(share, 0.02, bend)
        _, std = edge_gradient(locked, torch.from_numpy(share), SIGMA)
        noise = strain_std(locked, SIGMA)
        middle = slice(13, 17)
        torch.testing.assert_close(std[middle, middle], noise[middle, middle], rtol=0.02, atol=1e-6)
        at_edge.append(float(std[15, 0, 0] / noise[15, 0, 0]))
    assert at_edge[0] == pytest.approx(1 / (1 - 2 / np.pi), rel=0.15)  # half a Gaussian is narrower by that
    assert at_edge[1] > 4 * at_edge[0]


def test_a_crystal_is_as_strained_when_it_is_turned_and_with_a_shared_length() -> None:
    share = right_of(40)
    locked = bent(share, 0.02, 1e-4)
    plain, plain_std = edge_gradient(locked, torch.from_numpy(share), SIGMA)
    length = Length(torch.tensor(SIGMA, dtype=torch.float64), 1.1 * SIGMA)
    shared, shared_std = edge_gradient(locked, torch.from_numpy(share), length)
    torch.testing.assert_close(shared, plain)
    torch.testing.assert_close(shared_std, plain_std)
    turned_basis = BASIS.flip(-1)
    waves = replace(locked.waves, basis=turned_basis)
    turned = replace(locked, waves=waves, shift=locked.shift.transpose(0, 1))
    swapped, swapped_std = edge_gradient(turned, torch.from_numpy(share.T.copy()), SIGMA)
    torch.testing.assert_close(swapped.transpose(0, 1).flip(-1).flip(-2), plain)
    torch.testing.assert_close(swapped_std.transpose(0, 1)[..., [1, 0, 2, 3]], plain_std)
