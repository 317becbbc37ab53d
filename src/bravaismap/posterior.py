"""Posterior: from a measured cell with its covariance to the probability of each class.

A class is a statement about the shape τ of the lattice (see ``lattice``). The measured shape scatters about the true
one by the covariance of the measurement and by the distortion of the instrument, whose four components of I + ε have
the standard deviation `distortion`: an isotropic scatter of √2 `distortion` in the hyperbolic plane. The likelihood of
a class is this Gaussian, summed over all images of the measured shape under change of basis (a scatter across the edge
of the fundamental domain comes back by reduction), integrated over the lattices of the class in closed form:

==================== ===========================================================================================
class                prior over its lattices (no length enters: the prior knows no scale)
==================== ===========================================================================================
square, hexagonal    one point
rectangular          b/a uniform over 1–2.2 (92 %), an exponential tail of ln b/a beyond
centered_rectangular angle of the two equal vectors: uniform over 35°–85° and 95°–125° (95 %), rest outside
oblique              γ uniform over 50°–90°, b/a uniform over 1–2 (89 %), a tail of ln b/a (8 %); rest anything
==================== ===========================================================================================

These are the ranges of the paper's training set, with tails so that no lattice is impossible. The five lattices are
equally likely before the measurement. The probability of ``none`` comes from the evidence for any lattice.

Two ways in which a measurement can be worse than its covariance are part of the likelihood: the covariance is an
estimate itself (a tenth of the measurements scatter √6 times as far), and the lattice may be another one, a share that
grows as the evidence falls; then it is one of half or twice the cell, whose likelihoods decide which class gains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, ndtr

from bravaismap.lattice import cell_from_basis, deviation, reduce_basis

__all__ = ["Cell", "cell", "class_probability", "none_probability", "sample_probability", "shape_covariance"]

Floats = NDArray[np.floating]
Complexes = NDArray[np.complexfloating]

_HEXAGONAL = 0.5 + 1j * np.sqrt(0.75)
_SMALLEST = 1e-5


@dataclass(frozen=True)
class Cell:
    """Reduced primitive cells with standard uncertainties.

    Attributes
    ----------
    a, b, gamma, orientation : arrays, shape (n,)
        As :func:`bravaismap.lattice.cell_from_basis` gives them: unit of the basis, radians.
    a_std, b_std, gamma_std, orientation_std : arrays, shape (n,)
    deviation : array, shape (n, 5)
        Smallest strain to each class, in %.
    deviation_std : array, shape (n,)
        Uncertainty of a deviation, in %: root mean square over directions of the shape.
    """

    a: Floats
    b: Floats
    gamma: Floats
    orientation: Floats
    a_std: Floats
    b_std: Floats
    gamma_std: Floats
    orientation_std: Floats
    deviation: Floats
    deviation_std: Floats


def cell(basis: ArrayLike, covariance: ArrayLike) -> Cell:
    """Return the reduced cell of each lattice with its standard uncertainties.

    Parameters
    ----------
    basis : array_like, shape (n, 2, 2)
    covariance : array_like, shape (n, 4, 4)
        Of the flattened basis.
    """
    reduced, spread = _reduced(basis, covariance)
    a, b, gamma, orientation = cell_from_basis(reduced)
    unit_a, unit_b = reduced[:, 0] / a[:, None], reduced[:, 1] / b[:, None]
    turn_a = np.stack([-unit_a[:, 1], unit_a[:, 0]], -1) / a[:, None]
    turn_b = np.stack([-unit_b[:, 1], unit_b[:, 0]], -1) / b[:, None]
    nothing = np.zeros_like(unit_a)
    rows = np.stack(
        [
            np.concatenate([unit_a, nothing], -1),
            np.concatenate([nothing, unit_b], -1),
            np.concatenate([turn_a, -turn_b], -1),
            np.concatenate([turn_a, nothing], -1),
        ],
        axis=1,
    )
    std = np.sqrt(np.maximum(np.einsum("nki,nij,nkj->nk", rows, spread, rows), 0))
    tau, scatter = shape_covariance(basis, covariance)
    return Cell(
        a,
        b,
        gamma,
        orientation,
        std[:, 0],
        std[:, 1],
        std[:, 2],
        std[:, 3],
        100 * deviation(_folded(tau)),
        100 * np.sqrt(np.trace(scatter, axis1=-2, axis2=-1) / 2),
    )


def shape_covariance(basis: ArrayLike, covariance: ArrayLike, distortion: float = 0.0) -> tuple[Complexes, Floats]:
    """Return the shape of each lattice and its covariance in the hyperbolic plane.

    Parameters
    ----------
    basis : array_like, shape (n, 2, 2)
    covariance : array_like, shape (n, 4, 4)
    distortion : float
        Standard deviation of each component of the instrument's linear map.

    Returns
    -------
    tau : complex array, shape (n,)
    covariance : array, shape (n, 2, 2)
        Of (dx, dy) / y at τ = x + iy.
    """
    reduced, spread = _reduced(basis, covariance)
    first = reduced[:, 0, 1] + 1j * reduced[:, 0, 0]
    second = reduced[:, 1, 1] + 1j * reduced[:, 1, 0]
    tau = second / first
    mirrored = tau.imag < 0
    by_second, by_first = 1 / first, -second / first**2
    # columns of the flattened basis: a_y, a_x, b_y, b_x; d(first) = da_x + i da_y
    slope = np.stack([1j * by_first, by_first, 1j * by_second, by_second], axis=-1)
    slope = np.where(mirrored[:, None], slope.conj(), slope)
    tau = np.where(mirrored, tau.conj(), tau)
    slope = slope / tau.imag[:, None]
    real = np.stack([slope.real, slope.imag], axis=1)
    scatter = real @ spread @ np.swapaxes(real, 1, 2)
    total = scatter + (2 * distortion**2 + _SMALLEST**2) * np.eye(2)
    return np.asarray(tau), np.asarray(total)


def class_probability(basis: ArrayLike, covariance: ArrayLike, evidence: ArrayLike, distortion: float = 0.02) -> Floats:
    """Return the probability of each class.

    Parameters
    ----------
    basis : array_like, shape (n, 2, 2)
        Measured primitive vectors, rows, any unit.
    covariance : array_like, shape (n, 4, 4)
        Of the flattened basis.
    evidence : array_like, shape (n,)
        Log likelihood ratio against "no lattice".
    distortion : float
        Standard deviation of each component of the instrument's linear map.

    Returns
    -------
    array, shape (n, 6)
        In the order of :data:`~bravaismap.conventions.CLASSES`.
    """
    tau, own = shape_covariance(basis, covariance)
    density = _density(tau, own, distortion)
    return _probability(density, _related_density(basis, covariance, distortion), np.asarray(evidence, float))


def none_probability(evidence: ArrayLike) -> Floats:
    """Return the probability that there is no lattice, from the log evidence for one."""
    return np.asarray(expit(-_ODDS_SLOPE * (np.asarray(evidence, float) - _ODDS_EVEN)))


def sample_probability(
    basis: ArrayLike,
    covariance: ArrayLike,
    evidence: ArrayLike,
    distortion: float = 0.02,
    samples: int = 5000,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of the class probabilities over repeated measurements.

    Each draw scatters the measured shape by its own covariance, and the evidence by its own fluctuation, and is
    classified as the measurement was: the spread says what another image of the same crystal could have given. It
    stands where the standard deviation over Monte-Carlo dropout passes stands for a network.

    Parameters
    ----------
    basis, covariance, evidence, distortion
        As for :func:`class_probability`.
    samples : int
        Draws for each window; the same ones for every window, so the answer for a window does not depend on others.
    seed : int

    Returns
    -------
    mean, std : arrays, shape (n, 6)
    """
    tau, own = shape_covariance(basis, covariance)
    related = _related_density(basis, covariance, distortion)
    evidence = np.asarray(evidence, float)
    draws = np.random.default_rng(seed).standard_normal((samples, 3))
    root = np.linalg.cholesky(own)
    total = np.zeros((len(tau), 6))
    square = np.zeros((len(tau), 6))
    per_pass = max(1, 200_000 // max(len(tau), 1))
    for start in range(0, samples, per_pass):
        some = draws[start : start + per_pass]
        move = np.einsum("nij,sj->nsi", root, some[:, :2])
        moved = tau[:, None] + tau.imag[:, None] * (move[..., 0] + 1j * move[..., 1].clip(-0.9))
        seen = evidence[:, None] + np.sqrt(2 * np.maximum(evidence, 1))[:, None] * some[:, 2]
        wide = np.broadcast_to(own[:, None], (*moved.shape, 2, 2)).reshape(-1, 2, 2)
        other = np.broadcast_to(related[:, None], (*moved.shape, 5)).reshape(-1, 5)
        p = _probability(_density(moved.ravel(), wide, distortion), other, seen.ravel())
        p = p.reshape(*moved.shape, 6)
        total += p.sum(1)
        square += (p**2).sum(1)
    mean = total / samples
    return mean, np.sqrt(np.maximum(square / samples - mean**2, 0))


def _probability(density: Floats, related: Floats, evidence: Floats) -> Floats:
    """Probability of each class, shape (n, 6), from the likelihoods of the lattice measured and of its relatives."""
    mistaken = _mistaken(evidence)[:, None]
    density = (1 - mistaken) * density + mistaken * (related + _ANYTHING)
    none = none_probability(evidence)[:, None]
    return np.concatenate([density / density.sum(-1, keepdims=True) * (1 - none), none], axis=-1)


def _density(tau: Complexes, own: Floats, distortion: float) -> Floats:
    """Likelihood of the five lattices, (n, 5), with tails for a covariance that is itself an estimate."""
    bent = 2 * distortion**2 * np.eye(2)
    return np.asarray(sum(share * _gaussian_density(tau, factor * own + bent) for share, factor in _SCALES))


def _related_density(basis: ArrayLike, covariance: ArrayLike, distortion: float) -> Floats:
    """Mean likelihood of the three lattices of half or twice the cell (these have the same shapes), (n, 5).

    A measurement that is mistaken has, as a rule, left out every second row of nodes or added one in between.
    """
    basis, covariance = np.asarray(basis, float), np.asarray(covariance, float)
    related = (_RELATIVES[:, None] @ basis).reshape(-1, 2, 2)
    wide = np.einsum("kij,ab->kiajb", _RELATIVES, np.eye(2)).reshape(-1, 1, 4, 4)
    spread = (wide @ covariance @ np.swapaxes(wide, 2, 3)).reshape(-1, 4, 4)
    tau, scatter = shape_covariance(related, spread, distortion)
    return np.asarray(_gaussian_density(tau, scatter).reshape(len(_RELATIVES), -1, 5).mean(0))


def _gaussian_density(tau: Complexes, scatter: Floats) -> Floats:
    """Likelihood of the five lattices, (n, 5), for a Gaussian error."""
    images, seen = _images(tau, scatter)
    return np.stack(
        [
            _point(images, seen, 1j).sum(-1),
            _line(images, seen, 0.0, np.inf, _rectangular_prior).sum(-1),
            (
                _line(*_cayley(images, seen), 0.0, np.log(3) / 2, _arc_prior)
                + _line(images - 0.5, seen, np.log(0.75) / 2, np.inf, _tall_prior)
            ).sum(-1),
            _point(images, seen, _HEXAGONAL).sum(-1),
            _oblique_prior(images).sum(-1) + _BROAD,
        ],
        axis=-1,
    )


# --- images of a shape under change of basis -------------------------------------------------------------------------


def _words() -> Floats:
    """Maps to the domains around the fundamental one: words of at most four reflections, as (p, q, r, s, mirror)."""
    # −τ̄, 1 − τ̄ and 1/τ̄ as τ → (r + sτ)/(p + qτ) of τ or (mirror) of −τ̄
    generators = [((1, 0, 0, 1), 1), ((1, 0, 1, 1), 1), ((0, 1, -1, 0), 1)]
    found: set[tuple[tuple[int, ...], int]] = {((1, 0, 0, 1), 0)}
    latest = set(found)
    for _ in range(4):
        new: set[tuple[tuple[int, ...], int]] = set()
        for (p, q, r, s), mirror in latest:
            for (p2, q2, r2, s2), _m in generators:
                # generator after word: first −conj (flips the signs of q, r of the word), then its map
                word = (p, -q, -r, s)
                matrix: tuple[int, ...] = (
                    p2 * word[0] + q2 * word[2],
                    p2 * word[1] + q2 * word[3],
                    r2 * word[0] + s2 * word[2],
                    r2 * word[1] + s2 * word[3],
                )
                first = next(v for v in matrix if v)
                new.add((tuple(int(np.sign(first)) * v for v in matrix), 1 - mirror))
        latest = new - found
        found |= new
    return np.array(sorted((*matrix, mirror) for matrix, mirror in found), float)


_WORDS = _words()


def _images(tau: Complexes, scatter: Floats) -> tuple[Complexes, Floats]:
    """Images of each shape and the covariance there, (n, images) and (n, images, 3) as (xx, xy, yy)."""
    p, q, r, s, mirror = _WORDS.T
    at = np.where(mirror > 0, -tau.conj()[:, None], tau[:, None])
    below = p + q * at
    image = (r + s * at) / below
    xx, xy, yy = (scatter[:, i, j][:, None] for i, j in ((0, 0), (0, 1), (1, 1)))
    xy = np.where(mirror > 0, -xy, xy)
    return image, _rotated(xx, xy, yy, np.abs(below) ** 2 / below**2)


def _rotated(xx: Floats, xy: Floats, yy: Floats, phase: Complexes) -> Floats:
    """Covariance in a frame turned by a unit complex number."""
    c, s = phase.real, phase.imag
    return np.stack(
        [
            c * c * xx - 2 * c * s * xy + s * s * yy,
            c * s * (xx - yy) + (c * c - s * s) * xy,
            s * s * xx + 2 * c * s * xy + c * c * yy,
        ],
        axis=-1,
    )


def _cayley(images: Complexes, seen: Floats) -> tuple[Complexes, Floats]:
    """Map the arc |τ| = 1 to the imaginary axis, i to i and the hexagonal point to i√3."""
    phase = 2 / (1 - images) ** 2
    phase = phase / np.abs(phase)
    return (1 + images) / (1 - images), _rotated(seen[..., 0], seen[..., 1], seen[..., 2], phase)


def _folded(tau: Complexes) -> Complexes:
    return np.asarray(np.abs(tau.real) + 1j * tau.imag)


# --- likelihood of a point, of a line ---------------------------------------------------------------------------------


def _point(images: Complexes, seen: Floats, point: complex) -> Floats:
    off = (images - point) / np.sqrt(images.imag * np.imag(point))
    xx, xy, yy = np.moveaxis(seen, -1, 0)
    determinant = xx * yy - xy**2
    square = (yy * off.real**2 - 2 * xy * off.real * off.imag + xx * off.imag**2) / determinant
    return np.asarray(np.exp(-0.5 * square) / (2 * np.pi * np.sqrt(determinant)))


def _line(images: Complexes, seen: Floats, low: float, high: float, prior: Callable[[Floats], Floats]) -> Floats:
    """Likelihood of the lattices on the imaginary axis, exp(low) ≤ y ≤ exp(high), with a prior density in ln y."""
    length = np.abs(images)
    across = np.arcsinh(images.real / images.imag)
    along = np.log(length)
    # frame at the image: t radial, n to the right of it
    turned = _rotated(seen[..., 0], seen[..., 1], seen[..., 2], 1j * images.conj() / length)
    xx, xy, yy = np.moveaxis(turned, -1, 0)
    at = along - xy / xx * across
    width = np.sqrt(np.maximum(yy - xy**2 / xx, 1e-14))
    inside = ndtr((high - at) / width) - ndtr((low - at) / width)
    normal = np.exp(-0.5 * across**2 / xx) / np.sqrt(2 * np.pi * xx)
    return np.asarray(normal * inside * prior(np.clip(at, low, high)))


# --- priors -----------------------------------------------------------------------------------------------------------

_BROAD = 0.03 * 6 / np.pi
_DEGREE = np.pi / 180


def _rectangular_prior(s: Floats) -> Floats:
    """Density in s = ln b/a."""
    edge = np.log(2.2)
    near = 0.92 * np.exp(np.minimum(s, edge)) / 1.2
    return np.where(s <= edge, near, 0.08 / 0.4 * np.exp(-(s - edge).clip(0) / 0.4))


def _angle_prior(theta: Floats) -> Floats:
    """Density (per radian) of the angle between the two equal vectors, folded to below 90°."""
    degrees = theta / _DEGREE
    density = np.select(
        [degrees < 35, degrees < 55, degrees < 85], [np.full_like(theta, 0.03 / 35), 0.95 / 80, 1.9 / 80], 0.02 / 5
    )
    return np.asarray(density / _DEGREE)


def _arc_prior(s: Floats) -> Floats:
    """Density in s = ln cot(θ/2) on |τ| = 1."""
    theta = 2 * np.arctan(np.exp(-s))
    return np.asarray(_angle_prior(theta) * np.sin(theta))


def _tall_prior(s: Floats) -> Floats:
    """Density in s = ln y on Re τ = 1/2, y = cot(θ/2) / 2."""
    theta = 2 * np.arctan(0.5 * np.exp(-s))
    return np.asarray(_angle_prior(theta) * np.sin(theta))


def _oblique_prior(tau: Complexes) -> Floats:
    """Density per hyperbolic area of b/a and γ uniform, at one image."""
    ratio, gamma = np.abs(tau), np.angle(tau)
    inside = (ratio >= 1) & (gamma >= 50 * _DEGREE) & (gamma <= 90 * _DEGREE)
    near = np.where(ratio <= 2, 0.89 * ratio, 0.08 / 0.4 * np.exp(-(np.log(ratio / 2)).clip(0) / 0.4))
    return np.where(inside, near * np.sin(gamma) ** 2 / (40 * _DEGREE), 0.0)


# --- evidence ---------------------------------------------------------------------------------------------------------

#: Evidence at which a lattice and none are as likely, and the slope of the log odds; fitted on simulated windows.
_ODDS_EVEN = 23.0
_ODDS_SLOPE = 0.45
#: Share of the measurements that are of another lattice than the crystal's: that of clear ones, what comes to it where
#: the evidence is least, and the evidence at half of this with the width of the fall; on held-apart simulated windows.
_MISTAKEN = (0.001, 0.3, 90.0, 12.0)
_RELATIVES = np.array([[[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 2.0]], [[1.0, 1.0], [1.0, -1.0]]])
#: Likelihood of each class for a lattice mistaken in any other way.
_ANYTHING = 1.0
#: Shares and factors of the covariances whose mixture is the error: few tiles tell a covariance, and not exactly.
_SCALES = ((0.9, 1.0), (0.1, 6.0))


def _mistaken(evidence: Floats) -> Floats:
    least, more, middle, width = _MISTAKEN
    return np.asarray(least + more * expit((middle - evidence) / width))


def _reduced(basis: ArrayLike, covariance: ArrayLike) -> tuple[Floats, Floats]:
    """Reduced bases and their covariance."""
    basis = np.asarray(basis, float)
    reduced = reduce_basis(basis)
    change = np.rint(reduced @ np.linalg.inv(basis))
    wide = np.einsum("nij,ab->niajb", change, np.eye(2)).reshape(-1, 4, 4)
    return reduced, wide @ np.asarray(covariance, float) @ np.swapaxes(wide, 1, 2)
