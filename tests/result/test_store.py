"""The result on disk: written frame by frame, continued after anything, and never mistaken for another."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from bravaismap import files
from bravaismap.classify.models import NetworkClassifier
from bravaismap.conventions import CLASSES, UNMAPPED
from bravaismap.errors import InputError, OutputError
from bravaismap.movie import as_movie
from bravaismap.phases.map import map_phases
from bravaismap.result import frame_files, zarr_store
from bravaismap.result.card import card_difference
from bravaismap.result.open import open_result
from bravaismap.result.phase_map import PhaseMap, mapped_frames
from bravaismap.result.schema import map_variables
from bravaismap.result.store import ResultStore

FRAMES, NY, NX = 4, 2, 3
VARIABLES = map_variables(cells=False)
CARD = {"model": "m", "samples": 30, "window": 64, "pixel_size_nm": None, "frame_size": [80, 96]}
COORDS = {
    "time": xr.DataArray(np.arange(FRAMES) * 2.25, dims="time", attrs={"units": "s", "long_name": "time"}),
    "y": xr.DataArray(0.02 * np.arange(NY), dims="y", attrs={"units": "nm", "long_name": "y of the window centre"}),
    "x": xr.DataArray(0.02 * np.arange(NX), dims="x", attrs={"units": "nm", "long_name": "x of the window centre"}),
    "lattice": xr.DataArray(list(CLASSES), dims="lattice"),
}


def frame(index: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(index)
    sizes = {"y": NY, "x": NX, "lattice": 6}
    return {
        v.name: (rng.random([sizes[d] for d in v.dims[1:]]) * (6 if v.name == "label" else 1)).astype(v.dtype)
        for v in VARIABLES
    }


def store(path: Path, card: dict[str, Any] | None = None, *, frames: int = FRAMES, **options: bool) -> ResultStore:
    with ResultStore(path, COORDS, CARD if card is None else card, **options) as made:
        for index in range(frames):
            if not made.done[index]:
                made.write_frame(index, frame(index))
    return made


def refused(path: Path, *parts: str, card: dict[str, Any] | None = None, **options: bool) -> None:
    with pytest.raises((OutputError, InputError)) as error:
        ResultStore(path, COORDS, CARD if card is None else card, **options)
    assert "\n" not in str(error.value)
    for part in (str(path), *parts):
        assert part in str(error.value), error.value


def test_what_was_written_is_read(tmp_path: Path) -> None:
    store(tmp_path / "r.zarr")
    result = open_result(tmp_path / "r.zarr")
    assert isinstance(result, PhaseMap)
    assert list(result.data_vars) == [variable.name for variable in VARIABLES]
    for variable in VARIABLES:
        read = result[variable.name]
        assert (read.dims, read.dtype) == (variable.dims, np.dtype(variable.dtype))
        assert read.attrs.items() >= variable.attributes.items()
        np.testing.assert_array_equal(read, [frame(i)[variable.name] for i in range(FRAMES)])
    for dim in ("time", "y", "x"):
        np.testing.assert_array_equal(result[dim], COORDS[dim])
        assert result[dim].attrs == COORDS[dim].attrs
    assert result["lattice"].values.tolist() == list(CLASSES)
    assert result.attrs == CARD
    assert result.sel(lattice="none")["fraction"].shape == (FRAMES,)


def test_opened_lazily(tmp_path: Path) -> None:
    store(tmp_path / "r.zarr")
    assert not open_result(tmp_path / "r.zarr")["probability"]._in_memory


def test_other_programs_open_it_without_a_warning(tmp_path: Path) -> None:
    store(tmp_path / "r.zarr", frames=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = xr.open_zarr(tmp_path / "r.zarr", consolidated=False)
        open_result(tmp_path / "r.zarr").load()
    assert plain["lattice"].attrs["flag_meanings"].split() == list(CLASSES)
    assert list(plain["lattice"].attrs["flag_values"]) == list(range(6)) == plain["lattice"].values.tolist()
    assert plain["label"].attrs["flag_meanings"].split() == list(CLASSES)
    assert plain["frame_done"].values.tolist() == [1, 1, 0, 0]
    assert json.loads(plain.attrs["run_card"]) == CARD
    np.testing.assert_array_equal(plain["probability"][1], frame(1)["probability"])


def test_a_block_of_frames_is_one_file_of_each_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr_store, "_SMALL_FRAME", 30)
    store(tmp_path / "r.zarr")
    group = zarr.open_group(tmp_path / "r.zarr", mode="r")
    for variable in VARIABLES:
        array = group[variable.name]
        large = array[0].nbytes > 30
        assert (array.shards, array.chunks) == ((array.shape, (1, *array.shape[1:])) if large else (None, array.shape))
        assert sum(path.is_file() for path in (tmp_path / "r.zarr" / variable.name / "c").rglob("*")) == 1
    assert {group[variable.name].shards is None for variable in VARIABLES} == {True, False}
    assert not list((tmp_path / "r.zarr").rglob("*.safetensors"))


def test_blocks_are_short_where_frames_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr_store, "_BLOCK_BYTES", 3 * NY * NX * 6 * 4)  # probabilities of three frames
    made = ResultStore(tmp_path / "r.zarr", COORDS, CARD)
    for index in (3, 0, 1):
        made.write_frame(index, frame(index))
    held = {path.name for path in (tmp_path / "r.zarr").rglob("*.safetensors")}
    assert held == {"0.safetensors", "1.safetensors"}  # the block of frame 3 alone is complete
    made.write_frame(2, frame(2))
    assert not list((tmp_path / "r.zarr").rglob("*.safetensors"))
    assert mapped_frames(open_result(tmp_path / "r.zarr")).all()


def test_unfinished_result_says_what_it_has(tmp_path: Path) -> None:
    store(tmp_path / "r.zarr", frames=3)
    result = open_result(tmp_path / "r.zarr")
    assert mapped_frames(result).tolist() == [True, True, True, False]
    assert np.isnan(result["probability"][3]).all()
    assert (result["label"].values[3] == UNMAPPED).all()
    assert "fraction at 4.5 s" in repr(result)


# Continued


@pytest.mark.parametrize("frames", range(FRAMES))
def test_continued_is_equal_to_uninterrupted(tmp_path: Path, frames: int) -> None:
    store(tmp_path / "whole.zarr")
    store(tmp_path / "parts.zarr", frames=frames)
    with ResultStore(tmp_path / "parts.zarr", COORDS, CARD) as again:
        assert again.done.tolist() == [True] * frames + [False] * (FRAMES - frames)
    store(tmp_path / "parts.zarr")
    xr.testing.assert_identical(
        open_result(tmp_path / "parts.zarr").load(), open_result(tmp_path / "whole.zarr").load()
    )


def test_frame_that_was_not_finished_is_done_again(tmp_path: Path) -> None:
    store(tmp_path / "r.zarr", frames=1)
    zarr.open_group(tmp_path / "r.zarr")["probability"][1] = 9.0  # the crash came before the mark
    with ResultStore(tmp_path / "r.zarr", COORDS, CARD) as again:
        assert again.done.tolist() == [True, False, False, False]
    store(tmp_path / "r.zarr")
    np.testing.assert_array_equal(open_result(tmp_path / "r.zarr")["probability"][1], frame(1)["probability"])


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_map_interrupted_anywhere_and_continued(quick: NetworkClassifier, tmp_path: Path, stop: int) -> None:
    film = np.random.default_rng(0).integers(0, 99, (4, 40, 40))
    options: dict[str, Any] = {"window": 32, "step": 8, "model": quick, "samples": 10, "seed": 3}
    whole = map_phases(film, output=tmp_path / "whole.zarr", **options)

    def interrupt(done: int, _: int) -> None:
        if done >= stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_phases(film, output=tmp_path / "parts.zarr", progress=interrupt, **options)
    kept = int(mapped_frames(open_result(tmp_path / "parts.zarr")).sum())
    assert kept >= stop  # what was mapped while a frame was written is written, too
    steps: list[int] = []
    parts = map_phases(film, output=tmp_path / "parts.zarr", progress=lambda done, _: steps.append(done), **options)
    assert (steps[0], steps[-1]) == (kept, 4)
    assert steps == sorted(steps)
    xr.testing.assert_identical(parts.load(), whole.load())
    memory = map_phases(film, **options)
    xr.testing.assert_equal(memory, whole)
    assert memory.attrs == whole.attrs
    assert not list(tmp_path.glob(".*"))


# Refused


def test_complete_result_is_not_made_again(tmp_path: Path) -> None:
    store(tmp_path / "r.zarr")
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "r.zarr").rglob("*") if path.is_file()}
    before = open_result(tmp_path / "r.zarr").load()
    assert ResultStore(tmp_path / "r.zarr", COORDS, CARD).done.all()
    xr.testing.assert_identical(open_result(tmp_path / "r.zarr").load(), before)
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_a_result_without_pixels_is_not_called_damaged_when_pixels_are_asked_for(tmp_path: Path) -> None:
    store(tmp_path / "r.zarr", frames=2)
    asked = map_variables(cells=False, pixels=True)
    with pytest.raises(OutputError, match=r"made differently \(--no-pixels there, pixels 3 px apart now\)"):
        ResultStore(tmp_path / "r.zarr", COORDS, CARD | {"pixel_step": 3}, variables=asked)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"samples": 100}, "(--samples 30 there, 100 now)"),
        ({"pixel_size_nm": 0.02}, "(--pixel-size not given there, 0.02 nm now)"),
        ({"model": "n", "window": 32}, "(--window 64 px there, 32 px now, --model m there, n now)"),
        ({"pixel_step": 2}, "(--no-pixels there, pixels 2 px apart now)"),
        ({"new": 1}, "(new: not given there, 1 now)"),
        ({"input_sha256": "b" * 64}, "(the pixels of the movie)"),
        ({"weights_sha256": "b" * 64}, "(the weights of the model)"),
        ({"input_sha256": "b" * 64, "crop": "0:9,0:9"}, "(--crop not given there, 0:9,0:9 now)"),
        ({"input_sha256": "b" * 64, "frame_size": [4, 5]}, "(the size of a frame: 80 × 96 px there, 4 × 5 px now)"),
    ],
)
def test_result_made_differently_is_not_continued(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    store(tmp_path / "r.zarr", frames=2)
    refused(tmp_path / "r.zarr", "made differently", said, "--overwrite", card=CARD | change)
    assert open_result(tmp_path / "r.zarr").attrs == CARD
    assert card_difference(CARD, dict(CARD)) == ""
    assert card_difference(CARD, CARD | {"window_reason": "ten cells", "nan": "fill", "input": "elsewhere.tif"}) == ""


def test_difference_of_two_drift_tracks_is_told_in_words() -> None:
    track = {"dy_px": [0.0] * 90, "dx_px": [0.0, *[2.0] * 89], "area_px": [0, 60, 2, 64], "max_shift_px": 8.0}
    other = track | {"dx_px": [*[0.0] * 89, -1.1]}
    assert card_difference({"drift": track}, {"drift": other}) == "drift: 90 frames, up to 3.1 px apart"
    wider = card_difference({"drift": track}, {"drift": other | {"max_shift_px": 12.0}})
    assert wider == "drift: 90 frames, up to 3.1 px apart, largest shift 8.0 px there, 12.0 px now"
    shorter = {name: [0.0] * 4 for name in ("dy_px", "dx_px")}
    assert card_difference({"drift": track}, {"drift": shorter}) == "drift: 90 frames there, 4 now"
    assert card_difference({"drift": track}, {}) == "drift: followed there, not followed now"
    assert card_difference({}, {"drift": track}) == "drift: not followed there, followed now"


def test_overwritten_when_asked(tmp_path: Path) -> None:
    store(tmp_path / "r.zarr")
    made = ResultStore(tmp_path / "r.zarr", COORDS, CARD | {"samples": 7}, overwrite=True)
    assert not made.done.any()
    assert open_result(tmp_path / "r.zarr").attrs["samples"] == 7
    ResultStore(tmp_path / "new.zarr", COORDS, CARD, overwrite=True)


@pytest.mark.parametrize("kind", ["folder", "empty", "file", "zarr", "array"])
def test_nothing_else_is_overwritten(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "other.zarr"
    if kind == "file":
        path.write_text("precious")
    elif kind == "zarr":
        xr.Dataset({"a": ("x", [1.0])}).to_zarr(path, zarr_format=3, consolidated=False)
    elif kind == "array":
        zarr.save_array(path, np.ones(3))
    else:
        path.mkdir()
        if kind == "folder":
            (path / "precious.txt").write_text("precious")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    refused(path, "not a result")
    refused(path, "not a result", overwrite=True)
    assert path.exists()
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file" / "r.zarr", "cannot be written", "-o")
    assert (tmp_path / "file").read_text() == ""


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with ResultStore(tmp_path / "r.zarr", COORDS, CARD) as made:
        made.write_frame(0, frame(0))
        with monkeypatch.context() as patched:
            patched.setattr(frame_files, "_put", full)
            with pytest.raises(OutputError, match=r"r\.zarr.*the disk is full.*the same command continues"):
                made.write_frame(1, frame(1))
    assert made.done.tolist() == [True, False, False, False]
    assert store(tmp_path / "r.zarr").done.all()


def test_discarded_only_when_empty_and_new(tmp_path: Path) -> None:
    made = store(tmp_path / "new.zarr", frames=0)
    assert made.path.exists()
    made.discard_if_empty()
    assert not made.path.exists()
    begun = store(tmp_path / "begun.zarr", frames=1)
    begun.discard_if_empty()
    assert open_result(begun.path)["fraction"].shape == (FRAMES, 6)
    store(tmp_path / "old.zarr", frames=0)
    ResultStore(tmp_path / "old.zarr", COORDS, CARD).discard_if_empty()  # another run's: left alone
    assert (tmp_path / "old.zarr").exists()


# Opened


def test_what_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "text.zarr").write_text("no")
    (tmp_path / "empty.zarr").mkdir()
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=False)
    for name, part in [
        ("no", "no such result"),
        ("text", "not a result"),
        ("empty", "not a result"),
        ("other", "not a result"),
    ]:
        with pytest.raises(InputError, match=part) as error:
            open_result(tmp_path / f"{name}.zarr")
        assert f"{name}.zarr" in str(error.value)


@pytest.mark.filterwarnings("ignore:Object at lattice")
def test_damaged_result(tmp_path: Path) -> None:
    store(tmp_path / "r.zarr")
    (tmp_path / "r.zarr" / "lattice" / "zarr.json").unlink()
    with pytest.raises(InputError, match=r"r\.zarr.*damaged.*--overwrite"):
        open_result(tmp_path / "r.zarr")
    store(tmp_path / "s.zarr")
    meta = json.loads((tmp_path / "s.zarr" / "zarr.json").read_text())
    for card in ("{", "[]", '"text"', "3"):
        meta["attributes"]["run_card"] = card
        (tmp_path / "s.zarr" / "zarr.json").write_text(json.dumps(meta))
        with pytest.raises(InputError, match=r"s\.zarr.*run card"):
            open_result(tmp_path / "s.zarr")


def test_calibrated_movie_survives_the_disk(quick: NetworkClassifier, tmp_path: Path) -> None:
    film = as_movie(np.random.default_rng(0).random((2, 40, 40)), pixel_size=0.1, frame_time=0.5)
    options: dict[str, Any] = {"window": 32, "step": 8, "model": quick, "samples": 0}
    read, memory = map_phases(film, output=tmp_path / "r.zarr", **options), map_phases(film, **options)
    xr.testing.assert_equal(read, memory)
    assert read.attrs == memory.attrs
    assert {dim: read[dim].attrs for dim in ("time", "y", "x")} == {
        dim: memory[dim].attrs for dim in ("time", "y", "x")
    }


def test_a_store_that_is_read_on_windows_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to replace a chunk, or to rename a folder, that a reader has open: a moment later it does not."""
    monkeypatch.setattr(files, "WINDOWS", True)
    refusals: dict[str, int] = {}

    def busy(name: str, function: Any) -> Any:
        def refused(*arguments: Any, **options: Any) -> Any:
            refusals[name] = refusals.get(name, 0) + 1
            if refusals[name] % 2:
                raise PermissionError(13, "The process cannot access the file")
            return function(*arguments, **options)

        return refused

    monkeypatch.setattr(frame_files, "os", SimpleNamespace(replace=busy("file", os.replace), listdir=os.listdir))
    monkeypatch.setattr("bravaismap.result.zarr_store.os.rename", busy("folder", os.rename))
    store(tmp_path / "r.zarr")
    store(tmp_path / "r.zarr", overwrite=True)
    monkeypatch.undo()
    assert min(refusals.values()) >= 4
    assert mapped_frames(open_result(tmp_path / "r.zarr")).all()
    assert [path.name for path in tmp_path.iterdir()] == ["r.zarr"]
