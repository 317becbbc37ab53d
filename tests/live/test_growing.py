"""A file that grows: its whole frames are counted and read at every byte that has been written."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from bravaismap.errors import InputError
from bravaismap.live.growing import GrowingStack
from bravaismap.movie import pixel_size

MOVIE = np.random.default_rng(0).integers(0, 999, (4, 6, 7)).astype(np.uint16)


def test_npy_counts_the_frames_that_are_whole(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", MOVIE)
    content, frame = (tmp_path / "a.npy").read_bytes(), MOVIE[0].nbytes
    begin = len(content) - MOVIE.nbytes
    stack = GrowingStack(tmp_path / "a.npy")
    assert stack.length() == 4
    for count in (0, 5, begin - 1, begin, begin + frame - 1, begin + frame, begin + 3 * frame + 1, len(content)):
        (tmp_path / "a.npy").write_bytes(content[:count])
        whole = max(count - begin, 0) // frame
        assert stack.length() == whole
        for index in range(4):
            image = stack.frame(index)
            assert (image is None) == (index >= whole)
            if image is not None:
                assert image.dims == ("y", "x")
                np.testing.assert_array_equal(image, MOVIE[index])


@pytest.mark.parametrize("dtype", [">f4", "<u2", "i1"])
def test_npy_of_any_type_of_numbers(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", (MOVIE % 100).astype(dtype))
    image = GrowingStack(tmp_path / "a.npy").frame(2)
    np.testing.assert_array_equal(image, MOVIE[2] % 100)


@pytest.mark.parametrize("array", [MOVIE[0], np.asfortranarray(MOVIE), MOVIE[None]])
def test_npy_that_cannot_grow_by_frames_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    stack = GrowingStack(tmp_path / "a.npy")
    for read in (stack.length, lambda: stack.frame(0)):
        with pytest.raises(InputError, match=r"a\.npy: an array of shape .*; expected frames \(time, y, x\) in C"):
            read()


def test_hdf5_and_its_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("group/movie", data=MOVIE[:2], maxshape=(None, 6, 7))
        data.attrs["pixel_size_nm"] = 0.03
        file["other"] = np.arange(3)
    stack = GrowingStack(path)
    assert stack.length() == 2
    image = stack.frame(1)
    assert image is not None
    np.testing.assert_array_equal(image, MOVIE[1])
    assert pixel_size(image) == pytest.approx(0.03)
    given = GrowingStack(path, "/group/movie", pixel_size=0.05).frame(1)
    assert given is not None
    assert pixel_size(given) == pytest.approx(0.05)
    assert stack.frame(2) is None
    with h5py.File(path, "r+") as file:
        file["group/movie"].resize(4, axis=0)
        file["group/movie"][2:] = MOVIE[2:]
    assert stack.length() == 4
    np.testing.assert_array_equal(stack.frame(3), MOVIE[3])


def test_hdf5_with_several_movies_asks_which(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one"], file["two"] = MOVIE, MOVIE[:2]
    with pytest.raises(InputError, match=r"several movies in it \(one, two\); choose one with --dataset"):
        GrowingStack(tmp_path / "a.h5").length()
    assert GrowingStack(tmp_path / "a.h5", "two").length() == 2
    assert GrowingStack(tmp_path / "a.h5", "three").length() == 0


def test_tiff_page_by_page(tmp_path: Path) -> None:
    stack = GrowingStack(tmp_path / "a.tif")
    for index, image in enumerate(MOVIE):
        assert stack.length() == index
        assert stack.frame(index) is None
        tifffile.imwrite(tmp_path / "a.tif", image, append=True, photometric="minisblack")
        np.testing.assert_array_equal(stack.frame(index), image)
    assert stack.length() == 4


def test_other_formats_are_read_again(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=MOVIE[:3], pixel_size_nm=0.1)
    stack = GrowingStack(tmp_path / "a.npz")
    assert stack.length() == 3
    np.testing.assert_array_equal(stack.frame(2), MOVIE[2])
    np.savez(tmp_path / "a.npz", image=MOVIE)
    assert stack.length() == 4


@pytest.mark.parametrize("suffix", ["npy", "h5", "tif", "npz", "dm4"])
def test_a_file_that_is_not_there_or_no_file_yet_has_no_frames(tmp_path: Path, suffix: str) -> None:
    stack = GrowingStack(tmp_path / f"a.{suffix}")
    (tmp_path / f"a.{suffix}").write_bytes(b"")
    assert stack.frame(0) is None
    if suffix in ("npy", "h5", "tif"):
        assert stack.length() == 0
