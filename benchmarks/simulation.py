"""Simulated windows per second: `simulate`, one window after another, against the stream that a training reads.

Both are timed in turns in one run, on all threads. With `--device cuda` also the stream on the card, and how far its
windows are from those of the processor: in grey levels of 255, and the share of the pixels that differ by more than
one. A count that falls on the other side of a rounding edge shifts a whole grey level or more.

python benchmarks/simulation.py [--device cuda] [--side 128] [--windows 768] [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

import numpy as np
import torch
from machine import load, machine, parser, write_figures

import bravaismap as bm
from bravaismap.simulate.books import BOOKS
from bravaismap.simulate.stream import Batch, batches

LARGEST_BATCH = 16384  # windows of a batch on a card


def streamed(kind: str, side: int, windows: int, device: str, start: int = 0) -> Batch:
    """Return one batch of a stream, computed to its end."""
    (batch,) = islice(batches(1, (kind,), (side,), windows, device, start), 1)
    if batch.image.is_cuda:
        torch.cuda.synchronize()
    return batch


def rate(work: Callable[[int], object], windows: int, repeats: int) -> float:
    """Return windows per second, the median of some repeats, after one that does not count."""
    seconds = []
    for repeat in range(repeats + 1):
        begin = time.perf_counter()
        work(repeat)
        seconds.append(time.perf_counter() - begin)
    return windows / float(np.median(seconds[1:]))


def processor_rates(kind: str, side: int, windows: int, repeats: int) -> dict[str, float]:
    """Return windows per second of `simulate` and of the stream on the processor, timed in turns, and their ratio.

    Also the processor time of all threads that a window takes in each, in ms, which a busy machine does not change.
    """
    few = max(windows // 4, 6)
    wall, busy = np.zeros((repeats, 2)), np.zeros((repeats, 2))
    streamed(kind, side, windows, "cpu")
    for repeat in range(repeats):
        for i, (count, work) in enumerate(
            (
                (few, partial(bm.simulate, few, kind, seed=1, size=side)),
                (windows, partial(streamed, kind, side, windows, "cpu", repeat + 1)),
            )
        ):
            begin, begin_busy = time.perf_counter(), time.process_time()
            work()
            wall[repeat, i] = (time.perf_counter() - begin) / count
            busy[repeat, i] = 1e3 * (time.process_time() - begin_busy) / count
    single, stream = np.median(wall, axis=0)
    busy_single, busy_stream = np.median(busy, axis=0)
    return {
        "simulate": 1 / single,
        "stream": 1 / stream,
        "ratio": float(np.median(wall[:, 0] / wall[:, 1])),
        "simulate_busy": busy_single,
        "stream_busy": busy_stream,
        "busy_ratio": float(np.median(busy[:, 0] / busy[:, 1])),
    }


def card_figures(kind: str, side: int, device: str, repeats: int) -> dict[str, float]:
    """Return windows per second on a card, and how far its windows are from those of the processor."""
    windows = max(64, LARGEST_BATCH * 128**2 // side**2)
    here, there = (streamed(kind, side, 240, name).image.cpu() for name in ("cpu", device))
    apart = (here - there).abs()
    return {
        "card": rate(lambda repeat: streamed(kind, side, windows, device, repeat), windows, repeats),
        "card_batch": windows,
        "median_difference": float(apart.median()),
        "largest_difference": float(apart.max()),
        "share_apart": float((apart > 1).float().mean()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--device", default="cpu", help="cpu, or cuda to time a card too")
    options.add_argument("--side", type=int, default=128, help="side of the windows in px")
    options.add_argument("--windows", type=int, default=768, help="windows of a batch on the processor")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--kinds", nargs="+", default=list(BOOKS), help="recipe books")
    options.add_argument("--threads", type=int, help="threads of PyTorch; all cores when not given")
    asked = options.parse_args(arguments)
    torch.set_num_threads(asked.threads or os.cpu_count() or 1)
    before = load()
    card = torch.cuda.get_device_name() if asked.device.startswith("cuda") else None
    print(f"{machine()}; {card or 'no card'}; load before the run {before}")
    print(f"windows of {asked.side} px per second, median of {asked.repeats}:")
    figures = {}
    for kind in asked.kinds:
        figures[kind] = processor_rates(kind, asked.side, asked.windows, asked.repeats)
        text = (
            "  {:<10} simulate {simulate:7.0f}   stream {stream:7.0f}   ratio {ratio:4.1f};"
            "  processor time {simulate_busy:.2f} and {stream_busy:.2f} ms, ratio {busy_ratio:.1f}"
        )
        if card:
            figures[kind] |= card_figures(kind, asked.side, asked.device, asked.repeats)
            text += (
                "\n             card {card:8.0f}; apart by {median_difference:.1g} (median), {largest_difference:.2g} "
                "(most), share above 1: {share_apart:.1g}"
            )
        print(text.format(kind, **figures[kind]), flush=True)
    about = {"load": before, "card": card, "side": asked.side, "repeats": asked.repeats}
    write_figures(asked.json, "simulation", about | {"kinds": figures})


if __name__ == "__main__":
    main()
