"""The grain map: grains keep their numbers, and have the orientations of their lattices under their symmetry."""

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
def pixels() -> xr.Dataset:
    """Return a pixel map of three grains and a void.

    A hexagonal grain of 65°, which is 5°, on the left; a square one of 40° on the right, above a hexagonal one of 59°;
    and a void in the middle.
    """
    points = SIDE // STEP
    domain = np.full((points, points), 0, np.int16)
    domain[:20, 20:], domain[20:, 20:] = 3, 7
    domain[15:25, 15:25] = -1
    phase = np.where(domain == 3, SQUARE, np.where(domain < 0, NONE, HEXAGONAL)).astype(np.int8)
    lattice = np.select([domain == 0, domain == 3, domain == 7], [2, 0, 1], -1).astype(np.int8)
    bases = basis_from_cell(8.0, 8.0, np.radians([90.0, 60.0, 60.0, 60.0]), np.radians([40.0, 59.0, 65.0, 0.0]))
    bases[3] = np.nan
    maps = ("time", "py", "px")
    return xr.Dataset(
        {
            "phase": (maps, phase[None]),
            "domain": (maps, domain[None]),
            "frame_lattice": (maps, lattice[None]),
            "frame_basis": (("time", "number", "vector", "component"), bases[None]),
        },
        coords={
            "time": ("time", [0.0], {"units": "frame"}),
            "py": ("py", np.arange(points) * STEP, {"units": "px"}),
            "px": ("px", np.arange(points) * STEP, {"units": "px"}),
            "lattice": list(CLASSES),
        },
        attrs={"frame_size": [SIDE, SIDE], "pixel_size_nm": None, "pixel_step": STEP},
    )


def test_grains_have_the_orientation_of_their_lattice(pixels: xr.Dataset) -> None:
    left, *others = grains_of(pixels)
    assert (left.number, left.lattice) == (0, "hexagonal")
    assert left.orientation == pytest.approx(5)
    assert left.share == pytest.approx((800 - 50) / 1600)
    of_number = {grain.number: grain for grain in others}
    assert (of_number[3].lattice, of_number[3].period) == ("square", 90)
    assert of_number[3].orientation == pytest.approx(40)
    assert of_number[7].orientation == pytest.approx(59)
    legend = [text.get_text() for text in plot_grains(pixels).legends[0].get_texts()]
    assert legend == ["0: hexagonal 5.0°, 46.9 %", "3: square 40.0°, 23.4 %", "7: hexagonal 59.0°, 23.4 %", "none"]


def test_colours_are_those_of_the_orientations(pixels: xr.Dataset) -> None:
    figure = plot_grains(pixels)
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    handles = figure.legends[0].get_patches()
    for place, patch in (((80, 5), 0), ((5, 155), 1), ((155, 155), 2), ((80, 80), 3)):
        np.testing.assert_allclose(drawn[place][:3], to_rgb(handles[patch].get_facecolor()), atol=1e-6)
    left, right = drawn[80, 5][:3], drawn[155, 155][:3]
    assert np.abs(left - right).max() < 0.25  # 5° and 59° are 6° apart under the symmetry of the lattice
    assert len(plot_grains(pixels, image=np.zeros((SIDE, SIDE))).axes) == 3


def test_the_scale_has_the_degrees_of_every_class(pixels: xr.Dataset) -> None:
    bar = plot_grains(pixels).axes[-1]
    assert bar.get_ylabel() == "orientation (°) of hexagonal | square"
    assert [label.get_text() for label in bar.get_yticklabels()] == ["0 | 0", "20 | 30", "40 | 60", "60 | 90"]
    alone = pixels.assign(phase=pixels["phase"].where(pixels["domain"] != 3, NONE))
    alone["domain"] = pixels["domain"].where(pixels["domain"] != 3, -1)
    assert plot_grains(alone).axes[-1].get_ylabel() == "orientation (°)"
