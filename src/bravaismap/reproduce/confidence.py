"""Fig. 2, Fig. 3a–c and Supplementary 1–2: how often a model is right, and with which confidence."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bravaismap.conventions import CLASSES, COLORS, display_name
from bravaismap.evaluate.scores import score
from bravaismap.reproduce.parts import Numbers, Parts
from bravaismap.reproduce.plan import Advance, Contestant, Plan
from bravaismap.show.axes import sized, whole_plane
from bravaismap.simulate.windows import simulate
from bravaismap.spectrum import spectrum

__all__ = ["confidence", "draw_confidence", "draw_single_images", "draw_spectra", "summarise_confidence"]

#: Of 1200 simulated images of the paper, how many were wrong, and in how many of these the second class was right.
PAPER_IMAGES, PAPER_WRONG, PAPER_SECOND = 1200, 188, 118
_CHUNK = 60  # images that are lost if a run is interrupted
_SHOWN = 18
_SHORT = {"centered_rectangular": "cent. rect.", "rectangular": "rect."}


def confidence(model: Contestant, plan: Plan, parts: Parts, advance: Advance) -> Numbers:
    """Classify simulated images that no training has seen, by many passes.

    Returns
    -------
    Numbers
        ``label`` (n,), ``probability`` and ``probability_std`` (n, 6), and ``seconds`` per image.
    """
    chunks = []
    for first in range(0, plan.images, _CHUNK):
        count = min(_CHUNK, plan.images - first)
        settings = plan.settings("passes") | model.fingerprint | {"first": first, "count": count}
        name = f"confidence-{model.name}-{first // _CHUNK:03d}"
        chunks.append(parts.get(name, settings, partial(_classified, model, plan, first, count)))
        advance(f"confidence of {model.name}", first + count, plan.images)
    joined = {key: np.concatenate([chunk[key] for chunk in chunks]) for key in ("label", "probability")}
    joined["probability_std"] = np.concatenate([chunk["probability_std"] for chunk in chunks])
    return joined | {"seconds": float(np.median([chunk["seconds"] for chunk in chunks])), "passes": plan.passes}


def _classified(model: Contestant, plan: Plan, first: int, count: int) -> Numbers:
    data = simulate(count, seed=plan.seed, first=first)
    images = data["image"].values.astype(np.float32)
    begun = time.perf_counter()
    found = model.exact.predict(images, samples=plan.passes, seed=plan.seed)
    return {
        "label": data["label"].values.astype(np.int64),
        "probability": found.probability,
        "probability_std": found.probability_std,
        "seconds": (time.perf_counter() - begun) / count,
    }


def summarise_confidence(numbers: Numbers) -> dict[str, Any]:
    """Return how many images are wrong, for how many of these the second class is right, confidence and time."""
    probability, label = numbers["probability"], numbers["label"]
    scores = score(probability, label, CLASSES)
    order = np.argsort(-probability, axis=1, kind="stable")
    right, largest = order[:, 0] == label, probability.max(axis=1)
    second = ~right & (order[:, 1] == label)
    return {
        "images": len(label),
        "wrong": int((~right).sum()),
        "wrong_of_1200": float(PAPER_IMAGES * (~right).mean()),
        "second_right": int(second.sum()),
        "second_right_share": float(second[~right].mean()) if (~right).any() else None,
        "accuracy": scores.accuracy,
        "calibration_error": scores.ece,
        "mean_confidence_wrong": float(largest[~right].mean()) if (~right).any() else None,
        "mean_confidence_right": float(largest[right].mean()) if right.any() else None,
        "mean_sigma_wrong": _mean_sigma(numbers, ~right),
        "mean_sigma_right": _mean_sigma(numbers, right),
        "passes": int(numbers["passes"]),
        "seconds_per_5000_passes": float(numbers["seconds"]) * 5000 / int(numbers["passes"]),
    }


def _mean_sigma(numbers: Numbers, which: NDArray[np.bool_]) -> float | None:
    top = numbers["probability"].argmax(axis=1)
    sigma = numbers["probability_std"][np.arange(len(top)), top][which]
    return float(sigma.mean()) if sigma.size else None


def draw_confidence(by_model: dict[str, Numbers]) -> Figure:
    """Draw Fig. 3a: histograms of the largest probability where it is wrong and where it is right."""
    figure = Figure(figsize=(6.3, 3.1), layout="constrained")
    axes = figure.subplots(1, len(by_model), sharey=True, squeeze=False)[0]
    bins = np.linspace(0, 1, 21)
    for ax, (name, numbers) in zip(axes, by_model.items(), strict=True):
        summary = summarise_confidence(numbers)
        largest = numbers["probability"].max(axis=1)
        right = numbers["probability"].argmax(axis=1) == numbers["label"]
        for which, color, text in ((right, COLORS["hexagonal"], "right"), (~right, COLORS["oblique"], "wrong")):
            share = np.full(int(which.sum()), 100 / max(int(which.sum()), 1))
            ax.hist(largest[which], bins, weights=share, color=color, alpha=0.6, label=f"{text} ({which.sum()})")
        ax.set_title(f"{name}: {summary['wrong']} wrong of {summary['images']}")
        ax.set(xlabel="confidence", xlim=(0, 1), ylabel="share of images (%)" if ax is axes[0] else "")
        ax.legend(loc="upper left", fontsize=8, frameon=False)
        ax.spines[["top", "right"]].set_visible(False)
    return sized(figure)


def draw_spectra(name: str, numbers: Numbers, plan: Plan) -> Figure:
    """Draw Fig. 2: random spectra with prediction, probability ± σ and truth; the wrong ones are boxed in red."""
    count = min(_SHOWN, len(numbers["label"]))
    chosen = np.sort(np.random.default_rng([plan.seed, 2]).choice(len(numbers["label"]), count, replace=False))
    columns = 6
    rows = -(-count // columns)
    figure = Figure(figsize=(7.4, 1.85 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, index in zip(axes, chosen, strict=False):
        shown = spectrum(torch.from_numpy(_image(plan, int(index))[None].astype(np.float32)))[0].numpy()
        ax.imshow(whole_plane(shown), cmap="gray", vmin=0.2, vmax=0.95)
        ax.set(xticks=[], yticks=[])
        best, truth = int(numbers["probability"][index].argmax()), int(numbers["label"][index])
        p, sigma = numbers["probability"][index, best], numbers["probability_std"][index, best]
        ax.set_title(f"{_short(best)}\n{p:.2f} ± {sigma:.2f}\ntruth: {_short(truth)}")
        ax.spines[:].set(color="red" if best != truth else "0.4", linewidth=3 if best != truth else 0.6)
    for ax in axes[count:]:
        ax.remove()
    figure.suptitle(f"{name}, {int(numbers['passes'])} passes")
    return sized(figure, 8)


def draw_single_images(name: str, numbers: Numbers, plan: Plan, *, right: bool, count: int = 6) -> Figure:
    """Draw Fig. 3b–c and Supplementary 1–2: single images, with a bar ± σ for every class; the truth is hatched."""
    correct = numbers["probability"].argmax(axis=1) == numbers["label"]
    found = np.flatnonzero(correct == right)
    chosen = np.random.default_rng([plan.seed, 3]).permutation(found)[:count]
    rows = max(-(-len(chosen) // 2), 1)
    figure = Figure(figsize=(7.4, 1.75 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, 4, squeeze=False, width_ratios=(1, 1.15, 1, 1.15)).ravel()
    for position, index in enumerate(chosen):
        picture, bars = axes[2 * position], axes[2 * position + 1]
        picture.imshow(_image(plan, int(index)), cmap="gray")
        picture.set(xticks=[], yticks=[])
        draw_bars(bars, numbers["probability"][index], numbers["probability_std"][index], int(numbers["label"][index]))
    for ax in axes[2 * len(chosen) :]:
        ax.remove()
    what = "right" if right else "wrong"
    figure.suptitle(f"{name}: images that it gets {what} (hatched: the truth)" if len(chosen) else f"none is {what}")
    return sized(figure, 8)


def draw_bars(ax: Axes, probability: NDArray[np.floating], sigma: NDArray[np.floating], truth: int | None) -> None:
    """Draw the probability of each class with ±1 σ as bars; the true class is hatched."""
    names = [_short(i) for i in range(len(CLASSES))]
    bars = ax.barh(names, probability, color=[COLORS[name] for name in CLASSES], xerr=sigma, capsize=2)
    if truth is not None:
        box: Rectangle = bars.patches[truth]
        box.set(hatch="////", edgecolor="black", linewidth=0.8)
        ax.get_yticklabels()[truth].set_fontweight("bold")
    ax.set(xlim=(0, 1.08), ylim=(len(names) - 0.5, -0.5))
    ax.spines[["top", "right"]].set_visible(False)


def _image(plan: Plan, index: int) -> NDArray[np.uint8]:
    return np.asarray(simulate(1, seed=plan.seed, first=index)["image"].values[0])


def _short(index: int) -> str:
    name = CLASSES[index]
    return _SHORT.get(name, display_name(name))
