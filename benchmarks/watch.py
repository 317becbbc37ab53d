"""Frames a second that `watch` keeps up with, and how long after its file the fractions of a frame are there.

A folder of images that wait is classified and stored, with pixels and without; the clock starts after `--warm` frames,
when the processes are there that a queue calls for. Then files appear, each when the frame before is done, and must
have rested for `--settle` seconds; this is in the delay.

python benchmarks/watch.py [--frames 30] [--warm 30] [--size 512] [--step 32] [--settle 0.1] [--json FILE]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from machine import load, machine, parser, write_figures

import bravaismap as bm
from bravaismap.live.watching import FolderSource, Frame, watch
from bravaismap.windows import window_grid

#: Frames that appear one by one before the clock starts: the first ones load what the others use.
LOADING = 3
WINDOW = 128


def waiting(frames: np.ndarray, folder: Path, step: int, pixels: bool, warm: int) -> dict[str, float]:
    """Watch a folder of images that wait; return rate and times of a frame, without the first ones."""
    source = folder / "frames"
    source.mkdir()
    for i, frame in enumerate(frames):
        np.save(source / f"{i}.npy", frame)
    ends, spent = [], []
    for _ in watched(source, folder / "live.zarr", step, pixels, settle=0.0):
        ends.append(time.perf_counter())
        spent.append(processor_time())
    seconds = np.diff(ends[warm - 1 :])
    processor = (spent[-1] - spent[warm - 1]) / len(seconds)
    return {
        "rate": 1 / float(seconds.mean()), "median": float(np.median(seconds)), "longest": float(seconds.max()),
        "processor": processor,
    }  # fmt: skip


def processor_time() -> float:
    """Return the processor time of this process and those that it has started, in s."""
    here = psutil.Process()
    return float(sum(sum(process.cpu_times()[:2]) for process in [here, *here.children()]))


def delays(frames: np.ndarray, folder: Path, step: int, pixels: bool, settle: float) -> list[float]:
    """Let files appear one by one; return the time from each file to its fractions, without the first ones."""
    source, begun, seconds = folder / "frames", [], []
    source.mkdir()

    def appear(number: int) -> None:
        if number < len(frames):
            np.save(folder / "next.npy", frames[number])
            begun.append(time.perf_counter())
            (folder / "next.npy").replace(source / f"{number}.npy")

    appear(0)
    for number, _ in enumerate(watched(source, folder / "live.zarr", step, pixels, settle)):
        seconds.append(time.perf_counter() - begun[-1])
        appear(number + 1)
    return seconds[LOADING:]


def watched(source: Path, output: Path, step: int, pixels: bool, settle: float) -> Iterator[Frame]:
    """Watch a folder until nothing has come for a second."""
    return watch(
        FolderSource(source, settle=settle), output, until_idle=1.0 + settle, window=WINDOW, step=step, pixels=pixels
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--frames", type=int, default=30)
    options.add_argument("--warm", type=int, default=30)
    options.add_argument("--size", type=int, default=512)
    options.add_argument("--step", type=int, default=32)
    options.add_argument("--settle", type=float, default=0.1)
    asked = options.parse_args(arguments)
    print(machine())
    film = bm.simulate_film(asked.frames + asked.warm, asked.size)["image"].values
    windows = window_grid(film.shape[1:], WINDOW, asked.step).count
    before, rows = load(), []
    print(f"{asked.frames} frames of {asked.size}², {windows} windows each, load {before}")
    for pixels in (True, False):
        with tempfile.TemporaryDirectory() as place:
            row: dict[str, Any] = {"pixels": pixels} | waiting(film, Path(place), asked.step, pixels, asked.warm)
        with tempfile.TemporaryDirectory() as place:
            after = delays(film[: LOADING + (asked.frames + 1) // 2], Path(place), asked.step, pixels, asked.settle)
        row |= {"delay": float(np.median(after)), "longest_delay": max(after)}
        rows.append(row)
        what = "all outputs" if pixels else "without pixels"
        print(
            f"{what}: {row['rate']:.2f} frames/s, {row['median']:.2f} s a frame (median), {row['longest']:.2f} s at "
            f"most, {row['processor']:.2f} s of processor; "
            f"{row['delay']:.2f} s from file to fractions (median), {row['longest_delay']:.2f} s at most"
        )
    figures = {
        "load": before,
        "frames": asked.frames,
        "warm": asked.warm,
        "size": asked.size,
        "windows": windows,
        "settle": asked.settle,
    }
    write_figures(asked.json, "watch", figures | {"rows": rows})


if __name__ == "__main__":
    main()
