"""Drift: the displacement of the specimen in each frame of a movie, and the movie with the specimen at rest.

Frames are registered one after the other, each against the mean of those before it. The mean moves with the specimen
and so stays in view however far it drifts. The steps up to a frame give the position that is expected there, and how
far the specimen may be from it. On a lattice this prior chooses between translations that look alike; aperiodic
features of the specimen overrule it (:mod:`bravaismap.drift.registration`).

A displacement is that of the specimen since the first frame, in px, y downwards and x to the right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import Floats, counted
from bravaismap.drift.registration import match_frame, shifted
from bravaismap.errors import InputError
from bravaismap.movie import NanPolicy, as_movie, finite_pixels, read_frames

__all__ = ["SMALLEST_AREA", "Area", "DriftSummary", "align", "common_area", "drift_summary", "register"]


#: Side in px below which a frame, or the area common to all frames, is too small.
SMALLEST_AREA: Final = 32
_BOUND = 8  # shorter side of a frame over the default bound on a step
_MEMORY = 12  # frames in the running mean
_DOUBTFUL_QUALITY = 0.9  # probability of the right lattice translation below which a frame is in doubt
_STEPS = 8  # last steps, whose median is the step that is expected next
_FIRST_SCATTER = 8.0  # bound on a step over the scatter that is expected of the first steps
_SMALLEST_SCATTER = 0.5  # px, of steps about the expected one


@dataclass(frozen=True)
class Area:
    """A rectangle of pixels: rows from `top` to before `bottom`, columns from `left` to before `right`."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px."""
        return self.bottom - self.top, self.right - self.left


def register(
    movie: Any,
    max_shift: float | None = None,
    *,
    nan: NanPolicy = "raise",
    progress: Callable[[int, int], object] | None = None,
) -> xr.Dataset:
    """Return the rigid drift of the specimen through a movie.

    Parameters
    ----------
    movie : array, shape (time, y, x)
        As :func:`bravaismap.read` returns it, or any array of real numbers; a lazy one is read once, block by block.
    max_shift : float, optional
        Largest distance in px, along y or x, of the specimen from the position that the track up to a frame predicts;
        for the second frame, from its position in the first. An eighth of the shorter side when not given. The drift
        over the whole movie has no bound.
    nan : {"raise", "fill"}
        What to do with NaN and infinite pixels.
    progress : callable, optional
        Called after each frame with the number of frames done and of frames in all.

    Returns
    -------
    Dataset
        ``dy``, ``dx`` (time): displacement of the specimen since the first frame in px. ``std`` (time): σ of either, in
        px, including the chance of a wrong translation of the lattice in this frame or earlier. ``quality`` (time): the
        probability of the translation chosen, given the frames before; 0 for a frame that was not recognised, which is
        put at the predicted position.

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


@dataclass(frozen=True)
class DriftSummary:
    """A drift in three numbers.

    Attributes
    ----------
    largest : float
        Largest distance of the specimen from its place in the first frame, in px.
    last_std : float
        σ of the place in the last frame, in px.
    doubtful_frames : int
        Frames that may be off by a lattice vector.
    """

    largest: float
    last_std: float
    doubtful_frames: int


def drift_summary(track: xr.Dataset) -> DriftSummary:
    """Return how far a specimen drifts, how well that is known, and how many frames are in doubt.

    Parameters
    ----------
    track : Dataset
        Of :func:`register`.
    """
    distance = np.hypot(track["dy"].values, track["dx"].values)
    doubtful = int((track["quality"].values < _DOUBTFUL_QUALITY).sum())
    return DriftSummary(float(distance.max()), float(track["std"].values[-1]), doubtful)


def align(movie: Any, track: xr.Dataset) -> xr.DataArray:
    """Return a movie with the specimen at rest, cropped to the area that every frame shows.

    Frames are moved by whole pixels, which keeps their values, type and noise; the remaining half a pixel at most does
    not matter to windows that are many pixels apart. Interpolation would blur the lattice or correlate the noise.

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
        raise InputError(f"a track of {counted(track.sizes['time'], 'frame')} was given for a movie of {len(frames)}")
    displacement = np.rint(np.stack([track["dy"].values, track["dx"].values], axis=1)).astype(int)
    area = common_area(track, (frames.sizes["y"], frames.sizes["x"]))
    if min(area.shape) < SMALLEST_AREA:
        raise InputError(
            f"the specimen drifts by up to {np.ptp(displacement, axis=0).max()} px, so frames of {frames.sizes['y']} × "
            f"{frames.sizes['x']} px have less than {SMALLEST_AREA} × {SMALLEST_AREA} in common; "
            "align parts of the movie"
        )

    def cropped(block: Any, first: int) -> Any:
        """Cut the common area from each frame of a block that begins with frame `first`."""
        return np.stack(
            [
                frame[area.top + dy : area.bottom + dy, area.left + dx : area.right + dx]
                for frame, (dy, dx) in zip(block, displacement[first:], strict=False)
            ]
        )

    data = _lazily(frames.data, cropped, area.shape) if hasattr(frames.data, "dask") else cropped(frames.data, 0)
    coords = {
        "time": frames["time"],
        "y": frames["y"][area.top : area.bottom],
        "x": frames["x"][area.left : area.right],
    }
    drift = {name: np.round(track[name[:2]].values, 2).tolist() for name in ("dy_px", "dx_px")}
    drift |= {"area_px": [area.top, area.bottom, area.left, area.right]}
    return xr.DataArray(data, coords, frames.dims, frames.name, {**frames.attrs, "drift": drift | dict(track.attrs)})


def common_area(track: xr.Dataset, size: tuple[int, int]) -> Area:
    """Return the area of the first frame that every frame of a track shows.

    Parameters
    ----------
    track : Dataset
        As :func:`register` returns it.
    size : (int, int)
        Height and width of a frame in px.
    """
    edges = []
    for name, side in zip(("dy", "dx"), size, strict=True):
        displacement = np.rint(track[name].values).astype(int)
        edges += [max(0, -int(displacement.min())), side - max(0, int(displacement.max()))]
    top, bottom, left, right = edges
    return Area(top, max(bottom, top), left, max(right, left))


class _Track:
    """The displacements up to a frame, and the mean of the last frames at the position of the last one."""

    def __init__(self, bound: float) -> None:
        self.bound = bound
        self.place: list[Floats] = []
        self.std: list[float] = []
        self.quality: list[float] = []
        self._misses = [(bound / _FIRST_SCATTER) ** 2] * 3  # squared distance of steps from the predicted ones, px²
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
        scale = max(float(np.sqrt(np.median(self._misses[-_STEPS:]))), _SMALLEST_SCATTER)
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
        """Move the mean to the position of the frame, by whole pixels, and add the frame to it."""
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

    lazily_cropped = delayed(cropped, pure=False)
    ends = [int(end) for end in np.cumsum([0, *data.chunks[0]])]
    parts = [da.from_delayed(lazily_cropped(data[a:b], a), (b - a, *size), dtype=data.dtype) for a, b in pairwise(ends)]
    return da.concatenate(parts)
