"""Frames mapped on a cluster: the same answers, the weights sent once, and workers that die."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster

from bravaismap.classify.models import NetworkClassifier
from bravaismap.errors import InputError
from bravaismap.phases import cluster as module
from bravaismap.phases.cluster import mapped_on_cluster
from bravaismap.phases.frame import FrameMapper, MappedFrame
from bravaismap.phases.map import map_phases
from bravaismap.result.open import open_result
from bravaismap.result.phase_map import mapped_frames
from bravaismap.simulate.windows import simulate

FRAMES = 8
OPTIONS: dict[str, Any] = {"window": 64, "step": 32}


@pytest.fixture(scope="module")
def film() -> np.ndarray:
    """Return eight frames of 128 px."""
    return simulate(FRAMES, "realistic", seed=3)["image"].values


@pytest.fixture(scope="module")
def two() -> Iterator[LocalCluster]:
    """Start a cluster of two workers, in threads of this process."""
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as made:
        yield made


@dataclass
class Counted:
    """Stands for a mapper with weights; writes down where it is unpacked."""

    log: str
    seconds: float = 0.0

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        with Path(self.log).open("a", encoding="utf-8") as file:
            file.write("unpacked\n")

    def __call__(self, index: int, pixels: np.ndarray) -> MappedFrame:
        time.sleep(self.seconds)
        return MappedFrame({"sum": pixels.sum()}, index == 3)


@pytest.mark.parametrize("lazy", [False, True])
def test_same_as_in_this_process(film: np.ndarray, two: LocalCluster, tmp_path: Path, lazy: bool) -> None:
    movie = da.from_array(film, chunks=(3, 128, 128)) if lazy else film
    here = map_phases(film, **OPTIONS)
    there = map_phases(movie, scheduler=two.scheduler_address, output=tmp_path / "r.zarr", **OPTIONS)
    xr.testing.assert_allclose(there.load(), here, rtol=0, atol=1e-6)
    xr.testing.assert_equal(there["label"], here["label"])
    assert there.attrs == here.attrs


def test_network_and_its_fractions(film: np.ndarray, quick: NetworkClassifier, two: LocalCluster) -> None:
    options = OPTIONS | {"model": quick, "samples": 10, "seed": 4}
    seen: list[tuple[int, int]] = []
    there = map_phases(
        film, scheduler=two.scheduler_address, progress=lambda *step: seen.append(step), **options
    )  # fmt: skip
    xr.testing.assert_allclose(there, map_phases(film, **options), rtol=0, atol=1e-6)
    assert seen == [(done, FRAMES) for done in range(1, FRAMES + 1)]


def test_an_unfinished_result_is_continued(film: np.ndarray, two: LocalCluster, tmp_path: Path) -> None:
    def interrupt(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    options = OPTIONS | {"output": tmp_path / "r.zarr", "scheduler": two.scheduler_address}
    with pytest.raises(KeyboardInterrupt):
        map_phases(film, progress=interrupt, **options)
    assert 3 <= mapped_frames(open_result(tmp_path / "r.zarr")).sum() <= 5  # two frames may wait to be written
    xr.testing.assert_allclose(map_phases(film, **options).load(), map_phases(film, **OPTIONS), rtol=0, atol=1e-6)
    with Client(two, set_as_default=False) as client:
        plugins = client.run(
            lambda dask_worker: [name for name in dask_worker.plugins if name.startswith("bravaismap")]
        )
    assert all(names == [] for names in plugins.values())


def test_frames_that_cannot_be_mapped_are_an_error_of_the_user(film: np.ndarray, two: LocalCluster) -> None:
    damaged = film.astype(np.float32)
    damaged[5, 0, 0] = np.nan
    movie = da.from_array(damaged, chunks=(1, 128, 128))
    with pytest.raises(InputError, match=r"1 NaN.*frame 5.*--nan fill"):
        map_phases(movie, scheduler=two.scheduler_address, nan="raise", **OPTIONS)


def test_a_constant_frame_is_said(film: np.ndarray, two: LocalCluster) -> None:
    film = film.copy()
    film[3] = 1
    with pytest.warns(UserWarning, match="1 frame is constant"):
        map_phases(film, scheduler=two.scheduler_address, **OPTIONS)


def test_what_mapping_takes_is_sent_once_to_each_worker(two: LocalCluster, tmp_path: Path) -> None:
    frames = ((index, np.full((4, 5), index)) for index in range(20))
    mapper = Counted(str(tmp_path / "log"))
    found = dict(mapped_on_cluster(mapper, frames, scheduler=two.scheduler_address))
    assert {index: int(frame.variables["sum"]) for index, frame in found.items()} == {i: 20 * i for i in range(20)}
    assert [index for index, frame in found.items() if frame.constant] == [3]
    assert (tmp_path / "log").read_text().count("unpacked") == 2


def test_frames_are_taken_as_they_are_needed(two: LocalCluster, tmp_path: Path) -> None:
    taken = []

    def frames() -> Iterator[tuple[int, np.ndarray]]:
        for index in range(30):
            taken.append(index)
            yield index, np.zeros((2, 2))

    mapped = mapped_on_cluster(Counted(str(tmp_path / "log")), frames(), scheduler=two.scheduler_address)
    for count in range(1, 6):
        next(mapped)
        assert len(taken) <= 4 + count
    mapped.close()


def test_clusters_that_cannot_be(film: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", "1s")
    for options, part in [
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "either the address of a scheduler or a number"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "no scheduler answers at tcp://127.0.0.1:1; start one"),
        ({"scheduler": "carrier pigeon"}, "no scheduler answers at carrier pigeon"),
    ]:
        with pytest.raises(InputError, match=part):
            map_phases(film, **OPTIONS, **options)


def test_workers_of_another_version_are_refused() -> None:
    plugin = module._MapperPlugin(Counted("none"))
    plugin.setup(None)
    plugin.version = "0.0.1"
    with pytest.raises(InputError, match=rf"worker tcp://x has bravaismap {version('bravaismap')}, expected 0\.0\.1"):
        plugin.setup(type("Worker", (), {"address": "tcp://x"}))


def test_a_mapper_can_be_pickled(film: np.ndarray, quick: NetworkClassifier) -> None:
    from bravaismap.windows import window_grid

    mapper = FrameMapper(window_grid((128, 128), 64, 32), quick, 10, 0, None)
    again = pickle.loads(pickle.dumps(mapper))(0, film[0]).variables
    for name, values in mapper(0, film[0]).variables.items():
        np.testing.assert_array_equal(again[name], values)
