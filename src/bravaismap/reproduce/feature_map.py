"""Fig. 4: what a model sees in 1000 images, on a map where neighbours are alike, and how well the classes part there.

For a network these are the 128 numbers that leave its dense layer. A model that measures cells has no such layer: its
features are how many of its own σ the cell is from each symmetry, and the evidence for a lattice.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from bravaismap.classify.classifier import Classifier
from bravaismap.classify.models import NetworkClassifier
from bravaismap.classify.posterior import cell
from bravaismap.conventions import CLASSES, COLORS, LATTICES, NONE, display_name
from bravaismap.errors import ModelError
from bravaismap.lattice.shape import shape
from bravaismap.reproduce.parts import Numbers
from bravaismap.reproduce.plan import Advance, Contestant, Plan
from bravaismap.show.axes import sized
from bravaismap.show.cells import draw_domain
from bravaismap.simulate.windows import simulate

__all__ = ["draw_feature_map", "feature_map", "features_of", "neighbour_confusion", "summarise_feature_map"]

_NEIGHBOURS: Final = 10
_EVIDENCE: Final = 10.0  # nats that count as much as 1 σ of a deviation
_MARKERS: Final = "sDvho."  # a marker for each class, for readers who do not see the colours


def feature_map(model: Contestant, plan: Plan, advance: Advance) -> Numbers:
    """Return the features' map by t-SNE, and how the classes lie in the features themselves.

    Returns
    -------
    Numbers
        ``embedding`` (n, 2), ``label`` (n,), ``confusion`` (6, 6): of the 10 nearest neighbours of an image, the share
        that belongs to each class; ``silhouette`` (n,); ``shape`` (n, 2): τ, of a model that measures cells.
    """
    from sklearn.manifold import TSNE
    from sklearn.metrics import silhouette_samples

    name = f"feature map of {model.name}"
    advance(name, 0, 3)
    data = simulate(plan.feature_images, seed=plan.seed + 1)
    label = data["label"].values.astype(np.int64)
    features, tau = features_of(model.exact, data["image"].values.astype(np.float32))
    advance(name, 1, 3)
    scaled = (features - features.mean(axis=0)) / max(float(features.std()), 1e-12)
    perplexity = min(30.0, (len(scaled) - 1) / 3)
    embedding = TSNE(random_state=plan.seed, init="pca", perplexity=perplexity).fit_transform(scaled)
    advance(name, 3, 3)
    return {
        "embedding": embedding.astype(np.float32),
        "label": label,
        "confusion": neighbour_confusion(scaled, label),
        "silhouette": silhouette_samples(scaled, label),
        "shape": np.column_stack([tau.real, tau.imag]),
        "features": int(features.shape[1]),
    }


def features_of(
    classifier: Classifier, images: NDArray[np.float32]
) -> tuple[NDArray[np.floating], NDArray[np.complex128]]:
    """Return the features (n, number) of images, and the shape τ (n,) where a lattice is measured, else NaN."""
    tau = np.full(len(images), complex(np.nan, np.nan))
    if isinstance(classifier, NetworkClassifier):
        return classifier.network.features(classifier.inputs(images)).numpy().astype(float), tau
    cells = classifier.predict(images, samples=0, seed=0).cells
    if cells is None:
        raise ModelError(f"the model {classifier.record.name} has neither a dense layer nor measured cells to map")
    known = np.isfinite(cells.basis).all(axis=(1, 2)) & np.isfinite(cells.covariance).all(axis=(1, 2))
    features = np.zeros((len(images), len(LATTICES)))
    measured = cell(cells.basis[known], cells.covariance[known])
    away = np.asarray(measured.deviation)[:, :-1] / np.asarray(measured.deviation_std)[:, None]
    features[known, :-1] = np.arcsinh(away)
    features[:, -1] = np.arcsinh(np.nan_to_num(cells.evidence) / _EVIDENCE)
    tau[known] = shape(cells.basis[known])
    return features, tau


def neighbour_confusion(features: NDArray[np.floating], label: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the share (truth, neighbour) of classes among the 10 nearest neighbours of the images of a class."""
    count = min(_NEIGHBOURS, len(features) - 1)
    _, near = cKDTree(features).query(features, count + 1)
    confusion = np.zeros((len(CLASSES), len(CLASSES)))
    np.add.at(confusion, (np.repeat(label, count), label[near[:, 1:]].ravel()), 1)
    total = confusion.sum(axis=1, keepdims=True)
    return np.asarray(confusion / np.maximum(total, 1))


def summarise_feature_map(numbers: Numbers) -> dict[str, Any]:
    """Return the figures for what the paper says in words: who is next to whom, who is scattered, who is apart."""
    confusion, label = numbers["confusion"], numbers["label"]
    others = confusion - np.diag(np.diag(confusion))
    per_class = [float(numbers["silhouette"][label == i].mean()) if (label == i).any() else None for i in range(6)]
    return {
        "images": len(label),
        "features": int(numbers["features"]),
        "silhouette": float(numbers["silhouette"].mean()),
        "silhouette_by_class": dict(zip(CLASSES, per_class, strict=True)),
        "same_class_neighbours": float(np.diag(confusion).mean()),
        "same_class_neighbours_by_class": dict(zip(CLASSES, np.diag(confusion).tolist(), strict=True)),
        "nearest_other_class": {
            name: CLASSES[int(others[i].argmax())] if others[i].any() else None for i, name in enumerate(CLASSES)
        },
        "most_scattered": min(LATTICES, key=lambda name: per_class[CLASSES.index(name)] or 0.0),
        "neighbour_confusion": confusion.round(4).tolist(),
    }


def draw_feature_map(by_model: dict[str, Numbers]) -> Figure:
    """Draw the map of each model, the shape space of one that measures cells, and whose neighbours are whose."""
    rows = list(by_model.items())
    figure = Figure(figsize=(7.4, 3.5 * len(rows) + 0.4), layout="constrained")
    axes = figure.subplots(len(rows), 3, squeeze=False, width_ratios=(1.25, 1, 1))
    for row, (name, numbers) in zip(axes, rows, strict=True):
        summary = summarise_feature_map(numbers)
        _scatter(row[0], numbers["embedding"], numbers["label"])
        row[0].set(xticks=[], yticks=[], title=f"{name}: t-SNE of {summary['features']} features")
        row[0].set_xlabel(f"silhouette {summary['silhouette']:.2f}")
        _draw_confusion(row[1], numbers["confusion"])
        if np.isfinite(numbers["shape"]).any():
            draw_domain(row[2], 2.6)
            _scatter(row[2], numbers["shape"], np.where(numbers["label"] == CLASSES.index(NONE), -1, numbers["label"]))
            row[2].set(xlim=(-0.06, 0.56), ylim=(0.8, 2.6), title="measured shapes τ", xlabel="Re τ", ylabel="Im τ")
        else:
            row[2].remove()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8, frameon=False, markerscale=1.6)
    return sized(figure, 8.5)


def _scatter(ax: Axes, points: NDArray[np.floating], label: NDArray[np.integer]) -> None:
    for i, name in enumerate(CLASSES):
        of = points[label == i]
        ax.scatter(
            of[:, 0], of[:, 1], s=9, c=COLORS[name], marker=_MARKERS[i], lw=0, label=display_name(name), zorder=3
        )


def _draw_confusion(ax: Axes, confusion: NDArray[np.floating]) -> None:
    names = [display_name(name).replace("centered rectangular", "cent. rect.") for name in CLASSES]
    ax.imshow(confusion, cmap="cividis", vmin=0, vmax=1)
    ticks = range(len(names))
    ax.set_xticks(ticks, names, rotation=60, ha="right", rotation_mode="anchor")
    ax.set_yticks(ticks, names)
    for i in ticks:
        for j in ticks:
            color = "black" if confusion[i, j] > 0.55 else "white"
            ax.text(j, i, f"{100 * confusion[i, j]:.0f}", ha="center", va="center", fontsize=6, color=color)
    ax.set_title("class of the neighbours (%)")
