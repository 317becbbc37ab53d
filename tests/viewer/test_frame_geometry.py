"""Where windows and regions lie in a frame."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.errors import InputError
from bravaismap.result.phase_map import PhaseMap
from bravaismap.viewer.frame_geometry import frame_at, parse_region, window_at, window_bounds
from bravaismap.viewer.messages import time_text
from bravaismap.viewer.result_source import HeldResult
from bravaismap.viewer.window_inspection import cut
from bravaismap.windows import cut_windows, window_grid

SIZE, WINDOW, STEP, PIXEL = 160, 64, 40, 0.05


def test_a_click_chooses_the_nearest_window(result: PhaseMap) -> None:
    source = HeldResult(result)
    y, x = result["y"].values, result["x"].values
    assert window_at(y[2], x[1], y, x, source.extent) == (2, 1)
    assert window_at(y[2] + 0.4 * STEP * PIXEL, x[1] - 0.4 * STEP * PIXEL, y, x, source.extent)[1] == 1
    assert window_at(0.0, 0.0, y, x, source.extent) == (0, 0)  # a margin belongs to the window at the edge
    for outside in ((-1.0, 1.0), (1.0, SIZE * PIXEL + 0.1)):
        assert window_at(*outside, y, x, source.extent) is None


def test_window_and_frame_lie_where_their_pixels_do(movie: xr.DataArray, result: PhaseMap) -> None:
    source = HeldResult(result, movie)
    grid = window_grid((SIZE, SIZE), WINDOW, STEP)
    expected = cut_windows(movie.values[0], grid).reshape(*grid.shape, WINDOW, WINDOW)
    assert source.extent.y0 == pytest.approx(-PIXEL / 2)
    assert source.extent.x1 == pytest.approx((SIZE - 0.5) * PIXEL)
    for row, column in ((0, 0), (1, 2), (grid.shape[0] - 1, grid.shape[1] - 1)):
        bounds = window_bounds(row, column, source.y, source.x, WINDOW, PIXEL)
        found = cut(source.pixels(0), bounds, source.extent, PIXEL)
        np.testing.assert_array_equal(found, expected[row, column])


def test_the_origin_of_an_aligned_movie_is_kept(movie: xr.DataArray) -> None:
    later = movie.isel(y=slice(16, None), x=slice(10, None))
    source = HeldResult(bm.map_phases(later[:1], window=WINDOW, step=STEP), later)
    assert source.extent.y0 == pytest.approx(15.5 * PIXEL)
    bounds = window_bounds(0, 0, source.y, source.x, WINDOW, PIXEL)
    np.testing.assert_array_equal(cut(source.pixels(0), bounds, source.extent, PIXEL), later[0, :WINDOW, :WINDOW])


def test_nearest_frame() -> None:
    times = np.array([0.0, 2.0, 4.0])
    assert [frame_at(t, times) for t in (-5, 0.9, 1.1, 99)] == [0, 0, 1, 2]
    assert time_text(times, 1, "s") == "frame 1 of 0 to 2 · t = 2 s"
    assert time_text(times, 1, "frame") == "frame 1 of 0 to 2"


def test_region_in_words(result: PhaseMap) -> None:
    y, x = result["y"].values, result["x"].values
    assert parse_region(" ", y, x) is None
    region = parse_region("3:1, :2.5", y, x)
    assert (region.y0, region.y1, region.x1) == (1, 3, 2.5)
    assert region.x0 < x[0]
    again = parse_region(str(region), y, x)
    assert again is not None
    assert (again.y0, again.y1, again.x1) == (1, 3, 2.5)
    for text, said in (("here", "expected y0:y1,x0:x1"), ("0:0.1,0:0.1", "larger"), ("1:2", "expected")):
        with pytest.raises(InputError, match=said):
            parse_region(text, y, x)
