"""Columns: the atoms of the averaged cell, bright and dark, with position, height and width, each with its error.

A column is a round Gaussian in the image, whose structure factor is A exp(−2π²s²k²) exp(2πi h·x). A probe has tails
besides, the same for all columns: a part of each column is spread by a second, wider Gaussian where the structure
factors ask for it. Without them the tails of a bright column push its faint neighbours aside. Columns are added where
what is left of the symmetrised cell is highest, and all are fitted together to the structure factors, as long as that
pays (Bayesian information criterion) and the new one stands out from the errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from bravaismap.conventions import Complexes, Floats, Integers
from bravaismap.lattice import reciprocal
from bravaismap.motif.averaging import synthesis
from bravaismap.motif.plane_groups import Setting
from bravaismap.motif.structure_factors import StructureFactors
from bravaismap.motif.symmetry import GroupFit, symmetrized

__all__ = ["Columns", "find_columns", "wyckoff_letter"]

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
#: Tails: the share of a column and the σ, in sides of the cell, to begin with, and the limits of both.
_TAIL = 0.3, 0.25
_TAIL_SHARES, _TAIL_WIDTHS = (0.0, 0.9), (0.05, 1.0)
#: Distance in widths from which two columns are two (two equal Gaussians show two peaks from 2 on).
_SEPARATE = 1.7
#: Width of a column, in widths of the highest, below which it is a fault of the shape of another.
_NARROWER = 0.5


@dataclass(frozen=True)
class Columns:
    """Atomic columns of one cell, from the highest on.

    Attributes
    ----------
    position : array, shape (n, 2)
        Fractional coordinates along the two vectors of the basis, from 0 to below 1.
    position_std : array, shape (n, 2)
    height, height_std : arrays, shape (n,)
        Of the column above what is around it, its tails included; negative for a dark one.
    width, width_std : arrays, shape (n,)
        σ of the Gaussian, without tails, in px.
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
        """Return the structure factor of each column (n, orders).

        Parameters are x, y, height and ln width of each column in turn, then share and ln width of the tails, if any.
        """
        x, y, height, width = _rows(parameters).T
        weight = height * 2 * np.pi * np.exp(2 * width) / self.area
        fall = np.exp(-2 * np.pi**2 * np.exp(2 * width)[:, None] * self.square) * self._tails(parameters)
        turns = np.exp(2j * np.pi * (np.outer(x, self.order[:, 0]) + np.outer(y, self.order[:, 1])))
        return np.asarray(weight[:, None] * fall * turns)

    def _tails(self, parameters: Floats) -> Floats:
        """Return what tails leave of each order."""
        tails = _tails_of(parameters)
        if len(tails) == 0:
            return np.ones(len(self.order))
        return np.asarray(1 - tails[0] + tails[0] * np.exp(-2 * np.pi**2 * np.exp(2 * tails[1]) * self.square))

    def misses(self, parameters: Floats) -> Floats:
        rest = (self.value - self.model(parameters).sum(axis=0)) * self.worth
        return np.concatenate([rest.real, rest.imag])

    def slopes(self, parameters: Floats) -> Floats:
        each = self.model(parameters)
        height, width = _rows(parameters).T[2:]
        by_width = 2 - 4 * np.pi**2 * np.exp(2 * width)[:, None] * self.square
        safe = np.where(height == 0, 1e-30, height)[:, None]
        parts = np.stack(
            [2j * np.pi * self.order[:, 0] * each, 2j * np.pi * self.order[:, 1] * each, each / safe, by_width * each],
            axis=1,
        ).reshape(-1, len(self.order))
        tails = _tails_of(parameters)
        if len(tails):
            spread = 2 * np.pi**2 * np.exp(2 * tails[1]) * self.square
            whole = each.sum(axis=0) / self._tails(parameters)
            by_tails = np.stack([np.expm1(-spread) * whole, -2 * tails[0] * spread * np.exp(-spread) * whole])
            parts = np.concatenate([parts, by_tails])
        parts = -(parts * self.worth).T
        return np.concatenate([parts.real, parts.imag])

    def heights(self, parameters: Floats) -> tuple[Floats, Floats]:
        """Return the height of each column, tails included, and its derivatives by all parameters.

        A column of height A, if it had no tails, is A (1 − t + t w² / (w² + v²)) high with a share t in tails of σ v.
        """
        height, width = _rows(parameters).T[2:]
        tails, columns = _tails_of(parameters), np.arange(len(height))
        slopes = np.zeros((len(height), len(parameters)))
        if len(tails) == 0:
            slopes[columns, 4 * columns + 2] = 1.0
            return height, slopes
        narrow, wide = np.exp(2 * width), np.exp(2 * tails[1])
        part = narrow / (narrow + wide)
        peak = 1 - tails[0] + tails[0] * part
        turned = 2 * tails[0] * height * part * (1 - part)
        slopes[columns, 4 * columns + 2] = peak
        slopes[columns, 4 * columns + 3] = turned
        slopes[:, -2], slopes[:, -1] = -height * (1 - part), -turned
        return height * peak, slopes


def _rows(parameters: Floats) -> Floats:
    """Return the parameters of the columns, (n, 4)."""
    return parameters[: len(parameters) // 4 * 4].reshape(-1, 4)


def _tails_of(parameters: Floats) -> Floats:
    """Return share and ln width of the tails; empty where there are none."""
    return parameters[len(parameters) // 4 * 4 :]


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
    fitted = _pursued(target, mean)
    rows = _rows(fitted.parameters)
    if len(rows) == 0:
        empty = np.zeros(0)
        return Columns(np.zeros((0, 2)), np.zeros((0, 2)), empty, empty, empty, empty, (), np.zeros(0, np.int64), 1.0)
    rest = target.value - target.model(fitted.parameters).sum(axis=0)
    misfit = float(np.sqrt((np.abs(rest) ** 2).sum() / (np.abs(target.value) ** 2).sum()))
    height, slopes = target.heights(fitted.parameters)
    covariance = _covariance(target, fitted, mean)
    errors = _rows(np.sqrt(np.diag(covariance).clip(0)))
    errors[:, 2] = np.sqrt(np.einsum("ni,ij,nj->n", slopes, covariance, slopes).clip(0))
    order = np.argsort(-np.abs(height), kind="stable")
    rows, errors, height = rows[order], errors[order], height[order]
    letters, orbit = _orbits(rows, errors, fit)
    size = np.bincount(orbit)[orbit]
    errors = errors / np.sqrt(size)[:, None]  # each was averaged with its equivalents
    width = np.exp(rows[:, 3])
    return Columns(
        rows[:, :2] % 1.0, errors[:, :2], height, errors[:, 2], width, width * errors[:, 3],
        letters, orbit, misfit,
    )  # fmt: skip


def _pursued(target: _Target, factors: StructureFactors) -> _Fitted:
    """Return the columns that pay."""
    noise = float(np.sqrt(2 * (factors.std**2).sum()))
    best = _started(target, _peaks(target, _STANDS_OUT * noise), factors.basis)
    while (count := len(_rows(best.parameters))) < _MOST and len(best.parameters) + 4 < len(best.misses):
        rest = target.value - target.model(best.parameters).sum(axis=0)
        cell = synthesis(target.order, rest, (_GRID, _GRID))
        where = np.unravel_index(np.argmax(np.abs(cell)), cell.shape)
        top = float(cell[where])
        rows = _rows(best.parameters)
        if abs(top) < max(_STANDS_OUT * noise, _FAINTEST * np.abs(rows[:, 2]).max(initial=0)):
            break
        usual = np.median(rows[:, 3]) if count else np.log(_USUAL * np.sqrt(target.area))
        another = np.array([where[0] / _GRID, where[1] / _GRID, top, usual])
        trial = _fitted(target, np.concatenate([rows.ravel(), another, _tails_of(best.parameters)]))
        after = _rows(trial.parameters)
        if not (_pays(best, trial) and _distinct(after, factors.basis) and _as_wide(after)):
            break
        best = _with_tails(target, trial)
    return best


def _started(target: _Target, peaks: Floats, basis: Floats) -> _Fitted:
    """Return the fit that begins with the peaks; of those that turn out to be one column the highest is kept."""
    fitted = _with_tails(target, _fitted(target, peaks[_apart(peaks, basis)].ravel()))
    while len(own := _apart(rows := _rows(fitted.parameters), basis)) < len(rows):
        fitted = _with_tails(target, _fitted(target, rows[own].ravel()))
    return fitted


def _apart(rows: Floats, basis: Floats) -> list[int]:
    """Return which columns, the highest first, are no part of a higher one."""
    own: list[int] = []
    for i in np.argsort(-np.abs(rows[:, 2]), kind="stable").tolist():
        if _distinct(rows[[*own, i]], basis):
            own.append(i)
    return own


def _as_wide(rows: Floats) -> bool:
    """Tell whether no column is much narrower than the highest: the probe is the same for all."""
    return bool(rows[:, 3].min() > rows[np.argmax(np.abs(rows[:, 2])), 3] + np.log(_NARROWER))


def _pays(fewer: _Fitted, more: _Fitted) -> bool:
    """Tell whether further parameters are worth it, by the Bayesian information criterion."""
    gained = (fewer.misses**2).sum() - (more.misses**2).sum()
    return bool(gained > (len(more.parameters) - len(fewer.parameters)) * np.log(len(fewer.misses)))


def _with_tails(target: _Target, fitted: _Fitted) -> _Fitted:
    """Return the fit with tails, if they pay."""
    if len(fitted.parameters) == 0 or len(_tails_of(fitted.parameters)):
        return fitted
    start = [_TAIL[0], np.log(_TAIL[1] * np.sqrt(target.area))]
    tailed = _fitted(target, np.concatenate([fitted.parameters, start]))
    return tailed if _pays(fitted, tailed) else fitted


def _covariance(target: _Target, fitted: _Fitted, factors: StructureFactors) -> Floats:
    """Return the covariance of the parameters; errors of structure factors are correlated, which weights leave out.

    Tails as wide as the cell hardly show in the structure factors. Their limits are what is known of them besides.
    """
    worth, slopes = np.tile(target.worth, 2), fitted.slopes
    limits = np.zeros(len(fitted.parameters))
    if len(_tails_of(fitted.parameters)):
        limits[-2:] = [12 / np.ptp(ends) ** 2 for ends in (_TAIL_SHARES, np.log(_TAIL_WIDTHS))]  # of a uniform variable
    inverse = np.linalg.pinv(slopes.T @ slopes + np.diag(limits))
    error = slopes.T @ (factors.covariance * np.outer(worth, worth)) @ slopes + np.diag(limits)
    return np.asarray(inverse @ error @ inverse.T)


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
    """Parameters of columns and tails with what they leave, in σ, and its derivatives."""

    parameters: Floats
    misses: Floats
    slopes: Floats


def _fitted(target: _Target, started: Floats) -> _Fitted:
    """Return the columns, and tails if they are begun with, that fit best."""
    if len(started) == 0:
        misses = target.misses(started)
        return _Fitted(started, misses, np.zeros((len(misses), 0)))
    side, count = np.sqrt(target.area), len(_rows(started))
    low = np.tile([-np.inf, -np.inf, -np.inf, np.log(_NARROWEST * side)], count)
    high = np.tile([np.inf, np.inf, np.inf, np.log(_WIDEST * side)], count)
    if len(_tails_of(started)):
        low, high = (
            np.append(columns, [share, np.log(width * side)])
            for columns, share, width in zip((low, high), _TAIL_SHARES, _TAIL_WIDTHS, strict=True)
        )
    solved = least_squares(
        target.misses, np.clip(started, low + 1e-6, high - 1e-6), target.slopes, max_nfev=_STEPS, x_scale="jac",
        bounds=(low, high),
    )  # fmt: skip
    return _Fitted(solved.x, solved.fun, solved.jac)


def _distinct(rows: Floats, basis: Floats) -> bool:
    """Tell whether every column is one of its own, and none a correction to the shape of another."""
    apart = rows[:, None, :2] - rows[:, :2]
    distance = np.linalg.norm((apart - np.rint(apart)) @ basis, axis=-1)
    width = np.exp(rows[:, 3])
    far = distance > _SEPARATE * (width[:, None] + width) / 2
    return bool((far | np.eye(len(rows), dtype=bool)).all())


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
