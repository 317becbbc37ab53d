"""Parts of a computation side by side on the cores of one machine.

The measurement is many small steps, of which each uses one core well and several badly; whole batches side by side use
them all. NumPy and PyTorch compute without Python's global lock, so threads are enough and nothing is copied.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["keep_freed_memory", "one_ahead", "side_by_side"]

Part = TypeVar("Part")
Answer = TypeVar("Answer")

#: Names of glibc for the sizes from which memory is asked of the system directly, and given back to it; and a size.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": -3, "MALLOC_TRIM_THRESHOLD_": -1}
_KEPT_BYTES = 2**30


@functools.cache
def keep_freed_memory() -> bool:
    """Have glibc keep memory that is freed, for the next batch; return whether it does.

    As it comes, glibc gives the memory of large arrays back to the system when they are freed, and every page of the
    next ones is fetched and cleared anew: a seventh of the time of a measurement. A user's own settings
    (``MALLOC_TRIM_THRESHOLD_`` and so on) are left alone, and so are other C libraries.
    """
    if sys.platform != "linux" or not {*_MALLOC, "GLIBC_TUNABLES"}.isdisjoint(os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(parameter, _KEPT_BYTES) == 1 for parameter in _MALLOC.values())


def side_by_side(function: Callable[[Part], Answer], parts: Sequence[Part]) -> list[Answer]:
    """Apply a function to each part, as many at a time as PyTorch may use threads, each on one thread.

    Parameters
    ----------
    function : callable
        Must not depend on the order of the calls.
    parts : sequence
        Best a multiple of the threads in number, and equal in size.

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
    """Yield the items, and have the next one made while the one yielded is in use.

    Parameters
    ----------
    items : iterable
        Each of its items is made in a thread of its own, one after another.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, source, end)
            yield item  # type: ignore[misc]
