"""Simulated crystals: a lattice, its motif, disorder and vacancies, and the image of its atoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bravaismap.errors import InputError
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.lattice.deviation import deviation
from bravaismap.lattice.shape import shape
from bravaismap.simulate.faults import Holes, antiphase, smooth_strain
from bravaismap.simulate.instrument import PROBE_MARGIN, bend, displace, probe, strength
from bravaismap.simulate.recipe import Range, Recipe

__all__ = [
    "ATOM_REACH",
    "CANDIDATES",
    "EDGE_BEND",
    "GRAIN_SHARE",
    "MOST_LATTICES",
    "MOTIF_HEIGHT",
    "MOTIF_WIDTH",
    "SYMMETRIC",
    "Atoms",
    "blur",
    "draw_atoms",
    "draw_lattice",
    "gaussian_atoms",
    "lattice_sites",
    "log_uniform",
]

ATOM_REACH = 4.0  # standard deviations beyond which an atom's profile is cut
MOST_LATTICES = 1000  # that are drawn in search of one that is far from every symmetry that it should not have
SYMMETRIC = 1e-6  # strain up to which a lattice counts as symmetric: rounding
CANDIDATES = 16  # places that are tried for a further atom of a motif
MOTIF_HEIGHT, MOTIF_WIDTH = (0.3, 0.9), (0.8, 1.1)  # of the further atoms of a motif, over those of the first
GRAIN_SHARE = (0.15, 0.45)  # of the frame that a second grain has
EDGE_BEND = 0.4  # largest displacement of a bent edge, over the longer side of the frame, at one side from its middle


@dataclass(frozen=True)
class Atoms:
    """The atoms of a crystal.

    Attributes
    ----------
    position : array, shape (n, 2)
        (y, x) in px.
    height, width : arrays, shape (n,)
        Peak height, and standard deviation in px.
    scale : float
        Width of the first atom of the motif, in px.
    tilt : float
        Blur along the tilt, over `scale`.
    """

    position: NDArray[np.floating]
    height: NDArray[np.floating]
    width: NDArray[np.floating]
    scale: float
    tilt: float


def draw_lattice(recipe: Recipe, rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """Draw the primitive vectors of a recipe in a random orientation.

    Returns
    -------
    basis : array, shape (2, 2)
        With the scan distortion of the recipe applied.
    length : float
        Length of the first vector before distortion, in px.

    Raises
    ------
    InputError
        If a thousand lattices are all nearer than `apart` to a symmetry that their class does not have.
    """
    for _ in range(MOST_LATTICES):
        basis, length = _draw_cell(recipe, rng)
        if recipe.apart == 0 or _nearest_symmetry(basis) >= recipe.apart:
            strain = np.eye(2) + rng.normal(0, 1, (2, 2)) * recipe.distortion
            return basis @ strain, length
    raise InputError(
        f"apart = {recipe.apart:g}; expected less: {MOST_LATTICES} {recipe.lattice} lattices of this recipe are all "
        "nearer to a higher symmetry"
    )


def _nearest_symmetry(basis: NDArray[np.floating]) -> float:
    """Return the smallest strain that would give a lattice a symmetry that it does not have."""
    strains = deviation(shape(basis))
    return float(strains[strains > SYMMETRIC].min(initial=np.inf))


def _draw_cell(recipe: Recipe, rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    length = log_uniform(recipe.length, rng)
    ratio = rng.uniform(*recipe.ratio)
    widths = np.array([high - low for low, high in recipe.angle])
    interval = rng.choice(len(widths), p=widths / widths.sum()) if widths.sum() > 0 else 0
    gamma = np.deg2rad(rng.uniform(*recipe.angle[interval]))
    return np.asarray(basis_from_cell(length, length * ratio, gamma, rng.uniform(0, 2 * np.pi))), length


def lattice_sites(
    basis: NDArray[np.floating], shape: tuple[int, int], origin: NDArray[np.floating], margin: float
) -> NDArray[np.float64]:
    """Return the lattice points within `margin` px of a frame of `shape`, an array (n, 2) of (y, x) positions."""
    low, high = np.full(2, -margin), np.array(shape, float) + margin
    corners = np.array([[low[0], low[1]], [low[0], high[1]], [high[0], low[1]], [high[0], high[1]]]) - origin
    steps = corners @ np.linalg.inv(basis)
    (m0, n0), (m1, n1) = np.floor(steps.min(axis=0)).astype(int), np.ceil(steps.max(axis=0)).astype(int)
    along, across = np.arange(m0, m1 + 1)[:, None, None] * basis[0], np.arange(n0, n1 + 1)[:, None] * basis[1]
    sites = (along + across + origin).reshape(-1, 2)
    return np.asarray(sites[((sites >= low) & (sites <= high)).all(axis=1)])


def gaussian_atoms(
    position: NDArray[np.floating],
    height: NDArray[np.floating],
    width: NDArray[np.floating],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """Return the image of Gaussian atoms, exact to rounding.

    Parameters
    ----------
    position : array, shape (n, 2)
        (y, x) in px; pixel centres lie at whole numbers.
    height, width : arrays, shape (n,)
        Peak height, and standard deviation in px.
    shape : (int, int)
        Of the image.

    Returns
    -------
    float32 array of `shape`
    """
    scale = (1 / (np.sqrt(2.0) * width)).astype(np.float32)[:, None]
    rows = (np.arange(shape[0], dtype=np.float32) - position[:, :1].astype(np.float32)) * scale
    columns = (np.arange(shape[1], dtype=np.float32) - position[:, 1:].astype(np.float32)) * scale
    vertical = np.exp(-(rows**2)) * height.astype(np.float32)[:, None]
    return np.asarray(vertical.T @ np.exp(-(columns**2)))


def draw_atoms(
    recipe: Recipe,
    rng: np.random.Generator,
    basis: NDArray[np.floating],
    length: float,
    shape: tuple[int, int],
    holes: Holes | None = None,
) -> Atoms:
    """Draw the atoms of a crystal: its motif on every lattice site, with disorder, vacancies and heights."""
    count = int(rng.integers(recipe.atoms[0], recipe.atoms[1] + 1))
    width = rng.uniform(*recipe.atom_width) * length
    area = abs(float(np.linalg.det(basis)))
    if recipe.spacing > 0:
        count = min(count, max(int(area / recipe.spacing**2), 1))
    if recipe.packing is not None:
        width = min(width, recipe.packing * np.sqrt(area / count))
    # Atoms of a cell keep a distance of two widths where they can: closer ones would look like one.
    offsets = _motif(rng, basis, count, 2 * width)
    heights = np.concatenate([[1.0], rng.uniform(*MOTIF_HEIGHT, count - 1)])
    widths = width * np.concatenate([[1.0], rng.uniform(*MOTIF_WIDTH, count - 1)])
    reach = ATOM_REACH * width + 3 * recipe.disorder[1] * length
    grains = recipe.grains > 0 and rng.random() < recipe.grains
    corners = 0.25 * max(shape) if grains else 0.0  # px beyond the frame that the rotation of a grain brings in
    strained = 2 * recipe.strain[1] * max(shape)  # px beyond the largest displacement of a smooth strain
    sites = lattice_sites(basis, shape, rng.random(2) @ basis, reach + np.abs(basis).sum() + corners + strained)
    position: NDArray[np.floating] = (sites[:, None] + offsets).reshape(-1, 2)
    kind = np.tile(np.arange(count), len(sites))
    if grains:
        position, kind = _two_grains(rng, position, kind, shape)
    for _ in range(int(rng.integers(recipe.antiphase[0], recipe.antiphase[1] + 1)) if recipe.antiphase[1] else 0):
        position, kind = antiphase(position, kind, basis, shape, rng)
    if recipe.strain[1] > 0:
        position = smooth_strain(position, shape, rng.uniform(*recipe.strain), rng)
    position = position + rng.normal(0, 1, position.shape) * (rng.uniform(*recipe.disorder) * length)
    inside = ((position > -reach) & (position < np.array(shape) + reach)).all(axis=1)
    keep = inside & (rng.random(len(position)) >= rng.uniform(*recipe.vacancies))
    keep &= ~_beyond_edge(position, shape, rng.uniform(*recipe.vacuum), rng)
    if rng.random() < recipe.empty:
        keep[:] = False
    if holes is not None:
        keep &= ~holes.contain(position)
    tilt, drift, flyback = (strength(s, recipe.presence, rng) for s in (recipe.tilt, recipe.drift, recipe.flyback))
    height = heights[kind[keep]]
    if tilt > 0:
        height = height * bend(position[keep], shape, min(tilt / 2, 1.0), rng)
    return Atoms(
        displace(position[keep], shape, drift, flyback, rng), height, widths[kind[keep]], scale=width, tilt=tilt
    )


def _two_grains(
    rng: np.random.Generator, position: NDArray[np.floating], kind: NDArray[np.intp], shape: tuple[int, int]
) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
    """Rotate about the centre the crystal beyond a bent edge, which cuts off the smaller part of the frame."""
    share, angle = rng.uniform(*GRAIN_SHARE), rng.uniform(0, 2 * np.pi)
    centre = np.array(shape) / 2
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    rotated = (position - centre) @ rotation + centre
    inside = ((position >= 0) & (position <= np.array(shape))).all(axis=1)
    depth = _depth_beyond_edge(np.concatenate([position, rotated]), shape, rng)
    edge = np.quantile(depth[: len(position)][inside], 1 - share) if inside.any() else np.inf
    keep = np.concatenate([depth[: len(position)] <= edge, depth[len(position) :] > edge])
    return np.concatenate([position, rotated])[keep], np.tile(kind, 2)[keep]


def blur(
    recipe: Recipe, rng: np.random.Generator, image: NDArray[np.float32], width: float, tilt: float
) -> NDArray[np.float32]:
    """Blur an image by the tilt of the specimen and by the astigmatism and the tail of the probe."""
    astigmatism, tail = (strength(limits, recipe.presence, rng) for limits in (recipe.astigmatism, recipe.tail))
    if tilt == astigmatism == tail == 0:
        return image
    # A blur wider than the margin would wrap around to the other side.
    widths, reach = np.minimum(np.array([tilt, astigmatism]) * width, PROBE_MARGIN / 2), min(4 * width, PROBE_MARGIN)
    return probe(image, float(widths[0]), float(widths[1]), tail, reach, rng)


def _motif(rng: np.random.Generator, basis: NDArray[np.floating], count: int, distance: float) -> NDArray[np.float64]:
    """Return the offsets (count, 2) of the atoms of a motif, at least `distance` apart where there is room."""
    offsets = np.zeros((1, 2))
    images = np.mgrid[-1:2, -1:2].reshape(2, -1).T @ basis
    while len(offsets) < count:
        candidates = rng.random((CANDIDATES, 2)) @ basis
        gaps = np.linalg.norm(candidates[:, None, None] - offsets[:, None] - images, axis=-1).min(axis=(1, 2))
        best = int(np.argmax(gaps >= distance)) if (gaps >= distance).any() else int(np.argmax(gaps))
        offsets = np.vstack([offsets, candidates[best]])
    return offsets


def _beyond_edge(
    position: NDArray[np.floating], shape: tuple[int, int], share: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Tell which atoms lie beyond a bent edge that cuts off about `share` of the frame."""
    depth = _depth_beyond_edge(position, shape, rng)
    if share <= 0 or len(position) == 0:
        return np.zeros(len(position), bool)
    last = min(int((1 - share) * len(depth)), len(depth) - 1)
    return np.asarray(depth > np.partition(depth, last)[last])


def _depth_beyond_edge(
    position: NDArray[np.floating], shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.floating]:
    """Return how far (n,) atoms lie beyond a bent edge of any direction, over the longer side of the frame."""
    angle, bend_of_edge = rng.uniform(0, 2 * np.pi), rng.uniform(-EDGE_BEND, EDGE_BEND)
    centred = (position - np.array(shape) / 2) / max(shape)
    along = centred @ np.array([np.cos(angle), np.sin(angle)])
    across = centred @ np.array([-np.sin(angle), np.cos(angle)])
    return np.asarray(along + bend_of_edge * across**2)


def log_uniform(limits: Range, rng: np.random.Generator) -> float:
    """Draw a number whose logarithm is uniformly distributed between those of the limits."""
    return float(np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]))))
