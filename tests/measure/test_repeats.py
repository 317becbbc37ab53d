"""The autocorrelation of windows: the lattice of few cells whose spots run into one another, and none of noise."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch
from lattice_images import CELLS, atoms, cell_basis
from numpy.typing import NDArray

import bravaismap as bm
from bravaismap.classify.models import load_model
from bravaismap.conventions import CLASSES, NONE
from bravaismap.measure import settings
from bravaismap.measure.repeats import index_repeats
from bravaismap.measure.spots import standardize

LEAST = settings.SETTINGS.repeats.least_clear


def indexed(images: NDArray[np.floating], count: int = 4) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the direct bases in px of the candidates, and how clear they are."""
    windows = standardize(torch.from_numpy(images.astype(np.float32)))
    reciprocal, clear = index_repeats(windows, count)
    size = np.array(images.shape[1:])
    return np.swapaxes(np.linalg.inv(reciprocal.numpy() / size), -1, -2), clear.numpy()


def departure(basis: NDArray[np.floating], true: NDArray[np.floating]) -> float:
    """Largest departure of the change of basis from whole numbers; 1 where the cell is not of the same area."""
    change = basis @ np.linalg.inv(true)
    whole = np.rint(change)
    return float(np.abs(change - whole).max()) if abs(abs(np.linalg.det(whole)) - 1) < 0.1 else 1.0


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize(("side", "scale"), [(64, 1.7), (128, 3.0), (96, 1.0)])
def test_the_lattice_is_the_clearest_candidate(name: str, side: int, scale: float) -> None:
    basis = cell_basis(name, 0.4, scale)
    images = np.stack([atoms(basis, (side, side), noise=1.0, seed=seed) for seed in range(3)])
    found, clear = indexed(images)
    assert max(departure(own[0], basis) for own in found) < 0.1
    assert clear[:, 0].min() > LEAST
    assert (np.diff(clear, axis=1) <= 0).all()


def test_oblong_windows_are_measured_in_their_own_bins() -> None:
    basis = cell_basis("oblique", 0.4, 2.0)
    found, _ = indexed(atoms(basis, (96, 150), noise=0.5)[None])
    assert departure(found[0, 0], basis) < 0.1


def test_finer_and_coarser_lattices_are_less_clear() -> None:
    basis = cell_basis("rectangular", 0.2, 1.6)
    found, clear = indexed(atoms(basis, (64, 64), noise=0.3)[None], 24)
    area = np.abs(np.linalg.det(found[0])) / abs(np.linalg.det(basis))
    others = (clear[0] > 0) & (np.abs(np.log(area)) > 0.4)
    assert others.any()
    assert clear[0][others].max() < 0.95 * clear[0, 0]


def test_noise_is_seldom_clear() -> None:
    _, clear = indexed(np.random.default_rng(4).normal(size=(200, 64, 64)))
    assert (clear[:, 0] > LEAST).mean() < 0.1


def test_a_constant_window_has_no_candidate() -> None:
    reciprocal, clear = index_repeats(torch.zeros(2, 64, 64), 3)
    assert bool(torch.isfinite(reciprocal).all())
    assert float(clear.max()) < LEAST


@pytest.mark.slow
def test_windows_of_few_cells_are_right_more_often() -> None:
    data = bm.simulate(300, "realistic", seed=15, size=64)
    images, labels = data["image"].values, data["label"].values
    without = replace(settings.SETTINGS, repeats=replace(settings.SETTINGS.repeats, doubtful_evidence=-1.0))
    model = load_model("lattice", 0.003)
    right = model.predict(images, samples=0).probability.argmax(1) == labels
    with mock.patch.object(settings, "SETTINGS", without):
        before = model.predict(images, samples=0).probability.argmax(1) == labels
    assert right.mean() > before.mean() + 0.02
    none = labels == CLASSES.index(NONE)
    assert right[none].mean() >= 0.96
