"""Shares: how much of each frame belongs to each class, the one number that tables, curves, figures and fits show.

It is the share of the frame that the pixels of a class cover, where the result holds pixels; else the mean probability
of the class over windows, as in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import xarray as xr

from bravaismap.errors import InputError

__all__ = ["AREA", "MEAN_PROBABILITY", "Quantity", "Shares", "class_shares", "mean_probabilities"]

Quantity = Literal["area", "mean probability"]
AREA: Final[Quantity] = "area"
MEAN_PROBABILITY: Final[Quantity] = "mean probability"
#: Variables of a result that hold a quantity and its σ.
_VARIABLES: Final = {
    AREA: ("area_fraction", "area_fraction_std"),
    MEAN_PROBABILITY: ("fraction", "fraction_std"),
}


@dataclass(frozen=True)
class Shares:
    """The share of each frame that each class has.

    Attributes
    ----------
    quantity : {"area", "mean probability"}
        What the share is.
    fraction, std : DataArray (time, lattice)
        The share and its σ.
    """

    quantity: Quantity
    fraction: xr.DataArray
    std: xr.DataArray


def class_shares(result: xr.Dataset, quantity: Quantity | None = None) -> Shares:
    """Return the share of each frame that each class has.

    Parameters
    ----------
    result : Dataset
        Of :func:`~bravaismap.map_phases`, or a frame of it.
    quantity : {"area", "mean probability"}, optional
        The area where the result holds it, when not given.

    Raises
    ------
    InputError
        If the result does not hold the quantity.
    """
    chosen = quantity or (AREA if _VARIABLES[AREA][0] in result else MEAN_PROBABILITY)
    names = _VARIABLES[chosen]
    missing = [name for name in names if name not in result]
    if missing:
        raise InputError(
            f"the result has no {', '.join(missing)}; map the movie again"
            + (" with its pixels, by a model that measures cells" if chosen == AREA else "")
        )
    fraction, std = (result[name].transpose("time", "lattice", missing_dims="ignore") for name in names)
    return Shares(chosen, fraction, std)


def mean_probabilities(result: xr.Dataset) -> Shares | None:
    """Return the mean probability over windows where that is not what :func:`class_shares` returns, else None."""
    return class_shares(result, MEAN_PROBABILITY) if _VARIABLES[AREA][0] in result else None
