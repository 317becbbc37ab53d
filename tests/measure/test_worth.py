"""The evidence that a lattice gives: of its waves, but of no more than a region of it shows, and of two periods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from lattice_images import atoms, cell_basis

from bravaismap.measure.explanation import view_of_windows
from bravaismap.measure.search import search
from bravaismap.measure.spots import standardize
from bravaismap.measure.worth import worth


def evidence(image: np.ndarray) -> float:
    view = view_of_windows(standardize(torch.from_numpy(image.astype(np.float32))[None]))
    return float(worth(search(view).best, view)[0])


def test_it_falls_with_the_noise_to_nothing() -> None:
    values = [evidence(atoms(cell_basis("oblique"), noise=noise)) for noise in (0.2, 3.0, 6.0, 60.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 100
    assert values[-1] < 23


def test_fringes_are_worth_nothing() -> None:
    y, x = np.mgrid[:128, :128]
    rng = np.random.default_rng(3)
    assert evidence(np.cos(2 * np.pi * (0.08 * x + 0.05 * y)) + 0.3 * rng.normal(size=(128, 128))) < 23


def test_without_waves_there_is_none() -> None:
    view = view_of_windows(standardize(torch.from_numpy(atoms(cell_basis("square")))[None]))
    best = search(view).best
    assert float(worth(best, view)[0]) > 60
    assert float(worth(replace(best, signal=torch.zeros_like(best.signal)), view)[0]) == 0


@pytest.mark.parametrize(("swings", "ramp"), [(1, False), (2, False), (2, True)])
def test_terraces_with_wavy_edges_are_worth_nothing(swings: int, ramp: bool) -> None:
    y, x = np.mgrid[:128, :128]
    along = (x + 0.1 * y + 5 * np.sin(2 * np.pi * swings * y / 128)) / 21.0
    height = np.floor(along) if ramp else np.floor(along) - along
    assert evidence(height + 0.1 * np.random.default_rng(2).normal(size=height.shape)) < 23


def test_a_crystal_of_three_rows_of_cells_is_none_of_these_terraces() -> None:
    basis = np.array([[0.0, 14.0], [43.0, 2.0]])
    assert evidence(atoms(basis, noise=0.2)) > 60
