"""Knock-on damage: the rate at which the beam displaces atoms by collisions, to compare with the growth of voids.

An atom that receives more than its displacement energy T_d leaves its site. The displacement cross-section is the Mott
cross-section in the approximation of McKinley and Feshbach, integrated from T_d to the largest transfer T_max of
:mod:`bravaismap.kinetics.beam`. With x = T_d / T_max, β = v/c, α = Z/137 and the classical radius of the electron r,

    σ = π Z² r² (1 − β²)/β⁴ {(1/x − 1) + β² ln x + π α β [2 (1/√x − 1) + ln x]}.

The atom is taken to be at rest. Its thermal motion adds energy to some collisions, so displacements begin somewhat
below the threshold: Komsa and others saw MoS₂ lose sulphur at 80 kV, while T_d = 6.9 eV gives a static threshold of
92 kV. Electronic excitation, which lowers T_d in insulators and semiconductors, is neglected too (MoS₂:
arXiv:2302.10529; h-BN: arXiv:2303.00497). There σ is a lower limit. The approximation holds for light elements; for
tungsten it gives an estimate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.constants import fine_structure, physical_constants

from bravaismap.conventions import Floats, nearest_names
from bravaismap.errors import InputError
from bravaismap.kinetics.beam import ELECTRON_REST_ENERGY, MASS_UNIT_ENERGY, atomic_mass, maximum_energy_transfer

__all__ = [
    "ATOMIC_NUMBER",
    "DISPLACEMENT_ENERGIES",
    "DisplacementEnergy",
    "displacement_cross_section",
    "displacement_energies",
    "displacement_table",
    "displacements_per_atom",
    "threshold_voltage",
]

_BARN: Final = 1e-28  # m²
_BARN_PER_SQUARE_ANGSTROM: Final = 1e8
_RADIUS: Final = physical_constants["classical electron radius"][0]  # m

ATOMIC_NUMBER: Final = {
    "B": 5, "C": 6, "N": 7, "O": 8, "Al": 13, "Si": 14, "S": 16, "Ti": 22, "V": 23, "Cr": 24, "Fe": 26, "Ni": 28,
    "Cu": 29, "Se": 34, "Sr": 38, "Zr": 40, "Nb": 41, "Mo": 42, "Ta": 73, "W": 74, "Au": 79,
}  # fmt: skip


@dataclass(frozen=True)
class DisplacementEnergy:
    """The displacement energy of an element in a material.

    Attributes
    ----------
    element : str
    compound : str
        Material that the atom is displaced from.
    energy : float
        T_d in eV.
    two_dimensional : bool
        Whether the atom is knocked out of a single layer; otherwise the value is the one that codes for neutron damage
        use for the bulk.
    source : str
    confirmed : bool
        Whether the value has been compared with its source; if not, look it up before you publish.
    """

    element: str
    compound: str
    energy: float
    two_dimensional: bool
    source: str
    confirmed: bool


def _single_layer(element: str, compound: str, energy: float, source: str) -> DisplacementEnergy:
    return DisplacementEnergy(element, compound, energy, two_dimensional=True, source=source, confirmed=False)


def _bulk(element: str, energy: float) -> DisplacementEnergy:
    return DisplacementEnergy(element, "bulk", energy, two_dimensional=False, source=_NJOY, confirmed=True)


_SUSI: Final = "T. Susi et al., Nat. Commun. 7, 13040 (2016), free at doi:10.1038/ncomms13040"
_KOTAKOSKI: Final = "J. Kotakoski et al., Phys. Rev. B 82, 113404 (2010), calculated, doi:10.1103/PhysRevB.82.113404"
_KOMSA: Final = "H.-P. Komsa et al., Phys. Rev. Lett. 109, 035503 (2012), calculated, free as arXiv:1206.4407"
#: Displacement energies in eV: the defaults of NJOY2016 (module HEATR, src/heatr.f90), compared with its source.
_BULK: Final = {
    "C": 31.0, "Al": 27.0, "Si": 25.0, "Ti": 40.0, "V": 40.0, "Cr": 40.0, "Fe": 40.0, "Ni": 40.0, "Cu": 40.0,
    "Zr": 40.0, "Nb": 40.0, "Mo": 60.0, "Ta": 90.0, "W": 90.0, "Au": 30.0,
}  # fmt: skip
_NJOY: Final = "defaults of NJOY2016, HEATR, for damage by neutrons"

#: Displacement energies, single layers first. Their papers treat these displacements; the values were not compared.
DISPLACEMENT_ENERGIES: Final = (
    _single_layer("C", "graphene", 21.14, _SUSI),
    _single_layer("B", "h-BN", 19.36, _KOTAKOSKI),
    _single_layer("N", "h-BN", 23.06, _KOTAKOSKI),
    _single_layer("S", "MoS2", 6.9, _KOMSA),
    _single_layer("S", "WS2", 7.0, _KOMSA),
    _single_layer("Se", "MoSe2", 6.4, _KOMSA),
    *(_bulk(element, energy) for element, energy in _BULK.items()),
)


def displacement_energies(element: str) -> list[DisplacementEnergy]:
    """Return the displacement energies that are known of an element.

    Raises
    ------
    InputError
        If none is known.
    """
    cases = [case for case in DISPLACEMENT_ENERGIES if case.element == element]
    if not cases:
        elements = dict.fromkeys(case.element for case in DISPLACEMENT_ENERGIES)
        raise InputError(
            f"the displacement energy of {element!r} is not known, but those of {nearest_names(element, elements, 5)} "
            "are; give yours in eV with --displacement-energy (displacement_energy= in Python)"
        )
    return cases


def threshold_voltage(element: str | float, displacement_energy: float) -> float:
    """Return the accelerating voltage in kV above which an atom at rest can be displaced.

    Parameters
    ----------
    element : str or float
        Symbol of the element, or the mass of the atom in u.
    displacement_energy : float
        T_d in eV.
    """
    _positive(displacement_energy)
    mass = atomic_mass(element) * MASS_UNIT_ENERGY
    return float(np.sqrt(ELECTRON_REST_ENERGY**2 + displacement_energy * mass / 2) - ELECTRON_REST_ENERGY) / 1e3


def displacement_cross_section(element: str, voltage: ArrayLike, displacement_energy: float) -> Floats:
    """Return the displacement cross-section in barn of an atom at rest (McKinley and Feshbach); 0 below the threshold.

    Parameters
    ----------
    element : str
    voltage : array_like
        Accelerating voltage in kV.
    displacement_energy : float
        T_d in eV.

    References
    ----------
    W. A. McKinley and H. Feshbach, Phys. Rev. 74, 1759 (1948); A. Zobelli et al., Phys. Rev. B 75, 245402 (2007).
    """
    _positive(displacement_energy)
    number = _atomic_number(element)
    share = np.minimum(displacement_energy / maximum_energy_transfer(element, voltage), 1.0)
    gamma = 1 + np.asarray(voltage, float) * 1e3 / ELECTRON_REST_ENERGY
    beta_squared = 1 - 1 / gamma**2
    beta = np.sqrt(beta_squared)
    spin = np.pi * number * fine_structure * beta * (2 * (1 / np.sqrt(share) - 1) + np.log(share))
    area = np.pi * (number * _RADIUS) ** 2 * (1 - beta_squared) / beta_squared**2
    area = area * (1 / share - 1 + beta_squared * np.log(share) + spin)
    return np.asarray(np.maximum(area, 0.0) / _BARN)


def displacements_per_atom(cross_section: ArrayLike, dose: ArrayLike) -> Floats:
    """Return the displacements per atom (dpa).

    Parameters
    ----------
    cross_section : array_like
        In barn.
    dose : array_like
        In e⁻/Å²; for a dose rate in e⁻/(Å² s) the answer is in dpa/s, to compare with ρ.
    """
    return np.asarray(np.asarray(cross_section, float) * np.asarray(dose, float) / _BARN_PER_SQUARE_ANGSTROM)


def displacement_table(
    elements: Iterable[str] | None = None, voltage: float = 100.0, displacement_energy: float | None = None
) -> xr.Dataset:
    """Return a table of energy transfers, thresholds and displacement cross-sections of elements in a beam.

    Parameters
    ----------
    elements : iterable of str, optional
        Symbols; all elements whose displacement energy is known when not given.
    voltage : float
        Accelerating voltage in kV.
    displacement_energy : float, optional
        T_d in eV, in place of those of :data:`DISPLACEMENT_ENERGIES`.

    Returns
    -------
    Dataset
        Over ``case``: ``element``, ``compound``, ``source``, ``two_dimensional``, ``confirmed`` (False where T_d was
        not compared with its source); ``displacement_energy`` and ``energy_transfer`` (eV), ``threshold`` (kV),
        ``cross_section`` (barn).

    Raises
    ------
    InputError
        If an element is not known, or the voltage is not positive.
    """
    if displacement_energy is not None:
        if elements is None:
            raise InputError("a displacement energy was given without an element; say which it belongs to")
        _positive(displacement_energy)
        cases = [
            DisplacementEnergy(element, "given", displacement_energy, False, "given", True) for element in elements
        ]
    elif elements is None:
        cases = list(DISPLACEMENT_ENERGIES)
    else:
        cases = [case for element in elements for case in displacement_energies(element)]
    numbers = {
        "displacement_energy": ("eV", [case.energy for case in cases]),
        "energy_transfer": ("eV", [float(maximum_energy_transfer(case.element, voltage)) for case in cases]),
        "threshold": ("kV", [threshold_voltage(case.element, case.energy) for case in cases]),
        "cross_section": (
            "barn",
            [float(displacement_cross_section(case.element, voltage, case.energy)) for case in cases],
        ),
    }
    words = ("element", "compound", "source", "two_dimensional", "confirmed")
    return xr.Dataset(
        {name: ("case", [getattr(case, name) for case in cases]) for name in words}
        | {name: ("case", values, {"units": unit}) for name, (unit, values) in numbers.items()},
        attrs={"voltage_kV": voltage},
    )


def _atomic_number(element: str) -> int:
    if element not in ATOMIC_NUMBER:
        raise InputError(
            f"the element {element!r} is not known; the nearest are {nearest_names(element, ATOMIC_NUMBER)}"
        )
    return ATOMIC_NUMBER[element]


def _positive(energy: float) -> None:
    if not (np.isfinite(energy) and energy > 0):
        raise InputError(f"a displacement energy of {energy:g} eV was given; expected a positive number")
