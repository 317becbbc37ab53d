"""Who is right about windows whose scan is straighter than allowed for, or as distorted: the models on both.

python benchmarks/distorted_scans.py [-n 600] [--seed 911] [--kind broken] [--size 384] [--scans 0.01 0.03]

Windows of crystals of a recipe book, simulated with scans of several distortions and but for these alike. They are
classified without a distortion given (2 % is then allowed for, and `dcnn` goes by what it sees), and by models that
are told that of the scans. The lattices are those of the book, which come as near to a symmetry that they lack as an
even prior says, and a second time none nearer than 10 %. Right, mean negative log likelihood and expected calibration
error, with what as many windows of calibrated answers have of it by chance; and the same of the windows of all scans
together, as from an instrument of unknown distortion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from machine import machine, parser, write_figures

import bravaismap as bm
from bravaismap.classify.models import load_model
from bravaismap.conventions import CLASSES, NONE
from bravaismap.evaluate.scores import score
from bravaismap.simulate.books import BOOKS
from bravaismap.simulate.recipe import Recipe

MODELS = ("default", "dcnn")
APART = (0.0, 0.1)  # strain to a symmetry that a lattice lacks, at least
DRAWS = 100  # of labels, for the calibration error by chance


def scanned(kind: str, distortion: float, apart: float) -> dict[str, Recipe]:
    """Return the recipes of crystals of a book, of scans of a distortion."""
    return {
        name: replace(recipe, distortion=distortion, apart=0.0 if name == NONE else apart)
        for name, recipe in BOOKS[kind].items()
    }


def figures(probability: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the figures of answers, with the calibration error that they would have if they were calibrated."""
    scores, rng = score(probability, labels, CLASSES), np.random.default_rng(0)
    ends = probability.cumsum(axis=1)[:, :-1]
    drawn = [(rng.random((len(ends), 1)) > ends).sum(axis=1) for _ in range(DRAWS)]
    chance = np.mean([score(probability, other, CLASSES).ece for other in drawn])
    return {"right": 100 * scores.accuracy, "NLL": scores.nll, "ECE": scores.ece, "by chance": float(chance),
            "stated": 100 * float(probability.max(axis=1).mean())}  # fmt: skip


def answers(data: xr.Dataset, distortion: float, models: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the probabilities of each model, of which nothing and of which the distortion of the scans is told."""
    images = data["image"].values.astype(np.float32)
    return {
        name + way: load_model(name, given).predict(images, samples=0).probability
        for name in models
        for given, way in ((None, ""), (distortion, ", told"))
    }


def printed(title: str, rows: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Print the figures of each model, and return them."""
    print(f"\n{title}\n                 right   stated     NLL     ECE  (by chance)")
    for name, row in rows.items():
        print(f"{name:14s}  {row['right']:5.1f} %  {row['stated']:5.1f} %  {row['NLL']:6.3f}  {row['ECE']:6.3f}  "
              f"({row['by chance']:.3f})", flush=True)  # fmt: skip
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("-n", "--number", type=int, default=600, help="windows of each kind")
    options.add_argument("--seed", type=int, default=911)
    options.add_argument("--kind", choices=("realistic", "wide", "broken"), default="realistic", help="recipe book")
    options.add_argument("--size", type=int, default=128, help="side of the windows in px")
    options.add_argument("--scans", type=float, nargs="+", default=(0.003, 0.01, 0.02), help="their distortions")
    options.add_argument("--apart", type=float, nargs="+", default=APART, help="strain to a symmetry that is lacked")
    options.add_argument("--models", nargs="+", default=MODELS)
    given = options.parse_args(arguments)
    print(machine())
    out: dict[str, dict[str, dict[str, float]]] = {}
    for apart in given.apart:
        kind = f"{given.kind}, {given.size} px, " + (f"no lattice nearer than {apart:g}" if apart else "near misses")
        said: dict[str, list[np.ndarray]] = {}
        truth = []
        for distortion in given.scans:
            book = scanned(given.kind, distortion, apart)
            data = bm.simulate(given.number, book, seed=given.seed, size=given.size)
            truth.append(data["label"].values.astype(np.intp))
            for name, probability in answers(data, distortion, given.models).items():
                said.setdefault(name, []).append(probability)
            title = f"{kind}, scans of {distortion:g}"
            out[title] = printed(title, {name: figures(every[-1], truth[-1]) for name, every in said.items()})
        labels = np.concatenate(truth)
        title = f"{kind}, all scans together"
        out[title] = printed(title, {name: figures(np.concatenate(every), labels) for name, every in said.items()})
    write_figures(given.json, "distorted_scans", out)


if __name__ == "__main__":
    main()
