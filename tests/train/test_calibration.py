"""Calibration: the temperature that is put in is found again, and helps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bravaismap.classify.models import NetworkClassifier
from bravaismap.conventions import CLASSES
from bravaismap.errors import InputError
from bravaismap.spectrum import spectrum
from bravaismap.train.calibration import PASSES, calibrate, fit_temperature


def drawn(temperature: float, windows: int = 20_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores, and labels drawn from their softmax at a temperature."""
    generator = torch.Generator().manual_seed(0)
    scores = 3 * torch.randn(windows, 4, generator=generator, dtype=torch.float64)
    labels = torch.multinomial((scores / temperature).softmax(dim=1), 1, generator=generator)[:, 0]
    return scores, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_temperature_of_known_labels(temperature: float) -> None:
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.03)


def test_equal_passes_count_as_one() -> None:
    scores, labels = drawn(1.7, 2000)
    one = fit_temperature(scores, labels)
    assert fit_temperature(scores[:, None].expand(-1, 5, -1), labels) == pytest.approx(one, rel=1e-3)


def test_passes_that_disagree_need_a_lower_temperature() -> None:
    scores, labels = drawn(1.0, 4000)
    noise = 2 * torch.randn(4000, 30, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert fit_temperature(scores[:, None] + noise, labels) < 0.95


def test_no_windows() -> None:
    with pytest.raises(InputError, match="0 windows and 0 labels"):
        fit_temperature(torch.zeros(0, 4), torch.zeros(0))
    with pytest.raises(InputError, match="3 windows and 2 labels"):
        fit_temperature(torch.zeros(3, 4), torch.zeros(2))


def test_a_network_is_calibrated_on_one_half_and_judged_on_the_other(
    quick: NetworkClassifier, windows: np.ndarray
) -> None:
    spectra = spectrum(torch.from_numpy(windows))
    labels = torch.arange(12) % 6
    books = {"one": (spectra.half(), labels), "two": (spectra.flip(0).half(), labels.flip(0))}
    calibration, figures = calibrate(quick.network, books, CLASSES, 5)
    again, _ = calibrate(quick.network, {"one": (spectra[:6], labels[:6]), "two": books["two"]}, CLASSES, 5)
    assert calibration["passes"] == PASSES
    assert calibration["fitted on"] == "12 windows of one, two, seed 5"
    assert calibration["temperature"] != again["temperature"]
    assert list(figures) == ["one, 6 held-out windows, seed 5", "two, 6 held-out windows, seed 5"]
    with torch.no_grad():
        scores = quick.network(spectra.half().float()).double()
    fitted = fit_temperature(torch.cat([scores[:6], scores.flip(0)[:6]]), torch.cat([labels[:6], labels.flip(0)[:6]]))
    assert calibration["temperature"] == pytest.approx(fitted, rel=1e-3)
    log_probability = (scores / fitted).log_softmax(dim=1)[6:]
    nll = -log_probability[torch.arange(6), labels[6:]].mean()
    first = figures["one, 6 held-out windows, seed 5"]
    assert first["negative log likelihood"] == pytest.approx(float(nll), abs=2e-4)
    assert first["accuracy"] == pytest.approx(
        float((log_probability.argmax(1) == labels[6:]).double().mean()), abs=1e-4
    )
    assert set(first[f"{PASSES} passes"]) == set(first) - {f"{PASSES} passes"}
