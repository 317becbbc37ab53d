"""Calibration of a network: a temperature that divides its scores, fitted on windows held apart.

The scores of a network are divided by one number, the temperature, before the softmax. It changes no ranking of a
single pass, only how sure the answers are. The mean over passes of Monte-Carlo dropout is less sure than a single pass,
so it has a temperature of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from bravaismap.classify.dropout import dropout_scores, evaluating
from bravaismap.classify.network import TEMPERATURES, DropoutNetwork
from bravaismap.errors import InputError
from bravaismap.evaluate.answers import score

__all__ = ["PASSES", "calibrate", "fit_temperature"]

_COLDEST, _HOTTEST = 0.05, 20.0
_BATCH = 600
#: Passes of Monte-Carlo dropout that their temperature is fitted for.
PASSES: Final = 30


def fit_temperature(scores: Tensor, labels: Tensor) -> float:
    """Return the temperature with the smallest negative log likelihood.

    Parameters
    ----------
    scores : Tensor, shape (n, classes) or (n, passes, classes)
        Before the softmax; the probabilities of passes are averaged.
    labels : Tensor, shape (n,)
        True classes.

    Raises
    ------
    InputError
        If there are no windows.

    References
    ----------
    C. Guo et al., Proc. ICML 70, 1321 (2017), section 4.2.
    """
    if len(scores) == 0 or len(scores) != len(labels):
        raise InputError(f"{len(scores)} windows and {len(labels)} labels were given; expected as many, at least 1")
    scores = scores.to(torch.float64)[:, None] if scores.ndim == 2 else scores.to(torch.float64)
    true = labels.to(torch.int64)[:, None, None].expand(-1, scores.shape[1], 1)

    def loss(logarithm: float) -> float:
        log_probability = (scores / np.exp(logarithm)).log_softmax(dim=-1).gather(2, true)[..., 0]
        return -float((log_probability.logsumexp(dim=1) - np.log(scores.shape[1])).mean())

    found = minimize_scalar(
        loss, bounds=(np.log(_COLDEST), np.log(_HOTTEST)), method="bounded", options={"xatol": 1e-4}
    )
    return float(np.exp(found.x))


def calibrate(
    network: DropoutNetwork, windows: Mapping[str, tuple[Tensor, Tensor]], classes: tuple[str, ...], seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit both temperatures on one half of windows held apart, and measure on the other half what that does.

    Parameters
    ----------
    network : DropoutNetwork
        On the CPU.
    windows : dict
        Recipe book → spectra (n, 64, 32) and labels (n,). The first half of each book is fitted on.
    classes : tuple of str
    seed : int
        Of the windows (it is only reported) and of the dropout.

    Returns
    -------
    calibration, figures : dict
        For the model card: the temperatures, and by recipe book accuracy, likelihood and calibration error.
    """
    single, passes, halves = [], [], [len(labels) // 2 for _, labels in windows.values()]
    for spectra, _ in windows.values():
        with evaluating(network):
            starts = range(0, len(spectra), _BATCH)
            single.append(torch.cat([network(spectra[i : i + _BATCH].float()).double() for i in starts]))
        passes.append(dropout_scores(network, spectra.float(), PASSES, seed))
    truth = [labels for _, labels in windows.values()]

    def fitted(scores: list[Tensor]) -> float:
        parts = [torch.cat([part[:half] for part, half in zip(s, halves, strict=True)]) for s in (scores, truth)]
        return fit_temperature(*parts)

    hot = fitted(single), fitted(passes)
    calibration = {
        **dict(zip(TEMPERATURES, hot, strict=True)),
        "passes": PASSES,
        "fitted on": f"{sum(halves)} windows of {', '.join(windows)}, seed {seed}",
    }
    figures = {}
    for name, half, one, many, labels in zip(windows, halves, single, passes, truth, strict=True):
        figures[f"{name}, {len(labels) - half} held-out windows, seed {seed}"] = {
            **_figures(one[half:, None], labels[half:], classes, hot[0]),
            f"{PASSES} passes": _figures(many[half:], labels[half:], classes, hot[1]),
        }
    return calibration, figures


def _figures(scores: Tensor, labels: Tensor, classes: tuple[str, ...], temperature: float) -> dict[str, float]:
    """Return figures of merit of passes (n, passes, classes), before and after calibration."""
    before, after = (
        score((scores / t).softmax(dim=-1).mean(dim=1).numpy(), labels.numpy(), classes) for t in (1.0, temperature)
    )
    figures = {
        "accuracy": after.accuracy,
        "negative log likelihood before": before.nll,
        "negative log likelihood": after.nll,
        "expected calibration error before": before.ece,
        "expected calibration error": after.ece,
    }
    return {name: round(value, 4) for name, value in figures.items()}
