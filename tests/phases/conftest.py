"""A film whose cells are measured, for the tests of maps that only read it."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr


@pytest.fixture(scope="session")
def film() -> np.ndarray:
    """Return two frames of 100 × 120 px; a corner of the second is blank."""
    from bravaismap.simulate.film import simulate_film

    images = simulate_film(2, 120, seed=1, pixel_size=0.03)["image"].values[:, :100].copy()
    images[1, :70, :70] = 3
    return images


@pytest.fixture(scope="session")
def mapped(film: np.ndarray) -> xr.Dataset:
    """Return the map of `film` by the lattice model."""
    from bravaismap.phases.map import map_phases

    return map_phases(film, window=64, step=16)
