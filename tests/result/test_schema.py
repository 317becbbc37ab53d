"""The schema of a result: what is mapped, stored, opened, classified and documented is what it says."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import bravaismap as bm
from bravaismap.classify.models import NetworkClassifier
from bravaismap.conventions import CELL_PARAMETERS, CLASSES, UNMAPPED, length_unit
from bravaismap.errors import InputError
from bravaismap.result.open import open_result
from bravaismap.result.schema import (
    AXES,
    FIXED_SIZES,
    LOOKED,
    MARKS,
    TITLES,
    VARIABLES,
    Variable,
    as_variables,
    axes_of,
    groups_in,
    image_variables,
    map_variables,
    pixel_variables,
    variables_of,
    write_order,
)
from bravaismap.result.store import ResultStore

ROOT = Path(__file__).parents[2]
SIZES = {"time": 2, "y": 2, "x": 3, "lattice": 6, "py": 4, "px": 5} | FIXED_SIZES
COORDS = {
    dim: xr.DataArray(np.arange(SIZES[dim]) * 0.5, dims=dim, attrs={"units": "nm"})
    for dim in ("time", "y", "x", "py", "px")
}
COORDS |= {"lattice": xr.DataArray(list(CLASSES), dims="lattice")}


def write(path: Path, variables: tuple[Variable, ...]) -> None:
    """Write the first frame of a result of ones."""
    with ResultStore(path, COORDS, {"model": "m"}, variables=variables) as store:
        store.write_frame(0, {v.name: np.ones([SIZES[dim] for dim in v.dims[1:]], v.dtype) for v in variables})


def test_names_and_dimensions() -> None:
    names = [variable.name for variable in (*VARIABLES, *MARKS)]
    assert len(set(names)) == len(names)
    for variable in (*VARIABLES, *MARKS):
        assert set(variable.dims) <= {*AXES, *FIXED_SIZES}
        assert variable.dims[0] == "time"
    assert all(variable.long_name for variable in VARIABLES)
    assert {f"{name}{ending}" for name in CELL_PARAMETERS for ending in ("", "_std")} <= set(names)
    assert list(TITLES) == ["entropy", *CELL_PARAMETERS]


@pytest.mark.parametrize("size", [None, 0.02])
def test_lengths_are_in_nm_or_px(size: float | None) -> None:
    unit = length_unit(size)
    assert unit == ("px" if size is None else "nm")
    units = {variable.name: variable.units for variable in map_variables(cells=True, unit=unit)}
    assert [units[name] for name in ("a", "b_std", "basis", "basis_covariance")] == [unit] * 3 + [f"{unit}²"]
    assert {units[name] for name in ("gamma", "orientation_std")} == {"degree"}
    assert not [units for units in units.values() if "length" in units]


def test_variables_of_images_are_those_of_windows() -> None:
    images = {variable.name: variable for variable in image_variables(cells=True)}
    windows = {variable.name for variable in map_variables(cells=True) if "x" in variable.dims}
    whole = {variable.name for variable in LOOKED}
    assert set(images) - whole == windows == {variable.name for variable in VARIABLES if "x" in variable.dims}
    pixels = {variable.name for variable in pixel_variables()}
    undone = {variable.name for variable in VARIABLES if variable.group == "undone"}
    assert {variable.name for variable in VARIABLES} - windows - pixels - undone == {"fraction", "fraction_std"}
    assert not whole & windows
    assert not whole & {variable.name for variable in image_variables(cells=False)}
    assert images["deviation"].dims == ("image", "lattice")
    assert images["basis"].dims == ("image", "vector", "component")
    assert [images[name].dtype for name in ("probability", "label", "a")] == ["float64", "int8", "float32"]


def test_classified_images_hold_what_the_schema_says(quick: NetworkClassifier) -> None:
    image = np.random.default_rng(0).normal(size=(64, 64))
    for model, cells in (("lattice", True), (quick, False)):
        result = bm.classify(image, model=model, samples=0)
        assert list(result.data_vars) == [variable.name for variable in image_variables(cells=cells)]
        for variable in image_variables(cells=cells):
            array = result[variable.name]
            assert (array.dims, array.dtype, array.attrs) == (variable.dims, variable.dtype, variable.attributes)


def test_fraction_is_written_last_and_what_is_missing_shows(tmp_path: Path) -> None:
    variables = map_variables(cells=True, pixels=True, unit="nm")
    assert write_order(variables)[-1].name == "fraction"
    write(tmp_path / "r.zarr", variables)
    stored = zarr.open_group(tmp_path / "r.zarr", mode="r")
    for variable in (*variables, *MARKS):
        blank = np.asarray(stored[variable.name][1])
        expected = UNMAPPED if variable.dtype == "int8" else 0 if variable in MARKS else math.nan
        np.testing.assert_array_equal(blank, np.full(blank.shape, expected, variable.dtype))
        assert tuple(stored[variable.name].metadata.dimension_names) == variable.dims
        attributes = stored[variable.name].attrs.asdict()
        flags = {"flag_values", "flag_meanings"} if variable.name in ("label", "phase") else set()
        assert {key: text for key, text in attributes.items() if key not in flags} == variable.attributes
    opened = open_result(tmp_path / "r.zarr")
    assert list(opened.data_vars) == [variable.name for variable in variables]
    assert variables_of(opened) == variables


def test_a_group_is_whole_or_absent(tmp_path: Path) -> None:
    write(tmp_path / "maps.zarr", map_variables(cells=False))
    assert groups_in(map(str, open_result(tmp_path / "maps.zarr"))) == {"map"}
    without = tuple(v for v in map_variables(cells=True) if v.name != "evidence")
    write(tmp_path / "part.zarr", without)
    with pytest.raises(InputError, match="lacks evidence"):
        open_result(tmp_path / "part.zarr")
    pixels = tuple(v for v in map_variables(cells=True, pixels=True) if v.name != "phase")
    write(tmp_path / "pixels.zarr", pixels)
    with pytest.raises(InputError, match="lacks phase"):
        open_result(tmp_path / "pixels.zarr")


def test_a_result_has_the_axes_of_its_variables() -> None:
    assert list(axes_of(map_variables(cells=True))) == ["time", "y", "x", "lattice"]
    assert axes_of(map_variables(cells=True, pixels=True)) == AXES


def test_what_is_rounded_is_rounded_to_a_power_of_two() -> None:
    for variable in VARIABLES:
        assert variable.quantum == 0 or math.frexp(variable.quantum)[0] == 0.5


def test_values_of_another_type_are_converted_and_others_shared() -> None:
    label, entropy = (v for v in map_variables(cells=False) if v.name in ("label", "entropy"))
    values = {"entropy": np.zeros((1, 2, 3), np.float32), "label": np.ones((1, 2, 3), np.int64)}
    made = xr.Dataset(as_variables((label, entropy), values))
    assert made["label"].dtype == np.int8
    assert np.shares_memory(made["entropy"].values, values["entropy"])


def test_documented_variables_are_those_of_the_schema() -> None:
    text = (ROOT / "docs" / "units.md").read_text(encoding="utf-8")
    table = text.split("## Variables of a result")[1].split("\n\n|")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    expected = [
        [f"`{v.name}`", ", ".join(v.dims), v.units.replace("length²", "nm² or px²").replace("length", "nm or px")]
        for v in VARIABLES
    ]
    assert [row[:3] for row in rows] == expected
    assert [row[3] for row in rows] == [v.long_name for v in VARIABLES]


def test_documented_variables_of_whole_images_are_those_of_the_schema() -> None:
    text = (ROOT / "docs" / "units.md").read_text(encoding="utf-8")
    table = text.split("### Of classified images")[1].split("\n\n|")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert rows == [
        [
            f"`{v.name}`",
            ", ".join(v.dims),
            v.units.replace("length²", "nm² or px²").replace("length", "nm or px"),
            v.long_name,
        ]
        for v in LOOKED
    ]


def test_a_store_of_another_time_is_opened(tmp_path: Path) -> None:
    """One written by hand, as stores were before the schema had a module of its own."""
    path = tmp_path / "old.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.attrs.update({"format": 1, "run_card": json.dumps({"model": "dcnn", "window": 64, "step": 16})})
    flags = {"flag_values": list(range(6)), "flag_meanings": " ".join(CLASSES)}
    for dim, unit in (("time", "s"), ("y", "px"), ("x", "px")):
        values = np.arange(SIZES[dim], dtype=np.float64)
        group.create_array(dim, data=values, chunks=values.shape, dimension_names=(dim,), attributes={"units": unit})
    group.create_array("lattice", data=np.arange(6, dtype=np.int8), dimension_names=("lattice",), attributes=flags)
    windows, classes = ("time", "y", "x"), ("time", "y", "x", "lattice")
    arrays = {"probability": (classes, "float32"), "probability_std": (classes, "float32")}
    arrays |= {"entropy": (windows, "float32"), "mutual_information": (windows, "float32"), "label": (windows, "int8")}
    arrays |= dict.fromkeys(("fraction", "fraction_std"), (("time", "lattice"), "float64"))
    arrays |= {"frame_done": (("time",), "uint8"), "frame_checksum": (("time",), "uint32")}
    for name, (dims, dtype) in arrays.items():
        shape = tuple(SIZES[dim] for dim in dims)
        array = group.create_array(name, shape=shape, chunks=(1, *shape[1:]), dtype=dtype, dimension_names=dims)
        array[:] = 1
    result = open_result(path)
    assert list(result.data_vars) == [variable.name for variable in map_variables(cells=False)]
    assert (result["label"].values == 1).all()
    assert result["lattice"].values.tolist() == list(CLASSES)
    assert result.attrs == {"model": "dcnn", "window": 64, "step": 16}
