"""Windows per second of each stage, and seconds for a 512² frame (window 128, step 16).

python benchmarks/throughput.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from machine import machine

import bravaismap as bm
from bravaismap.spectrum import spectrum

REPEATS = 5


def median_seconds(work: Callable[[], object]) -> float:
    """Return the median time of some repeats, after one that does not count."""
    work()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def main() -> None:
    print(machine())
    count = 600
    for recipes in ("simulated", "realistic"):
        seconds = median_seconds(lambda recipes=recipes: bm.simulate(count, recipes))
        print(f"simulate, {recipes:<10}  {count / seconds:8.0f} windows/s (one core)")
    windows = torch.from_numpy(bm.simulate(count, "simulated")["image"].values)
    print(f"spectrum              {count / median_seconds(lambda: spectrum(windows)):8.0f} windows/s")
    model = bm.load_model("dcnn-2018")
    images = windows.numpy().astype(np.float32)
    seconds = median_seconds(lambda: model.predict(images, samples=0, preprocessing="window"))
    print(f"dcnn-2018, one pass   {count / seconds:8.0f} windows/s, spectra included")
    frame = bm.simulate_film(1, 512)["image"].values
    for samples in (0, model.movie_samples):
        seconds = median_seconds(lambda samples=samples: bm.map_phases(frame, model=model, samples=samples))
        print(f"map, 512² frame, 625 windows, dcnn-2018, {samples:>2} passes   {seconds:.2f} s")
    seconds = median_seconds(lambda: bm.map_phases(frame))
    print(f"map, 512² frame, 625 windows, default, all outputs   {seconds:.2f} s")


if __name__ == "__main__":
    main()
