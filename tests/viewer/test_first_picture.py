"""The first picture: what a browser draws while the rest of the page is loaded."""

from __future__ import annotations

import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import xarray as xr
from matplotlib.colors import to_rgb
from PIL import Image

from bravaismap.result.phase_map import PhaseMap
from bravaismap.viewer.first_picture import MARK, TEMPLATE, first_picture, picture
from bravaismap.viewer.frame_geometry import Region
from bravaismap.viewer.rendering import Overlay
from bravaismap.viewer.result_source import HeldResult

EXTENT = Region(-0.5, 9.5, -0.5, 19.5)


def pixels(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(image)), float)


def test_frame_and_map_are_mixed_by_the_opacity() -> None:
    grey = np.full((20, 40), 100, np.uint8)
    values = np.array([[0.0, 1.0], [np.nan, 1.0]], np.float32)
    layer = Overlay(values, Region(-0.5, 9.5, -0.5, 9.5), ["#ff0000", "#0000ff"], -0.5, 1.5, "classes")
    shown = pixels(picture(grey, layer, 0.5, EXTENT))
    assert shown.shape == (256, 512, 3)
    for (row, column), color in (((64, 64), "#ff0000"), ((64, 192), "#0000ff"), ((192, 64), None), ((64, 400), None)):
        mixed = 100.0 if color is None else 0.5 * 255 * np.array(to_rgb(color)) + 50
        np.testing.assert_allclose(shown[row, column], mixed, atol=6)


def test_a_map_without_its_frame_is_laid_on_white() -> None:
    layer = Overlay(np.zeros((1, 1), np.float32), Region(-0.5, 4.5, -0.5, 19.5), ["#00ff00"], -0.5, 0.5, "classes")
    shown = pixels(picture(None, layer, 0.1, EXTENT))
    np.testing.assert_allclose(shown[60, 256], [0, 255, 0], atol=6)
    np.testing.assert_allclose(shown[200, 256], 255, atol=6)


def test_it_is_drawn_before_the_code_of_the_page_is_loaded() -> None:
    assert TEMPLATE.index("first_picture") < TEMPLATE.index("bokeh_js }}")


def test_it_shows_what_the_page_shows_first(result: PhaseMap, movie: xr.DataArray) -> None:
    html = first_picture(HeldResult(result, movie, "film <1>"), 1)
    assert f'id="{MARK}"' in html
    assert "film &lt;1&gt;" in html
    assert "2 frames of 160 × 160 px" in html
    share = 100 * float(result["area_fraction"].sel(lattice="hexagonal")[1])
    assert f"{share:.1f} ±" in html
    held = re.search('base64,([^"]+)', html)
    assert held is not None
    shown = pixels(b64decode(held[1]))
    assert shown.shape == (512, 512, 3)
    colored = np.ptp(shown, axis=2) > 20
    assert colored.mean() > 0.5  # the phases of the pixels lie over the frame


def test_a_frame_that_is_not_mapped_is_shown_without_a_map(result: PhaseMap, movie: xr.DataArray) -> None:
    nothing = result.isel(time=[0]).assign(label=result["label"].isel(time=[0]) * 0 - 1)
    html = first_picture(HeldResult(nothing, movie[:1]), 0)
    assert "<b>–</b>" in html
    held = re.search('base64,([^"]+)', html)
    assert held is not None
    assert np.ptp(pixels(b64decode(held[1])), axis=2).max() < 12  # grey
