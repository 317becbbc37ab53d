"""Doubt about a motif: spots that belong to no order of the cell, and none in noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from patterns import Pattern

from bravaismap.lattice import reduce_basis
from bravaismap.motif.doubt import motif_doubts, strongest_rest
from bravaismap.motif.motif import motif
from bravaismap.motif.structure_factors import fit_pattern

PLACES = ((0.0, 0.0), (0.5, 0.5))


@pytest.mark.parametrize("counts", [1.0, 30.0])
def test_one_crystal_leaves_nothing(pattern: Callable[..., Pattern], counts: float) -> None:
    drawn = pattern("p4mm", PLACES, counts=counts)
    fit = fit_pattern(drawn.image, reduce_basis(drawn.basis), np.ones(drawn.image.shape))
    assert strongest_rest(fit) < 0.1


def test_a_wave_that_belongs_to_no_order_is_told_with_its_amplitude(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p4mm", PLACES, noise=0.05)
    alone = fit_pattern(drawn.image, reduce_basis(drawn.basis), np.ones(drawn.image.shape))
    y, x = np.indices(drawn.image.shape)
    k = np.array([10, 16]) / 128  # of a bin, and of no order
    wave = 0.5 * 2 * np.abs(alone.factors).max() * np.cos(2 * np.pi * (k[0] * y + k[1] * x))
    fit = fit_pattern(drawn.image + wave, alone.basis, np.ones(drawn.image.shape), alone.phase)
    assert strongest_rest(fit) == pytest.approx(0.5, rel=0.05)


def test_two_grains_are_doubted_and_one_is_not(pattern: Callable[..., Pattern]) -> None:
    one, other = (pattern("p4mm", PLACES, angle=angle, counts=20.0, size=160) for angle in (0.1, 0.7))
    both = np.where(np.arange(160) < 90, one.image, other.image)
    basis = reduce_basis(one.basis)
    whole = np.ones(one.image.shape, bool)
    [line] = motif_doubts(
        motif(both, basis, mask=whole, distortion=0.005, systematic=0.0).assign_attrs(unexplained=0.5)
    )
    assert "50 %" in line
    assert "grain" in line
    assert motif_doubts(motif(one.image, basis, distortion=0.005, systematic=0.0)) == []
    fit = fit_pattern(both, basis, whole.astype(float))
    assert strongest_rest(fit) > 1 / 3
