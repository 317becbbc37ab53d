"""Graphene as a scanning tunnelling microscope shows it: noisy, sheared by drift, with defects, on a substrate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bravaismap.conventions import Floats
from bravaismap.lattice.basis import basis_from_cell, reciprocal
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

__all__ = ["graphene"]

_SIDE = 256  # px
_SECOND_SITE = 0.75  # height of the atom over another one of the layer below
_REACH = 1.5  # lattice parameters over which a defect scatters
_SCATTERED = 0.8  # height of those waves at the defect, over that of an atom


def graphene(
    rng: np.random.Generator,
    *,
    side: int = _SIDE,
    spacing: float = 18.0,
    noise: float = 0.3,
    shear: float = 0.0,
    defects: int = 0,
    moire: float = 0.0,
) -> NDArray[np.float32]:
    """Simulate an image of graphene in a random orientation.

    Parameters
    ----------
    rng : numpy.random.Generator
    side : int
        Side of the image in px.
    spacing : float
        Lattice parameter in px; it varies by 10 % from image to image.
    noise : float
        White noise over the standard deviation of the image.
    shear : float
        By how much of its height the scan drifts along x, as a fraction.
    defects : int
        Number of missing atoms, each with the √3 × √3 pattern of the electrons that it scatters.
    moire : float
        Height of the superlattice of a substrate, about seven lattice parameters long, over that of an atom.

    Returns
    -------
    float32 array, shape (side, side)
    """
    spacing = spacing * rng.uniform(0.9, 1.1)
    drift = np.array([[1.0, shear], [0.0, 1.0]])  # (y, x) → (y, x + shear · y)
    basis = basis_from_cell(spacing, spacing, np.pi / 3, rng.uniform(0, np.pi)) @ drift
    first = lattice_sites(basis, (side, side), rng.uniform(0, spacing, 2), 3 * spacing)
    site = np.concatenate([first, first + basis.sum(axis=0) / 3])
    height = np.repeat([1.0, _SECOND_SITE], len(first))
    inside = np.flatnonzero(((site > 0) & (site < side)).all(axis=1))
    missing = rng.choice(inside, defects, replace=False)
    height[missing] = 0.0
    width = np.full(len(site), 0.19 * spacing)
    image = gaussian_atoms(site, height, width, (side, side)).astype(np.float64)
    y, x = np.mgrid[:side, :side].astype(float)
    for centre in site[missing]:
        image += _scattered(basis, y - centre[0], x - centre[1], spacing)
    if moire:
        image *= 1 + moire * _superlattice(basis, y, x, rng)
    image += noise * image.std() * rng.standard_normal(image.shape)
    return image.astype(np.float32)


def _scattered(basis: NDArray[np.floating], y: NDArray[np.floating], x: NDArray[np.floating], spacing: float) -> Floats:
    """Return the waves about a defect: the wave vectors of the valleys, which decay over a few cells."""
    g = reciprocal(basis)
    valleys = [(g[0] - g[1]) / 3, (g[0] + 2 * g[1]) / 3, (2 * g[0] + g[1]) / 3]  # g₁ and g₂ lie 120° apart
    waves = sum(np.cos(2 * np.pi * (k[0] * y + k[1] * x)) for k in valleys)
    return np.asarray(_SCATTERED / 3 * waves * np.exp(-np.hypot(y, x) / (_REACH * spacing)))


def _superlattice(
    basis: NDArray[np.floating], y: NDArray[np.floating], x: NDArray[np.floating], rng: np.random.Generator
) -> Floats:
    """Return the Moiré with a substrate whose lattice is rotated and longer, with values around 0."""
    turn, longer = np.deg2rad(rng.uniform(2, 5)), rng.uniform(1.08, 1.12)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    k = reciprocal(basis) - reciprocal(longer * basis @ rotation)
    waves = [np.cos(2 * np.pi * (q[0] * y + q[1] * x)) for q in (k[0], k[1], k[0] + k[1])]
    return np.asarray(sum(waves) / 3)
