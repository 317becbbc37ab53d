"""Simulated windows of known class and lattice, drawn from recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

from bravaismap.errors import InputError
from bravaismap.simulate.books import recipe_book, usual_size
from bravaismap.simulate.counts import poisson_counts
from bravaismap.simulate.crystal import blur, draw_atoms, draw_lattice, gaussian_atoms, log_uniform
from bravaismap.simulate.faults import (
    chosen_faults,
    draw_adsorbates,
    draw_holes,
    line_offsets,
    wander,
)
from bravaismap.simulate.instrument import PROBE_MARGIN, line_noise, repeated, speckle, strength
from bravaismap.simulate.patterns import compressed, draw_pattern
from bravaismap.simulate.recipe import Recipe

__all__ = ["JITTER_MARGIN", "PATCHES", "PATCH_WIDTH", "SLOPE", "simulate", "simulate_window", "to_uint8"]

JITTER_MARGIN = 8  # px on either side of the window, so that a displaced scan line does not wrap around
SLOPE = 0.5  # largest change of the background from the middle to an edge, over its height
PATCHES, PATCH_WIDTH = 3, (0.1, 0.3)  # most patches of contamination, and their width over the side of the image
_MOST_PIXELS = 10**11  # of one set of windows, which is held in memory


@dataclass(frozen=True)
class _Scene:
    """What is imaged: the signal of the atoms or of a pattern, and the lattice."""

    image: NDArray[np.float32]
    film: NDArray[np.float32] | None  # 1 in the specimen, 0 in holes; None for a specimen without holes
    basis: NDArray[np.float64]  # px; NaN of a pattern
    length: float  # px, of the first primitive vector
    compressed: bool = False


def simulate(
    n: int,
    recipes: str | Path | Mapping[str, Recipe] = "simulated",
    *,
    seed: int = 0,
    size: int | None = None,
    first: int = 0,
    progress: Callable[[int], object] | None = None,
) -> xr.Dataset:
    """Simulate labelled windows of the classes of a recipe book in turn.

    Parameters
    ----------
    n : int
        Number of windows. Window i belongs to class ``i % number of classes``.
    recipes : str, path or mapping
        ``"simulated"`` (the paper's training set), ``"realistic"``, ``"wide"``, ``"broken"`` (whole images of broken
        crystals), ``"enlarged"`` (broken crystals in scans with repeated pixels), a TOML file, or class name →
        :class:`Recipe`.
    seed : int
        The same seed and number give the same window.
    size : int, optional
        Side of a window in px: 384 for ``"broken"``, else 128, when not given.
    first : int
        Number of the first window, to make a set in parts.
    progress : callable, optional
        Called with the number of windows done so far.

    Returns
    -------
    xarray.Dataset
        ``image`` uint8 (sample, y, x), each stretched to 0–255; ``label`` int8 (sample), a position in the attribute
        ``classes``; ``primitive_vectors_px`` float32 (sample, vector, component), rows = vectors, components (y, x), as
        seen in the image (scan distortion included); NaN of a pattern without atoms. Of a book whose recipes choose
        faults or patterns also ``faults`` (sample), their names joined by ``+``.

    Raises
    ------
    InputError
        If `n` or `size` is too small, or the recipe book does not exist.

    References
    ----------
    R. K. Vasudevan et al., npj Comput. Mater. 4, 30 (2018), doi:10.1038/s41524-018-0086-7, "Methods".
    """
    size = usual_size(recipes) if size is None else size
    if n < 1 or size < 16:
        raise InputError(f"{n} windows of {size} px were asked for; expected at least 1 window of at least 16 px")
    if n * size**2 > _MOST_PIXELS:
        raise InputError(
            f"{n} windows of {size} px were asked for, {float(n) * float(size) ** 2:.2g} px; expected at most "
            f"{_MOST_PIXELS:.0g}: make several files with different seeds"
        )
    if seed < 0 or first < 0:
        raise InputError(f"seed = {seed} and first = {first} were given; expected whole numbers of at least 0")
    book = recipe_book(recipes)
    if not book:
        raise InputError("an empty recipe book was given; expected at least one class")
    images = np.empty((n, size, size), np.uint8)
    labels = np.empty(n, np.int8)
    bases = np.empty((n, 2, 2), np.float32)
    faults = [""] * n
    for i in range(n):
        number = first + i
        labels[i] = number % len(book)
        recipe = list(book.values())[labels[i]]
        rng = np.random.default_rng([seed, number])
        recipe, names = chosen_faults(recipe, rng)
        faults[i] = "+".join(names)
        image, bases[i] = simulate_window(recipe, rng, size)
        images[i] = to_uint8(image)
        if progress is not None:
            progress(i + 1)
    dataset = xr.Dataset(
        {
            "image": (("sample", "y", "x"), images),
            "label": ("sample", labels),
            "primitive_vectors_px": (("sample", "vector", "component"), bases, {"units": "px"}),
        },
        attrs={"classes": list(book), "seed": seed, "recipes": recipes if isinstance(recipes, str) else "own"},
    )
    if any(recipe.faults is not None or recipe.patterns for recipe in book.values()):
        dataset["faults"] = ("sample", np.array(faults, str))
    return dataset


def to_uint8(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return an image stretched to 0–255 (a constant image becomes 0)."""
    low, high = float(image.min()), float(image.max())
    if high <= low:
        return np.zeros(image.shape, np.uint8)
    return np.asarray(np.rint((image - low) * (255.0 / (high - low))), np.uint8)


def simulate_window(
    recipe: Recipe, rng: np.random.Generator, size: int = 128
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Simulate one window.

    Parameters
    ----------
    recipe : Recipe
        The window has all its faults; :func:`bravaismap.simulate.faults.chosen_faults` chooses among them.
    rng : numpy.random.Generator
    size : int
        Side in px.

    Returns
    -------
    image : float32 array, shape (size, size)
    basis : array, shape (2, 2)
        Primitive vectors as rows (y, x) in px, as seen in the image; NaN of a pattern without atoms.
    """
    scene = _pattern(recipe, rng, size) if recipe.patterns else _crystal(recipe, rng, size)
    image = scene.image + _masked(_background(recipe, rng, size), scene.film)
    height = strength(recipe.amorphous, recipe.presence, rng)
    if height > 0:
        image = image + _masked(speckle(size, height, recipe.ring, rng), scene.film)
        image -= min(float(image.min()), 0)
    if recipe.adsorbates[1] > 0:
        image = image + gaussian_atoms(
            *draw_adsorbates(recipe.adsorbates, scene.length, (size, size), rng), (size, size)
        )
    if recipe.inverted > 0 and rng.random() < recipe.inverted:
        image = image.max() - image
    peak = 1.0
    if recipe.dose is not None:
        peak = log_uniform(recipe.dose, rng)
        image = poisson_counts(np.maximum(image, 0) * np.float32(peak), rng)
    noise = rng.uniform(*recipe.noise)
    if noise > 0:
        image = image + noise * (image.std() or 1) * rng.standard_normal(image.shape, np.float32)
    level = strength(recipe.line_noise, recipe.presence, rng)
    if level > 0:
        image = line_noise(image, level, rng)
    for limits, axis in ((recipe.row_offsets, 1), (recipe.column_offsets, 0)):
        if limits[1] > 0:
            image = image + np.expand_dims(line_offsets(size, rng.uniform(*limits) * peak, rng), axis)
    if recipe.enlargement[1] > 1:
        factor = int(rng.integers(recipe.enlargement[0], recipe.enlargement[1] + 1))
        image = repeated(image, factor, rng) if factor > 1 else image
    if scene.compressed:
        image = compressed(image, rng)
    return image.astype(np.float32, copy=False), scene.basis


def _masked(image: NDArray[np.float32], film: NDArray[np.float32] | None) -> NDArray[np.float32]:
    return image if film is None else image * film


def _pattern(recipe: Recipe, rng: np.random.Generator, size: int) -> _Scene:
    name = recipe.patterns[0] if len(recipe.patterns) == 1 else str(rng.choice(recipe.patterns))
    image, length = draw_pattern(name, size, rng), log_uniform(recipe.length, rng)
    return _Scene(image, None, np.full((2, 2), np.nan), length, compressed=name == "blocks")


def _crystal(recipe: Recipe, rng: np.random.Generator, size: int) -> _Scene:
    basis, length = draw_lattice(recipe, rng)
    blurred = any(limits[1] > 0 for limits in (recipe.tilt, recipe.astigmatism, recipe.tail))
    border = PROBE_MARGIN if blurred else 0
    wandering = wander(size, rng.uniform(*recipe.wander) * length, rng) if recipe.wander[1] > 0 else np.zeros(size)
    margin = JITTER_MARGIN if recipe.jitter[1] > 0 or recipe.wander[1] > 0 else 0
    margin += int(np.ceil(np.abs(wandering).max()))
    shape = (size + 2 * border, size + 2 * border + 2 * margin)
    holes = draw_holes(recipe.holes, shape, rng) if recipe.holes[1] > 0 else None
    atoms = draw_atoms(recipe, rng, basis, length, shape, holes)
    image = gaussian_atoms(atoms.position, atoms.height, atoms.width, shape)
    film = None if holes is None else holes.film(shape)
    if blurred:
        image = blur(recipe, rng, image, atoms.scale, atoms.tilt)[border:-border, border:-border]
        film = None if film is None else film[border:-border, border:-border]
    if margin:
        shift = rng.normal(0, rng.uniform(*recipe.jitter), size) + wandering
        image = _displace_lines(image, shift)[:, margin:-margin]
        film = None if film is None else _displace_lines(film, shift)[:, margin:-margin].clip(0, 1)
    return _Scene(image, film, basis, length)


def _displace_lines(image: NDArray[np.float32], shift: NDArray[np.floating]) -> NDArray[np.float32]:
    """Displace each line of an image along x by a number of px that need not be whole, through its spectrum."""
    frequency = np.arange(image.shape[1] // 2 + 1, dtype=np.float32) / image.shape[1]
    angle = np.float32(-2 * np.pi) * frequency * shift[:, None].astype(np.float32)
    phase = np.empty(angle.shape, np.complex64)
    phase.real, phase.imag = np.cos(angle), np.sin(angle)
    return np.asarray(irfft(rfft(image, axis=1) * phase, n=image.shape[1], axis=1))


def _background(recipe: Recipe, rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    slope = rng.uniform(-SLOPE, SLOPE, 2)
    plane = np.float32(rng.uniform(*recipe.background)) * (1 + slope[0] * axis[:, None] + slope[1] * axis)
    patches = int(rng.integers(0, PATCHES + 1)) if recipe.contamination[1] > 0 else 0
    if patches == 0:
        return np.asarray(plane, np.float32)
    centre, width = rng.uniform(0, size, (patches, 2)), rng.uniform(*PATCH_WIDTH, patches) * size
    return np.asarray(
        plane + gaussian_atoms(centre, rng.uniform(*recipe.contamination, patches), width, (size, size)), np.float32
    )
