"""Images of the shape of a lattice under change of basis: the half plane tiled by mirror images of one domain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["WORDS", "cayley", "images", "near_images", "rotated"]

Floats = NDArray[np.floating]
Complexes = NDArray[np.complexfloating]


def _words() -> Floats:
    """Maps to the domains around the fundamental one: words of at most four reflections, as (p, q, r, s, mirror)."""
    # −τ̄, 1 − τ̄ and 1/τ̄ as τ → (r + sτ)/(p + qτ) of τ or (mirror) of −τ̄
    generators = [((1, 0, 0, 1), 1), ((1, 0, 1, 1), 1), ((0, 1, -1, 0), 1)]
    found: set[tuple[tuple[int, ...], int]] = {((1, 0, 0, 1), 0)}
    latest = set(found)
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
                first = next(v for v in matrix if v)
                new.add((tuple(int(np.sign(first)) * v for v in matrix), 1 - mirror))
        latest = new - found
        found |= new
    return np.array(sorted((*matrix, mirror) for matrix, mirror in found), float)


#: A row per image: p, q, r, s of τ → (r + sτ)/(p + qτ), and 1 where τ is first mirrored to −τ̄.
WORDS = _words()
#: Angle (degrees) of |τ| ≥ 1 below which no prior looks.
_SEEN = 50.0


def near_images(
    tau: Complexes, scatter: Floats, moving: Floats | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Windows and the words whose images of them lie where a prior could see them, scattered and moved, at 8 σ."""
    p, q, r, s, mirror = WORDS.T
    at = np.where(mirror > 0, -tau.conj()[:, None], tau[:, None])
    image = (r + s * at) / (p + q * at)
    slope = image.real / image.imag
    beyond = np.maximum(-np.arcsinh(slope), np.arcsinh(slope) - np.arcsinh(1 / np.tan(np.radians(_SEEN))))
    beyond = np.maximum(beyond, np.arcsinh((1 - np.abs(image) ** 2) / (2 * image.imag)))
    reach = 8 * np.sqrt(np.trace(scatter, axis1=-2, axis2=-1))
    if moving is not None:
        reach = reach + 5 * np.sqrt(np.trace(moving, axis1=-2, axis2=-1))
    window, word = np.nonzero(beyond <= reach[:, None] + 1e-6)
    return window, word


def images(tau: Complexes, scatter: Floats, words: Floats) -> tuple[Complexes, Floats]:
    """Images of shapes (m, draws) under words (m, 5), and the covariance there (m, draws, 3) as (xx, xy, yy)."""
    p, q, r, s, mirror = words.T[..., None]
    at = np.where(mirror > 0, -tau.conj(), tau)
    below = p + q * at
    image = (r + s * at) / below
    xx, xy, yy = (scatter[:, i, j][:, None] for i, j in ((0, 0), (0, 1), (1, 1)))
    xy = np.where(mirror > 0, -xy, xy)
    return image, rotated(xx, xy, yy, np.abs(below) ** 2 / below**2)


def rotated(xx: Floats, xy: Floats, yy: Floats, phase: Complexes) -> Floats:
    """Covariance in a frame turned by a unit complex number."""
    c, s = phase.real, phase.imag
    return np.stack(
        [
            c * c * xx - 2 * c * s * xy + s * s * yy,
            c * s * (xx - yy) + (c * c - s * s) * xy,
            s * s * xx + 2 * c * s * xy + c * c * yy,
        ],
        axis=-1,
    )


def cayley(shapes: Complexes, seen: Floats) -> tuple[Complexes, Floats]:
    """Map the arc |τ| = 1 to the imaginary axis, i to i and the hexagonal point to i√3."""
    phase = 2 / (1 - shapes) ** 2
    phase = phase / np.abs(phase)
    return (1 + shapes) / (1 - shapes), rotated(seen[..., 0], seen[..., 1], seen[..., 2], phase)
