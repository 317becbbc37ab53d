"""Peak resident memory of `bravaismap map` on movies of 50 and of 500 frames.

python benchmarks/memory.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from machine import machine

import bravaismap as bm

FRAMES = (50, 500)


def peak_megabytes(movie: Path, output: Path) -> float:
    """Map a movie in a process of its own and return the peak of its resident memory."""
    command = [sys.executable, "-m", "bravaismap.cli", "map", f"{movie}:/image", "-o", str(output), "--step", "64"]
    script = (
        "import resource, subprocess, sys;"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", script, *command], check=True, capture_output=True, text=True)
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return int(done.stdout) / unit


def main() -> None:
    print(machine())
    frame = bm.simulate_film(1, 512)["image"].values[0].astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for frames in FRAMES:
            movie = Path(folder) / f"movie{frames}.h5"
            with h5py.File(movie, "w") as file:
                data = file.create_dataset("image", (frames, *frame.shape), "float32", chunks=(1, *frame.shape))
                for index in range(frames):
                    data[index] = np.roll(frame, index, axis=1)
            peak = peak_megabytes(movie, Path(folder) / f"result{frames}.zarr")
            print(f"{frames:>4} frames, {movie.stat().st_size / 1e6:7.0f} MB on disk   peak {peak:6.0f} MB")


if __name__ == "__main__":
    main()
