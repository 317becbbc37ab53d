"""One window inspected: its pixels, its spectrum with indexed spots, its cell and its shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import NONE, Floats, display_name
from bravaismap.lattice.shape import shape
from bravaismap.measure.measurement import SMALLEST_SIDE, measure
from bravaismap.measure.spots import find_spots, standardize, whitened_power
from bravaismap.phases.verdict import deviations, orientation_text
from bravaismap.result.phase_map import with_error
from bravaismap.show.axes import whole_plane
from bravaismap.spectrum import amplitude
from bravaismap.viewer.frame_geometry import Region

__all__ = ["SpotTable", "WindowView", "cut", "indexed_spots", "spectrum_plane", "window_view"]


_SHOWN = 24  # strongest spots
_NEAR = 1.0  # bins from a node within which a spot is that node's


@dataclass(frozen=True)
class SpotTable:
    """Diffraction spots of a window; each stands for its opposite too.

    Attributes
    ----------
    k_y, k_x : arrays, shape (spots,)
        Positions in cycles per px.
    h, k : arrays, shape (spots,)
        Indices in the reciprocal of the primitive cell; NaN for a spot that the cell does not explain.
    weight : array, shape (spots,)
        Log likelihood ratio against noise.
    """

    k_y: Floats
    k_x: Floats
    h: Floats
    k: Floats
    weight: Floats

    @property
    def indexed(self) -> NDArray[np.bool_]:
        """Which of them the cell explains."""
        return np.asarray(np.isfinite(self.h))


@dataclass(frozen=True)
class WindowView:
    """One window with all that is measured of it.

    Attributes
    ----------
    classes : tuple of str
    probability, probability_std : arrays, shape (lattice,)
    label : str
    lines : list of (str, str)
        The cell, as name and text.
    tau : complex
        Shape of the lattice; NaN where there is none.
    tau_std : float
        Standard uncertainty of the shape, a hyperbolic distance.
    pixels : array (y, x) or None
    plane : array (k_y, k_x) or None
        Logarithm of the spectrum's amplitude, k = 0 in the middle, one bin per pixel.
    spots : SpotTable or None
    """

    classes: tuple[str, ...]
    probability: Floats
    probability_std: Floats
    label: str
    lines: list[tuple[str, str]]
    tau: complex
    tau_std: float
    pixels: Floats | None
    plane: Floats | None
    spots: SpotTable | None


def cut(frame: NDArray[np.floating], bounds: Region, extent: Region, pixel: float) -> Floats:
    """Return the pixels of a window whose edges are given, from its frame."""
    top, left = (round(value / pixel) for value in (bounds.y0 - extent.y0, bounds.x0 - extent.x0))
    bottom, right = (round(value / pixel) for value in (bounds.y1 - extent.y0, bounds.x1 - extent.x0))
    return frame[top:bottom, left:right]


def spectrum_plane(pixels: Floats) -> Floats:
    """Return the logarithm of the amplitude of a window's spectrum over both half planes."""
    with torch.inference_mode():
        half = torch.log1p(amplitude(torch.from_numpy(np.ascontiguousarray(pixels[None], np.float32))))
    return whole_plane(half[0].numpy())


def indexed_spots(pixels: Floats, basis: Floats | None) -> SpotTable:
    """Return the diffraction spots of a window with their indices.

    Parameters
    ----------
    pixels : array (y, x)
    basis : array, shape (2, 2), or None
        Primitive vectors in px, rows, columns (y, x); measured here when None is given.
    """
    images = torch.from_numpy(np.ascontiguousarray(pixels[None], np.float32))
    side = np.array(pixels.shape, float)
    with torch.inference_mode():
        spots = find_spots(whitened_power(standardize(images)), brightest=False, count=_SHOWN)
        if basis is None and min(pixels.shape) >= SMALLEST_SIDE:
            basis = measure(images).basis[0].numpy()
    detected = spots.weight[0].numpy() > 0
    position, weight = spots.position[0].numpy()[detected].astype(float), spots.weight[0].numpy()[detected]
    order = np.full((len(position), 2), np.nan)
    if basis is not None and np.isfinite(basis).all() and len(position):
        exact = (position / side) @ basis.T
        nearest = np.round(exact)
        offset = (exact - nearest) @ np.linalg.inv(basis).T * side
        on_node = (np.hypot(offset[:, 0], offset[:, 1]) <= _NEAR) & nearest.any(axis=1)
        order[on_node] = nearest[on_node]
    frequency = position / side
    return SpotTable(frequency[:, 0], frequency[:, 1], order[:, 0], order[:, 1], weight)


def window_view(row: xr.Dataset, pixels: Floats | None, pixel: float) -> WindowView:
    """Return a window with all that is measured of it.

    Parameters
    ----------
    row : Dataset
        The window's own part of a result.
    pixels : array (y, x), optional
    pixel : float
        Side of a pixel in the unit of the result.
    """
    classes = tuple(str(name) for name in row["lattice"].values)
    label = classes[int(row["label"])] if int(row["label"]) >= 0 else ""
    probability, std = (np.asarray(row[name].values, float) for name in ("probability", "probability_std"))
    basis, tau, tau_std = None, complex("nan"), float("nan")
    if "basis" in row:
        basis = np.asarray(row["basis"].transpose("vector", "component").values, float) / pixel
        if np.isfinite(basis).all() and label not in ("", NONE):
            tau, tau_std = complex(shape(basis)), float(row["deviation_std"]) / 100
    plane = spots = None
    if pixels is not None:
        plane = spectrum_plane(pixels)
        spots = indexed_spots(pixels, None if basis is None else basis if label != NONE else np.full((2, 2), np.nan))
    return WindowView(classes, probability, std, label, _lines(row, label), tau, tau_std, pixels, plane, spots)


def _lines(row: xr.Dataset, label: str) -> list[tuple[str, str]]:
    if not label:
        return [("state", "not mapped yet")]
    lines = [("class", display_name(label))]
    if "basis" not in row:
        return [*lines, ("cell", "this model measures none; map with the model lattice")]
    if label == NONE:
        return lines
    unit = str(row["a"].attrs.get("units", "px"))
    for name, title, of in (("a", "a", unit), ("b", "b", unit), ("gamma", "γ", "°")):
        value = with_error(float(row[name]), float(row[f"{name}_std"]))
        lines.append((title, f"{value}{'' if of == '°' else ' '}{of}"))
    return [*lines, orientation_text(row), ("deviation", deviations(row))]
