"""Safety of a result: whatever stops a run at any write, the same command ends with what an uninterrupted run gives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import _local

from bravaismap.classify.models import NetworkClassifier
from bravaismap.conventions import CLASSES
from bravaismap.errors import OutputError
from bravaismap.phases.map import map_phases
from bravaismap.result import frame_files, zarr_store
from bravaismap.result.checksum import frame_checksum
from bravaismap.result.open import open_result
from bravaismap.result.phase_map import mapped_frames
from bravaismap.result.schema import map_variables
from bravaismap.result.store import ResultStore
from bravaismap.result.stored import written_frames
from bravaismap.result.zarr_store import create_store

FRAMES = 3
CARD = {"model": "m", "version": "0.1.0", "samples": 30}
SIZES = {"time": FRAMES, "y": 2, "x": 3, "lattice": 6}
VARIABLES = map_variables(cells=False)
COORDS = {dim: xr.DataArray(np.arange(SIZES[dim]) * 0.5, dims=dim, attrs={"units": "px"}) for dim in ("time", "y", "x")}
COORDS |= {"lattice": xr.DataArray(list(CLASSES), dims="lattice")}


class Killed(BaseException):
    """Stands for the end of the process: nothing that catches errors sees it."""


def frame(index: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(index)
    return {
        variable.name: (9 * rng.random([SIZES[d] for d in variable.dims[1:]])).astype(variable.dtype)
        for variable in VARIABLES
    }


def write(path: Path, **options: Any) -> None:
    with ResultStore(path, COORDS, CARD, variables=VARIABLES, **options) as made:
        for index in np.flatnonzero(~made.done):
            made.write_frame(int(index), frame(int(index)))


def done(path: Path) -> list[int]:
    return np.flatnonzero(written_frames(path)).tolist()


@pytest.fixture(scope="module", autouse=True)
def two_blocks() -> Iterator[None]:
    """Store two frames in a block, which leaves a block of one, and probabilities as chunks of their own in it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(zarr_store, "_MOST_TOGETHER", 2)
        patched.setattr(zarr_store, "_SMALL_FRAME", 100)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    path = tmp_path_factory.mktemp("whole") / "r.zarr"
    write(path)
    return open_result(path).load()


@contextmanager
def failing(number: int, error: BaseException | None, *, named: bool = False) -> Iterator[list[int]]:
    """Let the n-th write to disk fail, after its file has its name or before; yields a counter of the writes.

    A disk stays full, and a process that is killed leaves the file half written.
    """
    of_zarr, of_frames, count = _local._put, frame_files._put, [0]

    def write_or_fail(put: Callable[..., Any], path: Path, *arguments: Any, **options: Any) -> Any:
        count[0] += 1
        if error is None or count[0] < number:
            return put(path, *arguments, **options)
        if count[0] > number:
            raise error
        if named:
            put(path, *arguments, **options)
        elif isinstance(error, Killed):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".half.partial").write_bytes(b"half")
        raise error

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_local, "_put", partial(write_or_fail, of_zarr))
        patched.setattr(frame_files, "_put", partial(write_or_fail, of_frames))
        yield count


FULL, HALF, NAMED = (OSError(28, "No space left on device"), False), (Killed(), False), (Killed(), True)


@pytest.mark.parametrize(
    "ways",
    [
        (FULL, HALF, NAMED),
        pytest.param((HALF, NAMED, FULL), marks=pytest.mark.slow),
        pytest.param((NAMED, FULL, HALF), marks=pytest.mark.slow),
    ],
)
def test_failure_at_every_write(
    tmp_path: Path, whole: xr.Dataset, ways: tuple[tuple[BaseException, bool], ...]
) -> None:
    with failing(0, None) as count:
        write(tmp_path / "counted.zarr")
    finished = set()
    for number in range(1, count[0] + 1):
        path = tmp_path / str(number) / "r.zarr"
        error, named = ways[number % 3]
        with failing(number, error, named=named), pytest.raises((OutputError, Killed)):
            write(path)
        if path.exists():
            finished.add(len(done(path)))
            found = open_result(path).load()
            for index in done(path):
                xr.testing.assert_equal(found.isel(time=index), whole.isel(time=index))
            assert set(done(path)) <= set(np.flatnonzero(mapped_frames(found)))
        write(path)
        xr.testing.assert_identical(open_result(path).load(), whole)
        assert [entry.name for entry in path.parent.iterdir()] == ["r.zarr"]
        assert not [*path.rglob("*.partial"), *path.rglob("*.safetensors")]
    assert finished >= {FRAMES - 1, FRAMES}
    assert len(finished) >= FRAMES  # of the four numbers of frames that may be finished


# Damage


def damage(path: Path, how: str) -> None:
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)


def files_of(path: Path, name: str) -> list[Path]:
    """Return the files of the first block of a variable."""
    chunk = path / name / "c" / "0"
    return [file for file in (chunk, *chunk.rglob("*")) if file.is_file()]


def continued(path: Path) -> tuple[list[bool], list[str]]:
    """Make what is missing of a result; return which frames were there, and what was said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with ResultStore(path, COORDS, CARD, variables=VARIABLES) as again:
            there = again.done.tolist()
            for index in np.flatnonzero(~again.done):
                again.write_frame(int(index), frame(int(index)))
    return there, [str(warning.message) for warning in caught]


@pytest.mark.parametrize("how", ["missing", "empty", "half", "flipped"])
@pytest.mark.parametrize("name", [*(variable.name for variable in VARIABLES), "frame_checksum", "frame_done"])
def test_damaged_frames_are_found_and_made_again(tmp_path: Path, whole: xr.Dataset, name: str, how: str) -> None:
    path = tmp_path / "r.zarr"
    write(path)
    (chunk,) = files_of(path, name)
    damage(chunk, how)
    there, said = continued(path)
    assert there[2]
    assert not all(there)
    assert all("damaged (frame " in text and "not what was written), mapped again" in text for text in said)
    assert len(said) == (name != "frame_done")  # a frame without its mark is one that was not finished
    xr.testing.assert_identical(open_result(path).load(), whole)
    assert not list(path.rglob("*.safetensors"))


def test_a_frame_that_is_large_is_damaged_alone(tmp_path: Path, whole: xr.Dataset) -> None:
    path = tmp_path / "r.zarr"
    write(path)
    (shard,) = files_of(path, "probability")
    content = bytearray(shard.read_bytes())
    content[2] ^= 4  # within the first of two frames
    shard.write_bytes(content)
    there, said = continued(path)
    assert there == [False, True, True]
    assert said == [f"{path}: 1 frame is damaged (frame 0: not what was written), mapped again"]
    xr.testing.assert_identical(open_result(path).load(), whole)


@pytest.mark.parametrize("how", ["missing", "empty", "half", "flipped"])
def test_damaged_file_of_a_frame(tmp_path: Path, whole: xr.Dataset, how: str) -> None:
    path = tmp_path / "r.zarr"
    killed = ResultStore(path, COORDS, CARD, variables=VARIABLES)
    for index in (1, 2):
        killed.write_frame(index, frame(index))
    del killed
    assert done(path) == [1, 2]
    damage(path / "frame_done" / "1.safetensors", how)
    found = open_result(path).load()
    xr.testing.assert_equal(found.isel(time=2), whole.isel(time=2))
    there, said = continued(path)
    assert there == [False, False, True]
    assert len(said) == (how != "missing")
    xr.testing.assert_identical(open_result(path).load(), whole)


def test_result_of_an_earlier_version_is_read_and_continued(
    tmp_path: Path, whole: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each frame of each variable was a file of its own, and a frame was done when its mark was."""
    path = tmp_path / "old.zarr"
    with monkeypatch.context() as patched:
        patched.setattr(zarr_store, "_MOST_TOGETHER", 1)
        create_store(path, COORDS, CARD, VARIABLES)
    group = zarr.open_group(path)
    for index in (0, 2):
        for name, values in frame(index).items():
            group[name][index] = values
        group["frame_checksum"][index] = frame_checksum(frame(index))
        group["frame_done"][index] = 1
    assert (path / "label" / "c" / "2" / "0" / "0").is_file()
    found = open_result(path).load()
    assert mapped_frames(found).tolist() == [True, False, True]
    for index in (0, 2):
        xr.testing.assert_equal(found.isel(time=index), whole.isel(time=index))
    damage(path / "label" / "c" / "2" / "0" / "0", "half")
    assert continued(path)[0] == [True, False, False]
    xr.testing.assert_identical(open_result(path).load(), whole)
    assert not list(path.rglob("*.safetensors"))


@pytest.mark.parametrize("name", ["time", "y", "x", "lattice"])
def test_damaged_coordinate_is_written_again(tmp_path: Path, whole: xr.Dataset, name: str) -> None:
    path = tmp_path / "r.zarr"
    write(path)
    damage(path / name / "c" / "0", "half")
    write(path)
    xr.testing.assert_identical(open_result(path).load(), whole)


def test_metadata_that_is_gone(tmp_path: Path) -> None:
    write(tmp_path / "r.zarr")
    (tmp_path / "r.zarr" / "label" / "zarr.json").unlink()
    with pytest.raises(OutputError, match=r"r\.zarr exists and is damaged.*label.*--overwrite"):
        write(tmp_path / "r.zarr")
    write(tmp_path / "r.zarr", overwrite=True)


# Another writer, another version


def test_second_writer_is_refused(tmp_path: Path, whole: xr.Dataset) -> None:
    path = tmp_path / "r.zarr"
    with ResultStore(path, COORDS, CARD, variables=VARIABLES) as first:
        first.write_frame(0, frame(0))
        for options in ({}, {"overwrite": True}):
            with pytest.raises(OutputError, match=rf"r\.zarr is being written by process {os.getpid()}"):
                ResultStore(path, COORDS, CARD, variables=VARIABLES, **options)
        first.write_frame(1, frame(1))
        first.write_frame(2, frame(2))
    xr.testing.assert_identical(open_result(path).load(), whole)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "0.2.0"}, "version: 0.1.0 there, 0.2.0 now"),
        ({"input_sha256": "b"}, "differently \\(the pixels of the movie\\)"),
    ],
)
def test_another_version_or_movie_is_refused(tmp_path: Path, change: dict[str, str], said: str) -> None:
    with ResultStore(tmp_path / "r.zarr", COORDS, CARD, variables=VARIABLES) as made:
        made.write_frame(0, frame(0))
    with pytest.raises(OutputError, match=said):
        ResultStore(tmp_path / "r.zarr", COORDS, CARD | change, variables=VARIABLES)
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.zarr"]


def test_replaced_only_when_the_new_one_stands(tmp_path: Path, whole: xr.Dataset) -> None:
    path = tmp_path / "r.zarr"
    write(path)
    for number in (1, 5, 12):
        with failing(number, OSError(28, "No space left on device")), pytest.raises(OutputError, match="disk is full"):
            ResultStore(path, COORDS, CARD, variables=VARIABLES, overwrite=True)
        xr.testing.assert_identical(open_result(path).load(), whole)
        assert [entry.name for entry in tmp_path.iterdir()] == ["r.zarr"]
    for ending in (".partial", ".replaced"):
        (tmp_path / f".r.zarr.123{ending}" / "time").mkdir(parents=True)
    write(path, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.zarr"]


# A real process, killed

MAP: dict[str, Any] = {"window": 32, "step": 8, "samples": 20}  # as in repeated_kills.py


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no fork on this system")
def test_killed_at_random_and_continued(quick: NetworkClassifier, weights: Path, tmp_path: Path) -> None:
    movie = np.random.default_rng(5).integers(0, 99, (80, 40, 40)).astype(np.uint8)
    np.save(tmp_path / "movie.npy", movie)
    map_phases(movie[:2], model=quick, output=tmp_path / "part.zarr", **MAP)
    started = time.monotonic()
    map_phases(movie[:20], model=quick, output=tmp_path / "part.zarr", overwrite=True, **MAP)
    per_frame = (time.monotonic() - started) / 20
    arguments = [tmp_path / "movie.npy", weights, tmp_path / "r.zarr", 10, per_frame]
    killing = subprocess.run(
        [sys.executable, Path(__file__).with_name("repeated_kills.py"), *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert killing.returncode == 0, killing.stderr
    assert 5 < int(killing.stdout) < len(movie)
    path = tmp_path / "r.zarr"
    before = done(path)
    assert set(before) <= set(np.flatnonzero(mapped_frames(open_result(path))))
    steps: list[int] = []
    found = map_phases(movie, model=quick, output=path, progress=lambda now, _: steps.append(now), **MAP).load()
    assert steps[0] == len(before)
    xr.testing.assert_equal(found, map_phases(movie, model=quick, **MAP))
    assert not list(path.rglob("*.partial"))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["movie.npy", "part.zarr", "r.zarr"]
