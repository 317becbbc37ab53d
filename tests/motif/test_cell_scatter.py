"""Scatter of the cell: half the standard deviation over the quarters of an image, without noise and boundaries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from patterns import Pattern

from bravaismap.lattice import reciprocal
from bravaismap.motif.cell_scatter import covariance_with_scatter
from bravaismap.motif.structure_factors import PatternFit, fit_pattern

NOISE = 1e-8 * np.eye(4)
SIDE = 128


@pytest.fixture(scope="module")
def fit(pattern: Callable[..., Pattern]) -> PatternFit:
    """Return a fit on a square cell of 20 px whose coordinates tests replace."""
    drawn = pattern("p4mm", ((0.0, 0.0), (0.5, 0.5)), counts=10.0, size=SIDE)
    return replace(fit_pattern(drawn.image, drawn.basis, np.ones(drawn.image.shape)), basis=np.diag([20.0, 20.0]))


def with_coordinates(fit: PatternFit, y: np.ndarray, x: np.ndarray, followed: bool = True) -> PatternFit:
    """Return a fit whose pixels lie at the places y, x of a straight crystal."""
    g = reciprocal(fit.basis)
    coordinates = g[:, 0, None, None] * y + g[:, 1, None, None] * x
    return replace(fit, phase=replace(fit.phase, coordinates=coordinates, followed=followed))


PLACES = np.indices((SIDE, SIDE)).astype(float)


def test_a_straight_lattice_has_the_errors_of_noise(fit: PatternFit) -> None:
    np.testing.assert_allclose(covariance_with_scatter(with_coordinates(fit, *PLACES), NOISE), NOISE)


def test_a_lattice_that_was_not_followed_has_them_too(fit: PatternFit) -> None:
    bent = with_coordinates(fit, PLACES[0] + 1e-3 * PLACES[1] ** 2, PLACES[1], followed=False)
    np.testing.assert_array_equal(covariance_with_scatter(bent, NOISE), NOISE)


def test_errors_are_half_of_what_quarters_scatter(fit: PatternFit) -> None:
    """b is 0.2 % larger than its mean in the upper half, and as much smaller in the lower one."""
    y, x = PLACES
    stretched = np.where(y < SIDE // 2, 1 / 1.002, 1 / 0.998) * x
    covariance = covariance_with_scatter(with_coordinates(fit, y, stretched), 1e-12 * np.eye(4))
    sizes = 20 * np.array([1.002, 1.002, 0.998, 0.998])
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [0, 0, 0, sizes.std(ddof=1) / 2], atol=1e-3)


def test_an_antiphase_boundary_is_no_strain(fit: PatternFit) -> None:
    y, x = PLACES
    jumped = x + 10 / (1 + np.exp(-(x - 40)))
    np.testing.assert_allclose(covariance_with_scatter(with_coordinates(fit, y, jumped), NOISE), NOISE, atol=1e-6)


def test_noise_is_not_taken_twice(fit: PatternFit) -> None:
    y, x = PLACES
    bent = with_coordinates(fit, y + 2e-4 * (x - 64) * (y - 64), x)
    assert np.trace(covariance_with_scatter(bent, NOISE)) > 1e3 * np.trace(NOISE)
    np.testing.assert_array_equal(covariance_with_scatter(bent, np.eye(4)), np.eye(4))


def test_an_empty_quarter_has_no_cell(fit: PatternFit) -> None:
    y, x = PLACES
    bent = with_coordinates(fit, y + 2e-4 * (x - 64) * (y - 64), x)
    part = replace(bent, weight=np.where((y < 64) & (x < 64), 0.0, 1.0))
    np.testing.assert_array_equal(covariance_with_scatter(part, NOISE), NOISE)
