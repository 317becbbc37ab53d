"""A motif in words: its lines and the table of its columns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from patterns import Pattern

from bravaismap.motif.motif import motif
from bravaismap.motif.structure_text import number_text
from bravaismap.motif.summary import column_rows, probable_groups, summary_lines
from bravaismap.movie import as_movie


@pytest.fixture(scope="module")
def glide(pattern: Callable[..., Pattern]) -> xr.Dataset:
    drawn = pattern("p2mg", [(0.13, 0.22)], heights=(1.0,), counts=40.0)
    return motif(as_movie(drawn.image, pixel_size=0.01), distortion=0.005, systematic=0.0)


def test_lines_name_cell_groups_and_extinct_orders(glide: xr.Dataset) -> None:
    lines = summary_lines(glide)
    said = dict(lines)
    assert said["cell"].startswith(f"a {number_text(float(glide['a']), float(glide['a_std']))} nm")
    assert said["cell"].endswith(f"{glide.attrs['cells']:.0f} cells averaged")
    assert said["plane group"].startswith("p2mg ")
    assert said["point group"] == "2mm; Laue class 2mm; lattice rectangular"
    orders = np.stack([glide["h"].values, glide["k"].values], axis=-1)[glide["extinct"].values]
    gone = [f"{h} {k}" for h, k in orders]
    assert said["extinct"].removesuffix(", …").split(", ") == gone[:8]
    assert all(order.endswith(" 0") for order in gone)


def test_a_lattice_above_its_motif_and_a_near_symmetry_are_told(glide: xr.Dataset) -> None:
    changed = glide.assign_attrs(metric_lattice="square", pseudosymmetry="p2mm (0.10)")
    texts = [text for _, text in summary_lines(changed)]
    assert "the lattice is square within the distortion; the motif is not" in texts
    assert any(text.startswith("p2mm (0.10)") for text in texts)


def test_groups_are_named_from_the_most_probable_on() -> None:
    groups, probability = np.array(["p1", "p2", "pm"]), np.array([0.03, 0.9, 0.07])
    assert probable_groups(groups, probability) == "p2 90.0 %, pm 7.0 %, p1 3.0 %"
    assert probable_groups(groups, probability, 0.05, 0) == "p2 90 %, pm 7 %"


def test_columns_have_a_row_each(glide: xr.Dataset) -> None:
    head, *rows = column_rows(glide)
    assert head == ["column", "Wyckoff", "x", "y", "height", "width (nm)"]
    assert len(rows) == glide.sizes["column"] == 4
    assert rows[0][1] == "4d"
    assert rows[0][4] == number_text(float(glide["height"][0]), float(glide["height_std"][0]))
