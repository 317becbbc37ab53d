"""The order of the frames of a live run, and what is mapped before it counts as complete."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from bravaismap.classify.models import NetworkClassifier
from bravaismap.classify.settings import Settings
from bravaismap.live import mapping
from bravaismap.live.line_up import LineUp
from bravaismap.live.sources import FolderSource, StackSource
from bravaismap.phases.map import map_movie

MOVIE = np.random.default_rng(0).poisson(20, (6, 40, 44)).astype(np.uint16)


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The frames that were mapped."""
    frames: list[np.ndarray] = []

    def recorded(frame: xr.DataArray, settings: Settings) -> Any:
        phases = map_movie(frame, settings)
        frames.append(frame.values[0])
        return phases

    monkeypatch.setattr(mapping, "map_movie", recorded)
    return frames


class Clock:
    """A clock that is put forward by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def line_up(source: FolderSource | StackSource, model: NetworkClassifier, clock: Clock) -> LineUp:
    return LineUp(Settings(window=32, step=8, samples=0, model=model), source, set(), clock)


def looked(frames: LineUp, clock: Clock, seconds: float) -> list[tuple[str, float]]:
    """Let time pass, and return the frames that are there by then and how long each took by that clock."""
    clock.now += seconds
    found = [(frame.source, clock.now - frame.begun) for frame in frames.finished()]
    while len(frames):
        frames.rest(0.01)
        found += [(frame.source, clock.now - frame.begun) for frame in frames.finished()]
    return found


def waited_for(mapped: list[np.ndarray], count: int) -> None:
    """Wait until so many frames are mapped."""
    for _ in range(3000):
        if len(mapped) >= count:
            time.sleep(0.05)  # for the callback after it
            return
        time.sleep(0.01)
    raise AssertionError(f"{len(mapped)} of {count} frames are mapped")


def after_a_first_frame(folder: Path, model: NetworkClassifier, clock: Clock) -> LineUp:
    """Return the line-up of a folder whose first frame, f0.npy, was mapped once its file had settled."""
    frames = line_up(FolderSource(folder, settle=5.0), model, clock)
    np.save(folder / "f0.npy", MOVIE[0])
    assert looked(frames, clock, 0) == []
    assert [name for name, _ in looked(frames, clock, 6)] == ["f0.npy"]
    return frames


def test_a_frame_is_mapped_before_its_file_counts_as_complete_and_only_once(
    quick: NetworkClassifier, mapped: list[np.ndarray], tmp_path: Path
) -> None:
    clock = Clock()
    frames = after_a_first_frame(tmp_path, quick, clock)
    np.save(tmp_path / "f1.npy", MOVIE[1])
    assert looked(frames, clock, 0) == []
    for _ in range(3):  # the same file is not begun again
        frames.rest(0)
        assert looked(frames, clock, 1) == []
        waited_for(mapped, 2)
    ((name, seconds),) = looked(frames, clock, 6)
    assert name == "f1.npy"
    assert seconds < 5  # what mapping took, not what the file was waited for
    frames.end()
    np.testing.assert_array_equal(mapped, MOVIE[:2])


def test_a_file_that_changes_after_it_was_mapped_early_is_mapped_as_it_is(
    quick: NetworkClassifier, mapped: list[np.ndarray], tmp_path: Path
) -> None:
    clock = Clock()
    frames = after_a_first_frame(tmp_path, quick, clock)
    np.save(tmp_path / "f1.npy", MOVIE[1])
    looked(frames, clock, 0)
    frames.rest(0)
    waited_for(mapped, 2)
    np.save(tmp_path / "f1.npy", MOVIE[2])
    assert looked(frames, clock, 1) == []
    assert [name for name, _ in looked(frames, clock, 6)] == ["f1.npy"]
    frames.end()
    np.testing.assert_array_equal(mapped, MOVIE[:3])


def test_what_cannot_be_read_or_does_not_fit_is_not_mapped_early(
    quick: NetworkClassifier, mapped: list[np.ndarray], tmp_path: Path
) -> None:
    clock = Clock()
    frames = after_a_first_frame(tmp_path, quick, clock)
    for content in (MOVIE[1, :, :40], MOVIE[:2]):  # of another size; several frames
        np.save(tmp_path / "f1.npy", content)
        looked(frames, clock, 0)
        frames.rest(0)
    (tmp_path / "f1.npy").write_bytes((tmp_path / "f0.npy").read_bytes()[:900])
    looked(frames, clock, 0)
    frames.rest(0)
    frames.end()
    np.testing.assert_array_equal(mapped, MOVIE[:1])


def test_the_last_frame_of_a_stack_is_mapped_early(
    quick: NetworkClassifier, mapped: list[np.ndarray], tmp_path: Path
) -> None:
    clock, path = Clock(), tmp_path / "stack.npy"
    frames = line_up(StackSource(path, settle=5.0), quick, clock)
    np.save(path, MOVIE[:2])
    assert [name for name, _ in looked(frames, clock, 0)] == ["stack.npy [0]"]
    assert looked(frames, clock, 0) == []
    frames.rest(0)
    waited_for(mapped, 2)
    assert [name for name, _ in looked(frames, clock, 6)] == ["stack.npy [1]"]
    np.save(path, np.concatenate([MOVIE[:2], 0 * MOVIE[:1]]))  # a blank frame is not there yet
    looked(frames, clock, 0)
    frames.rest(0)
    frames.end()
    np.testing.assert_array_equal(mapped, MOVIE[:2])
