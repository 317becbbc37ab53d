"""Files to which frames are appended, read while they grow."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from bravaismap.errors import InputError
from bravaismap.live.growing import GrowingStack

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
