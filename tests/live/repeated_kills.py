"""Watch the same folder in processes of their own, each killed soon after a frame; print the frames that then open.

Run by `test_watching` with the paths of the folder, a model and a result, and the frames after which to kill. A process
that has loaded everything once and forks is much faster than as many new ones.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from bravaismap.classify.models import load_model
from bravaismap.live.watching import FolderSource, watch
from bravaismap.result.journal import JOURNAL, journal_of
from bravaismap.result.open import open_result

DELAYS = (0.0, 0.003, 0.011, 0.02)  # s after the line of the frame is seen


def main(source: str, weights: str, path: str, *goals: str) -> None:
    """Kill a live run once for each goal, a number of frames; print how many the result then has."""
    model, output = load_model(weights), Path(path)
    for goal, delay in zip(map(int, goals), DELAYS, strict=True):
        process = os.fork()
        if process == 0:
            for _ in watch(FolderSource(Path(source), settle=0.05), output, model=model, window=32, step=8, samples=5):
                pass
        while not (output / JOURNAL).exists() or len(journal_of(output)) < goal:
            assert os.waitpid(process, os.WNOHANG) == (0, 0)
            time.sleep(0.002)
        time.sleep(delay)
        os.kill(process, signal.SIGKILL)
        assert os.waitpid(process, 0)[1] == signal.SIGKILL
        print(open_result(output).load().sizes["time"])


if __name__ == "__main__":
    main(*sys.argv[1:])
