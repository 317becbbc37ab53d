"""Time against frames, windows and workers: in this process, and with `workers=` of one thread each.

The cluster is started before the clock: it takes seconds once, whatever the movie. The clock runs from the first frame
sent to the last frame back.

python benchmarks/scaling.py [--frames 16] [--workers 1 2]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from distributed import Client, LocalCluster
from machine import machine

import bravaismap as bm
from bravaismap.cluster import mapped_on_cluster
from bravaismap.mapping import FrameMapper
from bravaismap.windows import window_grid

SIDE = 512


def seconds_on(workers: int, movie: np.ndarray, mapper: FrameMapper) -> float:
    """Return the time that so many workers take for a movie, after each has mapped two frames that do not count."""
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=workers, **options) as cluster, Client(cluster, set_as_default=False):

        def run(frames: np.ndarray) -> float:
            started = time.perf_counter()
            count = sum(1 for _ in mapped_on_cluster(mapper, enumerate(frames), scheduler=cluster.scheduler_address))
            assert count == len(frames)
            return time.perf_counter() - started

        run(movie[: 2 * workers])
        return run(movie)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--frames", type=int, default=16)
    options.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options.add_argument("--steps", type=int, nargs="+", default=[64, 32])
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{machine()}; load before the run {load:.1f}")
    frame = bm.simulate_film(1, SIDE)["image"].values[0]
    movie = np.stack([np.roll(frame, 7 * index, axis=1) for index in range(asked.frames)])
    rows = []
    for step in asked.steps:
        grid = window_grid((SIDE, SIDE), 128, step)
        windows = grid.shape[0] * grid.shape[1]
        model = bm.load_model()
        mapper = FrameMapper(grid, model, model.movie_samples, 0, None)
        for count in (asked.frames // 2, asked.frames):
            one = None
            for workers in asked.workers:
                seconds = seconds_on(workers, movie[:count], mapper)
                one = one or seconds
                rows.append({"frames": count, "windows": windows, "workers": workers, "seconds": seconds})
                print(
                    f"{count:>4} frames of {windows:>4} windows, {workers} workers   {seconds:6.1f} s   "
                    f"{count * windows / seconds:6.0f} windows/s   {one / seconds:.2f} × {asked.workers[0]} worker"
                )
    if asked.json:
        asked.json.write_text(json.dumps({"machine": machine(), "load": load, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
