"""A motif as text: a two-dimensional structure in the manner of a Crystallographic Information File.

Cell and atomic columns have the names of the CIF core dictionary as far as it has any; a plane has no c, α and β, and a
column no element. It has no names for plane groups: the items ``_plane_group_…`` are this package's own, because
number 14 among space groups is P2₁/c and among plane groups p3m1. Standard deviations stand in parentheses in units of
the last digit.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import xarray as xr

from bravaismap.motif.plane_groups import PlaneGroup, group_named

__all__ = ["cell_text", "coordinate_triplets", "number_text", "structure_text"]

_MOST_DECIMALS = 6


def number_text(value: float, std: float) -> str:
    """Return a number with its standard deviation in the last digits, as 3.905(12); without one if it is not known.

    The deviation has two digits where it begins with 1, and one otherwise, as crystallographers write it.
    """
    if not (np.isfinite(std) and std > 0):
        return f"{value:.4g}" if np.isfinite(value) else "?"
    exponent = int(np.floor(np.log10(std)))
    digits = 1 if std / 10.0**exponent < 1.95 else 0
    decimals = min(max(digits - exponent, 0), _MOST_DECIMALS)
    last = max(round(std * 10**decimals), 1)
    return f"{round(value, decimals) + 0.0:.{decimals}f}({last})"


def coordinate_triplets(group: PlaneGroup) -> list[str]:
    """Return the general positions of a plane group in its conventional cell, such as ``-x+1/2, y``."""
    to_conventional = np.linalg.inv(group.conventional.T)
    centring = [(0.0, 0.0), (0.5, 0.5)] if abs(np.linalg.det(group.conventional)) > 1.5 else [(0.0, 0.0)]
    lines = []
    for shift in centring:
        for w, t in zip(group.matrices, group.translations, strict=True):
            matrix = np.rint(to_conventional @ w @ group.conventional.T).astype(int)
            moved = (to_conventional @ t + shift) % 1.0
            lines.append(", ".join(_coordinate(row, step) for row, step in zip(matrix, moved, strict=True)))
    return lines


def _coordinate(row: np.ndarray, shift: float) -> str:
    text = ""
    for factor, name in zip(row, "xy", strict=True):
        if factor:
            text += ("+" if factor > 0 and text else "-" if factor < 0 else "") + name
    part = Fraction(float(shift)).limit_denominator(12)
    return text + (f"+{part}" if part else "")


def cell_text(motif: xr.Dataset) -> str:
    """Return the conventional cell in one line, such as ``a 3.905(2) nm, b 3.905(2) nm, γ 90.02(3)°``."""
    parts = []
    for name, symbol in (("a", "a"), ("b", "b"), ("gamma", "γ")):
        unit = motif[name].attrs["units"]
        number = number_text(float(motif[name]), float(motif[f"{name}_std"]))
        parts.append(f"{symbol} {number}" + ("°" if unit == "degree" else f" {unit}"))
    return ", ".join(parts)


def structure_text(motif: xr.Dataset, name: str = "motif") -> str:
    """Return the structure of a motif as text.

    Parameters
    ----------
    motif : Dataset
        Of :func:`bravaismap.motif`.
    name : str
        Of the data block.

    Returns
    -------
    str
        One column for each site of the asymmetric unit. ``_cell_length_a`` and ``_b`` are in Å where the pixel size is
        known; where it is not there are ``_plane_cell_length_a_px`` and ``_b_px``, and widths are in px, too, as a
        comment says.
    """
    known = motif["a"].attrs["units"] == "nm"
    scale = 10.0 if known else 1.0
    group = group_named(motif.attrs["plane_group"])
    block = "".join(letter if letter.isalnum() else "_" for letter in name)
    lines = [f"data_{block}", f"# lengths in {'Å' if known else 'px: the size of a pixel is not known'}"]
    for entry, variable in (("length_a", "a"), ("length_b", "b"), ("angle_gamma", "gamma")):
        factor = 1.0 if variable == "gamma" else scale
        number = number_text(factor * float(motif[variable]), factor * float(motif[f"{variable}_std"]))
        lines.append(f"_cell_{entry} {number}" if known or variable == "gamma" else f"_plane_cell_{entry}_px {number}")
    probability = float(motif["probability"].sel(group=group.name))
    lines += [
        f"_plane_group_name_H-M '{' '.join(group.name)}'", f"_plane_group_IT_number {group.number}",
        f"_plane_group_probability {probability:.3f}",
        "loop_", "_plane_group_symop_id", "_plane_group_symop_operation_xy",
    ]  # fmt: skip
    lines += [f"{i} '{triplet}'" for i, triplet in enumerate(coordinate_triplets(group), 1)]
    lines += [
        "loop_", "_atom_site_label", "_atom_site_Wyckoff_symbol", "_atom_site_site_symmetry_multiplicity",
        "_atom_site_fract_x", "_atom_site_fract_y", "_column_height", "_column_width",
    ]  # fmt: skip
    for site in np.unique(motif["site"].values):
        column = motif.isel(column=int(np.flatnonzero(motif["site"].values == site)[0]))
        wyckoff = str(column["wyckoff"].item())
        numbers = [
            number_text(factor * float(column[key]), factor * float(column[f"{key}_std"]))
            for key, factor in (("x", 1.0), ("y", 1.0), ("height", 1.0), ("width", scale))
        ]
        lines.append(" ".join([f"column{site + 1}", wyckoff[-1], wyckoff[:-1], *numbers]))
    return "\n".join(lines) + "\n"
