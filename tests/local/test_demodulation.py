"""Demodulation and the smoothing under it: the same numbers as written out, and known displacements."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from bravaismap.compute.together import Length
from bravaismap.local.amplitude import fit_amplitude, frame_noise, row_offsets
from bravaismap.local.area import area_fraction
from bravaismap.local.demodulation import demodulate, lattice_nodes, lock, locked_basis, predicted
from bravaismap.local.smoothing import at_every_pixel, grid_length, interpolation, pixel_interpolation, smoothed

BASIS = torch.tensor([[0.7, 9.6], [8.9, -1.3]], dtype=torch.float64)


def motif(shift: tuple[float, float] = (0.0, 0.0), size: int = 150) -> torch.Tensor:
    """Two atoms in a cell, the second one dark."""
    y, x = torch.meshgrid(*2 * [torch.arange(size, dtype=torch.float64)], indexing="ij")
    inside = (torch.stack([y - shift[0], x - shift[1]], -1)) @ torch.linalg.inv(BASIS)
    image = torch.zeros_like(y)
    for place, height in ((0.1, 1.0), (0.55, -0.6)):
        angle = 2 * torch.pi * (inside - place)
        image += height * torch.exp(1.2 * (angle.cos().sum(-1) - 2))
    return image


def locked_of(image: torch.Tensor, basis: torch.Tensor = BASIS):
    flat = image - image.mean()
    return lock(demodulate(flat, torch.ones_like(image), basis, lattice_nodes(basis), 22.0, 11))


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


def test_an_amplitude_is_the_weighted_mean_written_out() -> None:
    generator = torch.Generator().manual_seed(2)
    image, share = torch.rand(2, 90, 110, dtype=torch.float64, generator=generator)
    order = lattice_nodes(BASIS)
    waves = demodulate(image, share, BASIS, order, 12.0, 6)
    y, x = torch.meshgrid(torch.arange(90).double(), torch.arange(110).double(), indexing="ij")
    distance = (y - 42) ** 2 + (x - 60) ** 2
    weight = share * torch.exp(-distance / 288)
    for number in (0, 3):
        g = waves.frequency[number]
        expected = (weight * image * torch.exp(-2j * torch.pi * (g[0] * y + g[1] * x))).sum() / weight.sum()
        torch.testing.assert_close(waves.amplitude[number, 7, 10], expected, rtol=5e-4, atol=1e-5)


def test_the_pattern_is_the_crystal_to_the_edges() -> None:
    image = motif((1.3, -2.1))
    left = image - image.mean() - predicted(locked_of(image), (150, 150))
    assert float(left.std() / image.std()) < 0.05


def test_displacements_come_back_modulo_the_lattice() -> None:
    first, second = locked_of(motif()), locked_of(motif((2.4, -1.7)))
    # the origin is that of the averaged cell: only what both have in common is told by its structure factors
    turn = torch.angle(second.structure * first.structure.conj())
    strong = first.structure.abs() > 0.2 * first.structure.abs().max()
    moved = (second.shift[7, 7] - first.shift[7, 7]) @ BASIS
    expected = torch.tensor([2.4, -1.7], dtype=torch.float64)
    phase = -2 * torch.pi * (first.waves.frequency[strong] @ (expected - moved))
    torch.testing.assert_close(torch.exp(1j * phase), torch.exp(1j * turn[strong]), atol=0.05, rtol=0)


def test_the_mean_strain_goes_into_the_basis() -> None:
    wrong = BASIS @ torch.tensor([[1.006, 0.003], [-0.002, 0.995]], dtype=torch.float64)
    better = locked_basis(locked_of(motif(), wrong))
    assert float((better - BASIS).abs().max()) < 0.2 * float((wrong - BASIS).abs().max())


def test_a_search_that_begins_near_ends_where_one_from_nothing_does() -> None:
    image = motif((2.0, 1.0))
    before = locked_of(image, BASIS @ torch.tensor([[1.004, 0.002], [-0.003, 0.997]], dtype=torch.float64))
    flat, order = image - image.mean(), lattice_nodes(BASIS)
    waves = demodulate(flat, torch.ones_like(image), locked_basis(before), order, 22.0, 11)
    near, anew = lock(waves, near=before), lock(waves)
    # the origin of the cell is free: what is predicted is the same
    torch.testing.assert_close(predicted(near, (150, 150)), predicted(anew, (150, 150)), atol=1e-3, rtol=0)
    torch.testing.assert_close(near.coherence, anew.coherence, atol=1e-3, rtol=0)
    torch.testing.assert_close(near.covariance, anew.covariance, atol=0, rtol=1e-2)


def test_an_amplitude_ignores_a_constant_and_scales_with_the_pattern() -> None:
    image = motif(size=90)
    pattern = (image - image.mean())[None]
    valid = torch.ones_like(image)
    fit = fit_amplitude(0.7 * pattern[0] + 5, pattern, valid, 4.0, 3)
    torch.testing.assert_close(fit.amplitude, torch.full_like(fit.amplitude, 0.7), atol=1e-6, rtol=0)
    assert float(fit.residual(0.7).max()) < 1e-9


def test_the_noise_of_counts_is_their_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = 3 + 2 * motif(size=200) / motif().max()
    counts = torch.poisson(mean, generator=generator)
    noise = frame_noise(counts - mean, mean, torch.ones_like(mean), (0.05, 0.3))
    assert noise.slope == pytest.approx(1, abs=0.15)
    assert noise.correlation == pytest.approx(1, abs=0.1)


def test_row_offsets_are_found_and_chance_is_not() -> None:
    generator = torch.Generator().manual_seed(0)
    residual = torch.randn(100, 80, generator=generator)
    valid = torch.ones_like(residual)
    assert float(row_offsets(residual, valid, valid).abs().max()) < 0.25
    offset = 2 * torch.randn(100, 1, generator=generator)
    found = row_offsets(residual + offset, valid, valid)
    assert float((found - offset).std()) < 0.15


def test_the_error_of_an_area_is_that_of_its_uncertain_pixels() -> None:
    probability = torch.full((2, 100, 100), 0.5)
    area = area_fraction(probability, torch.ones(100, 100), torch.tensor([0, 1]), 2, 10.0, 4.0, 2)
    points = max(100.0, 4 * np.pi * 16) / 4
    assert float(area.fraction[0]) == pytest.approx(0.5)
    assert float(area.fraction_std[0]) == pytest.approx(np.sqrt(0.25 * points / 1e4), rel=1e-4)


def test_the_error_of_an_area_is_that_of_its_boundary_but_not_of_what_is_masked() -> None:
    first = (torch.arange(100) < 40).float().expand(100, 100)
    probability, labels = torch.stack([first, 1 - first]), torch.tensor([0, 1])
    whole = area_fraction(probability, torch.ones(100, 100), labels, 2, 10.0, 4.0, 2)
    assert float(whole.fraction_std[0]) == pytest.approx(100 * 0.1 * 10 / 2 / 1e4, rel=1e-4)
    seen = torch.ones(100, 100)
    seen[:, 60:] = 0
    half = area_fraction(probability, seen, labels, 2, 10.0, 4.0, 2)
    assert half.fraction.tolist() == pytest.approx([40 / 60, 20 / 60])
    assert half.fraction_std.tolist() == pytest.approx([100 * 0.1 * 10 / 2 / 6e3] * 2, rel=1e-4)
    seen[:, 30:] = 0
    alone = area_fraction(probability, seen, labels, 2, 10.0, 4.0, 2)
    assert alone.fraction.tolist() == pytest.approx([1, 0])
    assert alone.fraction_std.tolist() == pytest.approx([0, 0], abs=1e-9)
