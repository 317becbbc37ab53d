"""Sites of simulated crystals: where they are, how much of an atom each holds, and whether the errors are true."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.local.frame import pixel_phases
from bravaismap.local.pixels import PixelSettings
from bravaismap.local.site_states import judged_sites
from bravaismap.local.site_table import SiteTable, frame_sites, joined
from bravaismap.local.tracks import changes, followed_sites
from bravaismap.simulate.crystal import gaussian_atoms

A, SIZE = 10.0, 160
HEXAGON = basis_from_cell(A, A, np.pi / 3, 0.25)
SQUARE = basis_from_cell(A, A, np.pi / 2, 0.15)


def atoms(basis: np.ndarray, size: int = SIZE) -> np.ndarray:
    steps = np.stack(np.meshgrid(*2 * [np.arange(-60, 60)], indexing="ij"), -1).reshape(-1, 2)
    places = steps @ basis + size / 2 + [0.3, 0.7]
    return places[((places > -A) & (places < size + A)).all(1)]


def drawn(places: np.ndarray, height: np.ndarray | float = 1.0) -> np.ndarray:
    count = len(places)
    return gaussian_atoms(places, np.broadcast_to(height, count), np.full(count, 0.17 * A), (SIZE, SIZE)).astype(float)


def counted(image: np.ndarray, counts: float, seed: int = 0) -> torch.Tensor:
    noisy = np.random.default_rng(seed).poisson(counts * np.maximum(image, 0) + 0.05 * counts)
    return torch.from_numpy(noisy.astype(np.float32))


def bases(*values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(values).astype(np.float32))


def sites_of(image: torch.Tensor, basis: np.ndarray, frame: int = 0, mask: torch.Tensor | None = None) -> SiteTable:
    return frame_sites(pixel_phases(image, bases(basis), PixelSettings(), mask), image, frame, mask)


@cache
def defects() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of the atoms, their heights, and which are far from the edge."""
    places = atoms(HEXAGON)
    rng = np.random.default_rng(2)
    height = np.ones(len(places))
    inner = np.flatnonzero(((places > 15) & (places < SIZE - 15)).all(1))
    chosen = rng.choice(inner, 24, replace=False)
    height[chosen[:8]], height[chosen[8:]] = 0.0, 0.5
    return places, height, inner


def nearest(table: SiteTable, places: np.ndarray) -> np.ndarray:
    distance = np.linalg.norm(table.position[:, None] - places, axis=-1)
    assert distance.min(1).max() < 0.6
    return distance.argmin(1)


def test_every_atom_has_one_site() -> None:
    places, height, _ = defects()
    table = sites_of(counted(drawn(places, height), 40), HEXAGON)
    inside = np.flatnonzero(((places > 0) & (places < SIZE - 1)).all(1))
    found = nearest(table, places)
    assert len(np.unique(found)) == len(found)
    assert set(inside) <= set(found)


@pytest.mark.parametrize("counts", [40.0, 5.0])
def test_vacancies_are_found_and_other_atoms_are_not_taken_for_them(counts: float) -> None:
    places, height, _ = defects()
    table = judged_sites(sites_of(counted(drawn(places, height), counts), HEXAGON))
    true = height[nearest(table, places)]
    assert (table.state[true == 0] == 0).all()
    assert (table.state[true > 0] != 0).all()
    np.testing.assert_allclose(table.vacant + table.occupied + table.substituted, 1, atol=1e-6)
    if counts > 10:
        assert (table.state[true == 0.5] == 2).all()
        assert (table.state[true == 1] == 2).mean() < 0.02


def test_amplitudes_are_those_of_the_atoms_within_their_errors() -> None:
    places, height, inner = defects()
    pulls, usual = [], []
    for seed in range(3):
        table = judged_sites(sites_of(counted(drawn(places, height), 20, seed), HEXAGON))
        index = nearest(table, places)
        rows = np.isin(index, inner)
        pulls.append(((table.amplitude - height[index]) / table.amplitude_std)[rows])
        usual.append(pulls[-1][height[index][rows] == 1])
    assert np.concatenate(usual).mean() == pytest.approx(0, abs=0.15)
    assert np.concatenate(pulls).std() == pytest.approx(1, abs=0.25)
    assert (table.vacant_std < table.occupied_std).all()  # fewer counts, less noise


def test_atoms_that_grow_brighter_across_the_frame_are_all_the_usual_one() -> None:
    places, height, inner = defects()
    slope = 1 + 0.6 * (places[:, 1] / SIZE - 0.5)
    table = judged_sites(sites_of(counted(drawn(places, slope * height), 40), HEXAGON))
    index = nearest(table, places)
    true = height[index]
    assert (table.state[true == 0] == 0).all()
    assert (table.state[true == 0.5] == 2).mean() > 0.9
    assert (table.state[true == 1] == 1).mean() > 0.98
    rows = np.isin(index, inner) & (true == 1)
    assert abs(np.polyfit(places[index[rows], 1] / SIZE, table.amplitude[rows], 1)[0]) < 0.2  # 0.6 without


def test_without_noise_neighbours_leak_little_into_a_vacancy() -> None:
    places, height, inner = defects()
    image = torch.from_numpy((drawn(places, height) + 0.3).astype(np.float32))
    table = sites_of(image, HEXAGON)
    index = nearest(table, places)
    rows = np.isin(index, inner)
    np.testing.assert_allclose(table.amplitude[rows], height[index][rows], atol=0.1)


def test_sites_go_on_in_a_void() -> None:
    places = atoms(SQUARE)
    height = np.where(np.linalg.norm(places - SIZE / 2, axis=1) < 3.2 * A, 0.0, 1.0)
    table = judged_sites(sites_of(counted(drawn(places, height), 30), SQUARE))
    true = height[nearest(table, places)]
    assert (table.state[true == 0] == 0).mean() > 0.95
    assert (table.state == 0).sum() == pytest.approx((true == 0).sum(), rel=0.08)


def test_both_atoms_of_a_cell_are_sites() -> None:
    basis = 1.4 * SQUARE
    places = np.concatenate([atoms(basis), atoms(basis) + basis.sum(0) / 2])
    table = sites_of(counted(drawn(places, np.repeat([1.0, 0.6], len(places) // 2)), 60), basis)
    index = nearest(table, places)
    np.testing.assert_array_equal(table.sublattice, index >= len(places) // 2)
    assert np.median(table.amplitude[table.sublattice == 1]) == pytest.approx(1, abs=0.05)


def test_nothing_is_said_of_masked_and_of_covered_sites() -> None:
    places = atoms(SQUARE)
    mask = torch.ones(SIZE, SIZE, dtype=torch.bool)
    mask[:50, :50] = False
    y, x = np.mgrid[:SIZE, :SIZE]
    dirt = np.hypot(y - 110, x - 110) < 22
    image = counted(np.where(dirt, 3.0, drawn(places)), 30)
    table = judged_sites(sites_of(torch.where(mask, image, 1e4), SQUARE, mask=mask))
    assert not (table.position < 47).all(1).any()
    under = np.hypot(*(table.position - 110).T) < 15
    assert not (table.state[under] == 0).any()


def test_a_vacancy_opens_hops_and_heals_in_a_specimen_that_drifts() -> None:
    places = atoms(SQUARE)
    start = int(np.linalg.norm(places - SIZE / 2, axis=1).argmin())
    beside = int(np.argsort(np.linalg.norm(places - places[start], axis=1))[1])
    tables = []
    for frame, gone in enumerate(([], [start], [beside], [])):
        height = np.ones(len(places))
        height[gone] = 0
        tables.append(sites_of(counted(drawn(places + 1.5 * frame, height), 60, frame), SQUARE, frame))
    followed = judged_sites(followed_sites(tables, A))
    events = changes(followed.frame, followed.track, followed.state, followed.position, A)
    assert [event.kind for event in events] == ["open", "hop", "heal"]
    assert [followed.frame[event.row] for event in events] == [1, 2, 3]
    assert events[1].target == followed.track[events[2].row]


def test_no_sites_make_an_empty_table() -> None:
    empty = joined([])
    assert len(empty) == 0
    assert len(judged_sites(followed_sites([], A))) == 0
