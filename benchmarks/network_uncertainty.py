"""Compare Monte-Carlo dropout with a deep ensemble: likelihood and calibration on windows of every book, and of files.

python benchmarks/network_uncertainty.py MODEL.safetensors [-n 600] [--size 128] [--labelled FILE.npz …] [--json FILE]

Each way has one temperature, fitted on half of the windows of the books together; the other half, and the windows of
the central squares of the images of files, which may come from anywhere (real images, other programs), are scored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from machine import load, machine, parser, write_figures

import bravaismap as bm
from bravaismap.classify.dropout import dropout_scores, evaluating
from bravaismap.classify.models import LARGEST_SIDE
from bravaismap.classify.network import members_of
from bravaismap.evaluate.labelled import read_labelled
from bravaismap.evaluate.scores import score
from bravaismap.train.calibration import fit_temperature

SEED = 20191
BOOKS = ("simulated", "realistic", "wide", "broken")
PASSES = 30
TOGETHER = 200  # windows, for memory


def central(image: np.ndarray) -> np.ndarray:
    """Return the central square of an image, of at most 384 px."""
    side = min(*image.shape, LARGEST_SIDE)
    top, left = ((size - side) // 2 for size in image.shape)
    return image[top : top + side, left : left + side]


def scores_of(model: object, images: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
    """Return the scores (n, passes, classes) before the softmax by each way of being unsure."""
    parts: dict[str, list[torch.Tensor]] = {}
    for start in range(0, len(images), TOGETHER):
        inputs = model.inputs(np.stack(images[start : start + TOGETHER]).astype(np.float32))
        members = members_of(model.network)
        with evaluating(model.network):
            alone = torch.stack([member(inputs).double() for member in members], dim=1)
        ways = {
            "one network": alone[:, :1],
            "dropout in one network": dropout_scores(members[0], inputs, PASSES),
            "ensemble": alone,
            "dropout in an ensemble": dropout_scores(model.network, inputs, PASSES),
        }
        for way, values in ways.items():
            parts.setdefault(way, []).append(values.cpu())
    return {way: torch.cat(values) for way, values in parts.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("model", help="weights, with the card beside them")
    options.add_argument("-n", type=int, default=600, help="windows of each book")
    options.add_argument("--size", type=int, default=128, help="side of the windows in px")
    options.add_argument("--labelled", nargs="*", default=[], help="NPZ files of labelled windows from elsewhere")
    asked = options.parse_args(arguments)
    print(f"{machine()}; load before the run {load()}")
    model = bm.load_model(asked.model)
    classes = model.card.classes
    sets = {}
    for book in BOOKS:
        data = bm.simulate(asked.n, book, seed=SEED, size=asked.size)
        sets[book] = (scores_of(model, list(data["image"].values)), torch.from_numpy(data["label"].values).long())
    half = asked.n // 2
    ways = list(sets[BOOKS[0]][0])
    truth = torch.cat([labels[:half] for _, labels in sets.values()])
    warmth = {way: fit_temperature(torch.cat([s[way][:half] for s, _ in sets.values()]), truth) for way in ways}
    scored = {book: ({way: s[way][half:] for way in ways}, labels[half:]) for book, (s, labels) in sets.items()}
    for path in asked.labelled:
        labelled = read_labelled(path)
        names = [classes.index(name) for name in labelled.classes]
        labels = torch.tensor([names[i] for i in labelled.labels])
        parts = [scores_of(model, [central(image)]) for image in labelled.images]
        scored[str(path)] = ({way: torch.cat([part[way] for part in parts]) for way in ways}, labels)
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for name, (scores, labels) in scored.items():
        print(f"\n{name}: {len(labels)} windows")
        for way in ways:
            probability = (scores[way] / warmth[way]).softmax(-1).mean(1).numpy()
            result = score(probability, labels.numpy(), classes)
            figures.setdefault(name, {})[way] = {
                "accuracy": result.accuracy, "negative log likelihood": result.nll,
                "expected calibration error": result.ece, "temperature": warmth[way],
            }  # fmt: skip
            print(f"  {way:24s} {100 * result.accuracy:5.1f} %  NLL {result.nll:.3f}  ECE {result.ece:.3f}  "
                  f"T {warmth[way]:.2f}")  # fmt: skip
    write_figures(asked.json, "network_uncertainty", {"sets": figures})


if __name__ == "__main__":
    main()
