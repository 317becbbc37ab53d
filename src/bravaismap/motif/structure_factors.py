"""Structure factors: the Fourier components of a periodic pattern, with the noise of each.

F(h) is the mean over the cell of the image times exp(2πi h·x), as in the International Tables. All orders are fitted to
the pixels together by least squares, which few or missing cells do not bias. Slow background, and offsets of the rows of
a scan, are fitted along.

The variance of F(h) is the power of what the pattern leaves, between the nodes around h. Counts are noisier where atoms
are bright, so that structure factors have correlated errors, C(h, h') ∝ V(h − h') with V the transform of the variance
over the cell; it is taken as a straight line of the pattern's brightness.

How strong a structure factor may be expected to be at its distance from the centre is Wilson's law, S = K exp(−B k²).

References
----------
A. J. C. Wilson, Nature 150, 152 (1942).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize

from bravaismap.lattice import reciprocal
from bravaismap.motif.averaging import Fold, fold_pixels, synthesis
from bravaismap.motif.phase import LocalPhase, Region, half_plane, local_phase

__all__ = ["PatternFit", "StructureFactors", "fit_pattern", "structure_factors"]

Floats = NDArray[np.floating]
Complexes = NDArray[np.complexfloating]
Integers = NDArray[np.int64]

_ORDERS = 220  # of a half plane, at most
_ROUNDS = 2
#: Variance of row means over what pixel noise gives them, from which rows are taken to have offsets of their own.
_ROWS_DIFFER = 2.0
#: Bins around a node that its own wave may fill, and the half width of the neighbourhood that gives its noise.
_OWN, _AROUND = 1.3, 3.0
_DARKEST = 0.05  # least variance at a point of the cell, in units of the mean
#: Wilson's strength over the noise below which an order is not looked at.
_TELLING = 0.02


@dataclass(frozen=True)
class PatternFit:
    """A periodic pattern fitted to an image.

    Attributes
    ----------
    phase : LocalPhase
    orders : int array, shape (n, 2)
        Of one half plane.
    factors : complex array, shape (n,)
    pattern, background, residual : arrays, shape (y, x)
        They add up to the image where the weight is 1.
    weight : array, shape (y, x)
    basis : array, shape (2, 2)
    """

    phase: LocalPhase
    orders: Integers
    factors: Complexes
    pattern: Floats
    background: Floats
    residual: Floats
    weight: Floats
    basis: Floats


@dataclass(frozen=True)
class StructureFactors:
    """Structure factors of one half plane.

    Attributes
    ----------
    basis : array, shape (2, 2)
        The lattice, in px, rows = vectors.
    order : int array, shape (n, 2)
        (h, k).
    value : complex array, shape (n,)
    std : array, shape (n,)
        σ of the complex value: the mean of |error|² is its square.
    expected : array, shape (n,)
        Mean |F|² at that distance by Wilson's law.
    covariance : array, shape (2n, 2n)
        Of all real parts followed by all imaginary parts.
    """

    basis: Floats
    order: Integers
    value: Complexes
    std: Floats
    expected: Floats
    covariance: Floats

    @property
    def phase_std(self) -> Floats:
        """σ of the phase, in radians; at most that of a phase that is not known."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.minimum(self.std / np.sqrt(2) / np.abs(self.value), np.pi / np.sqrt(3)))


def fit_pattern(image: Floats, basis: Floats, weight: Floats, phase: LocalPhase | None = None) -> PatternFit:
    """Fit a periodic pattern, a slow background and offsets of rows to an image.

    Parameters
    ----------
    image : array, shape (y, x)
    basis : array, shape (2, 2)
        In px.
    weight : array, shape (y, x)
        1 for the pixels to be fitted, 0 for the others.
    phase : LocalPhase, optional
        Where every pixel lies in its cell; found from the image when not given.
    """
    longest = float(np.linalg.norm(basis, axis=1).max())
    image = np.asarray(image, float)
    background = _slow(image, weight, longest)
    if phase is None:
        phase = local_phase(Region((image - background) * weight, weight, basis))
    orders = half_plane(basis, _ORDERS)
    fold = fold_pixels(phase.coordinates, int(np.abs(orders).max(initial=1)))
    pattern = np.zeros_like(image)
    factors = np.zeros(len(orders), complex)
    for turn in range(_ROUNDS + 1):
        factors = _least_squares(fold, orders, image - background, weight)
        pattern = fold.pattern(orders, factors).reshape(image.shape)
        if turn < _ROUNDS:
            rest = image - pattern
            background = _slow(rest, weight, longest)
            background = background + _rows(rest - background, weight)
    residual = (image - background - pattern) * weight
    return PatternFit(phase, orders, factors, pattern, background, residual, weight, basis)


def structure_factors(fit: PatternFit) -> StructureFactors:
    """Return the structure factors of a fitted pattern, and their noise.

    Orders so far out that Wilson's law expects nothing above the noise are left out.
    """
    variance = _neighbourhood(fit)
    distance = np.linalg.norm(fit.orders @ reciprocal(fit.basis), axis=1)
    expected = _wilson(np.abs(fit.factors) ** 2, variance, distance)
    kept = expected > _TELLING * variance
    if kept.sum() < 6:
        kept = np.argsort(np.argsort(distance)) < 6
    orders, values, std = fit.orders[kept], fit.factors[kept], np.sqrt(variance[kept])
    covariance = _covariance(orders, std, _variance_over_cell(fit))
    return StructureFactors(fit.basis, orders, values, std, expected[kept], covariance)


def _slow(image: Floats, weight: Floats, sigma: float) -> Floats:
    """Return the local mean of an image in a Gaussian."""
    total = gaussian_filter(np.asarray(weight, float), sigma, mode="constant")
    mean = (image * weight).sum() / max(weight.sum(), 1)
    return np.asarray(mean + gaussian_filter((image - mean) * weight, sigma, mode="constant") / (total + 1e-6))


def _rows(rest: Floats, weight: Floats) -> Floats:
    """Return the offset of each row, 0 for all where they differ by no more than noise lets them."""
    count = weight.sum(axis=1)
    used = count > 1
    mean = np.where(used, (rest * weight).sum(axis=1) / np.maximum(count, 1), 0.0)
    inside = (((rest - mean[:, None]) * weight) ** 2).sum() / max(weight.sum(), 1)
    between = float(np.sum(mean[used] ** 2 * count[used]) / max(used.sum(), 1))
    return mean[:, None] if between > _ROWS_DIFFER * inside else np.zeros((len(rest), 1))


def _least_squares(fold: Fold, orders: Integers, values: Floats, weight: Floats) -> Complexes:
    """Return the structure factors that fit the pixels best."""
    every = np.concatenate([[[0, 0]], orders, -orders])
    weights, sums = fold.transform(weight), fold.transform(values * weight)
    apart = every[:, None] - every
    gram = weights[apart[..., 0], apart[..., 1]]
    gram = gram + np.eye(len(every)) * 1e-6 * weights[0, 0].real
    solved = np.linalg.solve(gram, sums[every[:, 0], every[:, 1]])
    return np.asarray(solved[1 : len(orders) + 1])


def _neighbourhood(fit: PatternFit) -> Floats:
    """Return the variance of each complex structure factor from the power between the nodes around it."""
    height, width = fit.residual.shape
    power = np.abs(np.fft.fft2(fit.residual)) ** 2
    own = _OWN / np.sqrt(fit.weight.sum())
    ky, kx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)
    index = np.stack([ky * fit.basis[i, 0] + kx * fit.basis[i, 1] for i in (0, 1)])
    apart = np.einsum("iyx,ij->jyx", index - np.rint(index), reciprocal(fit.basis))
    between = (np.hypot(*apart) > own).astype(float)
    spacing = 0.3 / np.sqrt(abs(np.linalg.det(fit.basis)))
    sigma = [max(spacing * side, _AROUND) for side in (height, width)]
    level = gaussian_filter(power * between, sigma, mode="wrap") / np.maximum(
        gaussian_filter(between, sigma, mode="wrap"), 1e-6
    )
    k = fit.orders @ reciprocal(fit.basis)
    row, column = (np.rint(k[:, axis] * side).astype(int) % side for axis, side in enumerate((height, width)))
    floor = 1e-12 * (np.abs(fit.factors) ** 2).max(initial=0) + 1e-300
    return np.asarray(level[row, column] / fit.weight.sum() ** 2 + floor)


def _wilson(intensity: Floats, variance: Floats, distance: Floats) -> Floats:
    """Return K exp(−B k²) of most likelihood for intensities with noise (both exponentially distributed)."""
    square = (distance / distance.max()) ** 2
    start = np.log(max(np.average(np.maximum(intensity - variance, 0), weights=1 / (1 + square)), 1e-30))

    def unlikely(parameters: Floats) -> float:
        mean = np.exp(np.clip(parameters[0] - parameters[1] * square, -700, 700)) + variance
        return float((np.log(mean) + intensity / mean).sum())

    found = min(
        (minimize(unlikely, [start + fall / 3, fall], method="Nelder-Mead") for fall in (1.0, 8.0)),
        key=lambda result: float(result.fun),
    )
    return np.asarray(np.exp(np.clip(found.x[0] - found.x[1] * square, -700, 700)))


def _variance_over_cell(fit: PatternFit) -> Complexes:
    """Return the transform V(h) / V(0) of the pixel variance over the cell, on a grid of orders."""
    used = fit.weight > 0
    pattern, square = fit.pattern[used], fit.residual[used] ** 2
    slope, level = np.polyfit(pattern, square, 1) if pattern.std() > 0 else (0.0, float(square.mean()))
    side = 1 << int(np.ceil(np.log2(4 * max(int(np.abs(fit.orders).max(initial=1)), 4) + 2)))
    over = level + slope * synthesis(fit.orders, fit.factors, (side, side))
    mean = float(np.abs(over).mean()) + 1e-300
    transform = np.fft.ifft2(np.maximum(over, _DARKEST * mean))
    return np.asarray(transform / transform[0, 0])


def _covariance(orders: Integers, std: Floats, variation: Complexes) -> Floats:
    """Return the covariance of the real and imaginary parts of structure factors."""

    def at(index: Integers) -> Complexes:
        return np.asarray(variation[index[..., 0], index[..., 1]] * np.outer(std, std))

    conjugate, plain = at(orders[:, None] - orders), at(orders[:, None] + orders)
    return np.block(
        [
            [(conjugate + plain).real, (plain - conjugate).imag],
            [(plain + conjugate).imag, (conjugate - plain).real],
        ]
    ) / 2
