"""The motif of an image: averaged cell, structure factors, plane group and columns, as one dataset.

>>> motif = bm.motif(image)
>>> motif.attrs["plane_group"], motif["probability"].sel(group="p4mm")
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bravaismap.classify.settings import DEFAULTS
from bravaismap.conventions import LATTICES
from bravaismap.errors import InputError
from bravaismap.lattice import deviation, reduce_basis, shape
from bravaismap.measure.measurement import SMALLEST_SIDE
from bravaismap.motif.averaging import averaged_cell
from bravaismap.motif.belonging import belonging
from bravaismap.motif.columns import Columns, find_columns
from bravaismap.motif.harmonics import lattice_of_image
from bravaismap.motif.plane_groups import PLANE_GROUPS, Setting, contains
from bravaismap.motif.settings import SYSTEMATIC
from bravaismap.motif.structure_factors import PatternFit, StructureFactors, fit_pattern, structure_factors
from bravaismap.motif.symmetry import GroupFit, Symmetry, find_symmetry
from bravaismap.motif.translations import fit_cell
from bravaismap.movie import as_movie, finite_pixels, pixel_size

__all__ = ["extinct", "motif"]

Floats = NDArray[np.floating]

_IN_UNITS_OF_THE_IMAGE = ("cell", "cell_std", "amplitude", "amplitude_std", "height", "height_std")
#: Share of the pixels that must fall out for the rest to be fitted anew, and that must be left.
_MATTERS, _ENOUGH = 0.005, 0.05
#: Misfit of a group, as a fraction, below which one that was not chosen is reported as pseudosymmetry.
_PSEUDO = 0.25
#: Fractional coordinates are given from minus this on, so that a column at 0 is not one at 1 by its errors.
_JUST_BELOW = 0.01
#: Fewest cells that make an average.
_LEAST_CELLS = 4.0


@dataclass(frozen=True, eq=False)
class _Cell:
    """A conventional cell: rows in units of the fitted basis, the basis in px with its covariance, and the origin."""

    change: Floats
    basis: Floats
    covariance: Floats
    origin: Floats


def motif(
    image: Any,
    basis: ArrayLike | None = None,
    *,
    mask: ArrayLike | None = None,
    distortion: float = DEFAULTS.distortion,
    systematic: float = SYSTEMATIC,
) -> xr.Dataset:
    """Return what sits in the cell of a lattice, and the plane group of the pattern.

    Parameters
    ----------
    image : array, shape (y, x), or movie of one frame
        Pixels that are not finite are left out.
    basis : array_like, shape (2, 2), optional
        Primitive vectors in px, rows, columns (y, x). Measured from the image when not given.
    mask : bool array_like, shape (y, x), optional
        True for the pixels of the region or phase that is asked for.
    distortion : float
        Distortion of the scan, σ of each component of its linear map (0.02 is 2 %), as in a classification: a lattice
        that is square within it may carry a square group.
    systematic : float
        Errors of structure factors besides noise, as a fraction of their size: 0 for a simulation.

    Returns
    -------
    Dataset
        ``cell``, ``cell_std``, ``cell_count`` (v, u): the average over all cells, on fractional coordinates of the
        conventional cell of the group with its origin at 0. ``amplitude``, ``phase`` (degree), each with ``_std``, and
        ``extinct`` (order), with coordinates ``h`` and ``k``: structure factors F, the mean of the image times
        exp(2πi (hx + ky)), and whether the group wants them to vanish. ``probability``, ``misfit`` (group): of each
        plane group, and the root of the share of the power that breaks it. ``x``, ``y`` (fractions of the conventional
        cell), ``height``, ``width``, each with ``_std``, ``wyckoff``, ``site`` (column): atomic columns; those of one
        site are equivalent. ``used`` (py, px): the pixels of the average. ``a``, ``b``, ``gamma`` with ``_std``;
        ``basis`` (vector, component), of the conventional cell. Lengths are in nm, or in px where the pixel size is
        unknown. Attributes: ``plane_group``, ``point_group``, ``laue_class``, ``motif_lattice`` (the class that the
        group asks for), ``metric_lattice`` (the most symmetric one that the cell has within the distortion),
        ``pseudosymmetry`` (higher groups that the pattern nearly has), and the settings.

    Raises
    ------
    InputError
        For more than one frame, less than 32 px a side, no lattice, a basis that is none or a mask of another shape.
    """
    movie = as_movie(image)
    pixels, weight, level, contrast = _pixels(movie, mask)
    reduced, covariance = _lattice(pixels, weight, basis)
    cells = float(weight.sum() / abs(np.linalg.det(reduced)))
    if cells < _LEAST_CELLS:
        raise InputError(f"the image holds {cells:.1f} cells of the lattice; expected {_LEAST_CELLS:.0f} or more")
    first = fit_pattern(pixels, reduced, weight)
    kept = belonging(first)
    if weight.sum() - kept.sum() > _MATTERS * weight.sum() and kept.sum() > _ENOUGH * weight.sum():
        fit = fit_cell(pixels, reduced, kept, systematic)
    else:
        fit = fit_cell(pixels, reduced, weight, systematic, first)
    turn = fit.basis @ np.linalg.inv(reduced)
    covariance = np.kron(turn, np.eye(2)) @ covariance @ np.kron(turn, np.eye(2)).T
    factors = structure_factors(fit)
    lattice_std = float(np.sqrt(np.diag(np.nan_to_num(covariance)).mean() / abs(np.linalg.det(fit.basis))))
    symmetry = find_symmetry(factors, distortion, systematic, lattice_std)
    best = symmetry.best
    change = best.setting.group.conventional @ best.setting.change
    whole = np.kron(change, np.eye(2))
    cell = _Cell(change, change @ fit.basis, whole @ covariance @ whole.T, best.origin)
    columns = find_columns(factors, best)
    size = pixel_size(movie)
    found = (
        _averaged(pixels, fit, cell) | _factors(factors, best, cell) | _groups(symmetry)
        | _columns(columns, cell, size) | _lengths(cell, size)
    )  # fmt: skip
    found["used"] = (("py", "px"), fit.weight > 0, {"long_name": "pixels of the average"})
    attributes = _about(symmetry, distortion, systematic, fit, lattice_std)
    result = xr.Dataset(found, attrs=attributes).set_coords(["u", "v", "h", "k", "group"])
    for name in _IN_UNITS_OF_THE_IMAGE:
        result[name].values *= contrast
    result["cell"].values += level
    return result


def _pixels(movie: xr.DataArray, mask: ArrayLike | None) -> tuple[Floats, Floats, float, float]:
    """Return the image in units of its contrast about its mean, 1 for each pixel to be used, mean and contrast."""
    if len(movie) != 1:
        raise InputError(f"a movie of {len(movie)} frames was given; expected one image, such as movie[0]")
    frame = np.asarray(movie.data[:1])
    if min(frame.shape[1:]) < SMALLEST_SIDE:
        raise InputError(f"an image of {frame.shape[1]} × {frame.shape[2]} px was given; expected 32 px or more a side")
    finite = np.isfinite(frame[0])
    if mask is not None:
        chosen = np.asarray(mask)
        if chosen.shape != finite.shape or chosen.dtype != bool:
            raise InputError(
                f"a mask of shape {chosen.shape} and type {chosen.dtype} was given; expected bool of {finite.shape}"
            )
        finite = finite & chosen
    if finite.sum() < SMALLEST_SIDE**2:
        raise InputError(f"{int(finite.sum())} pixels are finite and in the mask; expected {SMALLEST_SIDE**2} or more")
    pixels = finite_pixels(frame, nan="fill")[0].astype(np.float64)
    if np.ptp(pixels[finite]) == 0:
        raise InputError("an image without contrast was given; expected one that shows a lattice")
    level, contrast = float(pixels[finite].mean()), float(pixels[finite].std())
    return (pixels - level) / contrast, finite.astype(np.float64), level, contrast


def _lattice(pixels: Floats, weight: Floats, basis: ArrayLike | None) -> tuple[Floats, Floats]:
    """Return the reduced basis in px and its covariance, NaN for a given one."""
    if basis is not None:
        given = np.asarray(basis, float)
        if given.shape != (2, 2) or not np.isfinite(given).all():
            raise InputError(f"a basis of shape {given.shape} was given; expected two finite vectors (2, 2) in px")
        return reduce_basis(given), np.full((4, 4), np.nan)
    return lattice_of_image(pixels, weight)


def _averaged(pixels: Floats, fit: PatternFit, cell: _Cell) -> dict[str, Any]:
    """Return the averaged cell with its coordinates."""
    inverse = np.linalg.inv(cell.change)
    moved = fit.phase.coordinates - cell.origin[:, None, None]
    place = np.einsum("iyx,ij->jyx", moved, inverse)
    averaged = averaged_cell(pixels - _level(fit), fit.weight, place, cell.basis, fit.residual)
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
    symmetry: Symmetry, distortion: float, systematic: float, fit: PatternFit, lattice_std: float
) -> dict[str, Any]:
    group, best = symmetry.group, symmetry.best
    tolerance = 3 * float(np.sqrt(2 * distortion**2 + lattice_std**2))
    within = deviation(shape(fit.basis)) <= max(tolerance, 1e-6)
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
        "systematic": systematic, "phase_followed": int(fit.phase.followed),
        "cells": float(fit.weight.sum() / abs(np.linalg.det(fit.basis))),
    }  # fmt: skip
