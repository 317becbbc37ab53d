"""Peak resident memory of mapping: a file of 50 and of 500 frames, and a movie of 100 GB that is made as it is read.

Of the 100 GB a part is mapped, so long that several blocks come and go; the peak after each share of it is printed,
which is what the rest would have added if there were a leak, and how long the whole would take.

python benchmarks/memory.py [--gigabytes 100] [--frames 500] [--no-files] [--json FILE]
"""

from __future__ import annotations

import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import dask.array as da
import h5py
import numpy as np
from machine import machine, parser, write_figures

import bravaismap as bm
from bravaismap.read.signal import CHUNK_BYTES

FRAMES = (50, 500)
SIDE, STEP = 512, 384  # few windows a frame, so that many frames pass
UNIT = 1024**2 if sys.platform == "darwin" else 1024


def peak_megabytes(movie: Path, output: Path) -> float:
    """Map a movie in a process of its own and return the peak of its resident memory."""
    command = [sys.executable, "-m", "bravaismap.cli", "map", f"{movie}:/image", "-o", str(output), "--step", str(STEP)]
    script = (
        "import resource, subprocess, sys;"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", script, *command], check=True, capture_output=True, text=True)
    return int(done.stdout) / UNIT


def lazy_movie(gigabytes: float) -> da.Array:
    """Return a movie of noisy frames that exists only block by block, in blocks such as those of a large file."""
    frame = bm.simulate_film(1, SIDE)["image"].values[0].astype(np.float32)
    frames = max(1, int(gigabytes * 1e9 / frame.nbytes))
    per_block = max(1, CHUNK_BYTES // frame.nbytes)
    lengths = (per_block,) * (frames // per_block) + ((frames % per_block,) if frames % per_block else ())

    def block(block_info: dict) -> np.ndarray:
        first, end = block_info[None]["array-location"][0]
        return np.stack([np.roll(frame, index, axis=1) + np.float32(index % 7) for index in range(first, end)])

    shape = (lengths, (SIDE,), (SIDE,))
    return da.map_blocks(block, chunks=shape, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))


def map_part(gigabytes: float, frames: int, output: str, answers: multiprocessing.Queue) -> None:
    """Map the first frames of a lazy movie and report the peak of the memory as they pass."""

    class Enough(Exception):
        """So many frames are mapped."""

    def report(done: int, _: int) -> None:
        if done in (0, frames // 10, frames // 2, frames):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / UNIT
            answers.put({"frames": done, "peak_megabytes": peak, "seconds": time.perf_counter() - started})
        if done == frames:
            raise Enough

    movie = lazy_movie(gigabytes)
    answers.put({"frames_of_the_whole": movie.shape[0], "gigabytes": movie.nbytes / 1e9})
    started = time.perf_counter()
    try:
        bm.map_phases(movie, step=STEP, samples=0, output=output, progress=report)
    except Enough:
        answers.put(None)


def map_lazily(gigabytes: float, frames: int) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        answers = context.Queue()
        process = context.Process(target=map_part, args=(gigabytes, frames, f"{folder}/r.zarr", answers))
        process.start()
        rows = list(iter(answers.get, None))
        process.join()
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--gigabytes", type=float, default=100.0)
    options.add_argument("--frames", type=int, default=500, help="of the large movie that are mapped")
    options.add_argument("--no-files", action="store_true", help="leave out the movies on disk")
    asked = options.parse_args(arguments)
    print(machine())
    figures: dict = {"files": [], "side": SIDE}
    frame = bm.simulate_film(1, SIDE)["image"].values[0].astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for frames in () if asked.no_files else FRAMES:
            movie = Path(folder) / f"movie{frames}.h5"
            with h5py.File(movie, "w") as file:
                data = file.create_dataset("image", (frames, *frame.shape), "float32", chunks=(1, *frame.shape))
                for index in range(frames):
                    data[index] = np.roll(frame, index, axis=1)
            peak = peak_megabytes(movie, Path(folder) / f"result{frames}.zarr")
            print(f"{frames:>4} frames, {movie.stat().st_size / 1e6:7.0f} MB on disk   peak {peak:6.0f} MB")
            figures["files"].append(
                {"frames": frames, "peak_megabytes": peak, "megabytes_on_disk": movie.stat().st_size / 1e6}
            )
    whole, *rows = map_lazily(asked.gigabytes, asked.frames)
    figures |= {"lazy": whole, "passed": rows}
    total = whole["frames_of_the_whole"]
    print(f"a movie of {whole['gigabytes']:.0f} GB, {total} frames of {SIDE}², made as it is read, step {STEP}:")
    for row in rows:
        read = row["frames"] * whole["gigabytes"] / total
        print(f"{row['frames']:>6} frames ({read:5.2f} GB) mapped   peak {row['peak_megabytes']:6.0f} MB")
    first, last = rows[-2], rows[-1]
    seconds = (last["seconds"] - first["seconds"]) / (last["frames"] - first["frames"])
    slope = (last["peak_megabytes"] - first["peak_megabytes"]) / (last["frames"] - first["frames"])
    figures |= {"seconds_per_frame": seconds, "megabytes_per_frame": slope}
    print(
        f"{slope:.4f} MB more per frame over the second half: {slope * total:.0f} MB more at the end if it went on so"
    )
    print(f"{seconds:.3f} s a frame with the result written: {seconds * total / 3600:.1f} h for the whole")
    write_figures(asked.json, "memory", figures)


if __name__ == "__main__":
    main()
