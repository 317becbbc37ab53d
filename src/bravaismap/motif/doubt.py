"""Doubt about a motif: what a user should know before believing it, in plain words and from one place."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bravaismap.lattice import reciprocal
from bravaismap.motif.phase import HIGHEST
from bravaismap.motif.structure_factors import PatternFit

__all__ = ["motif_doubts", "strongest_rest"]

#: Amplitude of the strongest spot that is left, of the strongest of the pattern, from which it is worth a word. Of real
#: micrographs of one crystal none has more than 0.27; those of two grains, of layers that are displaced
#: without a period, and one with a cell that is not its own, have 0.39 to 0.55.
_WORTH_A_WORD = 1 / 3
#: Power over the noise at its distance from the centre from which a bin of a spectrum is a spot: noise alone has ln n
#: in the highest of n bins, 14 in a million.
_SPOT = 30.0
#: Width in bins of the rings whose median is the noise, and the part of the shortest reciprocal vector below which what
#: is left is background.
_RING, _BACKGROUND = 4.0, 0.5


def strongest_rest(fit: PatternFit) -> float:
    """Return the amplitude of the strongest spot that a pattern leaves unexplained, of that of its strongest order.

    Parameters
    ----------
    fit : PatternFit

    Returns
    -------
    float
        0 where what is left is noise and background.
    """
    shape = fit.residual.shape
    ky, kx = np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])
    distance = np.hypot(ky, kx)
    least = _BACKGROUND * float(np.linalg.norm(reciprocal(fit.basis), axis=1).min())
    inside = (distance > least) & (distance < HIGHEST)
    power, ring = fit.power[inside], (distance[inside] * min(shape) / _RING).astype(np.int64)
    order = np.argsort(ring, kind="stable")
    edges = np.flatnonzero(np.diff(ring[order])) + 1
    noise = np.zeros(int(ring.max(initial=0)) + 1)
    for part in np.split(order, edges):
        if len(part):
            noise[ring[part[0]]] = np.median(power[part]) / np.log(2)
    spots = power[power > _SPOT * noise[ring]]
    strongest = float((np.abs(fit.factors) ** 2).max(initial=0.0)) * float(fit.weight.sum()) ** 2
    return float(np.sqrt(spots.max(initial=0.0) / strongest)) if strongest > 0 else 0.0


def motif_doubts(motif: xr.Dataset) -> list[str]:
    """Return the reasons to doubt a motif, a line each; none for most.

    Parameters
    ----------
    motif : Dataset
        Of :func:`bravaismap.motif`.
    """
    rest = float(motif.attrs.get("unexplained", 0.0))
    if rest < _WORTH_A_WORD:
        return []
    return [
        f"the image has spots of {100 * rest:.0f} % of the strongest amplitude that this cell does not explain: "
        "another lattice or grain, a larger cell, or layers stacked without a period; the motif is an average over them"
    ]
