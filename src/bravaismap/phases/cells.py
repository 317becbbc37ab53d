"""Cells of a class over the windows of a region, a frame or a movie."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import CELL_PARAMETERS, CLASSES, TURNS

__all__ = ["cell_statistics", "independent_windows", "orientation_period"]


def cell_statistics(result: xr.Dataset) -> xr.Dataset:
    """Return the cell of each class over some windows of a result: a region, a frame, or all of it.

    Parameters
    ----------
    result : Dataset
        With ``label``, ``a``, ``b``, ``gamma``, ``orientation`` and their ``_std``, over any dimensions.

    Returns
    -------
    Dataset
        Over ``lattice``: ``windows``, the number of windows that have the class as their most probable one; ``a``,
        ``b``, ``gamma``, ``orientation``, the medians over them; ``a_std`` and so on, the medians of the σ of a single
        window; and ``a_scatter`` and so on, the standard deviations between windows. NaN for a class without windows,
        and for the scatter of one window. Orientations that are the same by the symmetry of the class count as the
        same.
    """
    names = [str(name) for name in result["lattice"].values]
    label = result["label"].values
    found: dict[str, Any] = {"windows": ("lattice", [int((label == i).sum()) for i in range(len(names))])}
    for name in CELL_PARAMETERS:
        values, errors = (result[key].transpose(*result["label"].dims).values for key in (name, f"{name}_std"))
        rows = []
        for i, lattice in enumerate(names):
            known = (label == i) & np.isfinite(values)
            some, their = values[known].astype(float), errors[known].astype(float)
            turn = TURNS.get(lattice) if name == "orientation" else None
            rows.append((*_middle(some, turn), np.median(their)) if some.size else (np.nan,) * 3)
        unit = {"units": str(result[name].attrs.get("units", ""))}
        for column, ending in zip(zip(*rows, strict=True), ("", "_scatter", "_std"), strict=True):
            found[f"{name}{ending}"] = ("lattice", list(column), unit)
    return xr.Dataset(found, coords={"lattice": names})


def _middle(values: NDArray[np.float64], turn: float | None) -> tuple[float, float]:
    """Return median and standard deviation; with a turn, of angles that repeat after it."""
    if turn is not None:
        middle = float(np.angle(np.exp(2j * np.pi * values / turn).mean())) * turn / (2 * np.pi)
        values = middle + (values - middle + turn / 2) % turn - turn / 2
    spread = float(values.std(ddof=1)) if values.size > 1 else np.nan
    median = float(np.median(values))
    return (median if turn is None else median % turn), spread


def orientation_period(label: NDArray[np.integer], classes: tuple[str, ...] = CLASSES) -> NDArray[np.float64]:
    """Return the turn (degrees) after which the lattice of each window looks the same, 180 where there is none."""
    table = np.array([TURNS.get(name, 180.0) for name in classes] + [180.0])
    return np.asarray(table[label])


def independent_windows(size: Iterable[int], window: int, windows: int) -> float:
    """Return how many windows of a frame err independently: as many as fit side by side, at most all of them."""
    height, width = size
    return min(float(windows), max(1.0, height * width / window**2))
