"""Translations: whether the motif repeats within the measured cell, or only in a larger one.

Which cell a lattice has is a matter of its weakest spots: a motif that nearly repeats in half the cell makes every
second row of them faint. Once the phase is followed they can be weighed with all the cells together. A row of orders is
real if structure factors drawn from Wilson's law, scaled by a common factor that is not known, explain it better than
noise alone; or from that law times k², as atoms make them that are displaced a little from where the smaller cell would
have them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import logsumexp

from bravaismap.conventions import Complexes, Floats, Integers
from bravaismap.errors import InputError
from bravaismap.lattice import reduce_basis
from bravaismap.motif.averaging import fold_pixels
from bravaismap.motif.phase import LocalPhase
from bravaismap.motif.structure_factors import PatternFit, error_covariance, fit_pattern, noise_variance, wilson

__all__ = ["fit_cell"]

#: Strength of a row of orders in units of Wilson's law, all equally probable.
_SCALES = np.array([1.0, 0.3, 0.1, 0.03, 0.01, 0.003])
#: Log odds against a larger cell than was measured (of 47 motifs in their cell none had more than 1), and for the
#: smaller one where both are as likely.
_AGAINST_LARGER, _AGAINST_FAINT = 2.5, 2.0
#: Orders of a row that are weighed at most, and Wilson's strength over the noise below which one says nothing.
_MOST, _TELLING = 90, 0.02
_LARGEST_SIDE = 40  # orders to each side, beyond which a larger cell is not looked for


def fit_cell(
    image: Floats, basis: Floats, weight: Floats, systematic: float = 0.0, first: PatternFit | None = None
) -> PatternFit:
    """Fit a periodic pattern in the cell whose translations the motif has.

    Parameters
    ----------
    image : array, shape (y, x)
    basis : array, shape (2, 2)
        Measured primitive vectors in px. The cell may come out as a half or a third of this one, or as up to nine of
        them.
    weight : array, shape (y, x)
        1 for the pixels to be fitted, 0 for the others.
    systematic : float
        Part of what Wilson's law expects that a structure factor between the measured ones may have by other faults of
        an image than noise, before a larger cell is taken for it.
    first : PatternFit, optional
        The fit with this basis, reduced, and weight, where there is one.

    Returns
    -------
    PatternFit
        Its `basis` is reduced.
    """
    fit = fit_pattern(image, reduce_basis(basis), weight) if first is None else first
    for larger in (False, True, True):
        change = _larger(fit, systematic) if larger else _smaller(fit)
        if change is None and larger:
            break
        if change is None:
            continue
        try:
            fit = _changed(fit, image, change)
        except InputError:  # a cell too small for its spots to be seen
            continue
    return fit


def _changed(fit: PatternFit, image: Floats, change: Floats) -> PatternFit:
    """Fit again with the basis ``change @ basis``, reduced; the phase is known already."""
    basis = reduce_basis(change @ fit.basis)
    whole = basis @ np.linalg.inv(fit.basis)
    coordinates = np.einsum("ij,jyx->iyx", np.linalg.inv(whole).T, fit.phase.coordinates)
    return fit_pattern(image, basis, fit.weight, LocalPhase(coordinates, fit.phase.followed, fit.phase.std))


def _sublattices() -> Iterator[tuple[Integers, int]]:
    """Yield each lattice of index 2 and 3, as rows in units of the basis, with its index."""
    for index in (2, 3):
        yield np.array([[1, 0], [0, index]]), index
        for k in range(index):
            yield np.array([[index, 0], [k, 1]]), index


def _evidence(fit: PatternFit, orders: Integers | Floats, values: Complexes, variance: Floats) -> float:
    """Return the log evidence of structure factors against noise alone, the mean over both laws and all strengths."""
    law = wilson(fit, orders)
    power = np.maximum(np.abs(fit.factors) ** 2 - fit.variance, 0) + 1e-300
    displaced = law * fit.square_of(orders) / np.average(fit.square_of(fit.orders), weights=power)
    gains = [_gains(fit, orders, values, variance, expected) for expected in (law, displaced)]
    return float(logsumexp(gains) - np.log(np.size(gains)))


def _gains(fit: PatternFit, orders: Integers | Floats, values: Complexes, variance: Floats, expected: Floats) -> Floats:
    """Return the log likelihood ratio of structure factors of an expected strength to noise, for each of the scales."""
    telling = np.sort(np.argsort(-expected / variance, kind="stable")[:_MOST])
    telling = telling[expected[telling] > _TELLING * variance[telling]]
    if len(telling) == 0:
        return np.zeros(len(_SCALES))
    scale = np.sqrt(np.tile(expected[telling] / 2, 2))
    error = error_covariance(fit, orders[telling], np.sqrt(variance[telling])) / np.outer(scale, scale)
    noise, direction = np.linalg.eigh(error)
    noise = np.maximum(noise, 1e-6 * noise[-1])
    along = (direction.T @ (np.concatenate([values[telling].real, values[telling].imag]) / scale)) ** 2
    strength = _SCALES[:, None]
    return np.asarray((along / noise * strength / (strength + noise) - np.log1p(strength / noise)).sum(axis=1) / 2)


def _smaller(fit: PatternFit) -> Floats | None:
    """Return the change to the smaller basis in which the motif repeats, if it does."""
    variance = fit.variance
    least, best = -_AGAINST_FAINT, None
    for rows, _ in _sublattices():
        # the orders that a cell with the reciprocal lattice `rows` keeps
        index = fit.orders @ np.linalg.inv(rows)
        strange = (np.abs(index - np.rint(index)) > 1e-6).any(axis=1)
        if strange.any() and not strange.all():
            evidence = _evidence(fit, fit.orders[strange], fit.factors[strange], variance[strange])
            if evidence < least:
                least, best = evidence, np.linalg.inv(rows).T
    return best


def _larger(fit: PatternFit, systematic: float) -> Floats | None:
    """Return the change to the larger basis that the motif needs, if it does."""
    most, best = _AGAINST_LARGER, None
    used = np.flatnonzero(fit.weight.ravel() > 0)
    coordinates = fit.phase.coordinates.reshape(2, -1)[:, used]
    rest = fit.residual.ravel()[used]
    for parts in (2, 3):
        orders = _between(fit.orders, parts)
        if len(orders) == 0 or np.abs(orders).max() > _LARGEST_SIDE:
            continue
        fold = fold_pixels(coordinates / parts, int(np.abs(orders).max()))
        sums = fold.transform(rest)[orders[:, 0], orders[:, 1]] / fit.weight.sum()
        fractions = orders / parts
        variance = noise_variance(fit, fractions, parts) + systematic**2 * wilson(fit, fractions)
        for rows, index in _sublattices():
            if index != parts:
                continue
            inside = fractions @ rows.T
            own = (np.abs(inside - np.rint(inside)) < 1e-6).all(axis=1)
            evidence = _evidence(fit, fractions[own], sums[own], variance[own])
            if evidence > most:
                most, best = evidence, rows.astype(float)
    return best


def _between(orders: Integers, parts: int) -> Integers:
    """Return `parts` times the fractional orders within the range of the whole ones, of a half plane."""
    reach = np.abs(orders).max(axis=0) * parts
    h, k = np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij")
    every = np.stack([h.ravel(), k.ravel()], axis=-1)
    every = every[(every[:, 0] > 0) | ((every[:, 0] == 0) & (every[:, 1] > 0))]
    every = every[(every % parts).any(axis=1)]
    near = np.rint(every / parts).astype(int)
    known = {(0, 0), *map(tuple, orders.tolist()), *map(tuple, (-orders).tolist())}
    return np.asarray(every[[tuple(place) in known for place in near.tolist()]])
