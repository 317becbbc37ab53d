"""Sites of a mapped movie: vacancies, a void and other atoms, where they are, and how many there are."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bravaismap.errors import InputError
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.movie import as_movie
from bravaismap.phases.map import map_phases
from bravaismap.phases.sites import count_sites, find_sites, site_events, site_table
from bravaismap.simulate.crystal import gaussian_atoms

SIZE, SPACING, PIXEL = 144, 9.0, 0.03
#: Sites that are empty in each frame: a single vacancy that opens and heals, and a void that opens in the last one.
SINGLE = np.array([40.0, 50.0])
VOID, RADIUS = np.array([90.0, 95.0]), 2.2 * SPACING
FRAMES = 3


def atoms() -> np.ndarray:
    basis = basis_from_cell(SPACING, SPACING, np.pi / 2, 0.15)
    index = np.stack(np.meshgrid(*[np.arange(-60, 60)] * 2, indexing="ij"), -1).reshape(-1, 2)
    places = index @ basis + SIZE / 2
    return places[((places > -SPACING) & (places < SIZE + SPACING)).all(axis=1)]


def heights(frame: int) -> np.ndarray:
    places = atoms()
    height = np.ones(len(places))
    height[::17] = 0.55
    if frame == 1:
        height[np.linalg.norm(places - SINGLE, axis=1).argmin()] = 0
    if frame == 2:
        height[np.linalg.norm(places - VOID, axis=1) < RADIUS] = 0
    return height


@pytest.fixture(scope="module")
def movie() -> xr.DataArray:
    places, width = atoms(), np.full(len(atoms()), 0.16 * SPACING)
    images = [gaussian_atoms(places, heights(frame), width, (SIZE, SIZE)).astype(float) for frame in range(FRAMES)]
    counts = np.random.default_rng(5).poisson(40 * np.stack(images) + 2).astype(np.float32)
    return as_movie(counts, pixel_size=PIXEL, frame_time=2.0)


@pytest.fixture(scope="module")
def result(movie: xr.DataArray) -> xr.Dataset:
    return map_phases(movie, window=64, step=16)


@pytest.fixture(scope="module")
def sites(result: xr.Dataset, movie: xr.DataArray) -> xr.Dataset:
    return find_sites(result, movie)


def test_sites_are_those_of_the_crystal_in_nm(sites: xr.Dataset) -> None:
    places = PIXEL * atoms()
    position = np.column_stack([sites["y"].values, sites["x"].values])
    distance = np.linalg.norm(position[:, None] - places, axis=-1).min(1)
    assert distance.max() < 0.6 * PIXEL
    assert sites["y"].attrs["units"] == "nm"
    assert sites.attrs["spacing"] == pytest.approx(SPACING * PIXEL, rel=0.01)
    assert set(sites["lattice"].values.tolist()) == {"square"}
    np.testing.assert_allclose(sites["vacant"] + sites["occupied"] + sites["substituted"], 1, atol=1e-6)


def test_states_are_true(sites: xr.Dataset) -> None:
    places = PIXEL * atoms()
    position = np.column_stack([sites["y"].values, sites["x"].values])
    nearest = np.linalg.norm(position[:, None] - places, axis=-1).argmin(1)
    inner = ((position > 8 * PIXEL) & (position < (SIZE - 9) * PIXEL)).all(1)
    for frame in range(FRAMES):
        rows = (sites["frame"].values == frame) & inner
        true = heights(frame)[nearest[rows]]
        state = sites["state"].values[rows]
        np.testing.assert_array_equal(state == "vacant", true == 0)
        assert (state[true == 0.55] == "substituted").mean() > 0.9


def test_single_vacancies_and_voids_are_told_apart(sites: xr.Dataset) -> None:
    missing, frame = sites["missing"].values, sites["frame"].values
    assert (missing[frame == 0] == 0).all()
    np.testing.assert_array_equal(missing[(frame == 1) & (missing > 0)], [1])
    void = missing[(frame == 2) & (missing > 0)]
    assert len(np.unique(void)) == 1
    assert void[0] == len(void) == (heights(2) == 0).sum()


def test_numbers_per_frame(sites: xr.Dataset) -> None:
    counts = count_sites(sites)
    np.testing.assert_array_equal(counts["measured_frame"], [0, 1, 2])
    np.testing.assert_array_equal(counts["single"], [0, 1, 0])
    gone = (heights(2) == 0).sum()
    assert float(counts["vacant"][2]) == pytest.approx(gone, abs=1.5)
    assert float(counts["void_fraction"][2]) == pytest.approx(gone / float(counts["sites"][2]), abs=0.01)
    area = (SIZE * PIXEL) ** 2
    np.testing.assert_allclose(counts["single_density"], np.array([0, 1, 0]) / area)
    assert counts["single_density"].attrs["units"] == "1/nm²"


def test_events_in_time(sites: xr.Dataset) -> None:
    events = site_events(sites)
    kinds = [(int(f), str(k)) for f, k in zip(events["frame"].values, events["kind"].values, strict=True)]
    gone = int((heights(2) == 0).sum())
    assert kinds.count((1, "open")) == 1
    assert kinds.count((2, "heal")) == 1
    assert kinds.count((2, "open")) == pytest.approx(gone, abs=1)
    assert "hop" not in {kind for _, kind in kinds}
    opened = int(np.flatnonzero(events["kind"].values == "open")[0])
    at = np.array([events["y"].values[opened], events["x"].values[opened]])
    assert np.linalg.norm(at - PIXEL * SINGLE) < PIXEL * SPACING
    assert f"{gone + 1} open, 1 heal, 0 hop" in site_table(sites)


def test_frames_and_movies_that_do_not_fit_are_refused(result: xr.Dataset, movie: xr.DataArray) -> None:
    with pytest.raises(InputError, match="the one that was mapped"):
        find_sites(result, movie[:2])
    with pytest.raises(InputError, match="frame 7"):
        find_sites(result, movie, frames=[7])
    with pytest.raises(InputError, match="cells"):
        find_sites(result.drop_vars(["basis", "basis_covariance"]), movie)


def test_a_frame_alone(result: xr.Dataset, movie: xr.DataArray) -> None:
    steps: list[int] = []
    sites = find_sites(result, movie, frames=[1], progress=steps.append)
    assert steps == [1]
    assert set(sites["frame"].values.tolist()) == {1}
    assert int((sites["missing"] == 1).sum()) == 1
    assert site_events(sites).sizes["event"] == 0


def test_noise_has_no_sites(result: xr.Dataset, movie: xr.DataArray) -> None:
    noise = as_movie(np.random.default_rng(1).poisson(9, (1, SIZE, SIZE)).astype(np.float32), pixel_size=PIXEL)
    sites = find_sites(map_phases(noise, window=64, step=32), noise)
    assert sites.sizes["site"] == 0
    assert "no sites" in site_table(sites)
    assert float(count_sites(sites)["sites"][0]) == 0
