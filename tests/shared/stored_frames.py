"""Frames of random numbers, and the schema and coordinates of a result that holds them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bravaismap.conventions import CLASSES
from bravaismap.result.schema import map_variables

FRAMES, SIZES = 7, {"y": 2, "x": 3, "lattice": 6}
VARIABLES = map_variables(cells=False)
COORDS = {dim: xr.DataArray(np.arange(float(n)), dims=dim, attrs={"units": "px"}) for dim, n in SIZES.items()}
COORDS |= {"time": xr.DataArray(np.arange(float(FRAMES)), dims="time", attrs={"units": "frame"})}
COORDS |= {"lattice": xr.DataArray(list(CLASSES), dims="lattice")}


def frame(index: int) -> dict[str, np.ndarray]:
    """Return the variables of a frame."""
    rng = np.random.default_rng(index)
    return {v.name: (5 * rng.random([SIZES[d] for d in v.dims[1:]])).astype(v.dtype) for v in VARIABLES}
