"""Pooling: the periodic patterns of several images of one crystal, brought to one origin and averaged.

A crystal drifts from frame to frame by any part of its cell, so that each frame has an origin of its own. The shift x
that makes the structure factors F' of a frame agree best with those of the frame of most pixels, Σ Re F*(h) F'(h)
exp(2πi h·x) at its highest, brings it there. Structure factors of all frames are then averaged by their pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bravaismap.conventions import Floats, Integers
from bravaismap.motif.structure_factors import (
    PatternFit,
    StructureFactors,
    error_covariance,
    noise_variance,
    telling_orders,
    wilson,
)

__all__ = ["aligned", "pooled_factors"]

_GRID = 64  # points along a cell at which a shift is looked for
_STEPS = 6  # of Newton's method


def aligned(fits: Sequence[PatternFit]) -> list[PatternFit]:
    """Return fits whose origins are that of the one with most pixels.

    Parameters
    ----------
    fits : sequence of PatternFit
        On bases that are the same but for drift and small strains: h and k mean the same in all.
    """
    reference = max(fits, key=lambda fit: float(fit.weight.sum()))
    return [fit if fit is reference else _moved(fit, _shift(reference, fit)) for fit in fits]


def _moved(fit: PatternFit, shift: Floats) -> PatternFit:
    """Return a fit with `shift` added to all fractional coordinates."""
    phase = replace(fit.phase, coordinates=fit.phase.coordinates + shift[:, None, None])
    return replace(fit, phase=phase, factors=fit.factors * np.exp(2j * np.pi * fit.orders @ shift))


def _shift(reference: PatternFit, fit: PatternFit) -> Floats:
    """Return the shift of origin with which a fit agrees best with another."""
    orders, (mine, others) = _common_orders([reference, fit])
    worth = np.sqrt(reference.variance[mine] * fit.variance[others])
    product = np.conj(reference.factors[mine]) * fit.factors[others] / worth
    index = orders % _GRID
    series = np.zeros((_GRID, _GRID), complex)
    np.add.at(series, (index[:, 0], index[:, 1]), product)
    likely = np.fft.ifft2(series).real
    shift = np.array(np.unravel_index(np.argmax(likely), likely.shape)) / _GRID
    for _ in range(_STEPS):
        turned = product * np.exp(2j * np.pi * orders @ shift)
        slope = -2 * np.pi * turned.imag @ orders
        curve = 4 * np.pi**2 * np.einsum("n,ni,nj->ij", np.abs(turned), orders, orders)
        shift = shift + np.linalg.solve(curve + 1e-9 * np.trace(curve) * np.eye(2) + 1e-300 * np.eye(2), slope)
    return np.asarray(shift)


def _common_orders(fits: Sequence[PatternFit]) -> tuple[Integers, list[Integers]]:
    """Return the orders that all fits have, and their places in each of them."""
    first, *rest = ({tuple(order): i for i, order in enumerate(fit.orders.tolist())} for fit in fits)
    shared = [order for order in first if all(order in other for other in rest)]
    places = [np.array([lookup[order] for order in shared], np.int64) for lookup in (first, *rest)]
    return np.array(shared, np.int64).reshape(-1, 2), places


def pooled_factors(fits: Sequence[PatternFit]) -> StructureFactors:
    """Return the structure factors of several fits of one origin, averaged by their pixels, and their noise.

    Parameters
    ----------
    fits : sequence of PatternFit
        As :func:`aligned` returns them.
    """
    orders, places = _common_orders(fits)
    pixels = np.array([float(fit.weight.sum()) for fit in fits])
    share = pixels / pixels.sum()
    value = sum(part * fit.factors[place] for part, fit, place in zip(share, fits, places, strict=True))
    variances = [noise_variance(fit, orders) for fit in fits]
    expected = sum(part * wilson(fit, orders) for part, fit in zip(share, fits, strict=True))
    variance = sum(part**2 * own for part, own in zip(share, variances, strict=True))
    kept = telling_orders(np.asarray(expected), np.asarray(variance))
    covariance = sum(
        part**2 * error_covariance(fit, orders[kept], np.sqrt(own[kept]))
        for part, fit, own in zip(share, fits, variances, strict=True)
    )
    basis = sum(part * fit.basis for part, fit in zip(share, fits, strict=True))
    return StructureFactors(
        np.asarray(basis), orders[kept], np.asarray(value)[kept], np.sqrt(np.asarray(variance)[kept]),
        np.asarray(expected)[kept], np.asarray(covariance),
    )  # fmt: skip
