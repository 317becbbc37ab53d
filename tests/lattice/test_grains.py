"""Grains: orientations that lie about two values, and those that are spread over as much."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.lattice.deformation import turns
from bravaismap.lattice.grains import two_grains


def rotations(degrees: np.ndarray) -> np.ndarray:
    angle = np.radians(degrees)
    return np.stack([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)


def parted(deformation: np.ndarray, error: float = 1e-3) -> object:
    return two_grains(deformation, np.full(len(deformation), error), np.ones(len(deformation)))


def boundary(turn: float, between: float, count: int = 60) -> np.ndarray:
    """Turns of cells of two grains, of which a share lies anywhere between."""
    rng = np.random.default_rng(1)
    mixed = int(between * count)
    angle = np.where(np.arange(count) < 0.75 * count, 0.0, turn)
    angle[:mixed] = turn * rng.uniform(size=mixed)
    return angle + rng.normal(0, 0.1, count)


@pytest.mark.parametrize("turn", [2.0, 4.0, -5.0])
@pytest.mark.parametrize("between", [0.0, 0.2])
def test_a_boundary_parts_the_orientations(turn: float, between: float) -> None:
    angle = boundary(turn, between)
    grains = two_grains(rotations(angle), np.full(len(angle), 1e-3), np.ones(len(angle)))
    assert grains is not None
    assert np.degrees(grains.smaller - grains.larger) == pytest.approx(turn, abs=0.2 * abs(turn))
    nearer = grains.nearer(turns(rotations(angle)))
    assert nearer[np.abs(angle) < 0.3].all()
    assert not nearer[np.abs(angle - turn) < 0.3].any()


def test_bent_and_scattered_crystals_are_one() -> None:
    rng = np.random.default_rng(2)
    assert parted(rotations(np.linspace(-4, 4, 80))) is None
    assert parted(rotations(4 * np.sin(np.linspace(0, 6 * np.pi, 120)))) is None
    assert not any(parted(rotations(rng.normal(0, 1.5, 40))) for _ in range(50))


def test_a_turn_within_the_error_and_few_cells_are_no_grain() -> None:
    assert parted(rotations(boundary(3.0, 0.0)), error=0.015) is None
    assert parted(rotations(boundary(1.0, 0.0))) is None
    few = np.concatenate([np.zeros(60), np.full(7, 4.0)])  # badly measured
    assert parted(rotations(few)) is None
    assert parted(rotations(np.repeat([0.0, 4.0], 5))) is None


def test_a_shear_is_no_turn() -> None:
    shear = np.tile(np.eye(2), (60, 1, 1))
    shear[30:, 0, 1] = 0.12
    assert np.degrees(np.ptp(turns(shear))) > 3
    assert parted(shear) is None
