"""The table of atoms of a batch: sites, grains, boundaries, strain and drift, against one crystal at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bravaismap.simulate import crystal
from bravaismap.simulate.batch.atoms import AtomTable, draw_atoms
from bravaismap.simulate.batch.cells import draw_bases, draw_motifs
from bravaismap.simulate.batch.draws import Draws, RecipeTable
from bravaismap.simulate.batch.holes import draw_holes
from bravaismap.simulate.crystal import draw_lattice, lattice_sites
from bravaismap.simulate.recipe import Recipe

STILL = {"disorder": (0.0, 0.0), "noise": (0.0, 0.0), "length": (12.0, 12.0), "atom_width": (0.15, 0.15)}
SIDE = 160


def crystals(recipe: Recipe, count: int = 8) -> tuple[Draws, np.ndarray, AtomTable]:
    number = torch.arange(count)
    draws = Draws.of(RecipeTable([recipe], "cpu"), torch.zeros_like(number), 3, number)
    basis = draw_bases(draws)
    frame = torch.full((count, 2), float(SIDE), dtype=torch.float64)
    return draws, basis.numpy(), draw_atoms(draws, basis, draw_motifs(draws, basis), frame, draw_holes(draws, frame))


def of(atoms: AtomTable, window: int) -> np.ndarray:
    """Return the positions of the atoms of a window that lie in its frame."""
    position = atoms.position[atoms.first[window] : atoms.first[window + 1]].numpy().astype(float)
    return position[((position >= 0) & (position <= SIDE - 1)).all(axis=1)]


def off_lattice(position: np.ndarray, basis: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Return how far positions are from the sites of a lattice, in steps along its vectors."""
    steps = (position - origin) @ np.linalg.inv(basis)
    return np.abs(steps - np.rint(steps)).max(axis=1)


@pytest.mark.parametrize("lattice", ["square", "oblique"])
def test_sites_are_all_the_lattice_points_of_the_frame(lattice: str) -> None:
    angle = ((55.0, 85.0),) if lattice == "oblique" else ((90.0, 90.0),)
    _, basis, atoms = crystals(Recipe(lattice, angle=angle, ratio=(1.0, 2.0), **STILL), 20)
    for window in range(20):
        position = of(atoms, window)
        expected = lattice_sites(basis[window], (SIDE - 1, SIDE - 1), position[0], 1e-4)
        assert len(position) == len(expected)
        assert off_lattice(position, basis[window], position[0]).max() < 1e-4
        beyond = atoms.position[atoms.first[window] : atoms.first[window + 1]].numpy()
        assert ((beyond > -4 * 1.8 - 1e-3) & (beyond < SIDE + 4 * 1.8 + 1e-3)).all()


def test_directions_and_places_differ_between_windows() -> None:
    _, _, atoms = crystals(Recipe("square", **STILL))
    assert len({of(atoms, window)[0].tobytes() for window in range(8)}) == 8


def test_disorder_and_vacancies_have_the_size_asked_for() -> None:
    still, shaken, thinned = (
        crystals(replace(Recipe("square", **STILL), **more), 30)[2]
        for more in ({}, {"disorder": (0.05, 0.05)}, {"vacancies": (0.3, 0.3)})
    )
    full = [len(of(still, window)) for window in range(30)]
    assert sum(len(of(thinned, w)) for w in range(30)) / sum(full) == pytest.approx(0.7, abs=0.02)
    moved = []
    for window in range(30):
        sites, position = of(still, window), of(shaken, window)
        nearest = np.linalg.norm(sites[:, None] - position, axis=-1).argmin(axis=1)
        moved.append(position[nearest] - sites)
    moved = np.concatenate([m[np.linalg.norm(m, axis=1) < 3] for m in moved])
    assert moved.std(axis=0) == pytest.approx(0.05 * 12, rel=0.05)
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.06


def test_an_antiphase_boundary_displaces_by_half_a_period_and_leaves_no_atom_twice() -> None:
    _, basis, atoms = crystals(Recipe("square", antiphase=(1, 1), **STILL), 20)
    for window in range(20):
        position = of(atoms, window)
        off = (position - position[0]) @ np.linalg.inv(basis[window])
        halves = np.rint(2 * off)
        assert np.abs(2 * off - halves).max() < 1e-3
        parity = halves.astype(int) % 2
        assert len(np.unique(parity, axis=0)) == 2  # two halves of one crystal
        distance = np.linalg.norm(position[:, None] - position, axis=-1) + 99 * np.eye(len(position))
        assert distance.min() > 12 * 0.45
        assert len(position) == pytest.approx(SIDE**2 / 144, rel=0.12)


def test_a_second_grain_is_the_smaller_part_and_turned() -> None:
    draws, basis, atoms = crystals(Recipe("square", grains=1.0, **STILL), 40)
    shares = []
    for window in range(40):
        position = of(atoms, window)
        spots = np.linalg.inv(basis[window]).T
        # how well the atoms agree with the larger grain: its lattice phase is the same for all of them
        phase = np.exp(-2j * np.pi * position @ spots.T)
        shares.append(np.abs(phase.mean(axis=0)).mean())
    expected = 1 - (0.15 + 0.30 * draws.units("grain")[:, 0].numpy())
    assert np.corrcoef(shares, expected)[0, 1] > 0.9
    assert np.mean(shares) == pytest.approx(0.7, abs=0.05)


def test_the_specimen_ends_where_that_of_one_crystal_does() -> None:
    """As far as `crystal.draw_atoms` cuts it off, whose share is that of the frame and what lies around it."""
    recipe, whole = (Recipe("square", vacuum=(share, share), **STILL) for share in (0.3, 0.0))
    cut, full = crystals(recipe, 40)[2], crystals(whole, 40)[2]
    left = [len(of(cut, w)) / len(of(full, w)) for w in range(40)]
    expected = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        basis, length = draw_lattice(recipe, rng)
        position = crystal.draw_atoms(recipe, rng, basis, length, (SIDE, SIDE)).position
        expected.append(((position >= 0) & (position <= SIDE - 1)).all(axis=1).sum() / (SIDE**2 / 144))
    assert np.mean(left) == pytest.approx(np.mean(expected), abs=0.03)
    assert np.std(left) == pytest.approx(np.std(expected), abs=0.02)
    empty = crystals(Recipe("none", empty=1.0, **STILL), 4)[2]
    assert len(empty.height) == 0


def test_strain_is_smooth_of_its_size_and_without_mean() -> None:
    still, strained = (crystals(Recipe("square", strain=(s, s), **STILL), 20) for s in (0.0, 0.02))
    sizes = []
    for window in range(20):
        sites, position = of(still[2], window), of(strained[2], window)
        inverse = np.linalg.inv(still[1][window])
        near = np.abs(sites[:, None] - position).max(axis=-1).argmin(axis=1)
        moved = position[near] - sites
        steps = moved @ inverse
        moved -= np.rint(steps) @ still[1][window]  # the nearest atom may be that of the next site
        design = np.column_stack([sites, np.ones(len(sites))])
        linear = np.linalg.lstsq(design, moved, rcond=None)[0]
        assert np.abs(linear[:2]).max() < 0.006
        neighbours = np.linalg.norm(sites[:, None] - sites, axis=-1)
        pairs = np.argwhere((neighbours > 1) & (neighbours < 12.5))
        sizes.append(np.sqrt((((moved[pairs[:, 0]] - moved[pairs[:, 1]]) / 12) ** 2).mean()))
    assert np.mean(sizes) == pytest.approx(0.02, rel=0.15)


def test_holes_hold_no_atoms() -> None:
    recipe = Recipe("square", holes=(2, 4), **STILL)
    number = torch.arange(10)
    draws = Draws.of(RecipeTable([recipe], "cpu"), torch.zeros_like(number), 3, number)
    holes = draw_holes(draws, torch.full((10, 2), float(SIDE), dtype=torch.float64))
    atoms = crystals(recipe, 10)[2]
    window = torch.repeat_interleave(number, atoms.first[1:] - atoms.first[:-1])
    assert not holes.contain(window, atoms.position.double()).any()
    assert len(atoms.height) < len(crystals(Recipe("square", **STILL), 10)[2].height)


def test_drift_has_its_size_and_no_slope_and_flyback_decays() -> None:
    quiet, drifting, returning = (
        crystals(replace(Recipe("square", **STILL), **more), 20)[2]
        for more in ({}, {"drift": (1.5, 1.5)}, {"flyback": (3.0, 3.0)})
    )
    assert torch.equal(quiet.first, drifting.first)
    moved = (drifting.position - quiet.position).numpy()
    inside = ((quiet.position >= 0) & (quiet.position < SIDE)).all(dim=1).numpy()
    assert moved[inside, 1].std() == pytest.approx(1.5, rel=0.1)
    assert moved[inside, 0].std() == pytest.approx(0.75, rel=0.1)
    at = quiet.position.numpy()
    assert abs(np.polyfit(at[inside, 0], moved[inside, 1], 1)[0]) * SIDE < 0.3
    back = (returning.position - quiet.position).numpy()
    np.testing.assert_allclose(back[:, 0], 0, atol=1e-5)
    np.testing.assert_allclose(back[:, 1], 3 * np.exp(-np.maximum(at[:, 1], 0) / (0.15 * SIDE)), atol=1e-4)


def test_a_tilted_specimen_lowers_its_atoms() -> None:
    recipe = Recipe("square", tilt=(1.0, 1.0), **STILL)
    atoms = crystals(recipe)[2]
    assert float(atoms.height.min()) >= 0.5 - 1e-6
    assert float(atoms.height.max()) <= 1 + 1e-6
    assert float(atoms.height.std()) > 0.05
