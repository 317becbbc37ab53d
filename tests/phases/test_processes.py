"""Frames mapped by processes of this computer: the same answers to the last bit, and processes that die."""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import xarray as xr

from bravaismap.classify.settings import Settings
from bravaismap.compute.parallel import one_thread
from bravaismap.errors import InputError
from bravaismap.movie import as_movie
from bravaismap.phases import processes as module
from bravaismap.phases.frame import MappedFrame
from bravaismap.phases.map import map_movie, map_phases
from bravaismap.phases.processes import mapped_in_processes, processes_for
from bravaismap.simulate.windows import simulate
from bravaismap.windows import window_grid

GIGABYTE = 10**9


@dataclass
class Planned:
    """Stands for a mapper whose frames have so many windows."""

    step: int
    device: str = "cpu"
    pixel_step: int | None = 2

    @property
    def grid(self) -> Any:
        return window_grid((512, 512), 128, self.step)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that gives this computer so many cores and so much memory."""

    def given(cores: int, memory: int = 64 * GIGABYTE) -> None:
        for name in module._THREADS:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(module, "CPU_COUNT", cores)
        monkeypatch.setattr(module, "MEMORY_LIMIT", memory)
        monkeypatch.setattr(module.psutil, "virtual_memory", lambda: type("Memory", (), {"available": memory}))

    return given


@pytest.fixture
def others() -> set[int]:
    """Processes that other tests have left, such as the tracker of shared memory."""
    return {process.pid for process in psutil.Process().children()}


def started_here(others: set[int]) -> set[int]:
    return {process.pid for process in psutil.Process().children()} - others


def test_a_movie_is_mapped_in_as_many_processes_as_map_it_soonest(machine: Any) -> None:
    size, mapper = (512, 512), Planned(16)
    for cores in (2, 4, 16):
        machine(cores)
        assert processes_for(1600, size, mapper) == cores
        assert processes_for(1, size, mapper) == 1
        assert processes_for(1600, size, Planned(16, device="cuda")) == 1
    machine(2)
    assert processes_for(16, size, mapper) == 1  # two threads share windows: 12 s against 3 + 10 s
    assert processes_for(40, size, mapper) == 2
    machine(16)
    assert processes_for(8, size, mapper) == 8  # no more than frames
    assert processes_for(90, size, mapper) in (15, 16)
    assert processes_for(2, size, Planned(64, pixel_step=None)) == 1  # mapped before a process is there
    machine(1)
    assert processes_for(1600, size, mapper) == 1
    machine(16, 3 * GIGABYTE)
    assert processes_for(1600, size, mapper) == 4
    machine(16, GIGABYTE // 10)
    assert processes_for(1600, size, mapper) == 1
    machine(16, 20 * GIGABYTE)
    assert processes_for(1600, (4096, 4096), mapper) == 2  # their pixels take 5 GB each
    assert processes_for(1600, (4096, 4096), Planned(16, pixel_step=None)) == 16


def test_nothing_forks() -> None:
    """Training and streams start no process; `map` and `watch` start interpreters, alike on every system."""
    package = Path(module.__file__).parents[1]
    starts = ("multiprocessing", "ProcessPool", "DataLoader", "os.fork", "subprocess.Popen")
    starting = {path for path in package.rglob("*.py") if any(way in path.read_text("utf-8") for way in starts)}
    assert starting == {Path(module.__file__)}


@pytest.mark.parametrize(
    ("system", "own"), [("linux", "process_group"), ("darwin", "process_group"), ("win32", "creationflags")]
)
def test_a_process_is_a_new_interpreter_that_ctrl_c_does_not_reach(
    system: str, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[list[str], dict[str, Any]]] = []

    class Popen:
        stdin = stdout = io.BytesIO()

        def __init__(self, command: list[str], **options: Any) -> None:
            started.append((command, options))

    monkeypatch.setattr(module.sys, "platform", system)
    monkeypatch.setattr(module.subprocess, "Popen", Popen)
    for flag, name in enumerate(("CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW")):
        monkeypatch.setattr(module.subprocess, name, 1 << flag, raising=False)
    module.MapperProcess()
    ((command, options),) = started
    assert command[0] == sys.executable
    assert "serve()" in command[-1]
    assert {"process_group", "creationflags"} & options.keys() == {own}
    assert options[own] == (3 if system == "win32" else 0)
    assert options["env"]["OMP_NUM_THREADS"] == "1"


def test_cores_are_as_many_as_the_user_says(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(16)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with one_thread():
        assert processes_for(1600, (512, 512), Planned(16)) == 1
    assert torch.get_num_threads() >= 1


def test_what_cannot_be_is_an_error_of_the_user() -> None:
    for workers in (0, -1):
        with pytest.raises(InputError, match=f"{workers} workers were asked for; expected at least 1"):
            map_phases(np.zeros((1, 64, 64)), window=64, workers=workers)


@pytest.mark.slow
def test_same_to_the_last_bit_in_any_number_of_processes(
    tmp_path: Path, others: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "fork", raising=False)  # each is a new interpreter, as on Windows and macOS
    film = simulate(5, "realistic", seed=3)["image"].values
    film[3] = 1
    movie, settings = as_movie(film), Settings(window=64, step=32)
    said: list[str] = []
    with one_thread(), pytest.warns(UserWarning, match="1 frame is constant"):
        expected = map_phases(film, window=64, step=32)
    for workers in (1, 3):
        with pytest.warns(UserWarning, match="1 frame is constant"):
            result = map_movie(
                movie, settings, workers=workers, output=tmp_path / f"{workers}.zarr", tell=said.append
            )  # fmt: skip
        xr.testing.assert_equal(result.load(), expected)
    assert said == ["1 process of one thread each", "3 processes of one thread each"]
    assert started_here(others) == set()


@pytest.mark.slow
def test_processes_that_die_are_replaced(tmp_path: Path, others: set[int]) -> None:
    log = str(tmp_path / "log")

    class Mortal:
        def __call__(self, index: int, pixels: np.ndarray) -> MappedFrame:
            print("this is no answer")
            with open(log, "a+", encoding="utf-8") as file:
                file.seek(0)
                before = file.read().split()
                file.write(f"{index} ")
            if index in (1, 4) and str(index) not in before:
                os._exit(9)
            return MappedFrame({"sum": pixels.sum()}, constant=False)

    frames = ((index, np.full((300, 400), index)) for index in range(6))
    mapped = dict(mapped_in_processes(Mortal(), frames, 2))
    assert {index: int(frame.variables["sum"]) for index, frame in mapped.items()} == {i: i * 120_000 for i in range(6)}
    assert started_here(others) == set()


@pytest.mark.slow
def test_a_frame_that_kills_every_process_is_named() -> None:
    class Deadly:
        def __call__(self, index: int, pixels: np.ndarray) -> MappedFrame:
            os._exit(1)

    with pytest.raises(InputError, match=r"frame 7: each process that mapped it died.*--workers"):
        list(mapped_in_processes(Deadly(), iter([(7, np.zeros((2, 2)))]), 1))


@pytest.mark.slow
@pytest.mark.parametrize(("error", "raised"), [(InputError("1 NaN"), InputError), (None, RuntimeError)])
def test_errors_arrive_and_end_all_processes(
    error: Exception | None, raised: type[Exception], others: set[int]
) -> None:
    class Failing:
        def __call__(self, index: int, pixels: np.ndarray) -> MappedFrame:
            class LocalError(Exception):  # cannot be sent
                pass

            raise error or LocalError("1 NaN")

    with pytest.raises(raised, match="1 NaN"):
        list(mapped_in_processes(Failing(), ((i, np.zeros((2, 2))) for i in range(9)), 2))
    assert started_here(others) == set()


@pytest.mark.slow
def test_frames_are_taken_as_they_are_needed_and_processes_ended_when_nobody_asks(others: set[int]) -> None:
    class Sum:
        def __call__(self, index: int, pixels: np.ndarray) -> MappedFrame:
            return MappedFrame({"sum": pixels.sum()}, constant=False)

    taken = []

    def frames() -> Iterator[tuple[int, np.ndarray]]:
        for index in range(30):
            taken.append(index)
            yield index, np.zeros((2, 2))

    mapped = mapped_in_processes(Sum(), frames(), 2)
    for count in range(1, 6):
        next(mapped)
        assert len(taken) <= 2 + module._WAITING + count
    mapped.close()
    assert started_here(others) == set()


SCRIPT = """
import sys
import numpy as np
import bravaismap as bm
movie = np.random.default_rng(1).normal(size=(3 if len(sys.argv) < 2 else 4000, 64, 64))
result = bm.map_phases(movie, window=32, step=16, workers=2, progress=lambda done, _: print(done, flush=True))
"""


def test_a_process_whose_starter_dies_while_it_tells_it_what_to_do_ends_without_a_word() -> None:
    program = [sys.executable, "-c", "from bravaismap.phases.processes import serve; serve()"]
    ended = subprocess.run(program, input=pickle.dumps("a mapper")[:-4], capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.slow
def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=200)
    assert done.stdout.split() == ["1", "2", "3"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, getattr(signal, "SIGKILL", signal.SIGTERM)])
@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is no signal on this system")
def test_processes_end_with_the_one_that_started_them(tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # the tests themselves may run in the background
    with subprocess.Popen(
        [sys.executable, script, "long"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heeding
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "1\n"
        started = psutil.Process(running.pid).children()
        assert len(started) == 2
        running.send_signal(number)
        said = running.stderr.read()
        running.wait(60)
    assert said.count("Traceback") == (number == signal.SIGINT)  # of the script, and of no process
    until = time.monotonic() + 20
    while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in started):
        assert time.monotonic() < until
        time.sleep(0.05)
