"""Judgement of networks on held-out windows of a stream: figures while they learn, and then temperatures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from bravaismap.classify.network import DropoutNetwork, Ensemble, ModelCard, cell_of, load_network, save_network
from bravaismap.train.calibration import calibrate
from bravaismap.train.plan import SEED_OF_CALIBRATION, Progress, StreamPlan, held_out
from bravaismap.train.pool import Lessons

__all__ = ["calibrate_on_stream", "judged"]

_JUDGED_AT_ONCE: Final = 2048  # windows, for memory
#: Largest error of a component of a cell that is still the same lattice.
_SAME_CELL: Final = 0.1
#: Squared error, over its covariance, below which 68.3 % lie in three dimensions.
_ONE_SIGMA: Final = 3.527


def judged(network: DropoutNetwork | Ensemble, windows: Lessons, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Return accuracy and negative log likelihood of the mean of an ensemble: of all windows, and by kind and side."""
    parts, cells = [], []
    with torch.no_grad():
        for start in range(0, len(windows), _JUDGED_AT_ONCE):
            tokens = windows[start : start + _JUDGED_AT_ONCE].to(torch.float32).tokens
            parts.append(network(tokens).double().softmax(-1))
            cells.append(cell_of(network, tokens))
    probability = torch.cat(parts)
    error = torch.cat([cell.mean for cell in cells]) - windows.cell
    near = (error.abs().amax(-1) < _SAME_CELL) & windows.cell.isfinite().all(-1)
    covariance = torch.cat([cell.covariance for cell in cells])
    squared = (error[:, None] @ torch.linalg.inv_ex(covariance)[0] @ error[..., None]).flatten()
    right = (probability.argmax(-1) == windows.label).double()
    surprise = -probability.gather(1, windows.label[:, None])[:, 0].clamp_min(1e-12).log()

    def figures(rows: Tensor) -> list[float]:
        return [round(float(values[rows].mean()), 4) for values in (right, surprise)]

    by_kind = {kind: figures(windows.kind == i) for i, kind in enumerate(kinds)}
    by_side = {str(side): figures(windows.side == side) for side in sorted(set(windows.side.tolist()))}
    return {
        "accuracy": round(float(right.mean()), 4),
        "negative log likelihood": round(float(surprise.mean()), 5),
        "cells found": round(float(near.sum() / windows.cell.isfinite().all(-1).sum().clamp_min(1)), 4),
        "of these within one sigma": round(float((squared[near] < _ONE_SIGMA).double().mean()), 4),
        "accuracy and likelihood by kind": by_kind,
        "accuracy and likelihood by side": by_side,
    }


def calibrate_on_stream(
    path: Path,
    plan: StreamPlan,
    seed: int = 0,
    device: str = "cpu",
    minutes: float | None = None,
    progress: Progress | None = None,
) -> ModelCard:
    """Fit the temperatures of a trained ensemble on windows of a third seed, and write them with its figures.

    Parameters
    ----------
    path : path
        Of the weights, whose card is written anew.
    plan : StreamPlan
        By which they were trained.
    seed : int
        Of the training.
    device : str
    minutes : float, optional
        Time that the training had, if it was limited: with little of it, fewer windows must do.
    progress : callable, optional
        Called with ``("hold out", draws done, of)``.

    Returns
    -------
    ModelCard

    Raises
    ------
    ModelError
        If a file is missing or damaged.
    """
    network, card = load_network(path)
    network.to(device)
    seed += SEED_OF_CALIBRATION
    windows = held_out(plan, seed, plan.calibration, device, minutes, progress)
    by_kind = {kind: windows[windows.kind == i] for i, kind in enumerate(plan.kinds)}
    inputs = {kind: (part.tokens, part.label) for kind, part in by_kind.items()}
    calibration, figures = calibrate(network, inputs, card.classes, seed)
    card = replace(card, calibration=calibration, accuracy={**card.accuracy, **figures})
    return save_network(network, card, path, torch.float16)
