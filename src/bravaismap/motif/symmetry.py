"""Symmetry: how probable each of the 17 plane groups is, from structure factors with errors.

A plane group ties structure factors to one another: F(h W) = F(h) exp(−2πi h·t) for each of its operations (W, t), once
the origin is where the group has it. Those that obey are a linear subspace, on which P projects by averaging over the
group. The evidence of a group in a setting is the probability of the measured structure factors y when those of the
crystal are drawn from Wilson's law within the subspace, y ~ N(0, P S P + C) with S the variance that the law expects
and C the covariance of the errors, and the origin lies anywhere in the cell, by Laplace's method about the most likely
one. A group is paid for leaving less to chance, as by a geometric information criterion, but with the true weight of
each structure factor: one below the noise says nothing for a group and nothing against it. Structure factors of few
atoms are less free than Wilson's law has them, and agree or disagree together, so that the log evidence is divided by a
number above 1. The prior probability of a group grows with its operations, since a motif of few atoms can only have a
high one if each stands for many, and often has a higher one than it was put together with; the settings of a group
share it. The shape of the lattice speaks too: it lies within the distortion of a square for a
group that needs one, and anywhere for p2, so that a square lattice is unlikely with p2, but for one crystal in so many
that has more symmetry in its lattice than in its motif.

A motif may have a higher group nearly: two columns that differ a little, an atom just beside a mirror. A part of the
prior of each group is for such motifs, whose structure factors are drawn within the higher group but for a weak part
within the lower one. They keep a group that is not contradicted from being certain.

Any image breaks the symmetries of its crystal a little: by a probe or a tip that is not round, and by all else that is
not ideal. Such errors do not shrink with the dose; they are proportional to the structure factors, and to k beyond the
strong ones, and C holds `systematic` times their size beside the noise.

References
----------
P. Moeck, arXiv:1902.04155. Y. Liu, R. T. Collins and Y. Tsin, IEEE PAMI 26, 354 (2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import logsumexp

from bravaismap.conventions import Complexes, Floats, Integers
from bravaismap.errors import InputError
from bravaismap.lattice import reciprocal
from bravaismap.motif.plane_groups import PLANE_GROUPS, PlaneGroup, Setting, compatible_settings, contains
from bravaismap.motif.projection import GroupAverage, both_halves, closed_orders, group_average, parts, projection
from bravaismap.motif.structure_factors import StructureFactors

__all__ = ["GroupFit", "Symmetry", "find_symmetry", "symmetrized"]

#: Misfits are followed up to so many σ of a lattice's distortion.
_FARTHEST = 4.0
_STARTS = 3  # highest peaks of the likelihood over the origin that are refined
_STEPS = 6  # of Newton's method, at most
#: Prior share of motifs that nearly have a higher group, and the strength of what breaks it, all equally probable.
_NEARLY = 0.3
_BREAKING = (1.0, 0.3, 0.1, 0.03)
#: Prior share of crystals whose lattice has a higher symmetry than their motif asks for.
_BY_CHANCE = 0.02
#: Density of shapes of oblique lattices: one over the hyperbolic area π/6 of their domain, of which square and
#: hexagonal ones are points and the rectangular ones lines, of about unit length as far as cells are common.
_OBLIQUE = 6 / np.pi
_LINES, _POINTS = ("rectangular", "centered_rectangular"), ("square", "hexagonal")
#: What the log evidence is divided by, and the power of the number of operations that the prior is in proportion to:
#: of 1428 random motifs of 2 to 12 atoms (benchmarks/plane_groups.py, seeds 900 and 901) these are calibrated best.
#: With 1 and 1, groups stated with 0.85 to 0.95 were right in 0.87, and 142 motifs of p6mm were expected to be 104.
_DEPENDENCE, _BY_OPERATIONS = 1.3, 1.5
#: Log evidence below the best by which a group may lie for motifs that nearly have it to be weighed.
_WITHIN = 12.0


@dataclass(frozen=True, eq=False)
class GroupFit:
    """A plane group in a setting, as it fits the structure factors.

    Attributes
    ----------
    setting : Setting
    origin : array, shape (2,)
        Fractional coordinates of the group's origin, from 0 to below 1; 0 along directions in which it is free.
    origin_std : array, shape (2,)
        NaN along a direction in which the origin is free.
    log_evidence : float
        Against p1, of the structure factors in this setting.
    log_shape : float
        Log density of the lattice's shape if this is its setting.
    origin_share : float
        The part of it that is the logarithm of the share of the cell in which the origin may lie.
    chi_square : float
        rᵀ C⁻¹ r of what does not obey.
    constraints : int
        How many real numbers it would leave at zero: the expectation of `chi_square`.
    residual : float
        Root of the share of the power, above the noise, that does not obey: 0 for a perfect symmetry.
    """

    setting: Setting
    origin: Floats
    origin_std: Floats
    log_evidence: float
    log_shape: float
    origin_share: float
    chi_square: float
    constraints: int
    residual: float


@dataclass(frozen=True, eq=False)
class Symmetry:
    """Plane groups with their probabilities.

    Attributes
    ----------
    probability : array, shape (17,)
        In the order of :data:`~bravaismap.motif.plane_groups.PLANE_GROUPS`; 0 for those the lattice does not allow.
    fits : tuple of GroupFit or None
        The best setting of each group, None where the lattice allows none.
    settings : tuple of GroupFit
        All that were tried.
    """

    probability: Floats
    fits: tuple[GroupFit | None, ...]
    settings: tuple[GroupFit, ...]

    @property
    def best(self) -> GroupFit:
        """The most probable group in its best setting."""
        fit = self.fits[int(np.argmax(self.probability))]
        assert fit is not None
        return fit

    @property
    def group(self) -> PlaneGroup:
        """The most probable group."""
        return self.best.setting.group

    def summed(self, attribute: str) -> dict[str, float]:
        """Return the probability of each ``"point_group"``, ``"laue_class"`` or ``"lattice"`` of the groups."""
        total: dict[str, float] = {}
        for group, p in zip(PLANE_GROUPS, self.probability, strict=True):
            value = getattr(group, attribute)
            total[value] = total.get(value, 0.0) + float(p)
        return total


@dataclass(frozen=True, eq=False)
class _Evidence:
    """What all settings are weighed with.

    Attributes
    ----------
    full : int array, shape (2n, 2)
        Orders of the half plane, then their negatives.
    value : complex array, shape (2n,)
    weight : array, shape (2n,)
        1/σ² − 1/(σ² + S) of each order alone: worth of a misfit, for the search of the origin.
    error, expected : arrays, shapes (2n, 2n) and (2n,)
        C and S, over real parts and then imaginary parts.
    precision, misfit : arrays, shape (2n, 2n)
        C⁻¹ and C⁻¹ − (C + S)⁻¹.
    chance : float
        Log probability of the structure factors when no group ties them (p1).
    noise : float
        Sum of σ² over the half plane.
    """

    full: Integers
    value: Complexes
    weight: Floats
    error: Floats
    expected: Floats
    precision: Floats
    misfit: Floats
    chance: float
    noise: float

    def log_probability(self, kept: Floats) -> float:
        """Return the log probability of the structure factors when those of the crystal are in the subspace of P."""
        covariance = (kept * self.expected) @ kept.T + self.error
        return _log_normal(parts(self.value), covariance)


def find_symmetry(
    factors: StructureFactors,
    distortion: float = 0.02,
    systematic: float = 0.0,
    lattice_std: float = 0.0,
    settings: Sequence[Setting] | None = None,
) -> Symmetry:
    """Return the probabilities of the plane groups.

    Parameters
    ----------
    factors : StructureFactors
        On a reduced basis.
    distortion : float
        Distortion of the scan, σ of each component of its linear map, as in a classification: a lattice within it of a
        square may be one. The structure factors themselves do not change under it.
    systematic : float
        Errors of structure factors that are not noise, as a fraction of their size: 0 for a perfect simulation.
    lattice_std : float
        σ of the shape of the measured lattice, as a strain.
    settings : sequence of Setting, optional
        Those to try, in place of all that the lattice allows.

    Raises
    ------
    InputError
        If `distortion` or `systematic` is negative or not finite, or no order was measured with all its images.
    """
    for name, value in (("distortion", distortion), ("systematic", systematic)):
        if not 0 <= value < 1:
            raise InputError(f"{name} = {value} was given; expected a fraction from 0 to below 1, such as 0.02")
    spread = float(np.sqrt(2 * distortion**2 + lattice_std**2)) + 1e-6
    if settings is None:
        settings = compatible_settings(factors.basis, _FARTHEST * spread)
    closed = closed_orders(factors, settings)
    if len(closed.order) == 0:
        raise InputError("no structure factor was measured together with its equivalents; give an image of more pixels")
    evidence = _weighed(closed, systematic)
    shapes = _log_shapes(settings, spread)
    fits = tuple(_fit(evidence, setting, shape) for setting, shape in zip(settings, shapes, strict=True))
    with_nearly = _with_nearly(evidence, fits) / _DEPENDENCE + shapes
    log_evidence = np.full(len(PLANE_GROUPS), -np.inf)
    best: list[GroupFit | None] = []
    for group in PLANE_GROUPS:
        own = [i for i, fit in enumerate(fits) if fit.setting.group is group]
        if own:
            prior = _BY_OPERATIONS * np.log(len(group.matrices)) - np.log(len(own))
            log_evidence[group.number - 1] = logsumexp(with_nearly[own]) + prior
        best.append(max((fits[i] for i in own), key=lambda fit: fit.log_evidence + fit.log_shape) if own else None)
    return Symmetry(np.exp(log_evidence - logsumexp(log_evidence)), tuple(best), fits)


def _log_shapes(settings: Sequence[Setting], spread: float) -> Floats:
    """Return the log density of the lattice's shape for each setting."""
    level = {
        **dict.fromkeys(_LINES, 1 / (np.sqrt(2 * np.pi) * spread)),
        **dict.fromkeys(_POINTS, 1 / (2 * np.pi * spread**2)),
    }
    own = np.array([level.get(s.group.lattice, _OBLIQUE) * np.exp(-((s.misfit / spread) ** 2) / 2) for s in settings])
    return np.asarray(np.log((1 - _BY_CHANCE) * own + _BY_CHANCE * np.where(own < own.max(), own.max(), own)))


def _with_nearly(evidence: _Evidence, fits: Sequence[GroupFit]) -> Floats:
    """Return the log evidence of each setting, motifs that nearly have a higher one included."""
    highest = max(fit.log_evidence for fit in fits)
    total = []
    for lower in fits:
        above = [fit for fit in fits if fit is not lower and contains(fit.setting, lower.setting)]
        if not above:
            total.append(lower.log_evidence)
            continue
        terms = [lower.log_evidence + np.log(1 - _NEARLY)]
        for higher in above:
            if higher.log_evidence > highest - _WITHIN:
                nearly = _nearly(evidence, higher, lower)
                terms += list(nearly + np.log(_NEARLY / len(above) / len(_BREAKING)))
        total.append(float(logsumexp(terms)))
    return np.array(total)


def _nearly(evidence: _Evidence, higher: GroupFit, lower: GroupFit) -> Floats:
    """Return the log evidence of a motif that nearly has a higher group, for each strength of what breaks it."""
    setting = higher.setting
    kept = (setting.matrices[:, None] == lower.setting.matrices).all(axis=(-2, -1)).any(axis=1)
    common = Setting(lower.setting.group, setting.change, setting.matrices[kept], setting.translations[kept])
    whole, part = (projection(evidence.full, each, higher.origin) for each in (setting, common))
    obeying = (whole * evidence.expected) @ whole.T + evidence.error
    breaking = ((part - whole) * evidence.expected) @ (part - whole).T
    measured = parts(evidence.value)
    found = [_log_normal(measured, obeying + strength**2 * breaking) for strength in _BREAKING]
    return np.array(found) - evidence.chance + higher.origin_share


def symmetrized(factors: StructureFactors, fit: GroupFit) -> StructureFactors:
    """Return the structure factors averaged over a group, those only whose partners were all measured."""
    closed = closed_orders(factors, [fit.setting])
    full, value = both_halves(closed)
    terms = group_average(full, value, fit.setting)
    mean = terms.average(fit.origin)[: len(closed.order)]
    return StructureFactors(closed.basis, closed.order, mean, closed.std, closed.expected, closed.covariance)


def _weighed(factors: StructureFactors, systematic: float) -> _Evidence:
    full, value = both_halves(factors)
    strength = (np.abs(factors.value) ** 2 + factors.expected) / 2 * _farther_out(factors)
    variance = factors.std**2 + systematic**2 * strength
    twice = [np.concatenate([part, part]) / 2 for part in (systematic**2 * strength, factors.expected)]
    error = factors.covariance + np.diag(twice[0])
    scale = np.sqrt(np.diag(error))
    outer = np.outer(scale, scale)
    small, low = np.linalg.eigh(error / outer)
    small = np.maximum(small, 1e-5 * small[-1])
    error = (low * small) @ low.T * outer
    precision = (low / small) @ low.T / outer
    large = np.linalg.inv(error + np.diag(twice[1]))
    weight = 1 / variance - 1 / (variance + factors.expected)
    chance = _log_normal(parts(value), error + np.diag(twice[1]))
    return _Evidence(
        full, value, np.concatenate([weight, weight]), error, twice[1], precision, precision - large, chance,
        float(variance.sum()),
    )  # fmt: skip


def _farther_out(factors: StructureFactors) -> Floats:
    """Return the square of how much more systematic errors change each order than the strong ones, 1 or more.

    The phase that an aberration or a fault of the scan gives to a structure factor grows in proportion to k at least.
    """
    square = ((factors.order @ reciprocal(factors.basis)) ** 2).sum(axis=1)
    power = np.maximum(np.abs(factors.value) ** 2 - factors.std**2, 0) + 1e-300
    return np.asarray(np.maximum(square / np.average(square, weights=power), 1.0))


def _log_normal(values: Floats, covariance: Floats) -> float:
    """Return the log density, but for a constant, of a normal distribution about zero."""
    factor = cholesky(covariance, lower=True, check_finite=False)
    white = solve_triangular(factor, values, lower=True, check_finite=False)
    return float(-(white @ white) / 2 - np.log(np.diag(factor)).sum())


def _fit(evidence: _Evidence, setting: Setting, log_shape: float) -> GroupFit:
    """Return how a setting fits, at the origin of the most likelihood."""
    terms = group_average(evidence.full, evidence.value, setting)
    directions, equivalent = setting.freedom
    measured = parts(evidence.value)
    fits = [_refined(evidence, terms, directions, start, measured) for start in _starts(evidence, terms, directions)]
    origin, _, curve = min(fits, key=lambda fit: fit[1])
    rest = measured - parts(terms.average(origin))
    kept = projection(evidence.full, setting, origin)
    log_evidence = evidence.log_probability(kept) - evidence.chance
    constraints = len(measured) - float(np.trace(kept))
    std, share = np.full(2, np.nan), 0.0
    if len(directions):
        volume = equivalent * np.sqrt((2 * np.pi) ** len(directions) / max(float(np.linalg.det(curve)), 1e-300))
        share = min(0.0, float(np.log(volume)))
        std = np.sqrt(np.diag(directions.T @ np.linalg.pinv(curve, hermitian=True) @ directions).clip(0))
        std = np.where((directions != 0).any(axis=0), std, np.nan)
    power = float((np.abs(evidence.value) ** 2).sum() / 2)
    broken = float((rest**2).sum()) - evidence.noise * constraints / max(len(measured), 1)
    residual = np.sqrt(max(broken, 0.0) / max(power - evidence.noise, 1e-300))
    return GroupFit(
        setting, origin % 1.0, std, float(log_evidence + share), float(log_shape), share, float(rest @
        evidence.precision @ rest), round(constraints), float(min(residual, 1.0)),
    )  # fmt: skip


def _starts(evidence: _Evidence, terms: GroupAverage, directions: Integers) -> list[Floats]:
    """Return the origins of the highest peaks of the likelihood of each order alone, from a Fourier series."""
    if len(directions) == 0:
        return [np.zeros(2)]
    index = terms.shift @ directions.T
    reach = int(np.abs(index).max(initial=1))
    side = 1 << int(np.ceil(np.log2(3 * reach + 2)))
    series = np.zeros((side,) * len(directions), complex)
    np.add.at(series, tuple(np.moveaxis(index, -1, 0)), evidence.weight * np.conj(evidence.value) * terms.value)
    likely = np.fft.ifftn(series).real
    peak = np.ones_like(likely, bool)
    for axis in range(likely.ndim):
        for step in (1, -1):
            peak &= likely >= np.roll(likely, step, axis)
    places = np.argwhere(peak)
    highest = places[np.argsort(-likely[tuple(places.T)], kind="stable")]
    distinct: list[Floats] = []
    for place in highest:
        origin = place @ directions / side
        if len(distinct) < _STARTS:
            distinct.append(origin)
    return distinct


def _refined(
    evidence: _Evidence, terms: GroupAverage, directions: Integers, origin: Floats, measured: Floats
) -> tuple[Floats, float, Floats]:
    """Return origin, rᵀ K r and half its second derivative by the directions, after Gauss–Newton steps."""

    def state(place: Floats) -> tuple[Complexes, Floats, float]:
        turned = terms.turned(place)
        rest = measured - parts(turned.sum(axis=0))
        weighted = evidence.misfit @ rest
        return turned, weighted, float(rest @ weighted)

    turned, weighted, cost = state(origin)
    curve = np.zeros((len(directions), len(directions)))
    for _ in range(_STEPS if len(directions) else 0):
        slope = np.stack([parts((2j * np.pi * (terms.shift @ d) * turned).sum(axis=0)) for d in directions])
        curve = slope @ evidence.misfit @ slope.T
        step = np.linalg.solve(curve + 1e-12 * (np.trace(curve) + 1e-300) * np.eye(len(curve)), slope @ weighted)
        step = np.clip(step, -0.05, 0.05)
        trial = origin + step @ directions
        after = state(trial)
        if after[2] >= cost:
            break
        gained = cost - after[2]
        origin, (turned, weighted, cost) = trial, after
        if gained < 1e-3:
            break
    return origin, cost, curve
