"""Strain at every point: that of a known deformation, and its gradient through the wrapping of the displacement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import polar

from bravaismap.local.demodulation import Demodulated
from bravaismap.local.displacement import Locked
from bravaismap.local.strain import COMPONENTS, displacement_gradient, strain, strain_std

BASIS = torch.tensor([[0.7, 9.6], [8.9, -1.3]], dtype=torch.float64)
STEP, ROWS, COLUMNS = 5, 12, 15


def crystal(shift: torch.Tensor) -> Locked:
    one, flat = torch.ones(1, dtype=torch.complex128), torch.ones(ROWS, COLUMNS, dtype=torch.float64)
    waves = Demodulated(BASIS, torch.tensor([[1.0, 0.0]]).double(), one[:, None, None] * flat, flat, flat, STEP)
    covariance = torch.diag(torch.tensor([0.04, 0.01], dtype=torch.float64)).expand(ROWS, COLUMNS, 2, 2)
    return Locked(waves, one, shift, covariance, flat)


def test_gradient_is_that_of_the_field_though_it_wraps_around() -> None:
    expected = torch.tensor([[0.03, -0.02], [0.05, 0.01]], dtype=torch.float64)  # i, j in the order (y, x)
    y, x = torch.meshgrid(STEP * torch.arange(ROWS).double(), STEP * torch.arange(COLUMNS).double(), indexing="ij")
    moved = torch.stack([y, x], -1) @ expected.mT
    locked = crystal((moved @ torch.linalg.inv(BASIS)) % 1.0)
    torch.testing.assert_close(displacement_gradient(locked), expected.expand(ROWS, COLUMNS, 2, 2))
    still = displacement_gradient(replace(locked, shift=torch.zeros_like(locked.shift)))
    assert (still == 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_strain_and_rotation_are_the_polar_parts_of_the_deformation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    deformation = np.eye(2) + rng.uniform(-0.1, 0.1, (2, 2))  # of (x, y)
    rotation, stretch = polar(deformation)
    gradient = np.eye(2) - np.linalg.inv(deformation)[::-1, ::-1]
    values = dict(zip(COMPONENTS, strain(torch.from_numpy(gradient.copy())).tolist(), strict=True))
    assert values["exx"] == pytest.approx(stretch[0, 0] - 1)
    assert values["eyy"] == pytest.approx(stretch[1, 1] - 1)
    assert values["exy"] == pytest.approx(stretch[0, 1])
    assert values["rotation"] == pytest.approx(np.arctan2(rotation[0, 1], rotation[0, 0]))  # y is down


def test_errors_are_those_of_the_slope_of_a_gaussian_mean() -> None:
    sigma = 6.0
    place = np.arange(-60, 61)
    weight = np.exp(-((place[:, None] ** 2 + place**2) / (2 * sigma**2)))
    slope = weight * place / sigma**2
    ratio = (slope**2).sum() / (weight**2).sum()
    std = strain_std(crystal(torch.zeros(ROWS, COLUMNS, 2, dtype=torch.float64)), sigma)[0, 0].tolist()
    expected = np.sqrt(np.array([0.01, 0.04, 0.25 * 0.05, 0.25 * 0.05]) * ratio)
    np.testing.assert_allclose(std, expected, rtol=1e-6)
