"""The movie of a result: as large and long as the result says, with its scale and times."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bravaismap.errors import InputError
from bravaismap.movie import as_movie
from bravaismap.result.mapped_movie import mapped_images, mapped_movie, with_scale_of

PIXELS = np.random.default_rng(1).random((3, 20, 30)).astype(np.float32)


def result(**card: object) -> xr.Dataset:
    about = {"frame_size": [20, 30], "pixel_size_nm": 0.05, "frame_time_s": 2.0}
    return xr.Dataset(coords={"time": [0.0, 2.0, 4.0]}, attrs=about | card)


def test_it_has_the_scale_and_the_times_of_the_result() -> None:
    movie = mapped_movie(result(), as_movie(PIXELS, pixel_size=0.9, frame_time=7.0))
    np.testing.assert_array_equal(movie.values, PIXELS)
    np.testing.assert_allclose(movie["time"], [0, 2, 4])
    np.testing.assert_allclose(movie["x"], 0.05 * np.arange(30), rtol=1e-6)
    assert (movie.attrs["pixel_size_from"], movie.attrs["frame_time_from"]) == ("result", "result")
    unknown = mapped_movie(result(pixel_size_nm=None, frame_time_s=None), as_movie(PIXELS))
    assert unknown["x"].attrs.get("units", "px") == "px"


def test_images_need_no_times() -> None:
    images = mapped_images(result(), PIXELS)
    np.testing.assert_allclose(images["y"], 0.05 * np.arange(20), rtol=1e-6)
    with pytest.raises(InputError, match="give the movie that was mapped"):
        mapped_images(result(), None)


@pytest.mark.parametrize(
    ("card", "pixels", "said"),
    [
        ({}, PIXELS[:2], "2 frames of 20 × 30 px was given; expected 3 frames of 20 × 30 px, the one that was mapped$"),
        ({"drift": "film_drift.csv"}, PIXELS[:, :-1], "`map --align` cut its frames"),
    ],
)
def test_another_movie_is_refused(card: dict[str, object], pixels: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        mapped_movie(result(**card), as_movie(pixels))
    with pytest.raises(InputError, match=said):
        mapped_images(result(**card), pixels)


def test_a_result_may_be_of_the_first_frames_alone() -> None:
    assert len(with_scale_of(result(), as_movie(np.concatenate([PIXELS, PIXELS])))) == 6
