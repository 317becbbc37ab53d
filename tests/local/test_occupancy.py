"""Occupancy of sites whose places and averaged cell are given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bravaismap.local.amplitude import Noise
from bravaismap.local.demodulation import demodulate, lattice_nodes
from bravaismap.local.displacement import Locked, lock
from bravaismap.local.occupancy import fit_occupancy
from bravaismap.local.sites import SitePlaces, sublattices
from bravaismap.simulate.crystal import gaussian_atoms

BASIS = np.array([[0.5, 11.0], [10.5, -0.6]])
SIZE, WIDTH = 120, 1.5


def crystal() -> tuple[np.ndarray, np.ndarray, Locked]:
    """Places of the atoms, those inside, and the crystal without defects."""
    index = np.stack(np.meshgrid(*[np.arange(-30, 30)] * 2, indexing="ij"), -1).reshape(-1, 2)
    places = index @ BASIS + [3.3, 5.8]
    places = places[((places > -20) & (places < SIZE + 20)).all(1)]
    image = torch.from_numpy(drawn(places, np.ones(len(places))))
    basis = torch.from_numpy(BASIS)
    waves = demodulate(image - image.mean(), torch.ones_like(image), basis, lattice_nodes(basis), 25.0, 12)
    return places, ((places > 0) & (places < SIZE - 1)).all(1), lock(waves)


def drawn(places: np.ndarray, height: np.ndarray) -> np.ndarray:
    return gaussian_atoms(places, height, np.full(len(height), WIDTH), (SIZE, SIZE)).astype(float)


def fitted(image: np.ndarray, places: np.ndarray, locked: Locked, noise: Noise, valid: torch.Tensor | None = None):
    number = torch.zeros(len(places), dtype=torch.long)
    at = SitePlaces(number, number, torch.from_numpy(places), (sublattices(locked),))
    pixels = torch.from_numpy(image)
    return fit_occupancy(pixels, torch.ones_like(pixels) if valid is None else valid, (locked,), at, noise)


def test_amplitudes_on_a_slope() -> None:
    places, inside, locked = crystal()
    height = np.ones(len(places))
    height[np.flatnonzero(inside)[::7]] = 0.0
    height[np.flatnonzero(inside)[3::7]] = 0.5
    y, x = np.mgrid[:SIZE, :SIZE]
    held = fitted(drawn(places, height) + 2 + 0.01 * y - 0.004 * x, places[inside], locked, Noise(0.01, 0.0, 1.0))
    middle = ((places[inside] > 12) & (places[inside] < SIZE - 13)).all(1)
    usual = held.amplitude[height[inside] == 1].median()  # an averaged cell of few nodes is not as sharp as an atom
    np.testing.assert_allclose((held.amplitude / usual).numpy()[middle], height[inside][middle], atol=0.04)


def test_errors_of_vacancies_and_atoms_are_the_scatter_of_counts() -> None:
    places, inside, locked = crystal()
    height = np.ones(len(places))
    gone = np.flatnonzero(inside)[::5]
    height[gone] = 0.0
    mean, counts = drawn(places, height) + 0.1, 30.0
    rng = np.random.default_rng(0)
    noise = Noise(0.0, 1 / counts, 1.0)
    held = [fitted(rng.poisson(counts * mean) / counts, places[inside], locked, noise) for _ in range(40)]
    scatter = torch.stack([one.amplitude for one in held]).std(0).numpy()
    middle = ((places[inside] > 12) & (places[inside] < SIZE - 13)).all(1)
    for rows, name in ((height[inside] == 0, "vacant_std"), (height[inside] == 1, "occupied_std")):
        said = torch.stack([getattr(one, name) for one in held]).mean(0).numpy()
        ratio = scatter[rows & middle] / said[rows & middle]
        assert np.sqrt((ratio**2).mean()) == pytest.approx(1, abs=0.2)


def test_what_is_masked_is_not_seen_and_what_is_bright_is_said() -> None:
    places, inside, locked = crystal()
    image, valid = drawn(places, np.ones(len(places))), torch.ones(SIZE, SIZE, dtype=torch.float64)
    valid[:, :30] = 0
    image[80:, 80:] += 3.0
    held = fitted(image, places[inside], locked, Noise(0.01, 0.0, 1.0), valid)
    y, x = places[inside].T
    assert held.seen[x < 25].max() < 0.05
    assert held.seen[(x > 40) & (x < SIZE - 8) & (y > 8) & (y < SIZE - 8)].min() > 0.99
    assert held.background[(x > 95) & (y > 95)].min() > 2
    assert held.background[(x > 40) & (x < 65)].abs().max() < 0.1


def test_dark_atoms_are_as_good_as_bright_ones() -> None:
    places, inside, _ = crystal()
    height = np.ones(len(places))
    height[np.flatnonzero(inside)[::7]] = 0.0
    basis = torch.from_numpy(BASIS)
    image = torch.from_numpy(5 - drawn(places, height))
    waves = demodulate(image - image.mean(), torch.ones_like(image), basis, lattice_nodes(basis), 25.0, 12)
    locked = lock(waves)
    number = torch.zeros(int(inside.sum()), dtype=torch.long)
    at = SitePlaces(number, number, torch.from_numpy(places[inside]), (sublattices(locked, dark=True),))
    held = fit_occupancy(image, torch.ones_like(image), (locked,), at, Noise(0.01, 0.0, 1.0), dark=True)
    middle = ((places[inside] > 12) & (places[inside] < SIZE - 13)).all(1)
    usual = held.amplitude[height[inside] == 1].median()
    np.testing.assert_allclose((held.amplitude / usual).numpy()[middle], height[inside][middle], atol=0.12)
