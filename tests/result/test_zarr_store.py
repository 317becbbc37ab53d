"""The zarr store of a result: made whole or not at all, in no other's place, and cleared of leftovers."""

from __future__ import annotations

import errno
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from bravaismap.conventions import CLASSES
from bravaismap.errors import InputError, OutputError
from bravaismap.result import zarr_store
from bravaismap.result.schema import CHECKSUM, DONE, map_variables
from bravaismap.result.zarr_store import (
    array_of,
    create_store,
    dims_of,
    locked,
    open_group,
    remove_leftovers,
    write_axes,
    write_problem,
    writing,
)

COORDS = {dim: xr.DataArray(0.5 * np.arange(n), dims=dim, attrs={"units": "px"}) for dim, n in (("y", 2), ("x", 3))}
COORDS |= {"time": xr.DataArray(np.arange(4.0), dims="time", attrs={"units": "s", "long_name": "time"})}
COORDS |= {"lattice": xr.DataArray(list(CLASSES), dims="lattice")}
VARIABLES = map_variables(cells=False)


def made(path: Path, **card: Any) -> Path:
    create_store(path, COORDS, {"model": "m"} | card, VARIABLES)
    return path


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_new_store_has_every_variable_and_no_frame(tmp_path: Path) -> None:
    group = open_group(made(tmp_path / "r.zarr"), "r")
    assert {name for name, _ in group.arrays()} == {*COORDS, *(v.name for v in VARIABLES), DONE, CHECKSUM}
    for variable in VARIABLES:
        array = array_of(group, variable.name)
        assert dims_of(array) == variable.dims
        assert array.dtype == np.dtype(variable.dtype)
        assert array.chunks == array.shape  # all four frames
        values = array[:]
        assert (np.isnan(values) if array.dtype.kind == "f" else values == -1).all()
    assert not np.asarray(array_of(group, DONE)[:]).any()
    assert names(tmp_path) == ["r.zarr"]


def test_any_reader_of_zarr_finds_axes_and_classes(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = xr.open_zarr(made(tmp_path / "r.zarr"))
    np.testing.assert_array_equal(plain["x"], COORDS["x"])
    assert plain["time"].attrs["units"] == "s"
    assert plain["lattice"].attrs["flag_meanings"].split() == list(CLASSES)
    assert plain["lattice"].values.tolist() == plain["lattice"].attrs["flag_values"] == list(range(6))


def test_an_old_result_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    path = made(made(tmp_path / "r.zarr"), model="other")
    assert names(tmp_path) == ["r.zarr"]
    zarr.open_group(tmp_path / "foreign.zarr", mode="w")
    (tmp_path / "file.zarr").write_text("mine")
    for name in ("foreign.zarr", "file.zarr"):
        with pytest.raises(OutputError, match=rf"{name} exists and is not a result"):
            made(tmp_path / name)
    assert (tmp_path / "file.zarr").read_text() == "mine"
    assert open_group(path, "r").attrs["format"] == 1


@pytest.mark.parametrize("step", ["before it is complete", "while the old one steps aside", "while the new one comes"])
def test_what_fails_leaves_the_old_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = made(tmp_path / "r.zarr")
    (path / "old").touch()
    rename, calls = os.rename, []

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fail_at(source: Any, target: Any) -> None:
        calls.append(target)
        if len(calls) == (1 if "old" in step else 2):
            fail()
        rename(source, target)

    with monkeypatch.context() as patched:
        if step == "before it is complete":
            patched.setattr(zarr_store, "write_axes", fail)
        else:
            patched.setattr(zarr_store.os, "rename", fail_at)
        with pytest.raises(OSError, match="No space left"):
            made(path)
    assert (path / "old").exists()
    assert names(tmp_path) == ["r.zarr"]


def test_what_is_no_result_is_told(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "group.zarr", mode="w")
    zarr.save_array(tmp_path / "array.zarr", np.arange(3))
    for name, part in (
        ("no.zarr", "not a result"),
        ("group.zarr", "a zarr store, but"),
        ("array.zarr", "not a result"),
    ):
        with pytest.raises(InputError, match=rf"{name}: .*{part}") as error:
            open_group(tmp_path / name, "r")
        assert "\n" not in str(error.value)
    group = open_group(made(tmp_path / "r.zarr"), "r")
    with pytest.raises(KeyError):
        array_of(group, "nothing")
    (tmp_path / "r.zarr" / "inner").mkdir()
    zarr.open_group(tmp_path / "r.zarr" / "inner", mode="w")
    with pytest.raises(TypeError, match="inner is no array"):
        array_of(open_group(tmp_path / "r.zarr", "r"), "inner")


def test_axes_are_written_where_they_are_damaged_and_only_there(tmp_path: Path) -> None:
    path = made(tmp_path / "r.zarr")
    chunks = {dim: next((path / dim / "c").iterdir()) for dim in ("y", "x")}
    chunks["x"].write_bytes(b"damaged")
    before = chunks["y"].stat().st_mtime_ns
    write_axes(open_group(path, "r+"), COORDS)
    np.testing.assert_array_equal(array_of(open_group(path, "r"), "x")[:], COORDS["x"])
    assert chunks["y"].stat().st_mtime_ns == before


def test_leftovers_of_this_store_alone_are_removed(tmp_path: Path) -> None:
    made(tmp_path / "r.zarr")
    kept = [".r.zarr.lock", ".other.zarr.7.partial", ".r.zarr.notes", "r.zarr"]
    for name in (*kept[:3], ".r.zarr.12.partial", ".r.zarr.12.replaced"):
        (tmp_path / name).mkdir()
    remove_leftovers(tmp_path / "r.zarr")
    assert names(tmp_path) == sorted(kept)


def test_lock_is_kept_unless_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "new" / "r.zarr"
    with pytest.raises(ZeroDivisionError), locked(path):
        _ = 1 // 0
    with locked(path) as lock:
        pass
    with pytest.raises(OutputError), locked(path):
        pytest.fail("two writers")
    lock.release()
    with locked(path) as lock:
        lock.release()


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "permission denied"), (errno.EIO, "error")]
)
def test_a_failure_to_write_is_one_line(number: int, said: str) -> None:
    error = OSError(number, os.strerror(number))
    assert write_problem(Path("r.zarr"), error, "do this").startswith("r.zarr: cannot be written (")
    with (
        pytest.raises(OutputError, match=rf"r\.zarr: cannot be written \(.*{said}.*\); do this$"),
        writing(Path("r.zarr"), "do this"),
    ):
        raise error
