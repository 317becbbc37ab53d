"""The mean lattice: that of the coordinates, from whatever basis the fit began, and its scatter over the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from patterns import Pattern

from bravaismap.lattice import reciprocal, reduce_basis
from bravaismap.motif.mean_lattice import with_mean_lattice
from bravaismap.motif.structure_factors import PatternFit, fit_pattern

PLACES = ((0.0, 0.0), (0.5, 0.5))
NOISE = 1e-8 * np.eye(4)


def fitted(drawn: Pattern, basis: np.ndarray) -> PatternFit:
    return fit_pattern(drawn.image, basis, np.ones(drawn.image.shape))


def with_coordinates(fit: PatternFit, coordinates: np.ndarray) -> PatternFit:
    return replace(fit, phase=replace(fit.phase, coordinates=coordinates, followed=True))


def places(fit: PatternFit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return y, x and the straight coordinates of a fit."""
    y, x = np.indices(fit.weight.shape)
    g = reciprocal(fit.basis)
    return y, x, g[:, 0, None, None] * y + g[:, 1, None, None] * x


def test_a_lattice_that_was_not_followed_stays(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p4mm", PLACES, counts=10.0)
    fit = fitted(drawn, reduce_basis(drawn.basis))
    fit = replace(fit, phase=replace(fit.phase, followed=False))
    same, covariance = with_mean_lattice(fit, NOISE)
    assert same is fit
    np.testing.assert_array_equal(covariance, NOISE)


def test_the_mean_is_the_same_from_another_basis(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p4mm", PLACES, noise=0.02, size=256)
    basis = reduce_basis(drawn.basis)
    starts = [basis, basis @ (np.eye(2) + np.array([[0.003, 0.002], [-0.002, -0.003]]))]
    means = [with_mean_lattice(fitted(drawn, start), NOISE)[0].basis for start in starts]
    assert np.abs(starts[1] - basis).max() > 0.07
    np.testing.assert_allclose(means[1], means[0], atol=0.02)
    np.testing.assert_allclose(means[0], basis, atol=0.01)


def test_errors_are_half_of_what_quarters_scatter(pattern: Callable[..., Pattern]) -> None:
    fit = fitted(pattern("p4mm", PLACES, counts=10.0), reduce_basis(pattern("p4mm", PLACES).basis))
    y, x, straight = places(fit)
    mean, covariance = with_mean_lattice(with_coordinates(fit, straight), NOISE)
    np.testing.assert_allclose(mean.basis, fit.basis, atol=1e-9)
    np.testing.assert_allclose(covariance, NOISE)
    # a cell that grows by 0.4 % from the upper to the lower half: ± 0.2 % about its mean
    grown = np.where(y < 64, 1.002, 0.998) * (x - 63.5)
    g = reciprocal(np.diag([20.0, 20.0]))
    square = replace(fit, basis=np.diag([20.0, 20.0]))
    coordinates = g[:, 0, None, None] * y + g[:, 1, None, None] * grown
    mean, covariance = with_mean_lattice(with_coordinates(square, coordinates), 1e-12 * np.eye(4))
    np.testing.assert_allclose(mean.basis, np.diag([20.0, 20.0]), atol=0.003)
    sizes = np.array([20 / 1.002, 20 / 1.002, 20 / 0.998, 20 / 0.998])
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [0, 0, 0, sizes.std(ddof=1) / 2], atol=2e-4)


def test_noise_is_not_taken_twice(pattern: Callable[..., Pattern]) -> None:
    fit = fitted(pattern("p4mm", PLACES, counts=10.0), reduce_basis(pattern("p4mm", PLACES).basis))
    y, _, straight = places(fit)
    bent = straight + 1e-5 * (y - 63.5) ** 2 * np.array([1.0, 0.0])[:, None, None]
    large = np.eye(4)
    np.testing.assert_array_equal(with_mean_lattice(with_coordinates(fit, bent), large)[1], large)


def test_an_empty_quarter_has_no_cell(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p4mm", PLACES, counts=10.0)
    fit = fitted(drawn, reduce_basis(drawn.basis))
    y, x, straight = places(fit)
    part = replace(with_coordinates(fit, straight), weight=np.where((y < 64) & (x < 64), 0.0, 1.0))
    mean, covariance = with_mean_lattice(part, NOISE)
    np.testing.assert_allclose(mean.basis, fit.basis, atol=1e-9)
    np.testing.assert_array_equal(covariance, NOISE)
