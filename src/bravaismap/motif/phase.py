"""Local phase: where in its cell every pixel lies, though the lattice is strained, drifts, or has antiphase boundaries.

The image is demodulated at each node of the lattice with a Gaussian of a few cells. What is left at a place is the
structure factor of that node times a phase, which a displacement gives to all nodes together: h φ₁ + k φ₂. The two
phases are found at each point of a coarse grid by maximum likelihood from all nodes, and give every pixel its
fractional coordinates. This is geometric phase analysis from all spots instead of two.

Structure factors are those of the International Tables: F(h) is the mean of the image times exp(2πi h·x).

References
----------
M. J. Hÿtch, E. Snoeck and R. Kilaas, Ultramicroscopy 74, 131 (1998).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RectBivariateSpline

from bravaismap.conventions import Complexes, Floats, Integers
from bravaismap.lattice import reciprocal

__all__ = ["REACH", "LocalPhase", "Region", "half_plane", "local_phase"]

#: σ of the Gaussian that follows the phase, in lengths of a cell: short against strain, and of some 80 cells' noise.
REACH = 2.5
#: Highest frequency that is looked at, in cycles per px: a little below the Nyquist frequency 0.5.
HIGHEST = 0.46
_NODES = 40  # orders nearest to the centre that are demodulated
_FOLLOWED = 20  # the strongest of them, whose phase is followed
_ROUNDS = 12
_CLEAR = 4.0  # power over noise from which a node is used to begin with
#: Error of a phase, in radians, from which it says nothing of displacements.
_LOST = 0.7


@dataclass(frozen=True)
class Region:
    """The part of an image whose motif is asked for.

    Attributes
    ----------
    image : array, shape (y, x)
        Free of background; 0 where the weight is.
    weight : array, shape (y, x)
        1 for the pixels that belong to the lattice, 0 for those that are left out.
    basis : array, shape (2, 2)
        Primitive vectors in px, rows, columns (y, x).
    """

    image: Floats
    weight: Floats
    basis: Floats

    @property
    def cell_side(self) -> float:
        """Square root of the area of the cell, in px."""
        return float(np.sqrt(abs(np.linalg.det(self.basis))))


@dataclass(frozen=True)
class LocalPhase:
    """The phase of a lattice over an image.

    Attributes
    ----------
    coordinates : array, shape (2, y, x)
        Fractional coordinates of each pixel along the two vectors of the basis; not reduced to one cell.
    followed : bool
        Whether the phase was found to vary; otherwise the lattice is taken as it is.
    std : float
        Median error of the phase on the coarse grid, in radians.
    """

    coordinates: Floats
    followed: bool
    std: float


def half_plane(basis: Floats, most: int, highest: float = HIGHEST) -> Integers:
    """Return the orders (h, k) of one of each pair ±(h, k), the nearest to the centre first, without the centre.

    Parameters
    ----------
    basis : array, shape (2, 2)
        In px.
    most : int
        How many at most; a shell of equal distance is not broken up.
    highest : float
        Largest frequency in cycles per px.
    """
    g = reciprocal(basis)
    reach = [min(int(highest * float(np.linalg.norm(vector)) + 1), 40) for vector in basis]
    h, k = np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij")
    orders = np.stack([h.ravel(), k.ravel()], axis=-1)
    orders = orders[(orders[:, 0] > 0) | ((orders[:, 0] == 0) & (orders[:, 1] > 0))]
    distance = np.linalg.norm(orders @ g, axis=1)
    rank = np.argsort(distance, kind="stable")
    rank = rank[distance[rank] <= highest]
    if len(rank) > most:
        rank = rank[distance[rank] < 0.99 * distance[rank[most]]]
    return np.asarray(orders[rank], np.int64)


def local_phase(region: Region, reach: float = REACH) -> LocalPhase:
    """Return the fractional coordinates of every pixel.

    Parameters
    ----------
    region : Region
    reach : float
        σ of the Gaussian in lengths of a cell.
    """
    sigma = reach * region.cell_side
    height, width = region.image.shape
    centers = [_centers(side, sigma) for side in (height, width)]
    orders = half_plane(region.basis, _NODES)
    uniform = _uniform(region)
    if len(orders) < 2 or len(centers[0]) * len(centers[1]) < 2:
        return LocalPhase(uniform, False, np.inf)
    waves, share = _demodulated(region, orders, centers, sigma)
    noise = _noise(region, orders, centers, sigma)
    phase, std = _aligned(waves, share, orders, noise)
    if phase is None:
        return LocalPhase(uniform, False, std)
    return LocalPhase(uniform + _spread(phase, centers, (height, width)) / (2 * np.pi), True, std)


def _uniform(region: Region) -> Floats:
    g = reciprocal(region.basis)
    y, x = (np.arange(side, dtype=float) for side in region.image.shape)
    return np.asarray(g[:, 0, None, None] * y[:, None] + g[:, 1, None, None] * x)


def _centers(side: int, sigma: float) -> Floats:
    """Places along an axis about σ apart, the outermost σ away from the edge, where a Gaussian is not cut in half."""
    inner = side - 1 - 2 * sigma
    if inner < 0.5 * sigma:
        return np.array([(side - 1) / 2])
    return np.linspace(sigma, side - 1 - sigma, int(np.ceil(inner / sigma)) + 1)


def _demodulated(
    region: Region, orders: Integers | Floats, centers: list[Floats], sigma: float
) -> tuple[Complexes, Floats]:
    """Return the local structure factors (orders, rows, columns), and the share of the weight in each Gaussian."""
    g = orders @ reciprocal(region.basis)
    kernel = []
    for side, places in zip(region.image.shape, centers, strict=True):
        line = np.exp(-((np.arange(side) - places[:, None]) ** 2) / (2 * sigma**2))
        kernel.append((line / line.sum(axis=1, keepdims=True)).astype(np.float32))
    rows, columns = kernel
    image, weight = region.image.astype(np.float32), region.weight.astype(np.float32)
    wave_x = np.exp(2j * np.pi * g[:, 1, None] * np.arange(image.shape[1])).astype(np.complex64)
    wave_y = np.exp(2j * np.pi * g[:, 0, None] * np.arange(image.shape[0])).astype(np.complex64)
    across = (wave_x[:, None] * columns).reshape(-1, image.shape[1]).T
    partial = (image @ across.real + 1j * (image @ across.imag)).reshape(image.shape[0], len(g), -1)
    share = np.asarray(rows @ weight @ columns.T, float)
    waves = np.einsum("nry,ync->nrc", wave_y[:, None] * rows, partial, optimize=True)
    return np.asarray(waves, complex) / np.maximum(share, 1e-3), share


def _noise(region: Region, orders: Integers, centers: list[Floats], sigma: float) -> Floats:
    """Return the mean power of what is between the nodes, at the distance of each node."""
    between = orders[::2] + 0.5
    g = reciprocal(region.basis)
    waves, share = _demodulated(region, between, centers, sigma)
    power = np.array([np.average(np.abs(wave) ** 2, weights=share**2 + 1e-12) for wave in waves])
    distance = np.linalg.norm(between @ g, axis=1)
    slope = np.polyfit(distance, np.log(power + 1e-30), 1) if len(between) > 3 else [0.0, np.log(power.mean() + 1e-30)]
    return np.asarray(np.exp(np.polyval(slope, np.linalg.norm(orders @ g, axis=1))))


def _aligned(waves: Complexes, share: Floats, orders: Integers, noise: Floats) -> tuple[Floats | None, float]:
    """Return the phases (2, rows, columns), None if they do not vary or cannot be told, and their median error."""
    power = np.array([np.average(np.abs(wave) ** 2, weights=share + 1e-9) for wave in waves])
    strength = np.maximum(power / noise - 1, 0)
    chosen = np.sort(np.argsort(-strength)[:_FOLLOWED])
    chosen = chosen[strength[chosen] > 0.05 * _CLEAR]
    if len(chosen) < 2 or strength.max(initial=0) < _CLEAR:
        return None, np.inf
    orders, waves, worth = orders[chosen], waves[chosen], 1 / noise[chosen]
    pair = _pair(orders, strength[chosen])
    if pair is None:
        return None, np.inf
    back = np.linalg.inv(orders[list(pair)])
    started = np.einsum("ij,jrc->irc", back, -np.angle(waves[list(pair)]))
    constant = np.zeros_like(started)
    best = None
    for start in (constant, started):
        phase, objective, information = _followed(waves, share, orders, worth, start)
        if best is None or objective > best[0]:
            best = objective, phase, information
    assert best is not None
    _, phase, information = best
    return _shrunk(phase, information, share)


def _pair(orders: Integers, strength: Floats) -> tuple[int, int] | None:
    """Return the two strongest nodes that span all of them."""
    best, found = 0.0, None
    for i, j in itertools.combinations(range(len(orders)), 2):
        spanning = abs(orders[i, 0] * orders[j, 1] - orders[i, 1] * orders[j, 0]) == 1
        if spanning and min(strength[i], strength[j]) > best:
            best, found = min(strength[i], strength[j]), (i, j)
    return found


def _turned(waves: Complexes, orders: Integers, phase: Floats) -> Complexes:
    """Return the waves without the phase of a displacement."""
    return np.asarray(waves * np.exp(1j * np.einsum("ni,irc->nrc", orders, phase)))


def _followed(
    waves: Complexes, share: Floats, orders: Integers, worth: Floats, phase: Floats
) -> tuple[Floats, float, Floats]:
    """Return the phases of most likelihood, their log likelihood, and the information (2, 2, rows, columns)."""
    likely = -np.inf
    factor = np.zeros(len(waves), complex)
    information = np.zeros((2, 2, *phase.shape[1:]))
    outer = np.einsum("ni,nj->nij", orders, orders)
    for turn in range(_ROUNDS):
        upright = _turned(waves, orders, phase)
        factor = (upright * share).sum(axis=(1, 2)) / share.sum()
        match = worth[:, None, None] * np.conj(factor)[:, None, None] * upright
        likely = float((share * match.real.sum(axis=0)).sum())
        slope = np.einsum("ni,nrc->irc", orders, match.imag)
        curve = np.einsum("nij,nrc->ijrc", outer, np.abs(match))
        information = 2 * np.einsum("nij,n->ij", outer, worth * np.abs(factor) ** 2)[..., None, None] * share
        flat = np.moveaxis(curve, (0, 1), (-2, -1)) + 1e-9 * np.eye(2) * (np.trace(curve).max() + 1e-30)
        step = np.linalg.solve(flat, np.moveaxis(slope, 0, -1)[..., None])[..., 0]
        phase = phase - np.clip(np.moveaxis(step, -1, 0), -0.7, 0.7)
        if turn in (3, 6):
            phase = _from_neighbours(waves, orders, worth, factor, phase)
    return phase, likely, information


def _from_neighbours(waves: Complexes, orders: Integers, worth: Floats, factor: Complexes, phase: Floats) -> Floats:
    """Take the phase of a neighbour where it is the likelier: what began in a wrong place is put right."""

    def likelihood(trial: Floats) -> Floats:
        match = np.conj(factor)[:, None, None] * _turned(waves, orders, trial)
        return np.asarray(np.einsum("n,nrc->rc", worth, match.real))

    best = likelihood(phase)
    for axis, shift in itertools.product((1, 2), (1, -1)):
        trial = np.roll(phase, shift, axis)
        value = likelihood(trial)
        phase = np.where(value > best, trial, phase)
        best = np.maximum(value, best)
    return phase


def _shrunk(phase: Floats, information: Floats, share: Floats) -> tuple[Floats | None, float]:
    """Return phases about their mean, shrunk by the part of their variance that is noise (James and Stein)."""
    flat = np.moveaxis(information, (0, 1), (-2, -1)) + 1e-12 * np.eye(2)
    variance = np.moveaxis(np.diagonal(np.linalg.inv(flat), axis1=-2, axis2=-1), -1, 0)
    std = float(np.sqrt(np.median(variance)))
    if not std < _LOST:
        return None, std
    weight = share / share.sum()
    mean = np.angle((np.exp(1j * phase) * weight).sum(axis=(1, 2)))[:, None, None]
    apart = np.angle(np.exp(1j * (phase - mean)))
    seen = (apart**2 * weight).sum(axis=(1, 2))
    noise = (np.minimum(variance, seen.max() + 1e-12) * weight).sum(axis=(1, 2))
    kept = np.maximum(1 - noise / np.maximum(seen, 1e-30), 0)
    kept = np.where(seen > 0.5, 1.0, kept)
    if not kept.any():
        return None, std
    return np.where(kept[:, None, None] == 1.0, phase, mean + kept[:, None, None] * apart), std


def _spread(phase: Floats, centers: list[Floats], shape: tuple[int, int]) -> Floats:
    """Return phases (2, y, x) of every pixel; beyond the outermost places they go on as straight lines."""
    turns = np.exp(1j * phase)
    places = []
    for axis, line in enumerate(centers, 1):
        if len(line) > 1:
            ends = np.take(turns, [0, -1], axis) ** 2 / np.take(turns, [1, -2], axis)
            first, last = np.split(ends, 2, axis)
            turns = np.concatenate([first, turns, last], axis)
            gap = line[1] - line[0]
            line = np.concatenate([[line[0] - gap], line, [line[-1] + gap]])
        else:
            turns = np.repeat(turns, 2, axis)
            line = line[0] + np.array([-1.0, 1.0]) * shape[axis - 1]
        places.append(line)
    degree = [min(3, len(line) - 1) for line in places]
    y, x = (np.arange(side, dtype=float) for side in shape)
    parts = [
        [RectBivariateSpline(*places, part, kx=degree[0], ky=degree[1])(y, x) for part in (turn.real, turn.imag)]
        for turn in turns
    ]
    return np.stack([np.arctan2(imaginary, real) for real, imaginary in parts])
