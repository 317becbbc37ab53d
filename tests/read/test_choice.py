"""Which of several arrays of a file is read."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import numpy as np
import zarr
from movie_checks import frames, refused
from PIL import Image

from bravaismap.movie import frame_time, pixel_size
from bravaismap.read.reading import read


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
