"""Structure factors: the Fourier components of a periodic pattern, with the noise of each.

F(h) is the mean over the cell of the image times exp(2πi h·x), as in the International Tables. All orders are fitted to
the pixels together by least squares, which few or missing cells do not bias. Slow background, and offsets of the rows
of a scan, are fitted along.

The variance of F(h) is the power of what the pattern leaves, between the nodes around h. Counts are noisier where atoms
are bright, so that structure factors have correlated errors, C(h, h') ∝ V(h − h') with V the transform of the variance
over the cell; it is taken as a straight line of the pattern's brightness.

How strong a structure factor may be expected to be at its distance from the centre is Wilson's law, S = K exp(−B k²).

References
----------
A. J. C. Wilson, Nature 150, 152 (1942).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline
from scipy.linalg import lu_factor, lu_solve
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize

from bravaismap.conventions import Complexes, Floats, Integers
from bravaismap.errors import InputError
from bravaismap.lattice import reciprocal
from bravaismap.motif.averaging import Fold, fold_pixels, synthesis
from bravaismap.motif.phase import LocalPhase, Region, half_plane, local_phase

__all__ = [
    "PatternFit",
    "StructureFactors",
    "error_covariance",
    "fit_pattern",
    "noise_variance",
    "structure_factors",
    "telling_orders",
    "wilson",
]

Numbers = NDArray[np.int64] | NDArray[np.floating]

_ORDERS = 220  # of a half plane, at most
#: Turns of pattern and background; more where rows have offsets, which look like waves at first.
_ROUNDS, _MOST_ROUNDS = 2, 5
#: Variance of row means over what pixel noise gives them, from which rows are taken to have offsets of their own.
_ROWS_DIFFER = 2.0
#: Bins around a node that its own wave may fill, and the half width of the neighbourhood that gives its noise.
_OWN, _AROUND = 1.3, 3.0
_STREAK = 3.0  # errors of its mean by which a streak must be above the power around it
_BLOCKS = 4.0  # blocks to a σ, on which the slow background is worked out
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
    rows : array, shape (y,)
        Offsets of the rows, a part of the background.
    weight : array, shape (y, x)
    basis : array, shape (2, 2)
    """

    phase: LocalPhase
    orders: Integers
    factors: Complexes
    pattern: Floats
    background: Floats
    residual: Floats
    rows: Floats
    weight: Floats
    basis: Floats

    @functools.cached_property
    def power(self) -> Floats:
        """Power spectrum of the residual."""
        return np.asarray(np.abs(np.fft.fft2(self.residual)) ** 2)

    @functools.cached_property
    def variance(self) -> Floats:
        """Variance of each complex structure factor, (n,)."""
        return noise_variance(self, self.orders)

    @functools.cached_property
    def law(self) -> tuple[float, float]:
        """Ln K and B (px²) of Wilson's law, of most likelihood."""
        intensity, square = np.abs(self.factors) ** 2, self.square_of(self.orders)
        unit = float(square.max())
        start = np.log(max(np.average(np.maximum(intensity - self.variance, 0), weights=1 / (unit + square)), 1e-300))

        def unlikely(parameters: Floats) -> float:
            mean = np.exp(np.clip(parameters[0] - parameters[1] * square / unit, -690, 690)) + self.variance
            return float((np.log(mean) + intensity / mean).sum())

        found = min(
            (minimize(unlikely, [start + fall / 3, fall], method="Nelder-Mead") for fall in (1.0, 8.0)),
            key=lambda result: float(result.fun),
        )
        return float(found.x[0]), float(found.x[1]) / unit

    @functools.cached_property
    def variation(self) -> Complexes:
        """Transform V(h) / V(0) of the pixel variance over the cell, on a grid of orders."""
        return _variance_over_cell(self)

    def square_of(self, orders: Numbers) -> Floats:
        """Return k² of orders (n, 2), in 1/px²."""
        return np.asarray(((orders @ reciprocal(self.basis)) ** 2).sum(axis=1))


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

    Raises
    ------
    InputError
        If the cell is so small that fewer than three spots lie within the Nyquist frequency.
    """
    orders = half_plane(basis, _ORDERS)
    if len(orders) < 3:
        a, b = np.linalg.norm(basis, axis=1)
        raise InputError(f"a cell of {a:.1f} × {b:.1f} px was given; expected vectors of 3 px or more")
    longest = float(np.linalg.norm(basis, axis=1).max())
    image = np.asarray(image, float)
    background = _slow(image, weight, longest)
    if phase is None:
        phase = local_phase(Region((image - background) * weight, weight, basis))
    fold = fold_pixels(phase.coordinates, int(np.abs(orders).max(initial=1)))
    solve = _LeastSquares(fold, orders, weight)
    pattern = np.zeros_like(image)
    factors = np.zeros(len(orders), complex)
    rows: Floats = np.zeros(len(image))
    for turn in range(_MOST_ROUNDS + 1):
        factors = solve(image - background)
        pattern = fold.pattern(orders, factors).reshape(image.shape)
        if turn == _MOST_ROUNDS or (turn == _ROUNDS and not rows.any()):
            break
        rest = image - pattern
        background = _slow(rest, weight, longest)
        rows = _rows(rest - background, weight)
        background = background + rows[:, None]
    residual = (image - background - pattern) * weight
    return PatternFit(phase, orders, factors, pattern, background, residual, rows, weight, basis)


def structure_factors(fit: PatternFit) -> StructureFactors:
    """Return the structure factors of a fitted pattern, and their noise.

    Orders so far out that Wilson's law expects nothing above the noise are left out.
    """
    variance, expected = fit.variance, wilson(fit, fit.orders)
    kept = telling_orders(expected, variance)
    orders, values, std = fit.orders[kept], fit.factors[kept], np.sqrt(variance[kept])
    covariance = error_covariance(fit, orders, std)
    return StructureFactors(fit.basis, orders, values, std, expected[kept], covariance)


def telling_orders(expected: Floats, variance: Floats) -> NDArray[np.bool_]:
    """Return which orders, sorted by their distance from the centre, may stand out of the noise; six at least."""
    kept = expected > _TELLING * variance
    return kept if kept.sum() >= 6 else np.arange(len(kept)) < 6


def _slow(image: Floats, weight: Floats, sigma: float) -> Floats:
    """Return a quadratic surface and the local mean in a Gaussian of what it leaves, on blocks small against it."""
    block = max(int(sigma / _BLOCKS), 1)
    edges = [np.arange(0, side, block) for side in image.shape]
    centers = [(first + np.append(first[1:], side) - 1) / 2 for first, side in zip(edges, image.shape, strict=True)]

    def blocks(values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(np.add.reduceat(values, edges[0], axis=0), edges[1], axis=1))

    count, total = blocks(weight), blocks(image * weight)
    mean = total / np.maximum(count, 1e-9)
    root = np.sqrt(count.ravel())
    terms = _quadratic(centers, image.shape).reshape(6, -1).T
    surface = np.linalg.lstsq(terms * root[:, None], mean.ravel() * root, rcond=1e-9)[0]
    rest = total - count * (terms @ surface).reshape(count.shape)
    local = gaussian_filter(rest, sigma / block, mode="constant") / (
        gaussian_filter(count, sigma / block, mode="constant") + 1e-6 * block**2
    )
    lines = [np.arange(side, dtype=float) for side in image.shape]
    y, x = _unit_places(lines, image.shape)
    down, across = y * (surface[1] + surface[3] * y), x * (surface[2] + surface[5] * x)
    background = surface[0] + down[:, None] + across + np.outer(surface[4] * y, x)
    degree = [min(3, len(line) - 1) for line in centers]
    if min(degree) == 0:
        return np.asarray(background + local.mean())
    return np.asarray(background + RectBivariateSpline(*centers, local, kx=degree[0], ky=degree[1])(*lines))


def _unit_places(lines: list[Floats], shape: tuple[int, ...]) -> list[Floats]:
    """Return places along y and x from −1 to 1."""
    return [2 * line / max(side - 1, 1) - 1 for line, side in zip(lines, shape, strict=True)]


def _quadratic(lines: list[Floats], shape: tuple[int, ...]) -> Floats:
    """Return the six terms 1, y, x, y², yx, x² of a quadratic surface at places, (6, len(y), len(x))."""
    y, x = np.meshgrid(*_unit_places(lines, shape), indexing="ij")
    return np.stack([np.ones_like(y), y, x, y**2, y * x, x**2])


def _rows(rest: Floats, weight: Floats) -> Floats:
    """Return the offset of each row, 0 for all where they differ by no more than noise lets them."""
    count = weight.sum(axis=1)
    used = count > 1
    mean = np.where(used, (rest * weight).sum(axis=1) / np.maximum(count, 1), 0.0)
    inside = (((rest - mean[:, None]) * weight) ** 2).sum() / max(weight.sum(), 1)
    between = float(np.sum(mean[used] ** 2 * count[used]) / max(used.sum(), 1))
    return mean if between > _ROWS_DIFFER * inside else np.zeros(len(rest))


class _LeastSquares:
    """The structure factors that fit pixels best, for one choice of orders and weights."""

    def __init__(self, fold: Fold, orders: Integers, weight: Floats) -> None:
        every = np.concatenate([[[0, 0]], orders, -orders])
        self._fold, self._weight, self._every = fold, weight, every
        weights = fold.transform(weight)
        apart = every[:, None] - every
        gram = weights[apart[..., 0], apart[..., 1]] + np.eye(len(every)) * 1e-6 * weights[0, 0].real
        self._gram = lu_factor(gram, check_finite=False)

    def __call__(self, values: Floats) -> Complexes:
        sums = self._fold.transform(values * self._weight)[self._every[:, 0], self._every[:, 1]]
        solved = lu_solve(self._gram, sums, check_finite=False)
        return np.asarray(solved[1 : len(self._every) // 2 + 1])


def noise_variance(fit: PatternFit, orders: Numbers, parts: int = 1) -> Floats:
    """Return the variance of complex structure factors from the power between the nodes around them.

    Where the power along the row or the column of the spectrum through a node is clearly higher, as jitter of a scan
    makes it, that is taken.

    Parameters
    ----------
    fit : PatternFit
    orders : array, shape (n, 2)
        (h, k), which may be fractions.
    parts : int
        Nodes are looked for at multiples of 1/parts, so that a superlattice is not taken for noise.
    """
    shape = np.array(fit.residual.shape)
    cell = float(np.sqrt(abs(np.linalg.det(fit.basis))))
    own = min(_OWN / float(np.sqrt(fit.weight.sum())), 0.3 / parts / cell)
    sigma = np.maximum(0.3 / cell * shape, _AROUND)
    k = orders @ reciprocal(fit.basis)
    nearest = np.rint(k * shape).astype(np.int64)
    lines = [np.arange(-reach, reach + 1) for reach in np.ceil(2 * sigma).astype(int)]
    rows, columns = ((nearest[:, axis, None] + lines[axis]) for axis in (0, 1))
    power = fit.power[(rows % shape[0])[:, :, None], (columns % shape[1])[:, None]]
    ky, kx = (rows / shape[0])[:, :, None], (columns / shape[1])[:, None]
    index = [parts * (ky * fit.basis[i, 0] + kx * fit.basis[i, 1]) for i in (0, 1)]
    off = [(part - np.rint(part)) / parts for part in index]
    g = reciprocal(fit.basis)
    distance = np.hypot(*(off[0] * g[0, axis] + off[1] * g[1, axis] for axis in (0, 1)))
    share = [np.exp(-(line**2) / (2 * width**2)) for line, width in zip(lines, sigma, strict=True)]
    around = np.where(distance > own, np.outer(*share), 0.0)
    level = (power * around).sum(axis=(1, 2)) / np.maximum(around.sum(axis=(1, 2)), 1e-9)
    for near in (np.abs(lines[0])[:, None] <= 1, np.abs(lines[1]) <= 1):
        along = around * near
        bins = along.sum(axis=(1, 2)) ** 2 / np.maximum((along**2).sum(axis=(1, 2)), 1e-9)
        streak = (power * along).sum(axis=(1, 2)) / np.maximum(along.sum(axis=(1, 2)), 1e-9)
        level = np.where(streak > level * (1 + _STREAK / np.sqrt(np.maximum(bins, 1))), streak, level)
    # offsets of rows look like a wave down the image, whose order cannot be told from them
    offsets = np.abs(np.fft.fft(fit.rows * fit.weight.sum(axis=1))) ** 2
    across = np.clip(np.abs(k[:, 1] * shape[1]), 0, 1)
    level = level + offsets[rows % shape[0]].mean(axis=1) * np.sinc(across) ** 2
    floor = 1e-12 * (np.abs(fit.factors) ** 2).max(initial=0) + 1e-300
    return np.asarray(level / fit.weight.sum() ** 2 + floor)


def wilson(fit: PatternFit, orders: Numbers) -> Floats:
    """Return the mean |F|² that Wilson's law K exp(−B k²) expects of orders (n, 2), which may be fractions.

    K and B have the most likelihood for the fitted structure factors, whose intensities are distributed exponentially
    about this law with the variance of the noise added.
    """
    level, fall = fit.law
    return np.asarray(np.exp(np.clip(level - fall * fit.square_of(orders), -690, 690)))


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


def error_covariance(fit: PatternFit, orders: Numbers, std: Floats) -> Floats:
    """Return the covariance (2n, 2n) of the real parts, then the imaginary parts, of complex structure factors.

    Parameters
    ----------
    fit : PatternFit
    orders : array, shape (n, 2)
        (h, k), which may be fractions: only orders that differ by whole numbers are correlated.
    std : array, shape (n,)
        σ of each.
    """
    variation = fit.variation
    scale = np.outer(std, std)

    def at(index: Numbers) -> Complexes:
        whole = np.rint(index).astype(int)
        near = (np.abs(index - whole) < 1e-6).all(axis=-1) & (np.abs(whole) < len(variation) // 2).all(axis=-1)
        value = variation[whole[..., 0] % len(variation), whole[..., 1] % len(variation)]
        return np.asarray(np.where(near, value, 0.0) * scale)

    conjugate, plain = at(orders[:, None] - orders), at(orders[:, None] + orders)
    return np.asarray(
        np.block(
            [
                [(conjugate + plain).real, (plain - conjugate).imag],
                [(plain + conjugate).imag, (conjugate - plain).real],
            ]
        )
        / 2
    )
