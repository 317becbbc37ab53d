"""Counter-based random numbers: Threefry-2x32, the same on every device, in any order and in batches of any size.

A random number is a function of a key and a counter, not of the numbers drawn before it. It takes additions, rotations
and exclusive ors of 32-bit integers alone, which every device does exactly.

References
----------
J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", Proc. SC'11 (2011),
doi:10.1145/2063384.2063405, section 3.2 and table 2.
"""

from __future__ import annotations

import functools
import math
from typing import Final

import torch
from torch import Tensor

__all__ = ["normal", "signed", "threefry", "uniform", "wrapped"]

#: Rounds. Thirteen is the fewest with which Threefry-2x32 passes every test of BigCrush (table 2).
_ROUNDS: Final = 13
#: Bits by which a word is rotated in each round, in turn (Threefry-2x32 as published in Random123 1.0).
_ROTATIONS: Final = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY: Final = 0x1BD11BDA  # of the key schedule of Skein
#: Largest magnitude of a uniform number between −1 and 1 in single precision, so that none is an end of the interval.
_BELOW_ONE: Final = 1 - 2.0**-24


def wrapped(value: int) -> int:
    """Return the signed 32-bit integer that has the lowest 32 bits of a whole number."""
    return (value + 2**31) % 2**32 - 2**31


def threefry(key: tuple[Tensor, Tensor], counter: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return two words of 32 random bits for each key and counter.

    Parameters
    ----------
    key, counter : pairs of int32 tensors
        Of shapes that broadcast to one.

    Returns
    -------
    two int32 tensors
    """
    first, second = key
    schedule = (first, second, first ^ second ^ wrapped(_PARITY))
    x, y = counter[0] + first, counter[1] + second
    if x.shape != y.shape:
        x, y = x + torch.zeros_like(y), y + torch.zeros_like(x)
    turned = torch.empty_like(y)
    for step in range(_ROUNDS):
        x += y
        bits = _ROTATIONS[step % len(_ROTATIONS)]
        right, mask = _rotation(bits, y.device)
        # the bits that fall off at the left, and the word times a power of two, whose lowest bits are free for them
        torch.bitwise_right_shift(y, right, out=turned)
        turned.bitwise_and_(mask).add_(y, alpha=1 << bits).bitwise_xor_(x)
        y, turned = turned, y
        if step % 4 == 3:
            injection = step // 4 + 1
            x += schedule[injection % 3]
            y += schedule[(injection + 1) % 3] + injection
    return x, y


@functools.cache
def _rotation(bits: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return by how much a word is shifted to the right where it is rotated to the left, and the bits that are left."""
    right, mask = torch.tensor([32 - bits, (1 << bits) - 1], dtype=torch.int32, device=device)
    return right, mask


def uniform(words: Tensor) -> Tensor:
    """Return numbers between 0 and 1, neither of them, in double precision: one of 2³² for each word."""
    return (words.to(torch.float64) + (2.0**31 + 0.5)) * 2.0**-32


def signed(words: Tensor) -> Tensor:
    """Return numbers between −1 and 1, neither of them, in single precision."""
    return words.to(torch.float32).mul_(2.0**-31 * _BELOW_ONE)


def normal(words: Tensor) -> Tensor:
    """Return standard normal deviates in single precision, by inversion, up to 5.3 standard deviations."""
    return signed(words).erfinv_().mul_(math.sqrt(2))
