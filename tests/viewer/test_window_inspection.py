"""One window: its spots, its spectrum, its cell."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bravaismap.conventions import CLASSES
from bravaismap.lattice.basis import basis_from_cell, reciprocal
from bravaismap.result.phase_map import PhaseMap
from bravaismap.viewer.distortion_trial import reclassified_window
from bravaismap.viewer.window_inspection import indexed_spots, spectrum_plane, window_view

WINDOW, STEP, PIXEL = 64, 40, 0.05


def test_spots_are_indexed_by_the_cell() -> None:
    basis = basis_from_cell(9.0, 12.0, np.radians(80), 0.3)
    y, x = np.mgrid[:96, :96]
    image = np.zeros((96, 96))
    nodes = {(1, 0): 1.0, (0, 1): 0.8, (1, 1): 0.6, (2, 0): 0.4}
    for (h, k), height in nodes.items():
        g = h * reciprocal(basis)[0] + k * reciprocal(basis)[1]
        image += height * np.cos(2 * np.pi * (g[0] * y + g[1] * x))
    image += 0.5 * np.cos(2 * np.pi * (0.31 * y + 0.02 * x)) + np.random.default_rng(0).normal(0, 0.3, image.shape)
    spots = indexed_spots(image, basis)
    known = spots.indexed
    found = {(int(h) * s, int(k) * s) for h, k in zip(spots.h[known], spots.k[known], strict=True) for s in (1, -1)}
    assert set(nodes) <= found
    stray = np.hypot(abs(spots.k_y) - 0.31, abs(spots.k_x) - 0.02).argmin()
    assert not spots.indexed[stray]
    measured = indexed_spots(image, None)
    assert measured.indexed.sum() >= 4


def test_spectrum_is_that_of_the_package() -> None:
    y, x = np.mgrid[:64, :64]
    plane = spectrum_plane(np.cos(2 * np.pi * (8 * x + 4 * y) / 64))
    row, column = np.unravel_index(plane.argmax(), plane.shape)
    assert {(row - 32, column - 32), (32 - row, 32 - column)} == {(4, 8), (-4, -8)}


def test_window_view(result: PhaseMap, movie: xr.DataArray) -> None:
    frame = result.isel(time=[0])
    row = reclassified_window(frame, 0, 1, result.attrs["distortion"])
    pixels = movie.values[0, :WINDOW, STEP : STEP + WINDOW]
    view = window_view(row, pixels, PIXEL)
    assert view.label == CLASSES[int(frame["label"][0, 0, 1])]
    lines = dict(view.lines)
    assert lines["a"].startswith(f"{float(frame['a'][0, 0, 1]):.3f}"[:4])
    assert " ± " in lines["γ"]
    assert "hexagonal" in lines["deviation"]
    assert view.tau.imag >= 0.86
    assert view.spots.indexed.any()
    assert window_view(row, None, PIXEL).plane is None
