"""Fig. 3d–e: how small and how noisy a window may be before a model stops knowing, and whether it says so."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from bravaismap.classify.models import prepared
from bravaismap.conventions import CLASSES, NONE
from bravaismap.reproduce.graphene import graphene
from bravaismap.reproduce.parts import Numbers
from bravaismap.reproduce.plan import Advance, Contestant, Plan
from bravaismap.show.axes import sized

__all__ = ["draw_noise_limits", "noise_limits", "summarise_noise_limits"]

_PARTS = (1, 2, 4, 8)  # the side of the image over that of the window
_SIDE = 256
_HEXAGONAL = CLASSES.index("hexagonal")
_KNOWS = 0.8  # share of right answers above which a model still knows
_SURE = 0.7  # probability from which on an answer is a claim
_HONEST = 0.1  # share of wrong claims up to which a model says that it does not know


def noise_limits(model: Contestant, plan: Plan, advance: Advance) -> Numbers:
    """Classify simulated images of graphene whole, and their central windows of 1/2, 1/4 and 1/8 the side.

    Returns
    -------
    Numbers
        ``probability``, ``probability_std`` (levels, windows, images, 6), ``levels``, ``sides`` in px.
    """
    shape = (len(plan.noise_levels), len(_PARTS), plan.noise_images, len(CLASSES))
    probability, std = np.empty(shape), np.empty(shape)
    for i, noise in enumerate(plan.noise_levels):
        # the same images at every level, but for the noise
        rngs = [np.random.default_rng([plan.seed, 4, n]) for n in range(plan.noise_images)]
        images = np.stack([graphene(rng, side=_SIDE, noise=noise) for rng in rngs])
        for j, part in enumerate(_PARTS):
            side = _SIDE // part
            first = (_SIDE - side) // 2
            windows = np.ascontiguousarray(images[:, first : first + side, first : first + side])
            classifier = prepared(model.exact, windows, "paper")
            prediction = classifier.predict(windows, samples=plan.noise_passes, seed=plan.seed)
            probability[i, j], std[i, j] = prediction.probability, prediction.probability_std
            advance(f"noise limits of {model.name}", i * len(_PARTS) + j + 1, len(plan.noise_levels) * len(_PARTS))
    return {
        "probability": probability,
        "probability_std": std,
        "levels": np.array(plan.noise_levels),
        "sides": np.array([_SIDE // part for part in _PARTS]),
        "spacing": 18.0,
    }


def summarise_noise_limits(numbers: Numbers) -> dict[str, Any]:
    """Return, for each level of noise and window, the mean probability ± σ, and how many are right or misled.

    A model that no longer knows says so if it answers none, or gives no lattice 70 %; it is misled if it claims another
    lattice with 70 % or more.
    """
    probability = numbers["probability"]
    answer, most = probability.argmax(axis=-1), probability.max(axis=-1)
    right, confidence = (answer == _HEXAGONAL).mean(axis=-1), most.mean(axis=-1)
    misled = ((answer != _HEXAGONAL) & (answer != CLASSES.index(NONE)) & (most >= _SURE)).mean(axis=-1)
    sides = numbers["sides"]
    knows = [sides[r >= _KNOWS] for r in right]
    lost = right < _KNOWS
    return {
        "levels": numbers["levels"].tolist(),
        "sides_px": sides.tolist(),
        "probability_hexagonal": probability[..., _HEXAGONAL].mean(axis=-1).round(4).tolist(),
        "sigma": numbers["probability_std"][..., _HEXAGONAL].mean(axis=-1).round(4).tolist(),
        "share_right": right.round(4).tolist(),
        "confidence": confidence.round(4).tolist(),
        "wrong_lattice_claimed": misled.round(4).tolist(),
        "smallest_known_px": [int(known.min()) if known.size else None for known in knows],
        "share_right_where_lost": float(right[lost].mean()) if lost.any() else None,
        "claimed_where_lost": float(misled[lost].mean()) if lost.any() else None,
        "says_so": bool(misled[lost].mean() <= _HONEST) if lost.any() else None,
    }


def draw_noise_limits(by_model: dict[str, Numbers]) -> Figure:
    """Draw the probability of hexagonal ± σ, and how often another lattice is claimed, against the window's side."""
    figure = Figure(figsize=(7.4, 2.7 * len(by_model) + 0.4), layout="constrained")
    axes = figure.subplots(len(by_model), 2, sharex=True, sharey="col", squeeze=False)
    for row, (name, numbers) in zip(axes, by_model.items(), strict=True):
        summary = summarise_noise_limits(numbers)
        sides, levels = np.array(summary["sides_px"]), summary["levels"]
        for i, level in enumerate(levels):
            color = colormaps["viridis"](0.92 * i / max(len(levels) - 1, 1))
            p, sigma = (np.array(summary[key][i]) for key in ("probability_hexagonal", "sigma"))
            offset = 1 + 0.03 * (i - len(levels) / 2)
            row[0].errorbar(
                sides * offset,
                p,
                sigma,
                color=color,
                marker="osD^vP"[i % 6],
                ms=4,
                lw=1.3,
                capsize=2,
                label=f"{level:g}",
            )
            row[1].plot(
                sides * offset,
                100 * np.array(summary["wrong_lattice_claimed"][i]),
                color=color,
                marker="osD^vP"[i % 6],
                ms=4,
                lw=1.3,
            )
        row[0].set(ylabel="P(hexagonal) ± σ", title=name, ylim=(-0.15, 1.15))
        row[1].set(ylabel="share of images (%)", title=f"{name}: claims a wrong lattice", ylim=(-5, 105))
        for ax in row:
            ax.set_xscale("log", base=2)
            ax.set_xticks(sides, [f"{side}" for side in sides], minor=False)
            ax.grid(color="0.9", lw=0.6)
            ax.spines[["top", "right"]].set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel(f"side of the window (px); lattice parameter {float(numbers['spacing']):g} px")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False,
        title="white noise over the standard deviation of the image", title_fontsize=8,
    )  # fmt: skip
    return sized(figure)
