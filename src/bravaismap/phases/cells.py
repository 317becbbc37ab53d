"""Cells of each class over the windows of a region, a frame or a movie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import CELL_PARAMETERS, CLASSES, LATTICES, NONE, TURNS, Floats
from bravaismap.lattice.basis import cell_from_basis, reduce_basis
from bravaismap.lattice.deviation import nearest_basis

__all__ = [
    "SymmetricCells",
    "basis_orientation",
    "cell_statistics",
    "independent_windows",
    "lattice_orientation",
    "orientation_period",
    "orientation_scale",
    "symmetric_cells",
]


@dataclass(frozen=True)
class SymmetricCells:
    """The cells of windows under the symmetry of their classes; NaN where there is no lattice.

    Attributes
    ----------
    a, b : array
        Lengths of the primitive vectors of the nearest lattice of the class, in the unit of the basis: equal where the
        class makes them so, since there a and b of a measured cell differ by its errors alone.
    orientation : array
        Direction in degrees, from 0 to `period`, that the class leaves unchanged: that of a; of a centred rectangular
        lattice that of the longer side of its rectangle, as there a and b may stand for one another.
    period : array
        Angle in degrees after which the lattice repeats.
    """

    a: Floats
    b: Floats
    orientation: Floats
    period: Floats


def symmetric_cells(basis: NDArray[np.floating], label: NDArray[np.integer]) -> SymmetricCells:
    """Return the cells of windows under the symmetry of their classes.

    Parameters
    ----------
    basis : array, shape (..., 2, 2)
        Measured primitive vectors as (y, x).
    label : int array, shape (...)
        Classes, as places in :data:`~bravaismap.conventions.CLASSES`.
    """
    basis, label = np.asarray(basis, float), np.asarray(label)
    lattice = (label >= 0) & (label < len(LATTICES)) & np.isfinite(basis).all(axis=(-2, -1))
    a, b, orientation = (np.full(label.shape, np.nan) for _ in range(3))
    period = orientation_period(label)
    if lattice.any():
        classes = label[lattice]
        nearest = reduce_basis(nearest_basis(basis[lattice])[np.arange(len(classes)), classes])
        a[lattice], b[lattice], _, angle = cell_from_basis(nearest)
        centered = classes == CLASSES.index("centered_rectangular")
        first, second = nearest[centered, 0], nearest[centered, 1]
        rhombic = np.isclose(np.linalg.norm(first, axis=-1), np.linalg.norm(second, axis=-1), rtol=1e-6)
        long_side = np.where(rhombic[:, None], first + second, 2 * second - first)
        angle[centered] = np.arctan2(-long_side[:, 0], long_side[:, 1])
        orientation[lattice] = np.degrees(angle) % period[lattice]
    return SymmetricCells(a, b, orientation, period)


def lattice_orientation(row: xr.Dataset) -> tuple[str, float, float]:
    """Return what of the lattice of a window lies at which angle, in degrees, and after how many it repeats.

    One crystal has one answer, whichever of its equal vectors a was measured along.

    Parameters
    ----------
    row : Dataset
        An image or window of a result that holds cells.

    Returns
    -------
    direction : str
        ``"a"``, ``"a or b"`` of a lattice in which they are equal, or ``"long side"`` of the centred cell.
    angle, period : float
        NaN without a lattice.
    """
    return basis_orientation(row["basis"].transpose("vector", "component").values, int(row["label"]))


def basis_orientation(basis: NDArray[np.floating], label: int) -> tuple[str, float, float]:
    """Return what of a lattice lies at which angle, and after how many it repeats, as :func:`lattice_orientation`.

    Parameters
    ----------
    basis : array, shape (2, 2)
        Primitive vectors as (y, x).
    label : int
        Its class, as place in :data:`~bravaismap.conventions.CLASSES`.
    """
    cell = symmetric_cells(basis, np.asarray(label))
    lattice = CLASSES[label] if label >= 0 else NONE
    directions = {"centered_rectangular": "long side", "square": "a or b", "hexagonal": "a or b"}
    return directions.get(lattice, "a"), float(cell.orientation), float(cell.period)


def cell_statistics(result: xr.Dataset) -> xr.Dataset:
    """Return the cell of each class over the windows of a result or of a part of it.

    Parameters
    ----------
    result : Dataset
        With ``label``, ``a``, ``b``, ``gamma``, ``orientation`` and their ``_std``, over any dimensions.

    Returns
    -------
    Dataset
        Over ``lattice``: ``windows``, the number of windows of which the class is the most probable one; ``a``, ``b``,
        ``gamma``, ``orientation``, the medians over them; ``a_std`` and so on, the medians of the σ of a single window;
        and ``a_scatter`` and so on, the standard deviations between windows. NaN for a class without windows, and for
        the scatter of a single window. Orientations are compared modulo the symmetry of the class.
    """
    names = [str(name) for name in result["lattice"].values]
    label = result["label"].values
    variables: dict[str, Any] = {"windows": ("lattice", [int((label == i).sum()) for i in range(len(names))])}
    for name in CELL_PARAMETERS:
        values, errors = (result[key].transpose(*result["label"].dims).values for key in (name, f"{name}_std"))
        rows = []
        for i, lattice in enumerate(names):
            windows = (label == i) & np.isfinite(values)
            period = TURNS.get(lattice) if name == "orientation" else None
            rows.append(_summary(values[windows].astype(float), errors[windows].astype(float), period))
        unit = {"units": str(result[name].attrs.get("units", ""))}
        for column, ending in zip(zip(*rows, strict=True), ("", "_scatter", "_std"), strict=True):
            variables[f"{name}{ending}"] = ("lattice", list(column), unit)
    return xr.Dataset(variables, coords={"lattice": names})


def _summary(values: Floats, errors: Floats, period: float | None) -> tuple[float, float, float]:
    """Return median, standard deviation and median σ; with a period, of angles that repeat after it."""
    if not values.size:
        return np.nan, np.nan, np.nan
    if period is not None:
        middle = float(np.angle(np.exp(2j * np.pi * values / period).mean())) * period / (2 * np.pi)
        values = middle + (values - middle + period / 2) % period - period / 2
    scatter = float(values.std(ddof=1)) if values.size > 1 else np.nan
    median = float(np.median(values))
    return (median if period is None else median % period), scatter, float(np.median(errors))


def orientation_period(label: NDArray[np.integer], classes: tuple[str, ...] = CLASSES) -> Floats:
    """Return the angle (degrees) after which the lattice of each window repeats, 180 where there is no lattice."""
    table = np.array([TURNS.get(name, 180.0) for name in classes] + [180.0])
    return np.asarray(table[label])


def independent_windows(size: Iterable[int], window: int, windows: int) -> float:
    """Return the number of windows of a frame with independent errors: as many as fit side by side, at most all."""
    height, width = size
    return min(float(windows), max(1.0, height * width / window**2))


def orientation_scale(cells: SymmetricCells) -> tuple[NDArray[np.floating], float, str]:
    """Return orientations in degrees for a cyclic scale from 0, the end of the scale, and the text of its bar.

    The scale ends at the period of most lattices; those of other periods are taken modulo this one, too, which the text
    then says.
    """
    periods, counts = np.unique(cells.period[np.isfinite(cells.orientation)], return_counts=True)
    if len(periods) <= 1:
        return cells.orientation, float(periods.max(initial=60.0)), "°"
    period = float(periods[counts.argmax()])
    return cells.orientation % period, period, f"° (all modulo {period:g}°)"
