"""A motif in words: its cell, its probable plane groups, what is odd about it, and a table of its columns.

The terminal and the viewer show the same lines.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import display_name
from bravaismap.motif.structure_text import cell_text, number_text

__all__ = ["column_rows", "probable_groups", "summary_lines"]

_LEAST = 0.001  # probability of a group that is named
_EXTINCT = 8  # orders that are named


def probable_groups(
    groups: NDArray[np.str_], probability: NDArray[np.floating], least: float = _LEAST, digits: int = 1
) -> str:
    """Return the plane groups that are more probable than `least`, the most probable first, in one line."""
    order = np.argsort(-probability, kind="stable")
    return ", ".join(f"{groups[i]} {100 * probability[i]:.{digits}f} %" for i in order if probability[i] > least)


def summary_lines(motif: xr.Dataset) -> list[tuple[str, str]]:
    """Return what is said of a motif as a name and a text for each line; the name is empty where a line goes on.

    Parameters
    ----------
    motif : Dataset
        Of :func:`bravaismap.motif`.
    """
    about = motif.attrs
    motif_class, metric = display_name(about["motif_lattice"]), display_name(about["metric_lattice"])
    lines = [
        ("cell", f"{cell_text(motif)}; {about['cells']:.0f} cells averaged"),
        ("plane group", probable_groups(motif["group"].values, motif["probability"].values)),
        ("point group", f"{about['point_group']}; Laue class {about['laue_class']}; lattice {motif_class}"),
    ]
    if metric != motif_class:
        lines.append(("", f"the lattice is {metric} within the distortion; the motif is not"))
    if about["pseudosymmetry"]:
        lines.append(("nearly", f"{about['pseudosymmetry']} (share of the amplitude that breaks it)"))
    extinct = np.flatnonzero(motif["extinct"].values)
    if len(extinct):
        orders = [f"{int(motif['h'][i])} {int(motif['k'][i])}" for i in extinct[:_EXTINCT]]
        lines.append(("extinct", f"{', '.join(orders)}{', …' if len(extinct) > _EXTINCT else ''}"))
    return lines


def column_rows(motif: xr.Dataset) -> list[list[str]]:
    """Return the table of a motif's columns as text, the header first."""
    rows = [["column", "Wyckoff", "x", "y", "height", f"width ({motif['width'].attrs['units']})"]]
    for i in range(motif.sizes["column"]):
        column = motif.isel(column=i)
        numbers = [
            number_text(float(column[key]), float(column[f"{key}_std"])) for key in ("x", "y", "height", "width")
        ]
        rows.append([str(int(column["site"]) + 1), str(column["wyckoff"].item()), *numbers])
    return rows
