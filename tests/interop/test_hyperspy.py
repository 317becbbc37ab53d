"""HyperSpy: a movie goes and comes back exactly and lazily, maps carry calibrated axes, others are read or refused."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.errors import InputError
from bravaismap.interop.hyperspy import from_hyperspy, to_hyperspy
from bravaismap.movie import as_movie

hs = pytest.importorskip("hyperspy.api", reason="HyperSpy is not installed (extra hyperspy)")


@pytest.fixture(scope="module")
def result(small: xr.Dataset) -> xr.Dataset:
    return bm.map_phases(small["image"], window=32, step=8, samples=2)


def test_movie_and_back_is_exact(small: xr.Dataset) -> None:
    movie = small["image"]
    signal = to_hyperspy(movie)
    assert type(signal).__name__ == "LazySignal2D"
    time, x, y = signal.axes_manager.navigation_axes[0], *signal.axes_manager.signal_axes
    assert (time.name, time.units, time.scale, time.offset) == ("time", "s", 2.25, 0)
    assert (y.name, x.name, x.units) == ("y", "x", "nm")
    assert x.scale == float(movie["x"][1])
    back = from_hyperspy(signal)
    assert isinstance(back.data, da.Array)
    xr.testing.assert_identical(back.compute(), movie)
    assert bm.map_phases(back, window=32, step=8, samples=0).attrs["pixel_size_nm"] == x.scale


def test_lazy_movie_is_not_computed() -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise AssertionError("computed")

    data = da.zeros((4, 16, 16), chunks=(1, 16, 16)).map_blocks(fail, dtype=float, meta=np.zeros((0, 0, 0)))
    back = from_hyperspy(to_hyperspy(as_movie(data, pixel_size=0.1, frame_time=0.5)))
    assert isinstance(back.data, da.Array)
    assert back.data.chunks == data.chunks
    with pytest.raises(AssertionError, match="computed"):
        back.compute()


def test_uncalibrated_movie_stays_so() -> None:
    movie = as_movie(np.arange(2 * 6 * 5.0).reshape(2, 6, 5), name="plain", attrs={"source": "a.npy", "n": [1, 2]})
    signal = to_hyperspy(movie)
    assert signal.axes_manager.signal_axes[0].units == "px"
    xr.testing.assert_identical(from_hyperspy(signal).compute(), movie)


def test_part_of_a_movie_keeps_its_place() -> None:
    movie = as_movie(np.random.default_rng(0).random((3, 9, 8)), pixel_size=0.03, frame_time=1.5)
    part = movie[1:, 2:7, 3:]
    back = from_hyperspy(to_hyperspy(part))
    for dim in movie.dims:
        np.testing.assert_allclose(back[dim], part[dim], rtol=1e-14)
    np.testing.assert_array_equal(back, part)


def test_result_axes(result: xr.Dataset) -> None:
    signals = to_hyperspy(result)
    assert set(signals) == set(result.data_vars)
    maps = signals["probability"]
    lattice, time = maps.axes_manager.navigation_axes
    x, y = maps.axes_manager.signal_axes
    assert [axis.name for axis in (time, lattice, y, x)] == ["time", "lattice", "y", "x"]
    assert (x.units, y.units, time.units) == ("nm", "nm", "s")
    for axis in (time, y, x):
        assert axis.offset == float(result[axis.name][0])
        np.testing.assert_allclose(axis.axis, result[axis.name], rtol=1e-12)
    np.testing.assert_array_equal(maps.data, result["probability"].transpose("time", "lattice", "y", "x"))
    kept = maps.original_metadata.bravaismap
    assert list(kept.lattice) == list(result["lattice"].values)
    assert '"model": "default"' in kept.run_card
    curve = signals["fraction"].axes_manager
    assert [axis.name for axis in (*curve.navigation_axes, *curve.signal_axes)] == ["lattice", "time"]
    entropy = from_hyperspy(signals["entropy"])
    np.testing.assert_array_equal(entropy, result["entropy"])
    np.testing.assert_allclose(entropy["x"], result["x"])
    assert entropy["x"].attrs["units"] == "nm"


def test_window_that_ends_at_the_edge_makes_a_non_uniform_axis(small: xr.Dataset) -> None:
    maps = bm.map_phases(small["image"][:1], window=32, step=12, samples=0)
    assert len(set(np.diff(maps["x"]).round(6))) == 2
    axis = to_hyperspy(maps["label"]).axes_manager.signal_axes[0]
    assert not axis.is_uniform
    np.testing.assert_array_equal(axis.axis, maps["x"])


def test_classified_images(small: xr.Dataset) -> None:
    one = to_hyperspy(bm.classify(small["image"], samples=0))["probability"]
    assert one.data.shape == (3, 6)
    assert one.axes_manager.signal_axes[0].name == "lattice"


def test_signal_is_saved_and_loaded(small: xr.Dataset, tmp_path: Path) -> None:
    to_hyperspy(small["image"]).save(tmp_path / "film.hspy", show_progressbar=False)
    back = from_hyperspy(hs.load(tmp_path / "film.hspy", lazy=True))
    assert isinstance(back.data, da.Array)
    xr.testing.assert_identical(back.compute(), small["image"])


def signal_of(shape: tuple[int, ...], **axes: object):
    signal = hs.signals.Signal2D(np.arange(np.prod(shape)).reshape(shape).astype(np.float32))
    for axis in signal.axes_manager.signal_axes:
        axis.trait_set(**axes)
    return signal


@pytest.mark.parametrize(
    ("unit", "scale", "nm"), [("Å", 0.5, 0.05), ("pm", 20, 0.02), ("µm", 1e-4, 0.1), ("nm", -0.3, 0.3)]
)
def test_units_of_length(unit: str, scale: float, nm: float) -> None:
    movie = from_hyperspy(signal_of((2, 6, 5), units=unit, scale=scale))
    assert movie["x"].attrs["units"] == "nm"
    np.testing.assert_allclose(movie["x"], np.arange(5) * nm)
    assert not hasattr(movie.data, "dask")
    assert movie["time"].attrs["units"] == "frame"


@pytest.mark.parametrize("unit", ["1/nm", "mrad", "", "furlong"])
def test_other_units_are_unknown(unit: str) -> None:
    movie = from_hyperspy(signal_of((6, 5), units=unit, scale=0.2, offset=3))
    assert movie.shape == (1, 6, 5)
    assert movie["x"].attrs["units"] == "px"
    np.testing.assert_array_equal(movie["x"], np.arange(5))


def test_pixels_that_are_not_square_are_said() -> None:
    signal = signal_of((6, 5), units="nm", scale=0.2)
    signal.axes_manager.signal_axes[1].scale = 0.3
    with pytest.warns(UserWarning, match=r"0.2 nm along x and 0.3 nm along y"):
        from_hyperspy(signal)


@pytest.mark.parametrize(
    ("signal", "said"),
    [
        (hs.signals.Signal1D(np.ones((3, 4))), "1 signal axes"),
        (hs.signals.Signal2D(np.ones((2, 3, 4, 5))), "2 navigation"),
        (hs.signals.ComplexSignal2D(np.ones((3, 4, 5), complex)), "complex128"),
        (np.ones((3, 4)), "ndarray was given"),
    ],
)
def test_what_is_no_movie_is_refused(signal: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        from_hyperspy(signal)


@pytest.mark.parametrize("data", [np.ones((3, 4)), xr.DataArray(1.0)])
def test_what_is_no_xarray_is_refused(data: object) -> None:
    with pytest.raises(InputError, match="expected a movie or a result"):
        to_hyperspy(data)
