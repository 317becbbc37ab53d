"""Time 5000 passes of Monte-Carlo dropout on one window, against a pass-by-pass loop of the same network.

python benchmarks/monte_carlo.py
"""

from __future__ import annotations

import time

import numpy as np
import torch
from machine import machine

import bravaismap as bm
from bravaismap.network import DropoutNetwork
from bravaismap.uncertainty import monte_carlo_dropout

PASSES = 5000
REPEATS = 5


def loop(network: DropoutNetwork, spectra: torch.Tensor, passes: int) -> np.ndarray:
    """Run one stochastic pass after the other through the whole network, as the paper does."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        with torch.inference_mode():
            network.training = True  # dropout acts; the layers inside keep their evaluation mode
            answers = [network(spectra).double().softmax(dim=-1).numpy()[0] for _ in range(passes)]
    finally:
        for module, training in modes:
            module.training = training
    return np.stack(answers)


def main() -> None:
    print(machine())
    model = bm.load_model("dcnn-2018")
    windows = bm.simulate(6, "simulated", seed=11)["image"].values
    spectra = model.spectra(windows[4:5], "window")
    monte_carlo_dropout(model.network, spectra, 100)
    loop(model.network, spectra, 100)
    batched, looped = [], []
    for _ in range(REPEATS):
        started = time.perf_counter()
        sampled = monte_carlo_dropout(model.network, spectra, PASSES)
        batched.append(time.perf_counter() - started)
        started = time.perf_counter()
        answers = loop(model.network, spectra, PASSES)
        looped.append(time.perf_counter() - started)
    ratios = np.array(looped) / np.array(batched)
    seen = answers.mean(axis=0) > 0.01  # rarer classes live from a few passes, which a standard error does not describe
    error = answers.std(axis=0, ddof=1) / np.sqrt(PASSES)
    apart = np.abs(answers.mean(axis=0) - sampled.probability[0])[seen] / (error[seen] * np.sqrt(2))
    print(f"{PASSES} passes, batched      {np.median(batched):.2f} s (median of {REPEATS})")
    print(f"{PASSES} passes, in a loop    {np.median(looped):.2f} s")
    print(f"ratio                    {np.median(ratios):.1f} (lowest {ratios.min():.1f})")
    print(f"largest difference of the means, in standard errors of the difference: {apart.max():.2f}")
    spread = np.abs(answers.std(axis=0, ddof=1) - sampled.probability_std[0]).max()
    print(f"largest difference of the standard deviations: {spread:.4f}")


if __name__ == "__main__":
    main()
