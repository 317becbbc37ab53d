"""Order: what is said of the superlattices and the modulation of a classified image, in words and in numbers.

The terminal, tables and JSON take every sentence on a superlattice or a modulation from here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bravaismap.conventions import Floats
from bravaismap.lattice.basis import cell_from_basis
from bravaismap.lattice.wood import Superlattice, superlattice_name
from bravaismap.measure import settings
from bravaismap.result.phase_map import with_error

__all__ = [
    "Wave",
    "finer_basis",
    "modulation_doubt",
    "modulation_waves",
    "order_lines",
    "ordered_regions",
    "superlattice",
]


@dataclass(frozen=True)
class Wave:
    """A wave of a modulation.

    Attributes
    ----------
    vector, vector_std : array, shape (2,)
        Wave vector in the reciprocal basis of the lattice, with σ.
    period, period_std : float
        In `unit`.
    angle, angle_std : float
        Direction of the wave vector, without a sign, in degrees, counter-clockwise from the right as seen on the
        screen: from −90, which it does not reach, to 90.
    unit : str
    """

    vector: Floats
    vector_std: Floats
    period: float
    period_std: float
    angle: float
    angle_std: float
    unit: str

    def __str__(self) -> str:
        period, angle = with_error(self.period, self.period_std), with_error(self.angle, self.angle_std)
        parts = [
            f"({with_error(value, std)}) {name}"
            for value, std, name in zip(self.vector, self.vector_std, ("a*", "b*"), strict=True)
            if abs(value) > 2 * std
        ]
        vector = " + ".join(parts).replace("-", "−") or "0"
        return f"period {period} {self.unit} along {angle}°, q = {vector}".replace("-", "−")


def finer_basis(row: xr.Dataset) -> Floats | None:
    """Return the basis of the finer lattice whose superlattice an image shows, None if it shows no superlattice."""
    if "order" not in row or not row["order"].values.any():
        return None
    return np.asarray(np.linalg.solve(row["order"].values.astype(float), _basis(row)))


def superlattice(row: xr.Dataset) -> Superlattice | None:
    """Return the superlattice that an image shows, as it is written; None if it shows none, or a modulation as well."""
    finer = finer_basis(row)
    return None if finer is None or modulation_waves(row) else superlattice_name(row["order"].values, finer)


def ordered_regions(row: xr.Dataset) -> list[tuple[Superlattice, float]]:
    """Return the superlattices that a part of an image shows, as they are written, and their shares."""
    if "region_share" not in row:
        return []
    pairs = zip(row["region_order"].values, row["region_share"].values, strict=True)
    return [(superlattice_name(matrix, _basis(row)), float(share)) for matrix, share in pairs if np.isfinite(share)]


def modulation_waves(row: xr.Dataset) -> list[Wave]:
    """Return the waves of the modulation that an image shows; none if it shows no modulation.

    Parameters
    ----------
    row : Dataset
        An image of a result of :func:`~bravaismap.classify`.
    """
    if "modulation" not in row:
        return []
    reciprocal = np.linalg.inv(_modulated(row)).T
    unit = str(row["other_basis"].attrs.get("units", "px"))
    scale = float(row["a_std"]) / float(row["a"])
    waves = []
    for vector, covariance in zip(row["modulation"].values, row["modulation_covariance"].values, strict=True):
        if not np.isfinite(vector).all():
            continue
        wave = vector @ reciprocal
        length = float(np.linalg.norm(wave))
        along, across = wave / length, np.array([wave[1], -wave[0]]) / length
        spread = reciprocal.T @ covariance @ reciprocal
        waves.append(
            Wave(
                vector, np.sqrt(covariance.diagonal()),
                1 / length, float(np.hypot(np.sqrt(along @ spread @ along) / length, scale)) / length,
                90 - (90 - float(np.degrees(np.arctan2(-wave[0], wave[1])))) % 180,
                float(np.degrees(np.hypot(np.sqrt(across @ spread @ across) / length, scale))), unit,
            )
        )  # fmt: skip
    return waves


def modulation_doubt(row: xr.Dataset) -> str:
    """Return whether the modulation of an image fits a superlattice, in words."""
    limits = settings.SETTINGS.satellites
    probability = float(row["modulation_commensurate"])
    if probability <= limits.incommensurate:
        largest = limits.largest_of_waves[len(modulation_waves(row)) - 1]
        return f"not commensurate: no superlattice of up to {largest} cells fits"
    name = modulation_superlattice(row)
    if probability >= limits.commensurate:
        return f"commensurate: superlattice {name}"
    return f"that it is commensurate cannot be told ({100 * probability:.0f} %; superlattice {name})"


def modulation_superlattice(row: xr.Dataset) -> Superlattice:
    """Return the superlattice that the modulation of an image fits best, as it is written."""
    return superlattice_name(row["modulation_order"].values, _modulated(row))


def order_lines(row: xr.Dataset) -> list[str]:
    """Return a line for each superlattice of an image or of a part of it, and for its modulation."""
    lines, beneath = [], ""
    if (finer := finer_basis(row)) is not None:
        unit = str(row["other_basis"].attrs.get("units", "px"))
        a, b, gamma, _ = (float(value) for value in cell_from_basis(finer))
        beneath = f" of a lattice of a {a:.3g} {unit}, b {b:.3g} {unit}, γ {np.degrees(gamma):.1f}°"
    if (name := superlattice(row)) is not None:
        lines.append(f"order      superlattice {name}{beneath}")
    for region, share in ordered_regions(row):
        lines.append(f"order      superlattice {region} in {100 * share:.0f} % of the image")
    if waves := modulation_waves(row):
        what = "a modulation of" if len(waves) == 1 else "modulations of"
        lines.append(f"order      {what} {' and '.join(map(str, waves))}{beneath}; {modulation_doubt(row)}")
    return lines


def _modulated(row: xr.Dataset) -> Floats:
    """Basis of the lattice that is modulated."""
    finer = finer_basis(row)
    return _basis(row) if finer is None else finer


def _basis(row: xr.Dataset) -> Floats:
    return np.asarray(row["basis"].values, float)
