"""Frames that are under way: as many as the workers need, handed out in order, and yielded as they are finished."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from itertools import islice
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from bravaismap.phases.frame import MappedFrame

__all__ = ["Workers", "mapped_by"]

Task = TypeVar("Task")


class Workers(Protocol[Task]):
    """What maps frames somewhere else: processes of this computer, or a cluster."""

    def most(self) -> int:
        """Return how many frames should be under way now."""

    def begin(self, index: int, pixels: NDArray[Any]) -> Task:
        """Hand out a frame (y, x); return what stands for it."""

    def finished(self, under_way: dict[Task, int]) -> Task | None:
        """Wait for one of the frames under way, given with their numbers; None to be asked again."""

    def answer(self, task: Task, index: int) -> MappedFrame:
        """Return the map of a finished frame, or raise what happened to it."""

    def end(self, under_way: Collection[Task]) -> None:
        """Give up the frames that are still under way."""


def mapped_by(workers: Workers[Task], frames: Iterator[tuple[int, NDArray[Any]]]) -> Generator[tuple[int, MappedFrame]]:
    """Map frames by workers.

    Parameters
    ----------
    workers : Workers
    frames : iterator of (int, array of shape (y, x))
        Taken as the workers need them.

    Yields
    ------
    (int, MappedFrame)
        In the order in which they are finished.
    """
    under_way: dict[Task, int] = {}
    try:
        while True:
            for index, pixels in islice(frames, max(0, workers.most() - len(under_way))):
                under_way[workers.begin(index, pixels)] = index
            if not under_way:
                return
            task = workers.finished(under_way)
            if task is not None:
                yield under_way[task], workers.answer(task, under_way[task])
                del under_way[task], task
    finally:
        workers.end(under_way)
