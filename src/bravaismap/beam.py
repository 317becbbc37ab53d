"""The electron beam: what an electron can give to an atom.

An electron of kinetic energy E that is scattered straight back by a nucleus of mass M gives it the energy

    ΔE = 2 (E + 2 E₀) E / (M c²),     E₀ = 511 keV the rest energy of the electron,

and no electron gives more. An atom whose displacement needs more than ΔE stays, as far as collisions go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.constants import physical_constants

from bravaismap.conventions import nearest_names
from bravaismap.errors import InputError

__all__ = ["ATOMIC_MASS", "energy_transfer_table", "maximum_energy_transfer"]

#: Standard atomic weights in u (IUPAC 2021, abridged) of what two-dimensional crystals are made of.
ATOMIC_MASS: Final = {"C": 12.011, "S": 32.06, "Se": 78.971, "Mo": 95.95, "W": 183.84}

_REST_ENERGY: Final = physical_constants["electron mass energy equivalent in MeV"][0] * 1e6  # eV
_MASS_UNIT: Final = physical_constants["atomic mass constant energy equivalent in MeV"][0] * 1e6  # eV


def maximum_energy_transfer(element: str | float, voltage: ArrayLike) -> NDArray[np.float64]:
    """Return the largest energy that an electron can give to an atom at rest.

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
    return np.asarray(2 * (energy + 2 * _REST_ENERGY) * energy / (_mass(element) * _MASS_UNIT))


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


def _mass(element: str | float) -> float:
    """Return the mass of an atom in u."""
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
