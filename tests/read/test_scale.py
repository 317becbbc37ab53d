"""The scale of what was read: what is given comes before the file, and what shows no atoms is said."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bravaismap.errors import InputError
from bravaismap.read.scale import LARGEST_PIXEL, LEAST_PIXEL, MOST_ELONGATED, Scale, scale_of
from bravaismap.read.signal import Axis, Signal, take

STACK = np.zeros((3, 4, 5), np.uint8)


def stored(height: float | None = None, width: float | None = None, unit: str = "nm", **about: Any) -> Signal:
    """Return a movie of 0.5 s a frame with pixels of the given sides."""
    axes = (Axis("time", 500.0, "ms"), Axis("y", height, unit), Axis("x", width, unit))
    return Signal("film", STACK.shape, STACK.dtype, partial(take, STACK), axes, **about)


def scale(signal: Signal, size: float | None = None, time: float | None = None) -> Scale:
    return scale_of(signal, Path("a.tif"), size, time)


@pytest.fixture(autouse=True)
def strict() -> Any:
    """Let every warning that is not expected fail."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_scale_of_the_file_in_nm_and_s() -> None:
    assert scale(stored(0.3, 0.3, "Å")) == Scale(
        pytest.approx(0.03), pytest.approx(0.5), 1.0, {"pixel_size_from": "file", "frame_time_from": "file"}
    )


def test_what_is_given_comes_first_and_takes_pixels_as_square() -> None:
    found = scale(stored(0.02, 0.04), 0.05, 2.0)
    assert found == Scale(0.05, 2.0, 1.0, {"pixel_size_from": "given", "frame_time_from": "given"})


def test_nothing_known_stays_unknown() -> None:
    signal = Signal("film", (4, 5), STACK.dtype, partial(take, STACK[0]))
    assert scale(signal) == Scale(None, None, 1.0, {})


@pytest.mark.parametrize(("height", "width"), [(0.03, None), (None, 0.03)])
def test_one_side_stands_for_both(height: float | None, width: float | None) -> None:
    found = scale(stored(height, width))
    assert (found.size, found.aspect) == (pytest.approx(0.03), 1.0)


def test_rate_of_playback_is_told_apart() -> None:
    assert scale(stored(0.03, 0.03, playback=True)).sources["frame_time_from"] == "playback rate"


def test_oblong_pixels_are_resampled_to_their_shorter_side() -> None:
    with pytest.warns(UserWarning, match=r"a\.tif: pixels of 0\.02 nm along x and 0\.05 nm along y, resampled"):
        found = scale(stored(0.05, 0.02))
    assert (found.size, found.aspect) == (pytest.approx(0.02), pytest.approx(2.5))
    assert (found.sources["pixel_height_nm"], found.sources["pixel_width_nm"]) == pytest.approx((0.05, 0.02))
    with pytest.warns(UserWarning, match=r"a height of 0\.5 times their width, resampled"):
        assert scale(stored(aspect=0.5)).aspect == 0.5


@pytest.mark.parametrize("aspect", [2.0 * MOST_ELONGATED, 0.5 / MOST_ELONGATED])
def test_pixels_too_long_to_be_resampled_are_taken_as_square(aspect: float) -> None:
    with pytest.warns(UserWarning, match="too elongated to be resampled; they are taken as square"):
        assert scale(stored(aspect=aspect)).aspect == 1.0


@pytest.mark.parametrize(("size", "what"), [(2 * LARGEST_PIXEL, "above 1 nm"), (LEAST_PIXEL / 2, "below 0.1 pm")])
def test_sizes_that_show_no_atoms_are_said_and_kept(size: float, what: str) -> None:
    with pytest.warns(UserWarning, match=rf"a\.tif: a pixel size of .* nm \(in the file\) is {what}"):
        assert scale(stored(size, size)).size == pytest.approx(size)
    with pytest.warns(UserWarning, match=rf"\(given\) is {what}"):
        assert scale(stored(), size).size == size


@pytest.mark.parametrize(("size", "time"), [(0.0, None), (-1.0, None), (np.nan, None), (None, 0.0), (None, np.inf)])
def test_scales_that_cannot_be_are_refused(size: float | None, time: float | None) -> None:
    with pytest.raises(InputError, match="given"):
        scale(stored(), size, time)
