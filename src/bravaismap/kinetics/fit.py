"""Least squares of a growth law, many at once: profile likelihood and bootstrap of a curve that is fitted already.

A fit, the ends of every profile-likelihood interval and all bootstrap fits are solved by one damped Gauss–Newton method
that runs over a batch of problems in step; each may hold some parameters fixed and weigh the frames its own way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

from bravaismap.conventions import Floats
from bravaismap.kinetics.laws import LOG_LARGEST, GrowthLaw

__all__ = ["LEVELS", "Problem", "bootstrap_fits", "final_rate", "profile_intervals", "solve"]


#: Probabilities of the intervals: those of 1 σ and 2 σ of a normal distribution.
LEVELS: Final = (0.6827, 0.9545)
_STEPS: Final = 40  # of the Gauss–Newton method, at most
_CONVERGED: Final = 1e-7  # change of χ² that is still to be expected, relative
_WIDENING: Final = 24  # steps outward before an interval has no end
_HALVINGS: Final = 40
_CLOSE: Final = 1e-4  # of a profile's square root to what it should be


@dataclass(frozen=True)
class Problem:
    """What is fitted: the frames one by one, and the mean of the baseline's.

    A vector of its parameters holds the logarithm of the amplitude, the others (the positive ones as their logarithm)
    and C. The amplitude is what has grown at the pivot, or A itself where the pivot is None.
    """

    law: GrowthLaw
    time: Floats
    fraction: Floats
    sigma: Floats
    baseline_time: Floats
    baseline: tuple[float, float] | None  # mean and its standard error
    pivot: float | None

    @property
    def count(self) -> int:
        """Number of data."""
        return len(self.time) + (self.baseline is not None)

    def moved(self) -> Problem:
        """Return the same problem with A itself for its amplitude."""
        return replace(self, pivot=None)

    def physical(self, values: Floats) -> Floats:
        """Return the parameters of the law from vectors of this problem's."""
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

        `means` stands for the mean of the baseline where that is another in each problem.
        """
        physical = self.physical(values)[..., None]
        amplitude, constant = physical[..., 0, :], physical[..., -1, :]
        others = tuple(physical[..., i, :] for i in range(1, values.shape[-1] - 1))
        misfit = (self.fraction - amplitude * self.law.relative(self.time, self.pivot, others) - constant) / self.sigma
        if self.baseline is None:
            return np.asarray(misfit)
        grown = (amplitude * self.law.relative(self.baseline_time, self.pivot, others)).mean(axis=-1, keepdims=True)
        mean = self.baseline[0] if means is None else means[..., None]
        return np.concatenate([misfit, (mean - grown - constant) / self.baseline[1]], axis=-1)

    def start(self) -> Floats | None:
        """Return the best of many starts, the amplitude and C of each solved for; None if nothing grows."""
        grid = self.law.grid(float(self.time[0]), float(self.time[-1]))
        others = tuple(grid[:, i, None] for i in range(grid.shape[1]))
        shape = np.broadcast_to(self.law.relative(self.time, self.pivot, others), (len(grid), len(self.time)))
        data, weight = self.fraction, 1 / self.sigma**2
        if self.baseline is not None:
            early = self.law.relative(self.baseline_time, self.pivot, others)
            early = np.broadcast_to(early, (len(grid), len(self.baseline_time))).mean(axis=1, keepdims=True)
            shape = np.concatenate([shape, early], axis=1)
            data, weight = np.append(data, self.baseline[0]), np.append(weight, 1 / self.baseline[1] ** 2)
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


def solve(
    problem: Problem,
    start: Floats,
    *,
    free: NDArray[np.bool_] | None = None,
    weights: Floats | None = None,
    means: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Minimise χ² of a batch of problems by damped Gauss–Newton steps.

    Parameters
    ----------
    problem : Problem
    start : array, shape (batch, parameter)
    free : bool array, shape (batch, parameter), optional
        Parameters that may change; all when not given.
    weights : array, shape (batch, data), optional
        Weight of each datum beside 1/σ².
    means : array, shape (batch,), optional
        Mean of the baseline in each problem.

    Returns
    -------
    values, array (batch, parameter), and χ², array (batch,)
    """
    values = np.array(start, float)
    root = np.sqrt(weights) if weights is not None else 1.0
    loose = np.ones_like(values, bool) if free is None else free
    damping = np.full(len(values), 1e-3)

    def residual(x: Floats) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.clip(np.nan_to_num(root * problem.misfit(x, means), nan=1e9), -1e12, 1e12)

    current = residual(values)
    least = (current**2).sum(axis=1)
    for _ in range(_STEPS):
        jacobian = _jacobian(residual, values, current, loose)
        square = jacobian.transpose(0, 2, 1) @ jacobian
        slope = (jacobian.transpose(0, 2, 1) @ current[..., None])[..., 0]
        diagonal = np.einsum("bii->bi", square)
        scale = np.where(loose & (diagonal > 0), diagonal, 1.0)
        step = np.linalg.solve(square + (damping[:, None] * scale)[..., None] * np.eye(values.shape[1])
                               + 1e-14 * scale.max(axis=1)[:, None, None] * np.eye(values.shape[1]),
                               slope[..., None])[..., 0]  # fmt: skip
        tried = values - np.where(loose, np.clip(step, -_reach(values), _reach(values)), 0.0)
        other = residual(tried)
        found = (other**2).sum(axis=1)
        better = found < least
        values[better], current[better] = tried[better], other[better]
        promised = (step * slope * loose).sum(axis=1)  # by which a quadratic χ² would fall
        done = (promised <= _CONVERGED * least) | (~better & (damping > 1e6))
        least = np.where(better, found, least)
        damping = np.clip(np.where(better, damping / 8, damping * 6), 1e-12, 1e10)
        if done.all() or (least < 1e-20).all():
            break
    return values, least


def _reach(values: Floats) -> Floats:
    return np.asarray(2.0 + np.abs(values))


def _jacobian(residual: object, values: Floats, current: Floats, loose: NDArray[np.bool_]) -> Floats:
    assert callable(residual)
    jacobian = np.zeros((*current.shape, values.shape[1]))
    for i in range(values.shape[1]):
        if not loose[:, i].any():
            continue
        step = 1e-6 * np.maximum(np.abs(values[:, i]), 1e-3)
        moved = values.copy()
        moved[:, i] += step
        jacobian[..., i] = np.where(loose[:, i, None], (residual(moved) - current) / step[:, None], 0.0)
    return jacobian


def profile_intervals(problem: Problem, best: Floats, error: Floats) -> Floats:
    """Return the ends of the profile-likelihood intervals.

    An end is where χ², minimised over all other parameters, exceeds its least by what the F distribution allows; the
    misfit itself tells σ.

    Parameters
    ----------
    problem : Problem
    best : array, shape (parameter,)
        Where χ² is least.
    error : array, shape (parameter,)
        Standard errors, which say how far to look.

    Returns
    -------
    array, shape (parameter, level, 2)
        NaN for an end that was not found.
    """
    size, free = len(best), max(problem.count - len(best), 1)
    least = float((problem.misfit(best) ** 2).sum())
    wanted = np.sqrt(np.array([f_distribution.ppf(level, 1, free) for level in LEVELS]))
    shape = (size, len(LEVELS), 2)
    which = np.broadcast_to(np.arange(size)[:, None, None], shape).ravel()
    goal = np.broadcast_to(wanted[None, :, None], shape).ravel()
    side = np.broadcast_to(np.array([-1.0, 1.0]), shape).ravel()
    loose = np.arange(size) != which[:, None]
    rows, unit = np.arange(len(which)), np.where(np.isfinite(error) & (error > 0), error, 1e-3)[which]
    values = np.tile(best, (len(which), 1))
    if least <= 0:
        return np.full(shape, np.nan)

    def height(distance: Floats) -> Floats:
        values[rows, which] = best[which] + side * distance * unit
        solved, chi = solve(problem, values, free=loose)
        values[:] = solved
        return np.asarray(np.sqrt(np.maximum((chi - least) / (least / free), 0)) - goal)

    low, low_height = np.zeros(len(which)), -goal
    high = goal.copy()
    high_height = height(high)
    for _ in range(_WIDENING):
        short = high_height < 0
        if not short.any():
            break
        low, low_height = np.where(short, high, low), np.where(short, high_height, low_height)
        high = np.where(short, 1.5 * high, high)
        high_height = np.where(short, height(high), high_height)
    ended = high_height >= 0
    distance = _root(height, low, low_height, high, high_height)
    ends = np.where(ended, best[which] + side * distance * unit, np.nan)
    return ends.reshape(shape)


def _root(height: object, low: Floats, low_height: Floats, high: Floats, high_height: Floats) -> Floats:
    """Return where a height that rises crosses 0, by the Illinois method over a batch."""
    assert callable(height)
    middle, last = high, np.zeros(len(low))
    for _ in range(_HALVINGS):
        middle = low + (high - low) * -low_height / np.maximum(high_height - low_height, 1e-300)
        found = height(middle)
        if (np.abs(found) < _CLOSE).all():
            break
        above, side = found >= 0, np.sign(found)
        again = side == last  # the end that stays twice counts half
        low_height = np.where(above, np.where(again, low_height / 2, low_height), found)
        high_height = np.where(above, found, np.where(again, high_height / 2, high_height))
        last = side
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.asarray(middle)


def bootstrap_fits(problem: Problem, best: Floats, early: Floats, draws: int, seed: int) -> Floats:
    """Fit again to frames drawn with replacement, those of the baseline and those after it apart.

    Parameters
    ----------
    problem : Problem
    best : array, shape (parameter,)
        Where the fits start.
    early : array
        Fractions in the frames of the baseline.
    draws : int
    seed : int

    Returns
    -------
    array, shape (draws, parameter)
    """
    rng = np.random.default_rng([seed, 11])
    weights = rng.multinomial(len(problem.time), np.full(len(problem.time), 1 / len(problem.time)), draws).astype(float)
    means = None
    if problem.baseline is not None:
        weights = np.concatenate([weights, np.ones((draws, 1))], axis=1)
        means = rng.choice(early, (draws, len(early))).mean(axis=1)
    return solve(problem, np.tile(best, (draws, 1)), weights=weights, means=means)[0]


def final_rate(problem: Problem, best: Floats, covariance: Floats | None) -> tuple[float, float]:
    """Return df/dt at the last frame, and its standard error over itself (NaN without a covariance)."""
    end, step = float(problem.time[-1]), 1e-4 * float(np.ptp(problem.time))

    def logarithm(values: Floats) -> float:
        physical = problem.physical(values)
        shape = problem.law.relative(np.array([end - step, end + step]), problem.pivot, tuple(physical[1:-1]))
        return float(np.log(max(physical[0] * (shape[1] - shape[0]) / (2 * step), 1e-300)))

    rate = float(np.exp(logarithm(best)))
    if covariance is None:
        return rate, float("nan")
    small = 1e-3 * np.sqrt(np.maximum(np.diag(covariance), 1e-30))
    slope = np.array([(logarithm(best + s) - logarithm(best - s)) / (2 * s.max()) for s in np.diag(small)])
    return rate, float(np.sqrt(max(slope @ covariance @ slope, 0.0)))
