"""How fast a network learns on a stream on this machine, and what memory that takes at the size of the shipped plan.

python benchmarks/training.py [--draws 12] [--device cpu] [--json FILE]

Draws of the plan of `dcnn`, as the device takes them, are simulated and learned from by its three networks, beside a
pool of the full size, filled with the same windows again and again. Wall clock and processor time of a draw, the time
that the whole plan would take, and the peak memory of the process, of which a training without that second pool needs
less.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace

from machine import load, machine, parser, write_figures

from bravaismap.train.plan import StreamPlan, draws_of
from bravaismap.train.pool import Pool
from bravaismap.train.streaming import train_on_stream

SEED = 77
_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in which the system counts resident memory


def peak() -> float:
    """Return the largest resident memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT / 1e9


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--draws", type=int, default=12, help="draws to learn from, at least 2")
    options.add_argument("--pool", type=int, default=131072, help="windows of the pool")
    options.add_argument("--device", default="cpu")
    asked = options.parse_args(arguments)
    print(f"{machine()}; load before the run {load()}")
    plan = replace(StreamPlan(), pool=asked.pool).on(asked.device)
    begun, spent = time.perf_counter(), time.process_time()
    drawn = next(draws_of(plan, SEED, asked.device))
    figures = {"simulated_s": time.perf_counter() - begun, "simulated_cpu_s": time.process_time() - spent}
    pool = Pool(plan.pool)
    for _ in range(plan.pool // plan.draw):
        pool.put(drawn)
    print(f"pool of {pool.count} windows filled: {peak():.2f} GB")
    times: list[tuple[float, float]] = []

    def progress(stage: str, *_: int) -> None:
        if stage == "train":
            times.append((time.perf_counter(), time.process_time()))

    short = replace(plan, windows=asked.draws * plan.draw, validation=1, calibration=0)
    with tempfile.TemporaryDirectory() as folder:
        train_on_stream(short, folder, seed=SEED, device=asked.device, progress=progress)
    draw, processor = ((end - start) / (len(times) - 1) for start, end in zip(times[0], times[-1], strict=True))
    figures |= {
        "draw_s": draw, "draw_cpu_s": processor, "hours": draw * plan.draws / 3600,
        "cpu_hours": processor * plan.draws / 3600, "peak_gb": peak(),
    }  # fmt: skip
    print(f"draw of {plan.draw} windows, learned from: {draw:.1f} s, {processor:.1f} s of processor time")
    print(f"all {plan.windows} windows: {figures['hours']:.1f} h here, {figures['cpu_hours']:.1f} h of processor time")
    print(f"peak memory {figures['peak_gb']:.2f} GB")
    write_figures(asked.json, "training", figures)


if __name__ == "__main__":
    main()
