"""Populations of sites: the usual atom, none, and perhaps another atom, as the amplitudes of all sites have them.

In a counted image the noise of a site grows with the atom it holds, and its distribution leans to the brighter side.
Both are taken into account by comparing amplitudes where their noise is even, as one takes the root of counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["OCCUPIED", "SUBSTITUTED", "VACANT", "SitePopulations", "fit_populations", "log_density"]

Floats = NDArray[np.float64]

#: Places of the populations along an axis.
VACANT, OCCUPIED, SUBSTITUTED = 0, 1, 2
#: Amplitudes that another atom may have: too close to 0 or 1 it would be one of these. They are tried one by one, since
#: an amplitude that is fitted wanders to the flank of the usual atom, whose distribution is not quite the assumed one.
_OTHER_ATOMS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.25, 1.4, 1.6, 1.9, 2.3, 2.8, 3.5)
#: Spread of the amplitudes of vacancies beyond their errors, smallest spread, and that of atoms if nothing is known.
_VACANT_SPREAD, _LEAST_SPREAD, _ASSUMED_SPREAD = 0.04, 0.02, 0.15
#: Largest spread of another atom over that of the usual one: a wide population would take all that is strange.
_WIDEST = 1.5
#: Share of vacancies where there are too few sites to tell, and the smallest share.
_ASSUMED_VACANT, _LEAST_SHARE = 0.02, 1e-5
_FEWEST_SITES = 30
_ROUNDS = 30
#: Variance of an amplitude over that of a vacancy, at least.
_LEAST_VARIANCE = 0.1


@dataclass(frozen=True)
class SitePopulations:
    """Populations in the order vacant, occupied, substituted.

    Attributes
    ----------
    amplitude : array, shape (3,)
        Mean of each; that of `substituted` is NaN if there is no other atom.
    spread : array, shape (3,)
        Standard deviation of each beyond the errors of the sites.
    share : array, shape (3,)
    """

    amplitude: Floats
    spread: Floats
    share: Floats


def log_density(amplitude: Floats, std: Floats, populations: SitePopulations) -> Floats:
    """Return the log density of amplitudes in each population, (sites, 3).

    Parameters
    ----------
    amplitude : array, shape (sites,)
    std : array, shape (sites, 2)
        σ if there is no atom, and if there is the usual one; the variance is linear between.
    populations : SitePopulations

    Notes
    -----
    With variance V(s) = α + βs, ``2 (s − m) / (√V(s) + √V(m))`` is the difference of the roots whose noise is even,
    (2 / β) [√V(s) − √V(m)], and stays true where β is 0.
    """
    mean = np.nan_to_num(populations.amplitude, nan=0.5)
    spread = populations.spread**2
    there = _variance(amplitude[:, None], std) + spread
    distance = 2 * (amplitude[:, None] - mean) / (np.sqrt(there) + np.sqrt(_variance(mean, std) + spread))
    return np.asarray(-0.5 * distance**2 - 0.5 * np.log(2 * np.pi * there))


def _variance(level: Floats, std: Floats) -> Floats:
    even, usual = (std.T**2)[:, :, None]
    return np.asarray(np.maximum(even + level * (usual - even), _LEAST_VARIANCE * even))


def fit_populations(amplitude: Floats, std: Floats) -> SitePopulations:
    """Fit the populations of the sites of a sublattice.

    Parameters
    ----------
    amplitude : array, shape (sites,)
    std : array, shape (sites, 2)
        As in :func:`log_density`.

    Returns
    -------
    SitePopulations
        With another atom if that raises the Bayesian information criterion (G. Schwarz, Ann. Stat. 6, 461 (1978)). What
        is usual if there are too few sites to tell.
    """
    if len(amplitude) < _FEWEST_SITES:
        return SitePopulations(
            np.array([0.0, 1.0, np.nan]),
            np.array([_VACANT_SPREAD, _ASSUMED_SPREAD, _LEAST_SPREAD]),
            np.array([_ASSUMED_VACANT, 1 - _ASSUMED_VACANT, 0.0]),
        )
    fitted, best = _expectation_maximisation(amplitude, std, np.nan)
    toll = 1.5 * np.log(len(amplitude))  # its amplitude, its spread, its share
    for other in _OTHER_ATOMS:
        candidate, likelihood = _expectation_maximisation(amplitude, std, other)
        if likelihood - toll > best:
            fitted, best = candidate, likelihood - toll
    return fitted


def _expectation_maximisation(amplitude: Floats, std: Floats, other: float) -> tuple[SitePopulations, float]:
    """The populations with another atom of a given amplitude, or without for NaN, and their log likelihood."""
    alone = bool(np.isnan(other))
    populations = SitePopulations(
        np.array([0.0, 1.0, other]),
        np.array([_VACANT_SPREAD, 0.1, 0.1]),
        np.array([0.05, 0.95, 0.0]) if alone else np.array([0.02, 0.9, 0.08]),
    )
    for _ in range(_ROUNDS):
        probability = np.exp(log_density(amplitude, std, populations)) * populations.share
        probability /= probability.sum(1, keepdims=True).clip(1e-300)
        share = np.maximum(probability.mean(0), [_LEAST_SHARE, _LEAST_SHARE, 0.0 if alone else _LEAST_SHARE])
        mean = np.nan_to_num(populations.amplitude, nan=0.5)
        chance = _variance(mean, std)
        precision = probability / (chance + populations.spread**2)
        usual = (precision[:, OCCUPIED] @ amplitude) / max(precision[:, OCCUPIED].sum(), 1e-300)
        # the spread whose expected squared deviation is met: one step of Fisher scoring
        worth = precision / (chance + populations.spread**2)
        excess = (worth * ((amplitude[:, None] - mean) ** 2 - chance)).sum(0) / worth.sum(0).clip(1e-300)
        spread = np.sqrt(np.maximum(excess, _LEAST_SPREAD**2))
        populations = SitePopulations(
            np.array([0.0, np.clip(usual, 0.8, 1.2), other]),
            np.array([_VACANT_SPREAD, spread[1], min(spread[2], _WIDEST * spread[1])]),
            share / share.sum(),
        )
    total = (np.exp(log_density(amplitude, std, populations)) * populations.share).sum(1)
    return populations, float(np.log(total.clip(1e-300)).sum())
