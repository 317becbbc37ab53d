"""The record of the pixels of a frame: fields of its grid at every pixel."""

from __future__ import annotations

import pytest
import torch

from bravaismap.local.amplitude import Noise
from bravaismap.local.pixels import PixelPhases


def pixels(step: int, shape: tuple[int, int]) -> PixelPhases:
    empty = torch.zeros(0)
    return PixelPhases(*9 * [empty], (), (), Noise(1.0, 0.0, 1.0), 10.0, 4.0, step, shape)


@pytest.mark.parametrize(("step", "shape"), [(1, (5, 7)), (3, (13, 19)), (3, (15, 20))])
def test_a_plane_is_a_plane_at_every_pixel_and_goes_on_beyond_the_last_point(step: int, shape: tuple[int, int]) -> None:
    y, x = (torch.arange(length, dtype=torch.float64) for length in shape)
    plane = 0.5 * y[:, None] - 2 * x + 1
    every = pixels(step, shape).at_every_pixel(torch.stack([plane[::step, ::step], plane[::step, ::step] ** 0]))
    assert every.shape == (2, *shape)
    last = [step * ((length - 1) // step) + 1 for length in shape]
    torch.testing.assert_close(every[0, : last[0], : last[1]], plane[: last[0], : last[1]])
    torch.testing.assert_close(every[0, last[0] - 1 :, :1], plane[last[0] - 1, 0].expand(shape[0] - last[0] + 1, 1))
    assert (every[1] == 1).all()
