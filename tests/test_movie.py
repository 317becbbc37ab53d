"""The movie array: dimensions, calibration, and pixels that are not finite."""

from __future__ import annotations

import threading
import time
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bravaismap.errors import InputError
from bravaismap.movie import (
    as_movie,
    calibrate,
    check_pixels,
    finite_pixels,
    frame_time,
    missing_pixels,
    pixel_size,
    read_frames,
)

FRAMES = np.arange(2 * 3 * 4, dtype=np.float64).reshape(2, 3, 4)


@pytest.mark.parametrize(
    "given", [FRAMES, FRAMES.tolist(), torch.from_numpy(FRAMES), xr.DataArray(FRAMES, dims=("time", "y", "x"))]
)
def test_movies_of_any_kind(given: Any) -> None:
    movie = as_movie(given)
    assert movie.dims == ("time", "y", "x")
    np.testing.assert_array_equal(movie.values, FRAMES)


def test_image_is_a_movie_of_one_frame() -> None:
    assert as_movie(FRAMES[0]).sizes == {"time": 1, "y": 3, "x": 4}
    assert as_movie(xr.DataArray(FRAMES[0], dims=("y", "x"))).sizes == {"time": 1, "y": 3, "x": 4}


def test_axes_of_an_array_are_put_in_order() -> None:
    movie = as_movie(xr.DataArray(FRAMES.transpose(2, 0, 1), dims=("x", "time", "y")))
    np.testing.assert_array_equal(movie.values, FRAMES)


def test_lazy_stays_lazy() -> None:
    assert hasattr(as_movie(da.from_array(FRAMES)).data, "dask")


def test_unknown_calibration_stays_unknown() -> None:
    movie = as_movie(FRAMES)
    assert pixel_size(movie) is None
    assert frame_time(movie) is None
    assert [movie[dim].attrs["units"] for dim in movie.dims] == ["frame", "px", "px"]
    np.testing.assert_array_equal(movie["x"], [0, 1, 2, 3])


def test_calibration_is_in_the_coordinates() -> None:
    movie = as_movie(FRAMES, pixel_size=0.02, frame_time=2.25)
    assert (pixel_size(movie), frame_time(movie)) == (pytest.approx(0.02), pytest.approx(2.25))
    assert [movie[dim].attrs["units"] for dim in movie.dims] == ["s", "nm", "nm"]
    np.testing.assert_allclose(movie["y"], [0, 0.02, 0.04])
    np.testing.assert_allclose(movie["time"], [0, 2.25])


def test_calibration_given_later_replaces_one_and_keeps_the_other() -> None:
    movie = calibrate(as_movie(FRAMES, pixel_size=0.02, frame_time=2.25), pixel_size=0.05)
    assert (pixel_size(movie), frame_time(movie)) == (pytest.approx(0.05), pytest.approx(2.25))
    movie = as_movie(movie, frame_time=1.0)
    assert (pixel_size(movie), frame_time(movie)) == (pytest.approx(0.05), pytest.approx(1.0))


def test_a_frame_of_a_calibrated_movie_keeps_its_pixel_size() -> None:
    movie = as_movie(FRAMES, pixel_size=0.02, frame_time=2.25)
    assert pixel_size(as_movie(movie.isel(time=1))) == pytest.approx(0.02)
    assert pixel_size(as_movie(movie.isel(time=1, drop=True))) == pytest.approx(0.02)
    assert pixel_size(as_movie(movie.isel(time=1, drop=True), pixel_size=0.3)) == pytest.approx(0.3)


def test_part_of_a_movie_keeps_its_origin() -> None:
    part = as_movie(as_movie(FRAMES, pixel_size=0.5).isel(x=slice(2, 4)))
    np.testing.assert_allclose(part["x"], [1.0, 1.5])


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_calibration_must_be_positive(size: float) -> None:
    with pytest.raises(InputError, match=r"pixel size of .* positive"):
        as_movie(FRAMES, pixel_size=size)
    with pytest.raises(InputError, match=r"frame time of .* positive"):
        as_movie(FRAMES, frame_time=size)


@pytest.mark.parametrize(
    ("array", "parts"),
    [
        (np.zeros(5), ("1 dimension of shape (5,)", "image (y, x)")),
        (np.zeros((2, 2, 2, 2, 2)), ("5 dimensions", "(2, 2, 2, 2, 2)")),
        (np.zeros((4, 4), complex), ("complex128", "real numbers")),
        (np.array([["a", "b"]]), ("<U1", "real numbers")),
        (np.array([[None, 1]], object), ("object", "real numbers")),
        (np.zeros((0, 4)), ("empty array of shape", "0, 4)")),
        (xr.DataArray(np.zeros((2, 2)), dims=("row", "column")), ("(time, y, x)", "row")),
    ],
)
def test_arrays_that_are_no_movie(array: Any, parts: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as error:
        as_movie(array)
    for part in parts:
        assert part in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float16, np.float32, np.float64])
def test_real_pixels_are_taken(dtype: type) -> None:
    check_pixels(np.dtype(dtype), (3, 3))
    frames = np.ones((1, 3, 3), dtype)
    assert finite_pixels(frames) is frames


# NaN and infinite pixels


def test_count_and_frames_are_named() -> None:
    frames = np.zeros((4, 5, 5))
    frames[1, 2, 3], frames[3, 0, :2] = np.nan, np.inf
    with pytest.raises(InputError, match=r"3 NaN or infinite pixels in 2 of 4 frames \(frame 1, 3\).*--nan fill"):
        finite_pixels(frames)
    with pytest.raises(InputError, match=r"frame 11, 13"):
        finite_pixels(frames, first=10)


def test_many_frames_are_not_all_named() -> None:
    with pytest.raises(InputError, match=r"frame 0, 1, 2, 3, 4, …"):
        finite_pixels(np.full((9, 2, 2), np.nan))


def test_filled_with_the_nearest_pixel() -> None:
    frame = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    frame[0, 0], frame[1, 3] = np.nan, -np.inf
    given = frame.copy()
    filled = finite_pixels(frame[None], nan="fill")[0]
    assert filled[0, 0] in (2.0, 5.0)
    assert filled[1, 3] in (7.0, 4.0)
    finite = np.isfinite(frame)
    np.testing.assert_array_equal(filled[finite], frame[finite])
    np.testing.assert_array_equal(frame, given)


@settings(deadline=None, max_examples=40)
@given(arrays(bool, (2, 6, 7)))
def test_every_filled_pixel_is_a_nearest_one(bad: np.ndarray) -> None:
    bad[:, 3, 3] = False
    frames = np.where(bad, np.nan, np.arange(bad.size, dtype=float).reshape(bad.shape))
    filled = finite_pixels(frames, nan="fill")
    for index, frame in enumerate(filled):
        good = np.argwhere(~bad[index])
        for y, x in np.argwhere(bad[index]):
            distance = ((good - (y, x)) ** 2).sum(axis=1)
            nearest = good[distance == distance.min()]
            assert frame[y, x] in frames[index][tuple(nearest.T)]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 3))
def test_a_frame_without_a_finite_pixel_cannot_be_filled(empty: int) -> None:
    frames = np.zeros((4, 3, 3))
    frames[empty] = np.nan
    with pytest.raises(InputError, match=f"frame {empty}.*without any finite pixel"):
        finite_pixels(frames, nan="fill")


# Frames, one at a time


def test_frames_of_a_movie_in_memory() -> None:
    movie = as_movie(np.arange(24).reshape(4, 2, 3))
    for index, frame in read_frames(movie, [1, 3]):
        np.testing.assert_array_equal(frame, movie.values[index])
    assert [index for index, _ in read_frames(movie, [1, 3])] == [1, 3]


def test_each_block_of_a_lazy_movie_is_read_once() -> None:
    read: list[int] = []

    def block(block_info: dict[int, dict[str, list[tuple[int, int]]]]) -> np.ndarray:
        (first, end) = block_info[None]["array-location"][0]
        read.append(first)
        return np.stack([np.full((2, 3), index) for index in range(first, end)])

    data = da.map_blocks(block, chunks=((3, 3, 1), (2,), (3,)), dtype=int, meta=np.empty((0, 0, 0), int))
    frames = dict(read_frames(as_movie(data), [0, 2, 4, 5, 6]))
    assert {index: int(frame[0, 0]) for index, frame in frames.items()} == {0: 0, 2: 2, 4: 4, 5: 5, 6: 6}
    assert all(frame.shape == (2, 3) for frame in frames.values())
    assert read == [0, 3, 6]


def test_the_next_block_is_read_while_one_is_worked_on_and_no_more() -> None:
    read: list[int] = []
    asked = threading.Event()

    def block(block_info: dict[int, dict[str, list[tuple[int, int]]]]) -> np.ndarray:
        read.append(block_info[None]["array-location"][0][0])
        asked.set()
        return np.zeros((2, 2, 3))

    data = da.map_blocks(block, chunks=((2, 2, 2, 2), (2,), (3,)), dtype=float, meta=np.empty((0, 0, 0)))
    frames = read_frames(as_movie(data), range(8))
    for index in range(6):
        asked.clear()
        next(frames)
        if index % 2 == 0:
            assert asked.wait(10)
            time.sleep(0.05)  # for a block too many to be asked for
        assert read == list(range(0, 2 * (index // 2) + 3, 2))
    frames.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read")]


def test_a_block_that_cannot_be_read_is_an_error_at_its_first_frame() -> None:
    def block(block_info: dict[int, dict[str, list[tuple[int, int]]]]) -> np.ndarray:
        if block_info[None]["array-location"][0][0]:
            raise InputError("film.h5: its values cannot be read")
        return np.zeros((2, 2, 3))

    data = da.map_blocks(block, chunks=((2, 2), (2,), (3,)), dtype=float, meta=np.empty((0, 0, 0)))
    frames = read_frames(as_movie(data), range(4))
    assert [next(frames)[0], next(frames)[0]] == [0, 1]
    with pytest.raises(InputError, match=r"film\.h5"):
        next(frames)


def test_masked_pixels_are_unknown() -> None:
    image = np.ma.masked_less(np.arange(12).reshape(3, 4), 2)
    movie = as_movie(image)
    assert np.isnan(movie.values).sum() == 2
    np.testing.assert_array_equal(movie.values[0, 1:], image.data[1:])
    plain = as_movie(np.ma.masked_array(np.arange(12, dtype=np.uint8).reshape(3, 4)))
    assert plain.dtype == np.uint8


@pytest.mark.parametrize("images", [[[1, 2], [3]], [[1, None], [2, {}]]])
def test_what_is_no_array_is_refused(images: object) -> None:
    with pytest.raises(InputError, match="given"):
        as_movie(images)


@pytest.mark.parametrize(
    ("factor", "offset"), [(1e305, 0.0), (1e35, 1e36), (1e-200, 0.0), (1e-310, 0.0), (1.0, 1e9), (1.0, -1e12)]
)
def test_values_that_single_precision_cannot_hold(factor: float, offset: float) -> None:
    frames = np.random.default_rng(0).random((2, 5, 6))
    frames[1] = 7
    given = frames * factor + offset
    found = finite_pixels(given.copy())
    expected = (frames[0] - frames[0].min()) / np.ptp(frames[0])
    np.testing.assert_allclose(found[0], expected, atol=5e-4 if offset else 1e-9)
    assert found[1].min() == found[1].max()
    assert np.isfinite(found[0].astype(np.float32)).all()


def test_values_in_range_are_left_alone() -> None:
    for frames in (
        np.random.default_rng(0).random((2, 5, 6)) * 1e6 + 1e6,
        np.arange(30, dtype=np.int64).reshape(1, 5, 6),
    ):
        assert finite_pixels(frames) is frames


# What was never measured


def test_missing_pixels_are_continued_smoothly() -> None:
    rng = np.random.default_rng(0)
    frame = rng.normal(100.0, 1.0, (64, 80))
    frame[:, :40] += 50
    bad = rng.random(frame.shape) < 0.01
    bad[40:] = True
    given = np.where(bad, np.nan, frame)
    continued = finite_pixels(given[None], nan="missing")[0]
    np.testing.assert_array_equal(continued[~bad], frame[~bad])
    assert np.isfinite(continued).all()
    left, right = continued[42:46, 2:20], continued[42:46, 60:78]
    assert left.mean() == pytest.approx(150, abs=1)
    assert right.mean() == pytest.approx(100, abs=1)
    assert left.std() < 0.7  # what is continued has no noise of its own, so no pattern
    np.testing.assert_array_equal(missing_pixels(given), bad)


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_missing_pixels_of_any_scale(scale: float, dtype: str) -> None:
    with np.errstate(over="ignore", under="ignore"):
        frame = (np.random.default_rng(0).random((40, 40)) * scale).astype(dtype)
    frame[:20] = np.nan
    frame[30, 30] = np.inf
    assert np.isfinite(finite_pixels(frame[None], nan="missing")).all()


def test_a_frame_that_was_never_measured_is_empty() -> None:
    frames = np.stack([np.full((9, 9), np.nan), np.ones((9, 9))])
    np.testing.assert_array_equal(finite_pixels(frames, nan="missing"), [np.zeros((9, 9)), np.ones((9, 9))])
    assert not missing_pixels(np.ones((3, 3), int)).any()
