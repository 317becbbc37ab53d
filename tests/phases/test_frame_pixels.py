"""The pixels of one frame: how many are kept, how they are rounded, and what is said where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.classify.models import NetworkClassifier
from bravaismap.conventions import CLASSES, UNMAPPED
from bravaismap.errors import BravaismapWarning
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.phases.frame_pixels import POINTS_PER_CELL, hidden_pixels, pixel_step_for
from bravaismap.result.phase_map import mapped_frames
from bravaismap.result.schema import pixel_variables
from bravaismap.simulate.crystal import gaussian_atoms

SIZE, SPACING = 128, 9.0
NONE = CLASSES.index("none")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """A square crystal with a void in its upper left quarter."""
    index = np.stack(np.meshgrid(*[np.arange(-30, 30)] * 2, indexing="ij"), -1).reshape(-1, 2)
    places = index @ basis_from_cell(SPACING, SPACING, np.pi / 2, 0.15) + SIZE / 2
    places = places[((places > -SPACING) & (places < SIZE + SPACING)).all(axis=1)]
    places = places[~(places < SIZE / 2).all(axis=1)]
    ones = np.ones(len(places))
    clean = gaussian_atoms(places, ones, 0.17 * SPACING * ones, (SIZE, SIZE)).astype(float)
    return np.random.default_rng(1).poisson(30 * clean + 3).astype(np.float32)


@pytest.fixture(scope="module")
def mapped(image: np.ndarray) -> xr.Dataset:
    return bm.map_phases(image, window=64, step=16, pixel_size=0.03)


@pytest.mark.parametrize(("cell", "step"), [(3.0, 1), (7.9, 1), (8.0, 2), (11.0, 2), (12.0, 3), (60.0, 15)])
def test_a_cell_keeps_four_points_along_its_side(cell: float, step: int) -> None:
    assert pixel_step_for(cell) == step
    assert step == 1 or cell / step >= POINTS_PER_CELL


def test_pixels_are_in_a_map_by_default_and_can_be_left_out(image: np.ndarray, mapped: xr.Dataset) -> None:
    names = {variable.name for variable in pixel_variables()}
    assert names <= set(mapped)
    assert mapped.attrs["pixel_step"] == 2
    assert mapped.sizes["py"] == mapped.sizes["px"] == SIZE // 2
    assert float(mapped["area_fraction"].sel(lattice="none")[0]) == pytest.approx(0.25, abs=0.02)
    without = bm.map_phases(image, window=64, step=16, pixel_size=0.03, pixels=False)
    assert not names & set(without)
    assert "pixel_step" not in without.attrs
    assert "py" not in without.coords
    xr.testing.assert_identical(without["probability"], mapped["probability"])


def test_a_model_without_cells_has_no_pixels(image: np.ndarray, quick: NetworkClassifier) -> None:
    mapped = bm.map_phases(image, window=64, step=64, model=quick, samples=0)
    assert "phase" not in mapped
    assert "pixel_step" not in mapped.attrs


def test_values_are_rounded_as_the_schema_says(mapped: xr.Dataset) -> None:
    for variable in pixel_variables("nm"):
        values = mapped[variable.name].values.astype(float)
        assert np.isfinite(values).any()
        if variable.quantum:
            quantum = variable.quantum
            if variable.units == "nm":
                quantum = 2.0 ** np.floor(np.log2(quantum * 0.03))
            parts = values[np.isfinite(values)] / quantum
            np.testing.assert_array_equal(parts, np.rint(parts))


def test_nothing_is_known_of_a_frame_that_was_not_measured(mapped: xr.Dataset) -> None:
    hidden = hidden_pixels((SIZE, SIZE), 2, None)
    assert set(hidden) == {variable.name for variable in pixel_variables()}
    for variable in pixel_variables():
        values = hidden[variable.name]
        assert values.shape == mapped[variable.name].shape[1:]
        assert values.dtype == variable.dtype
        assert (values == UNMAPPED).all() if values.dtype.kind == "i" else np.isnan(values).all()
    with pytest.warns(BravaismapWarning):
        blank = bm.map_phases(np.full((96, 96), np.nan), window=48)
    assert (blank["phase"] == UNMAPPED).all()
    assert blank["area_fraction"].isnull().all()


def test_a_constant_frame_is_none() -> None:
    with pytest.warns(BravaismapWarning, match="constant"):
        constant = bm.map_phases(np.ones((96, 96)), window=48)
    assert (constant["phase"] == NONE).all()
    assert (constant["phase_probability"] == 1).all()
    assert constant["area_fraction"].values.tolist() == [[0, 0, 0, 0, 0, 1]]
    assert constant["area_fraction_std"].values.tolist() == [[0] * 6]


def test_result_on_disk_by_workers_and_continued_is_the_one_in_memory(
    image: np.ndarray, mapped: xr.Dataset, tmp_path: object
) -> None:
    movie = np.stack([image, image[::-1], image.T])
    options = {"window": 64, "step": 16, "pixel_size": 0.03}
    whole = bm.map_phases(movie, **options)
    xr.testing.assert_equal(whole.isel(time=0, drop=True), mapped.isel(time=0, drop=True))

    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done >= 1:
            raise StopError

    store = f"{tmp_path}/r.zarr"
    with pytest.raises(StopError):
        bm.map_phases(movie, **options, output=store, progress=stop)
    unfinished = bm.open_result(store)
    kept = mapped_frames(unfinished)
    assert kept[0]  # frames that were mapped while the first one was written are kept, too
    assert ((unfinished["phase"].values == UNMAPPED).all((1, 2)) == ~kept).all()
    finished = bm.map_phases(movie, **options, output=store)
    xr.testing.assert_equal(finished.load(), whole)
