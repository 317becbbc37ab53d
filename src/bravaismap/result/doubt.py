"""Doubt: what a user should know before believing a result, in plain words and from one place.

The terminal, the report, the viewer and the printed result show the same lines.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import xarray as xr

from bravaismap.conventions import CLASSES, NONE

__all__ = ["FEWEST_CELLS", "cells_along_window", "doubts"]

#: Primitive cells along the side of a window below which its class is in doubt: with three, the errors of the cell
#: exceed the strain between neighbouring classes.
FEWEST_CELLS: Final = 4.0
_FRAMES = [0, -1]  # looked at, as for the phase table: a long movie is not read whole to be printed


def cells_along_window(result: xr.Dataset) -> float:
    """Return the number of primitive cells along the side of a typical window that shows a lattice.

    Parameters
    ----------
    result : Dataset
        A phase map with ``a``, ``b``, ``gamma`` and ``label``, and the run card.

    Returns
    -------
    float
        √(window² / area of the cell), the median over the windows of a lattice in the first and last frame; NaN where
        there is none.
    """
    if result.sizes.get("time", 0) > len(_FRAMES):
        result = result.isel(time=_FRAMES)
    area = result["a"] * result["b"] * np.sin(np.radians(result["gamma"]))
    lattice = (result["label"] >= 0) & (result["label"] != CLASSES.index(NONE))
    areas = area.where(lattice).values.ravel()
    areas = areas[np.isfinite(areas)]
    side = float(result.attrs["window"]) * (result.attrs.get("pixel_size_nm") or 1.0)
    return side / float(np.sqrt(np.median(areas))) if areas.size else float("nan")


def doubts(result: xr.Dataset) -> list[str]:
    """Return a line for each reason to doubt a result; none where there is nothing to say.

    Parameters
    ----------
    result : Dataset
        A phase map. A result that lacks what a reason rests on does not give that reason.
    """
    lines = []
    if {"a", "b", "gamma", "label"} <= set(result.variables) and "window" in result.attrs:
        cells = cells_along_window(result)
        if cells < FEWEST_CELLS:
            lines.append(
                f"a window of {result.attrs['window']} px holds {cells:.1f} cells along its side; below "
                f"{FEWEST_CELLS:g} the class is in doubt: give a larger --window"
            )
    return lines
