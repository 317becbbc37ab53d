"""Frames of a mapped movie that are asked once more: which, and what is known of those that show nothing."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.errors import BravaismapWarning, InputError
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.phases.asked_movie import asked_movie
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

SIZE = 96


@pytest.fixture(scope="module")
def movie() -> np.ndarray:
    """A crystal, an even frame, one that was never measured, and the crystal again."""
    places = lattice_sites(basis_from_cell(9.0, 9.0, np.pi / 3, 0.2), (SIZE, SIZE), np.array([3.0, 4.0]), 9.0)
    crystal = gaussian_atoms(places, np.ones(len(places)), np.full(len(places), 1.5), (SIZE, SIZE))
    return np.stack([crystal, np.ones_like(crystal), np.full_like(crystal, np.nan), crystal])


@pytest.fixture(scope="module")
def result(movie: np.ndarray) -> xr.Dataset:
    with pytest.warns(BravaismapWarning):
        return bm.map_phases(movie, window=48, step=16, pixel_size=0.03)


def test_frames_come_in_the_order_of_time_with_their_pixels(result: xr.Dataset, movie: np.ndarray) -> None:
    asking = asked_movie(result, movie, [-1, 2, 1, 0])
    assert (asking.numbers, asking.pixel_size, asking.pixel_step) == ([0, 1, 2, 3], 0.03, result.attrs["pixel_step"])
    steps: list[int] = []
    frames = list(asking.frames(steps.append))
    assert steps == [1, 2, 3, 4]
    assert [index for index, _, _ in frames] == [0, 1, 2, 3]
    assert [asked is not None for _, _, asked in frames] == [True, False, False, True]
    for index, frame, _ in frames:
        np.testing.assert_array_equal(frame, movie[index])
    first, last = (frames[i][2].pixels.probability for i in (0, 3))  # type: ignore[union-attr]
    np.testing.assert_array_equal(first, last)  # a frame depends on nothing but itself


def test_another_movie_and_a_result_without_cells_are_refused(result: xr.Dataset, movie: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected 4 frames"):
        asked_movie(result, movie[:3], None)
    with pytest.raises(InputError, match="measured no cells"):
        asked_movie(result.drop_vars("basis"), movie, None)
