"""Pixel map: to which lattice each pixel of a mapped movie belongs, and what share of the frame each class covers.

The windows of a map say which lattices there are; ``bravaismap.local`` asks each pixel whether one of them passes
through it, a frame at a time (:mod:`bravaismap.phases.frame_pixels`). What is known of a frame lies in the result of a
map; here the lattices of all frames are followed, whichever frames are asked for, so that a grain has the same number
in each call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import UNMAPPED, length_unit
from bravaismap.errors import InputError
from bravaismap.local.lattices import followed
from bravaismap.movie import missing_pixels, read_frames
from bravaismap.phases.first_look import cell_side
from bravaismap.phases.frame_pixels import frame_lattices, frame_pixels, hidden_pixels, pixel_step_for
from bravaismap.phases.map import pixel_coordinates
from bravaismap.phases.reclassification import check_cells
from bravaismap.result.mapped_movie import mapped_images
from bravaismap.result.phase_map import mapped_frames
from bravaismap.result.schema import MOST_LATTICES, as_variables, pixel_variables

__all__ = [
    "NEEDED",
    "checked_frames",
    "frame_windows",
    "movie_lattice_numbers",
    "pixel_map",
]

#: Variables of a result from which the lattices of its frames are gathered.
NEEDED = ("basis", "basis_covariance", "probability", "label", "fraction")
_DOMAIN = "number of the lattice of the pixel, kept through the movie; −1 for none"


def pixel_map(
    result: xr.Dataset,
    movie: Any = None,
    *,
    frames: Sequence[int] | None = None,
    progress: Callable[[int], object] | None = None,
) -> xr.Dataset:
    """Return to which lattice each pixel of a mapped movie belongs, and what share of the frame each class covers.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` or :func:`~bravaismap.open_result` returns it, of a model that measures cells.
        What it holds of the pixels is taken from it, and stays lazy.
    movie : array (time, y, x) or (y, x), optional
        The frames that were mapped, for a result without pixels; read one at a time where they are lazy. NaN and
        infinite pixels were never measured: they get no phase and do not count in areas.
    frames : sequence of int, optional
        Numbers of the frames, −1 being the last; all when not given. Each comes once, in the order of time.
    progress : callable, optional
        Called with the number of frames done so far.

    Returns
    -------
    Dataset
        Over ``time``, ``py`` and ``px``, the places of pixels 0, s, 2s, … in nm, or in px where the pixel size is
        unknown; s, the attribute ``pixel_step``, leaves at least four points along the side of the smallest cell.
        ``phase``, the class of a pixel as a place along ``lattice``; ``domain``, the number of its lattice, which a
        grain keeps through the movie, −1 for none; ``frame_lattice``, its number among the lattices of the frame alone;
        ``phase_probability`` of that lattice, or of none; ``amplitude`` of the most probable lattice, 1 in its crystal
        and 0 where there is none of it, and ``amplitude_std``, NaN in a frame without a lattice; ``displacement``
        (component) from the mean lattice ``frame_basis`` (time, number, vector, component) of the frame, and from it
        ``exx``, ``eyy``, ``exy`` in % and ``rotation`` in degrees, NaN where there is none. ``area_fraction`` and
        ``area_fraction_std`` (time, lattice): the share of the measured pixels that each class covers. A frame of
        which no lattice is known, since no window shows one or a single one of many, is ``none`` everywhere, with the
        mean probability of its windows. Of a frame that is
        not mapped, and of pixels that were not measured, nothing is known: −1 and NaN.

    Raises
    ------
    InputError
        If the result holds neither pixels nor measured cells, or the movie or the frames are not those of the result.

    Notes
    -----
    σ of an area holds the doubt of the pixels and of the place of boundaries, for lattices whose classes are those that
    their windows say: what these doubt is in ``fraction`` of the result. See ``bravaismap.local.area`` and
    ``bravaismap.local.phases``.

    Examples
    --------
    >>> pixels = bm.pixel_map(bm.open_result("film.zarr"))
    >>> void = pixels["area_fraction"].sel(lattice="none")
    """
    stored = "phase" in result
    if not stored:
        check_cells(result, NEEDED)
    chosen = checked_frames(result, frames)
    images = None if stored and movie is None else mapped_images(result, movie)
    if images is None:
        names = [variable.name for variable in pixel_variables()]
        held = result[names].isel(time=chosen).drop_vars(("y", "x"), errors="ignore")
        pixels = xr.Dataset(held.data_vars, held.coords, held.attrs)
    else:
        images = mapped_images(result, movie)
        pixels = _measured(result, images, chosen, progress)
    numbers = movie_lattice_numbers(result)[chosen]
    domain = xr.apply_ufunc(
        _renumbered, pixels["frame_lattice"], xr.DataArray(numbers, dims=("time", "number")),
        input_core_dims=[["py", "px"], ["number"]], output_core_dims=[["py", "px"]],
        dask="parallelized", output_dtypes=[np.int16],
    )  # fmt: skip
    number = ("time", chosen, {"long_name": "number of the frame in the movie"})
    return pixels.assign(domain=domain.assign_attrs(long_name=_DOMAIN)).assign_coords(frame=number)


def checked_frames(result: xr.Dataset, frames: Sequence[int] | None) -> list[int]:
    """Return the numbers of the frames that are asked for, in the order of time; `InputError` if one is not there."""
    count = result.sizes["time"]
    if frames is None:
        return list(range(count))
    for frame in frames:
        if not -count <= frame < count:
            raise InputError(f"frame {frame} was asked for; the result has the frames 0 to {count - 1}")
    if len(frames) == 0:
        raise InputError("no frame was asked for; expected at least one")
    return sorted({int(frame) % count for frame in frames})


def _measured(
    result: xr.Dataset, images: xr.DataArray, chosen: list[int], progress: Callable[[int], object] | None
) -> xr.Dataset:
    """Return the pixels of some frames of a result that holds none; nothing is known of a frame that is not mapped."""
    size = result.attrs.get("pixel_size_nm")
    step = int(result.attrs.get("pixel_step") or pixel_step_for(cell_side(images)))
    mapped = mapped_frames(result)
    measured: list[dict[str, NDArray[Any]]] = []
    for index, frame in read_frames(images, chosen):
        known = mapped[index] and not missing_pixels(frame).all()
        windows = frame_windows(result, index) if known else {}
        measured.append(frame_pixels(frame, windows, step, size) if known else hidden_pixels(frame.shape, step, size))
        if progress is not None:
            progress(len(measured))
    variables = pixel_variables(length_unit(size))
    values = {variable.name: np.stack([one[variable.name] for one in measured]) for variable in variables}
    coords = {"time": result["time"].isel(time=chosen), "lattice": result["lattice"]}
    return xr.Dataset(
        as_variables(variables, values),
        coords=coords | pixel_coordinates(images, step),
        attrs=dict(result.attrs) | {"pixel_step": step},
    )


def frame_windows(result: xr.Dataset, index: int) -> dict[str, NDArray[Any]]:
    """Return what the lattices of a frame are gathered from."""
    frame = result[[*NEEDED]].isel(time=index).load()
    order = {"basis": ("vector", "component"), "basis_covariance": ("pair",), "probability": ("lattice",)}
    windows = {name: frame[name].transpose("y", "x", *dims).values for name, dims in order.items()}
    return windows | {"fraction": frame["fraction"].values}


def _window_lattices(result: xr.Dataset) -> NDArray[np.float64]:
    """Return the lattices of all frames as their windows have them, (time, number, vector, component), NaN for none."""
    bases = np.full((result.sizes["time"], MOST_LATTICES, 2, 2), np.nan)
    for index in np.flatnonzero(mapped_frames(result)):
        basis = frame_lattices(frame_windows(result, int(index)), 1.0).basis
        bases[index, : len(basis)] = basis
    return bases


def movie_lattice_numbers(result: xr.Dataset) -> NDArray[np.int16]:
    """Return the number through the movie of each lattice of each frame, (time, number); −1 for none."""
    stored = "frame_basis" in result
    bases = np.asarray(result["frame_basis"].values, float) if stored else _window_lattices(result)
    held = [frame[np.isfinite(frame).all((1, 2))] for frame in bases]
    numbers = np.full(bases.shape[:2], UNMAPPED, np.int16)
    for index, own in enumerate(followed(held)):
        numbers[index, : len(own)] = own
    return numbers


def _renumbered(place: NDArray[np.integer], numbers: NDArray[np.integer]) -> NDArray[np.int16]:
    """Return the number through the movie of pixels (..., y, x) whose numbers in their frame are given; −1 for none."""
    flat = place.reshape(*place.shape[:-2], -1).astype(np.intp)
    through = np.take_along_axis(numbers, flat.clip(0), axis=-1)
    return np.where(flat < 0, UNMAPPED, through).reshape(place.shape).astype(np.int16)
