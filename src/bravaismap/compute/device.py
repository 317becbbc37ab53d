"""Device: where the windows of a batch are classified, a processor or a graphics card, and how many fit there at once.

On a graphics card everything from the windows to the probabilities stays there; only what the result keeps comes back.
The answers are those of the processor but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from bravaismap.compute.parallel import side_by_side
from bravaismap.errors import ModelError

__all__ = ["PROCESSOR", "SMALLEST_EXPONENT", "checked_device", "full_precision", "in_batches"]

Answer = TypeVar("Answer")

PROCESSOR = "cpu"
#: The exponential of less is nothing, and would be a number too small for a processor to be fast with.
SMALLEST_EXPONENT = -60.0
#: Pixels of images that are classified together on a processor: 320 windows of 128 px. Fewer mean more calls, for which
#: the threads wait for one another; more mean more memory. Of large images, which are searched more widely, fewer.
_PIXELS_ON_PROCESSOR = 5 * 2**20
_LARGE = 2**15
_PIXELS_OF_LARGE = 2**21
#: Images, or pixels of images, from which on a batch is worth a thread of its own: two threads with fewer wait for one
#: another longer than they gain.
_WORTH_A_THREAD = 128
_PIXELS_WORTH_A_THREAD = 2**21
#: Bytes that a pixel takes on its way through the measurement, all intermediate results together.
_BYTES_PER_PIXEL = 512
#: Share of the free memory of a graphics card that is used, and the most pixels at a time whatever is free.
_SHARE = 0.5
_MOST_PIXELS = 2**27


def checked_device(name: str) -> str:
    """Return the name of a device that can be computed on.

    Parameters
    ----------
    name : str
        ``"cpu"``, ``"cuda"`` or another of PyTorch; ``"auto"`` for a graphics card if there is one.

    Raises
    ------
    ModelError
        If PyTorch has no such device here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else PROCESSOR
    try:
        torch.empty(1, device=name).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(
            f"the device {name!r} was asked for, and PyTorch cannot compute on it here; "
            f"expected cpu{', cuda' if torch.cuda.is_available() else ''} or auto"
        ) from error
    return name


def in_batches(
    function: Callable[[slice], Answer], shape: Sequence[int], device: str = PROCESSOR, free: int | None = None
) -> list[Answer]:
    """Apply a function to images in batches that suit a device.

    On a processor batches go side by side on all cores. On a graphics card they go one after another, as large as its
    free memory allows, and smaller if that was too much.

    Parameters
    ----------
    function : callable
        Of a slice of the images; must not depend on the order of the calls.
    shape : sequence of int
        Of all images, (n, y, x).
    device : str
    free : int, optional
        Bytes that are free on a graphics card; asked of it if not given.

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
        at_once = _even(count, max(1, most // pixels), threads)
        return side_by_side(function, _slices(0, count, at_once))
    at_once = _fitting(device, free) // pixels
    answers: list[Answer] = []
    start = 0
    while start < count:
        at_once = min(max(1, at_once), count - start)
        try:
            with full_precision():
                answers.append(function(slice(start, start + at_once)))
        except torch.OutOfMemoryError:
            if at_once == 1:
                raise
            at_once //= 2
            continue
        start += at_once
    return answers


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep a graphics card from rounding the factors of a product to ten bits, as its convolutions do by default."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def _fitting(device: str, free: int | None) -> int:
    """Pixels of images that fit the memory of a graphics card."""
    if free is None:
        free = torch.cuda.mem_get_info(device)[0] if torch.device(device).type == "cuda" else 2**31
    return int(min(_MOST_PIXELS, _SHARE * free / _BYTES_PER_PIXEL))


def _slices(start: int, stop: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, stop)) for first in range(start, stop, size)]


def _even(count: int, most: int, threads: int) -> int:
    """Size of equal batches, of at most so many images, that keep all threads busy to the end."""
    batches = -(-count // most)
    return -(-count // (-(-batches // threads) * threads))
