"""Knock-on: thresholds that are known, and the cross-section against the integral that defines it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.constants import fine_structure, physical_constants
from scipy.integrate import quad

from bravaismap.errors import InputError
from bravaismap.kinetics.beam import maximum_energy_transfer
from bravaismap.kinetics.knock_on import (
    ATOMIC_NUMBER,
    DISPLACEMENT_ENERGIES,
    displacement_cross_section,
    displacement_energies,
    displacement_table,
    displacements_per_atom,
    threshold_voltage,
)


@pytest.mark.parametrize(
    ("element", "energy", "expected", "within"),
    [
        ("C", 17.0, 86.0, 1.0),  # graphite and nanotubes: 86 kV
        ("C", 22.0, 109.0, 2.0),  # graphene: 108–113 kV
        ("S", 6.9, 92.0, 1.0),  # MoS2, atom at rest; about 90 kV in the literature
    ],
)
def test_thresholds_that_are_known(element: str, energy: float, expected: float, within: float) -> None:
    assert threshold_voltage(element, energy) == pytest.approx(expected, abs=within)


def test_the_threshold_is_where_the_largest_transfer_is_the_displacement_energy() -> None:
    for case in DISPLACEMENT_ENERGIES:
        voltage = threshold_voltage(case.element, case.energy)
        assert float(maximum_energy_transfer(case.element, voltage)) == pytest.approx(case.energy, rel=1e-9)
        assert float(displacement_cross_section(case.element, 0.999 * voltage, case.energy)) == 0
        assert float(displacement_cross_section(case.element, 1.01 * voltage, case.energy)) > 0


@pytest.mark.parametrize(("element", "voltage", "energy"), [("C", 200, 21.14), ("S", 100, 6.9), ("Cu", 1000, 30.0)])
def test_cross_section_is_the_integral_over_angles(element: str, voltage: float, energy: float) -> None:
    """Rutherford's cross-section for a relativistic electron with the factor of McKinley and Feshbach, over angles."""
    total = 1 + voltage / 510.99895
    beta = np.sqrt(1 - 1 / total**2)
    number = ATOMIC_NUMBER[element]
    radius = physical_constants["classical electron radius"][0]

    def per_angle(theta: float) -> float:
        half = np.sin(theta / 2)
        rutherford = (number * radius / 2) ** 2 * (1 - beta**2) / beta**4 / half**4
        factor = 1 - beta**2 * half**2 + np.pi * fine_structure * number * beta * half * (1 - half)
        return float(rutherford * factor * 2 * np.pi * np.sin(theta))

    least = 2 * np.arcsin(np.sqrt(energy / float(maximum_energy_transfer(element, voltage))))
    expected = quad(per_angle, least, np.pi)[0] / 1e-28
    assert float(displacement_cross_section(element, voltage, energy)) == pytest.approx(expected, rel=1e-6)


def test_displacements_of_a_dose() -> None:
    assert float(displacements_per_atom(10.0, 1e6)) == pytest.approx(0.1)  # 10 barn = 1e-7 Å²
    np.testing.assert_allclose(displacements_per_atom([1, 2], 1e8), [1, 2])


def test_what_was_not_compared_with_its_source_is_marked() -> None:
    """The defaults of NJOY2016 were read in its source; the printed pages of the papers were not at hand."""
    njoy = {"Al": 27, "Si": 25, "Ti": 40, "Cu": 40, "Zr": 40, "Nb": 40, "Mo": 60, "Ta": 90, "W": 90, "Au": 30, "C": 31}
    for element, energy in njoy.items():
        (bulk,) = [one for one in displacement_energies(element) if one.compound == "bulk"]
        assert (bulk.energy, bulk.confirmed, bulk.two_dimensional) == (energy, True, False)
    assert all(case.confirmed != case.two_dimensional for case in DISPLACEMENT_ENERGIES)
    assert displacement_table(["S", "W"])["confirmed"].values.tolist() == [False, False, True]


def test_table_says_what_it_is_of() -> None:
    table = displacement_table(["S"], 100)
    assert list(table["compound"].values) == ["MoS2", "WS2"]
    assert table["two_dimensional"].all()
    assert float(table["energy_transfer"][0]) == pytest.approx(7.51, abs=0.01)
    assert (table["cross_section"] > 0).all()
    assert not displacement_table(["W"], 100)["two_dimensional"].any()
    assert displacement_table().sizes["case"] == len(DISPLACEMENT_ENERGIES)
    own = displacement_table(["O"], 300, 35.0)
    assert bool(own["confirmed"][0])
    assert str(own["compound"].values[0]) == "given"
    assert all(case.source for case in displacement_energies("C"))


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match="displacement energy of 'O' is not known"):
        displacement_table(["O"])
    with pytest.raises(InputError, match="element 'Xx' is not known"):
        displacement_cross_section("Xx", 100, 10)
    with pytest.raises(InputError, match="-1 eV"):
        threshold_voltage("C", -1)
    with pytest.raises(InputError, match="without an element"):
        displacement_table(displacement_energy=10)


def test_command(run: Callable[..., object]) -> None:
    done = run("beam", "--element", "S", "--energy", 100, "--dose", 1e6, "--dose-rate", 1e4)
    assert done.code == 0, done.err
    for part in (
        "T_max",
        "7.5",
        "92",
        "dpa/s",
        "Komsa",
        "one layer",
        "6.9 ?",
        "?: T_d as others quote it",
        "arXiv:1206.4407",
    ):
        assert part in done.out, part
    bulk = run("beam", "--element", "Au", "--energy", 400)
    assert "NJOY2016" in bulk.out
    assert "?" not in bulk.out
    run("beam", "--element", "O").refused("displacement energy of 'O'", "--displacement-energy")
    assert run("beam", "--element", "O", "--displacement-energy", 35, "--energy", 300).code == 0
    run("beam", "--dose", 0).refused("--dose 0")
