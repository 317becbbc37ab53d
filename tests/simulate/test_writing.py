"""Simulated films and windows on disk: what is written comes back, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr

from bravaismap.errors import InputError, OutputError
from bravaismap.movie import frame_time, pixel_size
from bravaismap.read.reading import read
from bravaismap.simulate import writing as simulated
from bravaismap.simulate.film import PIXEL_SIZE, simulate_film
from bravaismap.simulate.windows import simulate
from bravaismap.simulate.writing import write_film, write_windows


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", ["zarr", "h5", "hdf5", "npz", "tif", "tiff"])
def test_film_comes_back_with_its_calibration(tmp_path: Path, small: xr.Dataset, suffix: str) -> None:
    path = tmp_path / f"film.{suffix}"
    written = write_film(small, str(path))
    assert written[0] == path
    assert sorted(tmp_path.iterdir()) == sorted(written)
    movie = read(path)
    np.testing.assert_array_equal(movie.values, small.image.values)
    assert movie.dtype == np.uint16
    assert pixel_size(movie) == pytest.approx(PIXEL_SIZE, rel=1e-6)
    assert frame_time(movie) == pytest.approx(2.25)


def test_zarr_holds_the_dataset(tmp_path: Path, small: xr.Dataset) -> None:
    write_film(small, tmp_path / "film.zarr")
    with xr.open_zarr(tmp_path / "film.zarr", consolidated=False) as back:
        assert back.image.chunks[0] == (1, 1, 1)
        xr.testing.assert_identical(back.load(), small)


def test_hdf5_holds_the_truth_and_its_scales(tmp_path: Path, small: xr.Dataset) -> None:
    write_film(small, tmp_path / "film.h5")
    with h5py.File(tmp_path / "film.h5") as file:
        for name in small.data_vars:
            np.testing.assert_array_equal(file[name][()], small[name].values)
        assert file["image"].attrs["pixel_size_nm"] == pytest.approx(PIXEL_SIZE)
        assert file["image"].attrs["frame_time_s"] == 2.25
        assert file["image"].dims[0][0].name == "/time"
        assert file.attrs["growth_rate_per_s"] == small.attrs["growth_rate_per_s"]


@pytest.mark.parametrize("name", ["film.npz", "film.tif"])
def test_npz_holds_the_truth(tmp_path: Path, small: xr.Dataset, name: str) -> None:
    written = write_film(small, tmp_path / name)
    assert [path.name for path in written] == {"film.npz": [name], "film.tif": [name, "film_truth.npz"]}[name]
    with np.load(written[-1]) as truth:
        for key in ("void", "void_fraction", "primitive_vectors_px", "drift_px"):
            np.testing.assert_array_equal(truth[key], small[key].values)
        assert (float(truth["pixel_size_nm"]), float(truth["frame_time_s"])) == (pytest.approx(PIXEL_SIZE), 2.25)
        assert float(truth["a_nm"]) == pytest.approx(0.3153)
        assert ("image" in truth) == (name == "film.npz")


def test_tiff_is_an_imagej_stack_in_nm(tmp_path: Path, small: xr.Dataset) -> None:
    write_film(small, tmp_path / "film.tif")
    with tifffile.TiffFile(tmp_path / "film.tif") as file:
        assert file.imagej_metadata["frames"] == 3
        assert file.imagej_metadata["unit"] == "nm"
        assert file.imagej_metadata["finterval"] == 2.25
        dots, length = file.pages[0].tags["XResolution"].value
        assert length / dots == pytest.approx(PIXEL_SIZE, rel=1e-6)


@pytest.mark.parametrize("suffix", ["zarr", "h5", "npz", "tif"])
def test_one_frame_keeps_its_pixel_size(tmp_path: Path, suffix: str) -> None:
    write_film(simulate_film(1, 32), tmp_path / f"one.{suffix}")
    movie = read(tmp_path / f"one.{suffix}")
    assert movie.shape == (1, 32, 32)
    assert pixel_size(movie) == pytest.approx(PIXEL_SIZE, rel=1e-6)


@pytest.mark.parametrize("suffix", ["zarr", "h5", "npz", "tif"])
def test_existing_film_is_replaced_only_when_asked(tmp_path: Path, small: xr.Dataset, suffix: str) -> None:
    path = tmp_path / f"film.{suffix}"
    write_film(small, path)
    with pytest.raises(OutputError, match=r"exists already; .*--overwrite"):
        write_film(small, path)
    other = simulate_film(2, 32, seed=9)
    written = write_film(other, path, overwrite=True)
    np.testing.assert_array_equal(read(path).values, other.image.values)
    assert sorted(tmp_path.iterdir()) == sorted(written)


def test_existing_truth_is_kept_too(tmp_path: Path, small: xr.Dataset) -> None:
    (tmp_path / "film_truth.npz").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"film_truth\.npz: exists already"):
        write_film(small, tmp_path / "film.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["film_truth.npz"]


@pytest.mark.parametrize("name", ["film.h5", "film.zarr"])
def test_failure_leaves_what_was_there(
    tmp_path: Path, small: xr.Dataset, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_film(small, tmp_path / name)

    def full(*_: object, **__: object) -> None:
        (tmp_path / "half").write_bytes(b"")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(simulated, "_write_hdf5", full)
    monkeypatch.setattr(xr.Dataset, "to_zarr", full)
    with pytest.raises(OutputError, match=rf"{name}: cannot be written \(No space left on device\)"):
        write_film(simulate_film(1, 16), tmp_path / name, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "half"]
    np.testing.assert_array_equal(read(tmp_path / name).values, small.image.values)


def test_store_that_cannot_be_replaced_is_put_back(
    tmp_path: Path, small: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "film.zarr"
    write_film(small, target)
    rename = Path.rename

    def refuse(self: Path, to: Path) -> Path:
        if self.suffix == ".zarr" and self != target:
            raise PermissionError(13, "Permission denied")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        write_film(simulate_film(1, 16), target, overwrite=True)
    assert list(tmp_path.iterdir()) == [target]
    np.testing.assert_array_equal(read(target).values, small.image.values)


@pytest.mark.parametrize(("name", "words"), [("film.dm4", r"as \.dm4; name it \.zarr"), ("film", "without a suffix")])
def test_unknown_format(tmp_path: Path, small: xr.Dataset, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        write_film(small, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_missing_folder_and_folder_in_the_way(tmp_path: Path, small: xr.Dataset) -> None:
    with pytest.raises(OutputError, match=r"the folder .*nowhere does not exist; create it"):
        write_film(small, tmp_path / "nowhere" / "film.npz")
    (tmp_path / "film.npz").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        write_film(small, tmp_path / "film.npz", overwrite=True)
    (tmp_path / "film.zarr").mkdir()
    (tmp_path / "film.zarr" / "precious.txt").write_text("precious")
    with pytest.raises(OutputError, match="is a folder, and no simulated film"):
        write_film(small, tmp_path / "film.zarr", overwrite=True)
    assert (tmp_path / "film.zarr" / "precious.txt").read_text() == "precious"


def test_not_a_film(tmp_path: Path, small: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"without void, void_fraction, .* expected a film"):
        write_film(small[["image"]], tmp_path / "film.npz")


def test_windows_come_back(tmp_path: Path) -> None:
    windows = simulate(7, size=32, seed=3)
    assert write_windows(windows, tmp_path / "set.npz") == tmp_path / "set.npz"
    with np.load(tmp_path / "set.npz") as back:
        assert back["image"].shape == (7, 32, 32)
        assert (back["image"].dtype, back["label"].dtype) == (np.uint8, np.int8)
        for name in ("image", "label", "primitive_vectors_px"):
            np.testing.assert_array_equal(back[name], windows[name].values)
        assert back["classes"].tolist() == windows.attrs["classes"]
        assert back["lattice"].tolist() == [windows.attrs["classes"][i] for i in windows.label.values]
    with pytest.raises(OutputError, match="exists already"):
        write_windows(windows, tmp_path / "set.npz")
    write_windows(windows[{"sample": slice(2)}], tmp_path / "set.npz", overwrite=True)
    assert len(np.load(tmp_path / "set.npz")["label"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["set.npz"]


def test_windows_of_another_kind(tmp_path: Path, small: xr.Dataset) -> None:
    with pytest.raises(InputError, match="without label was given; expected windows"):
        write_windows(small, tmp_path / "set.npz")
    with pytest.raises(InputError, match=r"as \.h5; name it \.npz"):
        write_windows(simulate(1, size=16), tmp_path / "set.h5")
