"""Doubt: what a user should know before believing a result, in plain words and from one place.

The terminal, the report, the viewer and the printed result show the same lines.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import CLASSES, NONE

__all__ = ["FEWEST_CELLS", "cells_along_image", "cells_along_window", "doubts"]

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
    areas = _areas(result)
    areas = areas[np.isfinite(areas)]
    side = float(result.attrs["window"]) * (result.attrs.get("pixel_size_nm") or 1.0)
    return side / float(np.sqrt(np.median(areas))) if areas.size else float("nan")


def cells_along_image(result: xr.Dataset) -> NDArray[np.float64]:
    """Return the number of primitive cells along the shorter side of each classified image, NaN of one without any.

    Parameters
    ----------
    result : Dataset
        Of :func:`~bravaismap.classify`, with ``basis`` and ``label``, or one image of it.

    Returns
    -------
    array, shape (image,)
        √(area of the image ÷ area of the cell), the image taken as a square of its shorter side.
    """
    side = min(result.attrs["size"]) * float(result.attrs.get("pixel_size_nm") or 1.0)
    return np.asarray(side / np.sqrt(_areas(result)))


def _areas(result: xr.Dataset) -> NDArray[np.float64]:
    """Areas of the cells, flat; NaN where there is no lattice."""
    area = result["a"] * result["b"] * np.sin(np.radians(result["gamma"]))
    lattice = (result["label"] >= 0) & (result["label"] != CLASSES.index(NONE))
    return np.asarray(area.where(lattice).values.ravel(), float)


def doubts(result: xr.Dataset) -> list[str]:
    """Return a line for each reason to doubt a result; none where there is nothing to say.

    Parameters
    ----------
    result : Dataset
        A phase map, classified images, or one of them. A result that lacks what a reason rests on does not give that
        reason.
    """
    lines: list[str] = []
    if not {"a", "b", "gamma", "label"} <= set(result.variables):
        return lines
    if "size" in result.attrs:
        few = cells_along_image(result)
        numbers = np.flatnonzero(few < FEWEST_CELLS)
        for i in numbers:
            image = f"image {i}" if "image" in result.dims else "the image"
            lines.append(
                f"{image} holds {few[i]:.1f} cells along its shorter side; below {FEWEST_CELLS:g} the class is in "
                "doubt: take a larger field of view"
            )
    if "window" in result.attrs:
        cells = cells_along_window(result)
        if cells < FEWEST_CELLS:
            lines.append(
                f"a window of {result.attrs['window']} px holds {cells:.1f} cells along its side; below "
                f"{FEWEST_CELLS:g} the class is in doubt: give a larger --window"
            )
    return lines
