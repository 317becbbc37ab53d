"""Figures of motifs: cells through time are drawn in one setting and from one origin."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bravaismap.show.motif import aligned_cell

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
