"""The command line with options drawn at random: an answer or one line, no traceback, nothing half written.

Some draws are files or folders, some have no permission, some are nonsense, none is more than a few frames of work.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bravaismap as bm
from bravaismap.conventions import CLASSES

#: Commands tried; more by hand, for a long run.
EXAMPLES = int(os.environ.get("BRAVAISMAP_FUZZ", "60"))
SEED = os.environ.get("BRAVAISMAP_FUZZ_SEED", "1")
SECONDS = 60  # for a command
MEMORY = 4_000_000_000  # bytes more than there are
NUMBERS = (
    "0",
    "1",
    "2",
    "3",
    "-1",
    "-5",
    "0.5",
    "1e9",
    "-1e300",
    "1e400",
    "nan",
    "inf",
    "2147483648",
    "99999999999999999999",
)
NONSENSE = (
    "",
    " ",
    "x",
    "no/such/file",
    "..",
    "/",
    "\x00",
    "\x1b[31m",
    "[red]",
    "é" * 300,
    "-",
    "--",
    "a:b",
    "0:1,0:1",
    "*",
)

#: Options that say which part of a movie is read.
PART = {"--channel": "word", "--frames": "frames", "--crop": "region", "--bin": "count"}
#: Options by command, and what kind of value they take.
OPTIONS = {
    "classify": {
        "--model": "model", "--distortion": "percent", "--samples": "count", "--seed": "number", "--csv": "output",
        "--preprocessing": "word", "--pixel-size": "number", "--dataset": "word", "--nan": "nan", "--json": None,
        "--quiet": None, **PART,
    },
    "map": {
        "-o": "output", "--window": "count", "--step": "number", "--model": "model", "--distortion": "percent",
        "--samples": "count", "--seed": "number", "--pixel-size": "number", "--frame-time": "number",
        "--dataset": "word", "--nan": "nan", "--unmix": "count", "--align": None, "--max-shift": "number",
        "--overwrite": None, "--scheduler": "word", "--json": None, "--quiet": None, "--no-pixels": None, **PART,
    },
    "motif": {
        "-o": "output", "--frame": "count", "--distortion": "percent", "--systematic": "number",
        "--pixel-size": "number", "--dataset": "word", "--json": None, "--quiet": None, "--channel": "word",
        "--crop": "region", "--bin": "count",
    },
    "export": {
        "-o": "output", "--csv": None, "--strain": None, "--reference": "region", "--domains": None, "--hspy": None,
        "--movie": "input", "--dataset": "word", "--fps": "number", "--ome-tiff": None, "--netcdf": None,
        "--quiet": None, **PART,
    },
    "fit": {
        "--baseline": "region", "--law": "word", "--movie": "input", "--lattice": "word", "-o": "output",
        "--dose-rate": "number", "--beam-current": "number", "--bootstrap": "count", "--onset": None,
        "--voids": "count", "--pixel-size": "number", "--frame-time": "number", "--threshold": "number",
        "--json": None, "--quiet": None, **PART,
    },
    "beam": {
        "--element": "word", "--energy": "number", "--displacement-energy": "number", "--dose": "number",
        "--dose-rate": "number", "--json": None, "--quiet": None,
    },
    "evaluate": {
        "--model": "model", "--distortion": "percent", "--samples": "count", "--seed": "number", "--csv": "output",
        "--figures": "output", "--quiet": None,
    },
    "simulate": {
        "-o": "output", "-n": "count", "--size": "count", "--kind": "word", "--seed": "number", "--overwrite": None,
        "--recipes": "input", "--quiet": None,
    },
    "models": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of inputs, good and bad."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    film = bm.simulate_film(3, 48, seed=1)["image"]
    np.save(folder / "film.npy", film.values)
    np.save(folder / "image.npy", film.values[0])
    np.save(folder / "nan.npy", np.where(rng.random((2, 48, 48)) < 0.01, np.nan, 1.0))
    np.save(folder / "flat.npy", np.ones((2, 48, 48)))
    np.save(folder / "small.npy", np.ones((9, 9)))
    np.save(folder / "stopped.npy", np.where(np.arange(48)[:, None] < 30, film.values[0], np.nan))
    np.save(folder / "never.npy", np.full((2, 48, 48), np.nan))
    np.save(folder / "a [1].npy", film.values[0])
    np.save(folder / "line.npy", np.ones(9))
    np.savez(folder / "windows.npz", image=film.values, label=np.arange(3), classes=list(CLASSES))
    (folder / "text.tif").write_text("no image")
    (folder / "empty.h5").write_bytes(b"")
    (folder / "folder").mkdir()
    (folder / "folder" / "notes.txt").write_text("notes")
    bm.map_phases(film, window=32, step=8, samples=0, output=folder / "good.zarr")
    bm.map_phases(film[:1], window=32, step=8, samples=0, output=folder / "one.zarr")
    (folder / "closed").mkdir()
    np.save(folder / "closed" / "film.npy", film.values)
    return folder


def value_of(kind: str, rng: random.Random, files: Path, out: Path) -> str:
    """Draw a value for an option."""
    if rng.random() < 0.1:
        return rng.choice(NONSENSE)
    if kind == "input":
        names = (
            "film.npy",
            "image.npy",
            "good.zarr",
            "one.zarr",
            *(path.name for path in files.iterdir()),
            "missing.npy",
        )
        return str(files / rng.choice(names))
    if kind == "output":
        return str(
            rng.choice(
                (out / "a", out / "deep" / "a.csv", out / "file" / "a", out / "closed" / "a", files / "film.npy" / "a")
            )
        )
    if kind == "model":
        return rng.choice(("default", "lattice", "dcnn", "dcnn-2018", "none", str(files / "film.npy")))
    if kind == "count":
        return rng.choice(("0", "2", "3", "16", "32", "-1", "1", "x", "1.5", "99999999999999999999"))
    if kind == "percent":
        return rng.choice(("2%", "0.5 %", "0.02", "0", "200%", "-1%", "%", "nan%", *NUMBERS))
    if kind == "nan":
        return rng.choice(("raise", "fill", "missing", "drop"))
    if kind == "frames":
        return rng.choice(("0", "1:", ":2", "::2", "-1", "9:", "2:1", "0:9:0", "a", "1:2:3:4", "99999999999999999999"))
    if kind == "region":
        return rng.choice(
            (
                "0:1,0:1",
                "0:5",
                ":,:",
                "5:1",
                "nan:nan",
                "a:b,c:d",
                "-1:-2,0:1e300",
                "1e9:2e9,0:1",
                ",",
                "2:40,:",
                "0:1,0:1nm",
                ":40,5:45px",
            )
        )
    if kind == "word":
        return rng.choice(
            ("none", "hexagonal", "film", "simulated", "exponential", "paper", "S", "W", "0", "tcp://x:y")
        )
    return rng.choice(NUMBERS)


def drawn(rng: random.Random, files: Path, out: Path) -> list[str]:
    """Draw a command."""
    command = rng.choice(
        ("classify", "map", "map", "export", "export", "fit", "motif", "beam", "evaluate", "simulate", "models")
    )
    line = [command]
    if command not in ("beam", "models", "simulate") or rng.random() < 0.1:
        line.append(value_of("input", rng, files, out))
    options = OPTIONS[command]
    for name in rng.sample(sorted(options), min(len(options), rng.choice((0, 1, 1, 2, 3, 5)))):
        kind = options[name]
        line += [name] if kind is None else [name, value_of(kind, rng, files, out)]
    if command == "map":  # a default window is larger than these frames
        line += [] if "--window" in line else ["--window", "32"]
        line += [] if "-o" in line else ["-o", str(out / "film.zarr")]
    if command == "export" and not {"-o"} & {*line}:
        line += ["-o", str(out / "a")]
    if command == "export" and not {"--csv", "--domains", "--strain", "--ome-tiff", "--netcdf", "--hspy"} & {*line}:
        line += ["--csv"]
    if command == "simulate":
        line += [] if "-n" in line else ["-n", "2"]
        line += [] if "-o" in line else ["-o", str(out / "w.npz")]
    if rng.random() < 0.1:
        line.insert(rng.randrange(1, len(line) + 1), rng.choice(NONSENSE))
    if rng.random() < 0.05:
        line.append("--no-such-option")
    return line


@contextmanager
def limited(line: list[str]) -> Iterator[None]:
    """Limit the memory and the time of what runs, where the system can."""
    if sys.platform != "linux":
        yield
        return
    import resource
    import signal

    def late(*_: object) -> None:
        raise AssertionError(f"{line} did not end in {SECONDS} s")

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, limits[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGALRM, before)


def partial(folder: Path) -> list[Path]:
    """Return what only a command that did not clean up leaves behind."""
    names = re.compile(r"\.partial$|\.replaced$|^\.[^/]*\.[0-9a-f]{8}\b|\.old$")
    return [path for path in folder.rglob("*") if names.search(path.name)]


def problems(line: list[str], done: Any, out: Path) -> Iterator[str]:
    """Yield what is wrong with how a command ended."""
    if done.code not in (0, 2):
        yield f"it ended with {done.code}"
    if "Traceback" in done.out + done.err or "error: unexpected" in done.err:
        yield "an error that is not addressed to the user"
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    if done.code == 2 and len(errors) != 1:
        yield f"{len(errors)} lines say what is wrong"
    if done.code == 0 and "--json" in line and len(json.loads(done.out)) == 0:
        yield "the answer is empty"
    if left := partial(out):
        yield f"it left {left}"
    if (out / "file").read_text() != "precious":
        yield "it wrote over a file"


@pytest.mark.usefixtures("no_figures")
def test_any_options(run: Callable[..., Any], files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(SEED)
    before = {path: path.stat().st_mtime_ns for path in files.rglob("*") if path.is_file()}
    codes: dict[int, int] = {}
    wrong: list[str] = []
    for number in range(EXAMPLES):
        out = tmp_path / str(number)
        (out / "closed").mkdir(parents=True)
        (out / "file").write_text("precious")
        monkeypatch.chdir(out)
        (out / "closed").chmod(0o500)
        line = drawn(rng, files, out)
        with limited(line):
            done = run(*line)
            if done.code == 0 and line[0] == "map" and "--overwrite" not in line:
                again = run(*line)  # what is complete is left as it is
                wrong += [] if again.code == 0 else [f"it cannot be repeated: {line}\n{again.err[-1500:]}"]
        (out / "closed").chmod(0o700)
        wrong += [f"{problem}: {line}\n{done.out[-300:]}\n{done.err[-1500:]}" for problem in problems(line, done, out)]
        codes[done.code] = codes.get(done.code, 0) + 1
    assert not wrong, f"{len(wrong)} commands went wrong\n" + "\n\n".join(wrong[:10])
    after = {path: path.stat().st_mtime_ns for path in files.rglob("*") if path.is_file()}
    assert after == before
    assert codes[0] > EXAMPLES / 15
    assert codes[2] > EXAMPLES / 4
    if EXAMPLES > 60:
        print(codes, file=sys.__stdout__)


@pytest.mark.parametrize("seed", ["-5", "99999999999999999999", "x"])
@pytest.mark.parametrize("command", ["classify", "map", "evaluate", "simulate"])
def test_seeds_that_cannot_be(run: Callable[..., Any], tmp_path: Path, command: str, seed: str) -> None:
    source = [] if command == "simulate" else ["film.npy"]
    output = "--csv" if command in ("classify", "evaluate") else "-o"
    done = run(command, *source, output, tmp_path / "a", "--seed", seed)
    assert done.code == 2
    assert "--seed" in done.err
    assert not list(tmp_path.iterdir())
