"""A GPU against the processor: windows per second of the default model, and how far the answers are apart.

Where PyTorch finds no card this says "not measured here" and writes nothing. The first run, in which a card loads its
libraries, does not count.

python benchmarks/gpu.py [--windows 5000] [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from machine import load, machine, parser, write_figures

import bravaismap as bm


def compared(here: Any, there: Any, images: np.ndarray, repeats: int) -> dict[str, float]:
    """Return windows per second of a classifier on the processor and of one on a card, and what sets them apart.

    Both are `bravaismap` classifiers; the draws of the posterior, the same on both, are in the time.
    """
    seconds: dict[str, list[float]] = {"cpu": [], "card": []}
    answers = {}
    for repeat in range(repeats + 1):
        for name, classifier in (("cpu", here), ("card", there)):
            begin = time.perf_counter()
            answers[name] = classifier.predict(images, samples=60).probability
            if repeat:
                seconds[name].append(time.perf_counter() - begin)
    return {
        "windows": len(images),
        "windows_per_second": len(images) / float(np.median(seconds["card"])),
        "cpu_windows_per_second": len(images) / float(np.median(seconds["cpu"])),
        "largest_difference": float(np.abs(answers["cpu"] - answers["card"]).max()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--windows", type=int, default=5000)
    options.add_argument("--repeats", type=int, default=3)
    asked = options.parse_args(arguments)
    if not torch.cuda.is_available():
        print(f"{machine()}: no GPU that PyTorch can use; not measured here")
        return
    before, device = load(), torch.cuda.get_device_name()
    print(f"{machine()}; {device}; load before the run {before}")
    images = bm.simulate(asked.windows, "realistic")["image"].values.astype(np.float32)
    figures = compared(bm.load_model(), bm.load_model(device="cuda"), images, asked.repeats)
    print(f"{figures['windows']} windows of 128², default model, median of {asked.repeats}:")
    print(f"  on the card        {figures['windows_per_second']:8.0f} windows/s")
    print(f"  on the processor   {figures['cpu_windows_per_second']:8.0f} windows/s")
    print(f"  largest difference of a probability {figures['largest_difference']:.1g}")
    write_figures(asked.json, "gpu", {"device": device, "load": before, "repeats": asked.repeats} | figures)


if __name__ == "__main__":
    main()
