"""How the windows of a micrograph are classified: the share of each class.

python benchmarks/micrograph_windows.py FILE --window 104 [--step 26] [--scale 1] [--most N] [--distortion 0.03]

A file of your own crystal says how small a window may be there. `--scale` makes the pixels larger first (0.5: half as
many along each axis), so that a window holds more cells; `--most` takes that many of the windows, evenly spread.
The model is `default` where `--model` names no other.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from skimage.transform import resize

import bravaismap as bm
from bravaismap.conventions import CLASSES


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--step", type=int, help="a quarter of the window when not given")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--most", type=int)
    parser.add_argument("--distortion", type=float, default=0.03)
    parser.add_argument("--model", default="default")
    given = parser.parse_args(arguments)
    image = np.asarray(bm.read(given.file).values[0], np.float32)
    if given.scale != 1:
        shape = [round(side * given.scale) for side in image.shape]
        image = resize(image, shape, anti_aliasing=given.scale < 1, preserve_range=True).astype(np.float32)
    step = given.step or given.window // 4
    windows = np.lib.stride_tricks.sliding_window_view(image, (given.window, given.window))[::step, ::step]
    windows = windows.reshape(-1, given.window, given.window)
    if given.most and len(windows) > given.most:
        windows = windows[np.linspace(0, len(windows) - 1, given.most).astype(int)]
    probability = bm.load_model(given.model, given.distortion).predict(windows, samples=0).probability
    counts = np.bincount(probability.argmax(1), minlength=len(CLASSES))
    shares = ", ".join(f"{name} {100 * n / len(windows):.1f} %" for name, n in zip(CLASSES, counts, strict=True) if n)
    print(f"{given.file.name}: {len(windows)} windows of {given.window} px: {shares}")


if __name__ == "__main__":
    main()
