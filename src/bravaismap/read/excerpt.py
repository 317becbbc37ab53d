"""Which part of a movie, and in which pixels: frames, region, channel, binning, and square pixels."""

from __future__ import annotations

import importlib
import re
from typing import Any, NamedTuple

import numpy as np

from bravaismap.errors import InputError

__all__ = ["Part", "Region", "binned", "frame_slice", "part_of", "region", "square_pixels"]

#: Reach of the interpolating kernel in px of the file, and the shape of its window: what it then adds to a wave up to
#: 0.3 cycles per px is below 10⁻⁴ of it (measured).
_REACH = 8
_KAISER = 8.0


class Part(NamedTuple):
    """Frames of a movie, which of its frames they are, and what was left out, in words."""

    data: Any
    frames: slice
    attrs: dict[str, Any]


class Region(NamedTuple):
    """Rows and columns of a frame that are read."""

    y: slice
    x: slice


def part_of(
    data: Any, pixel_size: float | None, frames: str | slice | None, crop: str | tuple[slice, slice] | None, count: int
) -> Part:
    """Return the part of a movie that is asked for: frames and region, then the means of `count` × `count` pixels.

    Parameters
    ----------
    data : array, shape (time, y, x)
        NumPy, or dask in blocks of whole frames.
    pixel_size : float or None
        In nm, for a region in nm.
    frames, crop
        As :func:`frame_slice` and :func:`region` take them; None for all.
    count : int
        As :func:`binned` takes it; 1 for the pixels as they are.
    """
    length, height, width = data.shape
    chosen = frame_slice(frames, length)
    rows, columns = region(crop, (height, width), pixel_size)
    attrs: dict[str, Any] = {}
    if frames is not None:
        attrs["frames"] = f"{chosen.start}:{chosen.stop}" + (f":{chosen.step}" if chosen.step > 1 else "")
    if crop is not None:
        attrs["crop"] = f"{rows.start}:{rows.stop},{columns.start}:{columns.stop}"
    if count != 1:
        attrs["bin"] = count
    whole = not attrs
    return Part(data if whole else binned(data[chosen, rows, columns], count), chosen, attrs)


def frame_slice(text: str | slice | None, length: int) -> slice:
    """Return the frames that ``first:end`` or ``first:end:step`` means, counted from 0, the end left out.

    Parameters
    ----------
    text : str, slice or None
        Ends left out are those of the movie; negative ones count from its end; a single number is one frame.
    length : int
        Number of frames of the movie.

    Returns
    -------
    slice
        With first, end and step such that it holds a frame at least.

    Raises
    ------
    InputError
        For what is no such range, a step below 1, or a range without a frame.
    """
    chosen = text if isinstance(text, slice) else _parsed_frames(text)
    if chosen is not None and (chosen.step is None or chosen.step >= 1):
        first, end, step = chosen.indices(length)
        if first < end:
            return slice(first, end, step)
    held = f"a movie of {length} frame{'' if length == 1 else 's'}, 0 to {length - 1}"
    raise InputError(f"frames {_shown(text)} were given for {held}; expected such as 10:50 or 10:50:2")


def _parsed_frames(text: str | None) -> slice | None:
    if text is None:
        return slice(None)
    words = [word.strip() for word in text.split(":")]
    if words == [""] or len(words) > 3 or not all(re.fullmatch(r"-?\d{1,9}|", word) for word in words):
        return None
    first, *rest = (int(word) if word else None for word in words)
    if not rest and first is not None:
        return slice(first, None if first == -1 else first + 1)
    return slice(first, *rest)


def _shown(text: str | slice | None) -> str:
    if isinstance(text, slice):
        return ":".join("" if n is None else str(n) for n in (text.start, text.stop, text.step))
    return repr(text)


def region(text: str | tuple[slice, slice] | None, shape: tuple[int, int], pixel_size: float | None) -> Region:
    """Return the rows and columns that ``y0:y1,x0:x1`` means, in px, or in nm with ``nm`` behind it.

    Parameters
    ----------
    text : str, pair of slices, or None
        Ends left out are those of the frame; negative ones count from its end.
    shape : (int, int)
        Height and width of a frame in px.
    pixel_size : float or None
        In nm; needed for a region in nm.

    Raises
    ------
    InputError
        For what is no such region, one outside of the frame, or nm where the pixel size is unknown.
    """
    if text is None:
        return Region(slice(0, shape[0]), slice(0, shape[1]))
    expected = "expected y0:y1,x0:x1 in px, or in nm as in 0:5,2.5:10nm"
    asked = _parsed_region(text, pixel_size) if isinstance(text, str) else text
    if asked is None:
        raise InputError(f"a crop of {text!r} was given; {expected}")
    parts = [slice(*part.indices(size)) for part, size in zip(asked, shape, strict=True)]
    if any(part.start >= part.stop or part.step != 1 for part in parts):
        raise InputError(f"a crop of {text!r} holds no pixel of a frame of {shape[0]} × {shape[1]} px; {expected}")
    return Region(*parts)


def _parsed_region(text: str, pixel_size: float | None) -> tuple[slice, slice] | None:
    match = re.fullmatch(r"\s*([^,:]*):([^,:]*),([^,:]*):([^,:]*?)\s*(px|nm)?\s*", text)
    if not match:
        return None
    if match[5] == "nm" and pixel_size is None:
        raise InputError(f"a crop of {text!r} was given, but the pixel size is unknown; give it, or crop in px")
    scale = 1 / pixel_size if match[5] == "nm" and pixel_size is not None else 1.0
    try:
        y0, y1, x0, x1 = (round(float(end) * scale) if end.strip() else None for end in match.groups()[:4])
    except (ValueError, OverflowError):
        return None
    return slice(y0, y1), slice(x0, x1)


def binned(frames: Any, count: int) -> Any:
    """Return the means of `count` × `count` pixels, what remains at the lower and right edge left out.

    A missing pixel (NaN) is left out of the mean; one whose pixels are all missing stays missing.

    Parameters
    ----------
    frames : array, shape (time, y, x)
        NumPy, or dask in blocks of whole frames.
    count : int

    Raises
    ------
    InputError
        Unless `count` is at least 1 and not larger than a frame.
    """
    height, width = frames.shape[1:]
    if not isinstance(count, int | np.integer) or not 1 <= count <= min(height, width):
        raise InputError(
            f"a bin of {count} px was given for frames of {height} × {width} px; expected 1 or more that fit"
        )
    if count == 1:
        return frames
    return _by_block(frames, _means, (height // count, width // count), count)


def _means(frames: np.ndarray, count: int) -> np.ndarray:
    length, height, width = (frames.shape[0], frames.shape[1] // count, frames.shape[2] // count)
    blocks = frames[:, : height * count, : width * count].reshape(length, height, count, width, count)
    measured = np.isfinite(blocks)
    total = np.where(measured, blocks, 0).sum(axis=(2, 4), dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / measured.sum(axis=(2, 4)), dtype=np.float32)


def square_pixels(frames: Any, aspect: float) -> Any:
    """Return frames whose pixels are as wide and as high as the shorter side of those given.

    The longer side is interpolated by a windowed sinc. What it adds to a wave of up to 0.3 cycles per px is below
    10⁻⁴ of its amplitude: a shorter kernel leaves replicas of the diffraction spots, which look like a superlattice. A
    pixel is missing (NaN) where the nearest one is; others are taken from what was measured.

    Parameters
    ----------
    frames : array, shape (time, y, x)
        NumPy, or dask in blocks of whole frames.
    aspect : float
        Height of a pixel over its width.

    Returns
    -------
    array, shape (time, y', x'), float32

    References
    ----------
    The window: J. F. Kaiser, R. W. Schafer, IEEE Trans. Acoust. Speech Signal Process. 28, 105 (1980),
    doi:10.1109/TASSP.1980.1163349.
    """
    height, width = frames.shape[1:]
    axis, ratio = (1, aspect) if aspect > 1 else (2, 1 / aspect)
    length = max(1, round(frames.shape[axis] * ratio))
    shape = (length, width) if axis == 1 else (height, length)
    return _by_block(frames, _stretched, shape, axis, length)


def _stretched(frames: np.ndarray, axis: int, length: int) -> np.ndarray:
    size = frames.shape[axis]
    centres = (np.arange(length) + 0.5) * size / length - 0.5
    matrix = _interpolation(centres, size)
    lines = np.moveaxis(frames, axis, 0).reshape(size, -1).astype(np.float64)
    measured = np.isfinite(lines)
    stretched = matrix @ np.where(measured, lines, 0)
    if not measured.all():
        with np.errstate(invalid="ignore", divide="ignore"):
            stretched /= matrix @ measured.astype(np.float64)
        stretched[~measured[np.clip(np.rint(centres).astype(int), 0, size - 1)]] = np.nan
    stretched = stretched.reshape(length, *np.delete(frames.shape, axis))
    return np.ascontiguousarray(np.moveaxis(stretched, 0, axis), dtype=np.float32)


def _interpolation(centres: np.ndarray, size: int) -> Any:
    """Return the sparse matrix that takes `size` pixels to places between them, mirrored at the edges."""
    from scipy.sparse import csr_array

    below = np.floor(centres).astype(int)
    sources = below[:, None] + np.arange(1 - _REACH, _REACH + 1)
    away = centres[:, None] - sources
    window = np.i0(_KAISER * np.sqrt(np.clip(1 - (away / _REACH) ** 2, 0, None))) / np.i0(_KAISER)
    weights = np.sinc(away) * window
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = np.mod(sources, 2 * size)
    mirrored = np.where(mirrored < size, mirrored, 2 * size - 1 - mirrored)
    rows = np.repeat(np.arange(len(centres)), 2 * _REACH)
    return csr_array((weights.ravel(), (rows, mirrored.ravel())), shape=(len(centres), size))


def _by_block(frames: Any, change: Any, shape: tuple[int, int], *options: int) -> Any:
    """Return `change` of all frames, block by block where they are lazy."""
    if not hasattr(frames, "dask"):
        return change(frames, *options)
    da: Any = importlib.import_module("dask.array")  # its functions have no types
    chunks = (frames.chunks[0], (shape[0],), (shape[1],))
    return da.map_blocks(
        change, frames, *options, dtype=np.float32, chunks=chunks, meta=np.empty((0, 0, 0), np.float32)
    )
