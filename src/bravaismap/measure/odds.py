"""Odds: from the log evidence for a lattice to the probability that there is none."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from bravaismap.conventions import Floats

__all__ = ["EVEN_EVIDENCE", "ODDS_SLOPE", "least_evidence", "none_probability"]

#: Evidence at which a lattice and none are as likely, and the slope of the log odds; fitted on simulated windows.
EVEN_EVIDENCE = 23.0
ODDS_SLOPE = 0.45


def none_probability(evidence: ArrayLike) -> Floats:
    """Return the probability that there is no lattice, from the log evidence for one."""
    return np.asarray(expit(-ODDS_SLOPE * (np.asarray(evidence, float) - EVEN_EVIDENCE)))


def least_evidence(pixels: int) -> float:
    """Return the least evidence that a window of so many pixels can give, so that `none` is not surer than it can be.

    A lattice too faint or too large for a window leaves no evidence in it. How often is a matter of what people look
    at: of our `simulated` and `realistic` lattices none of 2000 in windows of 128 px, of `wide` ones a fifth. It is
    taken to be 0.3 % there and 16 times as much for half the side, but at most 8 % (below 57 px), or nothing would be
    called `none`.
    """
    missed = min(0.003 * (128**2 / pixels) ** 2, 0.08)
    return EVEN_EVIDENCE - float(np.log(0.2 / missed)) / ODDS_SLOPE
