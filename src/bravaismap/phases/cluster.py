"""Frames mapped by the workers of a dask cluster. This process alone reads the movie and writes the result.

Each worker receives what mapping takes besides the pixels, above all the weights, once; the pixels of a frame go with
its task. If a worker dies nothing is lost: another one maps its frames.
"""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Collection, Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Any

import torch
from distributed import Future, KilledWorker, WorkerPlugin
from numpy.typing import NDArray

from bravaismap.errors import InputError, OutputError
from bravaismap.phases.frame import FrameMapper, MappedFrame
from bravaismap.phases.under_way import mapped_by

__all__ = ["mapped_on_cluster"]

_dask: Any = importlib.import_module("distributed")  # its functions have no types
_TIMEOUT = "20s"  # within which a scheduler must answer


def mapped_on_cluster(
    mapper: FrameMapper,
    frames: Iterator[tuple[int, NDArray[Any]]],
    scheduler: str,
) -> Generator[tuple[int, MappedFrame]]:
    """Map frames on the workers of a cluster, one frame on one thread.

    Parameters
    ----------
    mapper : FrameMapper
    frames : iterator of (int, array of shape (y, x))
        Taken as the workers need them: two for each of their threads are under way.
    scheduler : str
        Address of a scheduler.

    Yields
    ------
    (int, MappedFrame)
        In the order in which they are finished.

    Raises
    ------
    InputError
        For a scheduler that does not answer, or a frame at which workers die again and again.
    OutputError
        If the scheduler is lost on the way.
    """
    with _connected(scheduler) as client:
        yield from mapped_by(_ClusterWorkers(client, mapper), frames)


class _ClusterWorkers:
    """The workers of a cluster, each of which holds the mapper."""

    def __init__(self, client: Any, mapper: FrameMapper) -> None:
        self._client, self._plugin = client, _MapperPlugin(mapper)
        client.register_plugin(self._plugin)
        self._finished = _dask.as_completed(loop=client.loop)

    def most(self) -> int:
        """Return how many frames should be under way now: two for each thread of the workers that are there."""
        threads: dict[str, int] = self._client.nthreads()
        return 2 * max(1, sum(threads.values()))

    def begin(self, index: int, pixels: NDArray[Any]) -> Future:
        """Send a frame to a worker."""
        name = self._plugin.name
        task: Future = self._client.submit(_map_frame, name, index, pixels, key=f"{name}-{index}", priority=-index)
        self._finished.add(task)
        return task

    def finished(self, under_way: dict[Future, int]) -> Future:
        """Return the next frame that is finished."""
        task: Future = next(self._finished)
        return task

    def answer(self, task: Future, index: int) -> MappedFrame:
        """Return the map of a finished frame."""
        try:
            mapped: MappedFrame = task.result()
        except KilledWorker as error:
            raise InputError(
                f"frame {index}: each worker that mapped it died, most likely for want of memory; give the workers "
                "more of it, or take fewer of them"
            ) from error
        except CancelledError as error:
            raise OutputError("the scheduler was lost; start it again, and the same command continues") from error
        return mapped

    def end(self, under_way: Collection[Future]) -> None:
        """Cancel the frames that are still under way, and let the workers forget the mapper."""
        with suppress(Exception):  # a scheduler that is gone has forgotten them
            self._client.cancel(list(under_way), force=True)
            self._client.unregister_worker_plugin(self._plugin.name)


class _MapperPlugin(WorkerPlugin):
    """The frame mapper, held by a worker."""

    def __init__(self, mapper: FrameMapper) -> None:
        self.name = f"bravaismap-{uuid.uuid4().hex}"
        self.mapper = mapper
        self.version = version("bravaismap")

    def setup(self, worker: Any) -> None:
        """Refuse to map by another version of this package."""
        installed = version("bravaismap")
        if installed != self.version:
            raise InputError(
                f"the worker {worker.address} has bravaismap {installed}, expected {self.version}; "
                "install the same version"
            )


def _map_frame(name: str, index: int, pixels: NDArray[Any]) -> MappedFrame:
    """Map a frame, on a worker: on one thread, since its other threads map other frames."""
    torch.set_num_threads(1)
    plugin: _MapperPlugin = _dask.get_worker().plugins[name]
    return plugin.mapper(index, pixels)


@contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    try:
        client = _dask.Client(scheduler, timeout=_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"no scheduler answers at {scheduler}; start one with `dask scheduler` and give the address that it "
            "prints, or give --workers N to use this computer"
        ) from error
    with client:
        yield client
