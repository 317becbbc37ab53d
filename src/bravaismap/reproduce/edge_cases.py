"""Fig. 5: graphene that drifts while it is scanned, with defects, and on a substrate; or an image of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from bravaismap.conventions import CLASSES, COLORS, display_name
from bravaismap.errors import InputError
from bravaismap.movie import finite_pixels
from bravaismap.phases.image import classify
from bravaismap.read.reading import read
from bravaismap.reproduce.confidence import draw_bars
from bravaismap.reproduce.graphene import graphene
from bravaismap.reproduce.parts import Numbers
from bravaismap.reproduce.plan import Advance, Contestant, Plan
from bravaismap.show.axes import sized
from bravaismap.simulate.windows import to_uint8

__all__ = ["draw_drift", "draw_edge_cases", "edge_cases", "read_image", "summarise_edge_cases"]

_CASES = {
    "slight drift": {"shear": 0.05},
    "defects": {"defects": 8},
    "Moiré superlattice": {"moire": 0.4, "spacing": 14.0},
}
_SHOWN = ("hexagonal", "centered_rectangular", "oblique", "none")
_Way = Literal["paper", "auto"]
_SMALLEST = 48  # px that must be left of a user's image when it has been sheared


def read_image(path: str) -> NDArray[np.float32]:
    """Return the central square of the first image in a file."""
    movie = read(path)
    frame = finite_pixels(np.asarray(movie.data[:1]), nan="fill")[0].astype(np.float32)
    side = min(frame.shape)
    top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
    return np.ascontiguousarray(frame[top : top + side, left : left + side])


def edge_cases(
    model: Contestant, plan: Plan, image: NDArray[np.float32] | None, name: str, advance: Advance
) -> Numbers:
    """Classify edge cases, and a sweep of the drift's strength.

    Parameters
    ----------
    model : Contestant
    plan : Plan
    image : array (y, x), optional
        The user's image instead of simulated graphene: the sweep then adds shear to the shear that it has.
    name : str
        Name of that image.
    advance : callable

    Returns
    -------
    Numbers
        ``shears`` (%), ``probability``, ``probability_std`` (shears, images, 6); ``case`` uint8 (cases, y, x),
        ``case_probability``, ``case_std`` (cases, 6), ``cases`` (names).
    """
    label = f"edge cases of {model.name}"
    way: _Way = "paper" if image is None else "auto"  # whole images, as the paper shows them to the network
    mean, std = [], []
    for done, shear in enumerate(plan.shears):
        advance(label, done, len(plan.shears) + 1)
        found = _classified(model, plan, _sheared(plan, image, shear / 100), plan.noise_passes, way)
        mean.append(found[0])
        std.append(found[1])
    if image is None:
        rng = [np.random.default_rng([plan.seed, 6, i]) for i in range(len(_CASES))]
        pictures = np.stack([graphene(r, **case) for r, case in zip(rng, _CASES.values(), strict=True)])  # type: ignore[arg-type]
        names = list(_CASES)
    else:
        pictures, names = image[None], [name]
    case = _classified(model, plan, pictures, plan.passes, way)
    advance(label, len(plan.shears) + 1, len(plan.shears) + 1)
    return {
        "shears": np.array(plan.shears),
        "probability": np.stack(mean),
        "probability_std": np.stack(std),
        "case": np.stack([to_uint8(picture) for picture in pictures]),
        "case_probability": case[0],
        "case_std": case[1],
        "cases": names,
        "simulated": image is None,
    }


def _classified(
    model: Contestant, plan: Plan, images: NDArray[np.float32], passes: int, way: _Way
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    found = classify(images, model=model.instrument, samples=passes, seed=plan.seed, preprocessing=way)
    return found["probability"].values, found["probability_std"].values


def _sheared(plan: Plan, image: NDArray[np.float32] | None, shear: float) -> NDArray[np.float32]:
    """Return simulated images that drift, or the user's image sheared further, without the edges that come in."""
    if image is None:
        rngs = [np.random.default_rng([plan.seed, 5, i]) for i in range(plan.edge_images)]
        return np.stack([graphene(rng, shear=shear) for rng in rngs])
    side = len(image)
    margin = int(np.ceil(side * max(plan.shears) / 200)) + 1
    if side - 2 * margin < _SMALLEST:
        raise InputError(f"an image of {side} px is too small to shear by {max(plan.shears):g} %; give a larger one")
    middle = (side - 1) / 2
    sheared = affine_transform(
        image, np.array([[1, 0], [-shear, 1]]), offset=(0, shear * middle), order=3, mode="nearest"
    )
    return np.asarray(sheared[None, margin : side - margin, margin : side - margin], np.float32)


def summarise_edge_cases(numbers: Numbers) -> dict[str, Any]:
    """Return the mean probability of the classes over the drift, and first and second class of each case."""
    mean = numbers["probability"].mean(axis=1)
    hexagonal = mean[:, CLASSES.index("hexagonal")]
    lost = np.flatnonzero(mean.argmax(axis=1) != CLASSES.index("hexagonal"))
    cases = {}
    for name, p, sigma in zip(numbers["cases"], numbers["case_probability"], numbers["case_std"], strict=True):
        first, second = np.argsort(-p, kind="stable")[:2]
        cases[name] = {
            "first": CLASSES[first], "probability": float(p[first]), "sigma": float(sigma[first]),
            "second": CLASSES[second], "second_probability": float(p[second]),
        }  # fmt: skip
    return {
        "shear_percent": numbers["shears"].tolist(),
        "probability": {name: mean[:, i].round(4).tolist() for i, name in enumerate(CLASSES)},
        "sigma_hexagonal": numbers["probability_std"][..., CLASSES.index("hexagonal")].mean(axis=1).round(4).tolist(),
        "hexagonal_without_drift": float(hexagonal[0]),
        "hexagonal_lost_at_percent": float(numbers["shears"][lost[0]]) if lost.size else None,
        "cases": cases,
        "simulated": bool(numbers["simulated"]),
    }


def draw_drift(by_model: dict[str, Numbers]) -> Figure:
    """Draw the probability of each class ± σ against the shear that drift puts into the image."""
    figure = Figure(figsize=(7.4, 3.2), layout="constrained")
    axes = figure.subplots(1, len(by_model), sharey=True, squeeze=False)[0]
    for ax, (name, numbers) in zip(axes, by_model.items(), strict=True):
        for marker, lattice in zip("oDs^", _SHOWN, strict=True):
            i = CLASSES.index(lattice)
            p = numbers["probability"][..., i].mean(axis=1)
            sigma = numbers["probability_std"][..., i].mean(axis=1)
            ax.errorbar(
                numbers["shears"], p, sigma, color=COLORS[lattice], marker=marker, ms=4, lw=1.4, capsize=2,
                label=display_name(lattice),
            )  # fmt: skip
        ax.set(
            xlabel="shear by drift (%)", ylabel="probability" if ax is axes[0] else "", title=name, ylim=(-0.1, 1.15)
        )
        ax.grid(color="0.9", lw=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return sized(figure)


def draw_edge_cases(by_model: dict[str, Numbers]) -> Figure:
    """Draw each case: the image, and what each model says of it."""
    first = next(iter(by_model.values()))
    rows = len(first["cases"])
    figure = Figure(figsize=(7.4, 1.95 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, 1 + len(by_model), squeeze=False)
    for i, row in enumerate(axes):
        low, high = np.percentile(first["case"][i], (0.5, 99.5))
        row[0].imshow(first["case"][i], cmap="gray", vmin=low, vmax=high)
        row[0].set(xticks=[], yticks=[], title=Path(first["cases"][i]).name)
        for ax, (name, numbers) in zip(row[1:], by_model.items(), strict=True):
            draw_bars(ax, numbers["case_probability"][i], numbers["case_std"][i], None)
            ax.set_title(name if i == 0 else "")
        row[1].set_anchor("W")
    return sized(figure, 8.5)
