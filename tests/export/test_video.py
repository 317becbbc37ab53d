"""Videos out: sizes, frames that cannot be written, and files that are replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bravaismap.errors import InputError, OutputError
from bravaismap.export.video import write_video
from bravaismap.read.reading import read

pytest.importorskip("imageio_ffmpeg")


def grey_frames(height: int = 48, width: int = 64) -> Iterator[np.ndarray]:
    """Yield thirty frames of one grey level each, rising."""
    for level in np.linspace(20, 230, 30).astype(np.uint8):
        yield np.full((height, width, 3), level, np.uint8)


def test_odd_sizes_are_padded(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", grey_frames(47, 63), 10)
    assert read(tmp_path / "a.mp4").shape == (30, 48, 64)


def test_frames_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    for frames, words in (
        ([], "no frames were given"),
        ([np.zeros((4, 4), np.uint8)], r"shape \(4, 4\) and type uint8"),
        ([np.zeros((4, 4, 3))], "type float64"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)], r"shape \(6, 4, 3\)"),
    ):
        with pytest.raises(InputError, match=words):
            write_video(path, frames, 10)
    with pytest.raises(InputError, match="0 frames per second"):
        write_video(path, grey_frames(), 0)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match="nowhere does not exist"):
        write_video(tmp_path / "nowhere" / "a.mp4", grey_frames(), 10)


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(InputError):
        write_video(path, [np.zeros((4, 4, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)], 10)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
