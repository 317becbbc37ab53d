"""Time against windows and workers: in processes of this computer as `map` takes them, and on a dask cluster.

The frames are those of a film that decomposes: the last of them, full of voids, cost three times as much as the first.
Workers have one thread each. The clock runs once each has mapped four frames, while all are busy. On a computer with
other work the wall time says little of the scaling: the processor time of all workers per frame is printed too, and the
speedup that it allows where every worker has a core for itself.

With 16 workers and fewer cores the cost is simulated: workers wait as long as a frame costs, then send back the map of
a frame, so that what the parent must do for them (take, send, receive) is real.

python benchmarks/scaling.py [--frames 16] [--workers 1 2] [--steps 64 32] [--simulated 1 4 16] [--json FILE]
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import dask
import numpy as np
import psutil
import torch
from distributed import Client, LocalCluster
from machine import load, machine, parser, write_figures

import bravaismap as bm
from bravaismap.phases.cluster import mapped_on_cluster
from bravaismap.phases.frame import FrameMapper, MappedFrame
from bravaismap.phases.frame_pixels import pixel_step_for
from bravaismap.phases.processes import mapped_in_processes
from bravaismap.windows import window_grid

SIDE, WINDOW = 512, 128
CELL = 16  # px, of the film
FRAMES = 8  # of the film, again and again
WARM = 4  # frames of each worker before the clock
Row = dict[str, Any]
Used = Callable[[], float]
Mapped = Iterator[tuple[int, MappedFrame]]


@dataclass
class Waiting:
    """Stands for a mapper: waits so many seconds, and answers with the map of a frame."""

    seconds: float
    answer: MappedFrame

    def __call__(self, index: int, pixels: np.ndarray) -> MappedFrame:
        """Return the answer, after the wait."""
        time.sleep(self.seconds)
        return self.answer


@contextmanager
def in_processes(mapper: Any, frames: Iterator[tuple[int, np.ndarray]], workers: int) -> Iterator[tuple[Mapped, Used]]:
    """Yield frames mapped as `map` does, and a function that returns the processor time of the workers so far."""

    def used() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in psutil.Process().children())

    with closing(mapped_in_processes(mapper, frames, workers)) as mapped:
        yield mapped, used


@contextmanager
def on_dask(mapper: Any, frames: Iterator[tuple[int, np.ndarray]], workers: int) -> Iterator[tuple[Mapped, Used]]:
    """Yield frames mapped on a dask cluster of so many processes, and what :func:`in_processes` does."""
    # workers keep the memory that they free: dask's own setting makes the measurement three times as expensive
    given_back = "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"
    options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    with (
        dask.config.set({given_back: None}),
        LocalCluster(n_workers=workers, processes=True, **options) as cluster,
        Client(cluster, set_as_default=False) as client,
        closing(mapped_on_cluster(mapper, frames, cluster.scheduler_address)) as mapped,
    ):
        yield mapped, lambda: sum(client.run(time.process_time).values())


WAYS = {"processes": in_processes, "dask": on_dask}


def measured(way: str, mapper: Any, movie: np.ndarray, workers: int, count: int) -> Row:
    """Return the wall time of so many frames, and the processor time of the workers and of this process."""
    endless = ((index, movie[index % len(movie)]) for index in itertools.count())
    with WAYS[way](mapper, endless, workers) as (mapped, used):
        for _ in itertools.islice(mapped, WARM * workers):
            pass
        before = time.perf_counter(), used(), time.process_time()
        for _ in itertools.islice(mapped, count):
            pass
        after = time.perf_counter(), used(), time.process_time()
    seconds, worked, own = (end - begin for begin, end in zip(before, after, strict=True))
    return {"way": way, "workers": workers, "frames": count, "seconds": seconds, "worked": worked, "own": own}


def real_rows(movie: np.ndarray, steps: Sequence[int], workers: Sequence[int], count: int) -> list[Row]:
    """Return the rows of the default model: windows of each step, and those of the first with the pixels."""
    model, rows = bm.load_model(), []
    plans = [(step, None) for step in steps] + [(steps[0], pixel_step_for(CELL))]
    for (step, pixels), way in itertools.product(plans, WAYS):
        grid = window_grid((SIDE, SIDE), WINDOW, step)
        mapper = FrameMapper(grid, model, model.record.movie_samples, 0, None, pixel_step=pixels)
        base = None
        for number in workers:
            row = measured(way, mapper, movie, number, count * number)
            row |= {"windows": grid.count, "pixels": pixels is not None}
            base = base or row
            ratio = row["frames"] / base["frames"]
            row["speedup"] = ratio * base["seconds"] / row["seconds"]
            row["speedup_if_alone"] = ratio * number * base["worked"] / row["worked"] / base["workers"]
            rows.append(row)
            print(
                f"{way:>9}, {grid.count:>4} windows{' and pixels' if pixels else ''}, {number} workers   "
                f"{row['seconds'] / row['frames']:.2f} s a frame: {row['speedup']:.2f} ×   "
                f"{row['worked'] / row['frames']:.2f} s of processor a frame: {row['speedup_if_alone']:.2f} × if alone",
                flush=True,
            )
    return rows


def simulated_rows(movie: np.ndarray, seconds: float, workers: Sequence[int], count: int) -> list[Row]:
    """Return the rows of workers that wait so many seconds instead of mapping a frame."""
    model = bm.load_model()
    mapper = FrameMapper(window_grid((SIDE, SIDE), WINDOW, 16), model, 0, 0, None, pixel_step=pixel_step_for(CELL))
    waiting, rows = Waiting(seconds, mapper(0, movie[0])), []
    for number in workers:
        row = measured("processes", waiting, movie, number, count * number)
        row |= {"cost": seconds, "efficiency": row["frames"] * seconds / (number * row["seconds"])}
        rows.append(row)
        print(
            f"{number:>3} workers that wait {seconds:g} s a frame   {row['frames'] / row['seconds']:.1f} frames/s   "
            f"efficiency {row['efficiency']:.2f}   parent {1e3 * row['own'] / row['frames']:.1f} ms a frame",
            flush=True,
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--frames", type=int, default=2 * FRAMES, help=f"for each worker, of a film of {FRAMES}")
    options.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options.add_argument("--steps", type=int, nargs="+", default=[64, 32])
    options.add_argument("--simulated", type=int, nargs="*", default=[1, 4, 16], help="workers of simulated cost")
    options.add_argument("--cost", type=float, default=1.5, help="of a frame, simulated, in s")
    asked = options.parse_args(arguments)
    torch.set_num_threads(1)
    before = load()
    print(f"{machine()}; load before the run {before}")
    movie = bm.simulate_film(FRAMES, SIDE)["image"].values
    figures = {"load": before, "side": SIDE, "window": WINDOW}
    figures["rows"] = real_rows(movie, asked.steps, asked.workers, asked.frames)
    figures["simulated"] = simulated_rows(movie, asked.cost, asked.simulated, 4) if asked.simulated else []
    write_figures(asked.json, "scaling", figures)


if __name__ == "__main__":
    main()
