"""The motif of an image: averaged cell, structure factors, plane group and columns, as one dataset.

>>> motif = bm.motif(image)
>>> motif.attrs["plane_group"], motif["probability"].sel(group="p4mm")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from bravaismap.classify.settings import DEFAULT_DISTORTION
from bravaismap.conventions import Floats
from bravaismap.errors import InputError
from bravaismap.lattice import reduce_basis
from bravaismap.local.lattices import matched
from bravaismap.measure.measurement import SMALLEST_SIDE
from bravaismap.motif.belonging import belonging
from bravaismap.motif.cell_scatter import covariance_with_scatter
from bravaismap.motif.description import Sample, described
from bravaismap.motif.harmonics import lattice_of_image, refined_lattice
from bravaismap.motif.settings import SYSTEMATIC
from bravaismap.motif.structure_factors import PatternFit, fit_pattern
from bravaismap.motif.translations import fit_cell
from bravaismap.movie import as_movie, finite_pixels, pixel_size

__all__ = ["motif", "motif_of_frames"]

#: Share of the pixels that must fall out for the rest to be fitted anew, and that must be left.
_MATTERS, _ENOUGH = 0.005, 0.05
#: Fewest cells that make an average.
_LEAST_CELLS = 4.0


def motif(
    image: Any,
    basis: ArrayLike | None = None,
    *,
    mask: ArrayLike | None = None,
    distortion: float = DEFAULT_DISTORTION,
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
        ``pseudosymmetry`` (higher groups that the pattern nearly has), ``unexplained`` (amplitude of the strongest spot
        that the pattern leaves, of that of its strongest order), and the settings.

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
    fit = _fitted(pixels, reduced, weight, systematic)
    turn = np.kron(fit.basis @ np.linalg.inv(reduced), np.eye(2))
    covariance = covariance_with_scatter(fit, turn @ covariance @ turn.T)
    sample = Sample((pixels,), (fit,), covariance, level, contrast, pixel_size(movie))
    result = described(sample, distortion, systematic)
    result["used"] = (("py", "px"), fit.weight > 0, {"long_name": "pixels of the average"})
    return result


def motif_of_frames(
    images: Sequence[Floats],
    weights: Sequence[Floats],
    bases: Sequence[Floats],
    *,
    distortion: float,
    systematic: float,
    size: float | None,
) -> xr.Dataset:
    """Return the motif of one crystal in several frames, each with its own origin and lattice.

    Parameters
    ----------
    images : sequence of array, shape (y, x)
        In the order of time.
    weights : sequence of array, shape (y, x)
        1 for the pixels of the crystal.
    bases : sequence of array, shape (2, 2)
        Its primitive vectors in px in each frame; the same but for drift and small strains.
    distortion, systematic : float
        As :func:`motif` takes them.
    size : float or None
        Pixel size in nm.

    Returns
    -------
    Dataset
        As of :func:`motif`, without ``used``. σ of a, b and γ are those of the mean over the frames.

    Raises
    ------
    InputError
        For fewer than four cells, or a cell too small for its spots to be seen.
    """
    pixels = np.array([float(weight.sum()) for weight in weights])
    first = int(pixels.argmax())
    cells = float(pixels.sum() / abs(np.linalg.det(bases[first])))
    if cells < _LEAST_CELLS:
        raise InputError(f"the frames hold {cells:.1f} cells of the lattice; expected {_LEAST_CELLS:.0f} or more")
    level = sum(float((image * weight).sum()) for image, weight in zip(images, weights, strict=True)) / pixels.sum()
    squares = sum(float(((image - level) ** 2 * weight).sum()) for image, weight in zip(images, weights, strict=True))
    contrast = float(np.sqrt(squares / pixels.sum())) or 1.0
    planes = tuple(
        np.where(weight > 0, image - level, 0.0) / contrast for image, weight in zip(images, weights, strict=True)
    )
    reference = reduce_basis(bases[first])
    own: list[Floats] = [matched(reference, basis)[0] @ basis for basis in bases]
    refined = [refined_lattice(*each) for each in zip(planes, weights, own, strict=True)]
    own = [basis if lattice is None else lattice.basis for basis, lattice in zip(own, refined, strict=True)]
    again = np.rint(reduce_basis(own[first]) @ np.linalg.inv(own[first]))
    own = [again @ basis for basis in own]
    fitted = _fitted(planes[first], own[first], weights[first], systematic)
    change = fitted.basis @ np.linalg.inv(own[first])
    fits = tuple(
        fitted if i == first else _with_what_belongs(planes[i], change @ own[i], weights[i]) for i in range(len(images))
    )
    share, turn = pixels / pixels.sum(), np.kron(change @ again, np.eye(2))
    noise = [np.full((4, 4), np.nan) if lattice is None else turn @ lattice.covariance @ turn.T for lattice in refined]
    errors = [covariance_with_scatter(*each) for each in zip(fits, noise, strict=True)]
    covariance = sum(part**2 * each for part, each in zip(share, errors, strict=True))
    sample = Sample(planes, fits, np.asarray(covariance), level, contrast, size)
    return described(sample, distortion, systematic)


def _fitted(pixels: Floats, basis: Floats, weight: Floats, systematic: float) -> PatternFit:
    """Return the pattern in the cell whose translations it has, fitted to the pixels that show it."""
    first = fit_pattern(pixels, basis, weight)
    kept = _belonging(first)
    return fit_cell(pixels, basis, kept, systematic, first if kept is first.weight else None)


def _with_what_belongs(pixels: Floats, basis: Floats, weight: Floats) -> PatternFit:
    """Return the pattern in a cell, fitted to the pixels that show it."""
    first = fit_pattern(pixels, basis, weight)
    kept = _belonging(first)
    return first if kept is first.weight else fit_pattern(pixels, basis, kept)


def _belonging(fit: PatternFit) -> Floats:
    """Return the weight of the pixels that show a pattern; that of the fit where hardly any, or nearly all, do not."""
    kept, total = belonging(fit), fit.weight.sum()
    matters = total - kept.sum() > _MATTERS * total and kept.sum() > _ENOUGH * total
    return kept if matters else fit.weight


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
    measured, covariance = lattice_of_image(pixels, weight)
    refined = refined_lattice(pixels, weight, measured)
    if refined is None:
        return measured, covariance
    reduced, turn = _reduced(refined.basis)
    return reduced, turn @ refined.covariance @ turn.T


def _reduced(basis: Floats) -> tuple[Floats, Floats]:
    """Return a reduced basis, and the matrix (4, 4) that takes a flattened basis of the lattice to it."""
    reduced = reduce_basis(basis)
    return reduced, np.kron(np.rint(reduced @ np.linalg.inv(basis)), np.eye(2))
