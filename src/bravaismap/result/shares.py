"""Shares: how much of each frame belongs to each class, the one number that tables, curves, figures and fits show.

It is the share of the frame that the pixels of a class cover, where the result holds pixels; else the mean probability
of the class over windows, as in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import xarray as xr
from numpy.typing import NDArray

from bravaismap.errors import InputError

__all__ = [
    "AREA",
    "MEAN_PROBABILITY",
    "Quantity",
    "Shares",
    "class_shares",
    "mean_probabilities",
    "quantity_of",
    "quantity_of_curve",
    "shares_dataset",
]

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


def quantity_of(result: xr.Dataset) -> Quantity:
    """Return what the share of a class is in a result: the area if it holds pixels, or is to hold them."""
    return AREA if _VARIABLES[AREA][0] in result or "pixel_step" in result.attrs else MEAN_PROBABILITY


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


def quantity_of_curve(curve: xr.DataArray) -> Quantity | None:
    """Return which share of a result a curve is, by its name; None for another curve."""
    return next((quantity for quantity, names in _VARIABLES.items() if curve.name == names[0]), None)


def mean_probabilities(result: xr.Dataset) -> Shares | None:
    """Return the mean probability over windows where that is not what :func:`class_shares` returns, else None."""
    held = _VARIABLES[AREA][0] in result and _VARIABLES[MEAN_PROBABILITY][0] in result
    return class_shares(result, MEAN_PROBABILITY) if held else None


def shares_dataset(quantity: Quantity, fraction: NDArray[Any], std: NDArray[Any], coords: dict[str, Any]) -> xr.Dataset:
    """Return arrays (time, lattice) as the part of a result that holds them."""
    names = _VARIABLES[quantity]
    dims = ("time", "lattice")
    return xr.Dataset({name: (dims, values) for name, values in zip(names, (fraction, std), strict=True)}, coords)
