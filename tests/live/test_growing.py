"""Files to which frames are appended, read while they grow: their frames are those that `read` gives."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from bravaismap.errors import BravaismapWarning, InputError
from bravaismap.live.growing import GrowingStack
from bravaismap.movie import pixel_size
from bravaismap.read.reading import read

STACK = np.random.default_rng(0).integers(0, 250, (4, 12, 18)).astype(np.uint8)
MOVIE = np.random.default_rng(0).poisson(20, (6, 40, 44)).astype(np.uint16)


def test_stack_with_several_movies_says_so(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["a"], file["b"] = MOVIE, MOVIE
    with pytest.raises(InputError, match=r"several movies in it \(a, b\); choose one with --dataset"):
        GrowingStack(tmp_path / "s.h5").length()
    assert GrowingStack(tmp_path / "s.h5", "b").length() == 6


def test_half_a_frame_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "s.npy"
    np.save(path, MOVIE)
    whole = path.read_bytes()
    path.write_bytes(whole[: -MOVIE[0].nbytes // 2])
    stack = GrowingStack(path, pixel_size=0.02)
    assert stack.length() == 5
    frame = stack.frame(4)
    assert frame is not None
    np.testing.assert_array_equal(frame.values, MOVIE[4])
    assert float(frame["y"][1] - frame["y"][0]) == pytest.approx(0.02)
    assert stack.frame(5) is None


def test_file_that_cannot_be_read_yet_has_no_frames(tmp_path: Path) -> None:
    (tmp_path / "s.h5").write_bytes(b"")
    assert GrowingStack(tmp_path / "s.h5").length() == 0
    assert GrowingStack(tmp_path / "absent.npy").frame(0) is None


def test_array_that_is_no_movie_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", MOVIE[0])
    with pytest.raises(InputError, match=r"an array of shape \(40, 44\); expected frames"):
        GrowingStack(tmp_path / "s.npy").length()


@pytest.mark.parametrize("suffix", ["npy", "h5", "tif", "npz"])
def test_frames_are_those_of_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, STACK)
    elif suffix == "npz":
        np.savez(path, image=STACK)
    elif suffix == "h5":
        with h5py.File(path, "w") as file:
            file["stack"] = STACK
            file["stack"].attrs["pixel_size_nm"] = 0.05
    else:
        tifffile.imwrite(path, STACK, photometric="minisblack")
    part = {"crop": "2:12,:16", "bin": 2}
    whole, parted = read(path), read(path, **part)
    stack, parts = GrowingStack(path), GrowingStack(path, **part)
    assert stack.length() == 4
    for i in range(4):
        frame, smaller = stack.frame(i), parts.frame(i)
        assert frame is not None
        assert smaller is not None
        np.testing.assert_array_equal(frame, whole[i])
        np.testing.assert_allclose(smaller, parted[i])
    assert pixel_size(smaller.expand_dims("time")) == pixel_size(parted)
    assert GrowingStack(path, pixel_size=0.1).frame(0)["x"].attrs["units"] == "nm"


def test_palettes_and_pixels_that_are_not_square(tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(256)
    palette = np.zeros((3, 256), np.uint16)
    palette[:, order] = np.arange(256) * 257
    numbers = order[STACK].astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="palette", colormap=palette)
    np.testing.assert_array_equal(GrowingStack(tmp_path / "a.tif").frame(2), STACK[2])
    tifffile.imwrite(tmp_path / "b.tif", STACK, photometric="minisblack", resolution=(72, 144))
    with pytest.warns(BravaismapWarning, match="resampled to square ones"):
        frame = GrowingStack(tmp_path / "b.tif").frame(1)
    assert frame is not None
    assert frame.shape == (12, 36)
