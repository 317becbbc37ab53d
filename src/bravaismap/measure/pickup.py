"""Pick-up: a wave that runs through a whole image beside its lattice, as mains hum does, taken out.

A window of a few cells cannot tell such a wave from those of a crystal: together they make another lattice there. The
whole image can. What is picked up is added to the signal, so that it has one frequency and its harmonics, the same
strength everywhere, holes included, and no sums with the waves of the crystal; it lies on no node of the lattice that
all other waves make, nor on one of its simple superlattices. Its phase may wander slowly from line to line, as that of
the mains does. A crystal has no such wave: each of its own is a node of its lattice, a second crystal has waves in two
directions, and a charge-density wave has sums with the others. Two or three frequencies without a crystal cross as
the waves of a lattice do; what they lack is the sums.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.polynomial import Polynomial
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from bravaismap.conventions import Floats
from bravaismap.lattice.basis import reduce_basis
from bravaismap.measure import settings
from bravaismap.measure.gratings import is_compact
from bravaismap.measure.indexing import index_spots
from bravaismap.measure.nodes import level_at, node_power
from bravaismap.measure.scanlines import leveled
from bravaismap.measure.spots import Spectrum, find_spots, standardize, whitened_power

__all__ = ["without_pickup"]

#: Waves of a lattice that have to be seen, in as many directions: two and their sum or difference.
_FEWEST_WAVES: Final = 3
#: Most frequencies of pick-up in an image without a crystal.
_MOST_FREQUENCIES: Final = 3
#: Orders of the superlattices whose nodes belong to the lattice, too: 2 × 2, 3 × 3 with √3 × √3, and 4 × 4.
_ORDERS: Final = (2, 3, 4)
#: Largest index of those of them that a superlattice shows first.
_HIGHEST_FRACTION: Final = 1.1


@dataclass(frozen=True)
class _Wave:
    """A wave through an image: its values, and the share of the power about it that is left without it."""

    values: Floats
    left: float


def without_pickup(image: Tensor) -> tuple[Tensor, float]:
    """Return an image without what was picked up, and the wavelength of that in px, 0 if there was none.

    Parameters
    ----------
    image : tensor, shape (y, x)

    Returns
    -------
    image : tensor, shape (y, x)
        As it is where nothing was picked up.
    length : float
        Wavelength of the fundamental.
    """
    size = np.array(image.shape)
    families = _families(image)
    if not families:
        return image, 0.0
    pixels = image.double().cpu().numpy()
    pixels = pixels - pixels.mean()
    waves = [[_wave(pixels, place / size) for place in family] for family in families]
    if max(min(wave.left for wave in family) for family in waves) > settings.SETTINGS.pickup.most_left:
        return image, 0.0
    removed = np.sum([wave.values for family in waves for wave in family], axis=0)
    return image - torch.from_numpy(removed).to(image), 1 / float(np.linalg.norm(families[0][0] / size))


def _families(image: Tensor) -> list[Floats]:
    """Return the waves that were picked up, in bins: of each frequency, (n, 2), the fundamental and its harmonics."""
    limits = settings.SETTINGS.pickup
    spectrum = whitened_power(standardize(leveled(standardize(image[None]))))
    spots = find_spots(spectrum, count=limits.spots, lowest=limits.lowest_frequency)
    power = (node_power(spectrum, spots.position)[0] * level_at(spectrum, spots.position))[0]
    clear = (spots.weight[0] > limits.clear_evidence) & (power > limits.least_power * power.max())
    chosen = torch.nonzero(clear).squeeze(1)
    if len(chosen) < 2:
        return []
    chosen = chosen[power[chosen].argsort(descending=True, stable=True)]
    position, height = spots.position[0][chosen].double().cpu().numpy(), power[chosen].cpu().numpy()
    size = np.array(image.shape)
    if crossing := _crossing(position, size, spectrum):
        return crossing
    if len(chosen) < _FEWEST_WAVES:
        return []
    bases = index_spots(spots, limits.candidates)[0][0].double().cpu().numpy()
    basis = _shown(position, bases, size)
    if basis is None:
        return []
    index = position @ np.linalg.inv(basis)
    own = _distance(index, basis) < limits.on_node
    apart = np.linalg.norm(position[:, None] - position[own], axis=2) < limits.same_wave
    skirt = (apart & (height[:, None] < height[own])).any(1)
    alone = ~own & ~skirt & (np.abs(position) >= limits.lowest_frequency).all(1)
    if not alone.any() or _of_superlattice(index[alone][0], basis) or _of_bent_crystal(index, basis, alone, skirt):
        return []
    # odd lines that are displaced repeat each wave half a cycle away
    halfway = position[alone][0] + np.diag(image.shape) / 2
    repeats = _distance(halfway @ np.linalg.inv(basis), basis) < limits.on_superlattice
    family = _harmonics(position[alone], size)
    return [] if repeats.any() or len(family) == 0 else [family]


def _crossing(position: Floats, size: NDArray[np.intp], spectrum: Spectrum) -> list[Floats]:
    """Return all waves as two or three frequencies and their harmonics that make no lattice, none if they may.

    Gratings at a small angle may lie in any direction; pick-up has periods along the rows.
    """
    limits = settings.SETTINGS.pickup
    families = _frequencies(position, size)
    if len(families) != 2 or _is_compact(families[0][0], families[1][0], size):
        families = _frequencies(position[np.abs(position[:, 1]) >= limits.lowest_frequency], size)
    fundamentals = [family[0] for family in families]
    if len(families) < 2 or any(_of_lattice(*pair, size, spectrum) for pair in itertools.combinations(fundamentals, 2)):
        return []
    if len(families) > 2:
        basis = np.array(fundamentals[:2])
        index = fundamentals[2:] @ np.linalg.inv(basis)
        if _distance(index, basis).min() < limits.on_node:
            return []
    return [_with_faint_harmonics(family, size) for family in families]


def _frequencies(waves: Floats, size: NDArray[np.intp]) -> list[Floats]:
    """Return waves, the strongest first, as up to three frequencies with their harmonics; none if they are more."""
    families: list[Floats] = []
    rest = waves
    while len(rest) and len(families) < _MOST_FREQUENCIES:
        family = _harmonics(rest, size)
        own = np.ones(len(rest), bool) if len(family) else _multiples(rest[:1], rest, size)
        families.append(family if len(family) else _harmonics(rest[own], size))
        rest = rest[~own]
    return [] if len(rest) or not all(len(family) for family in families) else families


def _of_lattice(first: Floats, other: Floats, size: NDArray[np.intp], spectrum: Spectrum) -> bool:
    """Whether two waves may be those of a lattice.

    Atoms in two directions have the sums of their waves, too. Where these are too faint, two waves may be those of a
    smooth lattice if they are at right angles, or of one length, and no combination of them is shorter: one of symmetry
    has no others alone, and one without has its shortest.
    """
    limits = settings.SETTINGS.pickup
    corners = torch.from_numpy(np.stack([first, other, first + other, first - other])[None]).float()
    corners = corners.to(spectrum.power.device)
    one, two, *sums = (node_power(spectrum, corners)[0] * level_at(spectrum, corners))[0].tolist()
    if max(sums) > limits.least_sum**2 * np.sqrt(one * two):
        return True
    first_length, other_length = (np.linalg.norm(wave / size) for wave in (first, other))
    cosine = abs((first / size) @ (other / size)) / (first_length * other_length)
    symmetric = min(cosine, abs(np.log(first_length / other_length))) < limits.symmetric
    return bool(symmetric and _is_compact(first, other, size))


def _is_compact(first: Floats, other: Floats, size: NDArray[np.intp]) -> bool:
    """Whether two waves, in bins, are the shortest of their lattice."""
    return bool(is_compact(*torch.from_numpy(np.stack([first, other]) / size)))


def _with_faint_harmonics(family: Floats, size: NDArray[np.intp]) -> Floats:
    """Return a wave and its harmonics, (n, 2) in bins, with those that are too faint to be seen, if it shows any."""
    limits = settings.SETTINGS.pickup
    if len(family) < 2:
        return family
    every = np.arange(2, limits.harmonics + 1)[:, None] * family[0]
    every = every - np.rint(every / size) * size
    seen = [np.minimum(np.linalg.norm(family - k, axis=1), np.linalg.norm(family + k, axis=1)).min() for k in every]
    faint = (np.array(seen) > limits.same_wave) & (np.linalg.norm(every, axis=1) >= limits.lowest_frequency)
    return np.concatenate([family, every[faint]])


def _shown(position: Floats, bases: Floats, size: NDArray[np.intp]) -> Floats | None:
    """Return the reciprocal basis of a lattice that spots (n, 2) show without doubt, of candidates, best first.

    Of a lattice three waves are seen, two and their sum or difference; or two as long as one another and at right
    angles, which no accident makes.
    """
    limits = settings.SETTINGS.pickup
    directions = []
    for basis in bases:
        index = position @ np.linalg.inv(basis)
        directions.append(_directions(np.rint(index[_distance(index, basis) < limits.on_node])))
    if directions[0] >= _FEWEST_WAVES:
        return np.asarray(bases[0])
    if max(directions) > 2:
        return None
    for basis, seen in zip(bases, directions, strict=True):
        (a, b), (c, d) = reduce_basis(basis / size)
        # |g₂ − i g₁| as a share of |g₁|, the turn to either side
        uneven = min(np.hypot(c + turn * b, d - turn * a) for turn in (1, -1)) / np.hypot(a, b)
        if seen == 2 and uneven < limits.uneven:
            return np.asarray(basis)
    return None


def _directions(order: Floats) -> int:
    """Number of different directions among the indices (n, 2) of nodes."""
    crossed = order[:, :1] * order[:, 1] != order[:, 1:] * order[:, 0]
    return len(np.unique(crossed, axis=0))


def _of_superlattice(index: Floats, basis: Floats) -> bool:
    """Whether a place, in units of a reciprocal basis, is a node of a simple superlattice, and of the first ones."""
    if np.abs(index).max() > _HIGHEST_FRACTION:
        return False
    nearest = [_distance(order * index[None], basis)[0] / order for order in _ORDERS]
    return bool(min(nearest) < settings.SETTINGS.pickup.on_superlattice)


def _of_bent_crystal(index: Floats, basis: Floats, alone: NDArray[np.bool_], skirt: NDArray[np.bool_]) -> bool:
    """Whether a wave beside a node is what a bent crystal spreads there, as it does about its other nodes."""
    beside = _distance(index, basis)
    own = beside[alone].min()
    return bool(own < settings.SETTINGS.pickup.same_wave and (2 * beside[skirt] > own).any())


def _distance(index: Floats, basis: Floats) -> Floats:
    """Distance of places, in units of a reciprocal basis, from the nearest node, in bins."""
    return np.asarray(np.linalg.norm((index - np.rint(index)) @ basis, axis=1))


def _harmonics(bins: Floats, size: NDArray[np.intp]) -> Floats:
    """Return spots as a fundamental and its harmonics, the fundamental first; none if they are anything else.

    The time between two lines is no whole number of periods, so that harmonics are folded back.
    """
    limits = settings.SETTINGS.pickup
    chosen: list[Floats] = []
    for place in bins:
        if all(np.linalg.norm(place - other) > limits.same_wave for other in chosen):
            chosen.append(place)
    waves = np.array(chosen).reshape(-1, 2)
    for first in range(len(waves)):
        if _multiples(waves[first : first + 1], waves, size).all():
            return np.concatenate([waves[first : first + 1], np.delete(waves, first, axis=0)])
    return np.empty((0, 2))


def _multiples(wave: Floats, others: Floats, size: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which waves (n, 2) are harmonics of one (1, 2), folded back or not."""
    limits = settings.SETTINGS.pickup
    order = np.arange(1, limits.harmonics + 1)
    apart = np.concatenate([order, -order])[:, None, None] * wave - others
    away = np.linalg.norm((apart / size - np.rint(apart / size)) * size, axis=-1)
    slack = limits.on_node + limits.wander * np.tile(order, 2)[:, None]
    return np.asarray((away < slack).any(0))


def _wave(pixels: Floats, frequency: Floats) -> _Wave:
    """Return the wave of about a frequency (cycles per px) whose phase wanders along y, or along x."""
    along_y = _wandering(pixels, frequency)
    if along_y.left < settings.SETTINGS.pickup.clear_left:
        return along_y
    along_x = _wandering(pixels.T, frequency[::-1])
    return along_y if along_y.left <= along_x.left else _Wave(along_x.values.T, along_x.left)


def _wandering(pixels: Floats, frequency: Floats) -> _Wave:
    """Return the wave of one strength, and of a phase that wanders along y as a cubic polynomial."""
    limits = settings.SETTINGS.pickup
    rows, columns = pixels.shape
    taper_y, taper_x = np.hanning(rows), np.hanning(columns)
    y, x = np.arange(rows), np.arange(columns)
    tapered = pixels * taper_x
    k_y, k_x = _peak(tapered * taper_y[:, None], frequency)
    lines = np.exp(-2j * np.pi * k_y * y) * (tapered @ np.exp(-2j * np.pi * k_x * x)) / taper_x.sum()
    smooth = gaussian_filter1d(lines, limits.wander_rows * rows, mode="nearest")
    phase = Polynomial.fit(y, np.unwrap(np.angle(smooth)), 3, w=taper_y * np.abs(smooth) + 1e-12)(y)
    strength = (taper_y * lines * np.exp(-1j * phase)).sum() / taper_y.sum()
    values = 2 * (strength * np.exp(1j * (phase + 2 * np.pi * k_y * y))[:, None] * np.exp(2j * np.pi * k_x * x)).real
    near = np.arange(-limits.near, limits.near + 1)
    down = np.exp(-2j * np.pi * (k_y + near[:, None] / rows) * y) * taper_y
    across = np.exp(-2j * np.pi * (k_x + near[:, None] / columns) * x) * taper_x
    before, after = (np.square(np.abs(down @ image @ across.T)).sum() for image in (pixels, pixels - values))
    return _Wave(values, float(after / max(before, 1e-30)))


def _peak(tapered: Floats, frequency: Floats) -> Floats:
    """Return the frequency near a given one at which the spectrum of an image is highest."""
    k = np.array(frequency, float)
    for step in (0.3, 0.1, 0.03):
        for axis in (0, 1):
            other = np.exp(-2j * np.pi * k[1 - axis] * np.arange(tapered.shape[1 - axis]))
            line = tapered @ other if axis == 0 else other @ tapered
            steps = k[axis] + step * np.arange(-1, 2) / len(line)
            low, middle, high = np.log(
                np.abs(np.exp(-2j * np.pi * steps[:, None] * np.arange(len(line))) @ line) + 1e-30
            )
            bend = min(low - 2 * middle + high, -1e-12)
            k[axis] += np.clip(0.5 * (low - high) / bend, -1, 1) * step / len(line)
    return k
