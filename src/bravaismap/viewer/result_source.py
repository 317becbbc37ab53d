"""Results as sources of the viewer's frames and maps: on disk, where they may still grow, or in memory.

A source reads in a thread of its own and never holds more of a result on disk than a few frames and the
fractions. Pages compare its `version` with the one that they show.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import counted
from bravaismap.errors import BravaismapError, InputError
from bravaismap.movie import movie_card
from bravaismap.result.frame_files import FrameFiles
from bravaismap.result.journal import JOURNAL, journal_of
from bravaismap.result.open import open_result
from bravaismap.result.phase_map import PhaseMap, mapped_frames
from bravaismap.result.schema import AXES, DONE
from bravaismap.result.shares import Quantity, class_shares, quantity_of
from bravaismap.result.stored import StoredVariable, written_frames
from bravaismap.result.zarr_store import array_of, open_group
from bravaismap.viewer.frame_geometry import Region, frame_extent

__all__ = ["HeldResult", "Source", "StoredResult"]

_HELD = 12  # frames kept in memory
_BATCH = 128  # frames whose fractions are read together
_PAUSE = 1.0  # s between two looks at a result that may grow


class Source:
    """The frames of a movie and what is mapped of them so far.

    Parameters
    ----------
    result : Dataset
        A map, or the axes and run card of one.
    movie : DataArray (time, y, x), optional
        The frames.

    Attributes
    ----------
    title : str
    card : dict
        The run card.
    classes : tuple of str
    time, y, x : arrays
        Times of the frames and centres of the windows.
    time_unit, unit : str
        Units of time and of lengths.
    fraction, fraction_std : arrays, shape (time, lattice)
        Share of each class; NaN for a frame that is not mapped, or not read yet.
    quantity : {"area", "mean probability"}
        What the share is.
    done : bool array, shape (time,)
        Which frames are known to be mapped.
    version : int
        Grows when any of these changes.
    problem : str
        What went wrong last, for the user; empty if nothing did.
    """

    growing = False

    def __init__(self, result: xr.Dataset, movie: xr.DataArray | None, title: str) -> None:
        self.title, self.problem, self.version = title, "", 0
        self.movie: xr.DataArray | None = None
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._pixels: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._take_axes(result)
        if movie is not None:
            self.movie = _fitting(movie, self.card, len(self.time))
            if movie_card(self.movie)["input_sha256"] != self.card.get("input_sha256", ""):
                self.problem = "" if "input_sha256" not in self.card else "the movie is not the one that was mapped"

    def _take_axes(self, result: xr.Dataset) -> None:
        self.card = dict(result.attrs)
        self.classes = tuple(str(name) for name in result["lattice"].values)
        self.time, self.y, self.x = (np.asarray(result[dim].values, float) for dim in ("time", "y", "x"))
        self.time_unit = str(result["time"].attrs.get("units", "frame"))
        self.unit = str(result["x"].attrs.get("units", "px"))
        self.quantity: Quantity = quantity_of(result)
        shape = (len(self.time), len(self.classes))
        self.fraction, self.fraction_std = np.full(shape, np.nan), np.full(shape, np.nan)
        self.done = np.zeros(len(self.time), bool)

    @property
    def pixel(self) -> float:
        """Side of a pixel in the unit of the lengths."""
        return float(self.card.get("pixel_size_nm") or 1.0) if self.unit == "nm" else 1.0

    @property
    def extent(self) -> Region:
        """Edges of a frame, in the unit of the lengths."""
        return frame_extent(self.card, self.y, self.x, self.pixel)

    def start(self) -> None:
        """Begin to read or map in the background."""
        self._thread = threading.Thread(target=self._work, name="bravaismap viewer", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether the source has been closed."""
        return self._closed.is_set()

    def close(self, patience: float = 10.0) -> bool:
        """End the background work; return whether it has ended within `patience` seconds."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(patience)
        return self._thread is None or not self._thread.is_alive()

    def want(self, index: int) -> None:
        """Set the frame that is shown, so that it is mapped first."""

    def frame(self, index: int) -> PhaseMap | None:
        """Return the map of a frame, in memory and with a time axis of length 1; None if it is not mapped yet."""
        raise NotImplementedError

    def pixels(self, index: int) -> NDArray[Any] | None:
        """Return the pixels (y, x) of a frame, None without the movie; where it cannot be read, `problem` says why."""
        if self.movie is None or index >= len(self.movie):
            return None
        with self._lock:
            if index not in self._pixels:
                data = self.movie.data[index]
                try:
                    pixels = np.asarray(data.compute(scheduler="threads") if hasattr(data, "dask") else data)
                except (OSError, ValueError) as error:
                    self.problem = f"frame {index} of the movie cannot be read ({error})"
                    return None
                self._pixels[index] = pixels
                while len(self._pixels) > _HELD:
                    self._pixels.popitem(last=False)
            return self._pixels[index]

    @property
    def first(self) -> int:
        """Number of the first frame that is known to be mapped, 0 if none is."""
        done = np.flatnonzero(self.done)
        return int(done[0]) if done.size else 0

    def _know(self, indices: NDArray[np.intp], fraction: NDArray[Any], std: NDArray[Any]) -> None:
        with self._lock:
            self.fraction[indices], self.fraction_std[indices] = fraction, std
            self.done[indices] = np.isfinite(fraction).all(axis=-1)
            self.version += 1

    def _work(self) -> None:
        """Read or map in the background."""


class HeldResult(Source):
    """A result in memory, or a lazy one that does not grow."""

    def __init__(self, result: xr.Dataset, movie: xr.DataArray | None = None, title: str = "result") -> None:
        missing = [name for name in ("label", "probability", "fraction", "fraction_std") if name not in result]
        if missing or set(result["label"].dims) != {"time", "y", "x"}:
            raise InputError("what was given is no map of phases; expected the result of map_phases or open_result")
        super().__init__(result, movie, title)
        self._result = result
        done = mapped_frames(result)
        shares = class_shares(result)
        self._know(np.arange(len(done)), shares.fraction.values, shares.std.values)

    def frame(self, index: int) -> PhaseMap | None:
        """Return the map of a frame."""
        return _loaded(self._result, index)


class StoredResult(Source):
    """A result on disk, which may still be written; only the frames that are shown are read."""

    growing = True

    def __init__(self, path: Path, movie: xr.DataArray | None = None) -> None:
        self.path = path
        self._open()
        super().__init__(self._result, movie, path.name)
        self._seen: tuple[int, ...] = ()
        self._read = np.zeros(len(self.time), bool)
        self._frames: OrderedDict[int, PhaseMap] = OrderedDict()

    def frame(self, index: int) -> PhaseMap | None:
        """Return the map of a frame."""
        with self._lock:
            if index not in self._frames:
                try:
                    phases = self._frame(index)
                except Exception:  # the decoders raise what they like on damaged bytes
                    self.problem = f"frame {index} is damaged; the same `bravaismap map` command maps it again"
                    return None
                if phases is None:
                    return None
                self._frames[index] = phases
                while len(self._frames) > _HELD:
                    self._frames.popitem(last=False)
            return self._frames[index]

    def _open(self) -> None:
        self._result = open_result(self.path)
        group = open_group(self.path, "r")
        # read without dask and xarray, whose graphs take longer than a frame does
        names = map(str, self._result.data_vars)
        self._arrays = {name: StoredVariable(array_of(group, name), self.path) for name in names}

    def _frame(self, index: int) -> PhaseMap | None:
        result, label = self._result, np.asarray(self._arrays["label"][index])
        if not (label >= 0).any():
            return None
        variables = {
            name: (result[name].dims, np.asarray(array[index])[None], result[name].attrs)
            for name, array in self._arrays.items()
        }
        coords = {dim: result[dim] for dim in AXES if dim in result.coords}
        coords |= {"time": result["time"][index : index + 1]}
        return PhaseMap(variables, coords=coords, attrs=result.attrs)

    def update(self) -> bool:
        """Look for new frames and read the fractions of a batch; return whether there are more to read."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._look(stamp)
        with self._lock:
            unread = np.flatnonzero(self._marked & ~self._read)[:_BATCH]
            result = self._result
        if not unread.size:
            return False
        first, last = int(unread[0]), int(unread[-1]) + 1
        shares = class_shares(result)
        part = slice(first, last)
        values = [data.isel(time=part).values[unread - first] for data in (shares.fraction, shares.std)]
        self._read[unread] = True
        self._know(unread, *values)
        return bool((self._marked & ~self._read).any())

    def _look(self, stamp: tuple[int, ...]) -> None:
        """Take note of which frames are written, and of a result that has become longer or was replaced."""
        replaced = bool(self._seen) and stamp[0] != self._seen[0]
        with self._lock:
            old = (self.fraction, self.fraction_std, self.done, self._read)
            if replaced or (self.path / JOURNAL).exists():  # only these can have become longer
                self._open()
            result = self._result
            if replaced or result.sizes["time"] != len(self.time):
                self._take_axes(result)
                self._read = np.zeros(len(self.time), bool)
                self._frames.clear()
                if replaced:
                    self.problem = "The result was replaced by another: reload this page."
                else:
                    kept = min(len(old[0]), len(self.time))
                    for new, before in zip((self.fraction, self.fraction_std, self.done, self._read), old, strict=True):
                        new[:kept] = before[:kept]
            self._marked = self._written()
            self._seen = stamp
            self.version += 1

    def _written(self) -> NDArray[np.bool_]:
        """Return which frames are written."""
        if not (self.path / JOURNAL).exists():
            return written_frames(self.path)
        marked = np.zeros(len(self.time), bool)
        marked[: len(journal_of(self.path))] = True
        return marked

    def _stamp(self) -> tuple[int, ...]:
        """Return what changes when a frame is written: first what changes when the whole result is replaced."""
        marks, journal = self.path / DONE / "c", self.path / JOURNAL
        count = len(os.listdir(marks)) if marks.is_dir() else 0
        length = journal.stat().st_size if journal.exists() else 0
        return self.path.stat().st_ino, count, length, *FrameFiles(self.path).numbers()

    def _work(self) -> None:
        while not self._closed.is_set():
            more = False
            try:
                more = self.update()
                if self.problem.endswith("cannot be read now"):
                    self.problem = ""
            except (OSError, BravaismapError, KeyError, ValueError):
                self.problem = f"{self.path.name} cannot be read now"
            self._closed.wait(0.0 if more else _PAUSE)


def _fitting(movie: xr.DataArray, card: dict[str, Any], length: int) -> xr.DataArray:
    """Return the movie if its frames can be those of a result."""
    expected = [int(side) for side in card.get("frame_size", movie.shape[1:])]
    if list(movie.shape[1:]) != expected:
        sizes = [f"{height} × {width} px" for height, width in (movie.shape[1:], expected)]
        cut = "; `map --align` cut its frames" if "drift" in card else ""
        raise InputError(f"the movie has frames of {sizes[0]}, the result of {sizes[1]}{cut}; give the movie mapped")
    if len(movie) < length:
        raise InputError(
            f"the movie has {counted(len(movie), 'frame')}, the result {length}; give the movie that was mapped"
        )
    return movie


def _loaded(result: xr.Dataset, index: int) -> PhaseMap | None:
    frame = result.isel(time=[index]).load(scheduler="synchronous")
    if not (frame["label"].values >= 0).any():
        return None
    frame = frame.transpose("time", "y", "x", ...)
    return PhaseMap(frame.data_vars, coords=frame.coords, attrs=result.attrs)
