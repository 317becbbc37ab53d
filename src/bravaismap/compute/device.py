"""Devices on which windows are classified, a processor or a GPU, and batches of windows that suit them.

On a GPU everything from the windows to the probabilities stays in its memory; only the answers are copied back. They
equal those of the processor but for rounding.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bravaismap.compute.parallel import side_by_side
from bravaismap.errors import ModelError

__all__ = [
    "PROCESSOR",
    "checked_device",
    "exponential",
    "full_precision",
    "images_together",
    "in_batches",
    "on_device",
    "own_stream",
]

Answer = TypeVar("Answer")

PROCESSOR = "cpu"
#: Smallest exponent that is exponentiated: e⁻⁶⁰ is negligible, and the exponential of much less is subnormal in single
#: precision, which processors compute slowly.
_SMALLEST_EXPONENT = -60.0
_LOG2_E = math.log2(math.e)
#: Pixels of images that are classified together on a processor: 320 windows of 128 px. Fewer mean more calls, during
#: which threads wait for one another; more mean more memory. Fewer from `_LARGE` px on, searched more widely.
_PIXELS_ON_PROCESSOR = 5 * 2**20
_LARGE = 2**15
_PIXELS_OF_LARGE = 2**21
#: Number of images, or of pixels, from which on a batch is worth a thread: with fewer, two threads lose more time by
#: waiting for one another than they gain.
_WORTH_A_THREAD = 128
_PIXELS_WORTH_A_THREAD = 2**21
#: Bytes per pixel of all intermediate results of the measurement together, twice what was measured at most: 25 for
#: windows of a film, 50 for `wide` ones, 73 for noise.
_BYTES_PER_PIXEL = 160
#: Share of the free memory of a GPU that is used, and the largest number of pixels at a time.
_SHARE = 0.5
_MOST_PIXELS = 2**28


def checked_device(name: str) -> str:
    """Validate the name of a device: return it, or raise if PyTorch cannot compute on it.

    Parameters
    ----------
    name : str
        ``"cpu"``, ``"cuda"`` or another of PyTorch; ``"auto"`` for a GPU if there is one that computes.

    Raises
    ------
    ModelError
        If PyTorch has no such device here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() and _failure("cuda") is None else PROCESSOR
    if (failure := _failure(name)) is not None:
        raise ModelError(
            f"the device {name!r} was asked for, and PyTorch cannot compute on it here; "
            f"expected cpu{', cuda' if torch.cuda.is_available() else ''} or auto"
        ) from failure
    return name


def _failure(name: str) -> Exception | None:
    """What happens where a device is asked for a sum: nothing, or an error, as of a driver that is too old."""
    try:
        (torch.ones(1, device=name) + 1).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return error
    return None


def in_batches(
    function: Callable[[slice], Answer], shape: Sequence[int], device: str = PROCESSOR, free: int | None = None
) -> list[Answer]:
    """Apply a function to images in batches that suit a device.

    On a processor batches run side by side on all cores. On a GPU they run one after another, equal in size and as
    large as its free memory allows, and smaller if that was too much.

    Parameters
    ----------
    function : callable
        Takes a slice of the images; must not depend on the order of the calls.
    shape : sequence of int
        Of all images, (n, y, x).
    device : str
    free : int, optional
        Free memory of the GPU in bytes; queried when not given.

    Returns
    -------
    list
        In the order of the images.
    """
    count, pixels = shape[0], max(1, shape[1] * shape[2])
    if device == PROCESSOR:
        fewest = max(1, min(_WORTH_A_THREAD, _PIXELS_WORTH_A_THREAD // pixels))
        threads = min(torch.get_num_threads(), max(1, count // fewest))
        most = _PIXELS_ON_PROCESSOR if pixels < _LARGE else _PIXELS_OF_LARGE
        return side_by_side(function, _slices(count, _even_batch(count, max(1, most // pixels), threads)))
    batch = _even_batch(count, max(1, _fitting_pixels(device, free) // pixels), 1)
    answers: list[Answer] = []
    start = 0
    while start < count:
        batch = min(batch, count - start)
        try:
            with full_precision():
                answers.append(function(slice(start, start + batch)))
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
            batch //= 2
            continue
        start += batch
    return answers


def images_together(pixels: int, device: str) -> int:
    """Return how many images of so many pixels each a GPU takes at once; one if a processor is asked for."""
    return 1 if device == PROCESSOR else max(1, _fitting_pixels(device, None) // max(1, pixels))


def on_device(images: NDArray[Any] | Tensor, device: str) -> Tensor:
    """Return images in single precision on a device, without a copy if they are that already."""
    tensor = images if isinstance(images, Tensor) else torch.from_numpy(np.ascontiguousarray(images, np.float32))
    return tensor.to(device, torch.float32)


def exponential(exponent: Tensor) -> Tensor:
    """Return e to the power of values of 0 and less, in their place; e⁻⁶⁰ for all that are less than −60.

    As a power of 2, which takes PyTorch a quarter of the time on a processor. In single precision its share of error is
    6e-8 of the exponent.
    """
    return exponent.clamp_min_(_SMALLEST_EXPONENT).mul_(_LOG2_E).exp2_()


@contextmanager
def own_stream(device: str) -> Iterator[None]:
    """Let a GPU work on what this thread asks for beside what other threads ask for; nothing changes on a processor."""
    if torch.device(device).type != "cuda":
        yield
        return
    stream = _stream(device, threading.get_ident())
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()


@functools.cache
def _stream(device: str, thread: int) -> torch.cuda.Stream:
    """The stream of a thread, always the same one, so that what it keeps for later is there when it is used."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep a GPU from rounding the factors of products to ten bits (TF32), as its convolutions do by default."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def _fitting_pixels(device: str, free: int | None) -> int:
    """Return the number of pixels of images that fit into the memory of a GPU."""
    if free is None:
        free = _free_memory(device) if torch.device(device).type == "cuda" else 2**31
    return int(min(_MOST_PIXELS, _SHARE * free / _BYTES_PER_PIXEL))


def _free_memory(device: str) -> int:
    """Return the free memory of a GPU in bytes, what PyTorch keeps of it for the next batch included."""
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _slices(count: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


def _even_batch(count: int, most: int, threads: int) -> int:
    """Return the size, at most `most` images, of equal batches that keep all threads busy to the end."""
    batches = -(-count // most)
    return -(-count // (-(-batches // threads) * threads))
