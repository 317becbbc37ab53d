"""Frames mapped by processes of this computer, of one thread each. This process alone reads movie and writes result.

Threads wait for Python between the many small steps of the measurement, so that more than two of them gain nothing.
A process is a new interpreter that is sent the classifier once, then frames, through a pipe, and sends their maps back.
It is started alike on every system and does not run the script of the user, which needs no guard against that.
"""

from __future__ import annotations

import multiprocessing.spawn
import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Collection, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import IO, Any, Final

import cloudpickle
import psutil
import torch
from dask.system import CPU_COUNT
from distributed.system import MEMORY_LIMIT
from numpy.typing import NDArray

from bravaismap.compute.device import PROCESSOR
from bravaismap.compute.parallel import one_ahead
from bravaismap.errors import InputError
from bravaismap.phases.frame import WINDOW_BYTES, FrameMapper, MappedFrame
from bravaismap.phases.under_way import mapped_by

__all__ = ["MapperProcess", "ProcessDied", "mapped_in_processes", "processes_for", "serve"]

#: Until a started process maps its first frame, in s: Python, PyTorch and what the first frame sets up.
_START: Final = 3.0
#: Cost on one thread of the default model for each pixel of each window, and for each pixel of a frame that is asked,
#: in s. By benchmarks/scaling.py a frame of 512² takes 0.38 s of processor time with its pixels and 0.20 s without:
#: 0.7e-6 s a pixel, and 1.1e-6 s with what a frame takes whatever its windows are.
_SECONDS_PER_WINDOW_PIXEL: Final = 1e-7
_SECONDS_PER_PIXEL: Final = 9e-7
#: Threads of one process that gain anything: with more, each waits for Python.
_USEFUL_THREADS: Final = 2
#: Memory of a process in bytes: before it maps, for each byte of the windows that are cut at a time, and for each pixel
#: of a frame that is asked. The peak was 694 MB for 3249 windows of 128² of 1024² without pixels, 570 MB for 961 of
#: 2048², and 436, 668 and 1508 MB with the pixels of 512², 1024² and 2048². The share of the free memory that all may
#: take.
_BYTES: Final = 360 * 2**20
_BYTES_PER_WINDOW_BYTE: Final = 3
_BYTES_PER_PIXEL: Final = 300
_SHARE_OF_MEMORY: Final = 0.8
_WAITING = 2  # frames that wait for a process, so that none waits for a frame
_LOOK = 0.5  # s between two looks for Ctrl-C, which Windows does not let through to a thread that waits
_MOST_DEATHS = 3  # processes that may die at one frame
_THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def processes_for(frames: int, shape: tuple[int, int], mapper: FrameMapper) -> int:
    """Return the number of processes in which frames are mapped soonest; 1 for this process and its threads.

    Each process maps whole frames and takes `_START` seconds until it is there; this one need not start, but its
    threads gain little. All cores that it may use are counted (as many as ``OMP_NUM_THREADS`` says where that is set),
    and as many processes as fit into the free memory. A GPU serves one process.

    Parameters
    ----------
    frames : int
        Number of frames that are to be mapped.
    shape : (int, int)
        Of a frame.
    mapper : FrameMapper
    """
    if mapper.device != PROCESSOR:
        return 1
    cores, pixels = _cores(), shape[0] * shape[1]
    of_windows = mapper.grid.count * mapper.grid.window**2 * _SECONDS_PER_WINDOW_PIXEL
    of_pixels = 0.0 if mapper.pixel_step is None else pixels * _SECONDS_PER_PIXEL
    memory = min(psutil.virtual_memory().available, MEMORY_LIMIT)
    most = min(cores, frames, int(_SHARE_OF_MEMORY * memory / _memory(pixels, mapper)))
    seconds = {1: frames * (of_windows / min(cores, _USEFUL_THREADS) + of_pixels)}
    for processes in range(2, most + 1):
        seconds[processes] = _START + -(-frames // processes) * (of_windows + of_pixels)
    return min(seconds, key=lambda processes: (seconds[processes], processes))


def _memory(pixels: int, mapper: FrameMapper) -> int:
    """Return how many bytes a process takes for frames of so many pixels, which are asked after the windows."""
    cut = min(4 * mapper.grid.count * mapper.grid.window**2, WINDOW_BYTES)
    asked = 0 if mapper.pixel_step is None else pixels
    return _BYTES + max(cut * _BYTES_PER_WINDOW_BYTE, asked * _BYTES_PER_PIXEL)


def mapped_in_processes(
    mapper: FrameMapper, frames: Iterator[tuple[int, NDArray[Any]]], processes: int
) -> Generator[tuple[int, MappedFrame]]:
    """Map frames in so many processes of this computer, each on one thread.

    A process that dies is replaced, and its frame mapped again.

    Parameters
    ----------
    mapper : FrameMapper
    frames : iterator of (int, array of shape (y, x))
        Taken as the processes need them.
    processes : int
        At most; no more are started than there are frames.

    Yields
    ------
    (int, MappedFrame)
        In the order in which they are finished.

    Raises
    ------
    InputError
        If processes die at a frame again and again.
    """
    return mapped_by(_Crew(mapper, processes), frames)


class _Crew:
    """Processes that map frames, one for each of as many threads."""

    def __init__(self, mapper: FrameMapper, processes: int) -> None:
        self._mapper = cloudpickle.dumps(mapper)
        self._most = processes + _WAITING
        self._pool = ThreadPoolExecutor(processes, "process")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._processes: list[MapperProcess] = []
        self._ended = False

    def most(self) -> int:
        """Return how many frames should be under way."""
        return self._most

    def begin(self, index: int, pixels: NDArray[Any]) -> Future[MappedFrame]:
        """Map frame number `index` in the first process that has nothing to do."""
        return self._pool.submit(self._mapped, index, pixels)

    def finished(self, under_way: dict[Future[MappedFrame], int]) -> Future[MappedFrame] | None:
        """Return the first of the frames that are finished; None if none is after a while."""
        done = wait(under_way, _LOOK, return_when=FIRST_COMPLETED).done
        return min(done, key=under_way.__getitem__, default=None)

    def answer(self, task: Future[MappedFrame], index: int) -> MappedFrame:
        """Return the map of a finished frame, or raise the error that it caused."""
        return task.result()

    def end(self, under_way: Collection[Future[MappedFrame]]) -> None:
        """End all processes, whatever they are at."""
        for future in under_way:
            future.cancel()
        with self._lock:
            self._ended = True
            for process in self._processes:
                process.end()
        self._pool.shutdown()

    def _mapped(self, index: int, pixels: NDArray[Any]) -> MappedFrame:
        """Map frame number `index` in the process of this thread."""
        for _ in range(_MOST_DEATHS):
            process = self._process()
            with suppress(ProcessDied):
                answer: MappedFrame | Exception = process.answer(index, pixels)
                break
            process.end()
            self._own.process = None
        else:
            raise InputError(
                f"frame {index}: each process that mapped it died, most likely for want of memory; take fewer, with "
                "--workers N"
            )
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _process(self) -> MapperProcess:
        """Return the process of this thread, started if there is none."""
        process: MapperProcess | None = getattr(self._own, "process", None)
        if process is None:
            with self._lock:
                if self._ended:
                    raise CancelledError
                process = MapperProcess()
                self._processes.append(process)
            self._own.process = process
            process.begin(self._mapper)
        return process


class ProcessDied(Exception):
    """A process has died, or was ended."""


class MapperProcess:
    """A new interpreter that runs :func:`serve`. Ctrl-C does not reach it; it ends when this process does."""

    def __init__(self) -> None:
        command = ["-W", "ignore", "-c", f"from {__name__} import serve; serve()"]
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        options: dict[str, Any] = {"env": {**os.environ, **_THREADS, "PYTHONPATH": paths}}
        if sys.platform == "win32":
            options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        else:
            options["process_group"] = 0
        self._process: subprocess.Popen[bytes] = subprocess.Popen(
            [os.fsdecode(multiprocessing.spawn.get_executable()), *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout

    def begin(self, mapper: bytes) -> None:
        """Send the pickled mapper: a function of the number of a frame and its pixels."""
        with suppress(OSError, ValueError):  # one that is dead already is noticed by its first frame
            self._questions.write(mapper)

    def answer(self, index: int, pixels: Any) -> Any:
        """Return what the mapper says of a frame, or the error that it caused; raise `ProcessDied` if nothing comes."""
        try:
            pickle.dump((index, pixels), self._questions, pickle.HIGHEST_PROTOCOL)
            self._questions.flush()
            return pickle.load(self._answers)
        except (EOFError, pickle.UnpicklingError, OSError, ValueError) as error:
            raise ProcessDied from error

    def end(self) -> None:
        """Kill the process, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        for stream in (self._questions, self._answers):
            with suppress(OSError):  # what it was still to be told
                stream.close()


def serve() -> None:
    """Map the frames that come through standard input, until that is closed; what a started process does."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    torch.set_num_threads(1)
    try:
        mapper = pickle.load(sys.stdin.buffer)
    except (EOFError, pickle.UnpicklingError):  # the process that started this one has ended meanwhile
        return
    for index, pixels in one_ahead(_questions(sys.stdin.buffer)):
        try:
            answer: MappedFrame | Exception = mapper(index, pixels)
        except Exception as error:
            error.add_note(traceback.format_exc())
            answer = error
        try:
            packed = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, TypeError, AttributeError):
            packed = pickle.dumps(RuntimeError(f"{type(answer).__name__}: {answer}"))
        answers.write(packed)
        answers.flush()


def _questions(stream: IO[bytes]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the frames that come through a stream; end this process at once when there is nobody to answer."""
    while True:
        try:
            yield pickle.load(stream)
        except EOFError:
            os._exit(0)


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return torch.get_num_threads() if _THREADS.keys() & os.environ.keys() else CPU_COUNT
