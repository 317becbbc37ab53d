"""Harmonics: the lattice of an image at few counts, from all its spots together.

A lattice that is fitted to a dozen bright spots is lost where no spot stands out. All its spots together may still be
far above chance. Pairs of the highest maxima of the power spectrum, and finer lattices in which they are not the
fundamentals, are ranked by the evidence of all their nodes: the log likelihood ratio of structure factors that are
drawn from Wilson's law K exp(−B k²), with the law that suits them best, against noise alone. The best are refined to
the lattice of most evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, maximum_filter, zoom

from bravaismap.conventions import Complexes, Floats
from bravaismap.errors import InputError
from bravaismap.lattice import reciprocal, reduce_basis
from bravaismap.lattice.sublattices import DIVIDED, kronecker_lift
from bravaismap.measure.agreement import CommonLattice
from bravaismap.measure.measurement import measure
from bravaismap.measure.whole_image import has_parts, measure_whole
from bravaismap.motif.phase import HIGHEST, half_plane

__all__ = ["HarmonicLattice", "lattice_of_all_spots", "lattice_of_image", "refined_lattice"]

#: Maxima of the spectrum that are paired.
_SPOTS = 24
#: Largest index of the nodes by which pairs are ranked, nodes of a candidate that is refined, candidates, and steps.
_HIGHEST_INDEX, _NODES, _REFINED, _STEPS = 5, 90, 6, 5
#: Shortest vector of a lattice in px, least sine of its angle, and fewest cells of it in the image.
_SHORTEST, _LEAST_SINE, _FEWEST_CELLS = 3.0, 0.25, 8.0
#: σ of the background that is taken away, in sides of the image.
_BACKGROUND = 1 / 12
#: Blocks to a σ of it, on which it is worked out.
_BLOCKS_OF_BACKGROUND = 8.0
#: Bins of the padded spectrum along a block, whose median is the noise there.
_BLOCK = 24
#: Evidence by a dozen spots up to which all of them are asked, and below which that lattice is none: a wide search
#: finds up to 13 in noise.
_DOUBTFUL, _LEAST = 100.0, 20.0
#: Evidence of all spots below which there is no lattice (of 100 images of noise of 64 to 340 px none had more than 26),
#: and of those beside any one line through the centre, which fringes have alone.
#: And evidence above which it cannot be that of a faint crystal, whose bright spots would show: it is hum, or dirt.
_LEAST_OF_ALL, _LEAST_BESIDE, _MOST_OF_ALL = 30.0, 12.0, 800.0
#: Strain by which a refined basis is another lattice.
_STRAYED = 0.02
#: Factor on the covariance: counts are noisy where atoms are bright, which makes the errors of all nodes alike. From
#: patterns on a dark ground of 3 and 10 counts to an atom.
_ALIKE = 2.0
#: Strengths K over the noise, and the exponent B k² at the highest frequency, of the laws that are tried.
_STRENGTHS, _FALLS = np.geomspace(0.1, 1e4, 16), np.array([0.0, 1.5, 4.0, 9.0, 18.0])


@dataclass(frozen=True)
class HarmonicLattice:
    """A lattice with the evidence of all its nodes.

    Attributes
    ----------
    basis : array, shape (2, 2)
        Reduced, in px, rows = vectors (y, x).
    covariance : array, shape (4, 4)
        Of the flattened basis, px².
    evidence : float
        Log likelihood ratio against noise.
    beside : float
        Part of it that is not of the nodes on one line through the centre.
    """

    basis: Floats
    covariance: Floats
    evidence: float
    beside: float


@dataclass(frozen=True)
class _Waves:
    """An image free of background, as it is searched for waves.

    Attributes
    ----------
    image, weight : arrays, shape (y, x)
    noise : array
        Power of the noise in the padded spectrum, block by block.
    power : array
        Padded spectrum.
    spread : array, shape (2, 2)
        Covariance of the places of pixels, px².
    """

    image: Floats
    weight: Floats
    noise: Floats
    power: Floats
    spread: Floats

    def over_noise(self) -> Floats:
        """Return the padded spectrum over its noise."""
        ratio = np.array(self.power.shape) / self.noise.shape
        return np.asarray(self.power / zoom(self.noise, ratio, order=1, mode="grid-wrap", grid_mode=True))

    def noise_at(self, k: Floats) -> Floats:
        """Return the power of the noise at reciprocal vectors (n, 2), in cycles per px."""
        place = (k % 1.0).T * np.array(self.noise.shape)[:, None] - 0.5
        return np.asarray(map_coordinates(self.noise, place, order=1, mode="grid-wrap"))

    def transformed(self, k: Floats) -> tuple[Complexes, Complexes]:
        """Return Σ image · exp(2πi k·r), (n,), and its derivative by k, (n, 2)."""
        lines = [np.arange(side) - (side - 1) / 2 for side in self.image.shape]
        down, across = (np.exp(2j * np.pi * k[:, axis, None] * line) for axis, line in enumerate(lines))
        partial = across @ self.image.T
        value = (down * partial).sum(axis=1)
        by_y = (2j * np.pi * lines[0] * down * partial).sum(axis=1)
        by_x = (down * ((2j * np.pi * lines[1] * across) @ self.image.T)).sum(axis=1)
        return value, np.stack([by_y, by_x], axis=-1)


def lattice_of_image(image: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return the lattice of an image that is one crystal: the reduced basis in px, and its covariance (4, 4).

    Where the bright spots that :func:`bravaismap.measure.measurement.measure` uses leave doubt, the parts of a large
    image are asked, and then all spots.

    Parameters
    ----------
    image : array, shape (y, x)
    weight : array, shape (y, x)
        1 for the pixels that count, 0 for the others.

    Raises
    ------
    InputError
        If there is no lattice.
    """
    mean = float((image * weight).sum() / weight.sum())
    measured = measure(torch.from_numpy(np.where(weight > 0, image, mean))[None], widely=True)
    basis, evidence = measured.basis[0].numpy(), float(measured.evidence[0])
    plausible = bool(np.isfinite(basis).all()) and evidence > 0
    if not (plausible and evidence > _DOUBTFUL):
        common = _of_parts(image, weight)
        if common is not None:
            return common.basis, common.covariance
        found = lattice_of_all_spots(image, weight, [basis] if plausible else [])
        faint = found is not None and _LEAST_OF_ALL < found.evidence < _MOST_OF_ALL
        if found is not None and faint and found.beside > _LEAST_BESIDE:
            return found.basis, found.covariance
    if not (plausible and evidence > _LEAST):
        raise InputError(
            f"no lattice was found (log likelihood ratio {evidence:.1f}), so there is no cell to average; show a part "
            "with more cells, or give `basis` in px or `mask` to bravaismap.motif in Python"
        )
    reduced = reduce_basis(basis)
    turn = kronecker_lift(reduced @ np.linalg.inv(basis))
    return reduced, np.asarray(turn @ measured.covariance[0].numpy() @ turn.T)


def _of_parts(image: Floats, weight: Floats) -> CommonLattice | None:
    """Return the lattice that the parts of a large image have in common, if it is clear."""
    if not has_parts(image.shape) or not weight.all():
        return None
    lattices = measure_whole(torch.from_numpy(image)).lattices
    return lattices[0] if lattices and lattices[0].evidence > _DOUBTFUL else None


def lattice_of_all_spots(image: Floats, weight: Floats, others: list[Floats] | None = None) -> HarmonicLattice | None:
    """Return the lattice whose nodes together have the most evidence, or None if there is no candidate.

    Parameters
    ----------
    image : array, shape (y, x)
    weight : array, shape (y, x)
        1 for the pixels that count, 0 for the others.
    others : list of array, optional
        Bases (2, 2) in px that are tried besides.
    """
    waves = _waves(image, weight)
    candidates = [*(reduce_basis(basis) for basis in others or ()), *_candidates(waves)]
    fewest = weight.sum() / _FEWEST_CELLS
    refined = [_refined(waves, basis) for basis in candidates if abs(np.linalg.det(basis)) < fewest]
    return max((each for each in refined if each is not None), key=lambda each: each.evidence, default=None)


def refined_lattice(image: Floats, weight: Floats, basis: Floats) -> HarmonicLattice | None:
    """Return the lattice near a basis whose nodes together have the most evidence; None if it strays from the basis.

    Parameters
    ----------
    image, weight : arrays, shape (y, x)
    basis : array, shape (2, 2)
        Reduced, in px, as it is known from elsewhere.
    """
    refined = _refined(_waves(image, weight), basis)
    if refined is None:
        return None
    strain = float(np.abs(refined.basis @ np.linalg.inv(basis) - np.eye(2)).max())
    return refined if strain < _STRAYED else None


def _waves(image: Floats, weight: Floats) -> _Waves:
    flat = (image - _local_mean(image, weight, _BACKGROUND * min(image.shape))) * weight
    flat = flat - weight * flat.sum() / weight.sum()
    size = tuple(2 * side for side in image.shape)
    power = np.abs(np.fft.fft2(flat, size)) ** 2
    blocks = [max(side // _BLOCK, 1) for side in size]
    rows, columns = (side // count for side, count in zip(size, blocks, strict=True))
    cut = power[: rows * blocks[0], : columns * blocks[1]].reshape(blocks[0], rows, blocks[1], columns)
    noise = np.median(cut, axis=(1, 3)) / np.log(2) + 1e-12 * power.max() + 1e-300
    lines = [np.arange(side) - (side - 1) / 2 for side in image.shape]
    y, x = np.meshgrid(*lines, indexing="ij")
    spread = np.cov(np.stack([y.ravel(), x.ravel()]), aweights=weight.ravel())
    return _Waves(flat, weight, noise, power, spread)


def _local_mean(image: Floats, weight: Floats, sigma: float) -> Floats:
    """Return the mean in a Gaussian, on blocks small against it and between them along straight lines."""
    block = max(int(sigma / _BLOCKS_OF_BACKGROUND), 1)
    edges = [np.arange(0, side, block) for side in image.shape]
    total, share = (
        gaussian_filter(np.add.reduceat(np.add.reduceat(values, edges[0], axis=0), edges[1], axis=1), sigma / block)
        for values in (image * weight, weight)
    )
    mean: Floats = total / (share + 1e-6 * block**2)
    for axis, (first, side) in enumerate(zip(edges, image.shape, strict=True)):
        centers = (first + np.append(first[1:], side) - 1) / 2
        mean = _along_lines(mean, centers, np.arange(side), axis)
    return mean


def _along_lines(values: Floats, centers: Floats, places: NDArray[np.int64], axis: int) -> Floats:
    """Return values at places between the centres along an axis, and beyond them those of the outermost."""
    if len(centers) == 1:
        return np.repeat(values, len(places), axis)
    low = np.clip(np.searchsorted(centers, places) - 1, 0, len(centers) - 2)
    part = np.clip((places - centers[low]) / (centers[low + 1] - centers[low]), 0, 1)
    part = part[:, None] if axis == 0 else part
    return np.asarray(np.take(values, low, axis) * (1 - part) + np.take(values, low + 1, axis) * part)


def _candidates(waves: _Waves) -> list[Floats]:
    """Return the bases of the best pairs of spots, as they are ranked in the padded spectrum."""
    power = waves.over_noise()
    frequency = [np.fft.fftfreq(side) for side in power.shape]
    length = np.hypot(frequency[0][:, None], frequency[1])
    least = 2 / min(waves.image.shape)
    high = maximum_filter(power, 3, mode="wrap")
    half = (frequency[0][:, None] > 0) | ((frequency[0][:, None] == 0) & (frequency[1] > 0))
    peak = (power == high) & half & (length > least) & (length < HIGHEST)
    row, column = np.nonzero(peak)
    strongest = np.argsort(-power[row, column], kind="stable")[:_SPOTS]
    spots = np.stack([frequency[0][row[strongest]], frequency[1][column[strongest]]], axis=-1)
    bases = _pairs(spots, waves.weight.sum() / _FEWEST_CELLS)
    if len(bases) == 0:
        return []
    score = _ranking(high, reciprocal(bases))
    chosen: list[Floats] = []
    for i in np.argsort(-score, kind="stable"):
        if all(_different(bases[i], other) for other in chosen):
            chosen.append(bases[i])
        if len(chosen) == _REFINED:
            break
    return chosen


def _pairs(spots: Floats, largest: float) -> Floats:
    """Return the reduced bases of pairs of spots, and of the lattices that have half or third nodes besides.

    Parameters
    ----------
    spots : array, shape (n, 2)
        In cycles per px.
    largest : float
        Area of a cell in px².
    """
    first, second = np.triu_indices(len(spots), 1)
    pairs = np.stack([spots[first], spots[second]], axis=1)
    lengths = np.linalg.norm(pairs, axis=-1).prod(axis=-1)
    pairs = pairs[np.abs(np.linalg.det(pairs)) > _LEAST_SINE * lengths]
    changes = np.concatenate([np.eye(2)[None], np.asarray(DIVIDED, float)])
    finer = (changes[:, None] @ pairs).reshape(-1, 2, 2)
    direct = reduce_basis(np.swapaxes(np.linalg.inv(finer), -1, -2)) if len(finer) else finer
    sides, area = np.linalg.norm(direct, axis=-1), np.abs(np.linalg.det(direct))
    kept = (sides.min(axis=-1) > _SHORTEST) & (area > _LEAST_SINE * sides.prod(axis=-1)) & (area < largest)
    return np.asarray(direct[kept])


def _different(basis: Floats, other: Floats) -> bool:
    """Tell whether two reduced bases are of different lattices."""
    change = basis @ np.linalg.inv(other)
    return bool(np.abs(change - np.rint(change)).max() > 0.1 or abs(abs(np.linalg.det(change)) - 1) > 0.1)


def _ranking(high: Floats, bases: Floats) -> Floats:
    """Return the evidence of each reciprocal basis (n, 2, 2) in a spectrum whose bins hold the highest of their square.

    Such a bin holds about twice the noise, by which it is divided.
    """
    line = np.arange(-_HIGHEST_INDEX, _HIGHEST_INDEX + 1)
    orders = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    orders = orders[(orders[:, 0] > 0) | ((orders[:, 0] == 0) & (orders[:, 1] > 0))]
    k = orders @ bases
    square = (k**2).sum(axis=-1)
    place = np.rint(k * np.array(high.shape)).astype(int)
    power = high[place[..., 0] % high.shape[0], place[..., 1] % high.shape[1]] / 2
    return _most_likely(power, square, square < HIGHEST**2)[0]


def _most_likely(power: Floats, square: Floats, seen: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the evidence (...) of powers over the noise (..., n) for the law that suits them best, and S (..., n)."""
    best = np.full(power.shape[:-1], -np.inf)
    law = np.zeros_like(power)
    for fall in _FALLS / HIGHEST**2:
        shape = np.exp(-fall * square)
        for strength in _STRENGTHS:
            expected = strength * shape
            value = np.where(seen, power * expected / (1 + expected) - np.log1p(expected), 0.0).sum(axis=-1)
            better = value > best
            best = np.where(better, value, best)
            law = np.where(better[..., None], expected, law)
    return best, law


def _refined(waves: _Waves, basis: Floats) -> HarmonicLattice | None:
    """Return the lattice of most evidence near a basis: Newton steps, each node a wave through the whole region."""
    orders = half_plane(basis, _NODES)
    if len(orders) < 3:
        return None
    g = reciprocal(basis)
    best: HarmonicLattice | None = None
    for _ in range(_STEPS):
        k = orders @ g
        noise = waves.noise_at(k)
        value, slope = waves.transformed(k)
        power = np.abs(value) ** 2 / noise
        evidence, law = _most_likely(power, (k**2).sum(axis=1), np.ones(len(k), bool))
        worth = law / (1 + law)
        step = np.einsum("n,ni,nj->ij", 2 * worth / noise, orders, (np.conj(value)[:, None] * slope).real)
        held = 8 * np.pi**2 * np.einsum("n,ni,nj->ij", worth * power, orders, orders)
        information = np.kron(held, waves.spread) + 1e-9 * np.eye(4) * np.trace(held)
        if best is None or float(evidence) > best.evidence:
            covariance = _covariance(waves, orders, power, worth, g)
            best = HarmonicLattice(np.linalg.inv(g).T, covariance, float(evidence), _beside(orders, power, law))
        g = g + np.linalg.solve(information, step.ravel()).reshape(2, 2)
        if abs(np.linalg.det(g)) < 1e-9 or not np.isfinite(g).all():
            break
    return best


def _beside(orders: NDArray[np.int64], power: Floats, law: Floats) -> float:
    """Return the evidence of the nodes that do not lie on the line through the centre which has most."""
    each = power * law / (1 + law) - np.log1p(law)
    on_line = orders[:, None, 0] * orders[:, 1] == orders[:, None, 1] * orders[:, 0]
    return float(each.sum() - (on_line @ each).max())


def _covariance(waves: _Waves, orders: NDArray[np.int64], power: Floats, worth: Floats, g: Floats) -> Floats:
    """Return the covariance of the flattened direct basis: that of a maximum of the weighted powers of noisy waves."""
    signal = worth**2 * power + worth  # mean of |F|² over the noise, given F with noise
    outer = np.einsum("ni,nj->nij", orders, orders)
    curvature = 8 * np.pi**2 * np.einsum("n,nij->ij", worth * signal, outer)
    scatter = 8 * np.pi**2 * np.einsum("n,nij->ij", worth**2 * (signal + 1), outer)
    within = np.linalg.inv(curvature + 1e-12 * np.trace(curvature) * np.eye(2) + 1e-300 * np.eye(2))
    direct = np.linalg.inv(g).T
    chain = -np.einsum("ia,bj->ijba", direct, direct).reshape(4, 4)  # dB = −B dGᵀ B
    return np.asarray(_ALIKE * chain @ np.kron(within @ scatter @ within, np.linalg.inv(waves.spread)) @ chain.T)
