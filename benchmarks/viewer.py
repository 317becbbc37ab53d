"""Time what the viewer does in Python when the frame changes: a film of 512² at step 16, a window open.

python benchmarks/viewer.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import machine

import bravaismap as bm
from bravaismap.simulate.writing import write_film
from bravaismap.viewer.interaction import Session
from bravaismap.viewer.result_source import StoredResult

FRAMES, SIZE, STEP = 12, 512, 16


def timed(action: Callable[[], object]) -> float:
    """Return how long an action takes, in ms."""
    started = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - started)


def frame_changes(session: Session, order: range) -> list[float]:
    return [timed(lambda frame=frame: setattr(session.page.player, "value", frame)) for frame in order]


def report(what: str, times: list[float]) -> None:
    print(f"{what:<58} median {np.median(times):5.0f} ms, largest {max(times):5.0f} ms")


def main() -> None:
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        film, store = Path(folder) / "film.h5", Path(folder) / "film.zarr"
        write_film(bm.simulate_film(FRAMES, SIZE, seed=0), film)
        movie = bm.read(film, dataset="image")
        bm.map_phases(movie, step=STEP, output=store)
        source = StoredResult(store, movie)
        while source.update():
            pass
        session = Session(source)
        report(f"a frame of {SIZE}² not read before", frame_changes(session, range(1, FRAMES // 2)))
        session.choose_window(12, 12)
        report("the same with a window open", frame_changes(session, range(FRAMES // 2, FRAMES)))
        report("a frame read before", frame_changes(session, range(FRAMES - 2, 0, -1)))
        report("another distortion", [
            timed(lambda d=d: setattr(session.page.distortion, "value", d)) for d in (1.5, 1.0, 0.5, 0.3)
        ])  # fmt: skip
        session.curves.close()
        report("a click on a window", [timed(lambda i=i: session.choose_window(i, i)) for i in range(2, 12)])
        source.close()


if __name__ == "__main__":
    main()
