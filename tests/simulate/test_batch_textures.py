"""Batches of images without a lattice: each pattern is what it is called, and JPEG blocks are those of a JPEG."""

from __future__ import annotations

import imageio.v3 as imageio
import numpy as np
import pytest
import torch

from bravaismap.simulate.batch.draws import Draws, RecipeTable
from bravaismap.simulate.batch.textures import compressed, pattern_images
from bravaismap.simulate.patterns import draw_pattern
from bravaismap.simulate.recipe import PATTERNS, Recipe

SIDE = 96


def drawn(count: int = 60) -> Draws:
    number = torch.arange(count)
    return Draws.of(RecipeTable([Recipe("none")], "cpu"), torch.zeros_like(number), 4, number)


def profile(images: np.ndarray) -> np.ndarray:
    """Return the power of images by spatial frequency, averaged, without that of their mean."""
    power = np.abs(np.fft.rfft2(images - images.mean(axis=(1, 2), keepdims=True))) ** 2
    power /= power.sum(axis=(1, 2), keepdims=True)
    k = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE))
    ring = np.digitize(k, [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5])
    return np.array([power[:, ring == i].sum(axis=1).mean() for i in range(8)])


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_have_the_spectra_of_single_ones(name: str) -> None:
    images = pattern_images(name, drawn(), SIDE).numpy()
    rng = np.random.default_rng(0)
    singles = np.stack([draw_pattern(name, SIDE, rng) for _ in range(60)])
    assert images.min() == 0
    assert images.max() == 1
    assert len({image.tobytes() for image in images}) == 60
    np.testing.assert_allclose(profile(images), profile(singles), atol=0.13)
    np.testing.assert_allclose(images.mean(), singles.mean(), atol=0.08)
    np.testing.assert_allclose(images.std(axis=(1, 2)).mean(), singles.std(axis=(1, 2)).mean(), rtol=0.15)


def test_rows_and_columns_are_constant_along_their_lines() -> None:
    assert float(pattern_images("rows", drawn(), SIDE).std(dim=2).max()) < 1e-6
    columns = pattern_images("columns", drawn(), SIDE)
    assert float(columns.std(dim=1).max()) < 1e-6
    line = (columns[:, 0] - columns[:, 0].mean(dim=1, keepdim=True)).double()
    repeats = torch.stack([(line[:, lag:] * line[:, :-lag]).mean(dim=1) for lag in range(2, 17)]).amax(dim=0)
    assert float((repeats / line.square().mean(dim=1)).mean()) > 0.4  # the channels of the read-out come again


def test_compression_is_that_of_a_jpeg() -> None:
    draws = drawn(24)
    y, x = torch.meshgrid(torch.arange(100.0), torch.arange(100.0), indexing="ij")
    phase = torch.arange(24.0)[:, None, None]
    image = torch.sin(y / 9 + phase) + torch.cos(x / 7 + y / 31) + 0.3 * torch.sin(x * y / 900)
    found = compressed(draws, image).numpy()
    unit = draws.units("compression").numpy()
    assert len(np.unique(np.floor(3 * unit[:, 1]))) == 3
    apart = []
    for i in range(24):
        quality, factor = 3 + int(18 * unit[i, 0]), 1 + int(3 * unit[i, 1])
        corner = image[i, : -(-100 // factor), : -(-100 // factor)].numpy()
        levels = np.rint((corner - corner.min()) * 255 / np.ptp(corner)).astype(np.uint8)
        file = imageio.imwrite("<bytes>", levels, extension=".jpg", quality=quality)
        expected = imageio.imread(file, extension=".jpg").astype(float)
        small = found[i, factor // 2 :: factor, factor // 2 :: factor] if factor == 3 else found[i]
        if factor in (1, 3):
            rows = min(len(small), len(expected))
            apart.append(np.abs(small[:rows, :rows] - expected[:rows, :rows]).ravel())
        assert found[i].shape == (100, 100)
    # the library computes with integers, and now and then rounds a coefficient of a block to the other side
    assert np.median([pixels.max() for pixels in apart]) <= 1
    assert (np.concatenate(apart) > 1).mean() < 0.02


def test_compressed_images_are_made_of_blocks() -> None:
    draws = drawn(40)
    smooth = pattern_images("blocks", draws, 128)
    image = compressed(draws, smooth)
    whole = draws.units("compression")[:, 1] < 1 / 3
    steps = image[whole].diff(dim=2).abs().mean(dim=(0, 1))
    edges = torch.arange(127) % 8 == 7
    assert float(steps[edges].mean()) > 2 * float(steps[~edges].mean())
