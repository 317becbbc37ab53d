"""Pick-up: a wave that runs through a whole image beside its lattice, as mains hum does, taken out.

A window of a few cells cannot tell such a wave from those of a crystal: together they make another lattice there. The
whole image can. What is picked up is added to the signal, so that it has one frequency and its harmonics, the same
strength everywhere, holes included, and no sums with the waves of the crystal; it lies on no node of the lattice that
all other waves make, nor on one of its simple superlattices. Its phase may wander slowly from line to line, as that of
the mains does. A crystal has no such wave: each of its own is a node of its lattice, a second crystal has waves in two
directions, and a charge-density wave has sums with the others. Fringes, gratings and frequencies without a crystal
(``added_waves``) cross as the waves of a lattice do; what they lack is the sums.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
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
from bravaismap.measure.added_waves import (
    AddedWave,
    ClearSpots,
    added_waves,
    clear_spots,
    folded_distance,
    fundamentals,
    sum_of,
)
from bravaismap.measure.gratings import is_compact
from bravaismap.measure.indexing import index_spots

__all__ = ["Quiet", "without_pickup"]

#: Waves of a lattice that have to be seen, in as many directions: two and their sum or difference.
_FEWEST_WAVES: Final = 3
#: Largest index, beyond which a wave is taken for no sum of two others.
_HIGHEST_SUM: Final = 2.5
#: Orders of the superlattices whose nodes belong to the lattice, too: 2 × 2, 3 × 3 with √3 × √3, and 4 × 4.
_ORDERS: Final = (2, 3, 4)
#: Largest index of those of them that a superlattice shows first.
_HIGHEST_FRACTION: Final = 1.1


@dataclass(frozen=True)
class Quiet:
    """An image without what was picked up.

    Attributes
    ----------
    image : tensor, shape (y, x)
        As it was given where nothing was picked up.
    length : float
        Wavelength of the fundamental of the strongest wave in px; 0 if there was none.
    alone : bool
        Whether that is one wave, and all that repeats in the image.
    """

    image: Tensor
    length: float = 0.0
    alone: bool = False


@dataclass(frozen=True)
class _Wave:
    """A wave through an image: its values, and the share of the power about it that is left without it."""

    values: Floats
    left: float


def without_pickup(image: Tensor) -> Quiet:
    """Return an image without what was picked up.

    Parameters
    ----------
    image : tensor, shape (y, x)
    """
    size = np.array(image.shape)
    spots = clear_spots(image)
    if len(spots.position) < 2:
        return Quiet(image)
    if waves := _without_lattice(image, spots.position, spots.power, size):
        return _rest(image, waves, size)
    family = _beside_lattice(spots, size)
    if len(family) == 0:
        return Quiet(image)
    pixels = image.double().cpu().numpy()
    pixels = pixels - pixels.mean()
    parts = [_wave(pixels, place / size) for place in family]
    if min(wave.left for wave in parts) > settings.SETTINGS.pickup.most_left:
        return Quiet(image)
    removed = np.sum([wave.values for wave in parts], axis=0)
    return Quiet(image - torch.from_numpy(removed).to(image), 1 / float(np.linalg.norm(family[0] / size)))


def _rest(image: Tensor, waves: list[AddedWave], size: NDArray[np.intp]) -> Quiet:
    """The image without waves that are all that repeats in it; constant where they leave no more than rounding."""
    limits = settings.SETTINGS.pickup
    rest = image - torch.from_numpy(sum_of(waves, tuple(image.shape))).to(image)
    least = limits.least_beside_one if len(waves) == 1 else limits.least_rest
    if float(rest.double().var()) < least * float(image.double().var()):
        rest = torch.zeros_like(rest)
    return Quiet(rest, 1 / float(np.linalg.norm(waves[0].bins / size)), len(waves) == 1)


def _without_lattice(image: Tensor, spots: Floats, power: Floats, size: NDArray[np.intp]) -> list[AddedWave]:
    """The waves that are all that repeats in an image and make no lattice; none if they may.

    Gratings at a small angle may lie in any direction; other waves are picked up along the rows.
    """
    starts = fundamentals(spots, power, size)
    if not starts or _may_be_lattice(starts, size):
        return []
    waves = added_waves(image, starts, float(power[0]))
    faintest = np.sqrt(settings.SETTINGS.pickup.skirt_power) * max((wave.strength for wave in waves), default=0.0)
    strongest = [wave.strongest for wave in waves if wave.strength > faintest]
    if not waves or _may_be_lattice(strongest, size):
        return []
    rest = image.double().cpu().numpy() - sum_of(waves, tuple(image.shape))
    pairs = itertools.combinations(waves, 2)
    return [] if any(_have_sum(first, second, rest, size) for first, second in pairs) else waves


def _may_be_lattice(waves: Sequence[Floats], size: NDArray[np.intp]) -> bool:
    """Whether waves, in bins, may be those of a lattice, by where they are.

    Two waves whose sums are too faint to be seen may be those of a smooth lattice if they are at right angles, or of
    one length, and no combination of them is shorter: a lattice of symmetry has no others alone, and one without has
    its shortest. A third wave is a sum of the others then; or two are as long as one another and at right angles, which
    is no accident, and it lies beside their lattice.
    """
    limits = settings.SETTINGS.pickup
    pairs = list(itertools.combinations(waves, 2))
    compact = [_is_compact(first, second, size) for first, second in pairs]
    away = [bool(np.abs(wave[1]) >= limits.lowest_frequency) for wave in waves]
    if not all(away) and any(compact):
        return True
    if len(waves) == 2:
        return compact[0] and _are_symmetric(*pairs[0], size)
    if any(abs(np.linalg.det(pair)) > limits.lowest_frequency**2 and _are_even(*pair, size) for pair in pairs):
        return True
    for (first, second), other in itertools.product(pairs, waves):
        if other is first or other is second:
            continue
        if abs(np.linalg.det([first, second])) < limits.lowest_frequency**2:
            continue  # along one line, or nearly so
        basis = reduce_basis(np.stack([first, second]) / size) * size
        if np.linalg.norm(basis, axis=1).min() < limits.lowest_frequency:
            continue
        index = other @ np.linalg.inv(basis)
        if np.abs(index).max() < _HIGHEST_SUM and _distance(index[None], basis)[0] < limits.on_sum:
            return True
    return False


def _are_symmetric(first: Floats, other: Floats, size: NDArray[np.intp]) -> bool:
    """Whether two waves, in bins, are at right angles or of one length, or nearly so of both."""
    limits = settings.SETTINGS.pickup
    first_length, other_length = (np.linalg.norm(wave / size) for wave in (first, other))
    cosine = abs((first / size) @ (other / size)) / (first_length * other_length)
    uneven = abs(np.log(first_length / other_length))
    return bool(min(cosine, uneven) < limits.symmetric or max(cosine, uneven) < limits.square)


def _have_sum(first: AddedWave, other: AddedWave, rest: Floats, size: NDArray[np.intp]) -> bool:
    """Whether what two waves leave may hold their sum or difference, which atoms in two directions have."""
    limits = settings.SETTINGS.pickup
    tapers = [np.hanning(side + 2)[1:-1] for side in rest.shape]
    tapered = (rest - rest.mean()) * np.outer(*tapers)
    noise = float(np.sqrt(np.square(tapered).mean() * rest.size)) * 2 / (tapers[0].sum() * tapers[1].sum())
    least = limits.least_sum * np.sqrt(first.strength * other.strength)
    if noise > least:
        return True
    for bins in (first.strongest + other.strongest, first.strongest - other.strongest):
        if np.linalg.norm(bins) < limits.lowest_frequency:
            continue
        down, across = (np.exp(-2j * np.pi * k / side * np.arange(side)) for k, side in zip(bins, size, strict=True))
        amplitude = 2 * abs(down @ tapered @ across) / (tapers[0].sum() * tapers[1].sum())
        if amplitude > max(least, limits.least_over_noise * noise):
            return True
    return False


def _beside_lattice(spots: ClearSpots, size: NDArray[np.intp]) -> Floats:
    """The wave beside a lattice and its harmonics, (n, 2) in bins, by the spots of an image; none if there is none."""
    limits, position, height = settings.SETTINGS.pickup, spots.position, spots.power
    none = np.empty((0, 2))
    if len(position) < _FEWEST_WAVES:
        return none
    bases = index_spots(spots.every, limits.candidates)[0][0].double().cpu().numpy()
    basis = _shown(position, bases, size)
    if basis is None:
        return none
    index = position @ np.linalg.inv(basis)
    own = _distance(index, basis) < limits.on_node
    apart = np.linalg.norm(position[:, None] - position[own], axis=2) < limits.same_wave
    skirt = (apart & (height[:, None] < height[own])).any(1)
    alone = ~own & ~skirt & (np.abs(position) >= limits.lowest_frequency).all(1)
    if not alone.any() or _of_superlattice(index[alone][0], basis) or _of_bent_crystal(index, basis, alone, skirt):
        return none
    # odd lines that are displaced repeat each wave half a cycle away
    halfway = position[alone][0] + np.diag(size) / 2
    repeats = _distance(halfway @ np.linalg.inv(basis), basis) < limits.on_superlattice
    return none if repeats.any() else _harmonics(position[alone], size)


def _is_compact(first: Floats, other: Floats, size: NDArray[np.intp]) -> bool:
    """Whether two waves, in bins, are the shortest of their lattice."""
    return bool(is_compact(*torch.from_numpy(np.stack([first, other]) / size)))


def _are_even(first: Floats, other: Floats, size: NDArray[np.intp]) -> bool:
    """Whether two waves, in bins, are those of a square lattice."""
    (a, b), (c, d) = reduce_basis(np.stack([first, other]) / size)
    # |g₂ − i g₁| as a share of |g₁|, the turn to either side
    uneven = min(np.hypot(c + turn * b, d - turn * a) for turn in (1, -1)) / np.hypot(a, b)
    return bool(uneven < settings.SETTINGS.pickup.uneven)


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
        if seen == 2 and _are_even(basis[0], basis[1], size):
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
    away = folded_distance(apart, size)
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
