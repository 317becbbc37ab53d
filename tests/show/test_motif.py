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


def test_small_figure_is_a_column_wide() -> None:
    rng = np.random.default_rng(0)
    basis = basis_from_cell(14.0, 14.0, np.pi / 3, 0.2)
    sites = lattice_sites(basis, (128, 128), np.zeros(2), 20)
    image = rng.poisson(60 * gaussian_atoms(sites, np.ones(len(sites)), np.full(len(sites), 2.0), (128, 128)) + 4)
    measured = bm.motif(image)
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
