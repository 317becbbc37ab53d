"""The grain map: grains keep their numbers, orientations are those of their windows under the symmetry of the class."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb

from bravaismap.conventions import CLASSES
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.show.grains import grains_of, plot_grains

STEP, SIDE = 4, 160
HEXAGONAL, SQUARE, NONE = (CLASSES.index(name) for name in ("hexagonal", "square", "none"))


@pytest.fixture
def mapped() -> tuple[xr.Dataset, xr.Dataset]:
    """Return a pixel map of three grains and a void, and the windows of which it was made.

    A hexagonal grain of 5° on the left, of which every second window was measured as the equivalent lattice of 65°; a
    square one of 40° on the right, above a hexagonal one of 59°; and a void in the middle.
    """
    points = SIDE // STEP
    domain = np.full((points, points), 0, np.int16)
    domain[:20, 20:], domain[20:, 20:] = 3, 7
    domain[15:25, 15:25] = -1
    phase = np.where(domain == 3, SQUARE, np.where(domain < 0, NONE, HEXAGONAL)).astype(np.int8)
    centers = np.arange(16, SIDE, 16) - 0.5
    label, angle = np.full((9, 9), HEXAGONAL, np.int8), np.full((9, 9), 5.0)
    label[:4, 4:] = SQUARE
    angle[::2, :4] = 65.0
    angle[:4, 4:], angle[4:, 4:] = 40.0, 59.0
    gamma = np.where(label == SQUARE, 90.0, 60.0)
    basis = basis_from_cell(8.0, 8.0, np.radians(gamma), np.radians(angle))
    pixels = xr.Dataset(
        {"phase": (("time", "py", "px"), phase[None]), "domain": (("time", "py", "px"), domain[None])},
        coords={
            "time": ("time", [0.0], {"units": "frame"}),
            "frame": ("time", [1]),
            "py": ("py", np.arange(points) * STEP, {"units": "px"}),
            "px": ("px", np.arange(points) * STEP, {"units": "px"}),
            "lattice": list(CLASSES),
        },
        attrs={"frame_size": [SIDE, SIDE], "pixel_size_nm": None, "pixel_step": STEP},
    )
    windows = ("time", "y", "x")
    result = xr.Dataset(
        {
            "label": (windows, np.stack([np.full_like(label, -1), label])),
            "basis": ((*windows, "vector", "component"), np.stack([basis * np.nan, basis])),
        },
        coords={"y": centers, "x": centers},
    )
    return pixels, result


def test_grains_have_the_orientation_of_their_windows(mapped: tuple[xr.Dataset, xr.Dataset]) -> None:
    left, *others = grains_of(*mapped)
    assert (left.number, left.lattice) == (0, "hexagonal")
    assert left.orientation == pytest.approx(5)
    assert left.share == pytest.approx((800 - 50) / 1600)
    of_number = {grain.number: grain for grain in others}
    assert (of_number[3].lattice, of_number[3].period) == ("square", 90)
    assert of_number[3].orientation == pytest.approx(40)
    assert of_number[7].orientation == pytest.approx(59)


def test_a_grain_without_windows_has_no_orientation(mapped: tuple[xr.Dataset, xr.Dataset]) -> None:
    pixels, result = mapped
    result["label"][1, :4, 4:] = NONE
    square = next(grain for grain in grains_of(pixels, result) if grain.number == 3)
    assert np.isnan(square.orientation)
    legend = [text.get_text() for text in plot_grains(pixels, result).legends[0].get_texts()]
    assert legend == ["0: hexagonal 5.0°, 46.9 %", "3: square, 23.4 %", "7: hexagonal 59.0°, 23.4 %", "none"]


def test_colours_are_those_of_the_orientations(mapped: tuple[xr.Dataset, xr.Dataset]) -> None:
    pixels, result = mapped
    figure = plot_grains(pixels, result)
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    handles = figure.legends[0].get_patches()
    for place, patch in (((80, 5), 0), ((5, 155), 1), ((155, 155), 2), ((80, 80), 3)):
        np.testing.assert_allclose(drawn[place][:3], to_rgb(handles[patch].get_facecolor()), atol=1e-6)
    left, right = drawn[80, 5][:3], drawn[155, 155][:3]
    assert np.abs(left - right).max() < 0.25  # 5° and 59° are 6° apart under the symmetry of the lattice
    assert len(plot_grains(pixels, result, image=np.zeros((SIDE, SIDE))).axes) == 3
