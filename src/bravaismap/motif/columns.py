"""Columns: the atoms of the averaged cell, bright and dark, with position, height and width, each with its error.

A column is a round Gaussian in the image, whose structure factor is A exp(−2π²s²k²) exp(2πi h·x). Columns are added
where what is left of the symmetrised cell is highest, and all are fitted together to the structure factors, as long as
that pays (Bayesian information criterion) and the new one stands out from the errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from bravaismap.lattice import reciprocal
from bravaismap.motif.averaging import synthesis
from bravaismap.motif.plane_groups import Setting
from bravaismap.motif.structure_factors import StructureFactors
from bravaismap.motif.symmetry import GroupFit, symmetrized

__all__ = ["Columns", "find_columns", "wyckoff_letter"]

Floats = NDArray[np.floating]
Complexes = NDArray[np.complexfloating]
Integers = NDArray[np.int64]

_MOST = 24
_GRID = 64
#: σ by which a column must stand out, and the part of the highest one's height.
_STANDS_OUT, _FAINTEST = 5.0, 0.05
#: Limits of a column's σ in the image, in units of the side of the cell.
_NARROWEST, _WIDEST = 0.02, 0.35
#: How near to a special position, in cells, a column is taken to lie on it besides three of its σ.
_ON_PLACE = 0.01
_STEPS = 60
#: Height of a peak, of the highest one, from which it is taken for a column to begin with.
_FAINT_PEAK = 0.1
#: Width of a column, in sides of the cell, where there is none to compare with.
_USUAL = 0.12
#: Distance in widths from which two columns are two (two equal Gaussians show two peaks from 2 on).
_SEPARATE = 1.7


@dataclass(frozen=True)
class Columns:
    """Atomic columns of one cell, from the highest on.

    Attributes
    ----------
    position : array, shape (n, 2)
        Fractional coordinates along the two vectors of the basis, from 0 to below 1.
    position_std : array, shape (n, 2)
    height, height_std : arrays, shape (n,)
        Of the column above what is around it; negative for a dark one.
    width, width_std : arrays, shape (n,)
        σ of the Gaussian in px.
    wyckoff : tuple of str
        Multiplicity in the conventional cell and letter, such as ``"4c"``.
    orbit : int array, shape (n,)
        Columns with the same number are equivalent by symmetry.
    misfit : float
        Root of the share of the power that columns do not explain.
    """

    position: Floats
    position_std: Floats
    height: Floats
    height_std: Floats
    width: Floats
    width_std: Floats
    wyckoff: tuple[str, ...]
    orbit: Integers
    misfit: float


@dataclass(frozen=True)
class _Target:
    """What columns are fitted to: orders, structure factors, 1/σ of their parts, k², and the cell's area in px²."""

    order: Integers
    value: Complexes
    worth: Floats
    square: Floats
    area: float

    def model(self, parameters: Floats) -> Complexes:
        """Return the structure factor of each column (n, orders); parameters are rows (x, y, height, ln width)."""
        x, y, height, width = parameters.reshape(-1, 4).T
        weight = height * 2 * np.pi * np.exp(2 * width) / self.area
        fall = np.exp(-2 * np.pi**2 * np.exp(2 * width)[:, None] * self.square)
        turns = np.exp(2j * np.pi * (np.outer(x, self.order[:, 0]) + np.outer(y, self.order[:, 1])))
        return np.asarray(weight[:, None] * fall * turns)

    def misses(self, parameters: Floats) -> Floats:
        rest = (self.value - self.model(parameters).sum(axis=0)) * self.worth
        return np.concatenate([rest.real, rest.imag])

    def slopes(self, parameters: Floats) -> Floats:
        each = self.model(parameters)
        height, width = parameters.reshape(-1, 4).T[2:]
        by_width = 2 - 4 * np.pi**2 * np.exp(2 * width)[:, None] * self.square
        safe = np.where(height == 0, 1e-30, height)[:, None]
        parts = np.stack(
            [2j * np.pi * self.order[:, 0] * each, 2j * np.pi * self.order[:, 1] * each, each / safe, by_width * each],
            axis=1,
        )
        parts = -(parts * self.worth).reshape(-1, len(self.order)).T
        return np.concatenate([parts.real, parts.imag])


def find_columns(factors: StructureFactors, fit: GroupFit) -> Columns:
    """Return the columns of the averaged cell in a plane group.

    Parameters
    ----------
    factors : StructureFactors
    fit : GroupFit
        The group, its setting and its origin.
    """
    mean = symmetrized(factors, fit)
    square = ((mean.order @ reciprocal(mean.basis)) ** 2).sum(axis=1)
    area = abs(float(np.linalg.det(mean.basis)))
    target = _Target(mean.order, mean.value, np.sqrt(2) / mean.std, square, area)
    parameters, covariance = _pursued(target, mean)
    if len(parameters) == 0:
        empty = np.zeros(0)
        return Columns(np.zeros((0, 2)), np.zeros((0, 2)), empty, empty, empty, empty, (), np.zeros(0, np.int64), 1.0)
    order = np.argsort(-np.abs(parameters[:, 2]), kind="stable")
    parameters = parameters[order]
    errors = np.sqrt(np.diag(covariance).clip(0)).reshape(-1, 4)[order]
    letters, orbit = _orbits(parameters, errors, fit)
    size = np.bincount(orbit)[orbit]
    errors = errors / np.sqrt(size)[:, None]  # each was averaged with its equivalents
    width = np.exp(parameters[:, 3])
    rest = target.value - target.model(parameters.ravel()).sum(axis=0)
    misfit = float(np.sqrt((np.abs(rest) ** 2).sum() / (np.abs(target.value) ** 2).sum()))
    return Columns(
        parameters[:, :2] % 1.0, errors[:, :2], parameters[:, 2], errors[:, 2], width, width * errors[:, 3],
        letters, orbit, misfit,
    )  # fmt: skip


def _pursued(target: _Target, factors: StructureFactors) -> tuple[Floats, Floats]:
    """Return the columns (n, 4) that pay, with their covariance."""
    noise = float(np.sqrt(2 * (factors.std**2).sum()))
    best = _fitted(target, _peaks(target, _STANDS_OUT * noise))
    while len(best.parameters) < _MOST and 4 * len(best.parameters) + 4 < len(best.misses):
        rest = target.value - target.model(best.parameters.ravel()).sum(axis=0)
        cell = synthesis(target.order, rest, (_GRID, _GRID))
        where = np.unravel_index(np.argmax(np.abs(cell)), cell.shape)
        top = float(cell[where])
        if abs(top) < max(_STANDS_OUT * noise, _FAINTEST * np.abs(best.parameters[:, 2]).max(initial=0)):
            break
        usual = np.median(best.parameters[:, 3]) if len(best.parameters) else np.log(_USUAL * np.sqrt(target.area))
        another = np.array([where[0] / _GRID, where[1] / _GRID, top, usual])
        trial = _fitted(target, np.concatenate([best.parameters, another[None]]))
        gained = (best.misses**2).sum() - (trial.misses**2).sum()
        if gained < 4 * np.log(len(best.misses)) or not _distinct(trial.parameters, factors.basis):
            break
        best = trial
    # the errors of structure factors are correlated, which the fit's weights leave out
    worth = np.tile(target.worth, 2)
    inverse = np.linalg.pinv(best.slopes.T @ best.slopes) @ best.slopes.T
    error = factors.covariance * np.outer(worth, worth)
    return best.parameters, np.asarray(inverse @ error @ inverse.T)


def _peaks(target: _Target, least: float) -> Floats:
    """Return the columns (n, 4) to begin with: the peaks of the cell, bright or dark, whichever stand out more."""
    cell = synthesis(target.order, target.value, (_GRID, _GRID))
    curved = synthesis(target.order, -4 * np.pi**2 * target.square * target.value, (_GRID, _GRID))
    sign = 1.0 if (cell**3).sum() >= 0 else -1.0
    cell, curved = sign * cell, sign * curved
    peak = np.ones(cell.shape, bool)
    for step in ((0, 1), (1, 0), (1, 1), (1, -1)):
        peak &= (cell > np.roll(cell, step, (0, 1))) & (cell >= np.roll(cell, (-step[0], -step[1]), (0, 1)))
    height = cell - np.median(cell)
    peak &= (height > _FAINT_PEAK * height.max()) & (height > least) & (curved < 0)
    places = np.argwhere(peak)
    places = places[np.argsort(-height[tuple(places.T)], kind="stable")][:_MOST]
    tall, bent = height[tuple(places.T)], curved[tuple(places.T)]
    return np.column_stack([places / _GRID, sign * tall, np.log(2 * tall / np.maximum(-bent, 1e-30)) / 2])


@dataclass(frozen=True)
class _Fitted:
    """Columns (n, 4) with what they leave, in σ, and its derivatives."""

    parameters: Floats
    misses: Floats
    slopes: Floats


def _fitted(target: _Target, started: Floats) -> _Fitted:
    """Return the columns that fit best."""
    if len(started) == 0:
        misses = target.misses(np.zeros(0))
        return _Fitted(np.zeros((0, 4)), misses, np.zeros((len(misses), 0)))
    side = np.sqrt(target.area)
    low = np.tile([-np.inf, -np.inf, -np.inf, np.log(_NARROWEST * side)], len(started))
    high = np.tile([np.inf, np.inf, np.inf, np.log(_WIDEST * side)], len(started))
    solved = least_squares(
        target.misses, np.clip(started.ravel(), low + 1e-6, high - 1e-6), target.slopes, max_nfev=_STEPS,
        x_scale="jac", bounds=(low, high),
    )  # fmt: skip
    return _Fitted(solved.x.reshape(-1, 4), solved.fun, solved.jac)


def _distinct(parameters: Floats, basis: Floats) -> bool:
    """Tell whether the last column is one of its own, and not a correction to the shape of another."""
    apart = parameters[:-1, :2] - parameters[-1, :2]
    distance = np.linalg.norm((apart - np.rint(apart)) @ basis, axis=1)
    width = np.exp(parameters[:, 3])
    return bool((distance > _SEPARATE * (width[:-1] + width[-1]) / 2).all())


def _orbits(parameters: Floats, errors: Floats, fit: GroupFit) -> tuple[tuple[str, ...], Integers]:
    """Return the Wyckoff position of each column, and which of them are equivalent."""
    setting = fit.setting
    letters = []
    for row, error in zip(parameters, errors, strict=True):
        near = max(_ON_PLACE, 3 * float(error[:2].max()))
        letters.append(wyckoff_letter(setting, fit.origin, row[:2], min(near, 0.05)))
    orbit = np.full(len(parameters), -1)
    for i, row in enumerate(parameters):
        if orbit[i] >= 0:
            continue
        orbit[i] = orbit.max() + 1
        images = (row[:2] - fit.origin) @ np.swapaxes(setting.matrices, 1, 2) + setting.translations + fit.origin
        for j in range(i + 1, len(parameters)):
            apart = images - parameters[j, :2]
            apart = np.abs(apart - np.rint(apart)).max(axis=1)
            alike = abs(parameters[j, 2] - row[2]) < 0.1 * abs(row[2]) and letters[i] == letters[j]
            if orbit[j] < 0 and alike and (apart < 0.02).any():
                orbit[j] = orbit[i]
    return tuple(letters), orbit.astype(np.int64)


def wyckoff_letter(setting: Setting, origin: Floats, position: Floats, near: float) -> str:
    """Return the Wyckoff position of a point: multiplicity in the conventional cell and letter.

    Parameters
    ----------
    setting : Setting
    origin, position : arrays, shape (2,)
        Fractional coordinates in the basis of the lattice.
    near : float
        Largest distance, in conventional cells, from a special position that counts as on it.
    """
    group = setting.group
    conventional = group.conventional
    primitive = (np.asarray(position, float) - origin) @ np.linalg.inv(setting.change)
    images = (primitive @ np.swapaxes(group.matrices, 1, 2) + group.translations) @ np.linalg.inv(conventional)
    centring = np.array([[0.0, 0.0], [0.5, 0.5]]) if abs(np.linalg.det(conventional)) > 1.5 else np.zeros((1, 2))
    images = (images[:, None] + centring).reshape(-1, 2)
    total = len(images)
    for place in group.wyckoff:
        along = np.array(place.along, float).reshape(-1, 2)
        across = np.eye(2) - (along.T @ along / (along**2).sum() if len(along) == 1 else np.eye(2) * len(along) / 2)
        apart = images - np.array(place.fixed)
        steps = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 2), -1).reshape(-1, 2)
        apart = (apart - np.rint(apart))[:, None] + steps
        on = np.linalg.norm(apart @ across, axis=-1) < near
        if on.any():
            site = _site_order(setting, place.fixed, along)
            return f"{total // site}{place.letter}"
    return f"{total}{group.wyckoff[-1].letter}"


def _site_order(setting: Setting, fixed: tuple[float, float], along: Floats) -> int:
    """Return how many operations leave the points of a Wyckoff position where they are."""
    group = setting.group
    point = (np.array(fixed) + np.array([0.2371, 0.3119])[: len(along)] @ along) @ group.conventional
    moved = point @ np.swapaxes(group.matrices, 1, 2) + group.translations - point
    return int((np.abs(moved - np.rint(moved)) < 1e-6).all(axis=1).sum())
