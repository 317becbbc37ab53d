"""The movie: an `xarray.DataArray` of dimensions ``(time, y, x)`` that carries its calibration in its coordinates.

A single image is a movie of one frame. ``y`` and ``x`` are the positions of pixel centres in nm when the pixel size is
known and in px when it is not; ``time`` is in s when the frame time is known and counts frames when it is not. The
``units`` attribute of each coordinate says which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import xarray as xr

from bravaismap.conventions import DIMS, length_unit
from bravaismap.errors import InputError

__all__ = [
    "NanPolicy",
    "as_movie",
    "calibrate",
    "check_pixels",
    "check_scale",
    "finite_pixels",
    "frame_time",
    "missing_pixels",
    "movie_card",
    "pixel_size",
    "read_frames",
]

NanPolicy = Literal["missing", "fill", "raise"]

#: Widths (σ in px) of the means that continue a frame into what was never measured, the narrowest that reaches first,
#: and the share of its weight that must lie on measured pixels. Beyond, the median of the frame.
_CONTINUED = (1.5, 6.0, 24.0)
_LEAST_WEIGHT = 0.1


def as_movie(
    images: Any,
    *,
    pixel_size: float | None = None,
    frame_time: float | None = None,
    name: str | None = None,
    attrs: dict[str, Any] | None = None,
) -> xr.DataArray:
    """Return `images` as a movie with dimensions ``(time, y, x)``.

    Parameters
    ----------
    images : array, shape (y, x) or (time, y, x)
        Real numbers: NumPy (masked pixels become NaN), dask, torch (on the CPU) or xarray. An xarray movie is returned
        as it is, except that a calibration given here replaces its own.
    pixel_size : float, optional
        Side of a pixel in nm. Unknown when not given; never guessed.
    frame_time : float, optional
        Time from one frame to the next in s.
    name, attrs : optional
        Name and attributes of the movie, for an array without them.

    Returns
    -------
    xarray.DataArray
        Dimensions ``(time, y, x)``, lazy if `images` was.

    Raises
    ------
    InputError
        For other than two or three dimensions, a dtype that is not a real number, or an empty axis.
    """
    if isinstance(images, xr.DataArray):
        movie = images if "time" in images.dims else images.expand_dims("time")
        if set(movie.dims) != set(DIMS):
            raise InputError(f"expected the dimensions (time, y, x) or (y, x), got {tuple(images.dims)}")
        movie = movie.transpose(*DIMS)
        check_pixels(movie.dtype, movie.shape)
        if all(dim in movie.coords for dim in DIMS):
            return calibrate(movie, pixel_size=pixel_size, frame_time=frame_time)
        pixel_size = _step(movie, "x", "nm") if pixel_size is None else pixel_size
        frame_time = _step(movie, "time", "s") if frame_time is None else frame_time
        images, name, attrs = movie.data, name or _text(images.name), {**images.attrs, **(attrs or {})}
    data = images if hasattr(images, "dask") else _array(images)
    if data.ndim == 2:
        data = data[None]
    check_pixels(data.dtype, data.shape)
    bare = xr.DataArray(data, dims=DIMS, name=name or "image", attrs=dict(attrs or {}))
    return _with_coordinates(bare, pixel_size, frame_time)


def _array(images: Any) -> np.ndarray:
    if isinstance(images, np.ma.MaskedArray) and images.dtype.kind in "buif" and np.ma.is_masked(images):
        real = np.asarray(images.data, np.result_type(images.dtype, np.float32))
        return np.where(np.ma.getmaskarray(images), np.nan, real)
    try:
        return np.asarray(images)
    except (ValueError, TypeError, RuntimeError) as error:
        what = f"a {type(images).__name__} that is no array was given ({' '.join(str(error).split())[:120]})"
        raise InputError(f"{what}; expected an image (y, x) or a movie (time, y, x) of numbers") from error


def check_pixels(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Raise `InputError` unless `dtype` is of real numbers and `shape` that of an image or movie."""
    if np.dtype(dtype).kind not in "buif":
        raise InputError(f"pixels of type {dtype} were given; expected real numbers (integers or floating point)")
    if len(shape) not in (2, 3):
        axes = f"{len(shape)} dimension{'' if len(shape) == 1 else 's'} of shape {tuple(shape)}"
        raise InputError(f"an array with {axes} was given; expected an image (y, x) or a movie (time, y, x)")
    if 0 in shape:
        raise InputError(f"an empty array of shape {tuple(shape)} was given; expected at least one pixel")


def calibrate(movie: xr.DataArray, *, pixel_size: float | None = None, frame_time: float | None = None) -> xr.DataArray:
    """Return `movie` with a pixel size (nm) or frame time (s) that replaces the one it has; None keeps it."""
    if pixel_size is None and frame_time is None:
        return movie
    kept_size, kept_time = _step(movie, "x", "nm"), _step(movie, "time", "s")
    return _with_coordinates(
        movie,
        kept_size if pixel_size is None else pixel_size,
        kept_time if frame_time is None else frame_time,
    )


def pixel_size(movie: xr.DataArray) -> float | None:
    """Return the side of a pixel in nm, or None when it is unknown."""
    return _step(movie, "x", "nm")


def frame_time(movie: xr.DataArray) -> float | None:
    """Return the time between frames in s, or None when it is unknown."""
    return _step(movie, "time", "s")


def finite_pixels(frames: np.ndarray, *, nan: NanPolicy = "raise", first: int = 0) -> np.ndarray:
    """Return frames without NaN or infinite pixels, in a range that single precision can compute with.

    Parameters
    ----------
    frames : array, shape (time, y, x)
    nan : {"missing", "fill", "raise"}
        Whether such pixels were never measured (see :func:`missing_pixels`) and get a smooth continuation of what lies
        around them, which adds no pattern; are filled with the value of the nearest finite pixel of their frame; or are
        an error.
    first : int
        Number of the first frame within its movie, for the message.

    Returns
    -------
    array, shape (time, y, x)
        The same array if nothing had to be done. A frame whose contrast single precision cannot hold (values beyond
        1e30, or a contrast below 1e-30 or below a millionth of the values) is scaled to 0 to 1, which changes neither
        its classes nor its cells.

    Raises
    ------
    InputError
        If `nan` is ``"raise"`` and a pixel is not finite (the count and the frames are named), or if it is ``"fill"``
        and a frame has no finite pixel at all.
    """
    bad = ~np.isfinite(frames)
    per_frame = bad.sum(axis=(1, 2))
    damaged = np.flatnonzero(per_frame)
    if damaged.size == 0:
        return _in_range(frames)
    named = ", ".join(str(first + i) for i in damaged[:5]) + (", …" if damaged.size > 5 else "")
    where = f"{per_frame.sum()} NaN or infinite pixels in {damaged.size} of {len(frames)} frames (frame {named})"
    if nan == "raise":
        raise InputError(f"{where}; leave them out with --nan missing (nan='missing'), or fill them with --nan fill")
    if nan == "fill" and (per_frame == bad[0].size).any():
        raise InputError(f"{where}, and a frame without any finite pixel; leave that frame out")
    filled = frames.copy()
    for i in damaged:
        filled[i] = _nearest(frames[i], bad[i]) if nan == "fill" else _continued(frames[i], bad[i])
    return _in_range(filled)


def missing_pixels(frames: np.ndarray) -> np.ndarray:
    """Return which pixels were never measured: NaN, as after a scan that was stopped, or infinite.

    Parameters
    ----------
    frames : array, shape (..., y, x)

    Returns
    -------
    bool array, shape (..., y, x)
    """
    return np.zeros(frames.shape, bool) if frames.dtype.kind in "biu" else ~np.isfinite(frames)


def _nearest(frame: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Return a frame whose bad pixels have the value of the nearest good one."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(bad, return_distances=False, return_indices=True)
    return np.asarray(frame[tuple(nearest)])


def _continued(frame: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Return a frame whose bad pixels are Gaussian means of the good ones around, the wider the farther these are."""
    from scipy.ndimage import gaussian_filter

    good = frame[~bad].astype(np.float64)
    if good.size == 0:
        return np.zeros_like(frame)
    scale = float(np.abs(good).max()) or 1.0  # so that sums stay finite
    level = float(np.median(good / scale))
    values = np.full(frame.shape, level)
    weight, left = np.where(bad, 0.0, 1.0), bad.copy()
    offset = np.where(bad, 0.0, np.where(bad, 0.0, frame) / scale - level)
    for width in _CONTINUED:
        near = gaussian_filter(weight, width, mode="constant", truncate=3.0)
        reached = left & (near > _LEAST_WEIGHT)
        values[reached] = level + (
            gaussian_filter(offset, width, mode="constant", truncate=3.0)[reached] / near[reached]
        )
        left &= ~reached
    return np.where(bad, (values * scale).astype(frame.dtype), frame)


def _in_range(frames: np.ndarray) -> np.ndarray:
    """Return frames with those scaled to 0–1 whose contrast single precision cannot hold."""
    if frames.dtype.kind == "b" or frames.dtype.itemsize == 1:
        return frames
    low, high = (limit(axis=(1, 2)).astype(np.float64) for limit in (frames.min, frames.max))
    peak = np.maximum(np.abs(low), np.abs(high))
    contrast = high / 2 - low / 2  # halves, since the difference may overflow
    scaled = (low < high) & ((peak > 1e30) | (contrast < 1e-30) | (contrast < 1e-6 * peak))
    if not scaled.any():
        return frames
    frames = frames.astype(np.float64)
    for i in np.flatnonzero(scaled):
        near_one = np.ldexp(frames[i], -np.frexp(peak[i])[1])
        frames[i] = (near_one - near_one.min()) / np.ptp(near_one)
    return frames


def read_frames(movie: xr.DataArray, numbers: Iterable[int]) -> Generator[tuple[int, np.ndarray]]:
    """Yield the number and the pixels of frames, one at a time.

    A lazy movie is read block by block along time, each block once even if it holds several frames. The next block,
    and no more, is read while the frames of a block are in use, so that the memory depends on the block and not on the
    movie.

    Parameters
    ----------
    movie : DataArray (time, y, x)
    numbers : iterable of int
        Numbers of the frames, ascending.

    Yields
    ------
    (int, array of shape (y, x))
    """
    if not hasattr(movie.data, "dask"):
        yield from ((int(index), movie.data[index]) for index in numbers)
        return
    ends = np.cumsum(movie.data.chunks[0])
    frames = np.fromiter(numbers, int)
    block_numbers = np.unique(np.searchsorted(ends, frames, side="right"))
    blocks = [(int(ends[number - 1]) if number else 0, int(ends[number])) for number in block_numbers]

    def read(first: int, end: int) -> np.ndarray:
        # by threads even where a cluster is the default: its workers may not see the file
        return np.asarray(movie.data[first:end].compute(scheduler="threads"))

    with ThreadPoolExecutor(1, "read") as reader:
        ahead = [reader.submit(read, *block) for block in blocks[:1]]
        for (first, end), following in zip(blocks, [*blocks[1:], None], strict=True):
            block = ahead.pop().result()
            if following is not None:
                ahead.append(reader.submit(read, *following))
            yield from ((int(index), block[index - first]) for index in frames[(first <= frames) & (frames < end)])


def check_scale(size: float | None, time: float | None) -> None:
    """Raise `InputError` unless a pixel size and a frame time are positive numbers, or None."""
    for quantity, value in (("pixel size", size), ("frame time", time)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(f"a {quantity} of {value} was given; expected a positive number")


def _with_coordinates(movie: xr.DataArray, size: float | None, time: float | None) -> xr.DataArray:
    check_scale(size, time)
    length, height, width = movie.shape
    axes = {
        "time": (np.arange(length) * (time or 1.0), "s" if time else "frame", "time"),
        "y": (np.arange(height) * (size or 1.0), length_unit(size), "y, downwards"),
        "x": (np.arange(width) * (size or 1.0), length_unit(size), "x"),
    }
    return movie.drop_vars([c for c in DIMS if c in movie.coords]).assign_coords(
        {dim: (dim, values, {"units": unit, "long_name": label}) for dim, (values, unit, label) in axes.items()}
    )


def _step(movie: xr.DataArray, dim: str, unit: str) -> float | None:
    coordinate = movie.coords.get(dim)
    if coordinate is None or coordinate.attrs.get("units") != unit or coordinate.size < 2:
        return None
    return float(coordinate[1] - coordinate[0])


def _text(name: Any) -> str | None:
    return None if name is None else str(name)


def movie_card(movie: xr.DataArray) -> dict[str, Any]:
    """Return the entries of the run card that describe a movie.

    They are its source, calibration, and a hash of its shape and of its first, middle and last frame.
    """
    digest = hashlib.sha256(repr((movie.shape, str(movie.dtype))).encode())
    for index in sorted({0, len(movie) // 2, len(movie) - 1}):
        digest.update(np.ascontiguousarray(movie.data[index]).tobytes())
    return {
        "input": str(movie.attrs.get("source", movie.name or "array")),
        "input_sha256": digest.hexdigest(),
        "frame_size": [movie.sizes["y"], movie.sizes["x"]],
        "pixel_size_nm": pixel_size(movie),
        "frame_time_s": frame_time(movie),
        **{name: movie.attrs[name] for name in ("drift", "frames", "crop", "bin") if name in movie.attrs},
    }
