"""Amplitudes: what displaced atoms explain, by least squares written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from two_atoms import motif

from bravaismap.local.amplitude import displaced_variance, fit_amplitude, frame_noise, row_offsets
from bravaismap.simulate.crystal import gaussian_atoms

SIZE, SIGMA, STEP, CELL = 40, 4.0, 4, 10.0
PLACE = 5  # of the grid: pixel 20


def atom(y: float, x: float) -> torch.Tensor:
    image = gaussian_atoms(np.array([[y, x]]), np.ones(1), np.full(1, 1.7), (SIZE, SIZE))
    return torch.from_numpy(image.astype(np.float64))


def explained(image: torch.Tensor, loose: float, valid: torch.Tensor | None = None) -> torch.Tensor:
    pattern = atom(20.0, 20.0)
    valid = torch.ones_like(image) if valid is None else valid
    fit = fit_amplitude(image, pattern[None], valid, SIGMA, STEP)
    return displaced_variance(image, pattern[None], valid, fit, torch.full_like(fit.energy, loose), CELL)[0]


def test_the_fit_of_higher_patterns_is_that_fit_scaled() -> None:
    image, patterns = atom(20.5, 20.0), torch.stack([atom(20.0, 20.0), atom(24.0, 18.0)])
    factor, valid = torch.tensor([1.3, 0.7], dtype=torch.float64)[:, None, None], torch.ones_like(image)
    scaled = fit_amplitude(image, patterns, valid, SIGMA, STEP).scaled(factor)
    again = fit_amplitude(image, factor * patterns, valid, SIGMA, STEP)
    for name in ("energy", "product", "contrast", "seen"):
        torch.testing.assert_close(getattr(scaled, name), getattr(again, name))


@pytest.mark.parametrize("loose", [1e-9, 1e-3])
def test_it_is_that_of_least_squares(loose: float) -> None:
    image, pattern = atom(21.2, 19.5), atom(20.0, 20.0)
    offset = torch.arange(SIZE, dtype=torch.float64) - STEP * PLACE
    bell = torch.exp(-0.5 * (offset / SIGMA) ** 2)
    weight = ((bell[:, None] * bell) / bell.sum() ** 2).flatten()
    slopes = torch.stack([s.flatten() for s in torch.gradient(pattern)], 1)
    left = (image - pattern).flatten()
    slopes, left = slopes - weight @ slopes, left - weight @ left
    stiff = loose / (0.1 * CELL) ** 2 * torch.eye(2, dtype=torch.float64)
    best = torch.linalg.solve(slopes.T @ (weight[:, None] * slopes) + stiff, slopes.T @ (weight * left))
    before, after = weight @ left**2, weight @ (left - slopes @ best) ** 2 + best @ stiff @ best
    assert float(explained(image, loose)[PLACE, PLACE]) == pytest.approx(float(before - after), rel=2e-3)


def test_most_of_the_misfit_of_a_displaced_atom_is_explained_and_nothing_of_a_missing_one() -> None:
    displaced, there = atom(20.8, 20.8), atom(20.0, 20.0)
    fit = fit_amplitude(displaced, there[None], torch.ones_like(there), SIGMA, STEP)
    left = float(fit.residual(1.0)[0, PLACE, PLACE])
    assert 0.6 * left < float(explained(displaced, 1e-9)[PLACE, PLACE]) < left
    assert float(explained(torch.zeros_like(there), 1e-9)[PLACE, PLACE]) < 1e-6


def test_masked_pixels_do_not_count() -> None:
    valid = torch.ones(SIZE, SIZE, dtype=torch.float64)
    valid[:, 24:] = 0
    image = atom(20.8, 20.0)
    other = torch.where(valid > 0, image, 5.0)
    torch.testing.assert_close(explained(image, 1e-3, valid), explained(other, 1e-3, valid))


def test_an_amplitude_ignores_a_constant_and_scales_with_the_pattern() -> None:
    image = motif(size=90)
    pattern = (image - image.mean())[None]
    valid = torch.ones_like(image)
    fit = fit_amplitude(0.7 * pattern[0] + 5, pattern, valid, 4.0, 3)
    torch.testing.assert_close(fit.amplitude, torch.full_like(fit.amplitude, 0.7), atol=1e-6, rtol=0)
    assert float(fit.residual(0.7).max()) < 1e-9


def test_the_noise_of_counts_is_their_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = 3 + 2 * motif(size=200) / motif().max()
    counts = torch.poisson(mean, generator=generator)
    noise = frame_noise(counts - mean, mean, torch.ones_like(mean), (0.05, 0.3))
    assert noise.slope == pytest.approx(1, abs=0.15)
    assert noise.correlation == pytest.approx(1, abs=0.1)


def test_row_offsets_are_found_and_chance_is_not() -> None:
    generator = torch.Generator().manual_seed(0)
    residual = torch.randn(100, 80, generator=generator)
    valid = torch.ones_like(residual)
    assert float(row_offsets(residual, valid, valid).abs().max()) < 0.25
    offset = 2 * torch.randn(100, 1, generator=generator)
    found = row_offsets(residual + offset, valid, valid)
    assert float((found - offset).std()) < 0.15
