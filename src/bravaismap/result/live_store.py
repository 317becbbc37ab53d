"""A result whose time axis grows: the store of a live run.

The arrays are those of any other result, a little longer than the frames written, and frames come to them in blocks
(see `bravaismap.result.blocks`). A journal has one JSON line for each complete frame, written after everything else of
that frame. A store that a crash leaves behind opens, and is continued after the last complete line.
`bravaismap.open_result` opens it, also while it grows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import xarray as xr

from bravaismap.errors import OutputError
from bravaismap.files import patiently, write_atomically
from bravaismap.result.blocks import FrameBlocks
from bravaismap.result.card import card_difference, card_of
from bravaismap.result.journal import JOURNAL, journal_line, journal_of
from bravaismap.result.phase_map import PhaseMap
from bravaismap.result.schema import AXES, Variable, variables_of
from bravaismap.result.shares import class_shares
from bravaismap.result.zarr_store import CONTINUED, array_of, create_store, dims_of, locked, open_group, put, writing

__all__ = ["LiveStore", "check_continued"]

_GROWTH = 64  # frames by which the arrays grow


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
        self._pool = ThreadPoolExecutor(1, "blocks")
        self._gathering: Future[None] | None = None
        with locked(path) as self._lock:
            if not path.exists():
                self._create(first, card)
            self._open(card, variables_of(first))

    def append(self, phases: PhaseMap, source: str) -> dict[str, Any]:
        """Add the map of one more frame and return its line of the journal, with the share of each class."""
        index = len(self.frames)
        names = [str(name) for name in phases["lattice"].values]
        fraction = [round(float(value), 6) for value in class_shares(phases).fraction.values[0]]
        line = {"frame": index, "source": source, "fraction": dict(zip(names, fraction, strict=True))}
        with writing(self.path, CONTINUED):
            if index >= self._room:
                self._resize(index + _GROWTH)
            self._blocks.write(index, {str(name): variable.values[0] for name, variable in phases.data_vars.items()})
            self._journal.write(journal_line(line))
            self._journal.flush()
            os.fsync(self._journal.fileno())
            self.frames.append(line)
            self._gather()
        return line

    def close(self) -> None:
        """Cut the arrays to the frames written, for programs that do not know the journal, and release the lock."""
        if self._journal.closed:
            return
        try:
            with writing(self.path, CONTINUED):
                self._finish_gathering()
                self._journal.close()
                self._blocks.gather_all()
                self._resize(max(len(self.frames), 1))
        finally:
            self._journal.close()
            self._pool.shutdown()
            self._lock.release()

    def _gather(self) -> None:
        """Let a thread bring a block of frames to the arrays when it is complete, while the next frames come."""
        if self._gathering is not None and self._gathering.done():
            self._finish_gathering()
        if len(self.frames) % self._blocks.length == 0:
            self._finish_gathering()
            self._gathering = self._pool.submit(self._blocks.gather, len(self.frames) // self._blocks.length - 1)

    def _finish_gathering(self) -> None:
        if self._gathering is not None:
            self._gathering.result()
        self._gathering = None

    def _create(self, first: PhaseMap, card: Mapping[str, Any]) -> None:
        time = xr.DataArray(_times(_GROWTH, card), dims="time", attrs=_time_attributes(card))
        coords = {dim: first[dim] for dim in AXES if dim in first.coords} | {"time": time}
        create_store(self.path, coords, card, variables_of(first), empty_file=JOURNAL)

    def _open(self, card: Mapping[str, Any], variables: tuple[Variable, ...]) -> None:
        if not (self.path / JOURNAL).exists():
            raise OutputError(f"{self.path} exists and is not a result of `bravaismap watch`; give another output")
        self._group, self._variables = open_group(self.path, "r+"), variables
        check_continued(self.path, card_of(self._group, self.path), card)
        self.frames = journal_of(self.path)
        with writing(self.path, CONTINUED):
            self._resize(min(self._lengths().values()))  # a crash may have come while the arrays grew, one by one
            for index in self._blocks.files.numbers():
                if index >= len(self.frames):
                    self._blocks.files.remove(index)  # the crash came before its line
            self._blocks.settle(self._blocks.marked() & (np.arange(self._room) < len(self.frames)))
        whole = "".join(map(journal_line, self.frames))
        write_atomically(self.path / JOURNAL, whole.encode())  # without half a line that a crash has left
        self._journal: IO[str] = (self.path / JOURNAL).open("a", encoding="utf-8", newline="\n")

    def _lengths(self) -> dict[str, int]:
        return {name: array.shape[0] for name, array in self._group.arrays() if dims_of(array)[:1] == ("time",)}

    def _resize(self, length: int) -> None:
        """Give all arrays the same length along time."""
        self._finish_gathering()
        for name, present in self._lengths().items():
            if present != length:
                array = array_of(self._group, name)
                patiently(partial(array.resize, (length, *array.shape[1:])))
        times = _times(length, card_of(self._group, self.path))
        if not np.array_equal(array_of(self._group, "time")[:], times):
            put(array_of(self._group, "time"), slice(None), times)
        try:
            self._blocks = FrameBlocks(self.path, self._group, self._variables)
        except (KeyError, ValueError, TypeError) as error:
            raise OutputError(f"{self.path} exists and is damaged ({error}); give another output") from error
        self._room = length


def check_continued(path: Path, there: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Raise `OutputError` if a result, with its run card, was made differently than the card of a run that goes on."""
    difference = card_difference(there, card)
    if difference:
        raise OutputError(f"{path} exists and was made differently ({difference}); give another output")


def _times(length: int, card: Mapping[str, Any]) -> np.ndarray:
    return np.arange(length) * float(card.get("frame_time_s") or 1.0)


def _time_attributes(card: Mapping[str, Any]) -> dict[str, str]:
    return {"units": "s" if card.get("frame_time_s") else "frame", "long_name": "time"}
