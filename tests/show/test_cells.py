"""Figures of cells and strain: what sets their scales, and what is hatched."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh

from bravaismap.conventions import CLASSES
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.phases.cells import orientation_scale, symmetric_cells
from bravaismap.show.cells import plot_cells, plot_strain

HEXAGONAL, OBLIQUE = CLASSES.index("hexagonal"), CLASSES.index("oblique")


def cells() -> xr.Dataset:
    """Return 10 × 10 hexagonal windows of a near 11 px; five at a boundary are off by 1 px, and know it."""
    rng = np.random.default_rng(2)
    a, std = 11 + 0.02 * rng.normal(size=(1, 10, 10)), np.full((1, 10, 10), 0.02)
    a[0, 4, 2:7], std[0, 4, 2:7] = 12.0, 0.4
    basis = basis_from_cell(a, a, np.radians(np.full(a.shape, 120.0)), np.zeros(a.shape))
    maps = ("time", "y", "x")
    variables = {name: (maps, a if name in "ab" else np.full(a.shape, 120.0)) for name in ("a", "b", "gamma")}
    variables |= {f"{name}_std": (maps, std) for name in ("a", "b", "gamma")}
    variables["orientation"] = (maps, np.zeros(a.shape))
    variables["label"] = (maps, np.full(a.shape, HEXAGONAL))
    variables["basis"] = ((*maps, "vector", "component"), basis)
    return xr.Dataset(variables, {"time": [0], "y": np.arange(10) * 8.0, "x": np.arange(10) * 8.0})


def test_doubtful_windows_do_not_set_the_scale() -> None:
    mesh = next(artist for artist in plot_cells(cells()).axes[0].collections if isinstance(artist, QuadMesh))
    low, high = mesh.get_clim()
    assert 10.93 < low < 10.98 < 11.02 < high < 11.07
    alike = cells().assign(a_std=cells()["a_std"] * 0 + 0.02)
    mesh = next(artist for artist in plot_cells(alike).axes[0].collections if isinstance(artist, QuadMesh))
    assert mesh.get_clim()[1] == pytest.approx(12.0, abs=0.01)


def test_orientations_of_two_classes_are_degrees() -> None:
    turns = np.radians([10.0, 20.0, 170.0])
    gamma, b = np.radians([120.0, 120.0, 100.0]), np.array([1.0, 1.0, 1.3])
    basis = basis_from_cell(np.ones(3), b, gamma, turns)
    values, end, text = orientation_scale(symmetric_cells(basis, np.array([HEXAGONAL, HEXAGONAL, OBLIQUE])))
    assert end == 60
    assert "60°" in text
    assert ((values >= 0) & (values < 60)).all()
    assert (values[1] - values[0]) % 60 == pytest.approx(10)
    whole = symmetric_cells(basis, np.array([HEXAGONAL, HEXAGONAL, OBLIQUE])).orientation
    assert (whole[2] - values[2]) % 60 == pytest.approx(0, abs=1e-6)


def strain() -> xr.Dataset:
    """Return the strain of 40 × 40 pixels 2 px apart with a void in the middle, large beside it and at the edges."""
    field = 0.1 * np.random.default_rng(0).normal(size=(1, 40, 40))
    y, x = np.indices((40, 40))
    away = np.maximum(abs(y - 20), abs(x - 20))
    field[:, (away < 7) | (np.minimum(y, 39 - y) < 2)] = 9.0
    field[:, away < 5] = np.nan
    maps, std = ("time", "y", "x"), np.full(field.shape, 0.1)
    std[0, 10, 5] = 4.0
    names = ("exx", "eyy", "exy", "rotation")
    variables = dict.fromkeys(names, (maps, field)) | {f"{name}_std": (maps, std) for name in names}
    variables |= {"label": (maps, np.where(np.isnan(field), 5, HEXAGONAL)), "kernel": ("time", [6.0])}
    return xr.Dataset(variables, {"time": [0], "y": np.arange(40) * 2.0, "x": np.arange(40) * 2.0})


def test_strain_that_a_void_blurs_is_hatched_and_sets_no_scale() -> None:
    figure = plot_strain(strain())
    drawn, cover = (artist for artist in figure.axes[0].collections if isinstance(artist, QuadMesh))
    assert drawn.get_clim()[1] < 0.4
    covered = ~np.ma.getmaskarray(cover.get_array())
    assert covered[20, 26]  # 4 px from the void
    assert covered[10, 5]
    assert not covered[20, 30]
    assert not covered[20, 20]
    assert len(figure.legends) == 1
    assert [ax.get_ylabel() for ax in figure.axes[4:]] == [*3 * ["%, usual σ 0.1"], "°, usual σ 0.1"]
    windows = plot_strain(strain().drop_vars("kernel"))
    assert not windows.legends
    assert next(artist for artist in windows.axes[0].collections if isinstance(artist, QuadMesh)).get_clim()[1] == 9
