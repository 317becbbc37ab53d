"""The window grid: every pixel lies in a window, and every window is where its centre says."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bravaismap.errors import InputError
from bravaismap.windows import cut_on_device, cut_windows, missing_share, window_grid, window_parts


@settings(deadline=None)
@given(st.integers(16, 90), st.integers(16, 90), st.integers(16, 64), st.integers(1, 64))
def test_no_pixel_is_left_out(height: int, width: int, window: int, step: int) -> None:
    assume(window <= min(height, width))
    assume(step <= window)
    grid = window_grid((height, width), window, step)
    covered = np.zeros((height, width), int)
    for top in grid.top:
        for left in grid.left:
            assert top >= 0
            assert top + window <= height
            assert left + window <= width
            covered[top : top + window, left : left + window] += 1
    assert covered.min() >= 1


@settings(deadline=None)
@given(st.integers(16, 300), st.integers(16, 128), st.integers(1, 128))
def test_windows_stand_a_step_apart_and_end_at_the_edge(length: int, window: int, step: int) -> None:
    assume(window <= length)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        top = window_grid((length, length), window, step).top
    assert top[0] == 0
    assert top[-1] == length - window
    gaps = np.diff(top)
    assert (gaps[:-1] == step).all()
    assert ((gaps > 0) & (gaps <= step)).all()
    assert len(top) == -(-(length - window) // step) + 1


def test_the_movie_of_the_paper() -> None:
    grid = window_grid((512, 512), 128, 16)
    assert grid.shape == (25, 25)
    y, x = grid.centers
    np.testing.assert_array_equal(y, 63.5 + 16 * np.arange(25))
    np.testing.assert_array_equal(x, y)


def test_frame_that_the_steps_do_not_fill() -> None:
    grid = window_grid((100, 133), 64, 16)
    assert grid.top.tolist() == [0, 16, 32, 36]
    assert grid.left.tolist() == [0, 16, 32, 48, 64, 69]
    assert grid.centers[0][-1] == 36 + 31.5


def test_centre_is_the_mean_position_of_the_pixels() -> None:
    for window in (16, 17):
        grid = window_grid((40, 50), window, 7)
        rows, columns = np.mgrid[:40, :50]
        y, x = np.meshgrid(*grid.centers, indexing="ij")
        np.testing.assert_allclose(cut_windows(rows, grid).mean(axis=(1, 2)), y.ravel())
        np.testing.assert_allclose(cut_windows(columns, grid).mean(axis=(1, 2)), x.ravel())


def test_cut_windows_row_by_row() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (37, 52)).astype(np.uint8)
    grid = window_grid(frame.shape, 20, 9)
    windows = cut_windows(frame, grid)
    expected = [frame[t : t + 20, le : le + 20] for t in grid.top for le in grid.left]
    np.testing.assert_array_equal(windows, expected)
    assert windows.dtype == frame.dtype
    assert len(windows) == grid.shape[0] * grid.shape[1]


def test_windows_of_several_frames_follow_one_another_on_any_device() -> None:
    frames = np.random.default_rng(1).random((3, 37, 52))
    grid = window_grid((37, 52), 20, 9)
    expected = np.concatenate([cut_windows(frame, grid) for frame in frames])
    np.testing.assert_array_equal(cut_windows(frames, grid), expected)
    np.testing.assert_array_equal(cut_on_device(torch.from_numpy(frames), grid), expected)


def test_window_as_large_as_the_frame() -> None:
    assert window_grid((64, 64), 64, 16).shape == (1, 1)


@pytest.mark.parametrize(
    ("shape", "window", "step", "parts"),
    [
        ((100, 200), 128, 16, ("128 × 128", "100 × 200", "at most 100")),
        ((200, 100), 128, 16, ("128 × 128", "200 × 100", "at most 100")),
        ((100, 100), 64, 0, ("step of 0", "at least 1")),
        ((100, 100), 64, -3, ("step of -3", "at least 1")),
        ((100, 100), 8, 4, ("window of 8", "at least 16")),
        ((30, 15), 16, 4, ("frame of 30 × 15 px", "smallest window of 16 px", "a larger image")),
    ],
)
def test_grids_that_cannot_be(shape: tuple[int, int], window: int, step: int, parts: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as error:
        window_grid(shape, window, step)
    for part in parts:
        assert part in str(error.value)


def test_gaps_between_windows_are_reported() -> None:
    with pytest.warns(UserWarning, match=r"step of 40 px .* window of 20 px.*left out"):
        window_grid((100, 100), 20, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        window_grid((100, 100), 20, 20)


@settings(deadline=None, max_examples=40)
@given(st.integers(16, 60), st.integers(16, 60), st.integers(1, 16), st.integers(1, 60))
def test_parts_of_a_grid_are_the_grid(height: int, width: int, step: int, most: int) -> None:
    frame = np.arange(height * width).reshape(height, width)
    grid = window_grid((height, width), 16, step)
    parts = [cut_windows(frame, part) for part in window_parts(grid, most)]
    assert all(len(part) <= most for part in parts)
    np.testing.assert_array_equal(np.concatenate(parts), cut_windows(frame, grid))


def test_count_is_that_of_the_windows_cut() -> None:
    grid = window_grid((50, 70), 16, 9)
    assert grid.count == len(cut_windows(np.zeros((50, 70)), grid))


@given(st.integers(0, 2**32 - 1), st.integers(16, 24), st.integers(1, 9))
def test_missing_share_is_that_of_each_window(seed: int, window: int, step: int) -> None:
    missing = np.random.default_rng(seed).random((40, 33)) < 0.3
    grid = window_grid(missing.shape, window, step)
    expected = cut_windows(missing, grid).mean(axis=(1, 2))
    np.testing.assert_allclose(missing_share(missing, grid), expected, atol=1e-12)
