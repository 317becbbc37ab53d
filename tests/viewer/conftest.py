"""A small film and its map for the tests of the viewer."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.result.phase_map import PhaseMap

SIZE, WINDOW, STEP, PIXEL = 160, 64, 40, 0.05


@pytest.fixture(scope="session")
def movie() -> xr.DataArray:
    """Simulate a film of two frames, calibrated."""
    return bm.simulate_film(2, SIZE, seed=1, pixel_size=PIXEL)["image"]


@pytest.fixture(scope="session")
def result(movie: xr.DataArray) -> PhaseMap:
    """Map it: the last window along each axis lies nearer than the others."""
    return bm.map_phases(movie, window=WINDOW, step=STEP)


@pytest.fixture
def until() -> Callable[..., None]:
    """Return a function that waits until another returns something true."""

    def wait(true: Callable[[], object], patience: float = 30.0) -> None:
        end = time.monotonic() + patience
        while not true():
            assert time.monotonic() < end
            time.sleep(0.02)

    return wait
