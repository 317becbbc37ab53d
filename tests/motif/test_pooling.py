"""Several images of one crystal: brought to one origin, and surer together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from patterns import Pattern

from bravaismap.motif.pooling import aligned, pooled_factors
from bravaismap.motif.structure_factors import PatternFit, fit_pattern, structure_factors


def fits_of(pattern: Callable[..., Pattern], origins: list[tuple[float, float]], counts: float) -> list[PatternFit]:
    """Return the fits of one motif of p1 drawn at several origins."""
    fits = []
    for seed, origin in enumerate(origins):
        drawn = pattern("p1", [(0.1, 0.2), (0.5, 0.35)], heights=(1.0, 0.6), counts=counts, origin=origin, seed=seed)
        fits.append(fit_pattern(drawn.image.astype(float), drawn.basis, np.ones(drawn.image.shape)))
    return fits


def test_origins_are_brought_together(pattern: Callable[..., Pattern]) -> None:
    fits = fits_of(pattern, [(0.0, 0.0), (0.37, 0.81), (0.5, 0.02)], 50.0)
    moved = aligned(fits)
    first = max(moved, key=lambda fit: float(fit.weight.sum()))
    strong = np.abs(first.factors) > 0.05 * np.abs(first.factors).max()
    apart = max(np.abs(fit.factors - first.factors)[strong].max() for fit in fits)
    assert apart > 0.3 * np.abs(first.factors).max()
    for fit in moved:
        tolerance = 5 * np.sqrt(2 * first.variance[strong])
        assert (np.abs(fit.factors - first.factors)[strong] < tolerance).all()
        # the pattern itself is where it was: coordinates and structure factors move together
        turns = np.exp(-2j * np.pi * np.einsum("ni,iyx->nyx", fit.orders[:40], fit.phase.coordinates[:, ::16, ::16]))
        drawn = 2 * np.einsum("n,nyx->yx", fit.factors[:40], turns).real
        assert np.corrcoef(drawn.ravel(), fit.pattern[::16, ::16].ravel())[0, 1] > 0.99


def test_together_they_are_surer(pattern: Callable[..., Pattern]) -> None:
    """Four frames halve the errors, which are as large as stated."""
    origins = [(0.0, 0.0), (0.2, 0.7), (0.6, 0.1), (0.9, 0.4)]
    fits = fits_of(pattern, origins, 3.0)
    one, four = structure_factors(fits[0]), pooled_factors(aligned(fits))
    shared = {tuple(order): i for i, order in enumerate(four.order.tolist())}
    place = [shared[tuple(order)] for order in one.order.tolist() if tuple(order) in shared][:20]
    assert len(place) == 20
    assert np.median(four.std[place] / one.std[:20]) < 0.56
    bright = pooled_factors(fits_of(pattern, [(0.0, 0.0)], 3000.0))
    exact = {tuple(order): value / 1000 for order, value in zip(bright.order.tolist(), bright.value, strict=True)}
    difference = np.array([value - exact[tuple(o)] for o, value in zip(four.order.tolist(), four.value, strict=True)])
    # the origin of all is that of the first frame, which is known as well as its own structure factors say
    phase = np.angle(four.value * np.conj(difference - four.value)) - np.pi
    turn = np.linalg.lstsq(four.order[:12] * 2 * np.pi, (phase[:12] + np.pi) % (2 * np.pi) - np.pi, rcond=None)[0]
    back = four.value * np.exp(-2j * np.pi * four.order @ turn)
    rest = np.abs(back - [exact[tuple(o)] for o in four.order.tolist()])[:20]
    assert np.sqrt(np.mean((rest / four.std[:20]) ** 2)) < 1.6


def test_one_fit_is_left_as_it_is(pattern: Callable[..., Pattern]) -> None:
    (fit,) = fits_of(pattern, [(0.3, 0.3)], 20.0)
    own, pooled = structure_factors(fit), pooled_factors(aligned([fit]))
    np.testing.assert_array_equal(own.order, pooled.order)
    np.testing.assert_allclose(own.value, pooled.value)
    np.testing.assert_allclose(own.std, pooled.std)
    np.testing.assert_allclose(own.covariance, pooled.covariance)
