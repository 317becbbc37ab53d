"""`read`: what it returns, in which type and unit, and when it is lazy."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import dask.array as da
import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr
import zarr
from movie_checks import frames, refused

from bravaismap.errors import InputError
from bravaismap.movie import as_movie, frame_time, pixel_size
from bravaismap.read import signal
from bravaismap.read.reading import read


def test_image_is_a_movie_of_one_frame(tmp_path: Path) -> None:
    image = frames(1)[0]
    np.save(tmp_path / "film.npy", image)
    movie = read(tmp_path / "film.npy")
    assert movie.dims == ("time", "y", "x")
    assert movie.name == "film"
    assert movie.dtype == image.dtype
    np.testing.assert_array_equal(movie.values[0], image)
    assert pixel_size(movie) is None
    assert frame_time(movie) is None
    assert movie.attrs == {"source": str(tmp_path / "film.npy"), "format": "npy", "dataset": "film"}


def test_the_source_is_named_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    places = [tmp_path / "in" / f"frame{i}.npy" for i in range(2)]
    for place, image in zip(places, frames(2), strict=True):
        np.save(place, image)
    np.savez(tmp_path / "film.npz", image=frames())
    monkeypatch.chdir(tmp_path)
    for given in ("in", "in/frame*.npy", "in/frame0.npy", "film.npz:image"):
        source = read(given).attrs["source"]
        assert source == str(tmp_path / given)
        monkeypatch.chdir(tmp_path / "in")
        assert read(source).attrs["source"] == source
        monkeypatch.chdir(tmp_path)
    assert read(["in/frame0.npy", places[1]]).attrs["source"] == ", ".join(map(str, places))


def test_calibration_given_replaces_that_of_the_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", image=frames(), pixel_size_nm=0.1, frame_time_s=2.0)
    movie = read(tmp_path / "m.npz")
    assert (pixel_size(movie), frame_time(movie)) == (0.1, 2.0)
    movie = read(str(tmp_path / "m.npz"), pixel_size=0.02, frame_time=0.5)
    assert (pixel_size(movie), frame_time(movie)) == (0.02, 0.5)


@pytest.mark.parametrize("suffix", ["npy", "npz", "h5", "zarr", "tif"])
def test_lazy_above_the_threshold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    stack, path = frames(20), tmp_path / f"m.{suffix}"
    if suffix == "npy":
        np.save(path, stack)
    elif suffix == "npz":
        np.savez_compressed(path, image=stack)
    elif suffix == "h5":
        with h5py.File(path, "w") as file:
            file["stack"] = stack
    elif suffix == "zarr":
        zarr.save_array(path, stack)
    else:
        tifffile.imwrite(path, stack, compression="zlib")
    assert not isinstance(read(path).data, da.Array)
    monkeypatch.setattr(signal, "LAZY_BYTES", stack.nbytes - 1)
    monkeypatch.setattr(signal, "CHUNK_BYTES", 3 * stack[0].nbytes)
    movie = read(path)
    assert isinstance(movie.data, da.Array)
    assert movie.data.chunks == ((3,) * 6 + (2,), (12,), (17,))
    np.testing.assert_array_equal(movie.values, stack)
    np.testing.assert_array_equal(movie[4:9].values, stack[4:9])


def test_a_file_that_was_read_can_be_deleted_and_rewritten(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["stack"] = frames()
    movie = read(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        file["stack"][...] = 0
    assert movie.values.max() > 0


def test_dimensions_of_one_are_dropped(tmp_path: Path) -> None:
    stack = frames()
    for number, shape in enumerate([(1, 5, 12, 17), (5, 1, 12, 17), (5, 12, 17, 1), (1, 5, 1, 12, 17)]):
        np.save(tmp_path / f"{number}.npy", stack.reshape(shape))
        np.testing.assert_array_equal(read(tmp_path / f"{number}.npy").values, stack)


def test_dimensions_of_one_and_colour_stay_lazy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "LAZY_BYTES", 10)
    monkeypatch.setattr(signal, "CHUNK_BYTES", 10)
    np.save(tmp_path / "a.npy", frames()[None, :, None])
    np.save(tmp_path / "b.npy", np.stack([frames(dtype="uint8")] * 3, axis=-1))
    movie = read(tmp_path / "a.npy")
    assert movie.data.numblocks == (5, 1, 1)
    np.testing.assert_array_equal(movie.values, frames())
    with pytest.warns(UserWarning, match="luminance"):
        movie = read(tmp_path / "b.npy")
    assert movie.data.numblocks == (5, 1, 1)
    assert movie.dtype == movie.values.dtype == np.float32
    np.testing.assert_array_equal(movie.values, frames())


def test_a_lazy_movie_can_be_computed_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "LAZY_BYTES", 10)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["stack"] = frames()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(read(tmp_path / "m.h5"))).values, frames())


def test_a_lazy_movie_whose_file_was_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "LAZY_BYTES", 10)
    np.save(tmp_path / "m.npy", frames())
    movie = read(tmp_path / "m.npy")
    (tmp_path / "m.npy").write_bytes(b"short")
    with pytest.raises(InputError, match=r"m\.npy: its values cannot be read .*truncated or damaged"):
        movie.compute()
    (tmp_path / "m.npy").unlink()
    with pytest.raises(InputError, match=r"m\.npy: its values cannot be read"):
        movie.compute()


def test_values_keep_their_type_in_native_byte_order(tmp_path: Path) -> None:
    np.save(tmp_path / "big.npy", frames().astype(">i2"))
    assert read(tmp_path / "big.npy").dtype == np.dtype("int16")
    assert read(tmp_path / "big.npy").dtype.isnative
    np.save(tmp_path / "mask.npy", frames() > 100)
    movie = read(tmp_path / "mask.npy")
    assert movie.dtype == np.uint8
    np.testing.assert_array_equal(movie.values, frames() > 100)


def test_colour_becomes_luminance_with_a_warning(tmp_path: Path) -> None:
    grey = frames(1, dtype="uint8")[0]
    np.save(tmp_path / "grey.npy", np.stack([grey] * 3, axis=-1))
    with pytest.warns(UserWarning, match="grey.npy: colour was turned into luminance"):
        movie = read(tmp_path / "grey.npy")
    np.testing.assert_array_equal(movie.values[0], grey)
    colours = np.random.default_rng(1).integers(0, 255, (4, 12, 17, 4), dtype=np.uint8)
    np.save(tmp_path / "rgba.npy", colours)
    with pytest.warns(UserWarning, match="Rec. 601"):
        movie = read(tmp_path / "rgba.npy")
    expected = 0.299 * colours[..., 0] + 0.587 * colours[..., 1] + 0.114 * colours[..., 2]
    np.testing.assert_allclose(movie.values, expected, rtol=1e-6)


def test_pixels_that_are_not_square_become_square(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    y, x = np.arange(12) * 0.5, np.arange(17) * 0.4
    stack = xr.DataArray(
        frames(), dims=("time", "y", "x"), coords={"y": ("y", y, {"units": "Å"}), "x": ("x", x, {"units": "Å"})}
    )
    stack.to_dataset(name="image").to_zarr(tmp_path / "m.zarr", consolidated=False)
    with pytest.warns(UserWarning, match=r"0\.04 nm along x and 0\.05 nm along y, resampled"):
        movie = read(tmp_path / "m.zarr")
    assert movie.shape == (5, 15, 17)
    assert pixel_size(movie) == pytest.approx(0.04)
    assert movie.attrs["pixel_height_nm"] == pytest.approx(0.05)
    assert movie.attrs["pixel_width_nm"] == pytest.approx(0.04)
    monkeypatch.setattr(signal, "LAZY_BYTES", 10)
    with pytest.warns(UserWarning, match="resampled"):
        np.testing.assert_allclose(read(tmp_path / "m.zarr").values, movie.values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        movie = read(tmp_path / "m.zarr", pixel_size=0.045)
    assert pixel_size(movie) == pytest.approx(0.045)
    assert movie.shape == (5, 12, 17)


def test_pixels_too_long_to_become_square(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["stack"] = frames()
        for axis, (name, step) in enumerate((("time", 1.0), ("y", 1e6), ("x", 0.02))):
            file[name] = np.arange(2) * step
            file[name].attrs["units"] = "nm" if axis else ""
            file[name].make_scale(name)
            file["stack"].dims[axis].attach_scale(file[name])
    with pytest.warns(UserWarning, match="too elongated"):
        assert read(tmp_path / "a.h5", dataset="stack").shape == (5, 12, 17)


@pytest.mark.parametrize(("size", "word"), [(20.0, "above 1 nm"), (9e-5, "below 0.1 pm")])
def test_pixel_sizes_that_show_no_atoms_are_warned_of(tmp_path: Path, size: float, word: str) -> None:
    np.savez(tmp_path / "a.npz", image=frames(), pixel_size_nm=size)
    with pytest.warns(UserWarning, match=rf"a\.npz: a pixel size of .* nm \(in the file\) is {word}"):
        assert pixel_size(read(tmp_path / "a.npz")) == pytest.approx(size)
    with pytest.warns(UserWarning, match=rf"\(given\) is {word}"):
        read(tmp_path / "a.npz", pixel_size=size)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_sizes_that_cannot_be(tmp_path: Path, value: float) -> None:
    np.save(tmp_path / "a.npy", frames())
    refused(tmp_path / "a.npy", "pixel size", "positive", pixel_size=value, crop="0:1,0:1nm")
    refused(tmp_path / "a.npy", "frame time", "positive", frame_time=value)


def test_where_the_calibration_is_from(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", image=frames(), pixel_size_nm=0.1, frame_time_s=2.0)
    movie = read(tmp_path / "m.npz", frame_time=1.0)
    assert (movie.attrs["pixel_size_from"], movie.attrs["frame_time_from"]) == ("file", "given")


def test_a_written_movie_is_read_back(tmp_path: Path) -> None:
    movie = as_movie(frames(), pixel_size=0.03, frame_time=0.2)
    movie.to_dataset(name="image").to_zarr(tmp_path / "m.zarr", consolidated=False)
    movie.to_dataset(name="image").to_netcdf(tmp_path / "m.nc", engine="scipy")
    for path in (tmp_path / "m.zarr", tmp_path / "m.nc"):
        back = read(path)
        np.testing.assert_array_equal(back.values, movie.values)
        assert pixel_size(back) == pytest.approx(0.03)
        assert frame_time(back) == pytest.approx(0.2)
