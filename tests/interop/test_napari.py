"""The napari plugin: a manifest that holds, layers that lie where they belong, and once a widget without a screen."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.conventions import CLASSES, COLORS
from bravaismap.errors import InputError
from bravaismap.interop import napari as plugin
from bravaismap.movie import as_movie

MANIFEST = Path(str(files("bravaismap.interop") / "napari.yaml"))


@pytest.fixture(scope="module")
def store(small: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("napari") / "film.zarr"
    bm.map_phases(small["image"], window=32, step=4, samples=0, output=path)
    return path


def image_layer(data: np.ndarray, **about: Any) -> SimpleNamespace:
    """Return what a napari image layer shows of itself."""
    ndim = data.ndim
    default = {"scale": (1.0,) * ndim, "translate": (0.0,) * ndim, "units": ("pixel",) * ndim}
    about = default | {"rgb": False, "multiscale": False, "name": "film", "_type_string": "image"} | about
    return SimpleNamespace(data=data, ndim=ndim, **about)


def test_manifest_holds() -> None:
    npe2 = pytest.importorskip("npe2", reason="npe2 is not installed (extra napari)")
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert manifest.name == "bravaismap"
    manager = npe2.PluginManager()
    manager.register(manifest)
    assert [w.display_name for w in manager.iter_widgets()] == ["Map lattice phases"]
    assert [key for _, samples in manager.iter_sample_data() for key in (s.key for s in samples)] == ["film"]
    readers = list(manager.iter_compatible_readers(["film.zarr"]))
    assert [reader.command for reader in readers] == ["bravaismap.get_reader"]
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(import_module(module), name))


def test_manifest_is_found_by_napari() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, name = project["entry-points"]["napari.manifest"]["bravaismap"].split(":")
    assert Path(str(files(module) / name)) == MANIFEST


def test_result_is_read_lazily(store: Path) -> None:
    read = plugin.get_reader(str(store))
    assert read is not None
    layers = read(str(store))
    result = bm.open_result(store)
    by_name = {about["name"]: (data, about, kind) for data, about, kind in layers}
    assert {f"probability {name.replace('_', ' ')}" for name in CLASSES} < set(by_name)
    assert {"entropy", "a", "b", "gamma", "orientation"} < set(by_name)
    pixels = [layer for layer in layers if "pixel" in layer[1]["name"]]
    np.testing.assert_array_equal(pixels[0][0].compute(), result["phase"] + 1)
    assert {about["name"] for _, about, _ in pixels} >= {"phase of each pixel", "pixels: amplitude"}
    for data, about, _ in pixels:
        for i, dim in enumerate(("time", "py", "px")):
            placed = about["translate"][i] + about["scale"][i] * np.arange(data.shape[i])
            np.testing.assert_allclose(placed, result[dim], rtol=1e-9)
    for data, about, kind in layers[len(pixels) :]:
        assert hasattr(data, "dask")
        assert kind in ("labels", "image")
        assert about["units"] == ["s", "nm", "nm"]
        assert about["axis_labels"] == ["time", "y", "x"]
        for i, dim in enumerate(("time", "y", "x")):
            placed = about["translate"][i] + about["scale"][i] * np.arange(data.shape[i])
            np.testing.assert_allclose(placed, result[dim], rtol=1e-9)
        assert about["metadata"]["run_card"] == result.attrs
    labels, about, kind = by_name["lattice phase"]
    assert kind == "labels"
    np.testing.assert_array_equal(labels.compute(), result["label"] + 1)
    assert [about["colormap"][i + 1] for i in range(6)] == [COLORS[name] for name in CLASSES]
    probability, about, _ = by_name["probability hexagonal"]
    np.testing.assert_array_equal(probability.compute(), result["probability"].sel(lattice="hexagonal"))
    assert about["colormap"] == COLORS["hexagonal"]
    assert not about["visible"]


def test_other_paths_are_left_to_others(store: Path, tmp_path: Path, small: xr.Dataset) -> None:
    small["image"].to_zarr(tmp_path / "movie.zarr", zarr_format=3, consolidated=False)
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "file.zarr").write_text("no store")
    for path in ("movie.zarr", "empty.zarr", "file.zarr", "missing.zarr"):
        assert plugin.get_reader(str(tmp_path / path)) is None
    assert plugin.get_reader([str(store), str(store)]) is None


def test_frames_that_are_not_mapped_are_not_drawn(store: Path) -> None:
    result = bm.open_result(store).load()
    result["label"][1] = -1
    layers = plugin.result_layers(result)
    labels = next(data for data, about, _ in layers if about["name"] == "lattice phase")
    assert (labels[1] == 0).all()
    assert (labels[0] > 0).all()


def test_sample_is_a_calibrated_film() -> None:
    ((data, about, kind),) = plugin.film_sample()
    assert (data.shape, kind) == ((6, 256, 256), "image")
    assert about["units"] == ["s", "nm", "nm"]
    movie = plugin.layer_movie(image_layer(data, **{key: about[key] for key in ("scale", "translate", "units")}))
    assert movie["x"].attrs["units"] == "nm"
    np.testing.assert_allclose(float(movie["x"][1]), about["scale"][2])
    assert float(movie["time"][1]) == 2.25


@pytest.mark.parametrize(
    ("about", "axes"),
    [
        ({}, ("px", "frame")),
        ({"units": ("second", "micrometer", "micrometer"), "scale": (0.5, 1e-4, 1e-4)}, ("nm", "s")),
        ({"units": ("pixel", "angstrom", "angstrom"), "scale": (1, 0.3, 0.3)}, ("nm", "frame")),
    ],
)
def test_maps_lie_over_the_layer(small: xr.Dataset, about: dict[str, Any], axes: tuple[str, str]) -> None:
    layer = image_layer(small["image"].values, translate=(0.0, 5.0, 7.0), **about)
    movie = plugin.layer_movie(layer)
    assert (movie["x"].attrs["units"], movie["time"].attrs["units"]) == axes
    layers = plugin.map_layer(layer, window=32, step=8)
    phase = next(placed for _, placed, _ in layers if placed["name"] == "film: phase of each pixel")
    assert (np.array(phase["scale"]) / layer.scale % 1 == 0).all()
    np.testing.assert_allclose(phase["translate"], layer.translate)
    for data, placed, _ in layers:
        if "pixel" in placed["name"]:
            continue
        assert data.shape == (3, 3, 3)
        np.testing.assert_allclose(placed["scale"], np.array(layer.scale) * (1, 8, 8))
        np.testing.assert_allclose(placed["translate"], np.array((0, 5, 7)) + np.array(layer.scale) * (0, 15.5, 15.5))
        assert placed["units"] == list(layer.units)
        assert placed["name"].startswith("film: ")


def test_sites_are_points_that_lie_on_the_layer(small: xr.Dataset) -> None:
    about = {"units": ("second", "nanometer", "nanometer"), "scale": (0.5, 0.02, 0.02), "translate": (0.0, 5.0, 7.0)}
    counts: list[tuple[int, int]] = []
    layers = plugin.map_layer(
        image_layer(small["image"].values, **about), window=32, step=8, sites=True,
        progress=lambda done, total: counts.append((done, total)),
    )  # fmt: skip
    assert counts[-1] == (6, 6)
    data, placed, kind = layers[-1]
    assert (kind, placed["name"]) == ("points", "film: sites")
    movie = as_movie(small["image"].values, pixel_size=0.02, frame_time=0.5)
    sites = bm.find_sites(bm.map_phases(movie, window=32, step=8), movie)
    expected = np.column_stack([sites["time"], sites["y"] + 5, sites["x"] + 7])
    np.testing.assert_allclose(data * placed["scale"] + placed["translate"], expected, atol=1e-9)
    np.testing.assert_array_equal(placed["features"]["state"], sites["state"].values)
    vacant = sites["missing"].values > 0
    assert (placed["size"][vacant] > placed["size"].min()).all() or vacant.all()


def test_sites_of_one_image_are_flat_points(small: xr.Dataset) -> None:
    layers = plugin.map_layer(image_layer(small["image"].values[0]), window=32, step=8, sites=True)
    assert layers[-1][0].shape[1] == 2
    assert len(layers[-1][1]["scale"]) == 2


def test_one_image_gives_flat_layers(small: xr.Dataset) -> None:
    layers = plugin.map_layer(image_layer(small["image"].values[0]), window=48, step=48, model="dcnn")
    for data, placed, _ in layers:
        assert data.shape == (1, 1)
        assert placed["scale"] == [48, 48]
        assert placed["axis_labels"] == ["y", "x"]


@pytest.mark.parametrize(
    ("about", "shape", "said"),
    [
        ({"rgb": True}, (48, 48), "colour"),
        ({"multiscale": True}, (48, 48), "multiscale"),
        ({"_type_string": "points"}, (48, 2), "points"),
        ({}, (2, 3, 48, 48), "4 axes"),
    ],
)
def test_layers_that_are_no_movie_are_refused(about: dict[str, Any], shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plugin.map_layer(image_layer(np.ones(shape), **about))


def test_movie_layer_of_an_uncalibrated_movie() -> None:
    data, about, kind = plugin.movie_layer(as_movie(np.ones((2, 20, 30))))
    assert (data.shape, kind, about["units"]) == ((2, 20, 30), "image", ["pixel"] * 3)


_WITHOUT_A_SCREEN = """
import sys, time
import numpy as np
import napari, npe2
import napari.viewer, napari._vispy
from napari.layers import Labels, Points
from qtpy.QtWidgets import QApplication

answers = {"get_gl_extensions": lambda: "texture_float", "get_max_texture_sizes": lambda: (4096, 512)}
for name, module in list(sys.modules.items()):  # without a screen there is no OpenGL to ask what it can do
    if name.startswith("napari._vispy"):
        for function in answers.keys() & vars(module).keys():
            setattr(module, function, answers[function])

(store,) = sys.argv[1:]
viewer = napari.Viewer(show=False)
app = QApplication.instance()
assert "bravaismap" in npe2.PluginManager.instance(), "the entry point was not found"


def until(true, seconds=90):
    end = time.time() + seconds
    while not true():
        app.processEvents()
        time.sleep(0.01)
        assert time.time() < end, (widget.message.value, [layer.name for layer in viewer.layers])


viewer.open(store, plugin="bravaismap")
assert len(viewer.layers) >= 12, [layer.name for layer in viewer.layers]
labels = viewer.layers["lattice phase"]
assert tuple(np.round(labels.get_color(4) * 255).astype(int)[:3]) == (0, 158, 115)
assert tuple(map(str, labels.units)) == ("second", "nanometer", "nanometer"), labels.units
viewer.layers.clear()

# Once it was chosen for .zarr in the dialog that napari shows, a result opens by itself.
napari.settings.get_settings().plugins.extension2reader = {"*.zarr/": "bravaismap"}
viewer.open(store, plugin=None)
assert "lattice phase" in viewer.layers
viewer.layers.clear()

viewer.open_sample("bravaismap", "film")
(film,) = viewer.layers
menu = {action.text(): action for action in viewer.window.plugins_menu.actions()}
(entry,) = [action for text, action in menu.items() if "Map lattice phases" in text]
entry.trigger()
(docked,) = viewer.window._wrapped_dock_widgets.values()
widget = docked.inner_widget()
assert widget.layer.value == "simulated film", widget.layer.value
assert widget.window.value == "auto"

widget.window.value = "not a number"
widget.start.native.click()
until(lambda: widget.start.enabled and "whole number" in widget.message.value)
assert len(viewer.layers) == 1

widget.window.value, widget.step.value = "64", 8
widget.start.native.click()
assert (widget.start.enabled, widget.stop.enabled) == (False, True)
until(lambda: widget.progress.value >= 1)
widget.stop.native.click()
until(lambda: widget.start.enabled)
assert widget.message.value == "stopped; nothing was added", widget.message.value
assert len(viewer.layers) == 1

widget.window.value, widget.step.value, widget.sites.value = "128", 64, True
widget.start.native.click()
until(lambda: widget.start.enabled and len(viewer.layers) > 1)
mapped = viewer.layers["simulated film: lattice phase"]
assert isinstance(mapped, Labels)
assert mapped.data.shape == (6, 3, 3), mapped.data.shape
np.testing.assert_allclose(mapped.scale, film.scale * (1, 64, 64))
points = viewer.layers["simulated film: sites"]
assert isinstance(points, Points)
assert points.visible
assert set(points.features["state"]) >= {"occupied", "vacant"}
low, high = points.extent.world
np.testing.assert_allclose(low, film.extent.world[0], atol=0.5)
np.testing.assert_allclose(high, film.extent.world[1], atol=0.5)
viewer.layers.clear()
assert widget.layer.value == "select an image layer"
widget.start.native.click()
assert "no layer is selected" in widget.message.value

viewer.open_sample("bravaismap", "film")
widget.window.value, widget.step.value, widget.sites.value = "64", 8, False
widget.start.native.click()
until(lambda: widget.progress.value >= 1)
viewer.close()
print("closed while it maps")
"""


@pytest.mark.slow
def test_menu_of_napari_without_a_screen(store: Path, tmp_path: Path) -> None:
    pytest.importorskip("napari", reason="napari is not installed (extra napari)")
    qtpy = pytest.importorskip("qtpy", reason="no binding of Qt is installed (extra napari)", exc_type=ImportError)
    assert qtpy.API_NAME
    environment = os.environ | {
        "QT_QPA_PLATFORM": "offscreen",
        "NAPARI_ASYNC": "0",
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "NAPARI_CONFIG": "",
    }
    command = [sys.executable, "-c", _WITHOUT_A_SCREEN, str(store)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "closed while it maps" in done.stdout
