"""The frames of a live run that are under way, from their source to their maps, in the order in which they came.

The next frame is mapped even before its file counts as complete, if nothing else is to be done: if it then holds the
same pixels, its map is there as soon as it counts.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass

import xarray as xr

from bravaismap.classify.settings import LIVE_STEPS_ALONG_WINDOW, Settings
from bravaismap.errors import InputError
from bravaismap.live.mapping import Mappers, frame_map
from bravaismap.live.sources import FolderSource, StackSource
from bravaismap.movie import as_movie, finite_pixels
from bravaismap.phases.first_look import settled, window_line
from bravaismap.read.description import movie_line
from bravaismap.result.phase_map import PhaseMap

__all__ = ["FrameUnderWay", "LineUp"]


@dataclass(frozen=True)
class FrameUnderWay:
    """A frame that is being mapped.

    Attributes
    ----------
    source : str
        Where it came from.
    phases : Future of PhaseMap
        Its map.
    begun : float
        When that was begun, in s; of a frame that waits with its map, as long before as this took.
    """

    source: str
    phases: Future[PhaseMap]
    begun: float


@dataclass
class _Early:
    """A frame that is mapped before it counts as complete: when it was begun and, once it is, finished."""

    frame: xr.DataArray
    phases: Future[PhaseMap]
    begun: float
    ended: float | None = None


class LineUp:
    """The frames of a live run that are under way.

    Parameters
    ----------
    settings : Settings
        What they leave open is taken from the first frame that can be mapped.
    source : FolderSource or StackSource
    taken : set of str
        Frames that were mapped by an earlier run.
    clock : callable
        Returns the time in s, from any origin.
    tell : callable, optional
        As for :func:`bravaismap.live.watching.watch`.
    """

    def __init__(
        self,
        settings: Settings,
        source: FolderSource | StackSource,
        taken: set[str],
        clock: Callable[[], float],
        tell: Callable[[str], object] | None = None,
    ) -> None:
        self.settings = settings
        self._source, self._taken, self._clock, self._tell = source, taken, clock, tell
        self._size: tuple[int, ...] | None = None
        self._mappers: Mappers | None = None
        self._under_way: deque[FrameUnderWay] = deque()
        self._early: _Early | None = None

    def __len__(self) -> int:
        return len(self._under_way)

    def finished(self) -> Iterator[FrameUnderWay]:
        """Take the frames that the source has by now, and yield those that are mapped, in order."""
        for name, (phases, begun) in self._source.ready(self._taken, self._clock(), self._begun):
            self._taken.add(name)
            self._under_way.append(FrameUnderWay(name, phases, begun))
            while self._under_way and (self._under_way[0].phases.done() or len(self) >= self._most()):
                yield self._under_way.popleft()
        while self._under_way and self._under_way[0].phases.done():
            yield self._under_way.popleft()

    def rest(self, seconds: float) -> None:
        """Wait so long, or until the next frame is mapped."""
        if self._under_way:
            wait([self._under_way[0].phases], seconds)
        else:
            self._begin_early()
            time.sleep(seconds)

    def end(self) -> None:
        """Give up the frames that are under way."""
        if self._mappers is not None:
            self._mappers.end()

    def _most(self) -> int:
        return 1 if self._mappers is None else self._mappers.most()

    def _begun(self, pixels: xr.DataArray) -> tuple[Future[PhaseMap], float]:
        """Begin a frame (y, x) that is complete; return its map to be, and when that was begun."""
        frame, now = self._checked(pixels), self._clock()
        if self._mappers is None:
            return self._first(frame, pixels), now
        self._mappers.start_others(frame, self._source.waiting)
        early, self._early = self._early, None
        if early is not None and early.frame.identical(frame):
            return early.phases, now - ((early.ended or now) - early.begun)
        return self._mappers.begin(frame), now

    def _first(self, frame: xr.DataArray, pixels: xr.DataArray) -> Future[PhaseMap]:
        """Map the first frame, which settles what the others are mapped with."""
        settings = settled(self.settings, frame, LIVE_STEPS_ALONG_WINDOW)
        phases: Future[PhaseMap] = Future()
        phases.set_result(frame_map(frame, settings))
        if self._tell is not None:
            self._tell(movie_line(frame.assign_attrs({"source": str(self._source)} | pixels.attrs)))
            if settings.window_reason:
                self._tell(window_line(settings))
        self.settings, self._size, self._mappers = settings, pixels.shape, Mappers(settings)
        return phases

    def _begin_early(self) -> None:
        """Map the next frame before it is complete, if it can be."""
        if self._mappers is None or (self._early is not None and not self._early.phases.done()):
            return
        pixels = self._source.early(self._taken)
        if pixels is None:
            return
        try:
            frame = self._checked(pixels)
        except InputError:  # which is said when it is complete
            return
        early = _Early(frame, self._mappers.begin(frame), self._clock())
        early.phases.add_done_callback(lambda _: setattr(early, "ended", self._clock()))
        self._early = early

    def _checked(self, pixels: xr.DataArray) -> xr.DataArray:
        """Return a frame (y, x) as a movie in memory; raise `InputError` if it cannot be mapped with the others."""
        if self._size is not None and pixels.shape != self._size:
            given, expected = (f"{height} × {width} px" for height, width in (pixels.shape, self._size))
            raise InputError(
                f"{pixels.attrs.get('source', self._source)}: a frame of {given}, but those before have {expected}"
            )
        frame = as_movie(pixels).compute()
        if self.settings.nan != "missing":
            finite_pixels(frame.values, nan=self.settings.nan)
        return frame
