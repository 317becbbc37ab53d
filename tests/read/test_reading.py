"""`read`: what it returns, when it is lazy, and one line of help for every bad input."""

from __future__ import annotations

import io
import os
import pickle
import re
import warnings
from pathlib import Path

import dask.array as da
import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bravaismap.errors import InputError
from bravaismap.movie import as_movie, frame_time, pixel_size
from bravaismap.read import signal
from bravaismap.read.reading import natural_key, read


def frames(n: int = 5, height: int = 12, width: int = 17, dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, (n, height, width)).astype(dtype)


def refused(source: object, *parts: str, **options: object) -> str:
    """Assert that reading fails with one line that holds every part."""
    with pytest.raises(InputError) as error:
        read(source, **options)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message
    return message


# What comes back


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


@pytest.mark.parametrize(
    ("step", "unit", "expected"),
    [
        (1e-9, "m", 1.0), (2.0, "µm", 2000.0), (2.0, "μm", 2000.0), (2.0, "micron", 2000.0), (0.1, "nm", 0.1),
        (1.0, "Å", 0.1), (1.0, "\u212b", 0.1), (1.0, "Angstrom", 0.1), (20.0, "pm", 0.02), (0.3, "[n_m]", 0.3),
        (-0.3, "nm", 0.3), (2.0, "\\u00B5m", 2000.0), (1.0, "1/nm", None), (1.0, "nm^-1", None), (1.0, "", None),
        (1.0, "px", None), (0.0, "nm", None), (np.nan, "nm", None), (None, "nm", None), (1.0, "Mm", None),
        (1.0, "mrad", None),
        (1.0, "\\u00C5", 0.1), (1.0, "\\u212B", 0.1), (2.0, "\\u03BCm", 2000.0), (1.0, "A\u030a", 0.1),
        (2.0, "Âµm", 2000.0), (1.0, "nm/px", 1.0), (1.0, "nm per pixel", 1.0), (1.0, "nm\0", 1.0), (1.0, "㎚", 1.0),
    ],
)  # fmt: skip
def test_lengths(step: float | None, unit: str, expected: float | None) -> None:
    assert signal.nanometres(step, unit) == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("step", "unit", "expected"), [(1.0, "s", 1.0), (40, "ms", 0.04), (2, "min", 120), (1, "", None), (1, "nm", None)]
)
def test_times(step: float, unit: str, expected: float | None) -> None:
    assert signal.seconds(step, unit) == (expected if expected is None else pytest.approx(expected))


# Folders and patterns


@given(st.lists(st.integers(0, 10**6), unique=True, min_size=2, max_size=20))
def test_natural_order(numbers: list[int]) -> None:
    names = sorted((Path(f"frame{n}.png") for n in numbers), key=natural_key)
    assert [int(re.findall(r"\d+", p.name)[0]) for p in names] == sorted(numbers)


def folder_of_images(folder: Path, stack: np.ndarray, suffix: str = "png") -> Path:
    folder.mkdir()
    for number, image in enumerate(stack, 8):
        Image.fromarray(image).save(folder / f"frame{number}.{suffix}")
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.mark.parametrize("lazy", [False, True])
def test_folder_and_glob_are_movies_in_natural_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lazy: bool
) -> None:
    stack = frames(dtype="uint8")
    folder = folder_of_images(tmp_path / "run 3", stack)
    if lazy:
        monkeypatch.setattr(signal, "LAZY_BYTES", 100)
    for source in (folder, str(folder / "*.png"), [folder / f"frame{n}.png" for n in range(8, 13)]):
        movie = read(source, frame_time=0.1)
        assert isinstance(movie.data, da.Array) is lazy
        np.testing.assert_array_equal(movie.values, stack)
        assert movie.name == "run 3"
        assert movie.attrs["format"] == "png"


def test_brackets_in_names_are_no_pattern_where_they_exist(tmp_path: Path) -> None:
    stack = frames(dtype="uint8")
    folder = folder_of_images(tmp_path / "run [1]", stack)
    (tmp_path / "run 1").mkdir()  # what the brackets would mean as a pattern
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "run 1" / "frame1.png")
    for source in (folder, f"{folder}/*.png", f"{folder}/frame[0-9]*.png"):
        np.testing.assert_array_equal(read(source).values, stack)
    (folder / "frame8.png").rename(folder / "HAADF [3].png")
    np.testing.assert_array_equal(read(folder / "HAADF [3].png").values[0], stack[0])


def test_near_names_are_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 2, 100):
        np.save(tmp_path / f"frame {number}.npy", frames())
    refused(tmp_path / "frame 3.npy", "there is frame 2.npy, frame 9.npy, frame 10.npy, frame 100.npy")


def test_folder_of_calibrated_images(tmp_path: Path) -> None:
    stack = frames()
    for number, image in enumerate(stack):
        tifffile.imwrite(tmp_path / f"{number}.tif", image, imagej=True, resolution=(50, 50), metadata={"unit": "nm"})
    movie = read(tmp_path)
    assert pixel_size(movie) == pytest.approx(0.02)
    assert frame_time(movie) is None
    np.testing.assert_array_equal(movie.values, stack)


# Choice of a dataset


def test_npz_prefers_image_and_lists_otherwise(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=frames(), label=np.zeros(5), other=frames())
    movie = read(tmp_path / "a.npz")
    assert movie.attrs["dataset"] == "image"
    assert movie.attrs["available"] == "other"
    np.savez(tmp_path / "b.npz", before=frames(), after=frames(3, dtype="float32"))
    refused(tmp_path / "b.npz", "b.npz", "'before' (5, 12, 17) uint16", "'after' (3, 12, 17) float32", "--dataset")
    assert read(tmp_path / "b.npz", dataset="after").shape == (3, 12, 17)
    assert read(tmp_path / "b.npz", dataset="1").shape == (3, 12, 17)
    assert read(f"{tmp_path / 'b.npz'}:after").shape == (3, 12, 17)
    refused(tmp_path / "b.npz", "'aftr'", "'after'", dataset="aftr")


def test_hdf5_with_several_datasets(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["run/stack"], file["run/sum"], file["x"] = frames(), frames()[0], np.arange(17)
        file["run/stack"].attrs.update(pixel_size_nm=0.05, frame_time_s=0.25)
    refused(path, "holds 2 images", "'/run/stack' (5, 12, 17) uint16", "'/run/sum' (12, 17)", "--dataset")
    for source, dataset in ((path, "/run/stack"), (path, "run/stack"), (path, "stack"), (f"{path}:/run/stack", None)):
        movie = read(source, dataset=dataset)
        np.testing.assert_array_equal(movie.values, frames())
        assert (pixel_size(movie), frame_time(movie)) == (0.05, 0.25)
        assert movie.attrs["dataset"] == "/run/stack"


def test_a_colour_of_a_picture_by_name(tmp_path: Path) -> None:
    colours = np.random.default_rng(1).integers(0, 255, (12, 17, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    for name, number in (("red", 0), ("Green", 1), ("2", 2)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(read(tmp_path / "a.png", channel=name).values[0], colours[..., number])
    refused(tmp_path / "a.png", "no channel 'HAADF'", channel="HAADF")


def test_zarr_with_several_arrays(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("before", data=frames())
    group.create_array("deep/after", data=frames(3))
    refused(tmp_path / "a.zarr", "'before' (5, 12, 17)", "'deep/after' (3, 12, 17)", "--dataset")
    assert read(tmp_path / "a.zarr", dataset="deep/after").shape == (3, 12, 17)


# Bad input: each gives one line that names the file, what was found and what to do


def test_missing_file_suggests_near_names(tmp_path: Path) -> None:
    np.save(tmp_path / "decomposition.npy", frames())
    refused(tmp_path / "decompositon.npy", "decompositon.npy: no such file", "decomposition.npy")
    refused(tmp_path / "nowhere" / "a.npy", "nowhere does not exist")
    refused(str(tmp_path / "*.dm4"), "*.dm4: no file matches", "decomposition.npy")
    refused([], "empty list")


def test_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path, str(tmp_path), "no images in this folder", "dm4")


def test_folder_of_mixed_types(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path / "mixed", frames(dtype="uint8"))
    np.save(folder / "a.npy", frames())
    refused(folder, "several types", "npy, png", "*.npy")


def test_frames_of_differing_size(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path / "run", frames(dtype="uint8"))
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "frame99.png")
    refused(folder, "frame99.png", "9 × 9 px", "frame8.png has 12 × 17 px", "one size")


def test_unknown_type(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_text("hello")
    refused(tmp_path / "a.docx", ".docx cannot be read", "dm4")
    (tmp_path / "a").write_text("hello")
    refused(tmp_path / "a", "without an extension")


@pytest.mark.parametrize("suffix", ["tif", "npy", "npz", "dm4", "emd", "hspy", "ser", "mrc", "h5", "png", "gwy", "sxm"])
def test_empty_file(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.{suffix}").touch()
    refused(tmp_path / f"a.{suffix}", f"a.{suffix}: an empty file (0 bytes)", "copy or save it again")


@pytest.mark.parametrize(
    "suffix",
    ["tif", "npy", "npz", "dm3", "dm4", "emd", "hspy", "ser", "mrc", "h5", "nxs", "nc", "png", "jpg", "bmp", "mp4",
     "avi", "gwy", "sxm", "3ds", "Z_mtrx"],
)  # fmt: skip
@pytest.mark.parametrize("content", [b"this is a text file\n" * 200, bytes(range(256)) * 20])
def test_what_is_not_of_its_type(tmp_path: Path, suffix: str, content: bytes, capfd: pytest.CaptureFixture) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(content)
    refused(tmp_path / f"a.{suffix}", f"a.{suffix}")
    assert capfd.readouterr() == ("", "")


def test_text_and_png_renamed_to_tif(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("x,y\n1,2\n")
    refused(tmp_path / "a.tif", "a.tif: expected TIFF, found text", "extension")
    Image.fromarray(frames(1, dtype="uint8")[0]).save(tmp_path / "b.png")
    (tmp_path / "b.png").rename(tmp_path / "b.tif")
    refused(tmp_path / "b.tif", "expected TIFF, found PNG")


@pytest.mark.parametrize("kind", ["npy", "tif", "zlib", "imagej", "h5", "npz", "png"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9])
def test_truncated(tmp_path: Path, kind: str, kept: float, capfd: pytest.CaptureFixture) -> None:
    suffix = {"zlib": "tif", "imagej": "tif"}.get(kind, kind)
    path, stack = tmp_path / f"a.{suffix}", frames(20, 60, 60, dtype="uint8")
    if kind == "npy":
        np.save(path, stack)
    elif kind == "npz":
        np.savez(path, image=stack)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["stack"] = stack
    elif kind == "png":
        Image.fromarray(stack[0]).save(path)
    else:
        tifffile.imwrite(path, stack, **{"zlib": {"compression": "zlib"}, "imagej": {"imagej": True}}.get(kind, {}))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    message = refused(path, f"a.{suffix}")
    assert "truncated" in message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shape", [(7,), (2, 2, 3, 4, 5), (3, 4, 5, 6)])
def test_wrong_number_of_dimensions(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape))
    refused(tmp_path / "a.npy", "a.npy", f"{len(shape)} dimension", str(shape), "(time, y, x)")


@pytest.mark.parametrize("dtype", ["complex64", "U5", "S3", "datetime64[s]", "i4,f4"])
def test_types_that_are_no_real_numbers(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 5, 6), dtype))
    refused(tmp_path / "a.npy", "a.npy", "expected real numbers")


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    refused(tmp_path / "a.npy", "a.npy", "Python objects")
    np.savez(tmp_path / "a.npz", image=np.array([[{}, []]], dtype=object))
    refused(tmp_path / "a.npz", "a.npz")


def test_empty_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((0, 4, 5)))
    refused(tmp_path / "a.npy", "a.npy", "empty array", "(0, 4, 5)")


def test_a_file_that_windows_keeps_from_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A microscope that writes a file may keep it to itself: an `InputError`, after which a live run looks again."""
    path = tmp_path / "a.npy"
    np.save(path, frames())

    def denied(*_: object, **__: object) -> io.BytesIO:
        raise PermissionError(13, "The process cannot access the file")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(InputError, match=r"cannot be read as NPY .*cannot access"), signal.reading(path, "NPY"):
        path.open("rb")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npy"
    np.save(path, frames())

    def denied(*_: object, **__: object) -> io.BytesIO:
        raise PermissionError(13, "Permission denied")

    if os.name == "posix" and os.geteuid() != 0:
        path.chmod(0)
    else:
        monkeypatch.setattr(Path, "open", denied)
    refused(path, "a.npy: no permission to read it", "copy it")


def test_result_is_not_a_movie(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "out.zarr", mode="w").create_array("probability", data=np.zeros((2, 3, 4, 6)))
    refused(tmp_path / "out.zarr", "out.zarr: a result of bravaismap", "open_result")


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["stack"] = frames()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink("secret.h5", "/stack")
    refused(tmp_path / "a.h5", "no array in it")
    layout = h5py.VirtualLayout((5, 12, 17), "uint16")
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "stack", (5, 12, 17))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_virtual_dataset("stack", layout)
    refused(tmp_path / "b.h5", "another file, which is not followed")
    for suffix, name in (("hspy", "Experiments/film"), ("emd", "data/film")):
        with h5py.File(tmp_path / f"c.{suffix}", "w") as file:
            file[name] = h5py.ExternalLink("secret.h5", "/")
        refused(tmp_path / f"c.{suffix}", f"/{name} lies in another file, which is not followed")


def test_a_written_movie_is_read_back(tmp_path: Path) -> None:
    movie = as_movie(frames(), pixel_size=0.03, frame_time=0.2)
    movie.to_dataset(name="image").to_zarr(tmp_path / "m.zarr", consolidated=False)
    movie.to_dataset(name="image").to_netcdf(tmp_path / "m.nc", engine="scipy")
    for path in (tmp_path / "m.zarr", tmp_path / "m.nc"):
        back = read(path)
        np.testing.assert_array_equal(back.values, movie.values)
        assert pixel_size(back) == pytest.approx(0.03)
        assert frame_time(back) == pytest.approx(0.2)
