"""Windows per second of each part; of `map` the share of each stage, the distance to the FFTs, and the paper's movie.

The stages are timed on one thread, one after another. The paper's movie (90 frames of 512², 625 windows each, recorded
in 202 s) is projected from frames spread evenly over it: one with many voids takes twice as long as one with none.
They are written to disk, on all threads. The load of the machine is printed with it.

python benchmarks/throughput.py [--only-map] [--frames 6] [--samples N] [--windows 600] [--json FILE]
python benchmarks/throughput.py --against OTHER/src [--frames 3] [--repeats 5]

The second compares these sources with others, for example those of a commit unpacked by `git archive`: the windows
and the pixels of frames of the paper's movie, and the windows of a frame of 16 tiles that hold all classes, in
processes of each in turn, on all threads. Pixels alone, of frames whose windows are mapped, count by these windows. Of
the repeats the fastest counts, in time and in processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest import mock

import h5py
import numpy as np
import torch
from machine import load, machine, median_seconds, parser, write_figures

import bravaismap as bm
from bravaismap.phases.frame_pixels import frame_pixels
from bravaismap.phases.pixels import frame_windows
from bravaismap.simulate.film import PAPER_KINETICS, Film
from bravaismap.spectrum import spectrum
from bravaismap.windows import cut_windows, window_grid

PAPER_FRAMES, PAPER_SECONDS, PAPER_SAMPLES = 90, 202.5, 5000
WINDOW, STEP = 128, 16
#: Stage of `map`, and the function in which its time passes.
STAGES = {
    "read": "bravaismap.read.signal.frames",
    "windows": "bravaismap.phases.frame.cut_windows",
    "measurement": "bravaismap.classify.models.measure",
    "posterior": "bravaismap.classify.models.classified",
    "cells": "bravaismap.classify.answer.Cells.variables",
    "pixels": "bravaismap.phases.frame.pixels_of_frames",
    "write": "bravaismap.result.store.ResultStore.write_frame",
}


@contextmanager
def timed_stages() -> Iterator[dict[str, float]]:
    """Collect the seconds that pass in each stage."""
    seconds: dict[str, float] = defaultdict(float)

    def timed(stage: str, function: Callable) -> Callable:
        def call(*arguments: object, **options: object) -> object:
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                seconds[stage] += time.perf_counter() - started

        return call

    with ExitStack() as stack:
        for stage, target in STAGES.items():
            holder = resolve_name(target.rpartition(".")[0])
            name = target.rpartition(".")[2]
            stack.enter_context(mock.patch.object(holder, name, timed(stage, getattr(holder, name))))
        yield seconds


def mapped_seconds(movie: Path, samples: int | None, threads: int) -> tuple[float, dict[str, float]]:
    """Read and map a movie to disk; return seconds per frame and the seconds of each stage per frame."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder, timed_stages() as stages:
        started = time.perf_counter()
        result = bm.map_phases(
            bm.read(f"{movie}:/image"), window=WINDOW, step=STEP, samples=samples, output=f"{folder}/r.zarr"
        )
        seconds = time.perf_counter() - started
    frames = result.sizes["time"]
    return seconds / frames, {stage: value / frames for stage, value in stages.items()}


def paper_frames(count: int) -> np.ndarray:
    """Return frames spread evenly over the paper's movie."""
    movie = Film(PAPER_FRAMES, 512, kinetics=PAPER_KINETICS)
    spread = ((np.arange(count) + 0.5) * PAPER_FRAMES / count).astype(int)
    return np.stack([movie.image(int(i)) for i in spread]).astype(np.float32)


def tiled_frame() -> np.ndarray:
    """Return a frame of 4 × 4 windows of all classes, half of whose windows at step 16 lie across a boundary."""
    tiles = bm.simulate(16, "simulated", seed=3)["image"].values.astype(np.float32)
    tiles -= tiles.mean((1, 2), keepdims=True)
    tiles /= tiles.std((1, 2), keepdims=True)
    return tiles.reshape(4, 4, WINDOW, WINDOW).transpose(0, 2, 1, 3).reshape(4 * WINDOW, 4 * WINDOW)


def map_seconds(frames: Path) -> dict[str, list[float]]:
    """Return time and processor time of a window in seconds, by what is mapped in memory."""
    with np.load(frames) as data:
        film, tiles = data["film"], data["tiles"]
    kinds = {
        "paper's movie, windows alone": (film, False),
        "paper's movie, all outputs": (film, True),
        "tiles of all classes, windows alone": (tiles, False),
    }
    seconds = {}
    for kind, (movie, pixels) in kinds.items():
        bm.map_phases(movie[:1], window=WINDOW, step=STEP, pixels=pixels)
        result, spent = _timed(bm.map_phases, movie, window=WINDOW, step=STEP, pixels=pixels)
        seconds[kind] = (spent / result["label"].size).tolist()
        if pixels:
            mapped = result
    windows = [frame_windows(mapped, i) for i in range(len(film))]
    spent = _timed(
        lambda: [
            frame_pixels(frame, own, mapped.attrs["pixel_step"], None) for frame, own in zip(film, windows, strict=True)
        ]
    )[1]
    seconds["paper's movie, pixels alone"] = (spent / mapped["label"].size).tolist()
    return seconds


def _timed(function: Callable, *arguments: object, **options: object) -> tuple[Any, np.ndarray]:
    """Return what a function answers, and its time and processor time in seconds."""
    started = time.perf_counter(), time.process_time()
    answer = function(*arguments, **options)
    return answer, np.array([time.perf_counter(), time.process_time()]) - started


def compare(other: Path, frames: int, repeats: int) -> None:
    """Print how many windows a second these sources and others map, and the ratio, measured in turn."""
    best: dict[tuple[str, str], np.ndarray] = {}
    own = Path(bm.__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.npz"
        np.savez(path, film=paper_frames(frames), tiles=np.stack([tiled_frame()] * 2))
        for _ in range(repeats):
            for name, sources in (("other", other), ("this", own)):
                answer = subprocess.run(
                    [sys.executable, __file__, "--time", path],
                    env=os.environ | {"PYTHONPATH": str(sources)}, check=True, capture_output=True, text=True,
                )  # fmt: skip
                for kind, seconds in json.loads(answer.stdout).items():
                    key = kind, name
                    best[key] = np.minimum(best.get(key, np.inf), seconds)
    print(f"{'windows/s':<38}{'other':>8}{'this':>8}{'ratio':>8}   of processor time")
    for kind in dict.fromkeys(kind for kind, _ in best):
        before, after = best[kind, "other"], best[kind, "this"]
        ratio, of_processor = before / after
        print(f"{kind:<38}{1 / before[0]:8.0f}{1 / after[0]:8.0f}{ratio:8.2f}   {of_processor:.2f}")


def map_report(frames: int, samples: int | None) -> dict:
    """Print the share of each stage, the distance to the FFTs, and the projection of the paper's movie."""
    threads = torch.get_num_threads()
    film = paper_frames(frames)
    windows = cut_windows(film[0], window_grid((512, 512), WINDOW, STEP))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.h5"
        with h5py.File(path, "w") as file:
            file["image"] = film
        mapped_seconds(path, samples, 1)
        before = load()
        total, stages = mapped_seconds(path, samples, 1)
        on_all = mapped_seconds(path, samples, threads)[0] if threads > 1 else total
        with_paper_samples = mapped_seconds(path, PAPER_SAMPLES, threads)[0]
        torch.set_num_threads(1)
        fft = median_seconds(lambda: torch.fft.rfft2(torch.from_numpy(windows)))
        torch.set_num_threads(threads)
    stages["the rest"] = total - sum(stages.values())
    print(f"map, {frames} frames of the paper's movie, {len(windows)} windows each, one thread, load {before}:")
    for stage, seconds in stages.items():
        print(f"  {stage:<12} {1e3 * seconds:8.1f} ms a frame   {100 * seconds / total:5.1f} %")
    print(f"  {'all':<12} {1e3 * total:8.1f} ms a frame   {len(windows) / total:5.0f} windows/s")
    print(f"  the FFTs alone {1e3 * fft:6.1f} ms a frame: map takes {total / fft:.0f} times as long")
    print(
        f"paper's movie, {PAPER_FRAMES} frames, projected from {frames} on {threads} threads: "
        f"{PAPER_FRAMES * on_all:.0f} s (recorded in {PAPER_SECONDS} s), {len(windows) / on_all:.0f} windows/s; "
        f"with {PAPER_SAMPLES} draws for each window {PAPER_FRAMES * with_paper_samples:.0f} s"
    )
    return {
        "load": before,
        "frames": frames,
        "windows": len(windows),
        "threads": threads,
        "seconds_per_frame": total,
        "stages": stages,
        "fft": fft,
        "on_all_threads": on_all,
        "paper_frames": PAPER_FRAMES,
        "paper_seconds": PAPER_SECONDS,
        "paper_samples": PAPER_SAMPLES,
        "with_paper_samples": with_paper_samples,
    }


def parts(count: int) -> list[dict]:
    """Print and return how many windows a second each part takes."""
    rows: list[dict] = []

    def timed(part: str, windows: int, work: Callable[[], object]) -> None:
        seconds = median_seconds(work)
        rows.append({"part": part, "windows": windows, "windows_per_second": windows / seconds})
        print(f"{part:<52}{windows / seconds:8.0f} windows/s   {1e3 * seconds / windows:8.3f} ms a window")

    for recipes in ("simulated", "realistic"):
        timed(f"simulate, {recipes}, one core", count, lambda recipes=recipes: bm.simulate(count, recipes))
    windows = torch.from_numpy(bm.simulate(count, "simulated")["image"].values)
    timed("spectrum", count, lambda: spectrum(windows))
    model = bm.load_model("dcnn-2018")
    images = windows.numpy().astype(np.float32)
    timed("dcnn-2018, one pass", count, lambda: model.predict(images, samples=0))
    frame = bm.simulate_film(1, 512)["image"].values
    inside = window_grid((512, 512), 128, 16).shape
    on_frame = inside[0] * inside[1]
    for samples in (0, model.record.movie_samples):
        timed(
            f"map, 512² frame, dcnn-2018, {samples} passes" if samples else "map, 512² frame, dcnn-2018, one pass",
            on_frame,
            lambda samples=samples: bm.map_phases(frame, model=model, samples=samples),
        )
    timed("map, 512² frame, default, all outputs", on_frame, lambda: bm.map_phases(frame))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--only-map", action="store_true")
    options.add_argument("--frames", type=int, default=6)
    options.add_argument("--samples", type=int)
    options.add_argument("--windows", type=int, default=600, help="of the parts before the map")
    options.add_argument("--against", type=Path, metavar="SRC", help="sources to compare with")
    options.add_argument("--repeats", type=int, default=5, help="of a comparison")
    options.add_argument("--time", type=Path, help=argparse.SUPPRESS)
    asked = options.parse_args(arguments)
    if asked.time is not None:
        print(json.dumps(map_seconds(asked.time)))
        return
    print(machine())
    if asked.against is not None:
        print(f"load {load()}")
        compare(asked.against, asked.frames, asked.repeats)
        return
    rows = [] if asked.only_map else parts(asked.windows)
    write_figures(asked.json, "throughput", {"parts": rows} | map_report(asked.frames, asked.samples))


if __name__ == "__main__":
    main()
