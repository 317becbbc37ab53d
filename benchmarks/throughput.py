"""Windows per second of each part; of `map` the share of each stage, the distance to the FFTs, and the paper's movie.

The stages are timed on one thread, one after another. The paper's movie (90 frames of 512², 625 windows each, recorded
in 202 s) is projected from frames spread evenly over it: one with many voids takes twice as long as one with none.
They are written to disk, on all threads. The load of the machine is printed with it.

python benchmarks/throughput.py [--only-map] [--frames 6] [--samples N] [--windows 600] [--json FILE]
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from pkgutil import resolve_name
from unittest import mock

import h5py
import numpy as np
import torch
from machine import load, machine, median_seconds, parser, write_figures

import bravaismap as bm
from bravaismap.simulate.film import PAPER_KINETICS, Film
from bravaismap.spectrum import spectrum
from bravaismap.windows import cut_windows, window_grid

PAPER_FRAMES, PAPER_SECONDS, PAPER_SAMPLES = 90, 202.5, 5000
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
        result = bm.map_phases(bm.read(f"{movie}:/image"), samples=samples, output=f"{folder}/r.zarr")
        seconds = time.perf_counter() - started
    frames = result.sizes["time"]
    return seconds / frames, {stage: value / frames for stage, value in stages.items()}


def map_report(frames: int, samples: int | None) -> dict:
    """Print the share of each stage, the distance to the FFTs, and the projection of the paper's movie."""
    threads = torch.get_num_threads()
    movie = Film(PAPER_FRAMES, 512, kinetics=PAPER_KINETICS)
    spread = ((np.arange(frames) + 0.5) * PAPER_FRAMES / frames).astype(int)
    film = np.stack([movie.image(int(i)) for i in spread]).astype(np.float32)
    windows = cut_windows(film[0], window_grid((512, 512), 128, 16))
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
    asked = options.parse_args(arguments)
    print(machine())
    rows = [] if asked.only_map else parts(asked.windows)
    write_figures(asked.json, "throughput", {"parts": rows} | map_report(asked.frames, asked.samples))


if __name__ == "__main__":
    main()
