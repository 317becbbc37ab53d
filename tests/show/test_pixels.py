"""The figure of a pixel map: the colour at a place is that of its phase, to the edge of the frame."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from bravaismap.conventions import CLASSES, COLORS
from bravaismap.errors import InputError
from bravaismap.show.pixels import plot_pixels

HEIGHT, WIDTH, STEP, NM = 61, 80, 3, 0.05
HEXAGONAL, NONE = CLASSES.index("hexagonal"), CLASSES.index("none")


@pytest.fixture
def pixels() -> xr.Dataset:
    """Return two frames: two hexagonal grains above a void; the same without the void, a corner missing."""
    rows, columns = -(-HEIGHT // STEP), -(-WIDTH // STEP)
    domain = np.zeros((2, rows, columns), np.int16)
    domain[:, :, columns // 2 :] = 1
    domain[0, 15:] = -1
    phase = np.where(domain < 0, NONE, HEXAGONAL).astype(np.int8)
    domain[1, :5, :5] = phase[1, :5, :5] = -1
    area = np.zeros((2, len(CLASSES)))
    area[0, [HEXAGONAL, NONE]] = 0.75, 0.25
    area[1, HEXAGONAL] = 1
    return xr.Dataset(
        {
            "phase": (("time", "py", "px"), phase),
            "domain": (("time", "py", "px"), domain),
            "area_fraction": (("time", "lattice"), area),
            "area_fraction_std": (("time", "lattice"), np.full_like(area, 0.012)),
        },
        coords={
            "time": ("time", [0.0, 2.0], {"units": "s"}),
            "py": ("py", np.arange(rows) * STEP * NM, {"units": "nm"}),
            "px": ("px", np.arange(columns) * STEP * NM, {"units": "nm"}),
            "lattice": list(CLASSES),
        },
        attrs={"frame_size": [HEIGHT, WIDTH], "pixel_size_nm": NM, "pixel_step": STEP},
    )


def colour_at(figure: Figure, ax: Axes, y: float, x: float) -> np.ndarray:
    """Return the colour drawn at a pixel of the frame."""
    canvas = FigureCanvasAgg(figure)
    figure.dpi = 100
    canvas.draw()
    column, row = ax.transData.transform((x * NM, y * NM))
    drawn = np.asarray(canvas.buffer_rgba())[..., :3]
    return drawn[drawn.shape[0] - 1 - int(row), int(column)] / 255


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_pixel_has_the_colour_of_its_phase_to_the_edge(pixels: xr.Dataset) -> None:
    figure = plot_pixels(pixels, 0)
    (ax,) = figure.axes
    for y, x, name in ((0, 0, "hexagonal"), (20, 79, "hexagonal"), (42, 10, "hexagonal"), (46, 70, "none")):
        np.testing.assert_allclose(colour_at(figure, ax, y, x), to_rgb(COLORS[name]), atol=0.01, err_msg=f"{y} {x}")
    np.testing.assert_allclose(colour_at(figure, ax, HEIGHT - 1, WIDTH - 1), to_rgb(COLORS["none"]), atol=0.01)
    assert ax.get_xlim() == pytest.approx((-0.5 * NM, (WIDTH - 0.5) * NM))
    assert ax.get_ylim() == pytest.approx(((HEIGHT - 0.5) * NM, -0.5 * NM))


def test_legend_gives_areas_with_their_errors(pixels: xr.Dataset) -> None:
    assert words(plot_pixels(pixels, 0)) == ["hexagonal 75.0 ± 1.2 %", "none 25.0 ± 1.2 %"]
    assert words(plot_pixels(pixels, 1)) == ["hexagonal 100.0 ± 1.2 %", "none 0.0 ± 1.2 %", "not measured"]


def test_grains_carry_their_numbers_and_the_scale_its_unit(pixels: xr.Dataset) -> None:
    figure = plot_pixels(pixels, 0)
    (ax,) = figure.axes
    places = {text.get_text(): text.get_position() for text in ax.texts}
    assert {"0", "1", "1 nm"} == set(places)
    assert places["0"][0] < 40 * NM < places["1"][0]
    assert ax.get_title() == "phase of every pixel"
    assert figure.texts[0].get_text() == "t = 0 s"
    alone = pixels.assign(domain=pixels["domain"].where(pixels["domain"] < 0, 0).astype(np.int16))
    assert [text.get_text() for text in plot_pixels(alone, 0).axes[0].texts] == ["1 nm"]


@pytest.mark.parametrize("calibrated", [True, False])
def test_image_lies_beside_and_under_the_map(pixels: xr.Dataset, calibrated: bool) -> None:
    image = np.zeros((2, HEIGHT, WIDTH), np.float32)
    image[0, 30:] = 1
    movie = xr.DataArray(image, dims=("time", "y", "x"))
    if calibrated:
        movie = movie.assign_coords({dim: np.arange(movie.sizes[dim]) * NM for dim in ("y", "x")})
    figure = plot_pixels(pixels, 0, movie)
    beside, on = figure.axes
    np.testing.assert_allclose(colour_at(figure, beside, 5, 5), 0, atol=0.01)
    np.testing.assert_allclose(colour_at(figure, beside, 35, 5), 1, atol=0.01)
    dark, bright = colour_at(figure, on, 5, 5), colour_at(figure, on, 35, 5)
    assert (bright > dark + 0.3).all()
    np.testing.assert_allclose(np.argmax(bright - bright.min()), np.argmax(to_rgb(COLORS["hexagonal"])))
    assert beside.get_xlim() == on.get_xlim()


def test_wide_frame_leaves_no_empty_band(pixels: xr.Dataset) -> None:
    wide = pixels.isel(py=slice(0, 4)).assign_attrs(frame_size=[12, WIDTH], window=32)
    assert plot_pixels(wide, 0).get_figheight() < 2.5


def test_images_of_something_else_are_refused(pixels: xr.Dataset) -> None:
    with pytest.raises(InputError, match="3 images"):
        plot_pixels(pixels, 0, np.zeros((3, HEIGHT, WIDTH)))
    with pytest.raises(InputError, match="expected"):
        plot_pixels(pixels, 0, np.zeros((HEIGHT, WIDTH + 1)))
