"""What files should read as, whether they count as large or not, and how they are refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from PIL import Image

from bravaismap.errors import InputError
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


def frames(n: int = 5, height: int = 12, width: int = 17, dtype: str = "uint16") -> np.ndarray:
    """Return frames of whole numbers below 250."""
    return np.random.default_rng(0).integers(0, 250, (n, height, width)).astype(dtype)


def refused(source: object, *parts: str, **options: object) -> str:
    """Assert that reading fails with one line that holds every part."""
    with pytest.raises(InputError) as error:
        read(source, **options)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message
    return message


def folder_of_images(folder: Path, stack: np.ndarray, suffix: str = "png") -> Path:
    """Write a folder of pictures, frame8 and so on, and a text beside them."""
    folder.mkdir()
    for number, image in enumerate(stack, 8):
        Image.fromarray(image).save(folder / f"frame{number}.{suffix}")
    (folder / "notes.txt").write_text("not an image")
    return folder
