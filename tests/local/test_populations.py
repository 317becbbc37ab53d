"""Populations of sites: shares and amplitudes of simulated sites, and the density of roots of counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import trapezoid

from bravaismap.local.populations import SitePopulations, fit_populations, log_density


def counts_at_sites(mean: float, share: list[float], level: float, size: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes of vacant, usual and other atoms with so many counts at the usual one, and their errors."""
    rng = np.random.default_rng(3)
    true = rng.choice([0.0, 1.0, level], size, p=share)
    amplitude = rng.poisson(mean * true + 0.05 * mean) / mean - 0.05
    std = np.tile([np.sqrt(0.05 / mean), np.sqrt(1.05 / mean)], (size, 1))
    return amplitude, std


@pytest.mark.parametrize("mean", [200.0, 40.0])
def test_shares_and_the_amplitude_of_the_other_atom(mean: float) -> None:
    fitted = fit_populations(*counts_at_sites(mean, [0.03, 0.87, 0.1], 0.5))
    np.testing.assert_allclose(fitted.share, [0.03, 0.87, 0.1], atol=0.04)
    assert fitted.amplitude[2] == pytest.approx(0.5, abs=0.11)
    assert fitted.amplitude[1] == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("mean", [200.0, 20.0])
def test_no_other_atom_where_there_is_none(mean: float) -> None:
    fitted = fit_populations(*counts_at_sites(mean, [0.03, 0.97, 0.0], 0.5))
    assert np.isnan(fitted.amplitude[2])
    assert fitted.share[2] == 0


def test_a_brighter_atom_is_another_atom_too() -> None:
    fitted = fit_populations(*counts_at_sites(200.0, [0.02, 0.9, 0.08], 1.6))
    assert fitted.amplitude[2] == pytest.approx(1.6)


def test_few_sites_say_nothing() -> None:
    fitted = fit_populations(np.ones(5), np.full((5, 2), 0.1))
    assert fitted.share.sum() == pytest.approx(1)
    assert np.isnan(fitted.amplitude[2])


def test_densities_are_densities() -> None:
    populations = SitePopulations(np.array([0.0, 1.0, 0.5]), np.array([0.04, 0.02, 0.02]), np.full(3, 1 / 3))
    amplitude = np.linspace(-0.5, 4, 20_001)
    std = np.tile([0.1, 0.2], (len(amplitude), 1))
    density = np.exp(log_density(amplitude, std, populations))
    np.testing.assert_allclose(trapezoid(density, amplitude, axis=0), 1, atol=0.02)


def test_with_even_noise_the_density_is_the_normal_one() -> None:
    populations = SitePopulations(np.array([0.0, 1.0, np.nan]), np.array([0.03, 0.04, 0.02]), np.array([0.1, 0.9, 0]))
    amplitude = np.array([-0.2, 0.1, 0.9, 1.3])
    variance = 0.15**2 + np.array([0.03, 0.04]) ** 2
    expected = -0.5 * (amplitude[:, None] - [0.0, 1.0]) ** 2 / variance - 0.5 * np.log(2 * np.pi * variance)
    said = log_density(amplitude, np.full((4, 2), 0.15), populations)[:, :2]
    np.testing.assert_allclose(said, expected)
