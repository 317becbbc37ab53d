"""Description: a motif as a dataset, from fitted patterns: averaged cell, structure factors, plane groups, columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import LATTICES, Floats
from bravaismap.lattice import deviation, shape
from bravaismap.motif.averaging import averaged_cell
from bravaismap.motif.columns import Columns, find_columns
from bravaismap.motif.doubt import strongest_rest
from bravaismap.motif.plane_groups import PLANE_GROUPS, Setting, contains
from bravaismap.motif.pooling import aligned, pooled_factors
from bravaismap.motif.structure_factors import PatternFit, StructureFactors
from bravaismap.motif.symmetry import GroupFit, Symmetry, find_symmetry

__all__ = ["Sample", "described", "extinct"]

_IN_UNITS_OF_THE_IMAGE = ("cell", "cell_std", "amplitude", "amplitude_std", "height", "height_std")
#: Misfit of a group, as a fraction, below which one that was not chosen is reported as pseudosymmetry.
_PSEUDO = 0.25
#: Fractional coordinates are given from minus this on, so that a column at 0 is not one at 1 by its errors.
_JUST_BELOW = 0.01


@dataclass(frozen=True, eq=False)
class Sample:
    """Images of one crystal with the pattern that is fitted to each.

    Attributes
    ----------
    images : tuple of array, shape (y, x)
        In units of their contrast about their mean.
    fits : tuple of PatternFit
        On one basis but for drift and small strains.
    covariance : array, shape (4, 4)
        Of the mean basis, px²; NaN where it is not known.
    level, contrast : float
        Mean and standard deviation of the images as they were given.
    pixel_size : float or None
        In nm.
    """

    images: tuple[Floats, ...]
    fits: tuple[PatternFit, ...]
    covariance: Floats
    level: float
    contrast: float
    pixel_size: float | None


@dataclass(frozen=True, eq=False)
class _Cell:
    """A conventional cell: rows in units of the fitted basis, the basis in px with its covariance, and the origin."""

    change: Floats
    basis: Floats
    covariance: Floats
    origin: Floats


def described(sample: Sample, distortion: float, systematic: float) -> xr.Dataset:
    """Return the motif of a sample, as :func:`bravaismap.motif` does, but for which pixels were used.

    Parameters
    ----------
    sample : Sample
    distortion, systematic : float
        As :func:`bravaismap.motif` takes them.
    """
    fits = aligned(sample.fits)
    factors = pooled_factors(fits)
    lattice_std = float(np.sqrt(np.diag(np.nan_to_num(sample.covariance)).mean() / abs(np.linalg.det(factors.basis))))
    symmetry = find_symmetry(factors, distortion, systematic, lattice_std)
    best = symmetry.best
    change = best.setting.group.conventional @ best.setting.change
    whole = np.kron(change, np.eye(2))
    cell = _Cell(change, change @ factors.basis, whole @ sample.covariance @ whole.T, best.origin)
    columns = find_columns(factors, best)
    size = sample.pixel_size
    variables = (
        _averaged(sample.images, fits, cell) | _factors(factors, best, cell) | _groups(symmetry)
        | _columns(columns, cell, size) | _lengths(cell, size)
    )  # fmt: skip
    attributes = _about(symmetry, factors.basis, distortion, systematic, lattice_std) | {
        "phase_followed": int(any(fit.phase.followed for fit in fits)),
        "unexplained": float(np.average([strongest_rest(fit) for fit in fits], weights=[f.weight.sum() for f in fits])),
        "cells": float(sum(fit.weight.sum() / abs(np.linalg.det(fit.basis)) for fit in fits)),
    }
    result = xr.Dataset(variables, attrs=attributes).set_coords(["u", "v", "h", "k", "group"])
    for name in _IN_UNITS_OF_THE_IMAGE:
        result[name].values *= sample.contrast
    result["cell"].values += sample.level
    return result


def _averaged(images: Sequence[Floats], fits: Sequence[PatternFit], cell: _Cell) -> dict[str, Any]:
    """Return the averaged cell with its coordinates."""
    inverse = np.linalg.inv(cell.change)
    coordinates = np.concatenate([fit.phase.coordinates.reshape(2, -1) for fit in fits], axis=1)
    place = inverse.T @ (coordinates - cell.origin[:, None])
    flat = [image - _level(fit) for image, fit in zip(images, fits, strict=True)]
    pixels, weight, residual = (
        np.concatenate([plane.ravel() for plane in planes])
        for planes in (flat, [fit.weight for fit in fits], [fit.residual for fit in fits])
    )
    averaged = averaged_cell(pixels, weight, place, cell.basis, residual)
    v, u = (np.arange(points) / points for points in averaged.mean.shape)
    dims = ("v", "u")
    return {
        "u": ("u", u, {"long_name": "fraction of a"}),
        "v": ("v", v, {"long_name": "fraction of b"}),
        "cell": (dims, averaged.mean, {"long_name": "average over all cells"}),
        "cell_std": (dims, averaged.std, {"long_name": "σ of the average"}),
        "cell_count": (dims, averaged.count, {"long_name": "pixels averaged"}),
    }


def _level(fit: PatternFit) -> Floats:
    """Return what varies slowly, about its mean: the average keeps the level of the image."""
    return np.asarray(
        fit.background - np.average(fit.background, weights=np.broadcast_to(fit.weight, fit.background.shape))
    )


def _factors(factors: StructureFactors, best: GroupFit, cell: _Cell) -> dict[str, Any]:
    """Return structure factors with the indices of the conventional cell and the group's origin."""
    value = factors.value * np.exp(-2j * np.pi * factors.order @ cell.origin)
    h, k = np.rint(factors.order @ cell.change.T).astype(int).T
    return {
        "h": ("order", h), "k": ("order", k),
        "amplitude": ("order", np.abs(value), {"long_name": "amplitude of the structure factor"}),
        "amplitude_std": ("order", factors.std / np.sqrt(2), {"long_name": "σ of the amplitude"}),
        "phase": ("order", np.degrees(np.angle(value)), {"units": "degree", "long_name": "its phase"}),
        "phase_std": ("order", np.degrees(factors.phase_std), {"units": "degree"}),
        "extinct": ("order", extinct(factors, best.setting), {"long_name": "vanishes in the plane group"}),
    }  # fmt: skip


def extinct(factors: StructureFactors, setting: Setting) -> NDArray[np.bool_]:
    """Return which orders a plane group wants to vanish: those that a glide takes to themselves with another phase."""
    same = (np.einsum("ni,gij->gnj", factors.order, setting.matrices) == factors.order).all(axis=-1)
    turns = np.einsum("ni,gi->gn", factors.order, setting.translations)
    return np.asarray((same & (np.abs(turns - np.rint(turns)) > 1e-6)).any(axis=0))


def _groups(symmetry: Symmetry) -> dict[str, Any]:
    misfit = np.array([np.nan if fit is None else fit.residual for fit in symmetry.fits])
    return {
        "group": ("group", [group.name for group in PLANE_GROUPS]),
        "probability": ("group", symmetry.probability, {"long_name": "probability of the plane group"}),
        "misfit": ("group", misfit, {"long_name": "root of the share of the power that breaks the group"}),
    }


def _columns(columns: Columns, cell: _Cell, size: float | None) -> dict[str, Any]:
    """Return columns in fractions of the conventional cell."""
    inverse = np.linalg.inv(cell.change)
    position = ((columns.position - cell.origin) @ inverse + _JUST_BELOW) % 1.0 - _JUST_BELOW
    position_std = np.sqrt((columns.position_std**2) @ inverse**2)
    unit, scale = ("px", 1.0) if size is None else ("nm", size)
    found: dict[str, Any] = {"site": ("column", columns.orbit, {"long_name": "equivalent columns"})}
    found["wyckoff"] = ("column", list(columns.wyckoff), {"long_name": "multiplicity and Wyckoff letter"})
    for name, value, std, about in (
        ("x", position[:, 0], position_std[:, 0], {"long_name": "fraction of a"}),
        ("y", position[:, 1], position_std[:, 1], {"long_name": "fraction of b"}),
        ("height", columns.height, columns.height_std, {"long_name": "height above the surroundings"}),
        ("width", scale * columns.width, scale * columns.width_std, {"long_name": "σ of the column", "units": unit}),
    ):
        found[name] = ("column", value, about)
        found[f"{name}_std"] = ("column", std, about | {"long_name": f"σ of {name}"})
    return found


def _lengths(cell: _Cell, size: float | None) -> dict[str, Any]:
    """Return a, b, γ of the conventional cell with their errors, and its basis."""
    unit, scale = ("px", 1.0) if size is None else ("nm", size)

    def lengths(basis: Floats) -> Floats:
        a, b = np.linalg.norm(basis, axis=1)
        return np.array([a, b, np.degrees(np.arccos(np.clip(basis[0] @ basis[1] / (a * b), -1, 1)))])

    flat, step = cell.basis.ravel(), 1e-5 * float(np.abs(cell.basis).max())
    slope = np.stack(
        [(lengths((flat + d).reshape(2, 2)) - lengths((flat - d).reshape(2, 2))) / (2 * step) for d in step * np.eye(4)]
    )
    std = np.sqrt(np.einsum("ik,ij,jk->k", slope, cell.covariance, slope))
    found: dict[str, Any] = {}
    for name, value, error in zip(("a", "b", "gamma"), lengths(cell.basis), std, strict=True):
        factor, units = (1.0, "degree") if name == "gamma" else (scale, unit)
        found[name] = ((), factor * value, {"units": units, "long_name": f"{name} of the conventional cell"})
        found[f"{name}_std"] = ((), factor * error, {"units": units})
    found["basis"] = (
        ("vector", "component"), scale * cell.basis, {"units": unit, "long_name": "conventional vectors a, b as (y, x)"}
    )  # fmt: skip
    return found


def _about(
    symmetry: Symmetry, basis: Floats, distortion: float, systematic: float, lattice_std: float
) -> dict[str, Any]:
    group, best = symmetry.group, symmetry.best
    tolerance = 3 * float(np.sqrt(2 * distortion**2 + lattice_std**2))
    within = deviation(shape(basis)) <= max(tolerance, 1e-6)
    metric = next(
        name
        for name in ("hexagonal", "square", "rectangular", "centered_rectangular", "oblique")
        if within[LATTICES.index(name)]
    )
    above = [
        f"{other.setting.group.name} ({other.residual:.2f})"
        for other in symmetry.fits
        if other is not None
        and other.setting.group is not group
        and other.residual < _PSEUDO
        and contains(other.setting, best.setting)
    ]
    return {
        "plane_group": group.name, "point_group": group.point_group, "laue_class": group.laue_class,
        "motif_lattice": group.lattice, "metric_lattice": metric, "pseudosymmetry": ", ".join(above),
        "chi_square": best.chi_square, "constraints": best.constraints, "distortion": distortion,
        "systematic": systematic,
    }  # fmt: skip
