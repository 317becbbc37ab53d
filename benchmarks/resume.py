"""What it costs to be killed, and what the safety of a result costs when nobody kills.

A small movie is mapped in a process of its own: once without interruption, once killed when half of its frames are
done and continued by the same call, and once more on the finished result, which is then only checked. Process starts
are in these times. Then, in this process: opening a result, checking frames against their checksums, and writing
frames, one by one and with what gathers them in blocks. Medians of some repeats.

python benchmarks/resume.py [--frames 20] [--size 512] [--window 128] [--step 16] [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from machine import load, machine, median_seconds, parser, write_figures

import bravaismap as bm
from bravaismap.result.checksum import frame_checksum
from bravaismap.result.schema import variables_of
from bravaismap.result.store import ResultStore
from bravaismap.result.stored import written_frames

MAP = """
import sys
import bravaismap as bm
movie, output, window, step = sys.argv[1:]
bm.map_phases(bm.read(movie + ":/image"), window=int(window), step=int(step), output=output)
"""


def started(movie: Path, output: Path, asked: argparse.Namespace) -> subprocess.Popen:
    """Start to map a movie in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", MAP, *map(str, (movie, output, asked.window, asked.step))])


def seconds_to_end(movie: Path, output: Path, asked: argparse.Namespace) -> float:
    """Map a movie, or what is missing of it, and return the wall time."""
    begin = time.perf_counter()
    process = started(movie, output, asked)
    if process.wait():
        raise SystemExit(f"mapping {movie} ended with code {process.returncode}")
    return time.perf_counter() - begin


def seconds_killed(movie: Path, output: Path, asked: argparse.Namespace) -> tuple[float, int]:
    """Kill the mapping when half of the frames are done; return the wall time until then and the frames done."""
    begin = time.perf_counter()
    process = started(movie, output, asked)
    while marked(output) < asked.frames // 2:
        if process.poll() is not None:
            raise SystemExit(f"mapping {movie} ended before half of it was done, with code {process.returncode}")
        time.sleep(0.002)
    process.kill()
    process.wait()
    return time.perf_counter() - begin, marked(output)


def marked(output: Path) -> int:
    """Return how many frames of a result are done."""
    return int(written_frames(output).sum()) if output.exists() else 0


def seconds_written(result: xr.Dataset, folder: Path) -> dict[str, float]:
    """Write the frames of a result to a store and check them; return the time of each per frame."""
    frames = [{str(name): result[name].values[i] for name in result.data_vars} for i in range(result.sizes["time"])]
    options = {"overwrite": True, "variables": variables_of(result)}
    with ResultStore(folder / "r.zarr", result.coords, result.attrs, **options) as store:
        begin, single = time.perf_counter(), []
        for index, frame in enumerate(frames):
            started = time.perf_counter()
            store.write_frame(index, frame)
            single.append(time.perf_counter() - started)
        written = time.perf_counter()
        if store.verify():
            raise SystemExit("frames that were just written are damaged")
        checked = time.perf_counter()
    for frame in frames:
        frame_checksum(frame)
    end = time.perf_counter()
    count = len(frames)
    return {
        "write": (written - begin) / count,
        "write_single": float(np.median(single)),
        "check": (checked - written) / count,
        "checksum": (end - checked) / count,
    }


def of_frames(path: Path, folder: Path, repeats: int) -> dict[str, float]:
    """Return what the safety of a result costs per frame, in s."""
    result = bm.open_result(path).load()
    times = [seconds_written(result, folder) for _ in range(repeats)]
    return {f"{what}_per_frame": float(np.median([each[what] for each in times])) for what in times[0]}


def measured(asked: argparse.Namespace) -> dict[str, Any]:
    """Return all figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        movie = folder / "movie.h5"
        with h5py.File(movie, "w") as file:
            file["image"] = bm.simulate_film(asked.frames, asked.size)["image"].values.astype(np.float32)
        whole, killed, done, continued, again = [], [], [], [], []
        for repeat in range(asked.repeats):
            first, second = folder / f"whole{repeat}.zarr", folder / f"killed{repeat}.zarr"
            whole.append(seconds_to_end(movie, first, asked))
            seconds, frames = seconds_killed(movie, second, asked)
            killed.append(seconds)
            done.append(frames)
            continued.append(seconds_to_end(movie, second, asked))
            again.append(seconds_to_end(movie, first, asked))
            equal = bm.open_result(first).load().equals(bm.open_result(second).load())
            if not equal:
                raise SystemExit("the continued result differs from the uninterrupted one")
        lost = [k + c - w for w, k, c in zip(whole, killed, continued, strict=True)]
        files = sum(file.is_file() for file in first.rglob("*"))
        figures = of_frames(first, folder, asked.repeats)
        opening = median_seconds(lambda: bm.open_result(first), asked.repeats)
        sizes = bm.open_result(first).sizes
    names = ("uninterrupted", "until_killed", "continued", "lost", "checked_again")
    times = {key: float(np.median(s)) for key, s in zip(names, (whole, killed, continued, lost, again), strict=True)}
    return (
        times
        | figures
        | {
            "frames": asked.frames,
            "size": asked.size,
            "windows": sizes["y"] * sizes["x"],
            "repeats": asked.repeats,
            "frames_done_when_killed": int(np.median(done)),
            "open": opening,
            "files": files,
        }
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--frames", type=int, default=20)
    options.add_argument("--size", type=int, default=512, help="side of a frame in px")
    options.add_argument("--window", type=int, default=128)
    options.add_argument("--step", type=int, default=16)
    options.add_argument("--repeats", type=int, default=3)
    asked = options.parse_args(arguments)
    before = load()
    print(f"{machine()}; load before the run {before}")
    figures = measured(asked) | {"load": before}
    print(f"{asked.frames} frames of {asked.size}², {figures['windows']} windows each, with the start of the process:")
    for what, key in (
        ("mapped without interruption", "uninterrupted"),
        (f"killed with {figures['frames_done_when_killed']} frames done, after", "until_killed"),
        ("continued to the end", "continued"),
        ("lost by being killed", "lost"),
        ("the same command on the finished result, which checks it", "checked_again"),
    ):
        print(f"  {what:<60}{figures[key]:8.2f} s")
    print("in a process that runs already:")
    for what, key in (
        ("opening the finished result", "open"),
        ("reading a frame and comparing it with its checksum", "check_per_frame"),
        ("  of it the checksum", "checksum_per_frame"),
        ("writing a frame to a file of its own", "write_single_per_frame"),
        ("writing a frame, with what gathers blocks", "write_per_frame"),
    ):
        print(f"  {what:<60}{1e3 * figures[key]:8.1f} ms")
    print(f"the result has {figures['files']} files")
    write_figures(asked.json, "resume", figures)


if __name__ == "__main__":
    main()
