"""The electron beam: the largest energy that an electron can transfer to an atom.

An electron of kinetic energy E that is backscattered by a nucleus of mass M transfers the energy

    ΔE = 2 (E + 2 E₀) E / (M c²),     E₀ = 511 keV the rest energy of the electron,

which is the largest possible. Collisions do not displace an atom whose displacement energy exceeds ΔE; the rate at
which they displace others is in :mod:`bravaismap.kinetics.knock_on`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.constants import physical_constants

from bravaismap.conventions import Floats, nearest_names
from bravaismap.errors import InputError

__all__ = [
    "ATOMIC_MASS",
    "ELECTRON_REST_ENERGY",
    "MASS_UNIT_ENERGY",
    "atomic_mass",
    "energy_transfer_table",
    "maximum_energy_transfer",
]

#: Standard atomic weights in u (IUPAC 2021, abridged).
ATOMIC_MASS: Final = {
    "B": 10.81, "C": 12.011, "N": 14.007, "O": 15.999, "Al": 26.982, "Si": 28.085, "S": 32.06, "Ti": 47.867,
    "V": 50.942, "Cr": 51.996, "Fe": 55.845, "Ni": 58.693, "Cu": 63.546, "Se": 78.971, "Sr": 87.62, "Zr": 91.224,
    "Nb": 92.906, "Mo": 95.95, "Ta": 180.95, "W": 183.84, "Au": 196.97,
}  # fmt: skip

#: Rest energy of the electron, and of 1 u, in eV.
ELECTRON_REST_ENERGY: Final = physical_constants["electron mass energy equivalent in MeV"][0] * 1e6  # eV
MASS_UNIT_ENERGY: Final = physical_constants["atomic mass constant energy equivalent in MeV"][0] * 1e6  # eV


def maximum_energy_transfer(element: str | float, voltage: ArrayLike) -> Floats:
    """Return the largest energy that an electron can transfer to an atom at rest.

    Parameters
    ----------
    element : str or float
        Symbol of the element, or the mass of the atom in u.
    voltage : array_like
        Accelerating voltage in kV.

    Returns
    -------
    array of the shape of `voltage`
        In eV.

    Raises
    ------
    InputError
        If the element is unknown, or the mass or voltage is not positive.

    References
    ----------
    R. K. Vasudevan et al., npj Comput. Mater. 4, 30 (2018), doi:10.1038/s41524-018-0086-7, Eq. 1.

    Examples
    --------
    >>> float(maximum_energy_transfer("S", 100).round(1))
    7.5
    """
    energy = np.asarray(voltage, float) * 1e3
    if not (np.isfinite(energy) & (energy > 0)).all():
        raise InputError(f"a voltage of {energy / 1e3} kV was given; expected positive numbers")
    return np.asarray(2 * (energy + 2 * ELECTRON_REST_ENERGY) * energy / (atomic_mass(element) * MASS_UNIT_ENERGY))


def energy_transfer_table(
    elements: Iterable[str] = ("W", "S", "Mo", "Se", "C"), voltages: Iterable[float] = (60, 80, 100, 120, 200, 300)
) -> xr.DataArray:
    """Return the largest energy transfer in eV, over ``element`` and ``voltage`` (kV).

    Raises
    ------
    InputError
        If an element is unknown or a voltage is not positive.
    """
    names, volts = list(elements), np.array(list(voltages), float)
    return xr.DataArray(
        np.stack([maximum_energy_transfer(name, volts) for name in names]),
        {"element": names, "voltage": ("voltage", volts, {"units": "kV"})},
        ("element", "voltage"),
        name="energy_transfer",
        attrs={"units": "eV", "long_name": "maximum energy transfer"},
    )


def atomic_mass(element: str | float) -> float:
    """Return the mass of an atom in u, given by the symbol of its element or as a number."""
    if isinstance(element, str):
        if element not in ATOMIC_MASS:
            raise InputError(
                f"the mass of {element!r} is not known; the nearest are {nearest_names(element, ATOMIC_MASS)}, "
                "or give the mass in u"
            )
        return ATOMIC_MASS[element]
    if not (np.isfinite(element) and element > 0):
        raise InputError(f"a mass of {element} u was given; expected a positive number")
    return float(element)
