"""Phase fractions: the mean probability of each class over the windows of a frame, and its standard deviation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bravaismap.conventions import Floats
from bravaismap.phases.cells import independent_windows

__all__ = ["independent_std", "measured_fractions", "phase_fractions"]


def phase_fractions(probability: Floats, pass_total: Floats) -> tuple[Floats, Floats]:
    """Return the phase fraction of a frame and its standard deviation.

    Parameters
    ----------
    probability : array, shape (windows, classes)
        Mean probabilities.
    pass_total : array, shape (passes, classes)
        Sum of the probabilities over the windows in each pass.

    Returns
    -------
    fraction, fraction_std : arrays, shape (classes,)
        The mean probability of each class over the windows (the paper's phase fraction), and the standard deviation of
        that mean over the passes: NaN for a single pass.
    """
    fraction = probability.mean(axis=0)
    if len(pass_total) < 2:
        return fraction, np.full_like(fraction, np.nan)
    return fraction, (pass_total / len(probability)).std(axis=0, ddof=1)


def measured_fractions(probability: Floats, size: Iterable[int], window: int) -> tuple[Floats, Floats]:
    """Return the phase fraction of a frame over the windows that were classified, and its standard deviation.

    Parameters
    ----------
    probability : array, shape (windows, classes)
        NaN for a window that was not classified.
    size : (int, int)
        Height and width of the frame in px.
    window : int
        Side of a window in px.

    Returns
    -------
    fraction, fraction_std : arrays, shape (classes,)
        NaN where no window was classified. The number of windows with independent errors is that of the windows that
        fit side by side into the measured share of the frame.
    """
    measured = np.isfinite(probability).all(axis=-1)
    if not measured.any():
        return np.full(probability.shape[1:], np.nan), np.full(probability.shape[1:], np.nan)
    count = max(1.0, independent_windows(size, window, len(probability)) * float(measured.mean()))
    return probability[measured].mean(axis=0), independent_std(probability[measured], count)


def independent_std(probability: Floats, independent: float) -> Floats:
    """Return the standard deviation of phase fractions over windows with independent errors.

    Parameters
    ----------
    probability : array, shape (..., windows, classes)
    independent : float
        Number of windows with independent errors; see :func:`bravaismap.phases.cells.independent_windows`.

    Returns
    -------
    array, shape (..., classes)
        √(mean of p(1 − p) / `independent`): the standard deviation of the share of windows that truly are of the
        class, if the errors of overlapping windows correlate and those of others are independent.
    """
    return np.asarray(np.sqrt((probability * (1 - probability)).clip(0).mean(axis=-2) / independent))
