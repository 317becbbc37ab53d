"""Images of the shape of a lattice under change of basis: the half plane tiled by mirror images of one domain."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "LINES",
    "WORDS",
    "Placed",
    "asinh",
    "distinct_words",
    "images",
    "near_images",
    "places",
    "seen_from_line",
    "words_on",
]


@dataclass(frozen=True)
class Placed:
    """Shapes x + iy of the upper half plane, each with the covariance of (dx, dy) / y there.

    Attributes
    ----------
    x, y : tensors, shape (m, draws)
    xx, xy, yy : tensors, shape (m, draws) or (m, 1)
    """

    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor

    def part(self, rows: slice) -> Placed:
        """Some of the shapes."""
        return Placed(self.x[rows], self.y[rows], self.xx[rows], self.xy[rows], self.yy[rows])

    def seen_in(self, x: Tensor, y: Tensor, cos: Tensor, sin: Tensor) -> Placed:
        """The same errors at other coordinates, in a frame turned by the angle of cos + i sin."""
        square, product, other = cos * cos, cos * sin, sin * sin
        return Placed(
            x,
            y,
            (square * self.xx).addcmul_(product, self.xy, value=-2).addcmul_(other, self.yy),
            (product * (self.xx - self.yy)).addcmul_(square - other, self.xy),
            (other * self.xx).addcmul_(product, self.xy, value=2).addcmul_(square, self.yy),
        )


def _words() -> Tensor:
    """Maps to the domains around the fundamental one: words of at most four reflections, as (p, q, r, s, mirror)."""
    # −τ̄, 1 − τ̄ and 1/τ̄ as τ → (r + sτ)/(p + qτ) of τ or (mirror) of −τ̄
    generators = [((1, 0, 0, 1), 1), ((1, 0, 1, 1), 1), ((0, 1, -1, 0), 1)]
    words: set[tuple[tuple[int, ...], int]] = {((1, 0, 0, 1), 0)}
    latest = set(words)
    for _ in range(4):
        new: set[tuple[tuple[int, ...], int]] = set()
        for (p, q, r, s), mirror in latest:
            for (p2, q2, r2, s2), _m in generators:
                # generator after word: first −conj (flips the signs of q, r of the word), then its map
                word = (p, -q, -r, s)
                matrix: tuple[int, ...] = (
                    p2 * word[0] + q2 * word[2],
                    p2 * word[1] + q2 * word[3],
                    r2 * word[0] + s2 * word[2],
                    r2 * word[1] + s2 * word[3],
                )
                sign = 1 if next(v for v in matrix if v) > 0 else -1
                new.add((tuple(sign * v for v in matrix), 1 - mirror))
        latest = new - words
        words |= new
    return torch.tensor(sorted((*matrix, mirror) for matrix, mirror in words), dtype=torch.float64)


#: A row per image: p, q, r, s of τ → (r + sτ)/(p + qτ), and 1 where τ is first mirrored to −τ̄.
WORDS = _words()
#: Maps (p, q, r, s) of determinant 1 that take the mirror lines Re τ = 0, Re τ = 1/2 and |τ| = 1 of the domain to the
#: imaginary axis, the last one with i to i and the hexagonal point to i√3.
LINES = {
    "upright": (1.0, 0.0, 0.0, 1.0),
    "tall": (1.0, 0.0, -0.5, 1.0),
    "arc": (math.sqrt(0.5), -math.sqrt(0.5), math.sqrt(0.5), math.sqrt(0.5)),
}


def seen_from_line(line: str) -> Tensor:
    """Return `WORDS`, each followed by the map that takes a line of `LINES` to the imaginary axis."""
    p, q, r, s, mirror = WORDS.unbind(-1)
    p2, q2, r2, s2 = LINES[line]
    return torch.stack([p2 * p + q2 * r, p2 * q + q2 * s, r2 * p + s2 * r, r2 * q + s2 * s, mirror], dim=-1)


#: Angle (degrees) of |τ| ≥ 1 below which no prior looks.
_SEEN = 50.0


def near_images(tau: Tensor, scatter: Tensor, moving: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the windows and words whose images lie where a prior could see them, scattered and moved, at 8 σ.

    Parameters
    ----------
    tau : complex tensor, shape (n,)
    scatter, moving : tensors, shape (n, 2, 2)
        Covariances of the error, and of the draws.

    Returns
    -------
    window, word : integer tensors, shape (m,)
        Rows of `tau`, in order, and of :data:`WORDS`.
    """
    at = images(tau.real[:, None], tau.imag[:, None], tau.real.new_zeros(1, 3), words_on(tau.device)[None])
    slope = asinh(at.x / at.y)
    beyond = torch.maximum(-slope, slope - math.asinh(1 / math.tan(math.radians(_SEEN))))
    beyond = torch.maximum(beyond, asinh((1 - at.x.square() - at.y.square()) / (2 * at.y)))
    reach = 8 * scatter.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt()
    if moving is not None:
        reach = reach + 5 * moving.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt()
    window, word = torch.nonzero(beyond <= reach[:, None] + 1e-6, as_tuple=True)
    return window, word


def asinh(values: Tensor) -> Tensor:
    """Inverse hyperbolic sine, by functions that PyTorch vectorises."""
    size = values.abs()
    return torch.log1p(size + size.square() / (1 + (1 + size.square()).sqrt())).copysign(values)


@functools.cache
def words_on(device: torch.device, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return `WORDS` on a device."""
    return WORDS.to(device, dtype)


def distinct_words(point: complex | None = None) -> tuple[Tensor, int]:
    """Return words that put a shape differently with respect to a mirror line, or to a point, and how many do the same.

    Parameters
    ----------
    point : complex, optional
        A shape of more symmetry than a mirror line has. A line if not given: any of those of the tiling.

    Returns
    -------
    chosen : bool tensor, shape (words,)
        One row of :data:`WORDS` for each distance from the point, or from the line.
    repeated : int
        What the sum over all images is larger by: the order of the symmetry.
    """
    if point is None:
        return WORDS[:, 4] == 0, 2

    def distance(x: float, y: float) -> Tensor:
        shape = torch.tensor([x, y], dtype=torch.float64).expand(len(WORDS), 2)
        at = images(shape[:, :1], shape[:, 1:], WORDS.new_zeros(1, 3), WORDS)
        square = (at.x - point.real).square() + (at.y - point.imag).square()
        return (square / (at.y * point.imag))[:, 0]

    generic = distance(0.1234, 1.345)
    same = (generic[:, None] - generic).abs() < 1e-9
    return ~same.tril(-1).any(1), int((distance(point.real, point.imag) < 1e-9).sum())


def images(x: Tensor, y: Tensor, scatter: Tensor, words: Tensor) -> Placed:
    """Return the images of shapes under words.

    Parameters
    ----------
    x, y : tensors, shape (m, draws)
        Of the shapes τ = x + iy.
    scatter : tensor, shape (m, 3)
        xx, xy, yy of the covariance of (dx, dy) / y.
    words : tensor, shape (m, 5), or (1, draws, 5) for another word in each column
    """
    mirror = words[..., 4] if words.ndim == 3 else words[:, 4, None]
    at_x, at_y, real, imag, size = _moved(x, y, words)
    xx, xy, yy = scatter[:, :, None].unbind(1)
    placed = Placed(x, y, xx, (1 - 2 * mirror) * xy, yy)
    cos = (real * real).addcmul_(imag, imag, value=-1).div_(size)
    return placed.seen_in(at_x, at_y, cos, (real * imag).mul_(-2).div_(size))


def places(x: Tensor, y: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """Return x and y of the images of shapes (m, draws) under words (m, 5)."""
    at_x, at_y, *_ = _moved(x, y, words)
    return at_x, at_y


def _moved(x: Tensor, y: Tensor, words: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Images (x, y) of shapes τ, and p + qτ of each, with the square of its size."""
    p, q, r, s, mirror = (part if words.ndim == 3 else part[:, None] for part in words.unbind(-1))
    x = (1 - 2 * mirror) * x
    real, imag = p + q * x, q * y
    size = (real * real).addcmul_(imag, imag)
    at_x = (s * x).add_(r).mul_(real).addcmul_(s * y, imag).div_(size)
    return at_x, y / size, real, imag, size
