"""Class probabilities of measured cells: the posterior of each window, with its spread over draws."""

from __future__ import annotations

import numpy as np

from bravaismap.classify.answer import Answer, Cells
from bravaismap.classify.dropout import predictive_entropy
from bravaismap.classify.posterior import class_probability, sample_probability
from bravaismap.compute.device import PROCESSOR
from bravaismap.conventions import CLASSES, NONE

__all__ = ["classified"]

#: Windows whose probabilities are computed together, on a processor and on a GPU.
_BATCH, _BATCH_ON_GPU = 4096, 16384


def classified(cells: Cells, distortion: float, samples: int, seed: int, device: str = PROCESSOR) -> Answer:
    """Return the class probabilities of measured cells.

    The probability is the posterior of the measurement itself. Its σ and the mutual information come from `samples`
    draws of repeated measurements (0 for none, with NaN for both). Everything is computed on `device`.
    """
    count = len(cells.evidence)
    probability = np.tile(np.eye(len(CLASSES))[CLASSES.index(NONE)], (count, 1))
    std, information = np.zeros_like(probability), np.zeros(count)
    if not samples:
        std[:], information[:] = np.nan, np.nan
    measured = np.flatnonzero(np.isfinite(cells.basis).all(axis=(1, 2)) & np.isfinite(cells.evidence))
    together = _BATCH if device == PROCESSOR else _BATCH_ON_GPU
    for first in range(0, len(measured), together):
        rows = measured[first : first + together]
        measurement = cells.basis[rows], cells.covariance[rows], cells.evidence[rows]
        if not samples:
            probability[rows] = class_probability(*measurement, distortion, device)
            continue
        repeated = sample_probability(*measurement, distortion, samples, seed, device)
        probability[rows], std[rows] = repeated.probability, repeated.std
        information[rows] = np.maximum(predictive_entropy(repeated.mean) - repeated.entropy, 0)
    return Answer(probability, std, predictive_entropy(probability), information, None, cells)
