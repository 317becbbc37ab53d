"""Reliability of a classifier: the share of right answers in bins of its confidence, and its calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from bravaismap.conventions import Floats

__all__ = [
    "CALIBRATION_BINS",
    "Reliability",
    "binomial_interval",
    "calibrated_error",
    "calibration_error",
    "confidence_bins",
    "reliability",
    "reliability_table",
]


#: Bins of equal width between 0 and 1.
CALIBRATION_BINS = 15
_TAIL = 0.025  # of a 95 % interval
_BAR = 30  # characters of the bar of a share of 1
_DRAWN_AT_ONCE = 4_000_000  # windows, for memory


@dataclass(frozen=True)
class Reliability:
    """Mean confidence and share of right answers of windows, in bins of the confidence.

    Attributes
    ----------
    edges : array, shape (bins + 1,)
    count : int array, shape (bins,)
    confidence, right : arrays, shape (bins,)
        Mean probability of the most probable class, and the share of windows where it is the right one; NaN in a bin
        without windows.
    low, high : arrays, shape (bins,)
        The exact binomial 95 % interval of the share.
    """

    edges: Floats
    count: NDArray[np.int64]
    confidence: Floats
    right: Floats
    low: Floats
    high: Floats


def confidence_bins(confidence: Floats, bins: int = CALIBRATION_BINS) -> NDArray[np.intp]:
    """Return the bin (n,) of each confidence (n,); a confidence of 1 is in the last one."""
    return np.minimum((confidence * bins).astype(np.intp), bins - 1)


def calibration_error(confidence: Floats, right: NDArray[np.bool_], bins: int = CALIBRATION_BINS) -> float:
    """Return the expected calibration error: the mean over bins of |share right − mean confidence|.

    Parameters
    ----------
    confidence : array, shape (n,)
        Probability of the most probable class.
    right : bool array, shape (n,)
    bins : int
        Number of bins of equal width between 0 and 1.

    References
    ----------
    C. Guo et al., Proc. ICML 70, 1321 (2017), eq. 3.
    """
    gap = np.bincount(confidence_bins(confidence, bins), weights=right - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def calibrated_error(confidence: Floats, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Return the calibration error that a perfectly calibrated model of these confidences would show by chance.

    A set of windows is finite: the share right in a bin scatters about the confidence there, and the error is a sum of
    distances, so it is above 0 even for a perfect model. It is the lowest error that a set can be expected to show.

    Parameters
    ----------
    confidence : array, shape (n,)
        Probability of the most probable class.
    draws : int
        Simulated sets, in which each window is right with its confidence.
    seed : int

    Returns
    -------
    mean, high : float
        Mean over the sets, and their 95th percentile.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(confidence_bins(confidence), kind="stable")
    confidence = np.asarray(confidence, float)[order]
    first = np.unique(confidence_bins(confidence), return_index=True)[1]
    errors = []
    per_pass = max(1, _DRAWN_AT_ONCE // len(confidence))
    for start in range(0, draws, per_pass):
        drawn = rng.random((min(per_pass, draws - start), len(confidence))) < confidence
        errors.append(np.abs(np.add.reduceat(drawn - confidence, first, axis=1)).sum(axis=1) / len(confidence))
    error = np.concatenate(errors)
    return float(error.mean()), float(np.quantile(error, 0.95))


def binomial_interval(hits: ArrayLike, count: ArrayLike) -> tuple[Floats, Floats]:
    """Return the exact 95 % interval of a share, given the hits in a count of trials (NaN where the count is 0).

    References
    ----------
    C. J. Clopper and E. S. Pearson, Biometrika 26, 404 (1934).
    """
    hits, count = np.asarray(hits, float), np.asarray(count, float)
    missed = count - hits
    low = np.where(hits > 0, betaincinv(np.maximum(hits, 1), missed + 1, _TAIL), 0.0)
    high = np.where(missed > 0, betaincinv(hits + 1, np.maximum(missed, 1), 1 - _TAIL), 1.0)
    return np.where(count > 0, low, np.nan), np.where(count > 0, high, np.nan)


def reliability(probability: Floats, labels: NDArray[np.integer], bins: int = CALIBRATION_BINS) -> Reliability:
    """Return the reliability of class probabilities (n, classes) against labels (n,), positions of the classes.

    Parameters
    ----------
    probability : array, shape (n, classes)
    labels : int array, shape (n,)
    bins : int
        Number of bins of equal width between 0 and 1.
    """
    confidence, right = probability.max(axis=1), probability.argmax(axis=1) == labels
    bin_number = confidence_bins(confidence, bins)
    count = np.bincount(bin_number, minlength=bins)
    hits = np.bincount(bin_number, weights=right, minlength=bins)
    total = np.bincount(bin_number, weights=confidence, minlength=bins)
    filled = np.where(count > 0, count, np.nan)
    return Reliability(
        np.linspace(0, 1, bins + 1), count, total / filled, hits / filled, *binomial_interval(hits, count)
    )


def reliability_table(curve: Reliability) -> str:
    """Return a reliability diagram as text: a line per bin that holds windows, with a bar of the share right.

    The bar ends at the share right; ``|`` stands at the mean confidence.
    """
    lines = ["    confidence    windows    mean   right  95 % interval   share right (=), mean confidence (|)"]
    for i in np.flatnonzero(curve.count):
        bar = list(("=" * round(_BAR * curve.right[i])).ljust(_BAR))
        bar[min(round(_BAR * curve.confidence[i]), _BAR - 1)] = "|"
        lines.append(
            f"    {curve.edges[i]:.3f}–{curve.edges[i + 1]:.3f} {curve.count[i]:>9}   {curve.confidence[i]:.3f}   "
            f"{curve.right[i]:.3f}   {curve.low[i]:.3f}–{curve.high[i]:.3f}    {''.join(bar).rstrip()}"
        )
    return "\n".join(lines)
