"""Class probabilities of measured cells: the posterior of each window and what its draws add up to."""

from __future__ import annotations

import numpy as np

from bravaismap.classify.answer import Answer, Cells
from bravaismap.classify.dropout import predictive_entropy
from bravaismap.classify.posterior import class_probability, sample_probability
from bravaismap.compute.device import PROCESSOR
from bravaismap.conventions import CLASSES, NONE

__all__ = ["classified"]

_AT_ONCE = 4096  # windows whose probabilities are worked out together


def classified(cells: Cells, distortion: float, samples: int, seed: int, device: str = PROCESSOR) -> Answer:
    """Return the class probabilities of measured cells.

    The probability is the posterior of the measurement itself; σ and mutual information come from `samples` draws of
    what another measurement could have been (0 for none, with NaN for both), worked out on `device`.
    """
    count = len(cells.evidence)
    probability = np.tile(np.eye(len(CLASSES))[CLASSES.index(NONE)], (count, 1))
    std, information = np.zeros_like(probability), np.zeros(count)
    if not samples:
        std[:], information[:] = np.nan, np.nan
    known = np.flatnonzero(np.isfinite(cells.basis).all(axis=(1, 2)) & np.isfinite(cells.evidence))
    for first in range(0, len(known), _AT_ONCE):
        some = known[first : first + _AT_ONCE]
        measured = cells.basis[some], cells.covariance[some], cells.evidence[some]
        probability[some] = class_probability(*measured, distortion, device)
        if samples:
            mean, std[some], doubt = sample_probability(*measured, distortion, samples, seed, device)
            information[some] = np.maximum(predictive_entropy(mean) - doubt, 0)
    return Answer(probability, std, predictive_entropy(probability), information, None, cells)
