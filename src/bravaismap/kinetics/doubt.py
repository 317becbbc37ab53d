"""Doubt: what makes a fitted growth law no result, in plain words."""

from __future__ import annotations

from typing import Final

import numpy as np
import xarray as xr

__all__ = ["SMALLEST_ATOM_AREA", "growth_doubts"]

#: Area of an atom of graphene in nm², √3 a²/4 with a = 0.246 nm: in no crystal that is seen from above has one less.
SMALLEST_ATOM_AREA: Final = 0.0262
#: Akaike weight below which a law is not the one that describes a curve: it is printed as 0.00.
_NO_WEIGHT: Final = 0.005
_SIGNS: Final = 2  # digits of an area; more where the two would read the same


def growth_doubts(growth: xr.Dataset, physical: xr.Dataset | None, laws: xr.Dataset | None) -> list[str]:
    """Return why the parameters of a fit are no result, a sentence for each reason; none where they are one.

    Parameters
    ----------
    growth : Dataset
        Of :func:`bravaismap.fit_growth`.
    physical : Dataset, optional
        Of :func:`bravaismap.kinetics.dose.physical_growth`: whether a hole is smaller than an atom.
    laws : Dataset, optional
        Of :func:`bravaismap.compare_laws`: whether another law describes the curve, and this one does not.
    """
    return [*_beaten(growth, laws), *_smaller_than_an_atom(physical)]


def _beaten(growth: xr.Dataset, laws: xr.Dataset | None) -> list[str]:
    name = str(growth.attrs["law"]) + (" with onset" if growth.attrs["onset"] == "fitted" else "")
    if laws is None or name not in laws["law"].values:
        return []
    weight = float(laws["weight"].sel(law=name))
    if weight >= _NO_WEIGHT:
        return []
    best = str(laws["law"].values[0])
    return [
        f"the law {name} does not describe this curve: its AICc weight is {weight:.2f}, that of {best} is "
        f"{float(laws['weight'][0]):.2f}; its parameters are no result (--law auto takes the best law)"
    ]


def _smaller_than_an_atom(physical: xr.Dataset | None) -> list[str]:
    if physical is None or "minimum_hole_size" not in physical["quantity"].values:
        return []
    size = float(physical["value"].sel(quantity="minimum_hole_size"))
    low, high = (float(end) for end in physical["interval"].sel(quantity="minimum_hole_size").values[0])
    if not (size if np.isnan(high) else high) < SMALLEST_ATOM_AREA:
        return []
    signs = next(n for n in range(_SIGNS, 18) if f"{size:.{n}g}" != f"{SMALLEST_ATOM_AREA:.{n}g}")
    between = "" if np.isnan(low + high) else f" (68 %: {low:.{signs}g} to {high:.{signs}g})".replace("-", "−")
    return [
        f"a hole of {size:.{signs}g} nm²{between} is smaller than one atom "
        f"({SMALLEST_ATOM_AREA:.{signs}g} nm² or more): "
        "A₀ extrapolates the curve to t = 0, and is the size of no hole"
    ]
