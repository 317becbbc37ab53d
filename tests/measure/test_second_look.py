"""A second look: windows with outliers, windows in which the crystal is not one wave, and those in which it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch
from lattice_images import atoms, cell_basis
from scipy.ndimage import gaussian_filter

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure import second_look as second_look_module
from bravaismap.measure import settings
from bravaismap.measure.explanation import tile_spectra, view_of_windows
from bravaismap.measure.measurement import Measurement, measure
from bravaismap.measure.search import search
from bravaismap.measure.second_look import second_look
from bravaismap.measure.spots import standardize
from bravaismap.measure.worth import worth

SIDE = 128
CELL = basis_from_cell(11.0, 14.0, np.radians(78.0), np.radians(25.0))
LEAST = settings.SETTINGS.odds.even_evidence


def measured(*images: np.ndarray) -> Measurement:
    with torch.inference_mode():
        return measure(torch.from_numpy(np.stack(images).astype(np.float32)))


def as_one_wave(*images: np.ndarray) -> Measurement:
    with torch.inference_mode():
        return measure(torch.from_numpy(np.stack(images).astype(np.float32)), again=False)


def strain_from(true: np.ndarray, basis: torch.Tensor) -> float:
    """Largest departure of the change of basis from whole numbers; 1 where the cell is not of the same area."""
    change = basis.numpy() @ np.linalg.inv(true)
    whole = np.rint(change)
    return float(np.abs(change - whole).max()) if abs(abs(np.linalg.det(whole)) - 1) < 0.1 else 1.0


def displaced(shift: Callable[[np.ndarray, np.ndarray], np.ndarray], seed: int, noise: float = 0.5) -> np.ndarray:
    """Return waves of the cell displaced by `shift`, (y, x, 2) in px, with white noise."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    place = np.stack([y, x], axis=-1) - shift(y, x)
    g = np.linalg.inv(CELL).T
    image = sum(np.cos(2 * np.pi * place @ k) for k in (g[0], g[1], g[1] - g[0]))
    return np.asarray(image + noise * np.random.default_rng(seed).normal(size=(SIDE, SIDE)))


def boundaries(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Displacements of half of a and of half of b, each beyond a boundary of its own."""
    first, second = x + 0.3 * y > 70, y - 0.4 * x > 35
    return 0.5 * (first[..., None] * CELL[0] + second[..., None] * CELL[1])


def bent(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Planes that are bent by 1.5 px, the mean lattice being what it was."""
    return np.stack([0 * y, 1.5 * np.cos(2 * np.pi * y / SIDE)], axis=-1)


@pytest.mark.parametrize("shift", [boundaries, bent], ids=["antiphase", "strain"])
def test_a_crystal_that_is_not_one_wave_shows_its_lattice(shift: Callable[..., np.ndarray]) -> None:
    found = measured(*(displaced(shift, seed) for seed in range(6)))
    assert float(found.evidence.min()) > LEAST
    assert max(strain_from(CELL, basis) for basis in found.basis) < 0.05


def test_as_one_wave_it_does_not() -> None:
    images = [displaced(boundaries, seed) for seed in range(6)]
    whole, tiles = as_one_wave(*images), measured(*images)
    assert float(tiles.evidence.median()) > 1.3 * float(whole.evidence.median())
    assert np.median([strain_from(CELL, b) for b in tiles.basis]) < np.median(
        [strain_from(CELL, b) for b in whole.basis]
    )


def test_adsorbates_do_not_hide_a_lattice() -> None:
    rng, y, x = np.random.default_rng(8), *np.mgrid[:SIDE, :SIDE]
    images, spots = [], np.zeros((SIDE, SIDE))
    for seed in range(6):
        spots = sum(
            np.exp(-0.5 * ((y - top) ** 2 + (x - left) ** 2) / 3.0**2) for top, left in rng.uniform(0, SIDE, (6, 2))
        )
        images.append(atoms(CELL, noise=1.5, seed=seed) / 2 + 12 * spots)
    every = settings.SETTINGS
    with_outliers = replace(
        every,
        second_look=replace(every.second_look, outlier_share=1.0),
        regions=replace(every.regions, most_share=0.0),
    )
    with mock.patch.object(settings, "SETTINGS", with_outliers):
        before = measured(*images)
    found = measured(*images)
    assert float(found.evidence.median()) > 1.2 * float(before.evidence.median())
    assert float(found.evidence.min()) > LEAST
    assert np.median([strain_from(CELL, basis) for basis in found.basis]) < 0.05


def test_tiles_win_only_with_more_evidence() -> None:
    images = np.stack(
        [displaced(boundaries, 1), atoms(CELL, noise=0.5), np.random.default_rng(2).normal(size=(128, 128))]
    )
    view = view_of_windows(standardize(torch.from_numpy(images.astype(np.float32))))
    first = search(view)
    shown = worth(first.best, view)
    best, evidence = second_look(first, shown, view)
    moved = (best.basis != first.best.basis).any(2).any(1)
    assert moved.tolist() == [True, False, False]
    assert (evidence >= shown).all()


@pytest.mark.parametrize("name", ["hexagonal", "rectangular", "oblique"])
def test_a_perfect_crystal_is_one_wave(name: str) -> None:
    images = [atoms(cell_basis(name), noise=noise, seed=seed) for seed, noise in enumerate((0.2, 1.0, 2.0))]
    whole, tiles = as_one_wave(*images), measured(*images)
    assert torch.equal(whole.basis, tiles.basis)
    assert torch.equal(whole.covariance, tiles.covariance)


def test_the_covariance_holds_where_tiles_have_phases_of_their_own() -> None:
    count = 60
    found = measured(*(displaced(boundaries, seed, noise=1.0) for seed in range(count)))
    squared = []
    for basis, covariance in zip(found.basis.numpy(), found.covariance.numpy(), strict=True):
        change = np.rint(basis @ np.linalg.inv(CELL))
        error = (basis - change @ CELL).ravel()
        squared.append(error @ np.linalg.solve(covariance, error))
    assert 2.0 < np.median(squared) < 6.0  # 3.4 for χ² of 4 degrees of freedom


def test_windows_of_a_batch_do_not_see_each_other() -> None:
    noise = np.random.default_rng(5).normal(size=(SIDE, SIDE))
    broken, crystal = displaced(boundaries, 1), atoms(cell_basis("hexagonal"))
    together = measured(noise, broken, crystal)
    for i, image in enumerate((noise, broken, crystal)):
        torch.testing.assert_close(measured(image).basis[0], together.basis[i], rtol=1e-3, atol=1e-3)
    assert float(together.evidence[0]) < LEAST


@pytest.mark.parametrize("blur", [0.0, 1.0, 3.0])
def test_noise_has_no_lattice(blur: float) -> None:
    rng = np.random.default_rng(6)
    images = [gaussian_filter(rng.normal(size=(96, 96)), blur) for _ in range(40)]
    assert float(measured(*images).evidence.max()) < LEAST


def test_hum_has_no_lattice_in_tiles_either() -> None:
    rng = np.random.default_rng(7)
    images = []
    for period in (17.3, 9.6, 23.1):
        phase = np.cumsum(0.9 + 0.02 * rng.normal(size=SIDE))[:, None]
        wave = 2 * np.pi * np.arange(SIDE) / period + phase
        images.append(np.sin(wave) + 0.5 * np.sin(2 * wave) + 0.3 * rng.normal(size=(SIDE, SIDE)))
    assert float(measured(*images).evidence.max()) < LEAST


def test_a_lattice_that_is_certain_and_explains_its_spots_is_not_looked_at_again() -> None:
    bright, faint = (displaced(lambda y, x: np.zeros((*y.shape, 2)), 3, noise) for noise in (2.0, 6.0))
    limits = settings.SETTINGS.second_look
    view = view_of_windows(standardize(torch.from_numpy(np.stack([bright, faint]).astype(np.float32))))
    first = search(view)
    with mock.patch.object(second_look_module, "tile_spectra", wraps=tile_spectra) as asked:
        second_look(first, torch.tensor([limits.sound_evidence + 1, limits.sound_evidence - 1]), view)
    assert len(asked.call_args_list[0].args[0]) == 1
