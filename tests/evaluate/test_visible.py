"""Visible lattices: what a window shows of its true lattice, and scores by hand."""

from __future__ import annotations

import numpy as np
import pytest

import bravaismap as bm
from bravaismap.evaluate.labelled import Labelled
from bravaismap.evaluate.visible import VisibleScore, score_visible, visible_lattices, visible_table
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

CLASSES = ("square", "hexagonal", "none")
BASIS = basis_from_cell(9.0, 9.0, np.pi / 3, 0.3)


def window(contrast: float, size: int = 96) -> np.ndarray:
    sites = lattice_sites(BASIS, (size, size), np.zeros(2), 12)
    atoms = gaussian_atoms(sites, np.ones(len(sites)), np.full(len(sites), 1.8), (size, size))
    return contrast * atoms + np.random.default_rng(1).normal(size=(size, size))


def labelled(*images: np.ndarray, vectors: np.ndarray | None) -> Labelled:
    return Labelled(images, np.ones(len(images), np.intp), CLASSES, vectors)


def test_a_lattice_in_noise_is_visible_while_it_stands_out() -> None:
    images = [window(contrast) for contrast in (2.0, 0.5, 0.0)]
    vectors = np.array([BASIS, BASIS, BASIS])
    assert visible_lattices(labelled(*images, vectors=vectors)).tolist() == [True, True, False]
    # another lattice is not there, and none is not asked for
    wrong = np.array([basis_from_cell(11.3, 12.9, 1.4, 1.0), np.full((2, 2), np.nan), np.zeros((2, 2))])
    assert visible_lattices(labelled(*images, vectors=wrong)).tolist() == [False, False, False]


def test_windows_of_different_sides_keep_their_order() -> None:
    images = window(2.0, 64), window(0.0, 96), window(2.0, 80), window(2.0, 64)
    assert visible_lattices(labelled(*images, vectors=np.array([BASIS] * 4))).tolist() == [True, False, True, True]


@pytest.mark.parametrize("size", [24, 256])
def test_what_is_not_one_window_is_not_asked(size: int) -> None:
    assert visible_lattices(labelled(window(2.0, size), vectors=BASIS[None])) is None
    assert visible_lattices(labelled(window(2.0), vectors=None)) is None


def test_score_by_hand() -> None:
    answers, labels = np.eye(3)[[0, 1, 2, 2, 0, 2]], np.array([0, 0, 1, 1, 2, 2])
    visible = np.array([True, True, True, False, True, False])
    score = score_visible(answers, labels, CLASSES, visible)
    assert score == VisibleScore(lattices=4, visible=3, right=1, called_none=1)
    assert score.accuracy == pytest.approx(1 / 3)
    low, high = score.interval
    assert 0 < low < 1 / 3 < high < 1
    assert "3 of 4" in visible_table(score)
    nothing = score_visible(answers, labels, CLASSES, np.zeros(6, bool))
    assert np.isnan([nothing.accuracy, *nothing.interval]).all()


def test_most_windows_of_the_paper_show_their_lattice() -> None:
    data = bm.simulate(60, seed=4)
    vectors = data["primitive_vectors_px"].values.astype(float)
    labels = data["label"].values.astype(np.intp)
    windows = Labelled(data["image"].values, labels, tuple(data.attrs["classes"]), vectors)
    visible = visible_lattices(windows)
    assert visible[labels != 5].mean() > 0.95
