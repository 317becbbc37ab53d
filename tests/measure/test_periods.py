"""Periods: the evidence off the strongest line of waves."""

from __future__ import annotations

import numpy as np
import torch

from bravaismap.measure.measurement import measure
from bravaismap.measure.odds import none_probability
from bravaismap.measure.periods import both_ways, off_line

ORDER = torch.tensor([[[1.0, 0], [2, 0], [0, 1], [1, 1]]])


def test_the_strongest_line_does_not_count() -> None:
    gain = torch.tensor([[30.0, 20.0, 4.0, 3.0]])
    assert float(off_line(gain, ORDER)) == 7.0
    assert float(both_ways(gain, ORDER)) == 14.0
    assert float(both_ways(torch.tensor([[5.0, 5.0, 9.0, 8.0]]), ORDER)) == 27.0


def test_fringes_and_columns_are_none() -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:128, :128]
    images = []
    for _ in range(12):
        turn, period = rng.uniform(0, np.pi), rng.uniform(4, 20)
        wave = np.sin(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / period)
        images.append(wave + rng.standard_normal((128, 128)))
        images.append(np.tile(rng.standard_normal(8), 16) + rng.standard_normal((128, 128)))
    evidence = measure(torch.from_numpy(np.array(images, np.float32))).evidence
    assert (none_probability(evidence.numpy()) > 0.9).all()
