"""Ordered regions: superlattices that show in a part of a crystal only, with their share of the image.

A grain, a terrace or a domain may be ordered where the rest of the crystal is not, and one order may have domains of
several orientations. The waves of a superlattice fall into classes, one for each rational fraction of the reciprocal
vectors of the lattice. Where each class shows is seen by demodulation: its power in a Gaussian of a few cells of the
superlattice. Classes that show in the same places belong to one superlattice, the smallest that has them all. A place
is ordered where the amplitude is more than half of what it is in the middle of the region: on a straight edge a
Gaussian sees half of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_opening
from scipy.signal.windows import tukey
from torch import Tensor

from bravaismap.conventions import Floats
from bravaismap.lattice.basis import reduce_basis
from bravaismap.lattice.sublattices import sublattices_to
from bravaismap.measure import settings
from bravaismap.measure.nodes import level_at, node_orders
from bravaismap.measure.spots import Spectrum, standardize, whitened_power

__all__ = ["OrderedRegion", "ordered_regions"]

#: Half the width of the band about a wave, in standard deviations of its Gaussian: places are half of one apart.
_BAND = 2 * math.pi
#: Mean square of the taper of a spectrum, (3/8)² of a Hann window.
_TAPER = (3 / 8) ** 2
#: Shortest wave vector that is asked, over the shortest of the lattice, as slower changes are those of the background;
#: and the largest component, in cycles per px, as pixels average the waves beyond.
_SHORTEST, _LARGEST_COMPONENT = 0.2, 0.45
#: Least share of the Gaussian that counts as within the image, and least power of the crystal, over that in the middle
#: of it, that the power of an order is divided by: neither noise at an edge nor that in a hole is blown up to order.
_LEAST_WEIGHT, _LEAST_LEVEL = 0.1, 0.05
#: Where a wave shows: power above a third of the quantile that outliers of noise, a fiftieth of the places, do not set.
_HIGHEST_QUANTILE, _SHOWN = 0.98, 1 / 3


@dataclass(frozen=True)
class OrderedRegion:
    """A part of an image that shows a superlattice.

    Attributes
    ----------
    matrix : int array, shape (2, 2)
        N, where N · basis of the lattice is the reduced basis of the superlattice.
    share : float
        Of the image.
    rest : float
        Share of the image that shows the lattice without this order, boundaries between domains left aside.
    """

    matrix: NDArray[np.intp]
    share: float
    rest: float


@dataclass(frozen=True)
class _Waves:
    """An image whose waves are asked for their power near every place, through a Gaussian.

    Attributes
    ----------
    spectrum : array, complex
        Of the image, with room for the Gaussian beyond its edges.
    noise : Spectrum
        Of the tapered image.
    reciprocal : array, shape (2, 2)
        Of the lattice, rows, in cycles per px.
    width : float
        Standard deviation of the Gaussian in px.
    weight : array, shape (rows, columns)
        Share of the Gaussian that lies within the image.
    area : array, shape (rows, columns)
        Share of the image that is nearest to a place.
    shape : (int, int)
    """

    spectrum: NDArray[np.complexfloating]
    noise: Spectrum
    reciprocal: Floats
    width: float
    weight: Floats
    area: Floats
    shape: tuple[int, int]

    def power(self, fraction: Floats) -> Floats | None:
        """Power of the clearest waves of a class over that of the noise, (rows, columns); None if none is clear."""
        limits = settings.SETTINGS.ordered_regions
        index = node_orders(limits.highest_index).numpy().astype(float)
        index = np.concatenate([index, -index, np.zeros((1, 2))]) + fraction
        wave = index @ self.reciprocal
        length = np.linalg.norm(wave, axis=1)
        shortest = np.linalg.norm(self.reciprocal, axis=1).min()
        wave = wave[
            (length > _SHORTEST * shortest)
            & (length < limits.reach * shortest)
            & (np.abs(wave).max(1) < _LARGEST_COMPONENT)
        ]
        if not fraction.any() and len(wave):
            wave = wave[(wave[:, 1] > 0) | ((wave[:, 1] == 0) & (wave[:, 0] > 0))]
        if len(wave) == 0:
            return None
        bins = torch.from_numpy(wave * self.shape).float()[None].to(self.noise.level.device)
        level = level_at(self.noise, bins)[0].cpu().numpy() / (_TAPER * self.shape[0] * self.shape[1])
        values = [
            np.abs(_through_gaussian(self.spectrum, self.shape, own, self.width)) ** 2 / noise
            for own, noise in zip(wave, level, strict=True)
        ]
        # a Gaussian takes the mean of so many pixels, fewer at the edge
        power = 4 * math.pi * self.width**2 * np.stack(values) / self.weight**2
        places = np.prod(self.shape) / (4 * math.pi * self.width**2)
        highest = (power * self.weight).max((1, 2))
        clear = highest > math.log(places * len(wave)) + limits.above_chance
        if not clear.any():
            return None
        clearest = np.argsort(-highest)[: limits.most_waves]
        return np.asarray((power[clearest[clear[clearest]]] - 1 / self.weight).sum(0))


def ordered_regions(image: Tensor, basis: Floats, matrices: Sequence[NDArray[np.integer]]) -> tuple[OrderedRegion, ...]:
    """Return the superlattices that an image shows and where they are, that of the largest region first.

    Parameters
    ----------
    image : tensor, shape (y, x)
    basis : array, shape (2, 2)
        Of the lattice, rows, columns (y, x), in px.
    matrices : sequence of int arrays, shape (2, 2)
        Superlattices N · basis to look for; one that is found has some of the waves of these.
    """
    limits = settings.SETTINGS.ordered_regions
    cell = math.sqrt(abs(np.linalg.det(basis)))
    sides = [cell * math.sqrt(abs(np.linalg.det(matrix))) for matrix in matrices]
    within = [own for own, side in zip(matrices, sides, strict=True) if limits.fewest_cells * side <= min(image.shape)]
    if not within:
        return ()
    classes = _classes(within)
    plain = standardize(image[None])
    side = cell * max(math.sqrt(abs(np.linalg.det(matrix))) for matrix in within)
    largest = limits.largest_width * min(image.shape)
    regions: list[_SeenRegion] = []
    for factor in limits.widths:
        width = min(factor * max(side, limits.least_cells * cell), largest)
        regions = _in_width(_waves(plain, basis, width), basis, classes)
        if width == largest or any(region.power > limits.clear_power for region in regions):
            break
    clear = [seen.region for seen in regions if seen.power > limits.power]
    return tuple(sorted(clear, key=lambda region: -region.share))


@dataclass(frozen=True)
class _SeenRegion:
    """A region, and the power of its waves over that of the noise of one."""

    region: OrderedRegion
    power: float


def _in_width(waves: _Waves, basis: Floats, classes: Sequence[Floats]) -> list[_SeenRegion]:
    """The regions as they show in a Gaussian of a width."""
    limits = settings.SETTINGS.ordered_regions
    crystal = waves.power(np.zeros(2))
    if crystal is None:
        return []
    # where the crystal itself is faint, less of the order is enough
    level = np.clip(crystal / _plateau(crystal), _LEAST_LEVEL, 1.0)
    lattice = level > limits.least_power
    shown = [(fraction, power) for fraction in classes if (power := waves.power(fraction)) is not None]
    places = [lattice & (power / level > limits.least_power * _plateau(power)) for _, power in shown]
    regions = []
    for members in _together(places):
        matrix = _smallest([shown[i][0] for i in members])
        power = np.sum([shown[i][1] for i in members], axis=0)
        plateau = _plateau(power)
        share = power / plateau / level
        rest = binary_opening(lattice & (share <= limits.least_power), _disc(limits.boundary))
        region = lattice & ~rest
        region_share, rest_share = (float(waves.area[places].sum()) for places in (region, rest))
        if matrix is None or region_share < limits.least_share:
            continue
        # between many domains of one order its power goes up and down without a place that has none
        even = np.quantile(share[region], 0.25) > limits.even_power
        if even and (not rest.any() or np.quantile(share[rest], 0.75) < limits.rest_power):
            cell = reduce_basis(matrix @ basis)
            reduced = np.asarray(np.rint(cell @ np.linalg.inv(basis)), np.intp)
            regions.append(_SeenRegion(OrderedRegion(reduced, region_share, rest_share), plateau))
    return regions


def _waves(plain: Tensor, basis: Floats, width: float) -> _Waves:
    """A standardised image (1, y, x) in a Gaussian of a width in px."""
    shape = (plain.shape[1], plain.shape[2])
    padded = tuple(length + math.ceil(3 * width) for length in shape)
    # what ends at once has power at all frequencies
    down, right = (tukey(length, min(4 * width / length, 1.0)) for length in shape)
    taper = down[:, None] * right
    within = _through_gaussian(np.fft.fft2(taper, padded), shape, np.zeros(2), width)
    spectrum = np.fft.fft2(plain[0].cpu().numpy() * taper, padded)
    reciprocal = np.linalg.inv(basis).T
    down, right = (
        _nearest(count, size, _spacing(length, width))
        for count, size, length in zip(within.shape, shape, padded, strict=True)
    )
    area = down[:, None] * right
    return _Waves(spectrum, whitened_power(plain), reciprocal, width, np.abs(within).clip(_LEAST_WEIGHT), area, shape)


def _reach(length: int, width: float) -> int:
    """Number of frequencies to each side of a wave that a Gaussian of a width in px takes, along a length in px."""
    return min(math.ceil(_BAND * length / (2 * math.pi * width)), (length - 1) // 2)


def _spacing(length: int, width: float) -> float:
    """Distance in px between the places of a Gaussian, along a length in px."""
    return length / (2 * _reach(length, width) + 1)


def _nearest(count: int, size: int, spacing: float) -> Floats:
    """Share of a side of an image that is nearest to each of so many places, (count,), of which the first is at 0."""
    edges = (spacing * (np.arange(count + 1) - 0.5)).clip(0, size)
    edges[-1] = size
    return np.diff(edges) / size


def _through_gaussian(
    spectrum: NDArray[np.complexfloating], shape: tuple[int, int], wave: Floats, width: float
) -> NDArray[np.complexfloating]:
    """Amplitude of a wave (k_y, k_x) in a Gaussian about places half of its width apart, but for the phase."""
    cut, factors = spectrum, []
    for axis, k in enumerate(wave):
        length = spectrum.shape[axis]
        reach = _reach(length, width)
        bins = round(k * length) + np.arange(-reach, reach + 1)
        factors.append(np.exp(-2 * (math.pi * width * (bins / length - k)) ** 2))
        cut = np.take(cut, np.fft.ifftshift(bins) % length, axis)
    taper = np.fft.ifftshift(factors[0][:, None] * factors[1])
    scale = cut.size / spectrum.size
    places = np.fft.ifft2(cut * taper) * scale
    rows, columns = (
        math.ceil(size * count / length)
        for size, count, length in zip(shape, places.shape, spectrum.shape, strict=True)
    )
    return np.asarray(places[:rows, :columns])


def _classes(matrices: Sequence[NDArray[np.integer]]) -> list[Floats]:
    """Rational fractions of the reciprocal vectors, (2,), at which superlattices have waves; one of each pair ±."""
    classes: dict[tuple[float, float], Floats] = {}
    for matrix in matrices:
        index = abs(round(np.linalg.det(matrix)))
        every = np.stack(np.meshgrid(np.arange(index), np.arange(index)), -1).reshape(-1, 2)
        for fraction in np.round(every @ np.linalg.inv(matrix).T, 9) % 1.0:
            pair = [tuple(np.round(own % 1.0, 6) % 1.0) for own in (fraction, -fraction)]
            classes.setdefault(min(pair), fraction)
    classes.pop((0.0, 0.0), None)
    return list(classes.values())


def _together(places: Sequence[NDArray[np.bool_]]) -> list[list[int]]:
    """Classes that show in the same places: each joins those that share most of their places with it."""
    groups: list[list[int]] = []
    for i in sorted(range(len(places)), key=lambda i: -int(places[i].sum())):
        for group in groups:
            both, either = places[i] & places[group[0]], places[i] | places[group[0]]
            if both.sum() > settings.SETTINGS.ordered_regions.same_places * either.sum():
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def _smallest(fractions: Sequence[Floats]) -> Floats | None:
    """The smallest superlattice that has waves at all these fractions."""
    every = np.array(fractions)
    for matrix in sublattices_to(settings.SETTINGS.satellites.largest_index):
        node = every @ matrix.T
        if np.abs(node - np.rint(node)).max() < 1e-4:
            return matrix
    return None


def _plateau(power: Floats) -> float:
    """Power in the middle of where a wave shows."""
    highest = float(np.quantile(power, _HIGHEST_QUANTILE))
    return max(float(np.median(power[power > _SHOWN * highest])), 1e-6) if highest > 0 else 1e-6


def _disc(widths: float) -> NDArray[np.bool_]:
    """A disc of a radius in widths of the Gaussian, on places half a width apart."""
    radius = 2 * widths
    reach = np.arange(-math.floor(radius), math.floor(radius) + 1)
    return np.asarray(np.hypot(reach[:, None], reach) <= radius)
