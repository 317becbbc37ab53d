"""Cells of each Bravais lattice, and images of lattices that owe nothing to the package's own simulation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bravaismap.lattice.basis import basis_from_cell

#: A cell of each lattice: a and b in px, γ in degrees; the shape of each is far from the symmetries of the others.
CELLS = {
    "square": (11.0, 11.0, 90.0),
    "rectangular": (9.0, 14.0, 90.0),
    "centered_rectangular": (12.0, 12.0, 75.0),
    "hexagonal": (10.0, 10.0, 60.0),
    "oblique": (10.0, 13.0, 78.0),
}
#: Cells of which an image of 200 px holds some 20 along a side.
SMALL_CELLS = {
    "square": (9.0, 9.0, 90),
    "rectangular": (8.0, 11.0, 90),
    "centered": (9.0, 9.0, 75),
    "hexagonal": (9.5, 9.5, 60),
    "oblique": (8.0, 10.5, 78),
}


def cell_basis(name: str, orientation: float = 0.3, scale: float = 1.0) -> NDArray[np.floating]:
    """Return the basis of a cell of `CELLS`; `orientation` in radians."""
    a, b, gamma = CELLS[name]
    return basis_from_cell(scale * a, scale * b, np.radians(gamma), orientation)


def plane_waves(
    basis: NDArray[np.floating], shape: tuple[int, int], noise: float = 0.5, seed: int = 0
) -> NDArray[np.float32]:
    """Return the waves of g₁, g₂ and g₂ − g₁ of a lattice, each of amplitude 1, and white noise of the given σ."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    g = np.linalg.inv(basis).T
    image = sum(np.cos(2 * np.pi * (k[0] * y + k[1] * x)) for k in (g[0], g[1], g[1] - g[0]))
    return np.asarray(image + np.random.default_rng(seed).normal(0, noise, shape), np.float32)


def hexagonal_image(shear: float = 0.0, shape: tuple[int, int] = (120, 150)) -> NDArray[np.float32]:
    """Return waves and noise of a hexagonal lattice of 12 px, sheared along x."""
    return plane_waves(basis_from_cell(12.0, 12.0, np.pi / 3, 0.3) @ np.array([[1, shear], [0, 1]]), shape)


def atoms(
    basis: NDArray[np.floating],
    size: tuple[int, int] = (128, 128),
    *,
    disorder: float = 0.0,
    noise: float = 0.2,
    seed: int = 0,
    origin: tuple[float, float] = (3.3, 5.7),
    motif: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 1.0),),
) -> NDArray[np.float32]:
    """Return Gaussian atoms on a lattice, summed pixel by pixel; `motif` holds (u, v, height) of those of a cell.

    `disorder` in px; `noise` is white, its σ over that of the image.
    """
    rng = np.random.default_rng(seed)
    reach = int(3 * max(size) / np.sqrt(abs(np.linalg.det(basis))))
    index = np.stack(np.meshgrid(np.arange(-reach, reach), np.arange(-reach, reach)), -1).reshape(-1, 2)
    width = 0.18 * np.linalg.norm(basis, axis=1).min()
    y, x = np.arange(size[0])[:, None], np.arange(size[1])
    image = np.zeros(size)
    for u, v, height in motif:
        sites = (index + np.array([u, v])) @ basis + origin
        sites = sites + disorder * rng.standard_normal(sites.shape)
        near = (sites > -20).all(1) & (sites < np.array(size) + 20).all(1)
        column = np.exp(-0.5 * ((y - sites[near, 0]) / width) ** 2)
        row = np.exp(-0.5 * ((x - sites[near, 1, None]) / width) ** 2)
        image += height * column @ row
    return (image + noise * image.std() * rng.standard_normal(size)).astype(np.float32)
