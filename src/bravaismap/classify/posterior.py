"""Posterior: from a measured cell with its covariance to the probability of each class.

A class is a statement about the shape τ of the lattice (see ``lattice``). The measured shape scatters about the true
one by the covariance of the measurement and by the distortion of the instrument, whose four components of I + ε have
the standard deviation `distortion`: an isotropic scatter of √2 `distortion` in the hyperbolic plane. The likelihood of
each class is in ``likelihood``, with what is known of scans that have not been calibrated. The five lattices are
equally likely before the measurement. The probability of ``none`` comes from the evidence for any lattice.

Two ways in which a measurement can be worse than its covariance are part of the likelihood: the covariance is an
estimate itself (3 % of the measurements scatter √6 times as far), and the lattice may be another one, a share that
grows as the evidence falls; then it is one of half or twice the cell, whose likelihoods decide which class gains.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import entr, expit, ndtri
from torch import Tensor

from bravaismap.classify import posterior_settings
from bravaismap.classify.interpolated_draws import InterpolatedDraws
from bravaismap.classify.likelihood import Shapes, likelihood
from bravaismap.compute.device import PROCESSOR
from bravaismap.conventions import Complexes, Floats
from bravaismap.lattice.basis import cell_from_basis
from bravaismap.lattice.deviation import deviation
from bravaismap.lattice.sublattices import DOUBLED, kronecker_lift, reduce_measured
from bravaismap.measure.odds import none_probability

__all__ = [
    "Cell",
    "Repeated",
    "cell",
    "cell_std",
    "class_probability",
    "sample_probability",
    "shape_covariance",
]

#: Draws of all images of all windows whose likelihoods are computed at once, on a processor and on a GPU: some 150
#: bytes for each of them.
_DRAWN_TOGETHER, _DRAWN_ON_GPU = 360_000, 30_000_000
#: Draws from which on they are interpolated: some five times as many as there are nodes then.
_INTERPOLATED = 2000


@dataclass(frozen=True)
class Cell:
    """Reduced primitive cells with standard uncertainties.

    Attributes
    ----------
    a, b, gamma, orientation : arrays, shape (n,)
        As :func:`bravaismap.lattice.basis.cell_from_basis` gives them: unit of the basis, radians.
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
    reduced, spread = reduce_measured(basis, covariance)
    a, b, gamma, orientation = cell_from_basis(reduced)
    std = cell_std(reduced, spread)
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


def cell_std(basis: Floats, covariance: Floats) -> Floats:
    """Return σ of |a|, |b|, the angle between them and the direction of a, (n, 4), for bases (n, 2, 2) as they are."""
    a, b = np.moveaxis(np.linalg.norm(basis, axis=-1), -1, 0)
    unit_a, unit_b = basis[:, 0] / a[:, None], basis[:, 1] / b[:, None]
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
    return np.asarray(np.sqrt(np.maximum(np.einsum("nki,nij,nkj->nk", rows, covariance, rows), 0)))


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
    reduced, spread = reduce_measured(basis, covariance)
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
    total = scatter + (2 * distortion**2 + posterior_settings.SETTINGS.errors.least_error**2) * np.eye(2)
    return np.asarray(tau), np.asarray(total)


def class_probability(
    basis: ArrayLike, covariance: ArrayLike, evidence: ArrayLike, distortion: float, device: str = PROCESSOR
) -> Floats:
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
    device : str
        Where it is computed.

    Returns
    -------
    array, shape (n, 6)
        In the order of :data:`~bravaismap.conventions.CLASSES`.
    """
    tau, own = (_tensor(values, device) for values in shape_covariance(basis, covariance))
    density = likelihood(Shapes(tau, own, distortion))
    related = _related_likelihood(basis, covariance, distortion, device)
    lattices = _lattice_probability(density, related, evidence)[:, 0].cpu().numpy()
    return _with_none(lattices, none_probability(evidence))


@dataclass(frozen=True)
class Repeated:
    """Class probabilities of measurements, and how they scatter where these are repeated.

    Attributes
    ----------
    probability : array, shape (n, 6)
        Of the measurements themselves, as :func:`class_probability` gives it.
    mean, std : arrays, shape (n, 6)
        Over repeated measurements.
    entropy : array, shape (n,)
        Mean over repeated measurements of the entropy of each, in nats.
    """

    probability: Floats
    mean: Floats
    std: Floats
    entropy: Floats


def sample_probability(
    basis: ArrayLike,
    covariance: ArrayLike,
    evidence: ArrayLike,
    distortion: float,
    samples: int,
    seed: int,
    device: str = PROCESSOR,
) -> Repeated:
    """Return the class probabilities and how they scatter over repeated measurements.

    Each draw scatters the measured shape by its own covariance, and the evidence by its own fluctuation, and is
    classified as the measurement was: the spread says what another image of the same crystal could have given. It
    stands where the standard deviation over Monte-Carlo dropout passes stands for a network. The draws are spread
    evenly over the distribution, so that a hundred do the work of many hundreds of random ones, and the scatter of the
    evidence, which is independent, is integrated.

    Parameters
    ----------
    basis, covariance, evidence, distortion, device
        As for :func:`class_probability`.
    samples : int
        Draws for each window; the same ones for every window, so the answer for a window does not depend on others.
    seed : int

    Returns
    -------
    Repeated
    """
    tau, own = (_tensor(values, device) for values in shape_covariance(basis, covariance))
    related = _related_likelihood(basis, covariance, distortion, device)
    draws = _tensor(_draws(samples, seed), device)
    shapes = Shapes(tau, own, distortion, moved=True)
    middle = _lattice_probability(likelihood(shapes), related, evidence)
    moments = _moments(shapes, middle, related, evidence, draws)
    lattices, sums, squares, doubts = (part.cpu().numpy() for part in (middle[:, 0], *moments))
    # the shape and the evidence scatter independently
    evidence = np.asarray(evidence, float)[:, None]
    none = none_probability(evidence + np.sqrt(2 * np.maximum(evidence, 1)) * _QUANTILES)
    any_lattice, both = 1 - none.mean(1), ((1 - none) ** 2).mean(1)
    mean = _with_none(sums, none.mean(1))
    power = np.concatenate([squares * both[:, None], (none**2).mean(1)[:, None]], axis=-1)
    doubt = (entr(none) + entr(1 - none)).mean(1) + any_lattice * doubts
    probability = _with_none(lattices, none_probability(evidence[:, 0]))
    return Repeated(probability, mean, np.sqrt(np.maximum(power - mean**2, 0)), doubt)


def _moments(
    shapes: Shapes, middle: Tensor, related: Tensor, evidence: ArrayLike, draws: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Means over draws of the probability of each lattice, of its square, (n, 5), and of the entropy, (n,).

    `middle` is the probability of the measurement itself, (n, 1, 5).
    """
    total = shapes.own.new_zeros(len(shapes.tau), 5)
    square, entropy = torch.zeros_like(total), torch.zeros_like(total[:, 0])
    middle = middle.to(torch.float32)
    for rows, p in _drawn(shapes, related, evidence, draws):
        change = p - middle[rows]  # in single precision a small σ would be lost in the squares of p itself
        total[rows] += change.sum(1, dtype=total.dtype)
        square[rows] += change.square().sum(1, dtype=total.dtype)
        entropy[rows] += torch.special.entr(p).sum((1, 2), dtype=total.dtype)
    total, square, entropy = (part / len(draws) for part in (total, square, entropy))
    about = middle[:, 0].to(total.dtype)
    return about + total, square + 2 * about * total + about.square(), entropy


def _drawn(shapes: Shapes, related: Tensor, evidence: ArrayLike, draws: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield the probability of the lattices at some of the draws, (rows, draws, 5), and of which windows.

    Many draws are interpolated, see :mod:`bravaismap.classify.interpolated_draws`.
    """
    together = _DRAWN_TOGETHER if draws.device.type == PROCESSOR else _DRAWN_ON_GPU
    if len(draws) >= _INTERPOLATED:
        about = InterpolatedDraws.of(draws)
        logs = [p.clamp_min(1e-30).log() for _, p in _at(shapes, related, evidence, about.nodes, together)]
        values, most = torch.cat(logs, dim=1).permute(1, 2, 0), max(1, together // len(draws))
        for first in range(0, len(shapes.tau), most):
            rows = slice(first, first + most)
            yield rows, about.at_draws(values[..., rows]).softmax(1).permute(2, 0, 1)
        return
    yield from _at(shapes, related, evidence, draws, together)


def _at(
    shapes: Shapes, related: Tensor, evidence: ArrayLike, draws: Tensor, together: int
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the same of all windows, computed for each draw."""
    tau, root = shapes.tau, torch.linalg.cholesky(shapes.own)
    for batch in torch.split(draws, max(1, together // max(len(shapes.window), 1))):
        right, up = torch.einsum("nij,sj->ins", root, batch)
        moved = tau[:, None] + tau.imag[:, None] * torch.complex(right, up.clamp_min(-0.9))
        yield slice(None), _lattice_probability(likelihood(shapes, moved), related, evidence)


#: Standard normal quantiles: the scatter of the evidence.
_QUANTILES = ndtri((np.arange(101) + 0.5) / 101)


def _draws(samples: int, seed: int) -> Floats:
    """Standard normal draws (samples, 2) from an evenly spread sequence with a random shift."""
    ratio = 1.324717957244746  # x³ = x + 1
    steps = np.arange(1, samples + 1)[:, None] * ratio ** -np.arange(1.0, 3.0)
    even = (np.random.default_rng(seed).random(2) + steps) % 1
    return np.asarray(ndtri(even.clip(1e-9, 1 - 1e-9)))


def _with_none(lattices: Floats, none: Floats) -> Floats:
    return np.concatenate([lattices * (1 - none[..., None]), none[..., None]], axis=-1)


def _lattice_probability(density: Tensor, related: Tensor, evidence: ArrayLike) -> Tensor:
    """Probability of the five lattices from the likelihoods of the one measured (n, draws, 5) and its relatives."""
    mistaken = _tensor(_mistaken(np.asarray(evidence, float)), density.device)[:, None, None]
    other = mistaken * (related[:, None] + posterior_settings.SETTINGS.errors.mistaken_likelihood)
    mixed = (1 - mistaken).to(density.dtype) * density + other.to(density.dtype)
    return mixed / mixed.sum(-1, keepdim=True)


def _mistaken(evidence: Floats) -> Floats:
    """Share of the measurements of this evidence that are of another lattice than the crystal's."""
    errors = posterior_settings.SETTINGS.errors
    doubt = expit((errors.mistaken_evidence - evidence) / errors.mistaken_width)
    return np.asarray(errors.least_mistaken + errors.more_mistaken * doubt)


def _related_likelihood(basis: ArrayLike, covariance: ArrayLike, distortion: float, device: str) -> Tensor:
    """Mean likelihood of the three lattices of half or twice the cell (these have the same shapes), (n, 5).

    A measurement that is mistaken has, as a rule, left out every second row of nodes or added one in between.
    """
    basis, covariance = np.asarray(basis, float), np.asarray(covariance, float)
    related = (DOUBLED[:, None] @ basis).reshape(-1, 2, 2)
    wide = kronecker_lift(DOUBLED)[:, None]
    spread = (wide @ covariance @ np.swapaxes(wide, 2, 3)).reshape(-1, 4, 4)
    tau, scatter = (_tensor(values, device) for values in shape_covariance(related, spread, distortion))
    density = likelihood(Shapes(tau, scatter, 0.0, scales=((1.0, 1.0),)))
    return density.reshape(len(DOUBLED), -1, 5).mean(0)


def _tensor(values: ArrayLike, device: str | torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


def _folded(tau: Complexes) -> Complexes:
    return np.asarray(np.abs(tau.real) + 1j * tau.imag)
