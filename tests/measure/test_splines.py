"""Splines: they follow polynomials, keep sums, and leave of a smooth image nothing that repeats from value to value."""

from __future__ import annotations

import pytest
import torch

from bravaismap.measure import settings
from bravaismap.measure.measurement import measure
from bravaismap.measure.splines import spline_matrix


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_polynomials_of_the_third_degree_differ_by_a_constant_or_a_line(degree: int) -> None:
    place = torch.linspace(2, 7, 51, dtype=torch.float64)
    values = torch.arange(10, dtype=torch.float64) ** degree
    left = spline_matrix(place, 10).double() @ values - place**degree
    slope = left - left[0] - (left[-1] - left[0]) * (place - place[0]) / (place[-1] - place[0])
    assert slope.abs().max() < 1e-4 * values.max()


def test_the_weights_of_a_place_add_up_to_one_and_the_ends_go_on() -> None:
    matrix = spline_matrix(torch.linspace(-1, 10, 23), 10)
    assert torch.allclose(matrix.sum(1), torch.ones(23), atol=1e-6)
    assert matrix[0].argmax() == 0
    assert matrix[-1].argmax() == 9


@pytest.mark.parametrize("side", [96, 128, 192])
def test_a_smooth_image_without_noise_has_no_lattice(side: int) -> None:
    y, x = torch.meshgrid(*[torch.arange(side, dtype=torch.float64) / side - 0.5] * 2, indexing="ij")
    square = y**2 + x**2
    images = [
        x**3 - 2 * y**2 * x, (y + 0.1) ** 2 + x * y, y * x, torch.cos(torch.atan(2 * square.sqrt())) ** 4,
        torch.exp(-square / 0.08),
        torch.exp(-((x - 0.1) ** 2 + y**2) / 0.013) + torch.exp(-((x + 0.2) ** 2 + y**2) / 0.013),
    ]  # fmt: skip
    assert measure(torch.stack(images)).evidence.max() < settings.SETTINGS.odds.even_evidence
