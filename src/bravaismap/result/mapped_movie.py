"""The movie that a result is a map of: checked against the result, and with its scale and times."""

from __future__ import annotations

from typing import Any

import xarray as xr

from bravaismap.conventions import counted
from bravaismap.errors import InputError
from bravaismap.movie import as_movie

__all__ = ["mapped_images", "mapped_movie", "with_scale_of"]


def mapped_images(result: xr.Dataset, movie: Any) -> xr.DataArray:
    """Return the movie that was mapped with the pixel size of the result; `InputError` for another."""
    if movie is None:
        raise InputError("the result holds no pixels; give the movie that was mapped, or map it again with pixels")
    images = _checked(result, as_movie(movie))
    return as_movie(images.data, pixel_size=result.attrs.get("pixel_size_nm"))


def mapped_movie(result: xr.Dataset, movie: xr.DataArray) -> xr.DataArray:
    """Return the movie that was mapped with the scale and the times of the result; `InputError` for another.

    Its attributes are kept, but for those that say where its scale is from: "result".
    """
    return with_scale_of(result, _checked(result, movie))


def with_scale_of(result: xr.Dataset, movie: xr.DataArray) -> xr.DataArray:
    """Return a movie with the scale and the times of a result, which may be of its first frames alone."""
    size, time = (result.attrs.get(name) for name in ("pixel_size_nm", "frame_time_s"))
    about = movie.attrs | {"pixel_size_from": "result", "frame_time_from": "result"}
    name = str(movie.name or "image")
    return as_movie(movie.data, pixel_size=size, frame_time=time, name=name, attrs=about)


def _checked(result: xr.Dataset, images: xr.DataArray) -> xr.DataArray:
    """Return a movie of as many frames, and as large ones, as a result has; `InputError` for another."""
    frame = tuple(int(side) for side in result.attrs.get("frame_size", images.shape[1:]))
    given, expected = images.shape, (result.sizes["time"], *frame)
    if given != expected:
        sizes = [f"{counted(count, 'frame')} of {rows} × {columns} px" for count, rows, columns in (given, expected)]
        cut = "; `map --align` cut its frames" if "drift" in result.attrs else ""
        raise InputError(f"a movie of {sizes[0]} was given; expected {sizes[1]}, the one that was mapped{cut}")
    return images
