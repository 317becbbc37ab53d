"""Calibration of a network: a temperature that divides its scores, fitted on held-out windows.

The scores of a network are divided by one number, the temperature, before the softmax. This leaves the ranking of the
classes in a single pass unchanged and alters only the confidence. The mean over passes of Monte-Carlo dropout is less
confident than a single pass and has a temperature of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from bravaismap.classify.dropout import dropout_scores, evaluating
from bravaismap.classify.network import TEMPERATURES, DropoutNetwork, Ensemble
from bravaismap.classify.tokens import Tokens
from bravaismap.errors import InputError
from bravaismap.evaluate.scores import score

__all__ = ["PASSES", "calibrate", "fit_temperature"]

_COLDEST, _HOTTEST = 0.05, 20.0  # limits of the search for a temperature
_BATCH = 600  # windows, for memory
#: Passes of Monte-Carlo dropout for which their temperature is fitted.
PASSES: Final = 30


def fit_temperature(scores: Tensor, labels: Tensor) -> float:
    """Return the temperature of the smallest negative log likelihood.

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

    optimum = minimize_scalar(
        loss, bounds=(np.log(_COLDEST), np.log(_HOTTEST)), method="bounded", options={"xatol": 1e-4}
    )
    return float(np.exp(optimum.x))


def calibrate(
    network: DropoutNetwork | Ensemble,
    windows: Mapping[str, tuple[Tensor | Tokens, Tensor]],
    classes: tuple[str, ...],
    seed: int,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit both temperatures on one half of held-out windows, and score the network before and after on the other half.

    Parameters
    ----------
    network : DropoutNetwork or Ensemble
        On the device of the windows.
    windows : dict
        Recipe book → spectra (n, 64, 32) or tokens, and labels (n,). The first half of each book is fitted on.
    classes : tuple of str
    seed : int
        Of the windows (only reported) and of the dropout.

    Returns
    -------
    calibration, figures : dict
        For the model card: the temperatures, and by recipe book accuracy, likelihood and calibration error.
    """
    single, passes, halves = [], [], [len(labels) // 2 for _, labels in windows.values()]
    for inputs, _ in windows.values():
        starts = range(0, len(inputs), _BATCH)
        with evaluating(network):
            parts = [network(inputs[i : i + _BATCH].to(torch.float32)).double() for i in starts]
        single.append(torch.cat(parts).cpu())
        drawn = [dropout_scores(network, inputs[i : i + _BATCH].to(torch.float32), PASSES, seed) for i in starts]
        passes.append(torch.cat(drawn).cpu())
    truth = [labels.cpu() for _, labels in windows.values()]

    def fitted(scores: list[Tensor]) -> float:
        parts = [torch.cat([part[:half] for part, half in zip(s, halves, strict=True)]) for s in (scores, truth)]
        return fit_temperature(*parts)

    temperatures = fitted(single), fitted(passes)
    calibration = {
        **dict(zip(TEMPERATURES, temperatures, strict=True)),
        "passes": PASSES,
        "fitted on": f"{sum(halves)} windows of {', '.join(windows)}, seed {seed}",
    }
    figures = {}
    for name, half, alone, many, labels in zip(windows, halves, single, passes, truth, strict=True):
        figures[f"{name}, {len(labels) - half} held-out windows, seed {seed}"] = {
            **_figures(alone[half:, None], labels[half:], classes, temperatures[0]),
            f"{PASSES} passes": _figures(many[half:], labels[half:], classes, temperatures[1]),
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
