"""Edges of windows: where the area of a map ends that a window stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

__all__ = ["edges", "map_edges"]


def edges(centers: Any) -> NDArray[np.float64]:
    """Return the edges of the areas of windows along an axis, n + 1 for n centres; a single window begins at 0."""
    centers = np.asarray(centers, float)
    half = (centers[1] - centers[0]) / 2 if centers.size > 1 else abs(centers[0]) or 0.5
    return np.concatenate([centers[:1] - half, (centers[1:] + centers[:-1]) / 2, centers[-1:] + half])


def map_edges(result: xr.Dataset, dim: str) -> NDArray[np.float64]:
    """Return the edges of the areas of windows along an axis, of which the outer ones end at the edge of the frame."""
    centers = np.asarray(result[dim].values, float)
    ends = edges(centers)
    window, size = result.attrs.get("window"), result.attrs.get("pixel_size_nm", np.nan)
    if isinstance(window, int) and (size is None or (isinstance(size, float) and size > 0)):
        half = 0.5 * window * (size or 1.0)
        ends[[0, -1]] = centers[0] - half, centers[-1] + half
    return ends
