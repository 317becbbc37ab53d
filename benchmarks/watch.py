"""Frames a second that `watch` keeps up with: a folder of images that wait, classified and stored one by one.

python benchmarks/watch.py [--frames 30] [--size 512] [--step 32] [--json FILE]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from machine import load, machine, parser, write_figures

import bravaismap as bm
from bravaismap.live.watching import FolderSource, watch
from bravaismap.windows import window_grid

#: Frames before the clock starts: the first ones load what the others use.
WARM = 3
WINDOW = 128


def seconds_per_frame(folder: Path, output: Path, step: int) -> list[float]:
    """Watch a folder of images and return the time from each frame to the next, without the first ones."""
    ends = []
    for _ in watch(FolderSource(folder, settle=0.0), output, until_idle=1.0, window=WINDOW, step=step):
        ends.append(time.perf_counter())
    return [float(each) for each in np.diff(ends[WARM - 1 :])]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--frames", type=int, default=30)
    options.add_argument("--size", type=int, default=512)
    options.add_argument("--step", type=int, default=32)
    asked = options.parse_args(arguments)
    print(machine())
    film = bm.simulate_film(asked.frames + WARM, asked.size)["image"].values
    rows, columns = window_grid(film.shape[1:], WINDOW, asked.step).shape
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "frames"
        source.mkdir()
        for i, frame in enumerate(film):
            np.save(source / f"{i}.npy", frame)
        before = load()
        spent = seconds_per_frame(source, Path(place) / "live.zarr", asked.step)
    rate = len(spent) / sum(spent)
    print(
        f"{len(spent)} frames of {asked.size}², {rows * columns} windows each, load {before}: {rate:.2f} frames/s; "
        f"a frame takes {np.median(spent):.2f} s (median), {max(spent):.2f} s at most"
    )
    figures = {"load": before, "frames": len(spent), "size": asked.size, "windows": rows * columns, "rate": rate}
    write_figures(asked.json, "watch", figures | {"median": float(np.median(spent)), "longest": max(spent)})


if __name__ == "__main__":
    main()
