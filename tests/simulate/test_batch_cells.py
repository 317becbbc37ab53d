"""Cells of a batch: classes, directions and motifs as their recipes ask for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from bravaismap.conventions import LATTICES
from bravaismap.errors import InputError
from bravaismap.lattice.basis import cell_from_basis
from bravaismap.lattice.deviation import deviation, metric_class
from bravaismap.lattice.shape import shape
from bravaismap.simulate.batch.cells import draw_bases, draw_motifs, nearest_symmetry
from bravaismap.simulate.batch.draws import Draws, RecipeTable
from bravaismap.simulate.books import BOOKS
from bravaismap.simulate.recipe import Recipe


def drawn(recipe: Recipe, count: int = 400) -> Draws:
    return Draws.of(RecipeTable([recipe], "cpu"), torch.zeros(count, dtype=torch.int64), 1, torch.arange(count))


def test_nearest_symmetry_is_the_smallest_deviation_that_is_not_0() -> None:
    tau = shape(np.random.default_rng(0).normal(size=(300, 2, 2)))
    strains = deviation(tau)
    expected = np.where(strains > 1e-6, strains, np.inf).min(axis=1)
    np.testing.assert_allclose(nearest_symmetry(torch.from_numpy(tau)), expected, rtol=1e-9)


@pytest.mark.parametrize("name", LATTICES)
def test_lattice_is_of_its_class_size_and_any_direction(name: str) -> None:
    draws = drawn(BOOKS["simulated"][name])
    basis = draw_bases(draws).numpy()
    first, second = np.linalg.norm(basis, axis=-1).T
    np.testing.assert_allclose(first, draws["length"])
    ratio = BOOKS["simulated"][name].ratio
    assert ((second / first >= ratio[0] - 1e-9) & (second / first <= ratio[1] + 1e-9)).all()
    classes = np.array(LATTICES)[metric_class(shape(basis), 1e-9)]
    assert (classes == name).mean() > 0.97  # a drawn oblique cell may come out more symmetric
    angle = np.arctan2(-basis[:, 0, 0], basis[:, 0, 1])
    assert stats.kstest((angle + np.pi) / (2 * np.pi), "uniform").pvalue > 1e-3


def test_ranges_of_angle_are_drawn_by_their_width() -> None:
    basis = draw_bases(drawn(BOOKS["simulated"]["centered_rectangular"], 1000)).numpy()
    a, b = basis[:, 0], basis[:, 1]
    gamma = np.rad2deg(np.arccos((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)))
    assert (((gamma > 35) & (gamma < 85)) | ((gamma > 95) & (gamma < 125))).all()
    assert (gamma < 90).mean() == pytest.approx(50 / 80, abs=0.06)


def test_distortion_is_the_linear_map_asked_for() -> None:
    recipe = Recipe("rectangular", length=(10.0, 10.0), ratio=(2.0, 2.0), distortion=0.05)
    basis = draw_bases(drawn(recipe, 3000)).numpy()
    a, b = np.linalg.norm(basis, axis=2).T
    assert (a / 10 - 1).std() == pytest.approx(0.05, rel=0.06)
    cosine = (basis[:, 0] * basis[:, 1]).sum(axis=1) / (a * b)
    assert cosine.std() == pytest.approx(0.05 * np.sqrt(2), rel=0.06)


@pytest.mark.parametrize("apart", [0.1, 0.14])
def test_lattices_are_far_from_symmetries_of_other_classes(apart: float) -> None:
    recipe = Recipe("oblique", ratio=(1.0, 2.0), angle=((50.0, 90.0),), apart=apart)
    basis = draw_bases(drawn(recipe, 2000)).numpy()
    strains = deviation(shape(basis))[:, :4]
    assert strains.min() >= apart - 1e-9
    assert strains.min() < apart + 0.02
    every = draw_bases(drawn(Recipe("oblique", ratio=recipe.ratio, angle=recipe.angle), 6000)).numpy()
    far = every[deviation(shape(every))[:, :4].min(axis=1) >= apart]
    assert stats.ks_2samp(cell_from_basis(basis)[2], cell_from_basis(far)[2]).pvalue > 1e-3


def test_no_lattice_is_far_enough() -> None:
    recipe = Recipe("oblique", ratio=(1.0, 1.01), angle=((89.0, 90.0),), apart=0.2)
    with pytest.raises(InputError, match=r"apart = 0\.2; expected less: 1000 oblique lattices"):
        draw_bases(drawn(recipe, 2))


def test_atoms_of_a_motif_keep_their_distance_where_there_is_room() -> None:
    recipe = Recipe("square", length=(20.0, 20.0), atom_width=(0.08, 0.08), atoms=(1, 4))
    draws = drawn(recipe)
    basis = draw_bases(draws)
    motif = draw_motifs(draws, basis)
    assert np.bincount(motif.count, minlength=5)[1:] == pytest.approx([100] * 4, abs=45)
    steps = torch.from_numpy(np.mgrid[-2:3, -2:3].reshape(2, -1).T.astype(float)) @ basis[:, None]
    between = motif.offset[:, :, None, None] - motif.offset[:, None, :, None] - steps[:, :, None]
    distance = between.norm(dim=-1)
    count = motif.count[:, None]
    for i in range(4):
        for j in range(i):
            gap = distance[:, i, j].amin(dim=-1)[count[:, 0] > i]
            assert bool((gap >= 2 * 0.08 * 20 - 1e-9).all())
    assert bool((motif.height[:, 0] == 1).all())
    assert bool(((motif.height[:, 1:] >= 0.3) & (motif.height[:, 1:] <= 0.9)).all())
    assert bool(((motif.width[:, 1:] / 1.6 >= 0.8) & (motif.width[:, 1:] / 1.6 <= 1.1)).all())


def test_room_limits_number_and_width_of_atoms() -> None:
    base = {"length": (12.0, 12.0), "atom_width": (0.4, 0.4), "atoms": (8, 8)}
    for spacing, packing, count in ((6.0, None, 4), (20.0, None, 1), (0.0, 0.1, 8)):
        draws = drawn(Recipe("square", **base, spacing=spacing, packing=packing), 3)
        motif = draw_motifs(draws, draw_bases(draws))
        assert motif.count.tolist() == [count] * 3
        assert motif.width[0, 0] == pytest.approx(4.8 if packing is None else 0.1 * np.sqrt(144 / 8))
