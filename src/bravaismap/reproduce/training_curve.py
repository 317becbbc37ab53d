"""Fig. 1b: accuracy on the training and the validation set, epoch by epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bravaismap.classify.models import NetworkClassifier, load_model
from bravaismap.conventions import COLORS
from bravaismap.reproduce.parts import Numbers
from bravaismap.reproduce.plan import PAPER_MODEL, Advance, Plan
from bravaismap.show.axes import sized
from bravaismap.train.training import TrainingPlan, train

__all__ = ["draw_training_curve", "summarise_training_curve", "train_network", "training_curve"]

_NEAR = 0.01  # of the last accuracy: where the plateau begins
PAPER_ACCURACY, PAPER_PLATEAU = 0.85, 15


def train_network(plan: Plan, folder: Path, advance: Advance) -> Path:
    """Train the paper's network, or go on where a training in `folder` was interrupted; return its weights."""
    weights = folder / f"{PAPER_MODEL}.safetensors"
    protocol = TrainingPlan(images=plan.training_images, epochs=plan.training_epochs)
    if not weights.exists():
        train(protocol, folder, name=PAPER_MODEL, seed=0, command="bravaismap reproduce --train", progress=advance)
    return weights


def training_curve(weights: str) -> Numbers:
    """Return the curve on the card of a network: arrays over the epochs, and how it was trained."""
    classifier = load_model(weights)
    curve = classifier.card.training.get("curve", []) if isinstance(classifier, NetworkClassifier) else []
    plan = classifier.card.training.get("plan", {}) if curve and isinstance(classifier, NetworkClassifier) else {}
    columns = ("epoch", "training_accuracy", "validation_accuracy", "seconds")
    return {name: np.array([row.get(name, np.nan) for row in curve], float) for name in columns} | {
        "images": plan.get("images", 0)
    }


def summarise_training_curve(numbers: Numbers) -> dict[str, Any]:
    """Return the last and the best accuracy, and the epoch from which on it is within 1 % of the last."""
    validation = numbers["validation_accuracy"]
    if not len(validation):
        return {"epochs": 0}
    early = np.flatnonzero(validation < validation[-1] - _NEAR)
    return {
        "epochs": len(validation),
        "images": int(numbers["images"]),
        "validation_accuracy": float(validation[-1]),
        "training_accuracy": float(numbers["training_accuracy"][-1]),
        "plateau_epoch": int(numbers["epoch"][early[-1] + 1]) if early.size else 1,
        "minutes": float(np.nansum(numbers["seconds"]) / 60),
    }


def draw_training_curve(numbers: Numbers) -> Figure:
    """Draw both accuracies over the epochs, with the paper's plateau as a line."""
    figure = Figure(figsize=(6.3, 3.4), layout="constrained")
    ax = figure.subplots()
    ax.axhline(100 * PAPER_ACCURACY, color="0.5", ls="--", lw=1.2, label="the paper's plateau, about 85 %")
    for name, color, marker in (("training", COLORS["square"], "o"), ("validation", COLORS["oblique"], "s")):
        values = 100 * numbers[f"{name}_accuracy"]
        ax.plot(numbers["epoch"], values, color=color, marker=marker, ms=3.5, lw=1.4, label=name)
    ax.set(xlabel="epoch", ylabel="accuracy (%)", xmargin=0.02)
    ax.grid(color="0.9", lw=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="lower right", fontsize=8, frameon=False)
    return sized(figure)
