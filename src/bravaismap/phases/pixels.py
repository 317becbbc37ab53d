"""Pixel map: to which lattice each pixel of a mapped movie belongs, and what share of the frame each class covers.

The windows of a map say which lattices there are; :mod:`bravaismap.local` asks each pixel whether one of them passes
through it. A frame is worked on at a time. The lattices are gathered from all frames of the map, whichever frames are
asked for, so that a grain has the same number in each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import CLASSES, NONE, UNMAPPED, Floats, length_unit
from bravaismap.errors import InputError
from bravaismap.local.area import area_fraction
from bravaismap.local.frame import PixelPhases, PixelSettings, pixel_phases
from bravaismap.local.lattices import FrameLattices, followed, gathered_lattices
from bravaismap.movie import as_movie, finite_pixels, missing_pixels, read_frames
from bravaismap.phases.reclassification import check_cells, covariance_of
from bravaismap.result.phase_map import mapped_frames

__all__ = ["pixel_map"]

_NONE = CLASSES.index(NONE)
#: Points of the grid along the side of the smallest cell: with fewer a boundary is coarser than it is known.
_POINTS_PER_CELL = 6
_MAPS = ("time", "py", "px")
#: Variables of a pixel map with their dimensions, types, meanings and units.
_VARIABLES = {
    "phase": (_MAPS, "int8", "class of the pixel, as a place along lattice; −1 where nothing was measured", ""),
    "domain": (_MAPS, "int16", "number of the lattice of the pixel, kept through the movie; −1 for none", ""),
    "phase_probability": (_MAPS, "float32", "probability of the lattice, or of none, that the pixel is given", "1"),
    "amplitude": (_MAPS, "float32", "strength of the most probable lattice, 1 in its crystal", "1"),
    "area_fraction": (("time", "lattice"), "float64", "share of the measured frame that the class covers", "1"),
    "area_fraction_std": (("time", "lattice"), "float64", "σ of the share", "1"),
}


@dataclass(frozen=True)
class _Movie:
    """What the frames of a map have in common: their lattices, with their numbers, and the grid of pixels."""

    lattices: tuple[FrameLattices | None, ...]
    numbers: tuple[NDArray[np.int64], ...]
    none: Floats
    step: int


def pixel_map(
    result: xr.Dataset,
    movie: Any,
    *,
    frames: Sequence[int] | None = None,
    progress: Callable[[int], object] | None = None,
) -> xr.Dataset:
    """Return to which lattice each pixel of a mapped movie belongs, and what share of the frame each class covers.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` or :func:`~bravaismap.open_result` returns it, of a model that measures cells.
    movie : array (time, y, x) or (y, x)
        The frames that were mapped, read one at a time where they are lazy. NaN and infinite pixels were never
        measured: they get no phase and do not count in areas.
    frames : sequence of int, optional
        Numbers of the frames, −1 being the last; all when not given. Each comes once, in the order of time.
    progress : callable, optional
        Called with the number of frames done so far.

    Returns
    -------
    Dataset
        Over ``time``, ``py`` and ``px``, the places of pixels 0, s, 2s, … in nm, or in px where the pixel size is
        unknown; s, the attribute ``pixel_step``, is a sixth of the side of the smallest cell. ``phase``, the class of a
        pixel as a place along ``lattice``; ``domain``, the number of its lattice, which a grain keeps through the
        movie, −1 for none; ``phase_probability`` of that lattice, or of none; ``amplitude`` of the most probable
        lattice, 1 in its crystal and 0 where there is none of it, NaN in a frame without a lattice. ``area_fraction``
        and ``area_fraction_std`` (time, lattice): the share of the measured pixels that each class covers. A frame in
        which no window shows a lattice is ``none`` everywhere, with the mean probability of its windows. Of a frame
        that is not mapped, and of pixels that were not measured, nothing is known: −1 and NaN.

    Raises
    ------
    InputError
        If the result holds no measured cells, or the movie or the frames are not those of the result.

    Notes
    -----
    σ of an area holds the doubt of the pixels and of the place of boundaries, for lattices whose classes are those that
    their windows say: what these doubt is in ``fraction`` of the result. See ``bravaismap.local.area`` and
    ``bravaismap.local.phases``.

    Examples
    --------
    >>> pixels = bm.pixel_map(result, movie)
    >>> void = pixels["area_fraction"].sel(lattice="none")
    """
    check_cells(result, ("basis", "basis_covariance", "probability", "label", "fraction"))
    images = _checked_movie(result, movie)
    chosen = _checked_frames(result, frames)
    about = _gathered(result)
    height, width = images.shape[1:]
    rows, columns = -(-height // about.step), -(-width // about.step)
    sizes = {"time": len(chosen), "py": rows, "px": columns, "lattice": len(CLASSES)}
    values = {
        name: np.full([sizes[dim] for dim in dims], UNMAPPED if np.dtype(dtype).kind == "i" else np.nan, dtype)
        for name, (dims, dtype, _, _) in _VARIABLES.items()
    }
    for place, measured in enumerate(_measured_frames(images, about, chosen)):
        for name, field in measured.items():
            values[name][place] = field
        if progress is not None:
            progress(place + 1)
    return _dataset(result, values, chosen, about.step)


def _checked_movie(result: xr.Dataset, movie: Any) -> xr.DataArray:
    images = as_movie(movie)
    expected = (result.sizes["time"], *(int(side) for side in result.attrs["frame_size"]))
    if images.shape != expected:
        raise InputError(f"a movie of {images.shape} was given; expected {expected}, the one that was mapped")
    return images


def _checked_frames(result: xr.Dataset, frames: Sequence[int] | None) -> list[int]:
    count = result.sizes["time"]
    if frames is None:
        return list(range(count))
    for frame in frames:
        if not -count <= frame < count:
            raise InputError(f"frame {frame} was asked for; the result has the frames 0 to {count - 1}")
    if len(frames) == 0:
        raise InputError("no frame was asked for; expected at least one")
    return sorted({int(frame) % count for frame in frames})


def _gathered(result: xr.Dataset) -> _Movie:
    """Gather the lattices of every frame from its windows, number them through the movie, and choose the grid."""
    size = result.attrs.get("pixel_size_nm") or 1.0
    lattices: list[FrameLattices | None] = []
    mapped = mapped_frames(result)
    for index, done in enumerate(mapped):
        if not done:
            lattices.append(None)
            continue
        windows = result[["basis", "basis_covariance", "probability", "label"]].isel(time=index).load()
        dims = windows["label"].dims
        basis = windows["basis"].transpose(*dims, "vector", "component").values.reshape(-1, 2, 2).astype(float)
        covariance = covariance_of(windows).reshape(-1, 4, 4)
        probability = windows["probability"].transpose(*dims, "lattice").values.reshape(-1, len(CLASSES))
        lattices.append(gathered_lattices(basis / size, covariance / size**2, probability))
    numbers = iter(followed([one for one in lattices if one is not None]))
    sides = [np.sqrt(np.abs(np.linalg.det(one.basis))) for one in lattices if one is not None and len(one.basis)]
    step = max(1, round(float(np.concatenate(sides).min()) / _POINTS_PER_CELL)) if sides else 1
    return _Movie(
        tuple(lattices),
        tuple(np.empty(0, np.int64) if one is None else next(numbers) for one in lattices),
        np.asarray(result["fraction"].transpose("time", "lattice").values, float),
        step,
    )


def _measured_frames(images: xr.DataArray, about: _Movie, chosen: list[int]) -> Iterator[dict[str, Any]]:
    """Yield the variables of each frame; nothing of one that is not mapped."""
    for index, frame in read_frames(images, chosen):
        lattices = about.lattices[index]
        missing = missing_pixels(frame)
        if lattices is None or missing.all():
            yield {}
        elif len(lattices.basis) == 0:
            yield _without_lattice(missing, about.none[index], about.step)
        else:
            basis = torch.from_numpy(lattices.basis).float()
            settings = PixelSettings(step=about.step)
            pixels = pixel_phases(_standardised(frame, missing), basis, settings, torch.from_numpy(~missing))
            yield _with_lattices(pixels, lattices, about.numbers[index])


def _standardised(frame: NDArray[Any], missing: NDArray[np.bool_]) -> torch.Tensor:
    """Return a frame of mean 0 and standard deviation 1, since single precision holds neither 1e-12 nor 1e6 ± 1."""
    values = finite_pixels(frame[None], nan="missing")[0].astype(np.float64)
    measured = values[~missing]
    return torch.from_numpy((values - measured.mean()) / (measured.std() or 1.0)).float()


def _with_lattices(pixels: PixelPhases, lattices: FrameLattices, numbers: NDArray[np.int64]) -> dict[str, Any]:
    phase = pixels.phase.numpy()
    label = np.append(lattices.label, _NONE)
    number = np.append(numbers, UNMAPPED)
    valid = phase >= 0
    strongest = pixels.probability[:-1].argmax(0, keepdim=True)
    amplitude = pixels.amplitude.gather(0, strongest)[0].numpy()
    area = area_fraction(
        pixels.probability, pixels.seen, torch.from_numpy(label), len(CLASSES), pixels.cell, pixels.fine, pixels.step
    )
    return {
        "phase": np.where(valid, label[phase], UNMAPPED),
        "domain": np.where(valid, number[phase], UNMAPPED),
        "phase_probability": np.where(valid, pixels.probability.amax(0).numpy(), np.nan),
        "amplitude": np.where(valid, amplitude, np.nan),
        "area_fraction": area.fraction.numpy(),
        "area_fraction_std": area.fraction_std.numpy(),
    }


def _without_lattice(missing: NDArray[np.bool_], mean: Floats, step: int) -> dict[str, Any]:
    """Return a frame of none alone; what the windows gave to a class is the doubt about it."""
    grid = missing[::step, ::step]
    doubt = mean.copy()
    doubt[_NONE] = 1 - mean[_NONE]
    return {
        "phase": np.where(grid, UNMAPPED, _NONE),
        "phase_probability": np.where(grid, np.nan, mean[_NONE]),
        "area_fraction": np.eye(len(CLASSES))[_NONE],
        "area_fraction_std": doubt,
    }


def _dataset(result: xr.Dataset, values: dict[str, Any], chosen: list[int], step: int) -> xr.Dataset:
    size = result.attrs.get("pixel_size_nm")
    variables = {}
    for name, (dims, _, meaning, units) in _VARIABLES.items():
        attributes = {"long_name": meaning, "units": units}
        variables[name] = (dims, values[name], {key: text for key, text in attributes.items() if text})
    pitch = step * (size or 1.0)
    axes = {
        dim: (dim, np.arange(values["phase"].shape[axis]) * pitch, {"units": length_unit(size), "long_name": label})
        for axis, (dim, label) in enumerate((("py", "y, downwards"), ("px", "x")), start=1)
    }
    number = ("time", chosen, {"long_name": "number of the frame in the movie"})
    coords = {"time": result["time"].isel(time=chosen), "frame": number, "lattice": result["lattice"], **axes}
    return xr.Dataset(variables, coords=coords, attrs=dict(result.attrs) | {"pixel_step": step})
