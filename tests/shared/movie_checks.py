"""What a file should read as: dimensions, values and calibration, whether it counts as large or not."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from bravaismap.movie import frame_time, pixel_size
from bravaismap.read import signal
from bravaismap.read.reading import read


def check(movie: xr.DataArray, values: np.ndarray, size: float | None, time: float | None) -> None:
    """Assert dimensions, values and calibration."""
    assert movie.dims == ("time", "y", "x")
    np.testing.assert_array_equal(movie.values, values if values.ndim == 3 else values[None])
    for found, expected in ((pixel_size(movie), size), (frame_time(movie), time)):
        assert found == (None if expected is None else pytest.approx(expected, rel=1e-4))


def make_lazy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every file as large: blocks of one frame."""
    monkeypatch.setattr(signal, "LAZY_BYTES", 10)
    monkeypatch.setattr(signal, "CHUNK_BYTES", 10)


def check_both(
    path: Path, monkeypatch: pytest.MonkeyPatch, values: np.ndarray, size: float | None, time: float | None, **how: Any
) -> None:
    """Assert that a file reads the same whether it counts as large or not, and without any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(read(path, **how), values, size, time)
        make_lazy(monkeypatch)
        movie = read(path, **how)
        assert isinstance(movie.data, da.Array)
        assert movie.data.numblocks[0] == (len(values) if values.ndim == 3 else 1)
        check(movie, values, size, time)
