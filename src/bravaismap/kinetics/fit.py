"""Least squares of a growth law, many at once: profile likelihood and bootstrap of a curve that is fitted already.

A fit, the ends of every profile-likelihood interval and all bootstrap fits are solved by one damped Gauss–Newton method
that runs over a batch of problems in step; each may hold some parameters fixed and weigh the frames its own way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtri

from bravaismap.conventions import Floats
from bravaismap.kinetics.laws import LOG_LARGEST, GrowthLaw

__all__ = [
    "LEVELS",
    "Baseline",
    "FinalRate",
    "Problem",
    "Solution",
    "bootstrap_fits",
    "final_rate",
    "profile_intervals",
    "solve",
]


#: Probabilities of the intervals: those of 1 σ and 2 σ of a normal distribution.
LEVELS: Final = (0.6827, 0.9545)
_STEPS: Final = 40  # largest number of Gauss–Newton steps
_CONVERGED: Final = 1e-7  # relative fall of χ² that the next step promises, below which the method stops
_WIDENINGS: Final = 24  # steps outward after which an interval counts as open
_LARGEST_UNIT: Final = 1e100  # unit of a search: a larger standard error leaves the interval open anyway
_ROOT_STEPS: Final = 40  # largest number of steps of the Illinois method
_ROOT_TOLERANCE: Final = 1e-4  # of the square root of the profile of χ²

#: A function over a batch of problems: (batch,) → (batch,), or (batch, parameter) → (batch, data).
BatchFunction: TypeAlias = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Baseline:
    """The frames before growth shows, which enter a fit as one datum: their mean.

    Attributes
    ----------
    time, fraction : arrays, shape (frame,)
    mean, mean_std : float
        Mean of the fractions, and its standard error.
    """

    time: Floats
    fraction: Floats
    mean: float
    mean_std: float


@dataclass(frozen=True)
class Problem:
    """A law and the data to fit it to: the frames one by one, and the mean of the baseline.

    A vector of its parameters holds the logarithm of the amplitude, the other parameters of the law (the positive ones
    as their logarithm) and C. The amplitude is what has grown at the pivot, or A itself where the pivot is None.

    Attributes
    ----------
    law : GrowthLaw
    time, fraction, sigma : arrays, shape (frame,)
        Frames that are fitted one by one, with the standard deviation of each fraction.
    baseline : Baseline, optional
    pivot : float, optional
        Time at which the amplitude is taken.
    """

    law: GrowthLaw
    time: Floats
    fraction: Floats
    sigma: Floats
    baseline: Baseline | None
    pivot: float | None

    @property
    def count(self) -> int:
        """Number of data."""
        return len(self.time) + (self.baseline is not None)

    def moved(self) -> Problem:
        """Return the same problem with A itself as its amplitude."""
        return replace(self, pivot=None)

    def physical(self, values: Floats) -> Floats:
        """Return the parameters of the law from vectors of the parameters of this problem."""
        positive = np.array(self.law.positive)
        return np.where(positive, np.exp(np.clip(values, -LOG_LARGEST, LOG_LARGEST)), values)

    def at_zero(self, values: Floats) -> Floats:
        """Return vectors of :meth:`moved` from those of this problem."""
        if self.pivot is None:
            return values
        others = list(np.moveaxis(self.physical(values), -1, 0)[1:-1])
        shape = np.maximum(self.law.log_shape(np.asarray(self.pivot), *others), -LOG_LARGEST)
        return np.concatenate([values[..., :1] - np.asarray(shape)[..., None], values[..., 1:]], axis=-1)

    def misfit(self, values: Floats, means: Floats | None = None) -> Floats:
        """Return the misfit of every datum over its σ, (..., data), of parameters (..., parameter).

        `means` (...) replaces the mean of the baseline where it differs from problem to problem.
        """
        physical = self.physical(values)[..., None]
        amplitude, constant = physical[..., 0, :], physical[..., -1, :]
        others = tuple(physical[..., i, :] for i in range(1, values.shape[-1] - 1))
        misfit = (self.fraction - amplitude * self.law.relative(self.time, self.pivot, others) - constant) / self.sigma
        if self.baseline is None:
            return np.asarray(misfit)
        grown = (amplitude * self.law.relative(self.baseline.time, self.pivot, others)).mean(axis=-1, keepdims=True)
        mean = self.baseline.mean if means is None else means[..., None]
        return np.concatenate([misfit, (mean - grown - constant) / self.baseline.mean_std], axis=-1)

    def start(self) -> Floats | None:
        """Return the best of many starts, each with the best amplitude and C for it; None if nothing grows."""
        grid = self.law.grid(float(self.time[0]), float(self.time[-1]))
        others = tuple(grid[:, i, None] for i in range(grid.shape[1]))
        shape = np.broadcast_to(self.law.relative(self.time, self.pivot, others), (len(grid), len(self.time)))
        data, weight = self.fraction, 1 / self.sigma**2
        if self.baseline is not None:
            early = self.law.relative(self.baseline.time, self.pivot, others)
            early = np.broadcast_to(early, (len(grid), len(self.baseline.time))).mean(axis=1, keepdims=True)
            shape = np.concatenate([shape, early], axis=1)
            data, weight = np.append(data, self.baseline.mean), np.append(weight, 1 / self.baseline.mean_std**2)
        middle, level = (shape @ weight / weight.sum())[:, None], (data @ weight) / weight.sum()
        spread = ((shape - middle) ** 2) @ weight
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            slope = ((shape - middle) * (data - level)) @ weight / spread
            left = ((data - level - slope[:, None] * (shape - middle)) ** 2) @ weight
        left = np.where(np.isfinite(left) & (slope > 0), left, np.inf)
        best = int(left.argmin())
        if not np.isfinite(left[best]):
            return None
        chosen = np.array(grid[best])
        positive = np.array(self.law.positive[1:-1], bool)
        chosen[positive] = np.log(chosen[positive])
        return np.array([np.log(slope[best]), *chosen, level - slope[best] * middle[best, 0]])


@dataclass(frozen=True)
class Solution:
    """The best parameters of a batch of problems.

    Attributes
    ----------
    values : array, shape (batch, parameter)
    chi_square : array, shape (batch,)
    """

    values: Floats
    chi_square: Floats


@dataclass(frozen=True)
class FinalRate:
    """The rate df/dt of a fitted curve at its last frame.

    Attributes
    ----------
    value : float
    relative_std : float
        Standard error over the rate itself; NaN where it is not known.
    """

    value: float
    relative_std: float


def solve(
    problem: Problem,
    start: Floats,
    *,
    free: NDArray[np.bool_] | None = None,
    weights: Floats | None = None,
    means: Floats | None = None,
) -> Solution:
    """Minimise χ² of a batch of problems by damped Gauss–Newton steps.

    Parameters
    ----------
    problem : Problem
    start : array, shape (batch, parameter)
    free : bool array, shape (batch, parameter), optional
        Parameters that may change; all when not given.
    weights : array, shape (batch, data), optional
        Factor on the weight 1/σ² of each datum.
    means : array, shape (batch,), optional
        Mean of the baseline in each problem.

    Returns
    -------
    Solution
    """
    values = np.array(start, float)
    root = np.sqrt(weights) if weights is not None else 1.0
    free = np.ones_like(values, bool) if free is None else free
    damping = np.full(len(values), 1e-3)

    def residual(x: Floats) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.clip(np.nan_to_num(root * problem.misfit(x, means), nan=1e9), -1e12, 1e12)

    current = residual(values)
    least = (current**2).sum(axis=1)
    for _ in range(_STEPS):
        jacobian = _jacobian(residual, values, current, free)
        square = jacobian.transpose(0, 2, 1) @ jacobian
        slope = (jacobian.transpose(0, 2, 1) @ current[..., None])[..., 0]
        diagonal = np.einsum("bii->bi", square)
        scale = np.where(free & (diagonal > 0), diagonal, 1.0)
        step = np.linalg.solve(square + (damping[:, None] * scale)[..., None] * np.eye(values.shape[1])
                               + 1e-14 * scale.max(axis=1)[:, None, None] * np.eye(values.shape[1]),
                               slope[..., None])[..., 0]  # fmt: skip
        trial = values - np.where(free, np.clip(step, -_longest_step(values), _longest_step(values)), 0.0)
        trial_residual = residual(trial)
        chi_square = (trial_residual**2).sum(axis=1)
        better = chi_square < least
        values[better], current[better] = trial[better], trial_residual[better]
        promised = (step * slope * free).sum(axis=1)  # by which a quadratic χ² would fall
        done = (promised <= _CONVERGED * least) | (~better & (damping > 1e6))
        least = np.where(better, chi_square, least)
        damping = np.clip(np.where(better, damping / 8, damping * 6), 1e-12, 1e10)
        if done.all() or (least < 1e-20).all():
            break
    return Solution(values, least)


def _longest_step(values: Floats) -> Floats:
    return np.asarray(2.0 + np.abs(values))


def _jacobian(residual: BatchFunction, values: Floats, current: Floats, free: NDArray[np.bool_]) -> Floats:
    """Return the derivative of the residuals (batch, data) by the free parameters, (batch, data, parameter)."""
    jacobian = np.zeros((*current.shape, values.shape[1]))
    for i in range(values.shape[1]):
        if not free[:, i].any():
            continue
        step = 1e-6 * np.maximum(np.abs(values[:, i]), 1e-3)
        stepped = values.copy()
        stepped[:, i] += step
        jacobian[..., i] = np.where(free[:, i, None], (residual(stepped) - current) / step[:, None], 0.0)
    return jacobian


def profile_intervals(problem: Problem, best: Floats, error: Floats) -> Floats:
    """Return the ends of the profile-likelihood intervals.

    An end is where χ², minimised over all other parameters, exceeds its minimum by what the F distribution allows; σ
    follows from the misfit itself.

    Parameters
    ----------
    problem : Problem
    best : array, shape (parameter,)
        Where χ² is least.
    error : array, shape (parameter,)
        Standard errors, the unit in which the ends are searched.

    Returns
    -------
    array, shape (parameter, level, 2)
        NaN for an open end.
    """
    size, freedom = len(best), max(problem.count - len(best), 1)
    least = float((problem.misfit(best) ** 2).sum())
    roots = np.sqrt(np.array([fdtri(1, freedom, level) for level in LEVELS]))
    shape = (size, len(LEVELS), 2)
    profiled = np.broadcast_to(np.arange(size)[:, None, None], shape).ravel()
    goal = np.broadcast_to(roots[None, :, None], shape).ravel()
    side = np.broadcast_to(np.array([-1.0, 1.0]), shape).ravel()
    free = np.arange(size) != profiled[:, None]
    unit = np.where(np.isfinite(error) & (error > 0), np.minimum(error, _LARGEST_UNIT), 1e-3)[profiled]
    rows = np.arange(len(profiled))
    values = np.tile(best, (len(profiled), 1))
    if least <= 0:
        return np.full(shape, np.nan)

    def height(distance: Floats) -> Floats:
        """Return √(rise of χ² over its variance) minus what it is at an end, at a distance from the best value."""
        values[rows, profiled] = best[profiled] + side * distance * unit
        solution = solve(problem, values, free=free)
        values[:] = solution.values
        return np.asarray(np.sqrt(np.maximum((solution.chi_square - least) / (least / freedom), 0)) - goal)

    low, low_height = np.zeros(len(profiled)), -goal
    high = goal.copy()
    high_height = height(high)
    for _ in range(_WIDENINGS):
        short = high_height < 0
        if not short.any():
            break
        low, low_height = np.where(short, high, low), np.where(short, high_height, low_height)
        high = np.where(short, 1.5 * high, high)
        high_height = np.where(short, height(high), high_height)
    bracketed = high_height >= 0
    distance = _root(height, low, low_height, high, high_height)
    ends = np.where(bracketed, best[profiled] + side * distance * unit, np.nan)
    return ends.reshape(shape)


def _root(height: BatchFunction, low: Floats, low_height: Floats, high: Floats, high_height: Floats) -> Floats:
    """Return where a rising function crosses 0 between `low` and `high`, by the Illinois method over a batch."""
    middle, last = high, np.zeros(len(low))
    for _ in range(_ROOT_STEPS):
        middle = low + (high - low) * np.clip(-low_height / np.maximum(high_height - low_height, 1e-300), 0, 1)
        middle_height = height(middle)
        if (np.abs(middle_height) < _ROOT_TOLERANCE).all():
            break
        above, side = middle_height >= 0, np.sign(middle_height)
        repeated = side == last  # an end that stays for a second step counts half
        low_height = np.where(above, np.where(repeated, low_height / 2, low_height), middle_height)
        high_height = np.where(above, middle_height, np.where(repeated, high_height / 2, high_height))
        last = side
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.asarray(middle)


def bootstrap_fits(problem: Problem, best: Floats, draws: int, seed: int) -> Floats:
    """Return fits to frames drawn with replacement, separately from the baseline and from the frames after it.

    Parameters
    ----------
    problem : Problem
    best : array, shape (parameter,)
        Where the fits start.
    draws : int
        Number of fits.
    seed : int
        Seed of the frames drawn.

    Returns
    -------
    array, shape (draws, parameter)
    """
    rng = np.random.default_rng([seed, 11])
    weights = rng.multinomial(len(problem.time), np.full(len(problem.time), 1 / len(problem.time)), draws).astype(float)
    means = None
    if problem.baseline is not None:
        weights = np.concatenate([weights, np.ones((draws, 1))], axis=1)
        early = problem.baseline.fraction
        means = rng.choice(early, (draws, len(early))).mean(axis=1)
    return solve(problem, np.tile(best, (draws, 1)), weights=weights, means=means).values


def final_rate(problem: Problem, best: Floats, covariance: Floats | None) -> FinalRate:
    """Return the rate df/dt at the last frame, with an error if the covariance of the parameters is given."""
    end, step = float(problem.time[-1]), 1e-4 * float(np.ptp(problem.time))

    def logarithm(values: Floats) -> float:
        physical = problem.physical(values)
        shape = problem.law.relative(np.array([end - step, end + step]), problem.pivot, tuple(physical[1:-1]))
        return float(np.log(max(physical[0] * (shape[1] - shape[0]) / (2 * step), 1e-300)))

    rate = float(np.exp(logarithm(best)))
    if covariance is None:
        return FinalRate(rate, float("nan"))
    steps = np.diag(1e-3 * np.sqrt(np.maximum(np.diag(covariance), 1e-30)))
    slope = np.array([(logarithm(best + s) - logarithm(best - s)) / (2 * s.max()) for s in steps])
    return FinalRate(rate, float(np.sqrt(max(slope @ covariance @ slope, 0.0))))
