"""Modulation: waves between the spots of a lattice that need fit no superlattice of it, with their wave vectors.

A charge density wave, a layer that fits its neighbour badly or a wave of order changes the atoms of a crystal with a
period of its own. Its satellites lie at G + m q about the spots G of the crystal, m = ±1, ±2, with the same q about all
of them, and are indexed by h, k and the orders m (P. M. de Wolff, T. Janssen, A. Janner, Acta Cryst. A37, 625 (1981)).
The reciprocal vectors and the wave vectors are fitted together to all spots, so that strain and drift, which both
share, leave q alone. A rational q is that of a superlattice. Whether it is one is the ratio of two likelihoods: that at
the rational wave vectors, over all superlattices of up to some cells, each of which has its share of a prior, and that
of any q, averaged over the cell of the reciprocal lattice. The more superlattices there are near a q, the less any of
them is believed. A modulation runs through a crystal, so that its satellites are as sharp as the spots: those of order
in domains, which have neighbours of their own, are none of it.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logsumexp
from torch import Tensor

from bravaismap.conventions import Floats
from bravaismap.lattice.basis import reduce_basis
from bravaismap.lattice.sublattices import sublattices_to
from bravaismap.measure import settings
from bravaismap.measure.nodes import level_at, node_orders, node_power
from bravaismap.measure.satellites import mean_spectrum, satellites, sharpness
from bravaismap.measure.spots import Spectrum, standardize

__all__ = ["Modulation", "modulation_of", "refined_places"]

#: Standard uncertainty of the frequency of a wave in a Hann taper, in bins, times the root of its power over the noise:
#: √(∫w²n² / 2∫w²)·∫w / ∫wn² / 2π over the taper w, n from −1/2 to 1/2.
_FREQUENCY_ERROR = 0.487
#: Curvature of the logarithm of that power, 8π²∫wn² / ∫w, per bin²; the largest width that is counted, over that of a
#: wave through all of an image; and how much a distance of its middle from that of the image adds, ∫w² / ∫w²n².
_CURVATURE, _WIDEST, _OFF_CENTRE = 2.58, 3.0, 50.0
#: By how much more than noise explains wave vectors scatter, in crystals whose atoms lie off their sites by 1.5 % of a
#: cell (``benchmarks/modulations.py``).
_SCATTER = 1.1
#: Standard deviations within which a wave is that of a superlattice.
_FARTHEST = 4.0
#: Lines of small indices in a reduced reciprocal basis, those of mirrors of square and hexagonal lattices among them.
_LINES = ((1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2), (2, -1), (1, -2))


@dataclass(frozen=True)
class Modulation:
    """A modulation of a crystal by one wave or two.

    Attributes
    ----------
    waves : array, shape (waves, 2)
        Wave vectors in the reciprocal basis of the lattice, the shortest of those that are the same but for a node.
    covariances : array, shape (waves, 2, 2)
    commensurate : float
        Probability that it fits a superlattice, between 0 and 1.
    matrix : int array, shape (2, 2)
        N of the most probable superlattice, N · basis, which is reduced.
    """

    waves: Floats
    covariances: Floats
    commensurate: float
    matrix: NDArray[np.intp]

    def fits(self, matrix: Floats) -> bool:
        """Return whether the waves are those of a superlattice N · basis, which N may miss by what measurements do."""
        whole = np.rint(matrix)
        node = self.waves @ whole.T
        away = (node - np.rint(node)) @ np.linalg.inv(whole).T
        misfit = np.einsum("wi,wij,wj->w", away, np.linalg.inv(self.covariances), away)
        return bool(misfit.max() < _FARTHEST**2)


def modulation_of(parts: Iterable[Tensor], basis: Floats) -> Modulation | None:
    """Return the modulation whose satellites the spectrum of an image shows, or None where it shows none.

    Parameters
    ----------
    parts : iterable of tensors, shape (n, y, x)
        Parts of one size of an image.
    basis : array, shape (2, 2)
        Of the lattice, rows, columns (y, x), in px.
    """
    crops = standardize(torch.cat(list(parts)))
    spectrum, size = mean_spectrum([crops])
    reciprocal = np.linalg.inv(basis).T * size
    position, weight = satellites(spectrum, reciprocal, size)
    indexed = _indexed(position, weight, reciprocal)
    if indexed is None:
        return None
    orders, own = indexed
    spots = _Spots.of(crops, spectrum, reciprocal, orders, position[own])
    if spots.sharp < settings.SETTINGS.satellites.sharp_satellites:
        return None
    return _fitted(spots, basis, orders.shape[1] - 2)


def _indexed(position: Floats, weight: Floats, reciprocal: Floats) -> tuple[Floats, NDArray[np.intp]] | None:
    """Orders (h, k, m …) of the satellites that one wave or two explain, and which these are; None if none do."""
    limits = settings.SETTINGS.satellites
    if len(position) < limits.fewest:
        return None
    index = position @ np.linalg.inv(reciprocal)
    fraction = index - np.rint(index)
    price = limits.least_score + math.log(len(fraction))
    waves, best, most = np.zeros((0, 2)), None, 0.0
    for count in range(1, limits.most_waves + 1):
        candidates = [np.vstack([waves, own]) for own in fraction]
        scores = [_score(own, index, weight, reciprocal) - count * price for own in candidates]
        waves = candidates[int(np.argmax(scores))]
        if max(scores) > most:
            best, most = waves, max(scores)
    if best is None:
        return None
    orders, away = _nearest_orders(best, index, reciprocal)
    own = np.flatnonzero(away < limits.reach**2)
    share = np.log1p(weight[own]).sum() / np.log1p(weight).sum()
    about = {tuple(row) for row in np.abs(orders[own][:, :2])}
    if share < limits.explained_share or len(own) < limits.fewest_of_wave * len(best) or len(about) < 2:
        return None
    return orders[own], own


def _score(waves: Floats, index: Floats, weight: Floats, reciprocal: Floats) -> float:
    """What the satellites say for waves of which the last one was taken from one of them, which says nothing."""
    limits = settings.SETTINGS.satellites
    _, away = _nearest_orders(waves, index, reciprocal)
    count = len(_wave_orders(len(waves)))
    chance = 2 * math.pi * limits.error**2 * count / abs(np.linalg.det(reciprocal))
    near = np.exp(-away / (2 * limits.error**2)) / chance
    trust = weight / (weight + limits.half_weight)
    says = trust * np.log((1 - limits.stray_share) * near + limits.stray_share)
    return float(says.sum() - len(waves) * says.max())


def _nearest_orders(waves: Floats, index: Floats, reciprocal: Floats) -> tuple[Floats, Floats]:
    """Orders (h, k, m …) of the nearest satellite of waves to each spot, and the square of its distance in bins.

    One of the first order that is near enough goes before one of the second: of a rational q they are the same.
    """
    orders = _wave_orders(len(waves))
    left = index[:, None] - orders @ waves
    node = np.rint(left)
    away = (((left - node) @ reciprocal) ** 2).sum(-1)
    nearest = (away + (np.abs(orders).sum(1) - 1) * settings.SETTINGS.satellites.reach**2).argmin(1)
    rows = np.arange(len(index))
    return np.hstack([node[rows, nearest], orders[nearest]]), away[rows, nearest]


@functools.cache
def _wave_orders(waves: int) -> Floats:
    """Orders m of the satellites of so many waves, up to the second."""
    every = itertools.product(range(-2, 3), repeat=waves)
    return np.array([own for own in every if 0 < sum(map(abs, own)) <= 2], float)


@dataclass(frozen=True)
class _Spots:
    """Spots of a lattice and its modulation: orders (n, 2 + waves), positions in bins (n, 2) and their variances.

    And how sharp the satellites are: those of order in domains are not.
    """

    orders: Floats
    position: Floats
    variance: Floats
    sharp: float

    @classmethod
    def of(cls, crops: Tensor, spectrum: Spectrum, reciprocal: Floats, orders: Floats, position: Floats) -> _Spots:
        """Return the satellites at positions, and the clearest spots of the lattice, as precise as their power lets."""
        limits = settings.SETTINGS.satellites
        nodes = node_orders(limits.highest_index)
        place = (nodes @ torch.from_numpy(reciprocal).float()).to(crops.device)[None]
        power, seen = node_power(spectrum, place)
        clearest = torch.where(seen, power, 0.0)[0].topk(limits.fitted_spots).indices.cpu()
        whole = np.hstack([nodes.numpy()[clearest], np.zeros((len(clearest), orders.shape[1] - 2))])
        own = _peaks(crops, place[0].cpu().numpy()[clearest].astype(float))
        left = _without(crops, own[0])
        beside = _peaks(left, position)
        sharp = sharpness(mean_spectrum([left])[0], torch.from_numpy(beside[0]))
        peak, height, factor = (np.concatenate(pair) for pair in zip(own, beside, strict=True))
        level = level_at(spectrum, torch.from_numpy(peak).float().to(crops.device)[None])[0].cpu().numpy()
        independent = max(1.0, len(crops) / limits.overlap)
        ratio = height / level * independent
        clear = ratio > limits.clear_power
        variance = _FREQUENCY_ERROR**2 * factor / ratio
        return cls(np.vstack([whole, orders])[clear], peak[clear], variance[clear], sharp)


def refined_places(crops: Tensor, position: Floats) -> Floats:
    """Return where the mean power of Hann-tapered images is largest near positions, (n, 2), in bins.

    Parameters
    ----------
    crops : tensor, shape (n, y, x)
    position : array, shape (n, 2)
    """
    return _peaks(crops, position)[0]


def _peaks(crops: Tensor, position: Floats) -> tuple[Floats, Floats, Floats]:
    """Where the mean power of Hann-tapered images is largest near positions in bins (n, 2), that power, and a factor.

    The factor, (n,), is the variance of the place over that of a wave through the whole of an image: a wave in a part
    of it has a wider maximum, and noise from the rest of the image, far from its middle, turns its phase more.
    """
    taper = _taper(crops)
    at = torch.from_numpy(position).to(crops.device).double()
    for step in (0.5, 0.25, 0.25):
        offsets = step * torch.arange(-1, 2, device=crops.device)
        rows, columns = (
            _waves(at[:, axis, None] + offsets, side).to(torch.complex64) for axis, side in enumerate(crops.shape[1:])
        )
        along = torch.einsum("niy,pyx->pnix", rows, (crops * taper).to(torch.complex64))
        amplitude = torch.einsum("pnix,njx->pnij", along, columns)
        power = amplitude.abs().square().mean(0)
        log = power.clamp_min(1e-30).log().double()
        slope = torch.stack([log[:, 2, 1] - log[:, 0, 1], log[:, 1, 2] - log[:, 1, 0]], -1) / 2
        ends = torch.stack([log[:, 2, 1] + log[:, 0, 1], log[:, 1, 2] + log[:, 1, 0]], -1)
        bend = ends - 2 * log[:, 1, 1, None]
        at = at + step * (-slope / bend.clamp_max(-1e-6)).clamp(-1, 1)
    curvature = -bend.amax(1) / step**2
    wide = (_CURVATURE / curvature.clamp_min(_CURVATURE / _WIDEST**2)).clamp_min(1.0)
    pairs = [(amplitude[:, :, 2, 1], amplitude[:, :, 0, 1]), (amplitude[:, :, 1, 2], amplitude[:, :, 1, 0])]
    turn = torch.stack([(after * before.conj()).sum(0).angle() for after, before in pairs], -1)
    middle = (-turn / (4 * math.pi * step)) % 1 - 0.5
    factor = wide.square() * (1 + _OFF_CENTRE * middle.square().amax(1))
    return at.cpu().numpy(), power[:, 1, 1].cpu().numpy().astype(float), factor.cpu().numpy().astype(float)


def _without(crops: Tensor, position: Floats) -> Tensor:
    """Images without the waves at positions in bins (n, 2), whose sides would move the maxima beside them."""
    at = torch.from_numpy(position).to(crops.device).double()
    rows, columns = (_waves(at[:, axis], side).to(torch.complex64) for axis, side in enumerate(crops.shape[1:]))
    taper = _taper(crops)
    along = torch.einsum("ny,pyx->pnx", rows, (crops * taper).to(torch.complex64))
    amplitude = torch.einsum("pnx,nx->pn", along, columns) / taper.sum()
    waves = torch.einsum("pn,ny,nx->pyx", amplitude, rows.conj(), columns.conj())
    return crops - 2 * waves.real


def _taper(crops: Tensor) -> Tensor:
    down, right = (torch.hann_window(side, device=crops.device) for side in crops.shape[1:])
    return down[:, None] * right


def _waves(frequency: Tensor, side: int) -> Tensor:
    """Waves exp(−2πi k n / side) of frequencies in bins along a side, (..., side)."""
    return torch.exp(-2j * math.pi / side * frequency[..., None] * torch.arange(side, device=frequency.device))


def _fitted(spots: _Spots, basis: Floats, waves: int) -> Modulation | None:
    """The wave vectors that fit spots best, and whether they are those of a superlattice; None if too few are clear."""
    limits = settings.SETTINGS.satellites
    design = spots.orders
    beside = (design[:, 2:] != 0).any(1)
    kinds = np.stack([~beside, beside])
    degrees = 2 * (kinds.sum(1) - np.array([2, waves]))
    if degrees.min() <= 0 or np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    extra = np.full(2, limits.least_position_error**2)
    for _ in range(60):  # the scatter beyond noise, of nodes and of satellites, grows until the misfit is as expected
        weight = 1 / (spots.variance + extra @ kinds)
        spread = np.linalg.inv((design.T * weight) @ design)
        vectors = spread @ (design.T * weight) @ spots.position
        misfit = kinds @ (weight[:, None] * (spots.position - design @ vectors) ** 2).sum(1)
        if (misfit <= degrees).all():
            break
        extra = extra * np.clip(1.01 * np.sqrt(misfit / degrees), 1.0, 2.0)
    reciprocal, fitted = vectors[:2], vectors[2:] @ np.linalg.inv(vectors[:2])
    effect = np.hstack([-fitted, np.eye(waves)])
    joint = _SCATTER**2 * effect @ spread @ effect.T
    metric = np.linalg.inv(reciprocal @ reciprocal.T)
    shortest, signs = _shortest(fitted, np.linalg.inv(basis).T)
    joint = joint * signs[:, None] * signs
    probability, matrix = _commensurate(shortest, np.kron(joint, metric), basis)
    return Modulation(shortest, joint.diagonal()[:, None, None] * metric, probability, matrix)


def _shortest(waves: Floats, reciprocal: Floats) -> tuple[Floats, Floats]:
    """The shortest waves that are the same but for a node and a sign, the larger component positive, and that sign."""
    shifts = np.array(list(itertools.product((-1, 0, 1), repeat=2)), float)
    every = (waves - np.rint(waves))[:, None] - shifts
    nearest = ((every @ reciprocal) ** 2).sum(-1).argmin(1)
    chosen = every[np.arange(len(waves)), nearest]
    signs = np.sign(chosen[np.arange(len(chosen)), np.abs(chosen).argmax(1)])
    return chosen * signs[:, None], signs


def _commensurate(waves: Floats, covariance: Floats, basis: Floats) -> tuple[float, NDArray[np.intp]]:
    """Probability that waves are those of a superlattice, and the most probable one.

    Waves lie anywhere in the cell of the reciprocal lattice, or on lines of small indices, with equal priors.
    """
    count, precision = len(waves), np.linalg.inv(covariance)
    anywhere = count * math.log(2 * math.pi) + np.linalg.slogdet(covariance)[1] / 2
    matrices, prior = _candidates(settings.SETTINGS.satellites.largest_of_waves[count - 1])
    node = np.einsum("cij,wj->cwi", matrices, waves)
    away = np.einsum("cij,cwj->cwi", np.linalg.inv(matrices), node - np.rint(node)).reshape(-1, 2 * count)
    misfit = np.einsum("ci,ij,cj->c", away, precision, away)
    rational = prior - count * np.log(np.rint(np.linalg.det(matrices)) - 1) - misfit / 2
    on_lines = [_on_lines(waves, precision, lines) for lines in itertools.product(_LINES, repeat=count)]
    price = count * math.log(len(_LINES))
    free = logsumexp([anywhere, *(own[0] - price for own in on_lines)])
    fits = logsumexp([*rational, *(own[1] - price for own in on_lines)])
    best = reduce_basis(matrices[int(rational.argmax())] @ basis)
    return float(expit(fits - free)), np.asarray(np.rint(best @ np.linalg.inv(basis)), np.intp)


def _on_lines(waves: Floats, precision: Floats, lines: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Log evidence that waves lie anywhere on lines through the centre, and at n-ths of these with a prior of 1 / n."""
    directions = np.zeros((2 * len(waves), len(waves)))
    for i, line in enumerate(lines):
        directions[2 * i : 2 * i + 2, i] = line
    along = directions.T @ precision @ directions
    place = np.linalg.solve(along, directions.T @ precision @ waves.ravel())
    beside = waves.ravel() - directions @ place
    off = -float(beside @ precision @ beside) / 2
    parts = np.arange(2, settings.SETTINGS.satellites.largest_index + 1)
    nearest = np.rint(place * parts[:, None]) / parts[:, None] - place
    misfit = np.einsum("ni,ij,nj->n", nearest, along, nearest)
    prior = -np.log((1 / parts).sum() * parts) - len(waves) * np.log(parts - 1)
    free = len(waves) / 2 * math.log(2 * math.pi) - np.linalg.slogdet(along)[1] / 2
    return off + float(free), off + float(logsumexp(prior - misfit / 2))


@functools.cache
def _candidates(largest: int) -> tuple[Floats, Floats]:
    """Matrices of all superlattices of up to so many cells, and the logarithm of the prior of each.

    All superlattices of n cells together have a share that goes as 1 / n.
    """
    matrices = np.array(sublattices_to(largest))
    index = np.rint(np.linalg.det(matrices)).astype(int)
    of_index = np.bincount(index)
    total = sum(1 / n for n in range(2, largest + 1))
    return matrices, -np.log(total * index * of_index[index])
