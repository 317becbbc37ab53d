"""The structure of a result is checked piece by piece before anything is loaded; each refusal says what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from bravaismap.conventions import CLASSES
from bravaismap.errors import InputError
from bravaismap.result.schema import map_variables
from bravaismap.result.structure import check_card, check_files, check_names, checked_arrays
from bravaismap.result.zarr_store import array_of, create_store, open_group

CARD = {"model": "m", "window": 64, "step": 16, "pixel_size_nm": None, "frame_time_s": 2.25, "frame_size": [80, 96]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a store of four frames of 2 × 3 windows, in which nothing is written yet."""
    coords = {dim: xr.DataArray(0.5 * np.arange(n), dims=dim, attrs={"units": "px"}) for dim, n in (("y", 2), ("x", 3))}
    coords |= {"time": xr.DataArray(np.arange(4.0), dims="time", attrs={"units": "s"})}
    coords |= {"lattice": xr.DataArray(list(CLASSES), dims="lattice")}
    create_store(tmp_path / "r.zarr", coords, CARD, map_variables(cells=True))
    return tmp_path / "r.zarr"


def edit(path: Path, **changes: Any) -> None:
    """Change what the metadata of an array say."""
    about = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    (path / "zarr.json").write_text(json.dumps(about | changes), encoding="utf-8")


def checked(path: Path, *, growing: bool = False) -> dict[str, Any]:
    check_files(path)
    return checked_arrays(open_group(path, "r"), path, growing=growing)


def test_a_sound_store_passes(path: Path) -> None:
    arrays = checked(path)
    assert set(arrays) >= {variable.name for variable in map_variables(cells=True)}
    check_card(CARD, path)
    assert check_names(arrays["lattice"], path) == list(CLASSES)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("window", 0), ("window", True), ("step", "16"), ("step", 1.5), ("pixel_size_nm", -1), ("pixel_size_nm", "a"),
        ("frame_time_s", float("inf")), ("frame_time_s", float("nan")), ("frame_time_s", True), ("frame_size", [80]),
        ("frame_size", [80, 0]), ("frame_size", "80"),
    ],
)  # fmt: skip
def test_cards_that_no_run_was_given(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"its run card has the {key} .*--overwrite") as error:
        check_card(CARD | {key: value}, tmp_path)
    assert "\n" not in str(error.value)


def test_long_values_are_cut_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        check_card(CARD | {"window": "x" * 10_000}, tmp_path)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("name", ["time", "label", "frame_checksum", "basis"])
def test_what_is_missing_is_named(path: Path, name: str) -> None:
    (path / name).rename(path.parent / name)
    with pytest.raises(InputError, match=f"it lacks {name}"):
        checked(path)


def test_cells_are_there_together_or_not_at_all(path: Path) -> None:
    for variable in set(map_variables(cells=True)) - set(map_variables(cells=False)):
        (path / variable.name).rename(path.parent / variable.name)
    assert "basis" not in checked(path)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("entropy", {"shape": [4, 2, 4]}), ("entropy", {"data_type": "float64"}),
        ("entropy", {"dimension_names": ["time", "x", "y"]}), ("label", {"shape": [5, 2, 3]}),
    ],
)  # fmt: skip
def test_arrays_of_another_shape_type_or_order(path: Path, name: str, changes: dict[str, Any]) -> None:
    edit(path / name, **changes)
    with pytest.raises(InputError, match=f"its '{name}' is "):
        checked(path)


def test_only_a_live_result_may_have_more_frames_of_one_variable_than_of_another(path: Path) -> None:
    edit(path / "label", shape=[5, 2, 3])
    assert checked(path, growing=True)["label"].shape == (5, 2, 3)


def test_sizes_that_no_movie_has(path: Path) -> None:
    edit(path / "time", shape=[2_000_000])
    with pytest.raises(InputError, match=r"it declares 2000000 × 2 × 3 × 6 .*more than any movie has"):
        checked(path)


def test_pieces_of_frames_or_of_very_many_are_refused(path: Path) -> None:
    for piece in ([4, 1, 3], [10**6, 2, 3]):
        edit(path / "entropy", chunk_grid={"name": "regular", "configuration": {"chunk_shape": piece}})
        shown = ", ".join(map(str, piece))
        with pytest.raises(InputError, match=rf"its 'entropy' is stored in pieces of \({shown}\), not frame by frame"):
            checked(path)


def test_blocks_of_frames_are_what_they_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bravaismap.result.zarr_store._SMALL_FRAME", 16)
    coords = {dim: xr.DataArray(0.5 * np.arange(n), dims=dim, attrs={"units": "px"}) for dim, n in (("y", 2), ("x", 3))}
    coords |= {"time": xr.DataArray(np.arange(4.0), dims="time", attrs={"units": "s"})}
    coords |= {"lattice": xr.DataArray(list(CLASSES), dims="lattice")}
    path = tmp_path / "r.zarr"
    create_store(path, coords, CARD, map_variables(cells=False))
    assert checked(path)["entropy"].shards == (4, 2, 3)
    about = json.loads((path / "entropy" / "zarr.json").read_text(encoding="utf-8"))["codecs"]
    other = [about[0]["configuration"]["codecs"][0], {"name": "gzip", "configuration": {"level": 1}}]
    for key, value in (("codecs", other), ("index_codecs", other)):
        edit(path / "entropy", codecs=[about[0] | {"configuration": about[0]["configuration"] | {key: value}}])
        with pytest.raises(InputError, match=r"its 'entropy' is stored by .*gzip"):
            checked(path)


@pytest.mark.parametrize("meanings", ["a b c", "a a b c d e", "../x b c d e f", None, 3])
def test_names_of_classes_that_cannot_be(path: Path, meanings: object) -> None:
    group = open_group(path, "r+")
    array_of(group, "lattice").attrs["flag_meanings"] = meanings
    with pytest.raises(InputError, match="its 6 classes are called"):
        check_names(array_of(open_group(path, "r"), "lattice"), path)


def test_units_are_lengths(path: Path) -> None:
    array_of(open_group(path, "r+"), "y").attrs["units"] = "furlong"
    with pytest.raises(InputError, match="its 'y' is in 'furlong', not in nm or px"):
        checked(path)


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
@pytest.mark.parametrize("place", ["zarr.json", "label/zarr.json", "label/c", "time/c/0"])
def test_links_are_not_followed(path: Path, place: str) -> None:
    (path / "label" / "c").mkdir(exist_ok=True)
    (path / place).rename(path.parent / "moved")
    (path / place).symlink_to(path.parent / "moved")
    with pytest.raises(InputError, match=f"its {place} is a link to elsewhere"):
        check_files(path)
