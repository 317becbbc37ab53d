"""Time against frames, windows and workers: in this process, and with `workers=` of one thread each.

The cluster is started before the clock: it takes seconds once, whatever the movie. The clock runs from the first frame
sent to the last frame back. On a computer with other work the wall time says little of the scaling: the processor time
of all workers per frame is printed too, and the speedup that it allows where every worker has a core for itself.

python benchmarks/scaling.py [--frames 16] [--workers 1 2] [--steps 64 32] [--json FILE]
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from distributed import Client
from machine import load, machine, parser, write_figures

import bravaismap as bm
from bravaismap.phases.cluster import local_cluster, mapped_on_cluster
from bravaismap.phases.frame import FrameMapper
from bravaismap.windows import window_grid

SIDE = 512


def seconds_on(workers: int, movie: np.ndarray, mapper: FrameMapper) -> tuple[float, float]:
    """Return the wall time and the processor time of so many workers, after two frames each that do not count."""
    with local_cluster(workers) as cluster, Client(cluster, set_as_default=False) as client:

        def run(frames: np.ndarray) -> tuple[float, float]:
            started, worked = time.perf_counter(), sum(client.run(time.process_time).values())
            count = sum(1 for _ in mapped_on_cluster(mapper, enumerate(frames), scheduler=cluster.scheduler_address))
            assert count == len(frames)
            return time.perf_counter() - started, sum(client.run(time.process_time).values()) - worked

        run(movie[: 2 * workers])
        return run(movie)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--frames", type=int, default=16)
    options.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options.add_argument("--steps", type=int, nargs="+", default=[64, 32])
    options.add_argument("--whole-only", action="store_true", help="leave out half the frames")
    asked = options.parse_args(arguments)
    torch.set_num_threads(1)
    before = load()
    print(f"{machine()}; load before the run {before}")
    frame = bm.simulate_film(1, SIDE)["image"].values[0]
    movie = np.stack([np.roll(frame, 7 * index, axis=1) for index in range(asked.frames)])
    rows = []
    for step in asked.steps:
        grid = window_grid((SIDE, SIDE), 128, step)
        windows = grid.shape[0] * grid.shape[1]
        model = bm.load_model()
        mapper = FrameMapper(grid, model, model.record.movie_samples, 0, None)
        for count in (asked.frames,) if asked.whole_only else (asked.frames // 2, asked.frames):
            base = None
            for workers in asked.workers:
                seconds, worked = seconds_on(workers, movie[:count], mapper)
                base = base or (seconds, worked / workers)
                row = {"frames": count, "windows": windows, "workers": workers, "seconds": seconds, "worked": worked}
                rows.append(row | {"speedup": base[0] / seconds, "speedup_if_alone": workers * base[1] / worked})
                print(
                    f"{count:>4} frames of {windows:>4} windows, {workers} workers   {seconds:6.1f} s   "
                    f"{count * windows / seconds:6.0f} windows/s   {base[0] / seconds:.2f} ×   "
                    f"{worked / count:.2f} s of processor a frame: {workers * base[1] / worked:.2f} × if alone"
                )
    write_figures(asked.json, "scaling", {"load": before, "side": SIDE, "rows": rows})


if __name__ == "__main__":
    main()
