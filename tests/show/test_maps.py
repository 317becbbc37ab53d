"""Figures: what is drawn is what the result says, pixel by pixel where that can be read."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from bravaismap.conventions import CLASSES, COLORS
from bravaismap.errors import InputError
from bravaismap.show.axes import class_colors, map_edges, panel_grid
from bravaismap.show.maps import plot_classification, plot_fractions, plot_labels, plot_probabilities, plot_uncertainty
from bravaismap.show.movie import probability_frames
from bravaismap.show.style import PAGE, SMALL, style_named

OWN = ("1T", "2H", "none")


def make_result(
    names: tuple[str, ...] = CLASSES,
    *,
    frames: int = 4,
    mapped: int | None = None,
    nm: float | None = 0.05,
    ny: int = 5,
) -> xr.Dataset:
    """Return a result over windows of 32 px every 16 px; the last window along x is 8 px from the one before."""
    rng = np.random.default_rng(3)
    y, x = np.arange(ny) * 16 + 15.5, np.append(np.arange(6) * 16, 88) + 15.5
    probability = rng.dirichlet(np.full(len(names), 0.3), (frames, len(y), len(x)))
    std = 0.4 * probability * (1 - probability)
    label = probability.argmax(-1).astype(np.int8)
    cut = frames if mapped is None else mapped
    probability[cut:], std[cut:], label[cut:] = np.nan, np.nan, -1
    entropy = -(probability * np.log(probability + 1e-300)).sum(-1)
    maps, units = ("time", "y", "x"), ("nm", "s") if nm else ("px", "frame")
    return xr.Dataset(
        {
            "probability": ((*maps, "lattice"), probability.astype(np.float32)),
            "probability_std": ((*maps, "lattice"), std.astype(np.float32)),
            "entropy": (maps, entropy),
            "mutual_information": (maps, 0.1 * entropy),
            "label": (maps, label),
            "fraction": (("time", "lattice"), probability.mean((1, 2))),
            "fraction_std": (("time", "lattice"), std.mean((1, 2))),
        },
        coords={
            "time": ("time", np.arange(frames) * (2.25 if nm else 1.0), {"units": units[1]}),
            "y": ("y", y * (nm or 1), {"units": units[0]}),
            "x": ("x", x * (nm or 1), {"units": units[0]}),
            "lattice": list(names),
        },
        attrs={"window": 32, "step": 16, "pixel_size_nm": nm},
    )


def make_movie(result: xr.Dataset, *, coordinates: bool = True) -> xr.DataArray:
    """Return a movie that the windows of `result` cover from edge to edge."""
    shape = (result.sizes["time"], 16 * result.sizes["y"] + 16, 120)
    movie = xr.DataArray(np.random.default_rng(0).random(shape, np.float32), dims=("time", "y", "x"))
    if not coordinates:
        return movie
    step = float(result["y"][0]) / 15.5
    axes = {dim: (dim, np.arange(movie.sizes[dim]) * step, result[dim].attrs) for dim in ("y", "x")}
    return movie.assign_coords(time=result["time"], **axes)


def rendered(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    figure.dpi = 100
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def colour_at(figure: Figure, ax: Axes, x: float, y: float) -> np.ndarray:
    """Return the colour drawn at a point given in the units of the axes."""
    pixels = rendered(figure)
    column, row = ax.transData.transform((x, y))
    return pixels[pixels.shape[0] - 1 - int(row), int(column)] / 255


def meshes(ax: Axes) -> list[QuadMesh]:
    return [artist for artist in ax.collections if isinstance(artist, QuadMesh)]


def axis_labels(figure: Figure) -> set[str]:
    return {text for ax in figure.axes for text in (ax.get_xlabel(), ax.get_ylabel())} - {""}


@pytest.mark.parametrize("names", [CLASSES, OWN])
def test_label_map_shows_the_class_at_its_window(names: tuple[str, ...]) -> None:
    result = make_result(names)
    figure = plot_labels(result, 2)
    pixels, ax = rendered(figure), figure.axes[0]
    colors = class_colors(names)
    for i, y in enumerate(result["y"].values):
        for j, x in enumerate(result["x"].values):
            column, row = ax.transData.transform((x, y))
            seen = pixels[pixels.shape[0] - 1 - int(row), int(column)] / 255
            expected = to_rgb(colors[names[int(result["label"][2, i, j])]])
            np.testing.assert_allclose(seen, expected, atol=0.01, err_msg=f"window {i}, {j}")


def test_window_owns_the_area_up_to_half_way() -> None:
    result = make_result()
    result["label"][:] = 3
    result["label"][0, :, -1] = 0
    figure = plot_labels(result, 0)
    boundary = float(result["x"][-2:].mean())
    for dx, name in ((-0.05, "hexagonal"), (0.05, "square")):
        np.testing.assert_allclose(
            colour_at(figure, figure.axes[0], boundary + dx, 1.5), to_rgb(COLORS[name]), atol=0.01
        )
    np.testing.assert_allclose(figure.axes[0].get_xlim(), 0.05 * np.array([-0.5, 119.5]))  # the edges of the frame
    np.testing.assert_allclose(figure.axes[0].get_ylim(), 0.05 * np.array([95.5, -0.5]))
    np.testing.assert_allclose(colour_at(figure, figure.axes[0], 0.2, 0.2), to_rgb(COLORS["hexagonal"]), atol=0.01)
    assert figure.axes[0].get_aspect() == 1


def test_legend_gives_the_share_of_each_class() -> None:
    result = make_result()
    (legend,) = plot_labels(result, 1).legends
    share, std = (100 * result[name][1].values for name in ("fraction", "fraction_std"))
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == [f"{n.replace('_', ' ')} {p:.1f} ± {s:.1f} %" for n, p, s in zip(CLASSES, share, std, strict=True)]
    assert [patch.get_facecolor()[:3] for patch in legend.get_patches()] == [to_rgb(COLORS[n]) for n in CLASSES]


@pytest.mark.parametrize("coordinates", [True, False])
def test_image_and_map_lie_on_the_same_axes(coordinates: bool) -> None:
    result = make_result()
    movie = make_movie(result, coordinates=coordinates)
    figure = plot_labels(result, 2, movie)
    picture = figure.axes[0].images[0]
    np.testing.assert_allclose(picture.get_array(), movie[2])
    np.testing.assert_allclose(picture.get_extent(), 0.05 * np.array([-0.5, 119.5, 95.5, -0.5]))
    rendered(figure)
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    np.testing.assert_allclose(figure.axes[1].get_xlim(), 0.05 * np.array([-0.5, 119.5]))
    outline = figure.axes[0].patches[0]
    np.testing.assert_allclose((outline.get_width(), outline.get_height()), 31 * 0.05)
    single = plot_labels(result, 2, movie[2].values).axes[0].images[0]
    np.testing.assert_allclose(single.get_extent(), picture.get_extent())


def test_image_in_another_unit_takes_that_of_the_windows() -> None:
    result = make_result()
    movie = make_movie(make_result(nm=None))
    figure = plot_labels(result, 0, movie)
    np.testing.assert_allclose(figure.axes[0].images[0].get_extent(), 0.05 * np.array([-0.5, 119.5, 95.5, -0.5]))


def test_overlay_lets_the_image_through() -> None:
    result = make_result()
    movie = make_movie(result) * 0
    movie[..., ::2] = 1
    figure = plot_labels(result, 0, movie, overlay=True)
    assert len(figure.axes) == 1
    name = CLASSES[int(result["label"][0, 0, 0])]
    seen = colour_at(figure, figure.axes[0], float(result["x"][0]), float(result["y"][0]))
    full = np.array(to_rgb(COLORS[name]))
    assert (np.abs(seen - full) > 0.05).any()
    assert ((seen >= 0.45 * full - 0.02) & (seen <= 0.45 * full + 0.57)).all()


def test_large_images_are_averaged_down() -> None:
    result = make_result(ny=6)
    image = np.random.default_rng(0).random((2400, 2600))
    picture = plot_labels(result, 0, image).axes[0].images[0]
    assert picture.get_array().shape == (1200, 1300)
    np.testing.assert_allclose(picture.get_array()[0, 0], image[:2, :2].mean(), rtol=1e-5)
    left, right, *_ = picture.get_extent()
    np.testing.assert_allclose((left, right), np.array([-0.5, 2599.5]) * 119 / 2599 * 0.05, rtol=1e-5)


@pytest.mark.parametrize(("nm", "unit", "stamp"), [(0.05, "nm", "t = 4.50 s"), (None, "px", "frame 2")])
def test_units(nm: float | None, unit: str, stamp: str) -> None:
    result = make_result(nm=nm)
    for figure in (plot_probabilities(result, 2), plot_uncertainty(result, 2), plot_labels(result, 2)):
        assert {f"x ({unit})", f"y ({unit})"} <= axis_labels(figure)
        titles = [text.get_text() for text in figure.texts] + [ax.get_title() for ax in figure.axes]
        assert stamp in titles
    assert "time (s)" in axis_labels(plot_fractions(result)) if nm else "frame" in axis_labels(plot_fractions(result))


def test_probability_maps_share_one_scale() -> None:
    result = make_result()
    figure = plot_probabilities(result, 1, std=True)
    drawn = [mesh for ax in figure.axes for mesh in meshes(ax) if ax.get_title()]
    assert len(drawn) == 12
    for i, mesh in enumerate(drawn):
        variable = "probability" if i < 6 else "probability_std"
        np.testing.assert_allclose(mesh.get_array(), result[variable][1, ..., i % 6])
    assert {mesh.get_clim() for mesh in drawn[:6]} == {(0, 1)}
    assert {mesh.get_clim()[1] for mesh in drawn[6:]} == {float(np.percentile(result["probability_std"][1], 98))}
    assert {mesh.get_cmap().name for mesh in drawn[:6]} == {"viridis"}
    assert [ax.get_title() for ax in figure.axes[:6]] == [name.replace("_", " ") for name in CLASSES]
    assert len(figure.axes) == 14


def test_uncertainty_scale_ends_at_ignorance() -> None:
    result = make_result()
    entropy, information = (meshes(ax)[0] for ax in plot_uncertainty(result).axes[:2])
    assert entropy.get_clim() == (0, pytest.approx(np.log(6)))
    np.testing.assert_allclose(entropy.get_array(), result["entropy"][-1])
    np.testing.assert_allclose(information.get_array(), result["mutual_information"][-1])


def test_fraction_curves_and_bands() -> None:
    result = make_result()
    void = xr.DataArray([0.0, 0.1, 0.2, 0.4], dims="time", coords={"time": result["time"]})
    figure = plot_fractions(result, void)
    *curves, dashed = figure.axes[0].lines
    for i, (name, curve) in enumerate(zip(CLASSES, curves, strict=True)):
        np.testing.assert_allclose(curve.get_xdata(), result["time"])
        np.testing.assert_allclose(curve.get_ydata(), result["fraction"][:, i])
        assert curve.get_color() == COLORS[name]
    assert dashed.get_linestyle() == "--"
    np.testing.assert_allclose(dashed.get_ydata(), void)
    bands = [c for c in figure.axes[0].collections if isinstance(c, PolyCollection)]
    fraction, std = result["fraction"][:, 3], result["fraction_std"][:, 3]
    heights = bands[3].get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(float((fraction - std).min()))
    assert heights.max() == pytest.approx(float((fraction + std).max()))


def test_legend_of_the_label_map_lists_what_is_drawn() -> None:
    result = make_result(frames=1)
    result["label"][:] = 0
    result["label"][0, 0, 0] = 2
    result["fraction"][:] = [0.99, 0.0, 0.0001, 0.0, 0.0099, 0.0]
    legend = plot_labels(result).legends[0]
    words = [text.get_text() for text in legend.get_texts()]
    assert [word.split(" ")[0] for word in words] == ["square", "centered", "oblique", "none"]
    assert words[1] == "centered rectangular < 0.1 %"
    assert legend.get_title().get_text() == "mean probability over windows"
    area = {"area_fraction": result["fraction"], "area_fraction_std": result["fraction_std"]}
    legend = plot_labels(result.assign(area)).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["square", "centered rectangular"]
    assert legend.get_title().get_text() == ""


def test_panels_say_what_they_show_and_an_image_has_no_time() -> None:
    result = make_result(frames=1)
    figure = plot_labels(result, 0, make_movie(result))
    assert [ax.get_title() for ax in figure.axes] == ["image, a window", "class of every window"]
    assert not figure.texts
    curves = plot_fractions(make_result()).axes[0]
    assert curves.get_ylabel() == "mean probability over windows"


@pytest.mark.filterwarnings("error")
def test_frames_not_mapped_are_blank() -> None:
    result = make_result(mapped=2)
    result["fraction_std"][:] = np.nan
    figure = plot_labels(result)
    centre = float(result["x"][3]), float(result["y"][2])
    np.testing.assert_array_equal(colour_at(figure, figure.axes[0], *centre), 1)
    assert "not mapped" in figure.texts[0].get_text()
    figure = plot_probabilities(result, std=True)
    np.testing.assert_array_equal(colour_at(figure, figure.axes[3], *centre), 1)
    assert "not mapped" in figure.texts[0].get_text()
    rendered(plot_uncertainty(result))
    rendered(plot_fractions(result))
    assert "not mapped" not in plot_labels(result, 1).texts[0].get_text()


@pytest.mark.filterwarnings("error")
def test_without_sampling_a_mapped_frame_is_not_called_unmapped() -> None:
    result = make_result()
    for name in ("probability_std", "mutual_information", "fraction_std"):
        result[name] = result[name] * np.nan
    for figure in (plot_probabilities(result, 1, std=True), plot_uncertainty(result, 1)):
        rendered(figure)
        assert figure.texts[0].get_text() == "t = 2.25 s"


def test_one_window_and_one_frame() -> None:
    result = make_result(frames=1).isel(y=slice(0, 1), x=slice(0, 1))
    for figure in (plot_labels(result, 0, np.eye(32)), plot_probabilities(result), plot_fractions(result)):
        rendered(figure)
    assert plot_labels(result).axes[0].get_xlim() == pytest.approx((-0.5 * 0.05, 31.5 * 0.05))
    assert len(list(probability_frames(result, np.eye(32), size=(320, 180)))) == 1


def test_lazy_result_and_movie() -> None:
    result, movie = make_result(), make_movie(make_result())
    eager = rendered(plot_labels(result, 1, movie))
    np.testing.assert_array_equal(rendered(plot_labels(result.chunk(time=1), 1, movie.chunk(time=1))), eager)


def test_five_classes_leave_no_empty_axes() -> None:
    figure = plot_probabilities(make_result(CLASSES[:5]))
    assert len(figure.axes) == 6
    assert [ax.get_xlabel() != "" for ax in figure.axes[:5]] == [False, False, True, True, True]


def test_classification() -> None:
    result = make_result().isel(time=0, y=slice(1, 2), x=slice(2, 3))
    half = np.zeros((64, 32))
    half[32 + 10, 5], half[32, 0] = 2.0, 1.0
    image = make_movie(make_result())[0]
    figure = plot_classification(image, result, half)
    axes = figure.axes
    assert axes[0].get_xlabel() == "x (nm)"
    plane = np.asarray(axes[1].images[0].get_array())
    assert plane.shape == (64, 63)
    assert np.argwhere(plane == 2).tolist() == [[32 - 10, 31 - 5], [32 + 10, 31 + 5]]
    assert plane[32, 31] == 1
    widths = [bar.get_width() for bar in axes[2].patches]
    np.testing.assert_allclose(widths, result["probability"].values.ravel())
    best = int(np.argmax(widths))
    sigma = float(result["probability_std"].values.ravel()[best])
    assert axes[2].get_title() == f"{CLASSES[best].replace('_', ' ')}\n{widths[best]:.2f} ± {sigma:.2f}"
    whole = plot_classification(image.values, result.drop_vars("probability_std"), np.eye(64))
    assert whole.axes[0].get_xlabel() == "x (px)"
    assert whole.axes[1].images[0].get_array().shape == (64, 64)
    assert "±" not in whole.axes[2].get_title()
    rendered(whole)


def test_movie_frames_show_maps_and_image() -> None:
    result = make_result(frames=3, mapped=2)
    movie = make_movie(result)
    frames = list(probability_frames(result, movie, size=(640, 360)))
    assert [f.shape for f in frames] == [(360, 640, 3)] * 3
    assert frames[0].dtype == np.uint8
    assert (frames[0] != frames[1]).mean() > 0.1
    again = list(probability_frames(result.isel(time=[1]), movie[[1]], size=(640, 360)))
    maps = np.s_[60:330, 240:560]
    assert (np.abs(again[0][maps].astype(int) - frames[1][maps]) <= 1).mean() > 0.99
    assert (frames[2][maps] == 255).mean() > 0.9 > (frames[1][maps] == 255).mean()


def test_movie_frame_has_the_colour_of_its_probability() -> None:
    result = make_result(OWN, frames=2)
    result["probability"][:] = 0
    result["probability"][1, ..., 0] = 1
    first, second = (frame.reshape(-1, 3).astype(int) for frame in probability_frames(result, size=(640, 360)))
    yellow = [(np.abs(pixels - (253, 231, 37)).max(1) <= 1).sum() for pixels in (first, second)]
    assert yellow[1] > yellow[0] + 10_000


def test_frame_that_is_not_there() -> None:
    with pytest.raises(InputError, match="frame 4 was asked for; the result has the frames 0 to 3"):
        plot_labels(make_result(), 4)
    with pytest.raises(InputError, match="3 images were given for a result of 4 frames"):
        plot_labels(make_result(), 0, make_movie(make_result(frames=3)))


def test_pyplot_stays_out() -> None:
    rendered(plot_fractions(make_result()))
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_maps_end_at_the_edge_of_the_frame_where_it_is_known() -> None:
    result = make_result()
    np.testing.assert_allclose(map_edges(result, "x")[[0, -1]], 0.05 * np.array([-0.5, 119.5]))
    np.testing.assert_allclose(map_edges(result, "x")[1:-1], (result["x"].values[1:] + result["x"].values[:-1]) / 2)
    del result.attrs["window"]
    np.testing.assert_allclose(map_edges(result, "x")[0], result["x"].values[0] - 0.4)


@pytest.mark.parametrize("style", [PAGE, SMALL])
@pytest.mark.parametrize(("ny", "side_by_side"), [(5, True), (1, False), (60, True)])
def test_panels_are_laid_out_for_the_shape_of_the_frame(ny: int, side_by_side: bool, style: object) -> None:
    result = make_result(ny=ny)
    figure = plot_labels(result, 0, make_movie(result), style=style)
    ink = (rendered(figure) < 250).any(-1)
    assert ink.any(0).mean() > 0.75  # no half-blank page
    assert ink.any(1).mean() > 0.7
    if style is PAGE:
        rows, columns = panel_grid(result, 2, style)
        assert (columns == 2) == side_by_side
        assert rows * columns == 2


def test_styles_and_colour_maps() -> None:
    result = make_result()
    wide, small = plot_probabilities(result), plot_probabilities(result, style=style_named("small", "magma"))
    assert small.get_figwidth() <= 3.36 < wide.get_figwidth() <= 6.31
    assert {mesh.get_cmap().name for ax in small.axes for mesh in meshes(ax) if ax.get_title()} == {"magma"}
    assert small.axes[0].title.get_fontsize() == 7
    with pytest.raises(InputError, match="page or small"):
        style_named("large")
    with pytest.raises(InputError, match="viridis"):
        style_named("page", "virids")
