"""Odds: the probability of no lattice falls with the evidence, and small windows are less sure of it."""

from __future__ import annotations

import numpy as np

from bravaismap.measure import settings
from bravaismap.measure.odds import least_evidence, none_probability


def test_no_lattice_is_less_probable_the_more_evidence_there_is() -> None:
    assert none_probability([1e3]) < 1e-6
    assert (np.diff(none_probability(np.linspace(0, 100, 50))) <= 0).all()
    assert none_probability(settings.SETTINGS.odds.even_evidence) == 0.5


def test_small_windows_are_less_sure_of_no_lattice() -> None:
    surest = none_probability([least_evidence(side**2) for side in (32, 48, 64, 128, 256)])
    assert (np.diff(surest[1:]) > 0).all()
    # prior odds 1 : 5 of none, against a lattice that leaves no evidence in 4.8 % of windows of 64 px
    np.testing.assert_allclose(surest[2], 1 / (1 + 5 * 0.003 * 16), rtol=1e-6)
    assert 0.7 < surest[0] < 0.75
    assert surest[3] > 0.98
