"""Frames of a live run mapped side by side: one in this process and, once many wait, others in further processes.

This process alone maps a frame soonest, since its threads share the windows of that frame; several processes of one
thread each map more frames in a time. They take some seconds until they are there, so that they are started when so
many frames wait that it is worth it, and stay until the run ends.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass

import cloudpickle
import xarray as xr

from bravaismap.classify.settings import Settings
from bravaismap.compute.parallel import one_thread
from bravaismap.errors import warn
from bravaismap.phases.map import frame_mapper, map_movie
from bravaismap.phases.processes import MapperProcess, ProcessDied, processes_for
from bravaismap.result.phase_map import PhaseMap

__all__ = ["Mappers", "frame_map"]

#: Frames beyond those that are mapped which may be read already.
_AHEAD = 1


def frame_map(frame: xr.DataArray, settings: Settings) -> PhaseMap:
    """Return the map of a frame of a live run, a movie (time, y, x) of one, with settings that leave nothing open."""
    return map_movie(frame, settings)


@dataclass(frozen=True)
class _Told:
    """The map of a frame, and what another process would have warned of."""

    phases: PhaseMap
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Elsewhere:
    """What maps frames in another process."""

    mapping: Callable[[xr.DataArray, Settings], PhaseMap]
    settings: Settings

    def __call__(self, index: int, frame: xr.DataArray) -> _Told:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            phases = self.mapping(frame, self.settings)
        return _Told(phases, tuple(str(warning.message) for warning in said))


class Mappers:
    """The processes that map the frames of a live run; at first this one alone.

    A frame goes to the first that has nothing to do, to this process rather than to another, which takes longer.

    Parameters
    ----------
    settings : Settings
        They leave nothing open.
    mapping : callable
        Returns the map of a frame with settings.
    """

    def __init__(self, settings: Settings, mapping: Callable[[xr.DataArray, Settings], PhaseMap] = frame_map) -> None:
        self._settings, self._mapping = settings, mapping
        self._lock = threading.RLock()
        self._waiting: deque[tuple[Future[PhaseMap], xr.DataArray]] = deque()
        self._idle: list[MapperProcess | None] = [None]  # None is this process
        self._others: list[MapperProcess] = []
        self._started = 0
        self._ended = False
        self._pool = ThreadPoolExecutor((os.cpu_count() or 1) + 1, "frames")

    def most(self) -> int:
        """Return how many frames should be under way."""
        return 1 + len(self._others) + _AHEAD

    def begin(self, frame: xr.DataArray) -> Future[PhaseMap]:
        """Map a frame (time, y, x) as soon as it is its turn."""
        future: Future[PhaseMap] = Future()
        with self._lock:
            self._waiting.append((future, frame))
            self._hand_out()
        return future

    def start_others(self, frame: xr.DataArray, waiting: int) -> None:
        """Start further processes if so many frames wait, of which this is one, that they are done sooner with them."""
        shape = (frame.sizes["y"], frame.sizes["x"])
        others = processes_for(waiting, shape, frame_mapper(frame, self._settings)) - 1
        for _ in range(self._started, others):
            self._started += 1
            self._pool.submit(self._start, frame)

    def end(self) -> None:
        """End all other processes, whatever they are at, and wait for this one."""
        with self._lock:
            self._ended = True
            self._waiting.clear()
            for process in self._others:
                process.end()
        self._pool.shutdown(cancel_futures=True)

    def _start(self, frame: xr.DataArray) -> None:
        """Start another process, and let it map a frame that nobody waits for, so that it has loaded what it needs."""
        with self._lock:
            if self._ended:
                return
            process = MapperProcess()
            self._others.append(process)
        with suppress(ProcessDied):
            process.begin(cloudpickle.dumps(_Elsewhere(self._mapping, self._settings)))
            if isinstance(process.answer(0, frame), _Told):
                self._take_back(process)
                return
        self._lose(process)

    def _hand_out(self) -> None:
        while self._waiting and self._idle:
            chosen = self._idle.pop(self._idle.index(None) if None in self._idle else 0)
            self._pool.submit(self._map, chosen, *self._waiting.popleft())

    def _map(self, process: MapperProcess | None, future: Future[PhaseMap], frame: xr.DataArray) -> None:
        """Map a frame in a process; by another one if that dies of it."""
        try:
            future.set_result(self._mapped_here(frame) if process is None else _mapped_by(process, frame))
        except ProcessDied:
            with self._lock:
                self._waiting.appendleft((future, frame))
            self._lose(process)
        except BaseException as error:
            future.set_exception(error)
            self._take_back(process)
        else:
            self._take_back(process)

    def _mapped_here(self, frame: xr.DataArray) -> PhaseMap:
        with one_thread() if self._others else nullcontext():
            return self._mapping(frame, self._settings)

    def _take_back(self, process: MapperProcess | None) -> None:
        with self._lock:
            self._idle.append(process)
            self._hand_out()

    def _lose(self, process: MapperProcess | None) -> None:
        """Do without a process that died."""
        with self._lock:
            if process is not None:
                process.end()
                self._others.remove(process)
            self._hand_out()


def _mapped_by(process: MapperProcess, frame: xr.DataArray) -> PhaseMap:
    answer = process.answer(0, frame)
    if isinstance(answer, Exception):
        raise answer
    for message in answer.warnings:
        warn(message)
    phases: PhaseMap = answer.phases
    return phases
