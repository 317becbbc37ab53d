"""Log-polar correlation: where pairs of spots come to lie, and what does not move them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bravaismap.classify.correlation import LogPolarCorrelation, log_polar
from bravaismap.spectrum import quarter_turned, spectrum

ANGLES, RADII, SHIFTS = 64, 32, 24
STEP = math.log(32 / 2.8) / (RADII - 1)  # of the logarithm of the radius


def spots(*polar: tuple[float, float]) -> Tensor:
    """Return a half plane with a Gaussian spot at each (angle in degrees, radius in px), and at its opposite."""
    y, x = torch.meshgrid(torch.arange(-32.0, 32), torch.arange(32.0), indexing="ij")
    image = torch.zeros(64, 32)
    for angle, radius in polar:
        for sign in (1, -1):
            cy, cx = (sign * radius * f(math.radians(angle)) for f in (math.sin, math.cos))
            image += torch.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 2)
    return image[None, None]


def correlation(spectra: Tensor) -> Tensor:
    """Return the correlation of the log-polar spectrum itself, Δθ = 0 in row 16."""
    stem = LogPolarCorrelation(1, ANGLES, RADII, SHIFTS).eval()
    with torch.no_grad():
        stem.feature[0].weight.zero_()[0, 0, 1, 1] = 1
        return stem(spectra)[0, 0]


@pytest.mark.parametrize(("angle", "radius"), [(0.0, 8.0), (40.0, 12.0), (-75.0, 20.0), (90.0, 10.0)])
def test_a_spot_lies_at_its_angle_and_radius(angle: float, radius: float) -> None:
    polar = log_polar(spots((angle, radius)), ANGLES, RADII)[0, 0]
    row, column = divmod(int(polar.argmax()), RADII)
    away = (row * 180 / ANGLES - 90 - angle + 90) % 180 - 90
    assert abs(away) <= 1.5 * 180 / ANGLES
    assert math.log(radius / 2.8) / STEP == pytest.approx(column, abs=1)
    assert float(polar.max()) > 0.8


@pytest.mark.parametrize(("between", "ratio"), [(90.0, 1.0), (60.0, 1.0), (45.0, 2**0.5), (90.0, 1.8), (72.0, 1.4)])
def test_a_pair_of_spots_gives_a_peak_at_its_angle_and_ratio(between: float, ratio: float) -> None:
    found = correlation(spots((10.0, 9.0), (10.0 + between, 9.0 * ratio)))
    row, column = between * ANGLES / 180, math.log(ratio) / STEP
    # Δθ from the lower to the higher radius is ±between: both signs are looked at.
    values = [found[(ANGLES // 4 + sign * round(row)) % ANGLES, round(column)] for sign in (1, -1)]
    away = found[(ANGLES // 4 + round(row / 2)) % ANGLES, round(column)]
    assert float(max(values)) > 0.2
    assert float(max(values)) > 5 * abs(float(away))


def test_neither_turning_nor_scaling_moves_the_correlation() -> None:
    here, turned, scaled = (
        correlation(spots((angle, radius), (angle + 70, 1.3 * radius)))
        for angle, radius in ((5.0, 12.0), (38.0, 12.0), (5.0, 15.0))
    )
    assert float((here - turned).abs().max()) < 0.1 * float(here.max())
    # Spots have a fixed size, so on the log-polar grid they shrink with their radius: their peaks stay where they are.
    assert float((here - scaled).abs().max()) < 0.35 * float(here.max())
    different = correlation(spots((5.0, 12.0), (95.0, 1.3 * 12.0)))
    assert float((here - different).abs().max()) > 0.35 * float(here.max())


def test_a_quarter_turn_is_a_shift() -> None:
    spectra = spectrum(torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(0)))
    polar, turned = (log_polar(s[:, None], ANGLES, 20) for s in (spectra, quarter_turned(spectra)))
    inside = slice(0, 18)  # the last radii meet the edge of the half plane
    torch.testing.assert_close(turned.roll(ANGLES // 2, 2)[..., inside], polar[..., inside], atol=0.15, rtol=0)


def test_correlation_is_that_of_the_definition() -> None:
    stem = LogPolarCorrelation(3, 16, 12, 7).eval()
    spectra = torch.rand(2, 1, 64, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        polar = log_polar(spectra, 16, 12)
        feature = stem.feature(torch.cat([polar[:, :, -1:], polar, polar[:, :, :1]], dim=2))
        expected = torch.zeros(2, 3, 16, 7)
        for turn in range(16):
            for shift in range(7):
                moved = feature.roll(-turn, dims=2)[..., shift:]
                expected[:, :, turn, shift] = (feature[..., : 12 - shift] * moved).sum(dim=(2, 3))
        expected = (expected / (expected[..., :1, :1] + 1e-6)).roll(4, dims=2)
        torch.testing.assert_close(stem(spectra), expected, atol=1e-4, rtol=1e-3)
