"""Local waves: sums over tiles are those of a windowed Fourier transform, and say where a wave is."""

from __future__ import annotations

import numpy as np
import torch

from bravaismap.measure.local_waves import local_sums


def test_each_sum_is_that_of_its_tile() -> None:
    rng = np.random.default_rng(3)
    images, frequency = rng.normal(size=(2, 50, 44)), rng.uniform(-0.5, 0.5, (2, 3, 2))
    side, step = 16, 8
    even, odd = local_sums(torch.from_numpy(images), torch.from_numpy(frequency), side, step)
    taper = np.outer(*[0.5 - 0.5 * np.cos(2 * np.pi * np.arange(side) / side)] * 2)
    corners = [(top, left) for top in range(0, 50 - side + 1, step) for left in range(0, 44 - side + 1, step)]
    assert even.shape == odd.shape == (2, len(corners), 3)
    y, x = np.mgrid[:50, :44]
    for number, wave in ((0, 0), (1, 2)):
        turned = images[number] * np.exp(2j * np.pi * (frequency[number, wave, 0] * y + frequency[number, wave, 1] * x))
        expected = [(turned[t : t + side, s : s + side] * taper).sum() for t, s in corners]
        np.testing.assert_allclose(even[number, :, wave] + 1j * odd[number, :, wave], expected, atol=1e-4)


def test_a_wave_of_one_half_is_in_its_tiles_and_in_phase() -> None:
    y, x = np.mgrid[:64, :64]
    half = np.where(x < 32, np.cos(2 * np.pi * (0.21 * y + 0.1 * x)), 0.0)
    even, odd = local_sums(torch.from_numpy(half)[None], torch.tensor([[[0.21, 0.1]]], dtype=torch.float64), 16, 16)
    power = (even.square() + odd.square())[0, :, 0].reshape(4, 4)
    assert (power[:, 2:] < 1e-6 * power[0, 0]).all()
    together = even.sum(1).square() + odd.sum(1).square()
    np.testing.assert_allclose(together[0, 0], 8 * power.sum(), rtol=0.05)
