"""Which part of a movie is read: frames, region, binning, and pixels that become square."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bravaismap.errors import InputError
from bravaismap.movie import frame_time, pixel_size
from bravaismap.read import signal
from bravaismap.read.excerpt import binned, frame_slice, region, square_pixels
from bravaismap.read.reading import read

FRAMES = np.random.default_rng(0).normal(size=(10, 12, 18)).astype(np.float32)


@given(st.integers(-12, 12), st.integers(-12, 12), st.integers(1, 4))
def test_frames_are_those_of_a_python_slice(first: int, end: int, step: int) -> None:
    expected = list(range(10))[first:end:step]
    if expected:
        assert list(range(10))[frame_slice(f"{first}:{end}:{step}", 10)] == expected
        assert list(range(10))[frame_slice(slice(first, end, step), 10)] == expected
    else:
        with pytest.raises(InputError, match="a movie of 10 frames, 0 to 9; expected such as 10:50"):
            frame_slice(f"{first}:{end}:{step}", 10)


@pytest.mark.parametrize(("text", "frames"), [("3", [3]), ("-1", [9]), ("::4", [0, 4, 8]), (" 8 : ", [8, 9])])
def test_frames_in_short(text: str, frames: list[int]) -> None:
    assert list(range(10))[frame_slice(text, 10)] == frames


@pytest.mark.parametrize("text", ["", "x", "10", "1:2:0", "1:2:-1", "1:2:3:4", "1.5:3", "9999999999:", "nan:"])
def test_what_are_no_frames(text: str) -> None:
    with pytest.raises(InputError, match="expected such as 10:50"):
        frame_slice(text, 10)


@pytest.mark.parametrize(
    ("text", "shape"),
    [("2:8,3:", (6, 15)), (":,:", (12, 18)), ("-4:,:-4", (4, 14)), ("0:0.25,0.1:0.5nm", (5, 8)), ("1:2,3:4px", (1, 1))],
)
def test_region(text: str, shape: tuple[int, int]) -> None:
    rows, columns = region(text, (12, 18), 0.05)
    assert FRAMES[0, rows, columns].shape == shape


@pytest.mark.parametrize(
    "text", ["", "1", "1,2", "1:2", "a:b,c:d", "5:1,:", "20:,:", "nan:,:", "1e400:,:", "0:1nm,0:1"]
)
def test_what_is_no_region(text: str) -> None:
    with pytest.raises(InputError, match="expected y0:y1,x0:x1 in px"):
        region(text, (12, 18), 0.05)


def test_region_in_nm_needs_the_pixel_size() -> None:
    with pytest.raises(InputError, match="the pixel size is unknown"):
        region("0:1,0:1nm", (12, 18), None)


@pytest.mark.parametrize("lazy", [False, True])
def test_binned(lazy: bool) -> None:
    frames = FRAMES.copy()
    frames[0, 0, 0] = np.nan
    frames[1, :5, :5] = np.nan
    given_frames = da.from_array(frames, chunks=(3, -1, -1)) if lazy else frames
    means = np.asarray(binned(given_frames, 5))
    assert means.shape == (10, 2, 3)
    np.testing.assert_allclose(means[2:], FRAMES[2:, :10, :15].reshape(8, 2, 5, 3, 5).mean((2, 4)), rtol=1e-5)
    assert means[0, 0, 0] == pytest.approx(np.nanmean(frames[0, :5, :5]))
    assert np.isnan(means[1, 0, 0])
    assert np.isnan(means).sum() == 1
    for count in (0, -1, 13):
        with pytest.raises(InputError, match="expected 1 or more that fit"):
            binned(frames, count)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(("aspect", "shape"), [(2.0, (6, 120, 80)), (0.5, (6, 60, 160)), (1.25, (6, 75, 80))])
def test_square_pixels_keep_where_things_are(aspect: float, shape: tuple[int, int, int], lazy: bool) -> None:
    # waves of up to 0.3 cycles per px come out at the places of the new pixels, without replicas of their own
    def wave(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.cos(2 * np.pi * (0.21 * y + 0.17 * x)) + np.cos(2 * np.pi * (0.3 * x - 0.1 * y))

    y, x = np.mgrid[:60, :80] + 0.5
    frames = np.broadcast_to(wave(y, x), (6, 60, 80)).astype(np.float32)
    stretched = np.asarray(square_pixels(da.from_array(frames, chunks=(4, -1, -1)) if lazy else frames, aspect))
    assert stretched.shape == shape
    y, x = np.mgrid[: shape[1], : shape[2]] + 0.5
    inside = (slice(None), slice(20, -20), slice(20, -20))
    expected = np.broadcast_to(wave(y * 60 / shape[1], x * 80 / shape[2]), shape)
    np.testing.assert_allclose(stretched[inside], expected[inside], atol=3e-4)


def test_square_pixels_keep_what_is_even_up_to_the_edges() -> None:
    np.testing.assert_allclose(square_pixels(np.full((2, 5, 40), 7.0), 1.6), 7.0, rtol=1e-6)


def test_missing_pixels_keep_their_place_in_square_ones() -> None:
    frames = np.full((2, 60, 80), 5.0)
    frames[0, 30, 40] = np.nan
    frames[1, 40:] = np.inf
    square = square_pixels(frames, 2.0)
    assert np.argwhere(np.isnan(square[0])).tolist() == [[60, 40], [61, 40]]
    assert np.isnan(square[1, 80:]).all()
    np.testing.assert_allclose(square[np.isfinite(square)], 5.0, rtol=1e-6)
    assert np.isnan(square).sum() == 2 + 40 * 80


@pytest.mark.parametrize("lazy", [False, True])
def test_a_part_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lazy: bool) -> None:
    np.savez(tmp_path / "a.npz", image=FRAMES, pixel_size_nm=0.05, frame_time_s=2.0)
    if lazy:
        monkeypatch.setattr(signal, "LAZY_BYTES", 10)
        monkeypatch.setattr(signal, "CHUNK_BYTES", 3 * FRAMES[0].nbytes)
    movie = read(tmp_path / "a.npz", frames="2:9:3", crop="0:0.4,0.1:0.5nm", bin=2)
    assert isinstance(movie.data, da.Array) is lazy
    np.testing.assert_allclose(movie.values, FRAMES[2:9:3, :8, 2:10].reshape(3, 4, 2, 4, 2).mean((2, 4)), atol=1e-6)
    assert (pixel_size(movie), frame_time(movie)) == (pytest.approx(0.1), pytest.approx(6.0))
    np.testing.assert_allclose(movie["time"], [4, 10, 16])
    assert movie["y"][0] == movie["x"][0] == 0
    assert [movie.attrs[key] for key in ("frames", "crop", "bin")] == ["2:9:3", "0:8,2:10", 2]
    movie = read(
        tmp_path / "a.npz", frames=slice(1, 2), crop=(slice(3, 9), slice(None)), pixel_size=0.1, frame_time=1.0
    )
    np.testing.assert_array_equal(movie.values, FRAMES[1:2, 3:9])
    assert pixel_size(movie) == pytest.approx(0.1)
    assert float(movie["time"][0]) == 1.0


def test_a_part_that_is_not_there(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FRAMES)
    for options in ({"frames": "10:"}, {"crop": "12:,:"}, {"crop": "0:1,0:1nm"}, {"bin": 13}):
        with pytest.raises(InputError, match=r"a\.npy: "):
            read(tmp_path / "a.npy", **options)
