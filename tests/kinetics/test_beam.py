"""Eq. 1 of the paper against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.errors import InputError
from bravaismap.kinetics.beam import energy_transfer_table, maximum_energy_transfer


@pytest.mark.parametrize(
    ("element", "voltage", "expected"),
    [
        # 2 · (100 + 1022) · 100 keV² / (32.06 · 931 494 keV) and so on, by hand
        ("S", 100, 7.51),
        ("W", 100, 1.31),
        ("W", 120, 1.60),  # what the paper prints for 100 kV
        ("Mo", 100, 2.51),
        ("Se", 100, 3.05),
        ("C", 80, 15.76),
        ("C", 300, 70.90),
        ("S", 60, 4.35),
    ],
)
def test_values_worked_out_by_hand(element: str, voltage: float, expected: float) -> None:
    assert float(maximum_energy_transfer(element, voltage)) == pytest.approx(expected, abs=0.006)


def test_relativistic_kinematics_gives_the_same() -> None:
    """Head-on elastic collision, solved from the conservation of energy and momentum."""
    electron, atom = 510.998950e3, 32.06 * 931.494102e6
    for kinetic in (60e3, 300e3):
        momentum = np.sqrt(kinetic * (kinetic + 2 * electron))
        total = kinetic + electron + atom
        # The centre of mass moves at β; the nucleus, at rest before, leaves with twice the boost.
        beta = momentum / total
        recoil = 2 * atom * beta**2 / (1 - beta**2)
        assert float(maximum_energy_transfer("S", kinetic / 1e3)) == pytest.approx(recoil, rel=1e-4)


def test_heavier_atoms_get_less_and_slow_electrons_give_in_proportion() -> None:
    table = energy_transfer_table()
    assert table.dims == ("element", "voltage")
    assert table.shape == (5, 6)
    by_mass = table.sel(element=["C", "S", "Se", "Mo", "W"]).values
    assert (np.diff(by_mass, axis=0) < 0).all()
    assert (np.diff(by_mass, axis=1) > 0).all()
    slow = maximum_energy_transfer(1.0, np.array([1e-3, 2e-3]))
    assert slow[1] / slow[0] == pytest.approx(2, rel=1e-5)
    assert slow[0] == pytest.approx(4 * 510998.95 / 931494102 * 1.0, rel=1e-4)  # 4 m/M of 1 eV


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="mass of 'Sulphur'"):
        maximum_energy_transfer("Sulphur", 100)
    with pytest.raises(InputError, match=r"-5\.0 kV"):
        maximum_energy_transfer("S", -5)
    with pytest.raises(InputError, match="0 u"):
        maximum_energy_transfer(0, 100)
