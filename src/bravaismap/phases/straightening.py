"""Straightening of a mapped movie: images without scan distortion and drift, and how large the distortion is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr

from bravaismap.conventions import CLASSES, LATTICES, Floats
from bravaismap.errors import InputError
from bravaismap.lattice import nearest_basis, reduce_basis
from bravaismap.lattice.deformation import deformation, matched
from bravaismap.local.deformation import best_kernel, local_deformation
from bravaismap.local.displacement import predicted
from bravaismap.local.smoothing import smoothed
from bravaismap.local.straightening import continuous_displacement, line_displacements, read_where
from bravaismap.movie import as_movie
from bravaismap.phases.asked_movie import asked_movie
from bravaismap.phases.frame_pixels import AskedFrame

__all__ = ["distortion_text", "straighten"]

#: Components of a small distortion that show in the shape of a lattice that should have the symmetry of a class.
_SHOWN = {"square": 2, "hexagonal": 2, "rectangular": 1, "centered_rectangular": 1}
#: Share of the lattice from which a place is inside its crystal.
_INSIDE = 0.8


@dataclass(frozen=True)
class _Crooked:
    """The crystal of a frame as the scan shows it.

    Attributes
    ----------
    basis : array, shape (2, 2)
        Mean lattice in px.
    origin : array, shape (2,)
        Where its brightest atom is on average, (y, x) in px, modulo the lattice.
    displacement : array, shape (y, x, 2)
        From the mean lattice, in px.
    varying : float
        Standard deviation of the components of the linear map from the mean lattice to the places of the frame.
    lines : float
        Standard deviation in px of the displacement of lines along x.
    label : int
        Class of the lattice.
    """

    basis: Floats
    origin: Floats
    displacement: Floats
    varying: float
    lines: float
    label: int


def straighten(
    result: xr.Dataset,
    movie: Any,
    *,
    frames: Sequence[int] | None = None,
    progress: Callable[[int], object] | None = None,
) -> xr.Dataset:
    """Return the images of a crystal that is known to be straight without scan distortion and drift.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` or :func:`~bravaismap.open_result` returns it, of a model that measures cells.
    movie : array (time, y, x) or (y, x)
        The frames that were mapped.
    frames : sequence of int, optional
        Numbers of the frames, −1 being the last; all when not given.
    progress : callable, optional
        Called with the number of frames done so far.

    Returns
    -------
    Dataset
        ``image`` (time, y, x), with the pixel size of the movie, in which the lattice of most pixels is straight, has
        the symmetry of its class, and lies at the same place in all frames; NaN outside of the scanned area.
        ``mean_distortion`` (time), how far the mean lattice is from that symmetry, and ``varying_distortion`` (time),
        how much the lattice varies within the frame beyond its noise: standard deviations of a component of the linear
        map from the specimen to the image, in the sense of ``distortion``; the former NaN for an oblique lattice, which
        shows none. ``line_jitter`` (time) in px: of the lines of the scan along x. A frame without a lattice is NaN.

    Raises
    ------
    InputError
        If the result holds no measured cells, the movie is not that of the result, or no frame shows a lattice.

    Notes
    -----
    Every strain of the specimen is taken out as well: this is for crystals that have none. A rotation, a change of
    scale, and a shear that keeps the symmetry are not seen.

    Examples
    --------
    >>> straight = bm.straighten(result, movie)
    >>> float(straight["varying_distortion"].mean())
    """
    asking = asked_movie(result, movie, frames)
    chosen, images = asking.numbers, asking.images
    straight = np.full((len(chosen), *images.shape[1:]), np.nan, np.float32)
    measures = {name: np.full(len(chosen), np.nan) for name in ("mean_distortion", "varying_distortion", "line_jitter")}
    ideal: _Ideal | None = None
    for place, (_, frame, asked) in enumerate(asking.frames(progress)):
        if asked is not None:
            crooked = _crooked(asked)
            ideal = ideal or _ideal(crooked)
            straight[place], shift = _straight(np.asarray(frame, float), crooked, ideal)
            ideal = _Ideal(ideal.basis, ideal.origin, ideal.label, shift)
            measures["mean_distortion"][place] = _mean_distortion(crooked, ideal)
            measures["varying_distortion"][place] = crooked.varying
            measures["line_jitter"][place] = crooked.lines
    if ideal is None:
        raise InputError("no frame that was asked for shows a lattice; only a crystal can be straightened")
    data = as_movie(straight, pixel_size=asking.pixel_size).assign_coords(time=result["time"].isel(time=chosen))
    units = {"line_jitter": "px"}
    variables = {name: ("time", values, {"units": units.get(name, "1")}) for name, values in measures.items()}
    card = dict(result.attrs) | {"straightened_class": CLASSES[ideal.label]}
    return xr.Dataset({"image": data, **variables}, attrs=card)


@dataclass(frozen=True)
class _Ideal:
    """The lattice that a crystal should have, where its atoms should be, and the drift taken out of the last frame."""

    basis: Floats
    origin: Floats
    label: int
    shift: Floats


def _crooked(asked: AskedFrame) -> _Crooked:
    pixels, valid = asked.pixels, asked.mask.to(asked.image)
    shares = pixels.averaged_shares(valid)
    k = int(np.argmax([float(share.sum()) for share in shares]))
    share, crystal, basis = shares[k], pixels.crystals[k], pixels.basis[k]
    cell = float(torch.linalg.det(basis).abs().sqrt())
    background = smoothed(asked.image * valid, cell) / smoothed(valid, cell).clamp_min(1e-6)
    flat = (asked.image - background) * valid
    level = float((background * share).sum() / share.sum().clamp_min(1e-6))
    kernel = best_kernel(flat, share, crystal.locked, pixels.noise, level)
    field = local_deformation(flat, share, crystal.locked, pixels.noise, level, kernel * cell)
    shape = (flat.shape[0], flat.shape[1])
    displacement = continuous_displacement(field.locked, shape)
    pattern = predicted(field.locked, shape)
    lines = line_displacements(flat - share * pattern, pattern, share)
    displacement = displacement + lines[:, None]
    weight = share.double().cpu().numpy()[..., None]
    mean = (displacement * weight).sum((0, 1)) / max(float(weight.sum()), 1e-6)
    own = basis.double().cpu().numpy()
    atom = crystal.origins[0].double().cpu().numpy() if len(crystal.origins) else np.zeros(2)
    inside = field.locked.waves.weight > _INSIDE
    edge = min(int(field.sigma / field.step), (min(inside.shape) - 1) // 2)
    inner = torch.zeros_like(inside)
    inner[edge : inside.shape[0] - edge, edge : inside.shape[1] - edge] = True
    slopes = field.gradient[inside & inner] if bool((inside & inner).any()) else field.gradient[inside]
    chance = float((field.std[inside][:, :2] ** 2).mean())
    varying = float((slopes - slopes.mean(0)).square().mean()) - chance
    return _Crooked(
        own, atom @ own + mean, displacement - mean, max(varying, 0.0) ** 0.5, float(lines[:, 1].std()),
        int(asked.lattices.label[k]),
    )  # fmt: skip


def _ideal(first: _Crooked) -> _Ideal:
    basis = reduce_basis(first.basis)
    if CLASSES[first.label] in _SHOWN:
        basis = nearest_basis(basis)[LATTICES.index(CLASSES[first.label])]
    own = matched(reduce_basis(first.basis)[None], basis)[0] @ reduce_basis(first.basis)
    middle = (np.array(first.displacement.shape[:2]) - 1) / 2
    origin = middle + (first.origin - middle) @ np.linalg.solve(own, basis)
    return _Ideal(basis, origin, first.label, np.zeros(2))


def _straight(frame: Floats, crooked: _Crooked, ideal: _Ideal) -> tuple[Floats, Floats]:
    """The straight image, and the drift that was taken out of it, the nearest to that of the frame before."""
    own = reduce_basis(crooked.basis)
    own = matched(own[None], ideal.basis)[0] @ own
    linear = np.linalg.solve(own, ideal.basis)
    middle = (np.array(frame.shape) - 1) / 2
    origin = middle + (crooked.origin - middle) @ linear
    cells = (ideal.origin - origin - ideal.shift) @ np.linalg.inv(ideal.basis)
    shift = ideal.shift + (cells - np.rint(cells)) @ ideal.basis
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]].astype(float)
    places = middle + (np.stack([y, x], -1) - shift - middle) @ np.linalg.inv(linear)
    filled = np.where(np.isfinite(frame), frame, np.nanmean(frame))
    return read_where(filled, crooked.displacement, np.asarray(places, np.float64)), shift


def _mean_distortion(crooked: _Crooked, ideal: _Ideal) -> float:
    """How far a lattice is from its symmetry, as the standard deviation of a component of the linear map."""
    shown = _SHOWN.get(CLASSES[ideal.label])
    if shown is None:
        return np.nan
    own = reduce_basis(crooked.basis)
    nearest = nearest_basis(own)[LATTICES.index(CLASSES[ideal.label])]
    own = matched(own[None], nearest)[0] @ own
    stretch, _ = deformation(own, nearest)
    departure = stretch - np.eye(2) * np.trace(stretch) / 2
    return float(np.sqrt((departure**2).sum() / shown))


def distortion_text(straight: xr.Dataset) -> str:
    """Return what was found of the distortion, in one paragraph, and which ``--distortion`` it asks for.

    Parameters
    ----------
    straight : Dataset
        Of :func:`straighten`.
    """
    mean, varying = (
        float(np.sqrt(np.nanmean(straight[name].values ** 2))) if np.isfinite(straight[name].values).any() else np.nan
        for name in ("mean_distortion", "varying_distortion")
    )
    jitter = float(np.nanmean(straight["line_jitter"].values))
    name = straight.attrs["straightened_class"]
    known = (
        f"the mean lattice departs from {name} by {100 * mean:.2g} %"
        if np.isfinite(mean)
        else (f"the mean lattice is {name}, which shows no distortion")
    )
    total = float(np.sqrt(np.nansum([mean**2, varying**2])))
    return (
        f"distortion: {known}, and varies within a frame by {100 * varying:.2g} %; lines are displaced by "
        f"{jitter:.2g} px. If the specimen is not strained, this is --distortion {100 * total:.2g}%"
    )
