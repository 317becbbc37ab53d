"""Parts of straightening: displacements without jumps, displaced lines, and images read at displaced places."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bravaismap.local.demodulation import Demodulated
from bravaismap.local.displacement import Locked
from bravaismap.local.straightening import continuous_displacement, line_displacements, read_where

BASIS = torch.tensor([[0.5, 9.0], [8.5, -0.5]], dtype=torch.float64)
STEP, ROWS, COLUMNS = 5, 21, 25


def test_a_displacement_of_many_lattice_vectors_has_no_jumps() -> None:
    y, x = torch.meshgrid(STEP * torch.arange(ROWS).double(), STEP * torch.arange(COLUMNS).double(), indexing="ij")
    moved = torch.stack([0.25 * y, 0.1 * y - 0.3 * x], -1)
    one, flat = torch.ones(1, dtype=torch.complex128), torch.ones(ROWS, COLUMNS, dtype=torch.float64)
    waves = Demodulated(BASIS, torch.tensor([[1.0, 0.0]]).double(), one[:, None, None] * flat, flat, flat, STEP)
    shift = (moved @ torch.linalg.inv(BASIS)) % 1.0
    locked = Locked(waves, one, shift, torch.zeros(ROWS, COLUMNS, 2, 2), flat)
    found = continuous_displacement(locked, (STEP * (ROWS - 1) + 1, STEP * (COLUMNS - 1) + 1))
    apart = found[::STEP, ::STEP] - moved.numpy()
    cells = (apart - apart[10, 10])[3:-3, 3:-3]
    np.testing.assert_allclose(cells, 0, atol=0.15)  # the same lattice vector everywhere, but for smoothing
    whole = apart[10, 10] @ np.linalg.inv(BASIS.numpy())
    np.testing.assert_allclose(whole, np.rint(whole), atol=0.02)


def test_displaced_lines_are_found_and_noise_is_not_taken_for_them() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:120, :200].astype(float)

    def pattern(x: np.ndarray) -> np.ndarray:
        return np.asarray(np.sin(2 * np.pi * x / 9) * (1.5 + np.cos(2 * np.pi * y / 8)))

    jitter = rng.normal(0, 0.3, 120)
    still = torch.from_numpy(pattern(x))
    weight = torch.ones_like(still)
    noise = rng.normal(0, 0.1, still.shape)
    left = torch.from_numpy(pattern(x - jitter[:, None]) + noise) - still
    found = line_displacements(left, still, weight)[:, 1]
    assert np.corrcoef(found, jitter)[0, 1] > 0.97
    assert found.std() == pytest.approx(jitter.std(), rel=0.2)
    alone = line_displacements(torch.from_numpy(noise), still, weight)
    assert np.abs(alone).max() < 0.03


def test_an_image_is_read_where_it_is_displaced_to() -> None:
    y, x = np.mgrid[:60, :80].astype(float)
    displacement = np.stack([0.5 * np.sin(x / 15), 1 + 0.02 * y], -1)
    places = np.stack([y, x], -1)
    straight = read_where(np.cos(y / 4) + np.sin(x / 5), displacement, places)
    seen = places.copy()
    for _ in range(60):
        seen = places + np.stack([0.5 * np.sin(seen[..., 1] / 15), 1 + 0.02 * seen[..., 0]], -1)
    expected = np.cos(seen[..., 0] / 4) + np.sin(seen[..., 1] / 5)
    np.testing.assert_allclose(straight[5:-5, 5:-5], expected[5:-5, 5:-5], atol=0.01)
    assert np.isnan(straight[:, -1]).all()  # beyond the image
