"""What a long movie costs on a workstation, a GPU node and a cluster, computed from the rates that were measured.

The JSON of ``benchmarks/scaling.py`` gives the processor time of a window and of a frame (a straight line through the
rows of one worker), the time of the parent for a frame, and the share of a core that is lost with more workers. That of
``benchmarks/gpu.py`` gives the windows and the pixels of a GPU. What belongs to a frame is scaled with its area.

python benchmarks/long_movie.py FIGURES [--page docs/scale.md] [--side 4096] [--frames 10000] [--step 16]

FIGURES is a folder of JSON; the page is written anew between its two marks, or the part printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from performance_page import records_in

from bravaismap.windows import window_grid

BEGIN, END = "<!-- long movie: benchmarks/long_movie.py -->", "<!-- end of long movie -->"
GPU_SIDE = 512  # px, of the frames of benchmarks/gpu.py
CORES, WORKERS = 16, 64  # of the workstation and of the cluster
ALL, WITHOUT = "all outputs", "without pixels"
Figures = dict[str, Any]


@dataclass(frozen=True)
class Movie:
    """A movie of square frames, and its windows."""

    side: int
    frames: int
    window: int
    step: int

    @property
    def windows(self) -> int:
        """Number of windows of a frame."""
        return window_grid((self.side, self.side), self.window, self.step).count


@dataclass(frozen=True)
class Rates:
    """Cost of frames of a measured side.

    Attributes
    ----------
    side : int
        Of a measured frame in px.
    window_seconds, frame_seconds, pixel_seconds : float
        For a window, for what a frame takes besides, and for its pixels.
    parent_seconds : float
        Processor time of the parent for a frame, one after another, without that which passes while it waits.
    efficiency : float
        Share of a worker that is left beside others, by processor time: the median of the rows of most workers.
    """

    side: int
    window_seconds: float
    frame_seconds: float
    pixel_seconds: float
    parent_seconds: float
    efficiency: float

    def hours(self, movie: Movie, workers: int, pixels: bool) -> float:
        """Return how long so many workers take for a movie."""
        area = (movie.side / self.side) ** 2
        frame = movie.windows * self.window_seconds
        frame += area * (self.frame_seconds + pixels * self.pixel_seconds)
        efficiency = self.efficiency if workers > 1 else 1.0
        return movie.frames * max(frame / (workers * efficiency), area * self.parent_seconds) / 3600


def processor_rates(data: Figures, way: str) -> Rates:
    """Return the rates of workers on cores, from the figures of ``benchmarks/scaling.py``."""
    rows = [row for row in data["rows"] if row["way"] == way]
    single = [row for row in rows if row["workers"] == 1]
    plain = [row for row in single if not row["pixels"]]
    cost = {row["windows"]: row["worked"] / row["frames"] for row in plain}
    slope, rest = np.polyfit(list(cost), list(cost.values()), 1)
    asked = next(row for row in single if row["pixels"])
    # a scheduler looks around while it waits, too: a share of a core, however many frames there are
    waited, own = (np.array([row[name] / row["frames"] for row in rows]) for name in ("seconds", "own"))
    parent = max(0.0, float(np.polyfit(waited, own, 1)[1]))
    most = max(row["workers"] for row in rows)
    speedup = float(np.median([row["speedup_if_alone"] for row in rows if row["workers"] == most]))
    return Rates(
        side=data["side"],
        window_seconds=float(slope),
        frame_seconds=max(0.0, float(rest)),
        pixel_seconds=asked["worked"] / asked["frames"] - cost[asked["windows"]],
        parent_seconds=parent,
        efficiency=min(1.0, speedup / most),
    )


def gpu_rates(data: Figures) -> Rates:
    """Return the rates of a GPU, from the figures of ``benchmarks/gpu.py``."""
    whole, plain = (
        next(value["windows_per_second"] for part, value in data["map"].items() if part == f"default, {what}")
        for what in (ALL, WITHOUT)
    )
    windows = window_grid((GPU_SIDE, GPU_SIDE), 128, 16).count
    return Rates(GPU_SIDE, 1 / plain, 0.0, windows / whole - windows / plain, 0.0, 1.0)


def part(records: Mapping[str, Figures], movie: Movie) -> str:
    """Return the part of the page: a table of hours, and what it was computed from."""
    scaling = records["scaling"]
    own, dask = processor_rates(scaling, "processes"), processor_rates(scaling, "dask")
    places = [
        ("one core", own, 1),
        (f"a workstation of {CORES} cores, `map MOVIE`", own, CORES),
        (f"a cluster of {WORKERS} workers, `--scheduler`", dask, WORKERS),
    ]
    source = [f"`scaling.py`: {scaling['date']}, {scaling['machine']}"]
    if "gpu" in records:
        places.append((f"a node with one {records['gpu']['device']}", gpu_rates(records["gpu"]), 1))
        source.append(f"`gpu.py`: {records['gpu']['date']}, {records['gpu']['machine']}")
    lines = [f"| on | {ALL} | `--no-pixels` |", "| --- | --- | --- |"]
    lines += [
        f"| {name} | {_time(rates.hours(movie, count, True))} | {_time(rates.hours(movie, count, False))} |"
        for name, rates, count in places
    ]
    if "gpu" not in records:
        lines.append("| a node with one GPU | not measured | not measured |")
    text = (
        f"A movie of {movie.frames} frames of {movie.side}² px ({2 * movie.frames * movie.side**2 / 1e9:.0f} GB as "
        f"uint16), windows of {movie.window} px at step {movie.step}: {movie.windows} windows a frame, "
        f"{movie.frames * movie.windows / 1e6:.0f} million in all. A window takes {1e3 * own.window_seconds:.2f} ms of "
        f"a core, the pixels of a frame of {own.side}² px {own.pixel_seconds:.2f} s, the parent "
        f"{1e3 * own.parent_seconds:.0f} ms; of each of several workers {100 * own.efficiency:.0f} % is left, "
        f"{100 * dask.efficiency:.0f} % on dask. What belongs to a frame is scaled with its area, and the rates of few "
        "workers are taken for many: this is arithmetic from measured rates, no measurement. The parent takes, sends "
        "and receives frames; reading the movie and writing the result are not in it."
    )
    return "\n\n".join([text, "\n".join(lines), f"Computed by `benchmarks/long_movie.py` from {'; '.join(source)}."])


def _time(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def main(arguments: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("figures", type=Path)
    options.add_argument("--page", type=Path)
    options.add_argument("--side", type=int, default=4096)
    options.add_argument("--frames", type=int, default=10_000)
    options.add_argument("--window", type=int, default=128)
    options.add_argument("--step", type=int, default=16)
    asked = options.parse_args(arguments)
    records = records_in(asked.figures)
    if "scaling" not in records:
        raise SystemExit(f"{asked.figures}: no figures of scaling; make them with python benchmarks/scaling.py --json")
    text = part(records, Movie(asked.side, asked.frames, asked.window, asked.step))
    if asked.page is None:
        print(text)
        return
    page = asked.page.read_text(encoding="utf-8")
    if BEGIN not in page or END not in page:
        raise SystemExit(f"{asked.page}: the marks {BEGIN} and {END} are not there")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    asked.page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
