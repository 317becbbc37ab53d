"""Folders, patterns and names: which files a source names, and in which order."""

from __future__ import annotations

import re
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from movie_checks import folder_of_images, frames, refused
from PIL import Image

from bravaismap.movie import frame_time, pixel_size
from bravaismap.read import signal
from bravaismap.read.reading import natural_key, read


@given(st.lists(st.integers(0, 10**6), unique=True, min_size=2, max_size=20))
def test_natural_order(numbers: list[int]) -> None:
    names = sorted((Path(f"frame{n}.png") for n in numbers), key=natural_key)
    assert [int(re.findall(r"\d+", p.name)[0]) for p in names] == sorted(numbers)


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
