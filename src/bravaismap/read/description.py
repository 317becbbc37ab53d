"""What was read, in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import xarray as xr

from bravaismap.movie import frame_time, pixel_size

__all__ = ["movie_line", "playback_warning"]

#: Where a calibration is from, by the attributes that `read` gives.
_SOURCES: Final = {
    "file": "from the file",
    "given": "as given",
    "playback rate": "the rate at which it plays",
    "result": "from the result",
}
_LISTED: Final = 4  # names of other images


def movie_line(movie: xr.DataArray) -> str:
    """Return what a movie is, in one line: name, frames, size in px and nm, time of a frame, and where these are from.

    Parameters
    ----------
    movie : DataArray (time, y, x)
        As :func:`bravaismap.read` returns it.

    Examples
    --------
    >>> from bravaismap import read
    >>> print(movie_line(read("movie.dm4")))  # doctest: +SKIP
    movie.dm4: 90 frames of 512 × 512 px, 0.0287 nm/px, 2.25 s a frame (from the file)
    """
    length, height, width = movie.shape
    size = f"{height} × {width} px"
    parts = [size if length == 1 else f"{length} frames of {size}", *_part(movie), *_scale(movie)]
    return f"{_name(movie)}: {', '.join(parts)}{_others(movie)}"


def playback_warning(movie: xr.DataArray) -> str | None:
    """Return what to say of a frame time that is only the rate at which a video plays; None where it is not."""
    time = frame_time(movie)
    if movie.attrs.get("frame_time_from") != "playback rate" or time is None or len(movie) == 1:
        return None
    return (
        f"{_name(movie)}: {time:.4g} s a frame is the rate at which the video plays, which need not be that of the "
        "experiment; --frame-time S (frame_time) sets it"
    )


def _name(movie: xr.DataArray) -> str:
    source = Path(str(movie.attrs.get("source", movie.name or "array")))
    name = source.name or source.resolve().name
    return f"{source.parent.name}/{name}" if {*name} & {*"*?"} and source.parent.name else name


def _part(movie: xr.DataArray) -> list[str]:
    words = {"frames": "frames", "crop": "crop", "bin": "bin"}
    return [f"{word} {movie.attrs[key]}" for key, word in words.items() if key in movie.attrs]


def _scale(movie: xr.DataArray) -> list[str]:
    """Return the scale in words, where each is from said once for both if it is the same."""
    size, time = pixel_size(movie), frame_time(movie)
    origins = [_SOURCES.get(str(movie.attrs.get(f"{what}_from")), "") for what in ("pixel_size", "frame_time")]
    said = [f"({origin})" if origin else "" for origin in origins]
    single = len(movie) == 1
    if size is not None and time is not None and not single and origins[0] == origins[1]:
        said[0] = ""
    mapped = movie.attrs.get("pixel_size_from") == "result"  # its scale cannot be given any more
    words = [
        ("lengths in px, as in the result" if mapped else "pixel size unknown: lengths in px; --pixel-size NM sets it")
        if size is None
        else f"{size:.4g} nm/px {said[0]}".strip()
    ]
    if not single and time is not None:
        words.append(f"{time:.4g} s a frame {said[1]}".strip())
    elif not single and not mapped:
        words.append("frame time unknown; --frame-time S sets it")
    return words


def _others(movie: xr.DataArray) -> str:
    names = str(movie.attrs.get("available", "")).split(", ")
    if names == [""]:
        return ""
    listed = ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
    return f"; {movie.attrs.get('dataset')} is shown, also there: {listed}"
