"""Smoothing: the same numbers as a Gaussian filter, and interpolation back to pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from bravaismap.compute.together import Length
from bravaismap.local.smoothing import (
    at_every_pixel,
    grid_length,
    interpolation,
    mean_shares,
    on_finer_grid,
    pixel_interpolation,
    smooth_mean,
    smoothed,
)


@pytest.mark.parametrize("step", [1, 3, 7])
@pytest.mark.parametrize("sigma", [0.4, 3.0, 30.0])
@pytest.mark.parametrize("size", [(61, 90), (128, 5)])
def test_smoothing_is_a_gaussian_filter(step: int, sigma: float, size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    said = smoothed(image, sigma, step)
    expected = gaussian_filter(image.numpy(), (0, 0, sigma, sigma), mode="constant", truncate=4.0)
    expected = expected[..., ::step, ::step]
    assert said.shape == (2, 3, grid_length(size[0], step), grid_length(size[1], step))
    np.testing.assert_allclose(said[..., : expected.shape[2], : expected.shape[3]], expected, atol=1e-12)
    torch.testing.assert_close(smoothed(image[1, 2], sigma, step), said[1, 2])


@pytest.mark.parametrize("step", [1, 3])
def test_a_length_of_several_records_smooths_as_a_number(step: int) -> None:
    planes = torch.rand(2, 40, 61, generator=torch.Generator().manual_seed(0))
    shared = Length(torch.tensor(2.3), 3.0)
    torch.testing.assert_close(smoothed(planes, shared, step), smoothed(planes, 2.3, step), atol=1e-6, rtol=0)


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("sigma", [0.4, 3.0, 30.0])
def test_a_number_expanded_to_a_plane_is_smoothed_as_any_plane(step: int, sigma: float) -> None:
    plane = torch.full((1, 1), 0.7, dtype=torch.float64).expand(61, 20)
    torch.testing.assert_close(smoothed(plane, sigma, step), smoothed(plane.contiguous(), sigma, step))


def test_mean_shares_are_smooth_means_and_add_up_to_one_where_something_is_seen() -> None:
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(3, 50, 40, dtype=torch.float64, generator=generator).softmax(0)
    weight = torch.zeros(50, 40, dtype=torch.float64)
    weight[:20, 5:] = 1.0
    mean = mean_shares(shares, weight, 2.5)
    torch.testing.assert_close(mean, smooth_mean(shares, weight, 2.5))
    torch.testing.assert_close(mean.sum(0)[:20], torch.ones(20, 40, dtype=torch.float64))
    assert float(mean[:, 40:].abs().max()) < 1e-12


@pytest.mark.parametrize("kind", [torch.float64, torch.complex128])
def test_a_finer_grid_has_the_values_of_the_coarse_one_and_what_is_linear_between(kind: torch.dtype) -> None:
    values = (torch.arange(9.0)[:, None, None] + 2 * torch.arange(7.0)[:, None]).expand(9, 7, 2).to(kind)
    finer = on_finer_grid(values, 6, 2, (20, 14))
    assert finer.shape == (20, 14, 2)
    torch.testing.assert_close(finer[:20:3, :14:3], values[:7, :5])
    torch.testing.assert_close(finer[4, 7], torch.full((2,), 4 / 3 + 2 * 7 / 3, dtype=kind))


def test_interpolation_at_pixels_is_that_at_their_places() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    matrix = pixel_interpolation(range(2, 30, 3), 4, 10, like)
    assert torch.equal(matrix, interpolation(torch.arange(2, 30, 3).double(), 4, 10))


@pytest.mark.parametrize("step", [1, 3, 50])
@pytest.mark.parametrize("size", [(61, 90), (128, 5)])
def test_planes_at_every_pixel_are_those_of_the_matrices_of_interpolation(step: int, size: tuple[int, int]) -> None:
    counts = [grid_length(length, step) for length in size]
    planes = torch.rand(2, 3, *counts, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    down, right = (
        interpolation(torch.arange(length).double(), step, count) for length, count in zip(size, counts, strict=True)
    )
    torch.testing.assert_close(at_every_pixel(planes, step, size), down @ planes @ right.mT)


def test_interpolation_is_exact_for_parabolas_inside() -> None:
    grid = torch.arange(10, dtype=torch.float64) * 4
    places = torch.linspace(4, 32, 57, dtype=torch.float64)
    matrix = interpolation(places, 4, 10)
    torch.testing.assert_close(matrix.sum(1), torch.ones(57, dtype=torch.float64))
    torch.testing.assert_close(matrix @ (0.3 * grid**2 - grid), 0.3 * places**2 - places)
