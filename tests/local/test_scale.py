"""Amplitude by which a pattern is scaled: that of whole atoms, whatever the noise."""

from __future__ import annotations

import pytest
import torch

from bravaismap.local.amplitude import LocalFit
from bravaismap.local.scale import ramp, usual_amplitude

ROWS, COLUMNS = 60, 80


def fitted(error: float, *, level: float = 1.3) -> tuple[LocalFit, torch.Tensor, torch.Tensor]:
    """A crystal of an amplitude in three quarters of the frame, its errors, and where it is."""
    crystal = (torch.arange(COLUMNS) < 60).float().expand(1, ROWS, COLUMNS)
    noise = error * torch.randn((1, ROWS, COLUMNS), generator=torch.Generator().manual_seed(3))
    amplitude = level * crystal + noise
    ones = torch.ones_like(amplitude)
    return LocalFit(ones[0], amplitude, ones, 0 * ones[0], 0 * ones, ones[0], 4.0, 2), error * ones, crystal


@pytest.mark.parametrize("error", [0.05, 0.3])
def test_the_inside_of_a_crystal_tells_its_amplitude(error: float) -> None:
    fit, std, crystal = fitted(error)
    assert float(usual_amplitude(fit, std, 0.9 * crystal, crystal)) == pytest.approx(1.3, abs=0.02)


def test_probabilities_that_follow_the_noise_are_nearer_to_the_true_amplitude_than_what_it_chose() -> None:
    fit, std, _ = fitted(0.75)
    odds = 3 * torch.exp((2 * fit.amplitude * 1.3 - 1.3**2) / (2 * std**2))  # Bayes, three quarters beforehand
    share = odds / (1 + odds)
    chosen = float(fit.amplitude[share > 0.8].median())
    assert chosen > 1.45
    assert float((share * fit.amplitude).sum() / share.sum()) == pytest.approx(1.3, abs=0.03)
    assert abs(float(usual_amplitude(fit, std, share, share)) - 1.3) < 0.6 * (chosen - 1.3)


def test_a_frame_of_which_nothing_is_known_has_its_mean_amplitude() -> None:
    fit, std, _ = fitted(3.0)
    nowhere = torch.full_like(std, 0.01)
    assert float(usual_amplitude(fit, std, nowhere, nowhere)) == pytest.approx(float(fit.amplitude.mean()), rel=1e-4)


def test_a_ramp_is_linear_between_its_limits() -> None:
    torch.testing.assert_close(
        ramp(torch.tensor([0.0, 1.0, 1.5, 3.0, 9.0]), (1.0, 3.0)), torch.tensor([0.0, 0.0, 0.25, 1.0, 1.0])
    )
