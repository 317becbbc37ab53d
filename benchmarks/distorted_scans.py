"""Who is right about windows whose scan is straighter than allowed for, or as distorted: the models on both.

python benchmarks/distorted_scans.py [-n 600] [--seed 911] [--distortion 0.02]

Windows of `realistic` crystals, simulated with scans of several distortions and but for these alike. They are
classified with one distortion allowed for, and by models that are told that of the scans (the default is nothing told
to `dcnn`, which is told a number next to it instead). The lattices are those of the
book, which come as near to a symmetry that they lack as an even prior says, and a second time none nearer than 10 %.
Right, mean negative log likelihood and expected calibration error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from machine import machine, parser, write_figures

import bravaismap as bm
from bravaismap.classify.models import load_model
from bravaismap.conventions import CLASSES, NONE
from bravaismap.evaluate.scores import score
from bravaismap.simulate.books import BOOKS
from bravaismap.simulate.recipe import Recipe

SCANS = (0.003, 0.01, 0.02)
MODELS = ("default", "dcnn")
APART = (0.0, 0.1)  # strain to a symmetry that a lattice lacks, at least


def scanned(distortion: float, apart: float) -> dict[str, Recipe]:
    """Return the recipes of `realistic` crystals of scans of a distortion."""
    return {
        name: replace(recipe, distortion=distortion, apart=0.0 if name == NONE else apart)
        for name, recipe in BOOKS["realistic"].items()
    }


def rows(distortion: float, apart: float, number: int, seed: int, allowed: float) -> dict[str, dict[str, float]]:
    """Return the figures of each model on windows of scans of a distortion, as allowed for and as told."""
    data = bm.simulate(number, scanned(distortion, apart), seed=seed, size=128)
    images, labels = data["image"].values.astype(np.float32), data["label"].values.astype(np.intp)
    out = {}
    for name in MODELS:
        for said, way in ((allowed, ""), (float(np.nextafter(distortion, 0)), ", told")):
            scores = score(load_model(name, said).predict(images, samples=0).probability, labels, CLASSES)
            out[name + way] = {"right": 100 * scores.accuracy, "NLL": scores.nll, "ECE": scores.ece}
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("-n", "--number", type=int, default=600, help="windows of each kind")
    options.add_argument("--seed", type=int, default=911)
    options.add_argument("--distortion", type=float, default=0.02, help="that is allowed for")
    given = options.parse_args(arguments)
    print(machine())
    out: dict[str, dict[str, dict[str, float]]] = {}
    for apart in APART:
        for distortion in SCANS:
            kind = f"scans of {distortion:g}, " + (f"no lattice nearer than {apart:g}" if apart else "near misses even")
            print(f"\n{kind}; {given.distortion:g} allowed for")
            out[kind] = rows(distortion, apart, given.number, given.seed, given.distortion)
            for name, row in out[kind].items():
                print(f"{name:14s}  {row['right']:5.1f} %  {row['NLL']:6.3f}  {row['ECE']:6.3f}", flush=True)
    write_figures(given.json, "distorted_scans", out)


if __name__ == "__main__":
    main()
