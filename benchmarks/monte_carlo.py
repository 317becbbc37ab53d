"""Time many passes of Monte-Carlo dropout on one window, against a pass-by-pass loop of the same network.

python benchmarks/monte_carlo.py [--passes 5000] [--repeats 5] [--json FILE]
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from machine import load, machine, parser, write_figures

import bravaismap as bm
from bravaismap.classify.dropout import monte_carlo_dropout
from bravaismap.classify.network import DropoutNetwork


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


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--passes", type=int, default=5000, help="as many as the paper")
    options.add_argument("--repeats", type=int, default=5)
    asked = options.parse_args(arguments)
    passes, before = asked.passes, load()
    print(f"{machine()}; load before the run {before}")
    model = bm.load_model("dcnn-2018")
    windows = bm.simulate(6, "simulated", seed=11)["image"].values
    spectra = model.inputs(windows[4:5])
    monte_carlo_dropout(model.network, spectra, 100)
    loop(model.network, spectra, 100)
    batched, looped = [], []
    for _ in range(asked.repeats):
        started = time.perf_counter()
        sampled = monte_carlo_dropout(model.network, spectra, passes)
        batched.append(time.perf_counter() - started)
        started = time.perf_counter()
        answers = loop(model.network, spectra, passes)
        looped.append(time.perf_counter() - started)
    ratios = np.array(looped) / np.array(batched)
    seen = answers.mean(axis=0) > 0.01  # rarer classes live from a few passes, which a standard error does not describe
    error = answers.std(axis=0, ddof=1) / np.sqrt(passes)
    apart = np.abs(answers.mean(axis=0) - sampled.probability[0])[seen] / (error[seen] * np.sqrt(2))
    print(f"{passes} passes, batched      {np.median(batched):.2f} s (median of {asked.repeats})")
    print(f"{passes} passes, in a loop    {np.median(looped):.2f} s")
    print(f"ratio                    {np.median(ratios):.1f} (lowest {ratios.min():.1f})")
    print(f"largest difference of the means, in standard errors of the difference: {apart.max():.2f}")
    spread = np.abs(answers.std(axis=0, ddof=1) - sampled.probability_std[0]).max()
    print(f"largest difference of the standard deviations: {spread:.4f}")
    figures = {"passes": passes, "repeats": asked.repeats, "load": before}
    figures |= {"batched": float(np.median(batched)), "looped": float(np.median(looped))}
    figures |= {"ratio": float(np.median(ratios)), "lowest_ratio": float(ratios.min())}
    figures |= {"means_apart": float(apart.max()), "deviations_apart": float(spread)}
    write_figures(asked.json, "monte_carlo", figures)


if __name__ == "__main__":
    main()
