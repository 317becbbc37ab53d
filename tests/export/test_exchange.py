"""A result in the formats of other programs: what is written opens there, with the values, axes and units it had."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
import xarray as xr

import bravaismap as bm
from bravaismap.conventions import CLASSES
from bravaismap.errors import OutputError
from bravaismap.export.exchange import export_hspy, export_netcdf, export_ome_tiff, signal_dictionary, uniform_step


@pytest.fixture(scope="module")
def store(small: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exchange") / "film.zarr"
    bm.map_phases(small["image"], window=32, step=6, samples=2, output=path)
    return path


@pytest.fixture(scope="module")
def result(store: Path) -> xr.Dataset:
    return bm.open_result(store)


def test_plain_xarray_opens_a_result_without_a_warning(store: Path, result: xr.Dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = xr.open_zarr(store).load()
    assert plain["lattice"].attrs["flag_meanings"].split() == list(CLASSES)
    for name in result.data_vars:
        np.testing.assert_array_equal(plain[name], result[name])
    assert json.loads(plain.attrs["run_card"]) == result.attrs


@pytest.mark.parametrize("engine", ["h5netcdf", None])
def test_netcdf(result: xr.Dataset, tmp_path: Path, engine: str | None) -> None:
    (path,) = export_netcdf(result, tmp_path / "new")
    assert path == tmp_path / "new" / "result.nc"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = xr.open_dataset(path, engine=engine).load()
    assert set(back.variables) == set(result.variables)
    for name in result.data_vars:
        assert back[name].dims == result[name].dims
        assert back[name].dtype == result[name].dtype
        np.testing.assert_array_equal(back[name], result[name])
    for dim in ("time", "y", "x"):
        np.testing.assert_array_equal(back[dim], result[dim])
        assert back[dim].attrs["units"] == result[dim].attrs["units"]
    for name in ("lattice", "label"):
        assert back[name].attrs["flag_meanings"].split() == list(CLASSES)
        assert back[name].attrs["flag_values"].tolist() == list(range(6))
    assert json.loads(back.attrs["run_card"]) == result.attrs
    back.close()
    assert export_netcdf(result, tmp_path / "new") == [path]  # replaced


def ome_pixels(path: Path) -> tuple[Any, list[Any], list[Any], np.ndarray]:
    with warnings.catch_warnings(), tifffile.TiffFile(path) as tif:
        warnings.simplefilter("error")
        assert tif.is_ome
        pixels = next(e for e in ElementTree.fromstring(tif.ome_metadata).iter() if e.tag.endswith("}Pixels"))
        below = {kind: [e for e in pixels if e.tag.endswith(kind)] for kind in ("}Channel", "}Plane")}
        return pixels.attrib, below["}Channel"], below["}Plane"], tif.asarray()


def test_ome_tiff(result: xr.Dataset, tmp_path: Path) -> None:
    labels, probabilities = export_ome_tiff(result, tmp_path)
    assert [labels.name, probabilities.name] == ["labels.ome.tif", "probabilities.ome.tif"]
    about, channels, planes, values = ome_pixels(probabilities)
    expected = result["probability"].transpose("time", "lattice", "y", "x")
    np.testing.assert_array_equal(values, expected)
    assert [channel.attrib["Name"] for channel in channels] == list(CLASSES)
    assert int(channels[3].attrib["Color"]) % 2**32 == 0x009E73FF
    assert int(channels[1].attrib["Color"]) % 2**32 == 0xE69F00FF
    for letter in ("X", "Y"):
        step = float(result[letter.lower()][1] - result[letter.lower()][0])
        assert float(about[f"PhysicalSize{letter}"]) == step
        assert about[f"PhysicalSize{letter}Unit"] == "nm"
        assert {float(plane.attrib[f"Position{letter}"]) for plane in planes} == {float(result[letter.lower()][0])}
    assert (float(about["TimeIncrement"]), about["TimeIncrementUnit"]) == (2.25, "s")
    assert [about[f"Size{letter}"] for letter in "TCYX"] == ["3", "6", "4", "4"]
    about, channels, _, values = ome_pixels(labels)
    np.testing.assert_array_equal(values, result["label"])
    assert (values.dtype, [channel.attrib["Name"] for channel in channels]) == (np.int8, ["label"])
    again = bm.read(probabilities, dataset="channel 3")
    np.testing.assert_array_equal(again, result["probability"].sel(lattice="hexagonal"))
    assert again["x"].attrs["units"] == "nm"


def test_ome_tiff_of_a_map_without_scale_and_with_one_window(small: xr.Dataset, tmp_path: Path) -> None:
    result = bm.map_phases(small["image"].values[:1], window=48, step=16, samples=0)
    result["label"][0] = -1
    labels, probabilities = export_ome_tiff(result, tmp_path)
    about, _, planes, values = ome_pixels(probabilities)
    assert values.shape == (6, 1, 1)
    assert "PhysicalSizeX" not in about
    assert "TimeIncrement" not in about
    assert (planes[0].attrib["PositionX"], planes[0].attrib["PositionXUnit"]) == ("23.5", "pixel")
    assert ome_pixels(labels)[3].item() == -1


def test_planes_are_the_signal_of_windows_and_of_pixels() -> None:
    for dims in (("time", "y", "x"), ("time", "py", "px")):
        about = signal_dictionary(xr.DataArray(np.zeros((2, 3, 4)), dims=dims))
        assert [axis["name"] for axis in about["axes"] if not axis["navigate"]] == list(dims[1:])


def test_hspy(result: xr.Dataset, tmp_path: Path) -> None:
    written = {path.name: path for path in export_hspy(result, tmp_path)}
    assert "basis_covariance.hspy" not in written
    assert {"probability.hspy", "label.hspy", "fraction.hspy", "a.hspy", "deviation_std.hspy"} < set(written)
    hs = pytest.importorskip("hyperspy.api", reason="HyperSpy is not installed (extra hyperspy)")
    signal = hs.load(written["probability.hspy"], lazy=True)
    np.testing.assert_array_equal(signal.data, result["probability"].transpose("time", "lattice", "y", "x"))
    assert [axis.name for axis in signal.axes_manager.navigation_axes] == ["lattice", "time"]
    x, y = signal.axes_manager.signal_axes
    assert (x.units, y.units) == ("nm", "nm")
    for axis in (x, y):  # the last window ends at the edge
        assert not axis.is_uniform
        np.testing.assert_allclose(axis.axis, result[axis.name])
    assert list(signal.original_metadata.bravaismap.lattice) == list(CLASSES)
    assert json.loads(signal.original_metadata.bravaismap.run_card) == result.attrs
    curve = hs.load(written["fraction.hspy"])
    assert curve.axes_manager.signal_axes[0].name == "time"
    np.testing.assert_array_equal(curve.data, result["fraction"].transpose("lattice", "time"))
    labels = bm.read(written["label.hspy"])
    np.testing.assert_array_equal(labels, result["label"])


@pytest.mark.parametrize("export", [export_hspy, export_netcdf, export_ome_tiff])
def test_what_cannot_be_written(result: xr.Dataset, tmp_path: Path, export: Callable[..., list[Path]]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        export(result, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("export", [export_hspy, export_netcdf, export_ome_tiff])
def test_what_fails_leaves_nothing(
    result: xr.Dataset, tmp_path: Path, export: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("bravaismap.files.put_in_place", full)
    with pytest.raises(OutputError, match="free some space"):
        export(result, tmp_path)
    assert not list(tmp_path.iterdir())


def test_steps() -> None:
    assert uniform_step([1.0, 1.5, 2.0]) == 0.5
    assert uniform_step(np.arange(1000) * 0.1 + 3.3) == pytest.approx(0.1)
    assert uniform_step([0, 1, 2, 2.5]) is None
    assert uniform_step([4.0]) is None
    assert uniform_step([4.0, 4.0]) is None
    assert uniform_step([0.0, np.nan, 2.0]) is None


def test_on_the_command_line(run: Callable[..., Any], store: Path, tmp_path: Path) -> None:
    done = run("export", store, "-o", tmp_path / "out", "--ome-tiff", "--netcdf")
    assert done.code == 0, done.err
    names = ["film_labels.ome.tif", "film_probabilities.ome.tif", "film_result.nc"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert all(name in done.out for name in names)
    done = run("export", store, "-o", tmp_path / "hspy", "--hspy")
    assert done.code == 0, done.err
    assert len(list((tmp_path / "hspy").iterdir())) == 30


def test_plain_xarray_opens_a_result_that_was_continued(small: xr.Dataset, tmp_path: Path) -> None:
    path = tmp_path / "film.zarr"

    def stop(done: int, _: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bm.map_phases(small["image"], window=48, samples=0, output=path, progress=stop)
    for finish in (False, True):
        if finish:
            bm.map_phases(small["image"], window=48, samples=0, output=path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            plain = xr.open_zarr(path).load()
        assert np.isfinite(plain["probability"].values).all() == finish
