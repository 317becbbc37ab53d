"""Populations of sites: shares and amplitudes of simulated sites, and the density of roots of counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid

from bravaismap.compute import together as records
from bravaismap.local.populations import (
    OCCUPIED,
    SUBSTITUTED,
    VACANT,
    SitePopulations,
    Sites,
    fit_populations,
    usual_populations,
)


def counts_at_sites(mean: float, share: list[float], level: float, size: int = 4000) -> Sites:
    """Sites with vacant, usual and other atoms, with so many counts at the usual one, and their errors."""
    rng = np.random.default_rng(3)
    true = rng.choice([0.0, 1.0, level], size, p=share)
    amplitude = torch.from_numpy(rng.poisson(mean * true + 0.05 * mean) / mean - 0.05)
    even = torch.full_like(amplitude, np.sqrt(0.05 / mean))
    return Sites(amplitude, even, torch.full_like(amplitude, np.sqrt(1.05 / mean)))


@pytest.mark.parametrize("mean", [200.0, 40.0])
def test_shares_and_the_amplitude_of_the_other_atom(mean: float) -> None:
    fitted = fit_populations([counts_at_sites(mean, [0.03, 0.87, 0.1], 0.5)])[0].evident
    np.testing.assert_allclose(fitted.share, [0.03, 0.87, 0.1], atol=0.04)
    assert float(fitted.amplitude[SUBSTITUTED]) == pytest.approx(0.5, abs=0.11)
    assert float(fitted.amplitude[OCCUPIED]) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("mean", [200.0, 20.0])
def test_no_other_atom_where_there_is_none(mean: float) -> None:
    fitted = fit_populations([counts_at_sites(mean, [0.03, 0.97, 0.0], 0.5)])[0].evident
    assert fitted.amplitude[SUBSTITUTED].isnan()
    assert fitted.share[SUBSTITUTED] == 0


def test_a_brighter_atom_is_another_atom_too() -> None:
    fitted = fit_populations([counts_at_sites(200.0, [0.02, 0.9, 0.08], 1.6)])[0].evident
    assert float(fitted.amplitude[SUBSTITUTED]) == pytest.approx(1.6)


def test_what_is_possible_needs_less_evidence_than_what_is_evident() -> None:
    sites = counts_at_sites(20.0, [0.01, 0.96, 0.03], 0.4, size=600)
    fitted = fit_populations([sites])[0]
    assert fitted.evident.share[SUBSTITUTED] == 0
    assert fitted.possible.share[SUBSTITUTED] > 0
    assert fitted.possible.share[VACANT] < fitted.evident.share[VACANT]


def test_sites_without_weight_do_not_count() -> None:
    sites = counts_at_sites(100.0, [0.03, 0.87, 0.1], 0.5)
    weight = (torch.arange(len(sites.amplitude)) < 2000).double()
    half = Sites(sites.amplitude[:2000], sites.vacant_std[:2000], sites.occupied_std[:2000])
    weighed = Sites(sites.amplitude, sites.vacant_std, sites.occupied_std, weight)
    for one, other in zip(*(fit_populations([own]) for own in (half, weighed)), strict=True):
        torch.testing.assert_close(one.evident.share, other.evident.share)


def test_a_sublattice_has_the_same_populations_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    sites = [counts_at_sites(mean, [0.03, 0.87, 0.1], 0.5) for mean in (200.0, 30.0)]
    alone = [fit_populations([own])[0] for own in sites]
    monkeypatch.setattr(records, "_gains", lambda device: True)
    for one, other in zip(alone, fit_populations(sites), strict=True):
        torch.testing.assert_close(one.evident.share, other.evident.share)
        torch.testing.assert_close(one.possible.amplitude, other.possible.amplitude, equal_nan=True)


def test_what_is_usual_has_no_other_atom() -> None:
    usual = usual_populations(torch.ones(5))
    assert float(usual.share.sum()) == pytest.approx(1)
    assert usual.amplitude[SUBSTITUTED].isnan()


def test_probabilities_go_by_the_share_of_vacancies_nearby() -> None:
    populations = SitePopulations(*(torch.tensor(v) for v in ([0.0, 1.0, 0.5], [0.04, 0.02, 0.02], [0.1, 0.8, 0.1])))
    sites = Sites(torch.tensor([0.4, 0.4]), torch.full((2,), 0.2), torch.full((2,), 0.2))
    rare, frequent = populations.probability(sites, torch.tensor([0.01, 0.5]))
    assert float(rare.sum()) == float(frequent.sum()) == pytest.approx(1)
    ratio = frequent[VACANT] / frequent[OCCUPIED] / (rare[VACANT] / rare[OCCUPIED])
    assert float(ratio) == pytest.approx(99, rel=1e-4)


def test_densities_are_densities() -> None:
    populations = SitePopulations(*(torch.tensor(v) for v in ([0.0, 1.0, 0.5], [0.04, 0.02, 0.02], [1 / 3] * 3)))
    amplitude = torch.linspace(-0.5, 4, 20_001).double()
    sites = Sites(amplitude, torch.full_like(amplitude, 0.1), torch.full_like(amplitude, 0.2))
    density = populations.log_density(sites).exp().numpy()
    np.testing.assert_allclose(trapezoid(density, amplitude.numpy(), axis=0), 1, atol=0.02)


def test_with_even_noise_the_density_is_the_normal_one() -> None:
    columns = ([0.0, 1.0, np.nan], [0.03, 0.04, 0.02], [0.1, 0.9, 0.0])
    populations = SitePopulations(*(torch.tensor(v, dtype=torch.float64) for v in columns))
    amplitude = np.array([-0.2, 0.1, 0.9, 1.3])
    variance = 0.15**2 + np.array([0.03, 0.04]) ** 2
    expected = -0.5 * (amplitude[:, None] - [0.0, 1.0]) ** 2 / variance - 0.5 * np.log(2 * np.pi * variance)
    error = torch.full((4,), 0.15).double()
    said = populations.log_density(Sites(torch.from_numpy(amplitude), error, error))
    np.testing.assert_allclose(said.numpy()[:, :2], expected, rtol=1e-6)
