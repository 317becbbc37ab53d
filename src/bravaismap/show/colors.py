"""Colours of classes: those of the conventions, and free ones for the classes of users."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import COLORS, NONE

__all__ = ["OTHER_ATOM", "OWN_ATOM", "SINGLE_VACANCY", "VOID_SITE", "class_colors", "site_marks"]

#: Colours of sites (Okabe and Ito): a vacancy alone, a vacant site of a void, another atom, the usual atom.
SINGLE_VACANCY, VOID_SITE, OTHER_ATOM, OWN_ATOM = "#D55E00", "#E69F00", "#56B4E9", "#FFFFFF"


def class_colors(names: Iterable[str]) -> dict[str, str]:
    """Return the colour (``"#rrggbb"``) of each class; a user's class takes the next free Okabe–Ito colour."""
    names = [str(name) for name in names]
    if all(name in COLORS for name in names):
        return {name: COLORS[name] for name in names}
    from matplotlib import color_sequences
    from matplotlib.colors import to_hex

    palette = [to_hex(color).upper() for key in ("okabe_ito", "petroff10") for color in color_sequences[key]]
    taken = {COLORS[NONE], *(COLORS[name] for name in names if name in COLORS)}
    order = (palette[2], *COLORS.values(), palette[0], palette[4], *palette[8:])  # yellow late: faint on white
    free = cycle([color for color in order if color not in taken])
    return {name: COLORS[name] if name in COLORS else next(free) for name in names}


def site_marks(sites: xr.Dataset) -> tuple[NDArray[np.bool_], list[str]]:
    """Return which sites are vacant or hold another atom, and the colour (``"#rrggbb"``) of each site.

    Parameters
    ----------
    sites : Dataset
        Of :func:`bravaismap.find_sites`.
    """
    missing, other = sites["missing"].values, sites["state"].values == "substituted"
    color = np.full(len(missing), OWN_ATOM, dtype=object)
    color[missing == 1], color[missing > 1], color[other] = SINGLE_VACANCY, VOID_SITE, OTHER_ATOM
    return (missing > 0) | other, color.tolist()
