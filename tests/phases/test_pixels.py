"""Pixel maps: grains and a void of known areas, missing pixels, noise, and the same answers however they are asked."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
import xarray as xr

from bravaismap.conventions import CLASSES
from bravaismap.errors import BravaismapWarning, InputError
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.movie import as_movie
from bravaismap.phases.map import map_phases
from bravaismap.phases.pixels import pixel_map
from bravaismap.result.schema import pixel_variables
from bravaismap.simulate.crystal import gaussian_atoms

SIZE, SPACING, PIXEL = 192, 9.0, 0.03
HEXAGONAL, NONE = (CLASSES.index(name) for name in ("hexagonal", "none"))
#: Frames of the film: intact grains, a void between them, noise alone, and the void where a scan was stopped.
INTACT, VOID, NOISE, STOPPED = range(4)
LAST_ROW = 150


def atoms(turn: float) -> np.ndarray:
    basis = basis_from_cell(SPACING, SPACING, np.pi / 3, turn)
    index = np.stack(np.meshgrid(*[np.arange(-60, 60)] * 2, indexing="ij"), -1).reshape(-1, 2)
    places = index @ basis + SIZE / 2
    return places[((places > -SPACING) & (places < SIZE + SPACING)).all(axis=1)]


def grain_of(y: np.ndarray, x: np.ndarray, *, void: bool) -> np.ndarray:
    """Return the grain at a point: 0 on the left, 1 on the right, −1 in the void between them."""
    grain = np.where(x < 110, 0, 1)
    return np.where(np.hypot(y - 90, x - 105) < 36, -1, grain) if void else grain


def crystal(*, void: bool) -> np.ndarray:
    kept = []
    for number, turn in enumerate((0.1, 0.5)):
        places = atoms(turn)
        kept.append(places[grain_of(places[:, 0], places[:, 1], void=void) == number])
    places = np.concatenate(kept)
    ones = np.ones(len(places))
    return gaussian_atoms(places, ones, 0.17 * SPACING * ones, (SIZE, SIZE)).astype(float)


@pytest.fixture(scope="module")
def movie() -> xr.DataArray:
    rng = np.random.default_rng(5)
    intact, void = (rng.poisson(30 * crystal(void=holed) + 3).astype(np.float32) for holed in (False, True))
    stopped = void.copy()
    stopped[LAST_ROW:] = np.nan
    noise = rng.poisson(10, (SIZE, SIZE)).astype(np.float32)
    return as_movie(np.stack([intact, void, noise, stopped]), pixel_size=PIXEL, frame_time=2.0)


@pytest.fixture(scope="module")
def result(movie: xr.DataArray) -> xr.Dataset:
    with pytest.warns(BravaismapWarning, match="never measured"):
        return map_phases(movie, window=64, step=16)


@pytest.fixture(scope="module")
def pixels(result: xr.Dataset) -> xr.Dataset:
    return pixel_map(result)


@pytest.fixture(scope="module")
def windows(result: xr.Dataset) -> xr.Dataset:
    """The result as it is without pixels, as older ones are."""
    kept = result.drop_vars([variable.name for variable in pixel_variables()]).drop_vars(("py", "px"))
    return kept.assign_attrs({key: value for key, value in result.attrs.items() if key != "pixel_step"})


def truth(pixels: xr.Dataset) -> np.ndarray:
    y, x = np.meshgrid(pixels["py"].values / PIXEL, pixels["px"].values / PIXEL, indexing="ij")
    return grain_of(y, x, void=True)


def test_areas_of_grains_and_void_are_the_true_ones(pixels: xr.Dataset) -> None:
    true = grain_of(*np.mgrid[:SIZE, :SIZE], void=True)
    area, std = (pixels[name].isel(time=VOID).values for name in ("area_fraction", "area_fraction_std"))
    assert area[NONE] == pytest.approx((true < 0).mean(), abs=0.01)
    assert area[HEXAGONAL] == pytest.approx((true >= 0).mean(), abs=0.01)
    assert abs(area[NONE] - (true < 0).mean()) < 3 * std[NONE]
    assert 0 < std[NONE] < 0.02
    assert area.sum() == pytest.approx(1, abs=1e-4)
    domain = pixels["domain"].isel(time=VOID).values
    left = domain[np.ix_(pixels["py"] > 0, pixels["px"] < 50 * PIXEL)]
    number = np.bincount(left[left >= 0]).argmax()
    assert (domain == number).mean() == pytest.approx((true == 0).mean(), abs=0.015)
    assert (domain == 1 - number).mean() == pytest.approx((true == 1).mean(), abs=0.015)
    assert area[NONE] > pixels["area_fraction"].isel(time=INTACT).values[NONE] + 0.05


def test_phase_is_that_of_the_place_up_to_the_edge(pixels: xr.Dataset) -> None:
    frame = pixels.isel(time=VOID)
    expected = np.where(truth(pixels) < 0, NONE, HEXAGONAL)
    right = frame["phase"].values == expected
    assert right.mean() > 0.97
    assert right[[0, -1]].mean() > 0.95
    assert right[:, [0, -1]].mean() > 0.95
    assert float(frame["amplitude"].where(truth(pixels) < 0).mean()) < 0.15
    assert float(frame["amplitude"].where(truth(pixels) >= 0).mean()) == pytest.approx(1, abs=0.1)
    probability = frame["phase_probability"].values
    assert probability.mean() == pytest.approx(right.mean(), abs=0.04)


def test_grains_keep_their_numbers(pixels: xr.Dataset) -> None:
    corner = {"py": slice(0, 15), "px": slice(0, 15)}
    numbers = [np.unique(pixels["domain"].isel(time=t, **corner)) for t in (INTACT, VOID, STOPPED)]
    assert all(len(values) == 1 for values in numbers)
    assert len({int(values[0]) for values in numbers}) == 1
    assert set(np.unique(pixels["domain"].isel(time=[INTACT, VOID, STOPPED]))) == {-1, 0, 1}


def test_noise_is_none(pixels: xr.Dataset, result: xr.Dataset) -> None:
    frame = pixels.isel(time=NOISE)
    assert (frame["phase"] == NONE).all()
    assert (frame["domain"] == -1).all()
    assert frame["amplitude"].isnull().all()
    assert frame["area_fraction"].values.tolist() == [0, 0, 0, 0, 0, 1]
    mean = float(result["fraction"].isel(time=NOISE, lattice=NONE))
    assert float(frame["phase_probability"].mean()) == pytest.approx(mean, abs=2**-9)
    assert float(frame["area_fraction_std"].isel(lattice=NONE)) == pytest.approx(1 - mean)


def test_what_was_not_measured_has_no_phase_and_no_area(pixels: xr.Dataset) -> None:
    frame, missing = pixels.isel(time=STOPPED), pixels["py"].values >= LAST_ROW * PIXEL
    assert (frame["phase"].values[missing] == -1).all()
    assert (frame["domain"].values[missing] == -1).all()
    assert np.isnan(frame["phase_probability"].values[missing]).all()
    assert np.isnan(frame["amplitude"].values[missing]).all()
    assert (frame["phase"].values[~missing] >= 0).all()
    true = (grain_of(*np.mgrid[:LAST_ROW, :SIZE], void=True) < 0).mean()
    assert float(frame["area_fraction"].isel(lattice=NONE)) == pytest.approx(true, abs=0.015)


def test_axes_are_those_of_the_frame(pixels: xr.Dataset, result: xr.Dataset, movie: xr.DataArray) -> None:
    step = pixels.attrs["pixel_step"]
    assert step == int(SPACING * np.sqrt(np.sqrt(0.75)) / 4)
    for place, axis in (("py", "y"), ("px", "x")):
        np.testing.assert_allclose(pixels[place], movie[axis].values[::step])
        assert pixels[place].attrs["units"] == "nm"
    assert pixels["phase"].dtype == np.int8
    np.testing.assert_array_equal(pixels["time"], result["time"])
    assert pixels.attrs == dict(result.attrs) | {"pixel_step": step}


def test_frames_alone_are_as_in_the_whole(
    pixels: xr.Dataset, result: xr.Dataset, windows: xr.Dataset, movie: xr.DataArray
) -> None:
    done: list[int] = []
    lazy = movie.copy(data=dask.array.from_array(movie.values, chunks=(1, SIZE, SIZE)))
    later = pixel_map(windows, lazy, frames=[-1, VOID], progress=done.append)
    xr.testing.assert_identical(later, pixels.isel(time=[VOID, STOPPED]))
    assert later["frame"].values.tolist() == [VOID, STOPPED]
    assert done == [1, 2]
    xr.testing.assert_identical(pixel_map(result, frames=[-1, VOID]), later)


def test_a_lazy_result_stays_lazy(pixels: xr.Dataset, result: xr.Dataset) -> None:
    lazy = pixel_map(result.chunk(time=1))
    assert all(hasattr(lazy[name].data, "dask") for name in ("phase", "domain"))
    xr.testing.assert_identical(lazy.load(), pixels)


def test_the_grid_of_the_work_divides_the_grid_that_is_kept(windows: xr.Dataset, movie: xr.DataArray) -> None:
    coarse = pixel_map(windows.assign_attrs(pixel_step=6), movie, frames=[VOID])
    fine = pixel_map(windows.assign_attrs(pixel_step=2), movie, frames=[VOID])
    xr.testing.assert_equal(coarse, fine.isel(py=slice(None, None, 3), px=slice(None, None, 3)))


def test_displacement_and_strain_are_those_of_the_crystal() -> None:
    """A square crystal stretched along x on its right half, and slowly displaced there."""
    basis = basis_from_cell(SPACING, SPACING, np.pi / 2, 0.0)
    index = np.stack(np.meshgrid(*[np.arange(-30, 60)] * 2, indexing="ij"), -1).reshape(-1, 2)
    places = index @ basis
    places[:, 1] += 0.01 * np.maximum(places[:, 1] - SIZE / 2, 0)
    places = places[((places > -SPACING) & (places < SIZE + SPACING)).all(axis=1)]
    ones = np.ones(len(places))
    image = gaussian_atoms(places, ones, 0.17 * SPACING * ones, (SIZE, SIZE)).astype(float)
    pixels = pixel_map(map_phases(as_movie(100 * image, pixel_size=PIXEL), window=64, step=32)).isel(time=0)
    left, right = pixels["exx"].isel(px=slice(5, 30)), pixels["exx"].isel(px=slice(-30, -5))
    assert float(right.mean() - left.mean()) == pytest.approx(1.0, abs=0.15)
    assert float(np.abs(pixels["eyy"]).mean()) < 0.1
    assert float(np.abs(pixels["rotation"]).mean()) < 0.1
    # what is displaced by u against the mean lattice lies where the lattice at r − u is
    basis = pixels["frame_basis"].isel(number=0).values.astype(float)
    grid = np.stack(np.meshgrid(pixels["py"], pixels["px"], indexing="ij"), -1)
    atoms = places * PIXEL
    nearest = np.rint(atoms / (pixels.attrs["pixel_step"] * PIXEL)).astype(int)
    inside = ((nearest > 4) & (nearest < np.array(grid.shape[:2]) - 4)).all(axis=1)
    moved = pixels["displacement"].values[tuple(nearest[inside].T)]
    index = (atoms[inside] - moved) @ np.linalg.inv(basis)
    common = np.angle(np.exp(2j * np.pi * index).mean(axis=0)) / (2 * np.pi)
    away = (index - common + 0.5) % 1 - 0.5
    assert np.sqrt((away**2).sum(axis=1).mean()) < 0.03


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_unit_and_zero_of_the_intensity_do_not_matter(
    pixels: xr.Dataset, windows: xr.Dataset, movie: xr.DataArray, unit: float
) -> None:
    other = pixel_map(windows, unit * (movie.values.astype(float) + 1000), frames=[VOID])
    assert (other["phase"].values == pixels["phase"].isel(time=[VOID]).values).mean() > 0.999


def test_frames_that_are_not_mapped_are_unknown(windows: xr.Dataset, movie: xr.DataArray) -> None:
    unfinished = windows.copy(deep=True)
    unfinished["fraction"][INTACT] = np.nan
    frame = pixel_map(unfinished, movie, frames=[INTACT]).isel(time=0)
    assert (frame["phase"] == -1).all()
    assert (frame["domain"] == -1).all()
    assert frame["area_fraction"].isnull().all()


def test_what_cannot_be_asked_is_refused(result: xr.Dataset, windows: xr.Dataset, movie: xr.DataArray) -> None:
    with pytest.raises(InputError, match="the one that was mapped"):
        pixel_map(windows, movie[:, 1:])
    with pytest.raises(InputError, match="holds no pixels; give the movie"):
        pixel_map(windows)
    with pytest.raises(InputError, match="frame 4 was asked for"):
        pixel_map(result, movie, frames=[4])
    with pytest.raises(InputError, match="no frame"):
        pixel_map(result, movie, frames=[])
    with pytest.raises(InputError, match="measured no"):
        pixel_map(windows.drop_vars("basis"), movie)
