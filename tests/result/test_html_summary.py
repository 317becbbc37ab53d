"""What a result shows of itself in a notebook."""

from __future__ import annotations

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import bravaismap as bm
from bravaismap.conventions import CLASSES, COLORS
from bravaismap.result.html_summary import thumbnail
from bravaismap.result.phase_map import PhaseMap


@pytest.fixture(scope="module")
def mapped(small: xr.Dataset) -> PhaseMap:
    return bm.map_phases(small["image"], window=32, step=8, samples=0)


def picture(result: xr.Dataset) -> np.ndarray:
    with Image.open(BytesIO(b64decode(thumbnail(result).partition(",")[2]))) as image:
        return np.asarray(image)


def test_a_notebook_shows_table_and_picture_before_the_dataset(mapped: PhaseMap) -> None:
    html = mapped._repr_html_()
    assert html.index("hexagonal") < html.index("data:image/png") or "data:image/png" in html[:400]
    assert "xr-wrap" in html
    assert "http" not in html.partition("xr-wrap")[0].replace("http-equiv", "")
    assert "data:image/png" not in mapped[["a"]]._repr_html_()


def test_the_picture_has_the_colour_of_each_window(mapped: PhaseMap) -> None:
    windows = mapped.copy(deep=True).drop_vars([name for name in mapped.data_vars if "px" in mapped[name].dims])
    windows["label"][-1] = 3
    windows["label"][-1, 0, 0] = 0
    drawn = picture(windows)
    side = drawn.shape[0] // windows.sizes["y"]
    assert drawn.shape[0] >= 150
    for place, name in (((0, 0), "square"), ((side + 1, 1), "hexagonal")):
        assert tuple(drawn[place][:3]) == tuple(bytes.fromhex(COLORS[name][1:]))
    windows["fraction"][:] = np.nan
    assert thumbnail(windows) == ""


def test_pixels_are_shown_where_the_result_holds_them(mapped: PhaseMap) -> None:
    drawn = picture(mapped)
    phase = mapped["phase"].values[-1]
    assert drawn.shape[0] % phase.shape[0] == 0
    assert tuple(drawn[0, 0][:3]) == tuple(bytes.fromhex(COLORS[CLASSES[int(phase[0, 0])]][1:]))


def test_names_from_a_file_are_no_markup(mapped: PhaseMap) -> None:
    evil = mapped.assign_coords(lattice=["<script>alert(1)</script>", *CLASSES[1:]])
    assert "<script>" not in evil._repr_html_()
