"""Dose and area: a phase fraction over dose instead of time, and growth in nm².

The dose rate is in electrons per square ångström and second, the dose in electrons per square ångström. It is that of
the scanned frame: beam current ÷ (elementary charge × frame area).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from scipy.constants import elementary_charge

from bravaismap.conventions import ALIASES, Floats, nearest_names
from bravaismap.errors import InputError
from bravaismap.result.shares import AREA, MEAN_PROBABILITY, Quantity, class_shares

__all__ = [
    "DOSE_UNIT",
    "FractionCurve",
    "dose_rate",
    "fraction_curve",
    "frame_area",
    "over_dose",
    "physical_growth",
    "title_of",
]

DOSE_UNIT: Final = "e⁻/Å²"
_SQUARE_ANGSTROM: Final = 100.0  # per nm²


@dataclass(frozen=True)
class _Quantity:
    """A physical quantity that a fit gives, with its interval (level, bound)."""

    name: str
    value: float
    interval: Floats
    unit: str


@dataclass(frozen=True)
class FractionCurve:
    """The fraction of a class over time or dose.

    Attributes
    ----------
    fraction, std : DataArray (time,)
        The fraction and its standard deviation.
    rate : float
        Dose rate in e⁻/(Å² s) by which the time was multiplied; 1 for a curve over time.
    quantity : {"area", "mean probability"}
        What the fraction is.
    """

    fraction: xr.DataArray
    std: xr.DataArray
    rate: float = 1.0
    quantity: Quantity = MEAN_PROBABILITY

    @property
    def weighing_std(self) -> xr.DataArray | None:
        """What weighs the frames in a fit beside their scatter: nothing for an area.

        The σ of an area is mostly where boundaries lie, the same in all frames; it grows with the area, and weights
        that fall as the fraction rises would pull the curve down.
        """
        return None if self.quantity == AREA else self.std

    def interval(self, first: float, last: float) -> tuple[float, float]:
        """Return an interval of time on the axis of the curve."""
        return first * self.rate, last * self.rate


def fraction_curve(
    result: xr.Dataset,
    lattice: str,
    *,
    quantity: Quantity | None = None,
    frame_time: float | None = None,
    rate: float | None = None,
) -> FractionCurve:
    """Return the share of each frame that a class has, over time or over dose.

    Parameters
    ----------
    result : Dataset
        Of :func:`~bravaismap.map_phases`.
    lattice : str
        A class of the result, or another name of it.
    quantity : {"area", "mean probability"}, optional
        The area where the result holds it, when not given; see :func:`bravaismap.result.shares.class_shares`.
    frame_time : float, optional
        Time between frames in s, for a result that counts frames.
    rate : float, optional
        Dose rate in e⁻/(Å² s): the curve is then one over dose.

    Raises
    ------
    InputError
        If there is no such class, the result has its time in s already, or the dose needs a time in s.
    """
    names = [str(name) for name in result["lattice"].values]
    name = lattice if lattice in names else ALIASES.get(lattice, lattice)
    if name not in names:
        raise InputError(f"no class of the result is called {lattice!r}; the nearest names are "
                         f"{nearest_names(lattice, names)}")  # fmt: skip
    shares = class_shares(result, quantity)
    fraction, std = (values.sel(lattice=name).load() for values in (shares.fraction, shares.std))
    if frame_time is not None:
        if result["time"].attrs.get("units", "frame") != "frame":
            raise InputError("--frame-time was given, but the result has its time in s already")
        time = ("time", result["time"].values * frame_time, {"units": "s"})
        fraction, std = fraction.assign_coords(time=time), std.assign_coords(time=time)
    if rate is None:
        return FractionCurve(fraction, std, quantity=shares.quantity)
    return FractionCurve(over_dose(fraction, rate), std, rate, shares.quantity)


def dose_rate(current: float, area: float) -> float:
    """Return the dose rate in e⁻/(Å² s) of a beam that scans a frame.

    Parameters
    ----------
    current : float
        Beam current in pA.
    area : float
        Area of the frame in nm².

    Raises
    ------
    InputError
        If either is not positive.
    """
    _positive(current, "a beam current", "pA")
    _positive(area, "a frame area", "nm²")
    return float(current * 1e-12 / elementary_charge / (area * _SQUARE_ANGSTROM))


def over_dose(fraction: xr.DataArray, rate: float) -> xr.DataArray:
    """Return a fraction over the dose since t = 0; the dimension keeps its name, ``time``.

    Parameters
    ----------
    fraction : DataArray (time,)
        With its time in s.
    rate : float
        Dose rate in e⁻/(Å² s).

    Raises
    ------
    InputError
        If the rate is not positive, or the time is not in s.
    """
    _positive(rate, "a dose rate", "e⁻/(Å² s)")
    unit = fraction["time"].attrs.get("units", "frame") if "time" in fraction.coords else "frame"
    if unit != "s":
        raise InputError(f"the time is in {unit}, so the dose is not known; give the time between frames in s")
    dose = ("time", np.asarray(fraction["time"].values, float) * rate, {"units": DOSE_UNIT, "long_name": "dose"})
    return fraction.assign_coords(time=dose)


def frame_area(card: Mapping[str, Any], pixel_size: float | None = None) -> float:
    """Return the area of a frame in nm².

    Parameters
    ----------
    card : mapping
        The run card of a result (its attributes).
    pixel_size : float, optional
        Side of a pixel in nm; that of the card when not given.

    Raises
    ------
    InputError
        If the pixel size is not known, or not positive.
    """
    size = card.get("pixel_size_nm") if pixel_size is None else pixel_size
    if size is None:
        raise InputError(
            "areas in nm² need the pixel size, which the movie does not tell; give it in nm with --pixel-size "
            "(pixel_size= in Python)"
        )
    _positive(size, "a pixel size", "nm")
    height, width = card["frame_size"]
    return float(height * width * size**2)


def physical_growth(growth: xr.Dataset, area: float, voids: int | None = None) -> xr.Dataset:
    """Return the areas, and the rates at which they grow, that a fit gives in nm².

    Parameters
    ----------
    growth : Dataset
        Of :func:`~bravaismap.fit_growth`.
    area : float
        Area of the frame in nm², see :func:`frame_area`.
    voids : int, optional
        Number of voids that grow, for the rate of a single void.

    Returns
    -------
    Dataset
        ``value``, ``unit`` (quantity) and ``interval`` (quantity, level, bound). Of an exponential without onset
        ``minimum_hole_size`` A₀ · area and ``sputtering_rate`` ρ · area, as the paper defines them. Of every law
        ``baseline_area`` C · area, ``final_area``, the area above it at the last frame (without an interval),
        ``final_rate``, the rate of growth at the last frame, and with `voids` ``final_rate_per_void``.

    Raises
    ------
    InputError
        If the area or the number of voids is not positive.
    """
    _positive(area, "a frame area", "nm²")
    unit = str(growth.attrs["time_unit"])
    rate = f"nm²/({unit})" if "/" in unit else f"nm²/{unit}"

    def scaled(name: str, parameter: str, unit: str) -> _Quantity:
        fitted = growth.sel(parameter=parameter)
        return _Quantity(name, float(fitted["value"]) * area, fitted["interval"].values * area, unit)

    quantities = []
    if growth.attrs["law"] == "exponential" and growth.attrs["onset"] == "none":
        quantities += [scaled("minimum_hole_size", "A0", "nm²"), scaled("sputtering_rate", "rho", rate)]
    quantities.append(scaled("baseline_area", "C", "nm²"))
    grown = float(growth["curve"][-1] - growth["value"].sel(parameter="C")) * area
    quantities.append(_Quantity("final_area", grown, np.full((growth.sizes["level"], 2), np.nan), "nm²"))
    error = growth.attrs["final_rate_relative_std"]
    factors = np.exp(np.array([[-error, error], [-2 * error, 2 * error]]))
    final = growth.attrs["final_rate"] * area
    quantities.append(_Quantity("final_rate", final, final * factors, rate))
    if voids is not None:
        _positive(voids, "a number of voids", "")
        quantities.append(_Quantity("final_rate_per_void", final / voids, final * factors / voids, rate))
    return xr.Dataset(
        {
            "value": ("quantity", [quantity.value for quantity in quantities]),
            "interval": (("quantity", "level", "bound"), np.stack([quantity.interval for quantity in quantities])),
            "unit": ("quantity", [quantity.unit for quantity in quantities]),
        },
        coords={
            "quantity": [quantity.name for quantity in quantities],
            "level": growth["level"].values,
            "bound": growth["bound"].values,
        },
        attrs={"frame_area_nm2": area},
    )


def title_of(quantity: str) -> str:
    """Return the name of a quantity of :func:`physical_growth` as it is printed."""
    return "final area above C" if quantity == "final_area" else quantity.replace("_", " ")


def _positive(value: float, what: str, unit: str) -> None:
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"{what} of {value:g} {unit} was given; expected a positive number".replace("  ", " "))
