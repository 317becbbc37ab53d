"""Figures of motifs: cells through time are drawn in one setting and from one origin."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.show.motif import aligned_cell, plot_motif
from bravaismap.show.style import PAGE, SMALL
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

BASIS = np.array([[0.0, 5.0], [4.0, -2.5]])


def motif(setting: np.ndarray, origin: tuple[float, float]) -> xr.Dataset:
    """Return the same pattern in a setting of its lattice, from an origin in cells."""
    v, u = np.mgrid[:48, :48] / 48
    places = np.stack([u, v], axis=-1) @ setting + np.array(origin)
    phase = 2 * np.pi * places
    cell = np.cos(phase[..., 0]) + 0.5 * np.cos(phase[..., 1]) + 0.3 * np.sin(phase.sum(-1))
    return xr.Dataset({"cell": (("v", "u"), cell), "basis": (("vector", "component"), setting @ BASIS)})


@pytest.mark.parametrize("setting", [[[1, 0], [0, 1]], [[1, 1], [0, 1]], [[-1, 0], [0, -1]], [[0, 1], [-1, 1]]])
def test_same_pattern_looks_the_same(setting: list[list[int]]) -> None:
    first = motif(np.eye(2), (0.0, 0.0))
    last = motif(np.array(setting, float), (0.25, 0.5))
    again = aligned_cell(last, first)
    np.testing.assert_allclose(again["basis"], BASIS, atol=1e-9)
    np.testing.assert_allclose(again["cell"], first["cell"], atol=0.05)


def test_another_lattice_is_left() -> None:
    first, last = motif(np.eye(2), (0.0, 0.0)), motif(np.diag([2.0, 1.0]), (0.0, 0.0))
    assert aligned_cell(last, first) is last


@pytest.fixture(scope="module")
def measured() -> xr.Dataset:
    """Return the motif of a hexagonal crystal of one atom."""
    rng = np.random.default_rng(0)
    basis = basis_from_cell(14.0, 14.0, np.pi / 3, 0.2)
    sites = lattice_sites(basis, (128, 128), np.zeros(2), 20)
    image = rng.poisson(60 * gaussian_atoms(sites, np.ones(len(sites)), np.full(len(sites), 2.0), (128, 128)) + 4)
    return bm.motif(image)


def test_pattern_fills_its_rectangle_and_repeats_with_the_lattice(measured: xr.Dataset) -> None:
    (image,) = plot_motif(measured).axes[0].images
    left, right, bottom, top = image.get_extent()
    values = np.asarray(image.get_array())
    assert np.isfinite(values).all()
    basis, size = measured["basis"].values, np.array(values.shape)

    def drawn(place: np.ndarray) -> float:
        row, column = np.floor(size * (place - (top, left)) / (bottom - top, right - left)).astype(int)
        return float(values[row, column])

    corners = np.array([[-0.5, -0.5], [1.5, -0.5], [1.5, 1.5], [-0.5, 1.5]]) @ basis
    assert np.allclose(corners.min(axis=0), (top, left))
    assert np.allclose(corners.max(axis=0), (bottom, right))
    cell = measured["cell"].transpose("v", "u").values
    for u, v in ((0, 0), (0.5, 0), (0, 0.5), (0.25, 0.7)):
        expected = cell[int(np.rint(v * cell.shape[0])), int(np.rint(u * cell.shape[1]))]
        for step in ((0, 0), (1, 0), (0, 1)):
            assert drawn((np.array([u, v]) + step) @ basis) == pytest.approx(expected, abs=0.1 * np.ptp(cell))


def test_small_figure_is_a_column_wide(measured: xr.Dataset) -> None:
    wide, small = plot_motif(measured), plot_motif(measured, style=SMALL)
    assert (wide.get_figwidth(), small.get_figwidth()) == (PAGE.width, SMALL.width)
    assert small.axes[0].title.get_fontsize() == SMALL.text
    assert small.get_figheight() > wide.get_figheight()  # the three lie below one another
    assert next(ax for ax in wide.axes if "k$_x$" in ax.get_xlabel()).get_title() == (
        "amplitudes; × extinct" if measured["extinct"].any() else "amplitudes"
    )
    assert "doubt:" not in wide.get_suptitle()
    doubtful = plot_motif(measured.assign_attrs(unexplained=0.5)).get_suptitle()
    assert "doubt: the image has spots of 50 %" in doubtful
