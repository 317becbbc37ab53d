"""Phases of pixels: likelihoods written out, and probabilities that follow evidence and neighbourhood."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bravaismap.local.amplitude import LocalFit
from bravaismap.local.phases import KnownCrystals, log_likelihood, phase_probability

ROWS, COLUMNS = 40, 50


#: Means of an image and of patterns, by which no likelihood goes.
MEANS = torch.zeros(1), torch.zeros(1, 1)


def evidence(strength: float) -> torch.Tensor:
    """Return the log likelihoods of two phases, the first on the left of column 20."""
    x = torch.arange(COLUMNS).expand(ROWS, COLUMNS)
    first = torch.where(x < 20, 0.0, -strength)
    return torch.stack([first, -strength - first])


def test_likelihood_is_the_formula_written_out() -> None:
    energy = np.array([[1.0, 4.0, 9.0], [0.5, 2.0, 1.2]])
    product, contrast = 0.8 * energy, np.full_like(energy, 3.0)
    fit = LocalFit(
        *(torch.from_numpy(v) for v in (energy, product[None], contrast[None])), *MEANS, torch.ones(2, 3), 4.0, 2
    )
    variance, freedom = torch.full((2, 3), 0.7, dtype=torch.float64), 25.0
    said = log_likelihood(fit, variance, freedom).numpy()
    even, left = energy / 0.7, np.maximum(energy - 2 * product + contrast, 0) / 0.7
    least = np.minimum(even, left)
    middle = np.sort(least.ravel())[2]  # the lower median
    usual = middle + np.sort(np.abs(least - middle).ravel())[2] / 0.6745
    disordered = np.maximum(even, 0.5 * contrast / 0.7)
    for row, ratio, misfit in ((0, left, 5.0), (1, even, 5.0), (2, disordered, 4.0)):
        beyond = np.log1p(np.maximum(ratio - usual, 0) * freedom / misfit)
        np.testing.assert_allclose(said[row], -0.5 * (freedom * np.minimum(ratio, usual) + misfit * beyond))


def usual_atoms(fit: LocalFit) -> KnownCrystals:
    """Return what is known where every atom is the usual one on its site, and each lattice may be anywhere."""
    blank = torch.zeros_like(fit.product)
    silent = torch.zeros_like(fit.energy, dtype=torch.bool)
    return KnownCrystals(blank + 1, blank, blank, torch.ones(len(blank), dtype=torch.bool), silent)


def grain_in_disorder() -> tuple[LocalFit, torch.Tensor]:
    """Return a fit that leaves over noise in columns 0 and 1 and much more in the other four, and these two."""
    noise = (1 + torch.linspace(0.0, 0.1, 6, dtype=torch.float64)[:, None]).expand(6, 6)
    energy, contrast = noise + 9.0, torch.full((1, 6, 6), 9.0, dtype=torch.float64)
    product = contrast.clone()
    product[..., 2:] -= 3.0
    inside = torch.zeros(6, 6, dtype=torch.bool)
    inside[:, :2] = True
    return LocalFit(energy, product, contrast, *MEANS, torch.ones(6, 6), 4.0, 2), inside


def test_chosen_points_say_what_is_usual() -> None:
    fit, inside = grain_in_disorder()
    variance = torch.full((6, 6), 1.0, dtype=torch.float64)
    alone = LocalFit(fit.energy[:, :2], fit.product[..., :2], fit.contrast[..., :2], *MEANS, fit.seen[:, :2], 4.0, 2)
    said = log_likelihood(fit, variance, 25.0, replace(usual_atoms(fit), telling=inside))
    torch.testing.assert_close(said[..., :2], log_likelihood(alone, variance[:, :2], 25.0))
    every = log_likelihood(fit, variance, 25.0, usual_atoms(fit))
    torch.testing.assert_close(every, log_likelihood(fit, variance, 25.0))
    odds, before = said[0] - said[2], every[0] - every[2]  # of the crystal against disorder
    assert bool((before[:, 2:] > 0).all() and (odds[:, 2:] < 0).all())
    assert bool((odds[:, :2] > 0).all())


def test_what_displaced_atoms_explain_is_not_left_over() -> None:
    energy, product, contrast = (torch.full((3, 3), v, dtype=torch.float64) for v in (3.0, 2.4, 3.0))
    fit = LocalFit(energy, product[None], contrast[None], *MEANS, torch.ones(3, 3), 4.0, 2)
    variance, explained = torch.full((3, 3), 0.1, dtype=torch.float64), torch.full((1, 3, 3), 0.7, dtype=torch.float64)
    said = log_likelihood(fit, variance, 25.0, replace(usual_atoms(fit), displaced=explained))
    nearer = LocalFit(
        energy, product[None] + 0.35, contrast[None], *MEANS, torch.ones(3, 3), 4.0, 2
    )  # of as small a residual
    torch.testing.assert_close(said, log_likelihood(nearer, variance, 25.0))
    assert bool((said[0] > log_likelihood(fit, variance, 25.0)[0]).all())


def test_another_atom_is_as_likely_as_its_share_times_its_fit() -> None:
    energy, product, contrast = (torch.full((3, 3), v, dtype=torch.float64) for v in (1.2, 1.8, 3.0))
    fit = LocalFit(energy, product[None], contrast[None], *MEANS, torch.ones(3, 3), 4.0, 2)
    variance = torch.full((3, 3), 0.3, dtype=torch.float64)
    usual, share = log_likelihood(fit, variance, 25.0)[0], torch.full((1, 3, 3), 0.25, dtype=torch.float64)
    known = replace(usual_atoms(fit), level=torch.full_like(share, 0.6), substituted=share)
    said = log_likelihood(fit, variance, 25.0, known)[0]
    # 1.2 − 1.2 · 1.8 + 0.36 · 3 is left over of 0.6 of the pattern, less than is usual: all of it counts
    other = torch.full_like(usual, -0.5 * 25.0 * 0.12 / 0.3)
    torch.testing.assert_close(said, (0.75 * usual.exp() + 0.25 * other.exp()).log())


def test_a_lattice_without_a_wave_is_nowhere() -> None:
    energy = torch.rand(4, 5, generator=torch.Generator().manual_seed(1)) + 0.5
    product, contrast = torch.stack([0.9 * energy, 0 * energy]), torch.stack([0.8 * energy, 0 * energy])
    fit = LocalFit(energy, product, contrast, *MEANS, torch.ones(4, 5), 4.0, 2)
    said = log_likelihood(fit, torch.full((4, 5), 0.1), 25.0)
    assert bool((said[1] < said[2] - 50).all())  # not as probable as emptiness
    assert bool((said[0] > said[2]).all())
    known = replace(usual_atoms(fit), somewhere=torch.tensor([False, True]))
    nowhere = log_likelihood(fit, torch.full((4, 5), 0.1), 25.0, known)
    assert bool((nowhere[0] < nowhere[2] - 50).all())
    torch.testing.assert_close(nowhere[1:], said[1:])


def test_probabilities_follow_clear_evidence_to_the_boundary() -> None:
    probability = phase_probability(evidence(30.0), torch.ones(ROWS, COLUMNS), 6.0, 1.0)
    torch.testing.assert_close(probability.sum(0), torch.ones(ROWS, COLUMNS))
    assert float(probability[0, :, :18].min()) > 0.99
    assert float(probability[1, :, 22:].min()) > 0.99


def test_faint_evidence_is_gathered_from_the_neighbourhood() -> None:
    probability = phase_probability(evidence(0.5), torch.ones(ROWS, COLUMNS), 6.0, 1.0)
    alone = 1 / (1 + np.exp(-0.5))
    assert float(probability[0, :, :8].mean()) > alone + 0.05
    assert float(probability[1, :, 32:].mean()) > alone + 0.05


def test_equal_evidence_leaves_equal_phases() -> None:
    probability = phase_probability(torch.zeros(3, ROWS, COLUMNS), torch.ones(ROWS, COLUMNS), 6.0, 1.0)
    assert probability.numpy() == pytest.approx(1 / 3, abs=1e-5)


def test_masked_points_say_nothing_about_their_neighbours() -> None:
    seen = torch.ones(ROWS, COLUMNS)
    seen[:, 30:] = 0
    other = evidence(3.0)
    other[:, :, 30:] = other[:, :, 30:].flip(0)
    first, second = (phase_probability(logarithm, seen, 6.0, 1.0)[:, :, :29] for logarithm in (evidence(3.0), other))
    torch.testing.assert_close(first, second)
