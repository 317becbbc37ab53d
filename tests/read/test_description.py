"""What was read, in one line: size and scale in words, where they are from, and what else is in the file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from bravaismap.movie import as_movie
from bravaismap.read.description import movie_line, playback_warning

FILE = {"source": "/data/film.dm4", "pixel_size_from": "file", "frame_time_from": "file"}


def movie(frames: int = 90, size: float | None = 0.0287, time: float | None = 2.25, **attrs: Any) -> xr.DataArray:
    return as_movie(np.zeros((frames, 16, 20), np.uint8), pixel_size=size, frame_time=time, attrs=FILE | attrs)


def test_movie_with_its_scale() -> None:
    assert movie_line(movie()) == "film.dm4: 90 frames of 16 × 20 px, 0.0287 nm/px, 2.25 s a frame (from the file)"


def test_an_image_has_no_time() -> None:
    assert movie_line(movie(1)) == "film.dm4: 16 × 20 px, 0.0287 nm/px (from the file)"


def test_two_origins_are_both_told() -> None:
    line = movie_line(movie(frame_time_from="given"))
    assert line.endswith("0.0287 nm/px (from the file), 2.25 s a frame (as given)")


def test_what_is_unknown_says_how_to_give_it() -> None:
    line = movie_line(movie(3, None, None))
    assert "pixel size unknown: lengths in px; --pixel-size NM sets it" in line
    assert "frame time unknown; --frame-time S sets it" in line


def test_scale_of_a_result_is_told_and_cannot_be_given() -> None:
    of = {"pixel_size_from": "result", "frame_time_from": "result"}
    assert movie_line(movie(**of)).endswith("0.0287 nm/px, 2.25 s a frame (from the result)")
    assert movie_line(movie(3, None, None, **of)) == "film.dm4: 3 frames of 16 × 20 px, lengths in px, as in the result"


def test_part_of_a_movie_is_told() -> None:
    line = movie_line(movie().assign_attrs(frames="0:9", crop="0:16,0:20", bin=2))
    assert "px, frames 0:9, crop 0:16,0:20, bin 2, 0.0287" in line


@pytest.mark.parametrize(("count", "end"), [(1, "a0"), (4, "a0, a1, a2, a3"), (5, "a0, a1, a2, a3, …")])
def test_other_images_are_listed(count: int, end: str) -> None:
    names = ", ".join(f"a{i}" for i in range(count))
    assert movie_line(movie(dataset="HAADF", available=names)).endswith(f"; HAADF is shown, also there: {end}")


def test_rate_of_playback_is_warned_of_where_there_are_frames() -> None:
    told = playback_warning(movie(frame_time_from="playback rate", source="v.mp4"))
    assert told is not None
    assert told.startswith("v.mp4: 2.25 s a frame is the rate at which the video plays")
    assert playback_warning(movie()) is None
    assert playback_warning(movie(1, frame_time_from="playback rate")) is None
    assert playback_warning(movie(time=None, frame_time_from="playback rate")) is None
