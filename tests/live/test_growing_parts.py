"""One file that grows: its frames are those that `read` gives, in the part and the pixels that are asked for."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from bravaismap.errors import BravaismapWarning
from bravaismap.live.growing import GrowingStack
from bravaismap.movie import pixel_size
from bravaismap.read.reading import read

STACK = np.random.default_rng(0).integers(0, 250, (4, 12, 18)).astype(np.uint8)


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
