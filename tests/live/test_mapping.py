"""Frames of a live run mapped side by side, by this process and by others."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable

import numpy as np
import psutil
import pytest
import xarray as xr

from bravaismap.classify.models import NetworkClassifier
from bravaismap.classify.settings import Settings
from bravaismap.errors import BravaismapWarning, InputError
from bravaismap.live import mapping as module
from bravaismap.live.mapping import Mappers, frame_map
from bravaismap.movie import as_movie

STARTER = os.getpid()


def numbered(number: int) -> xr.DataArray:
    return as_movie(np.full((40, 44), number))


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that says in how many further processes frames are to be mapped."""

    def given(count: int) -> None:
        monkeypatch.setattr(module, "processes_for", lambda waiting, *_: 1 + (count if waiting > 1 else 0))

    return given


def test_without_others_frames_are_mapped_here_one_after_another() -> None:
    at_once, most = threading.Semaphore(1), []

    def told(frame: xr.DataArray, _: Settings) -> int:
        most.append(at_once.acquire(blocking=False))
        at_once.release()
        return int(frame.max())

    mappers = Mappers(Settings(), told)  # type: ignore[arg-type]
    futures = [mappers.begin(numbered(i)) for i in range(20)]
    assert [future.result() for future in futures] == list(range(20))
    assert all(most)
    assert mappers.most() == 2
    mappers.end()


def test_an_error_is_that_of_its_frame() -> None:
    def told(frame: xr.DataArray, _: Settings) -> int:
        if frame.max() == 1:
            raise InputError("1 NaN")
        return int(frame.max())

    mappers = Mappers(Settings(), told)  # type: ignore[arg-type]
    futures = [mappers.begin(numbered(i)) for i in range(3)]
    assert (futures[0].result(), futures[2].result()) == (0, 2)
    with pytest.raises(InputError, match="1 NaN"):
        futures[1].result()
    mappers.end()


@pytest.mark.slow
def test_a_process_maps_what_this_one_does_and_ends_with_it(
    quick: NetworkClassifier, others: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "fork", raising=False)  # each is a new interpreter, as on Windows and macOS
    others(1)
    settings = Settings(window=32, step=8, samples=5, model=quick)
    frames = [as_movie(frame) for frame in np.random.default_rng(0).poisson(20, (3, 40, 44))]
    frames[2] = frames[2] * 0
    there: list[int] = []

    def told(frame: xr.DataArray, settings: Settings) -> xr.Dataset:
        phases = frame_map(frame, settings)
        return phases.assign_attrs(pid=os.getpid())

    before = {process.pid for process in psutil.Process().children()}
    mappers = Mappers(settings, told)  # type: ignore[arg-type]
    mappers.start_others(frames[0], 1)
    assert mappers.most() == 2
    mappers.start_others(frames[0], 9)
    mappers.start_others(frames[0], 9)  # which is there, or starts
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        while len(set(there)) < 2:
            futures = [mappers.begin(frame) for frame in frames[:2] * 2]
            for future, frame in zip(futures, frames[:2] * 2, strict=True):
                phases = future.result()
                there.append(phases.attrs.pop("pid"))
                xr.testing.assert_identical(phases, frame_map(frame, settings))
    assert STARTER in there
    assert mappers.most() == 3
    with pytest.warns(BravaismapWarning, match="1 frame is constant"):
        busy = [mappers.begin(frame).result for frame in (frames[0], frames[2])][1]()  # by the other: this one is busy
    assert busy.attrs["pid"] != STARTER
    mappers.end()
    assert {process.pid for process in psutil.Process().children()} == before


@pytest.mark.slow
def test_frames_of_a_process_that_dies_are_mapped_here(others: Callable[[int], None]) -> None:
    others(2)
    starter = STARTER

    def told(frame: xr.DataArray, _: Settings) -> int:
        if os.getpid() != starter and frame.max() > 0:
            os._exit(9)
        return int(frame.max())

    mappers = Mappers(Settings(window=32, step=8), told)  # type: ignore[arg-type]
    mappers.start_others(numbered(0), 9)
    seen = []
    while mappers.most() < 4 or len(mappers._idle) < 3:
        assert mappers.begin(numbered(0)).result() == 0
    for i in range(1, 40):
        seen.append([mappers.begin(numbered(i)).result() for i in (i, i + 1, i + 2)])
    assert seen == [[i, i + 1, i + 2] for i in range(1, 40)]
    mappers.end()
