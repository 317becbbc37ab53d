"""Map the same movie again and again in processes of their own, each killed at a random point; print the frames done.

Run by `test_resume` with the paths of a movie, a model and a result, the number of kills, and the time that a frame
takes in s. A process that has loaded everything once and forks is much faster than as many new ones.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from bravaismap.classify.models import load_model
from bravaismap.phases.map import map_phases
from bravaismap.result.stored import written_frames


def kill_again_and_again(movie: str, weights: str, path: str, kills: int, per_frame: float) -> int:
    """Start the same run and kill it, at a random point each time; return how many frames are done."""
    frames, model, rng = np.load(movie), load_model(weights), np.random.default_rng(5)
    lock, seen = Path(path).with_name(".r.zarr.lock"), set()
    for _ in range(kills):
        before = owner(lock)
        process = os.fork()
        if process == 0:
            map_phases(frames, model=model, output=path, window=32, step=8, samples=20)
            os._exit(0)
        while owner(lock) in ("", before):
            ended = os.waitpid(process, os.WNOHANG)
            assert ended == (0, 0), (ended, len(seen))
            time.sleep(0.005)
        enough = len(seen) + int(rng.integers(0, 4))
        while len(written(Path(path))) < enough:
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 1.5)) * per_frame)
        os.kill(process, signal.SIGKILL)
        assert os.waitpid(process, 0)[1] == signal.SIGKILL
        now = written(Path(path))
        assert now >= seen
        seen = now
    return len(seen)


def written(path: Path) -> set[int]:
    """Return the numbers of the frames that are written."""
    return set(np.flatnonzero(written_frames(path)).tolist()) if path.exists() else set()


def owner(lock: Path) -> str:
    """Return who holds a lock, or nothing."""
    try:
        return lock.read_text()
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    print(kill_again_and_again(*sys.argv[1:4], int(sys.argv[4]), float(sys.argv[5])))
