"""Motifs of a mapped movie: what sits in the cell of each of its lattices, and which plane group it has, through time.

The pixels of a result say which lattice passes through each of them. All pixels of a lattice in a group of frames are
averaged: other phases, voids and areas that were not measured are left out, and the drift between frames is followed.
A transformation that leaves the lattice as it is shows as a change of the plane group, or of the columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import CLASSES, NONE, UNMAPPED, Floats, counted, length_unit
from bravaismap.errors import InputError
from bravaismap.motif.motif import motif_of_frames
from bravaismap.motif.settings import SYSTEMATIC
from bravaismap.movie import finite_pixels, missing_pixels, read_frames
from bravaismap.phases.pixels import pixel_map
from bravaismap.result.mapped_movie import mapped_images

__all__ = ["PARTS", "motif_map"]

#: Groups of frames into which a movie is cut when nothing else is asked for.
PARTS = 6
#: Fewest cells of a lattice in a frame for the frame to count, and in a group of frames for a motif.
_LEAST_IN_FRAME, _LEAST_CELLS = 12.0, 30.0
#: What the table says of each motif as its own attributes have it.
_SAID = ("plane_group", "point_group", "motif_lattice", "metric_lattice", "pseudosymmetry")
_LENGTHS = tuple(f"{name}{ending}" for name in ("a", "b", "gamma") for ending in ("", "_std"))


@dataclass(frozen=True, eq=False)
class _Crystal:
    """The pixels of one lattice in some frames."""

    number: int
    label: int
    frames: list[int]
    images: list[Floats]
    weights: list[Floats]
    bases: list[Floats]


def motif_map(
    result: xr.Dataset,
    movie: Any,
    *,
    together: int | None = None,
    frames: Sequence[int] | None = None,
    region: Mapping[str, slice] | None = None,
    distortion: float | None = None,
    systematic: float = SYSTEMATIC,
    progress: Callable[[int], object] | None = None,
) -> xr.DataTree:
    """Return the motif and the plane group of each lattice of a mapped movie, in each group of frames.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` or :func:`~bravaismap.open_result` returns it, of a model that measures cells.
    movie : array (time, y, x) or (y, x)
        The frames that were mapped, read one group at a time where they are lazy.
    together : int, optional
        Frames that are averaged; a sixth of the movie when not given, 1 for each frame alone.
    frames : sequence of int, optional
        Numbers of the frames, all when not given.
    region : mapping of slice, optional
        Of ``y`` and ``x``, in nm, or in px where the pixel size is unknown: what lies in it is averaged.
    distortion : float, optional
        As :func:`~bravaismap.motif` takes it; that of the result when not given.
    systematic : float
        As :func:`~bravaismap.motif` takes it.
    progress : callable, optional
        Called with the number of frames done so far.

    Returns
    -------
    DataTree
        The root is a table over ``motif``: ``domain``, the number of the lattice, ``phase``, the class that its windows
        say, ``first_frame``, ``last_frame``, ``time`` in the middle, ``cells``, ``plane_group``, ``point_group``,
        ``motif_lattice``, ``metric_lattice``, ``pseudosymmetry``, ``probability`` and ``misfit`` (motif, group), and
        ``a``, ``b``, ``gamma`` of the conventional cell with ``_std``. Its children ``"0"``, ``"1"``, … are the whole
        motifs as :func:`~bravaismap.motif` returns them. A lattice of fewer than 30 cells in a group of frames has
        none.

    Raises
    ------
    InputError
        If `together` or `region` is none, no lattice has 30 cells, or as :func:`~bravaismap.pixel_map` says.

    Examples
    --------
    >>> motifs = bm.motif_map(bm.open_result("film.zarr"), bm.read("film.tif"), together=10)
    >>> motifs["plane_group"].values
    """
    images = mapped_images(result, movie)
    pixels = pixel_map(result, images, frames=frames)
    chosen = [int(frame) for frame in pixels["frame"].values]
    length = max(1, -(-len(chosen) // PARTS)) if together is None else together
    if length < 1:
        raise InputError(f"together = {together} was given; expected a number of frames from 1 on")
    inside = _inside(pixels, region)
    size = result.attrs.get("pixel_size_nm")
    allowed = float(result.attrs["distortion"]) if distortion is None else distortion
    rows: list[_Crystal] = []
    motifs: list[xr.Dataset] = []
    for start in range(0, len(chosen), length):
        for crystal in _crystals(pixels, images, range(start, min(start + length, len(chosen))), inside):
            try:
                found = motif_of_frames(
                    crystal.images, crystal.weights, crystal.bases, distortion=allowed, systematic=systematic, size=size
                )
            except InputError:  # a cell too small for its spots to be seen
                continue
            rows.append(crystal)
            motifs.append(found)
        if progress is not None:
            progress(min(start + length, len(chosen)))
    if not motifs:
        if np.isin(pixels["phase"].values, (UNMAPPED, CLASSES.index(NONE))).all():
            raise InputError("no frame that was asked for shows a lattice; only a crystal has cells to average")
        raise InputError(
            f"no lattice of the result has {_LEAST_CELLS:.0f} cells in {counted(length, 'frame')}; average more frames"
            + ("" if region is None else ", or give a larger region")
        )
    table = _table(rows, motifs, result, size)
    return xr.DataTree.from_dict({"/": table} | {str(i): found for i, found in enumerate(motifs)}, name="motifs")


def _inside(pixels: xr.Dataset, region: Mapping[str, slice] | None) -> NDArray[np.bool_]:
    """Return which points of the grid of pixels lie in a region."""
    lines = []
    for dim, name in (("py", "y"), ("px", "x")):
        place = pixels[dim].values
        part = slice(None) if region is None else region.get(name, slice(None))
        low, high = (-np.inf if part.start is None else part.start), (np.inf if part.stop is None else part.stop)
        lines.append((place >= low) & (place <= high))
    inside = lines[0][:, None] & lines[1]
    if not inside.any():
        extent = " and ".join(f"{dim[1]} from 0 to {pixels[dim].values[-1]:.4g}" for dim in ("py", "px"))
        unit = pixels["px"].attrs.get("units", "px")
        raise InputError(f"the region holds no pixel of the result; expected one within {extent} {unit}")
    return np.asarray(inside)


def _crystals(pixels: xr.Dataset, images: xr.DataArray, places: range, inside: NDArray[np.bool_]) -> Iterator[_Crystal]:
    """Yield the lattices of a group of frames that have cells enough, the one of most pixels first."""
    group = pixels[["domain", "phase", "frame_lattice", "frame_basis", "exx"]].isel(time=list(places)).load()
    numbers = [int(pixels["frame"].values[place]) for place in places]
    frames = [
        (np.where(missing_pixels(frame), np.nan, finite_pixels(frame[None], nan="fill")[0]).astype(np.float64))
        for _, frame in read_frames(images, numbers)
    ]
    # a place without strain has another motif than the averaged cell
    inside = inside & np.isfinite(group["exx"].transpose("time", "py", "px").values)
    domain = np.where(inside, group["domain"].transpose("time", "py", "px").values, -1)
    present, count = np.unique(domain[domain >= 0], return_counts=True)
    for number in present[np.argsort(-count, kind="stable")]:
        own = _crystal(int(number), group, frames, numbers, domain == number, int(pixels.attrs["pixel_step"]))
        if own is not None:
            yield own


def _crystal(
    number: int, group: xr.Dataset, frames: Sequence[Floats], numbers: list[int], mask: NDArray[np.bool_], step: int
) -> _Crystal | None:
    """Return one lattice of a group of frames, None if it has too few cells."""
    size = group.attrs.get("pixel_size_nm") or 1.0
    bases = group["frame_basis"].transpose("time", "number", "vector", "component").values.astype(float) / size
    lattices = group["frame_lattice"].transpose("time", "py", "px").values
    label = group["phase"].transpose("time", "py", "px").values
    crystal = _Crystal(number, int(np.bincount(label[mask]).argmax()), [], [], [], [])
    cells = 0.0
    for i, frame in enumerate(frames):
        if not mask[i].any():
            continue
        basis = bases[i, int(np.bincount(lattices[i][mask[i]]).argmax())]
        height, width = frame.shape
        weight = np.repeat(np.repeat(mask[i], step, axis=0), step, axis=1)[:height, :width] & np.isfinite(frame)
        own = float(weight.sum() / abs(np.linalg.det(basis)))
        if not own > _LEAST_IN_FRAME:
            continue
        cells += own
        crystal.frames.append(numbers[i])
        crystal.images.append(np.nan_to_num(frame))
        crystal.weights.append(weight.astype(float))
        crystal.bases.append(basis)
    return crystal if cells > _LEAST_CELLS else None


def _table(rows: list[_Crystal], motifs: list[xr.Dataset], result: xr.Dataset, size: float | None) -> xr.Dataset:
    """Return the root of the tree."""
    clock = result["time"]
    time = [float(clock.values[row.frames].mean()) for row in rows]
    table: dict[str, Any] = {
        "domain": ("motif", [row.number for row in rows], {"long_name": "number of the lattice"}),
        "phase": ("motif", [CLASSES[row.label] for row in rows], {"long_name": "class by the lattice alone"}),
        "first_frame": ("motif", [row.frames[0] for row in rows]),
        "last_frame": ("motif", [row.frames[-1] for row in rows]),
        "time": ("motif", time, dict(clock.attrs) | {"long_name": "mean time of the frames"}),
        "cells": ("motif", [found.attrs["cells"] for found in motifs], {"long_name": "cells averaged"}),
    }
    for name in _SAID:
        table[name] = ("motif", [found.attrs[name] for found in motifs])
    for name in ("probability", "misfit"):
        table[name] = (("motif", "group"), np.stack([found[name].values for found in motifs]), motifs[0][name].attrs)
    for name in _LENGTHS:
        unit = "degree" if name.startswith("gamma") else length_unit(size)
        table[name] = ("motif", [float(found[name]) for found in motifs], {"units": unit})
    coords = {"group": motifs[0]["group"].values}
    about = {key: result.attrs[key] for key in ("input", "pixel_size_nm", "version") if key in result.attrs}
    about |= {key: motifs[0].attrs[key] for key in ("distortion", "systematic")}
    return xr.Dataset(table, coords, about)
