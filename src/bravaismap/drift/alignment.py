"""Drift: where the specimen is in each frame of a movie, and the movie with the specimen at rest.

Frames are registered one after the other, each against the mean of those before it, which moves along with the specimen
and so stays in view however far it drifts. The steps taken so far say where the specimen is expected next, and how far
it may be from there. On a lattice that is what chooses between places that look alike; whatever does not repeat in the
specimen overrules it (:mod:`bravaismap.drift.registration`).

A displacement is that of the specimen since the first frame, in px, y downwards and x to the right.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import Floats
from bravaismap.drift.registration import match_frame, shifted
from bravaismap.errors import InputError
from bravaismap.movie import NanPolicy, as_movie, finite_pixels, read_frames

__all__ = ["SMALLEST_AREA", "align", "common_area", "register"]


#: Side in px below which a frame, or the area common to all frames, is too small.
SMALLEST_AREA: Final = 32
_BOUND = 8  # the default bound on a step is this part of the shorter side
_MEMORY = 12  # frames in the running mean
_STEPS = 8  # steps that say what is expected next
_FIRST = 8.0  # part of the bound by which the first steps are expected to scatter
_LEAST = 0.5  # px by which steps are always expected to scatter


def register(
    movie: Any,
    max_shift: float | None = None,
    *,
    nan: NanPolicy = "raise",
    progress: Callable[[int, int], object] | None = None,
) -> xr.Dataset:
    """Measure how the specimen drifts through a movie, rigidly.

    Parameters
    ----------
    movie : array, shape (time, y, x)
        As :func:`bravaismap.read` returns it, or any array of real numbers; a lazy one is read once, block by block.
    max_shift : float, optional
        Largest distance in px, along y or x, of the specimen from where the track up to then leads one to expect it;
        for the second frame, from where it was in the first. An eighth of the shorter side when not given. The drift
        over the whole movie has no bound.
    nan : {"raise", "fill"}
        What to do with NaN and infinite pixels.
    progress : callable, optional
        Called after each frame with the number of frames done and of frames in all.

    Returns
    -------
    Dataset
        ``dy``, ``dx`` (time): displacement of the specimen since the first frame in px. ``std`` (time): σ of either, in
        px, with the chance of having taken another translation of the lattice here or earlier. ``quality`` (time): the
        probability that this frame was put on the right one given the frames before; 0 for a frame that was not
        recognised, which keeps the place that was expected.

    Raises
    ------
    InputError
        For frames that are constant, too small or not finite, or a bound that leaves nothing to compare.
    """
    frames = as_movie(movie)
    side = min(frames.sizes["y"], frames.sizes["x"])
    if side < SMALLEST_AREA:
        raise InputError(
            f"frames of {frames.sizes['y']} × {frames.sizes['x']} px were given; registration needs at least "
            f"{SMALLEST_AREA} × {SMALLEST_AREA}"
        )
    bound = side / _BOUND if max_shift is None else float(max_shift)
    if not 1 <= bound <= side / 4:
        raise InputError(
            f"a largest shift of {bound:g} px was given; expected 1 to {side / 4:g}, a quarter of the shorter side"
        )
    track = _Track(bound)
    for index, pixels in read_frames(frames, range(len(frames))):
        track.add(_standardised(finite_pixels(pixels[None], nan=nan, first=index)[0], index))
        if progress is not None:
            progress(index + 1, len(frames))
    return _dataset(track, frames, bound)


def align(movie: Any, track: xr.Dataset) -> xr.DataArray:
    """Return a movie with the specimen at rest, cropped to the area that every frame shows.

    Frames are moved by whole pixels: their values, type and noise stay what they were, and what remains, half a pixel
    at most, is nothing to windows that are many pixels apart. Interpolation would blur the lattice or correlate the
    noise.

    Parameters
    ----------
    movie : array, shape (time, y, x)
    track : Dataset
        As :func:`register` returns it for this movie.

    Returns
    -------
    DataArray
        Lazy if `movie` was. ``y`` and ``x`` are the positions in the first frame. The attribute ``drift`` holds
        ``dy_px`` and ``dx_px`` of each frame, and ``area_px``, the area kept of the first frame as [y₀, y₁, x₀, x₁].

    Raises
    ------
    InputError
        If the track is of another movie, or the frames have no area in common.
    """
    frames = as_movie(movie)
    if track.sizes["time"] != len(frames):
        raise InputError(f"a track of {track.sizes['time']} frames was given for a movie of {len(frames)}")
    moved = np.rint(np.stack([track["dy"].values, track["dx"].values], axis=1)).astype(int)
    y0, y1, x0, x1 = area = common_area(track, (frames.sizes["y"], frames.sizes["x"]))
    if min(y1 - y0, x1 - x0) < SMALLEST_AREA:
        raise InputError(
            f"the specimen drifts by up to {np.ptp(moved, axis=0).max()} px, so frames of {frames.sizes['y']} × "
            f"{frames.sizes['x']} px have less than {SMALLEST_AREA} × {SMALLEST_AREA} in common; "
            "align parts of the movie"
        )

    def cropped(block: Any, first: int) -> Any:
        """Cut the common area from each frame of a block that begins with frame `first`."""
        return np.stack(
            [f[y0 + dy : y1 + dy, x0 + dx : x1 + dx] for f, (dy, dx) in zip(block, moved[first:], strict=False)]
        )

    size = (y1 - y0, x1 - x0)
    data = _lazily(frames.data, cropped, size) if hasattr(frames.data, "dask") else cropped(frames.data, 0)
    coords = {"time": frames["time"], "y": frames["y"][y0:y1], "x": frames["x"][x0:x1]}
    drift = {name: np.round(track[name[:2]].values, 2).tolist() for name in ("dy_px", "dx_px")}
    drift |= {"area_px": [int(edge) for edge in area]}
    return xr.DataArray(data, coords, frames.dims, frames.name, {**frames.attrs, "drift": drift | dict(track.attrs)})


def common_area(track: xr.Dataset, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the area (y₀, y₁, x₀, x₁) of the first frame, in px, that every frame of a track shows.

    Parameters
    ----------
    track : Dataset
    size : (int, int)
        Height and width of a frame in px.
    """
    edges = []
    for name, side in zip(("dy", "dx"), size, strict=True):
        moved = np.rint(track[name].values).astype(int)
        edges += [max(0, -int(moved.min())), side - max(0, int(moved.max()))]
    y0, y1, x0, x1 = edges
    return y0, max(y1, y0), x0, max(x1, x0)


class _Track:
    """The displacements found so far, and the mean of the last frames in the place of the last one."""

    def __init__(self, bound: float) -> None:
        self.bound = bound
        self.place: list[Floats] = []
        self.std: list[float] = []
        self.quality: list[float] = []
        self._misses = [(bound / _FIRST) ** 2] * 3  # squared distance of steps from what was expected, px²
        self._steps: list[Floats] = []
        self._carried = 0.0  # variance that later frames inherit, px²
        self._origin = np.zeros(2, int)  # displacement of the content of the reference
        self._reference: Floats = np.zeros((0, 0), np.float32)
        self._weight: Floats = self._reference

    def add(self, frame: Floats) -> None:
        """Register one more frame."""
        if not self.place:
            self._reference, self._weight = frame, np.ones_like(frame)
            self._keep(np.zeros(2), 0.0, 1.0)
            return
        last = self.place[-1]
        step = np.median(self._steps[-_STEPS:], axis=0) if self._steps else np.zeros(2)
        scale = max(float(np.sqrt(np.median(self._misses[-_STEPS:]))), _LEAST)
        expected = last + step - self._origin
        match = match_frame(frame, self._reference, expected, scale, self.bound)
        place = self._origin + match.shift
        self._carried += match.spread**2
        variance = match.std**2 + self._carried
        self._keep(place, float(np.sqrt(variance)), match.quality)
        if match.quality == 0:
            self._carried += match.std**2 / _STEPS
            return
        self._carried += (match.std / min(len(self.place), _MEMORY)) ** 2
        self._steps.append(place - last)
        self._misses.append(float(((match.shift - expected) ** 2).sum()) / 2)
        self._remember(frame, place)

    def _keep(self, place: Floats, std: float, quality: float) -> None:
        self.place.append(place)
        self.std.append(std)
        self.quality.append(quality)

    def _remember(self, frame: Floats, place: Floats) -> None:
        """Move the mean to where the frame is, by whole pixels, and add the frame to it."""
        origin = np.rint(place).astype(int)
        move = origin - self._origin
        self._reference, self._weight = _rolled(self._reference, move), _rolled(self._weight, move)
        share = 1 / (self._weight + 1)
        self._reference = self._reference + share * (shifted(frame, origin - place) - self._reference)
        self._weight = np.minimum(self._weight + 1, _MEMORY - 1)
        self._origin = origin


def _rolled(image: Floats, move: NDArray[np.integer]) -> Floats:
    """Return an image with its content moved by whole pixels; 0 comes in at the edges."""
    y, x = int(move[0]), int(move[1])
    moved = np.roll(image, (y, x), (0, 1))
    moved[: max(y, 0)], moved[:, : max(x, 0)] = 0, 0
    if y < 0:
        moved[y:] = 0
    if x < 0:
        moved[:, x:] = 0
    return moved


def _standardised(frame: Floats, index: int) -> Floats:
    """Return a frame of mean 0 and standard deviation 1."""
    pixels = np.asarray(frame, np.float32)
    std = float(pixels.std(dtype=float))
    if std == 0:
        raise InputError(f"frame {index} is constant: there is nothing in it to register; leave that frame out")
    return (pixels - np.float32(pixels.mean(dtype=float))) / np.float32(std)


def _dataset(track: _Track, movie: xr.DataArray, bound: float) -> xr.Dataset:
    place = np.array(track.place)
    px = {"units": "px"}
    return xr.Dataset(
        {
            "dy": ("time", place[:, 0], px | {"long_name": "displacement along y"}),
            "dx": ("time", place[:, 1], px | {"long_name": "displacement along x"}),
            "std": ("time", np.array(track.std), px | {"long_name": "σ of either displacement"}),
            "quality": ("time", np.array(track.quality), {"units": "1", "long_name": "probability of the translation"}),
        },
        coords={"time": movie["time"]},
        attrs={"max_shift_px": bound},
    )


def _lazily(data: Any, cropped: Callable[[Any, int], Any], size: tuple[int, int]) -> Any:
    """Apply `cropped` to the blocks of a dask array along time."""
    da: Any = import_module("dask.array")  # its functions have no types
    from dask.delayed import delayed

    one = delayed(cropped, pure=False)
    ends = [int(end) for end in np.cumsum([0, *data.chunks[0]])]
    parts = [da.from_delayed(one(data[a:b], a), (b - a, *size), dtype=data.dtype) for a, b in pairwise(ends)]
    return da.concatenate(parts)
