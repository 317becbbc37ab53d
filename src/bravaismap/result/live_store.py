"""A result whose time axis grows: the store of a live run.

The arrays are those of any other result, a little longer than the frames written. A journal has one JSON line for each
complete frame, written after everything else of that frame. A store that a crash leaves behind opens, and is continued
after the last complete line. `bravaismap.open_result` opens it, also while it grows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import xarray as xr
import zarr

from bravaismap.errors import OutputError
from bravaismap.files import patiently, write_atomically
from bravaismap.result.card import card_difference, card_of
from bravaismap.result.journal import JOURNAL, journal_line, journal_of
from bravaismap.result.phase_map import PhaseMap
from bravaismap.result.schema import AXES, DONE, variables_of
from bravaismap.result.shares import class_shares
from bravaismap.result.zarr_store import CONTINUED, array_of, create_store, dims_of, locked, open_group, put, writing

__all__ = ["LiveStore"]

_BLOCK = 64  # frames by which the arrays grow


class LiveStore:
    """The store of a live run, which grows frame by frame.

    Parameters
    ----------
    path : Path
        The ``.zarr`` folder; a live result that exists is continued if its run card is the same.
    first : PhaseMap
        The map of one frame, which has the variables, windows and classes of the result.
    card : mapping
        The run card.

    Raises
    ------
    OutputError
        If the path holds something else or another run, is being written by another process (see
        :class:`bravaismap.result.lock.WriterLock`), or cannot be written.
    """

    def __init__(self, path: Path, first: PhaseMap, card: Mapping[str, Any]) -> None:
        self.path = path
        with locked(path) as self._lock:
            if not path.exists():
                self._create(first, card)
            self._open(card)

    def append(self, phases: PhaseMap, source: str) -> dict[str, Any]:
        """Add the map of one more frame and return its line of the journal, with the share of each class."""
        index = len(self.frames)
        names = [str(name) for name in phases["lattice"].values]
        fraction = [round(float(value), 6) for value in class_shares(phases).fraction.values[0]]
        line = {"frame": index, "source": source, "fraction": dict(zip(names, fraction, strict=True))}
        with writing(self.path, CONTINUED):
            if index >= self._room:
                self._resize(index + _BLOCK)
            for name, variable in phases.data_vars.items():
                put(self._array(str(name)), index, variable.values[0])
            put(self._array(DONE), index, 1)
            self._journal.write(journal_line(line))
            self._journal.flush()
            os.fsync(self._journal.fileno())
        self.frames.append(line)
        return line

    def close(self) -> None:
        """Cut the arrays to the frames written, for programs that do not know the journal, and release the lock."""
        if self._journal.closed:
            return
        try:
            self._journal.close()
            self._resize(max(len(self.frames), 1))
        finally:
            self._lock.release()

    def _create(self, first: PhaseMap, card: Mapping[str, Any]) -> None:
        time = xr.DataArray(_times(_BLOCK, card), dims="time", attrs=_time_attributes(card))
        coords = {dim: first[dim] for dim in AXES if dim in first.coords} | {"time": time}
        create_store(self.path, coords, card, variables_of(first), empty_file=JOURNAL)

    def _open(self, card: Mapping[str, Any]) -> None:
        if not (self.path / JOURNAL).exists():
            raise OutputError(f"{self.path} exists and is not a result of `bravaismap watch`; give another output")
        self._group = open_group(self.path, "r+")
        difference = card_difference(card_of(self._group, self.path), card)
        if difference:
            raise OutputError(f"{self.path} exists and was made differently ({difference}); give another output")
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._room = min(self._lengths().values())  # a crash may have come while the arrays grew, one by one
        self.frames = journal_of(self.path)
        whole = "".join(map(journal_line, self.frames))
        write_atomically(self.path / JOURNAL, whole.encode())  # without half a line that a crash has left
        self._journal: IO[str] = (self.path / JOURNAL).open("a", encoding="utf-8", newline="\n")

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._arrays:
            self._arrays[name] = array_of(self._group, name)
        return self._arrays[name]

    def _lengths(self) -> dict[str, int]:
        return {name: array.shape[0] for name, array in self._group.arrays() if dims_of(array)[:1] == ("time",)}

    def _resize(self, length: int) -> None:
        for name, present in self._lengths().items():
            if present != length:
                array, shape = self._array(name), (length, *self._array(name).shape[1:])
                patiently(partial(array.resize, shape))
        put(self._array("time"), slice(None), _times(length, card_of(self._group, self.path)))
        self._room = length


def _times(length: int, card: Mapping[str, Any]) -> np.ndarray:
    return np.arange(length) * float(card.get("frame_time_s") or 1.0)


def _time_attributes(card: Mapping[str, Any]) -> dict[str, str]:
    return {"units": "s" if card.get("frame_time_s") else "frame", "long_name": "time"}
