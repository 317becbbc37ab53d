"""Faults of a crystal and of its image: boundaries, strain, holes, contamination, wandering scan lines and offsets.

Each function is one fault, drawn from the generator it is given. Strain and wandering leave the mean lattice unchanged:
the part of the displacement that is linear in the position is subtracted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bravaismap.conventions import Floats
from bravaismap.simulate.recipe import Recipe

__all__ = [
    "ADSORBATE_HEIGHT",
    "ADSORBATE_WIDTH",
    "FAULTS",
    "GRID",
    "HOLE_RADIUS",
    "LOBES",
    "LOBE_DEPTH",
    "MEMORY",
    "MIDDLE",
    "PERIODS",
    "WAVES",
    "Holes",
    "antiphase",
    "chosen_faults",
    "draw_adsorbates",
    "draw_holes",
    "is_set",
    "line_offsets",
    "smooth_strain",
    "wander",
]


#: Faults by name, and the fields of a recipe that describe each.
FAULTS: Final[Mapping[str, tuple[str, ...]]] = {
    "antiphase": ("antiphase",),
    "drift": ("wander", "drift"),
    "strain": ("strain",),
    "grain": ("grains",),
    "holes": ("holes",),
    "dirt": ("contamination", "adsorbates"),
    "rows": ("row_offsets",),
    "columns": ("column_offsets",),
}
_FAULTLESS: Final = Recipe("none")

MIDDLE = (0.25, 0.75)  # of the frame, where boundaries cross it
WAVES = 3  # whose sum is a smooth strain
PERIODS = (0.5, 1.5)  # of a wave of strain, in periods over the longer side of the frame
GRID = 33  # points along each side, on which the mean and the size of a strain are taken
HOLE_RADIUS = (0.04, 0.20)  # over the shorter side of the frame
LOBES, LOBE_DEPTH = (2, 4), 0.25  # how many lobes the outline of a hole has, and their largest depth over its radius
ADSORBATE_HEIGHT = (1.5, 5.0)  # over the height of an atom
ADSORBATE_WIDTH = (0.2, 0.5)  # over the length of a primitive vector
MEMORY = (0.0, 0.9)  # correlation of the offset of a line with that of the previous line


def chosen_faults(recipe: Recipe, rng: np.random.Generator) -> tuple[Recipe, tuple[str, ...]]:
    """Choose which faults of a recipe an image has, and which of the patterns without a lattice it shows.

    Parameters
    ----------
    recipe : Recipe
        If its `faults` is None, it keeps all of them, no random number is drawn and no fault is named.
    rng : numpy.random.Generator

    Returns
    -------
    recipe : Recipe
        Without the other faults and patterns.
    names : tuple of str
        The pattern first, then the faults in the order of ``bravaismap.simulate.faults.FAULTS``.
    """
    names: list[str] = []
    changes: dict[str, Any] = {}
    if recipe.patterns:
        names = [recipe.patterns[int(rng.integers(len(recipe.patterns)))]]
        changes["patterns"] = tuple(names)
    if recipe.faults is not None:
        possible = [
            name
            for name, fields in FAULTS.items()
            if name not in names and any(is_set(recipe, field) for field in fields)
        ]
        count = min(int(rng.integers(recipe.faults[0], recipe.faults[1] + 1)), len(possible))
        present = {possible[i] for i in rng.choice(len(possible), count, replace=False)} if count else set()
        names += [name for name in possible if name in present]
        absent = [field for name in possible if name not in present for field in FAULTS[name]]
        changes |= {field: getattr(_FAULTLESS, field) for field in absent}
    return replace(recipe, **changes), tuple(names)


def is_set(recipe: Recipe, field: str) -> bool:
    """Tell whether a field of a recipe asks for something that a recipe without faults does not have."""
    return bool(getattr(recipe, field) != getattr(_FAULTLESS, field))


def antiphase(
    position: Floats, kind: NDArray[np.intp], basis: Floats, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[Floats, NDArray[np.intp]]:
    """Put an antiphase boundary across a frame: beyond a straight line the crystal is displaced by half a period.

    Parameters
    ----------
    position : array, shape (n, 2)
        (y, x) of the atoms in px, also of some beyond the frame.
    kind : int array, shape (n,)
        Number of each atom in the motif.
    basis : array, shape (2, 2)
        Primitive vectors as rows (y, x) in px. The displacement is half of a, of b or of a + b.
    shape : (int, int)
        Of the frame; the line crosses its middle half at any angle.
    rng : numpy.random.Generator

    Returns
    -------
    position, kind : arrays, shapes (m, 2), (m,)
        Those of both halves, which neither overlap nor leave a gap but that of the boundary itself.
    """
    angle, through = rng.uniform(0, 2 * np.pi), rng.uniform(*MIDDLE, 2) * np.array(shape)
    half = np.array([[0.5, 0.0], [0.0, 0.5], [0.5, 0.5]])[rng.integers(3)] @ basis
    normal = np.array([np.sin(angle), np.cos(angle)])
    moved = position + half
    near, far = (position - through) @ normal <= 0, (moved - through) @ normal > 0
    return np.concatenate([position[near], moved[far]]), np.concatenate([kind[near], kind[far]])


def smooth_strain(position: Floats, shape: tuple[int, int], level: float, rng: np.random.Generator) -> Floats:
    """Return the positions of the atoms of a smoothly strained crystal.

    Parameters
    ----------
    position : array, shape (n, 2)
        (y, x) in px.
    shape : (int, int)
        Of the frame. The displacement is a sum of three waves of any direction and polarisation, of 0.7 to 2 times the
        longer side, less its least-squares linear part over the frame.
    level : float
        Root mean square, over the frame, of the four components of the displacement gradient.
    rng : numpy.random.Generator

    Returns
    -------
    array, shape (n, 2)
    """
    direction, polarisation, phase = rng.uniform(0, 2 * np.pi, (3, WAVES))
    periods = rng.uniform(*PERIODS, WAVES) * 2 * np.pi / max(shape)
    vectors = periods[:, None] * np.column_stack([np.sin(direction), np.cos(direction)])
    amplitude = np.column_stack([np.sin(polarisation), np.cos(polarisation)]) / periods[:, None]

    grid = np.stack(np.meshgrid(*(np.linspace(0, n - 1, GRID) for n in shape), indexing="ij"), axis=-1).reshape(-1, 2)
    design = np.column_stack([grid, np.ones(len(grid))])
    linear = np.linalg.lstsq(design, np.cos(grid @ vectors.T + phase) @ amplitude, rcond=None)[0]
    slope = -np.einsum("gw,wi,wj->gij", np.sin(grid @ vectors.T + phase), vectors, amplitude) - linear[:2]
    scale = level / max(float(np.sqrt(np.square(slope).mean())), 1e-12)
    waves = np.cos(position @ vectors.T + phase) @ amplitude
    return np.asarray(position + scale * (waves - np.column_stack([position, np.ones(len(position))]) @ linear))


def wander(lines: int, level: float, rng: np.random.Generator) -> Floats:
    """Return the displacements of wandering scan lines: a random walk without mean and slope.

    Parameters
    ----------
    lines : int
        Number of scan lines.
    level : float
        Standard deviation over the lines, in px.
    rng : numpy.random.Generator

    Returns
    -------
    array, shape (lines,)
    """
    axis = np.linspace(-1, 1, lines)
    walk = rng.standard_normal(lines).cumsum()
    walk -= np.polyval(np.polyfit(axis, walk, 1), axis)
    return np.asarray(walk * (level / max(float(walk.std()), 1e-12)))


@dataclass(frozen=True)
class Holes:
    """Holes with lobed outlines: the radius at an angle θ is ``radius (1 + depth cos(lobes θ + phase))``.

    Attributes
    ----------
    centre : array, shape (n, 2)
        (y, x) in px.
    radius, lobes, depth, phase : arrays, shape (n,)
        Mean radius in px; number, depth and angle of the lobes.
    """

    centre: Floats
    radius: Floats
    lobes: NDArray[np.integer]
    depth: Floats
    phase: Floats

    def contain(self, position: Floats) -> NDArray[np.bool_]:
        """Tell which positions (..., 2) as (y, x) lie in a hole."""
        inside = np.zeros(position.shape[:-1], bool)
        outlines = zip(self.centre, self.radius, self.lobes, self.depth, self.phase, strict=True)
        for centre, radius, lobes, depth, phase in outlines:
            y, x = np.moveaxis(position - centre, -1, 0)
            inside |= np.hypot(y, x) < radius * (1 + depth * np.cos(lobes * np.arctan2(y, x) + phase))
        return inside

    def film(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Return an image that is 1 in the specimen and 0 in the holes."""
        return np.asarray(~self.contain(np.moveaxis(np.indices(shape, float), 0, -1)), np.float32)


def draw_holes(number: tuple[int, int], shape: tuple[int, int], rng: np.random.Generator) -> Holes:
    """Draw holes anywhere in a frame, of a radius of 4 to 20 % of its shorter side.

    Parameters
    ----------
    number : pair of int
        Smallest and largest number of holes.
    shape : (int, int)
        Of the frame.
    rng : numpy.random.Generator

    Returns
    -------
    Holes
    """
    count = int(rng.integers(number[0], number[1] + 1))
    centre = rng.random((count, 2)) * np.array(shape)
    radius = rng.uniform(*HOLE_RADIUS, count) * min(shape)
    lobes = rng.integers(LOBES[0], LOBES[1] + 1, count)
    return Holes(centre, radius, lobes, rng.uniform(0, LOBE_DEPTH, count), rng.uniform(0, 2 * np.pi, count))


def draw_adsorbates(
    number: tuple[int, int], length: float, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Draw bright adsorbates: Gaussians 1.5 to 5 times as high as an atom, anywhere in a frame.

    Parameters
    ----------
    number : pair of int
        Smallest and largest number of adsorbates.
    length : float
        Length of a primitive vector in px; the width of an adsorbate is 0.2 to 0.5 of it.
    shape : (int, int)
        Of the frame.
    rng : numpy.random.Generator

    Returns
    -------
    position, height, width : arrays, shapes (n, 2), (n,), (n,)
        As :func:`bravaismap.simulate.crystal.gaussian_atoms` takes them.
    """
    count = int(rng.integers(number[0], number[1] + 1))
    position = rng.random((count, 2)) * np.array(shape)
    return position, rng.uniform(*ADSORBATE_HEIGHT, count), rng.uniform(*ADSORBATE_WIDTH, count) * length


def line_offsets(lines: int, level: float, rng: np.random.Generator) -> Floats:
    """Return the offsets of scan lines, which are correlated from each line to the next.

    Parameters
    ----------
    lines : int
    level : float
        Standard deviation over the lines.
    rng : numpy.random.Generator
        Draws the correlation from line to line, between 0 and 0.9, and the offsets.

    Returns
    -------
    array, shape (lines,)
        Of mean 0.
    """
    memory, steps = rng.uniform(*MEMORY), rng.standard_normal(lines)
    offsets = np.empty(lines)
    offsets[0] = steps[0]
    for i in range(1, lines):
        offsets[i] = memory * offsets[i - 1] + np.sqrt(1 - memory**2) * steps[i]
    offsets -= offsets.mean()
    return np.asarray(offsets * (level / max(float(offsets.std()), 1e-12)))
