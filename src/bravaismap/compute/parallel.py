"""Threads: parts of a computation side by side on the cores of one machine.

The measurement consists of many small steps, each of which uses one core well and several cores badly; whole batches
side by side use all of them. NumPy and PyTorch release Python's global lock, so threads suffice and nothing is copied.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

__all__ = ["keep_freed_memory", "one_ahead", "one_behind", "one_thread", "side_by_side"]

Part = TypeVar("Part")
Answer = TypeVar("Answer")

#: Parameters of glibc's mallopt: sizes from which memory is requested from the system directly, and returned to it.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": -3, "MALLOC_TRIM_THRESHOLD_": -1}
_KEPT_BYTES = 2**30  # what both are set to
_BEHIND = 2  # items that wait for :func:`one_behind`


@functools.cache
def keep_freed_memory() -> bool:
    """Make glibc keep freed memory for the next batch; return whether it does.

    By default glibc returns the memory of large arrays to the system when they are freed, and every page of the next
    ones is mapped and cleared again, a seventh of the time of a measurement. A user's own settings
    (``MALLOC_TRIM_THRESHOLD_`` and so on) and other C libraries are left alone.
    """
    if sys.platform != "linux" or not {*_MALLOC, "GLIBC_TUNABLES"}.isdisjoint(os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(parameter, _KEPT_BYTES) == 1 for parameter in _MALLOC.values())


@contextmanager
def one_thread() -> Generator[None]:
    """Let PyTorch use one thread, for many small steps in a row; as a context or a decorator.

    Two threads take twice the time of one on the pixels of a frame of 512² px, most of it waiting for each other, and
    round a sum differently now and then.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def side_by_side(function: Callable[[Part], Answer], parts: Sequence[Part]) -> list[Answer]:
    """Apply a function to each part, as many at a time as PyTorch may use threads, each on one thread.

    Parameters
    ----------
    function : callable
        Must not depend on the order of the calls.
    parts : sequence
        Ideally equal in size, their number a multiple of the number of threads.

    Returns
    -------
    list
        In the order of the parts.
    """
    keep_freed_memory()
    threads = torch.get_num_threads()
    if threads == 1:
        return [function(part) for part in parts]
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(function, parts))
    finally:
        torch.set_num_threads(threads)


def one_ahead(items: Iterable[Part]) -> Generator[Part]:
    """Yield items, while the next one is prepared in another thread.

    Parameters
    ----------
    items : iterable
        Its items are produced in a thread, one after another.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, source, end)
        while (item := following.result()) is not end:
            following = pool.submit(next, source, end)
            yield item  # type: ignore[misc]


def one_behind(function: Callable[[Part], object], items: Iterable[Part]) -> Generator[Part]:
    """Apply a function to items in another thread, while the next ones are made, and yield each when that is done.

    At most `_BEHIND` items wait. All of them are finished before an error in the making of items is raised, and those
    made so far before the generator is closed; after an error in the function no other is begun.

    Parameters
    ----------
    function : callable
        Called for one item after another, in order.
    items : iterable
    """
    failed = threading.Event()

    def applied(item: Part) -> None:
        if failed.is_set():
            return
        try:
            function(item)
        except BaseException:
            failed.set()
            raise

    waiting: deque[tuple[Part, Future[None]]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for item in items:
            waiting.append((item, pool.submit(applied, item)))
            while waiting and (len(waiting) > _BEHIND or waiting[0][1].done()):
                first, future = waiting.popleft()
                future.result()
                yield first
        for last, future in waiting:
            future.result()
            yield last
