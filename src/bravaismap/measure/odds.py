"""Odds: from the log evidence for a lattice to the probability that there is none."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from bravaismap.conventions import Floats
from bravaismap.measure import settings

__all__ = ["least_evidence", "none_probability"]


def none_probability(evidence: ArrayLike) -> Floats:
    """Return the probability that there is no lattice, from the log evidence for one."""
    odds = settings.SETTINGS.odds
    return np.asarray(expit(-odds.slope * (np.asarray(evidence, float) - odds.even_evidence)))


def least_evidence(pixels: int) -> float:
    """Return the least evidence that a window of so many pixels can give, so that `none` is not surer than it can be.

    A lattice too faint or too large for a window leaves no evidence in it. How often is a matter of what people look
    at: of our `simulated` and `realistic` lattices none of 2000 in windows of 128 px, of `wide` ones a fifth. It is
    taken to be 0.3 % there and 16 times as much for half the side, but at most 8 % (below 57 px), or nothing would be
    called `none`.
    """
    odds = settings.SETTINGS.odds
    missed = min(odds.missed_share * (128**2 / pixels) ** 2, odds.most_missed)
    return odds.even_evidence - float(np.log(odds.none_odds / missed)) / odds.slope
