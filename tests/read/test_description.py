"""The line that says what was read: name, frames, scale, and where the scale is from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bravaismap.movie import as_movie
from bravaismap.read.description import movie_line, playback_warning
from bravaismap.read.reading import read

FRAMES = np.zeros((90, 12, 17), np.uint8)
UNKNOWN_SIZE = "pixel size unknown: lengths in px; --pixel-size NM sets it"
UNKNOWN_TIME = "frame time unknown; --frame-time S sets it"


def written(folder: Path, frames: np.ndarray = FRAMES, **calibration: float) -> Path:
    np.savez(folder / "movie.npz", image=frames, **calibration)
    return folder / "movie.npz"


@pytest.mark.parametrize(
    ("calibration", "options", "said"),
    [
        ({"pixel_size_nm": 0.0287, "frame_time_s": 2.25}, {}, "0.0287 nm/px, 2.25 s a frame (from the file)"),
        ({"pixel_size_nm": 0.0287}, {}, f"0.0287 nm/px (from the file), {UNKNOWN_TIME}"),
        ({}, {"frame_time": 2.0}, f"{UNKNOWN_SIZE}, 2 s a frame (as given)"),
        (
            {"pixel_size_nm": 0.0287, "frame_time_s": 2.25},
            {"pixel_size": 0.03},
            "0.03 nm/px (as given), 2.25 s a frame (from the file)",
        ),
    ],
)
def test_movie(tmp_path: Path, calibration: dict[str, float], options: dict[str, Any], said: str) -> None:
    movie = read(written(tmp_path, **calibration), **options)
    assert movie_line(movie) == f"movie.npz: 90 frames of 12 × 17 px, {said}"


def test_image_has_no_time(tmp_path: Path) -> None:
    movie = read(written(tmp_path, FRAMES[0], pixel_size_nm=0.02))
    assert movie_line(movie) == "movie.npz: 12 × 17 px, 0.02 nm/px (from the file)"
    assert movie_line(as_movie(FRAMES[0])) == f"image: 12 × 17 px, {UNKNOWN_SIZE}"


def test_part_and_others_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=FRAMES, dark=FRAMES[0])
    line = movie_line(read(tmp_path / "a.npz", frames="10:50:2", crop="0:8,:", bin=2))
    assert line.startswith("a.npz: 20 frames of 4 × 8 px, frames 10:50:2, crop 0:8,0:17, bin 2, ")
    assert line.endswith("; image is shown, also there: dark")


def test_patterns_and_folders_go_by_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "run [1]"
    folder.mkdir()
    np.save(folder / "a.npy", FRAMES[0])
    assert movie_line(read(folder)).startswith("run [1]: 12 × 17 px")
    assert movie_line(read(f"{folder}/*.npy")).startswith("run [1]/*.npy: 12 × 17 px")


def test_a_playback_rate_is_doubted() -> None:
    movie = as_movie(FRAMES, frame_time=0.04, attrs={"source": "film.mp4", "frame_time_from": "playback rate"})
    assert movie_line(movie).endswith("0.04 s a frame (the rate at which it plays)")
    doubt = playback_warning(movie)
    assert doubt is not None
    assert doubt.startswith("film.mp4: 0.04 s a frame is the rate at which the video plays")
    assert "--frame-time" in doubt
    assert playback_warning(movie[:1]) is None
    assert playback_warning(as_movie(FRAMES, frame_time=0.04)) is None
