"""Strain and rotation at every pixel of a mapped movie, against a region of it or against a given lattice.

Geometric phase analysis (M. J. Hÿtch, E. Snoeck, R. Kilaas, Ultramicroscopy 74, 131 (1998),
doi:10.1016/S0304-3991(98)00035-7) with all nodes of the lattice, the averaged cell of the crystal itself as the
reference of its phases, and the Gaussian that suits the frame; see :mod:`bravaismap.local.deformation`. Signs and axes
are those of :mod:`bravaismap.phases.strain`, which measures the windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import CLASSES, UNMAPPED, Floats, length_unit
from bravaismap.errors import InputError
from bravaismap.lattice import cell_from_basis, reduce_basis
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.lattice.deformation import deformation, matched
from bravaismap.local.deformation import KERNELS, best_kernel, local_deformation
from bravaismap.local.smoothing import pixel_interpolation, smoothed
from bravaismap.phases.asked_movie import asked_movie
from bravaismap.phases.frame_pixels import AskedFrame
from bravaismap.phases.map import pixel_coordinates
from bravaismap.phases.strain import COMPONENTS

__all__ = ["pixel_strain"]

#: Largest strain against the reference; beyond, it is another lattice.
_LARGEST = 0.15
#: Points of which the reference is the mean, at most.
_MOST_POINTS = 20_000


@dataclass(frozen=True)
class _StrainedFrame:
    """The local bases of the lattice of each pixel, in px, and what is known of them.

    Attributes
    ----------
    basis : array, shape (rows, columns, 2, 2)
        NaN where there is no lattice.
    std : array, shape (rows, columns, 4)
    label : int array, shape (rows, columns)
        Class of the lattice of the pixel.
    kernel : float
        Standard deviation of the Gaussian in px.
    """

    basis: Floats
    std: Floats
    label: NDArray[np.int64]
    kernel: float


def pixel_strain(
    result: xr.Dataset,
    movie: Any,
    reference: Mapping[str, slice] | Sequence[float] | None = None,
    *,
    kernel: float | None = None,
    frames: Sequence[int] | None = None,
    progress: Callable[[int], object] | None = None,
) -> xr.Dataset:
    """Return the strain and rotation of the lattice at every pixel against a reference lattice.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` or :func:`~bravaismap.open_result` returns it, of a model that measures cells.
    movie : array (time, y, x) or (y, x)
        The frames that were mapped.
    reference : mapping of str to slice, or (a, b, γ), optional
        Region that is taken as unstrained, in the coordinates of the result, such as ``{"y": slice(0, 5)}``; an axis
        (``time``, ``y``, ``x``) that is not named is taken whole. Or a cell, lengths in the unit of the result and γ in
        degrees, turned as the crystal is on average. All pixels when not given.
    kernel : float, optional
        Standard deviation of the Gaussian in which strain is measured, in cells; the one of the least error in each
        frame when not given.
    frames : sequence of int, optional
        Numbers of the frames, −1 being the last; all when not given.
    progress : callable, optional
        Called with the number of frames done so far.

    Returns
    -------
    Dataset
        ``exx``, ``eyy``, ``exy`` in % and ``rotation`` in degrees (time, py, px), each with its ``_std`` from the noise
        of the frame; ``label``, the class of the lattice of the pixel; ``kernel`` (time), the standard deviation of the
        Gaussian in the unit of lengths; ``reference_basis`` (vector, component), rows the vectors, columns (y, x). NaN
        where there is no lattice, or none within 15 % of the reference.

    Raises
    ------
    InputError
        If the result holds no measured cells, the movie is not the one that was mapped, or the reference is none.

    Examples
    --------
    >>> strain = bm.pixel_strain(result, movie, {"y": slice(0, 5), "x": slice(0, 5)})
    """
    if kernel is not None and not 0.5 <= kernel <= 20:
        raise InputError(f"a kernel of {kernel:g} cells was given; expected 0.5 to 20")
    asking = asked_movie(result, movie, frames)
    images, chosen, step = asking.images, asking.numbers, asking.pixel_step
    strained = [None if asked is None else _strained(asked, step, kernel) for _, _, asked in asking.frames(progress)]
    coords = {"time": result["time"].isel(time=chosen), "lattice": result["lattice"]} | pixel_coordinates(images, step)
    return _dataset(result, strained, reference, coords, chosen, step)


def _strained(asked: AskedFrame, step: int, kernel: float | None) -> _StrainedFrame:
    """Measure the crystals of a frame; the grid is that of pixels `step` apart."""
    pixels, valid = asked.pixels, asked.mask.to(asked.image)
    width = max(float(np.sqrt(np.abs(np.linalg.det(basis)))) for basis in asked.lattices.basis)
    background = smoothed(asked.image * valid, width) / smoothed(valid, width).clamp_min(1e-6)
    flat = (asked.image - background) * valid
    shares = pixels.averaged_shares(valid)
    largest = int(np.argmax([float(share.sum()) for share in shares]))
    rows, columns = (-(-length // step) for length in flat.shape)
    basis = np.full((len(shares), rows, columns, 2, 2), np.nan)
    std = np.full((len(shares), rows, columns, 4), np.nan)
    levels = [float((background * share).sum() / share.sum().clamp_min(1e-6)) for share in shares]
    if kernel is None:
        locked = pixels.crystals[largest].locked
        kernel = best_kernel(flat, shares[largest], locked, pixels.noise, levels[largest], KERNELS)
    for k, (share, level) in enumerate(zip(shares, levels, strict=True)):
        cell = float(torch.linalg.det(pixels.basis[k]).abs().sqrt())
        field = local_deformation(flat, share, pixels.crystals[k].locked, pixels.noise, level, kernel * cell)
        sides = [
            pixel_interpolation(range(0, step * count, step), field.step, points, flat)
            for count, points in zip((rows, columns), field.gradient.shape[:2], strict=True)
        ]
        gradient = torch.einsum("yi,ijab,xj->yxab", sides[0], field.gradient, sides[1])
        moved = torch.linalg.inv_ex(torch.eye(2).to(gradient) - gradient)[0]
        basis[k] = (pixels.basis[k] @ moved.mT).double().numpy()
        std[k] = torch.einsum("yi,ija,xj->yxa", sides[0], field.std, sides[1]).double().numpy()
    every = step // pixels.step
    phase = pixels.phase[::every, ::every].numpy().astype(np.int64)
    own = np.clip(phase, 0, len(shares) - 1)
    y, x = np.ogrid[:rows, :columns]
    another = pixels.another_motif[:, ::every, ::every].numpy()[own, y, x]
    owned = (phase >= 0) & (phase < len(shares)) & ~another
    side = kernel * float(torch.linalg.det(pixels.basis[largest]).abs().sqrt())
    return _StrainedFrame(
        np.where(owned[..., None, None], basis[own, y, x], np.nan),
        np.where(owned[..., None], std[own, y, x], np.nan),
        np.where(owned, asked.lattices.label[own], UNMAPPED),
        side,
    )


def _dataset(
    result: xr.Dataset,
    strained: list[_StrainedFrame | None],
    reference: Mapping[str, slice] | Sequence[float] | None,
    coords: dict[str, Any],
    chosen: list[int],
    step: int,
) -> xr.Dataset:
    size = result.attrs.get("pixel_size_nm")
    length = size or 1.0
    known = next((one for one in strained if one is not None), None)
    if known is None:
        raise InputError("no frame that was asked for shows a lattice; strain is that of a lattice")
    shape = known.basis.shape[:2]
    basis = np.stack([np.full((*shape, 2, 2), np.nan) if one is None else one.basis for one in strained])
    std = np.stack([np.full((*shape, 4), np.nan) if one is None else one.std for one in strained])
    label = np.stack([np.full(shape, UNMAPPED) if one is None else one.label for one in strained])
    view = xr.Dataset(coords=coords)
    lattice, name = _reference(basis, label, reference, view, length)
    values = _against(basis, lattice)
    units = np.array([100.0, 100.0, 100.0, np.degrees(1.0)])
    variables: dict[str, Any] = {}
    for i, (component, (meaning, unit)) in enumerate(COMPONENTS.items()):
        for ending, numbers, what in (("", values, meaning), ("_std", std, f"σ of {component}")):
            field = np.where(np.isfinite(values[..., 0]), units[i] * numbers[..., i], np.nan).astype(np.float32)
            variables[component + ending] = (("time", "py", "px"), field, {"long_name": what, "units": unit})
    variables["label"] = (("time", "py", "px"), label.astype(np.int8), {"long_name": "class of the lattice"})
    widths = [np.nan if one is None else one.kernel * length for one in strained]
    about = {"long_name": "σ of the Gaussian", "units": length_unit(size)}
    variables["kernel"] = ("time", np.array(widths), about)
    vectors = {"long_name": "reference primitive vectors a, b as (y, x)", "units": length_unit(size)}
    variables["reference_basis"] = (("vector", "component"), lattice * length, vectors)
    number = ("time", chosen, {"long_name": "number of the frame in the movie"})
    card = dict(result.attrs) | {"pixel_step": step, "reference_class": name}
    return xr.Dataset(variables, coords | {"frame": number}, card)


def _reference(
    basis: Floats, label: NDArray[np.int64], reference: Any, view: xr.Dataset, length: float
) -> tuple[Floats, str]:
    """The reference lattice in px, and its class: of the commonest class of a region the mean, or a given cell."""
    region = reference if isinstance(reference, Mapping) else {}
    inside = np.isfinite(basis).all((-2, -1))
    for dim, part in region.items():
        axis = {"time": 0, "y": 1, "x": 2}.get(str(dim))
        if axis is None or not isinstance(part, slice) or part.step is not None:
            raise InputError(
                f"the reference region {dim} = {part} was given; expected slices such as "
                '{"y": slice(0, 5), "x": slice(0, 5)} along time, y or x'
            )
        at = view[("time", "py", "px")[axis]].values
        within = (at >= (-np.inf if part.start is None else part.start)) & (
            at <= (np.inf if part.stop is None else part.stop)
        )
        inside &= within.reshape([-1 if i == axis else 1 for i in range(3)])
    if not inside.any():
        raise InputError(
            "the reference region has no pixel with a lattice; choose a region of crystal, in the coordinates of the "
            "result"
        )
    commonest = int(np.bincount(label[inside]).argmax())
    chosen = basis[inside & (label == commonest)]
    chosen = chosen[:: -(-len(chosen) // _MOST_POINTS)]
    middle = reduce_basis(chosen[len(chosen) // 2])
    linear = np.linalg.solve(middle, matched(reduce_basis(chosen), middle) @ reduce_basis(chosen))
    near = np.abs(linear - np.eye(2)).max((1, 2)) < _LARGEST
    mean = reduce_basis(middle @ linear[near].mean(0))
    if reference is None or isinstance(reference, Mapping):
        return mean, CLASSES[commonest]
    try:
        a, b, gamma = (float(value) for value in reference)
    except (TypeError, ValueError):
        a = b = gamma = np.nan
    if not (min(a, b) > 0 and 10 <= gamma <= 170):
        raise InputError(
            f"the reference cell {reference} was given; expected a, b and γ in degrees, such as 0.3, 0.3, 60"
        )
    cell = reduce_basis(basis_from_cell(a / length, b / length, np.radians(gamma), float(cell_from_basis(mean)[3])))
    cell = matched(cell[None], mean)[0] @ cell
    stretch, turn = deformation(mean, cell)
    strain = float(np.abs(np.linalg.eigvalsh(stretch) - 1).max())
    if strain > _LARGEST:
        shorter, longer, angle, _ = (float(value) for value in cell_from_basis(mean))
        raise InputError(
            f"the crystal is {100 * strain:.0f} % from the reference cell {a:g}, {b:g}, {gamma:g}: it has "
            f"{length * shorter:.4g}, {length * longer:.4g}, {np.degrees(angle):.1f}; expected one within "
            f"{100 * _LARGEST:.0f} %, in the unit of the result (is the pixel size right?)"
        )
    c, s = np.cos(float(turn)), np.sin(float(turn))
    return cell @ np.array([[c, s], [-s, c]]), CLASSES[commonest]


def _against(basis: Floats, reference: Floats) -> Floats:
    """Strains as fractions, exx, eyy, exy, and the rotation in radians of local bases (..., 2, 2), (..., 4)."""
    values = np.full((*basis.shape[:-2], 4), np.nan)
    shown = np.isfinite(basis).all((-2, -1))
    reduced = basis[shown]
    change = matched(reduced, reference)
    stretch, rotation = deformation(change @ reduced, reference)
    strains = np.stack([stretch[:, 1, 1] - 1, stretch[:, 0, 0] - 1, stretch[:, 0, 1], rotation], -1)
    strains[np.abs(np.linalg.eigvalsh(stretch) - 1).max(-1) > _LARGEST] = np.nan
    values[shown] = strains
    return values
