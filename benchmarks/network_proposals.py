"""Where the measurement and the network differ, and what asking the network about doubtful windows brings.

python benchmarks/network_proposals.py [--kinds broken wide ...] [-n 600] [--seed 701] [--side 128] [--weights 1 2 4 6]

Windows of each kind are simulated. `lattice` measures, `dcnn` is the network, told the distortion, and `default`
measures what the network proposes of doubtful windows. The share right, mean negative log likelihood, expected
calibration error, share of windows without a lattice called none, and the CPU time per window of this process; then how
many windows each has right by what the measurement made of them, where the true lattice is visible or not (asked of it
by the measurement itself). `--weights` adds a line of `default` for each weight of what the network says, from which
the one in use was chosen on windows with the seeds 502, 512 and 601 to 605.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from unittest import mock

import numpy as np
from machine import machine, parser, write_figures

import bravaismap as bm
from bravaismap.classify import posterior_settings
from bravaismap.classify.answer import Answer
from bravaismap.classify.models import load_model
from bravaismap.conventions import CLASSES, NONE
from bravaismap.evaluate.labelled import Labelled
from bravaismap.evaluate.scores import match_cells, score
from bravaismap.evaluate.visible import visible_lattices

#: Kinds of windows and the distortion that each is scored with.
KINDS = {"simulated": 0.0, "realistic": 0.003, "wide": 0.003, "broken": 0.02}
MODELS = ("lattice", "default", "dcnn")


def answered(name: str, windows: Labelled, distortion: float) -> tuple[Answer, float]:
    """Return the answer of a model and the CPU time in ms that it takes for a window."""
    model, images = load_model(name, distortion), np.asarray(windows.images, np.float32)
    started = time.process_time()
    answer = model.predict(images, samples=0)
    return answer, 1e3 * (time.process_time() - started) / len(images)


def figures(answer: Answer, windows: Labelled) -> dict[str, float]:
    """Return the figures of merit of an answer."""
    scores = score(answer.probability, windows.labels, CLASSES)
    none = windows.labels == CLASSES.index(NONE)
    called = answer.probability[none].argmax(1) == CLASSES.index(NONE)
    return {"right": 100 * scores.accuracy, "NLL": scores.nll, "ECE": scores.ece, "none": 100 * float(called.mean())}


def groups(measured: Answer, windows: Labelled) -> dict[str, np.ndarray]:
    """Return which windows are in each group, by what the measurement made of them."""
    none, truth = CLASSES.index(NONE), windows.labels
    visible, lattice = visible_lattices(windows), truth != none
    assert measured.cells is not None
    assert windows.vectors is not None
    assert visible is not None
    rows = np.flatnonzero(lattice)
    match = match_cells(measured.cells.basis[rows], measured.cells.covariance[rows], windows.vectors[rows])
    same = np.zeros(len(truth), bool)
    same[rows[match.windows[match.same]]] = True
    called = measured.probability.argmax(1) == none
    return {
        "no lattice": ~lattice,
        "called none, visible": lattice & called & visible,
        "called none, invisible": lattice & called & ~visible,
        "true cell": lattice & ~called & same,
        "another cell": lattice & ~called & ~same,
    }


def simulated_windows(kind: str, number: int, seed: int, side: int) -> Labelled:
    """Return labelled windows of a recipe book."""
    data = bm.simulate(number, kind, seed=seed, size=side)
    labels = data["label"].values.astype(np.intp)
    vectors = data["primitive_vectors_px"].values.astype(float)
    return Labelled(data["image"].values, labels, tuple(data.attrs["classes"]), vectors)


def table(kind: str, windows: Labelled, weights: Sequence[float]) -> dict[str, dict[str, float]]:
    """Print the lines of a kind of windows, and return their figures."""
    distortion, rows, answers = KINDS[kind], {}, {}
    for name in MODELS:
        answers[name], rows_time = answered(name, windows, distortion)
        rows[name] = figures(answers[name], windows) | {"ms": rows_time}
    settings = posterior_settings.SETTINGS
    for weight in weights:
        changed = replace(settings, network=replace(settings.network, weight=weight))
        with mock.patch.object(posterior_settings, "SETTINGS", changed):
            answer, taken = answered("default", windows, distortion)
        rows[f"weight {weight:g}"] = figures(answer, windows) | {"ms": taken}
    for name, row in rows.items():
        numbers = f"{row['right']:5.1f} %  {row['NLL']:6.3f}  {row['ECE']:6.3f}  {row['none']:6.1f} %  {row['ms']:6.2f}"
        print(f"{name:12s}  {numbers}", flush=True)
    right = {name: answer.probability.argmax(1) == windows.labels for name, answer in answers.items()}
    for name, chosen in groups(answers["lattice"], windows).items():
        counts = "  ".join(f"{model} {int(right[model][chosen].sum())}" for model in MODELS)
        print(f"  {name:24s} {int(chosen.sum()):4d} windows, right: {counts}", flush=True)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    options.add_argument("-n", "--number", type=int, default=600, help="windows of each kind")
    options.add_argument("--seed", type=int, default=701)
    options.add_argument("--side", type=int, default=128, help="of the windows, in px")
    options.add_argument("--weights", type=float, nargs="+", default=[], help="of what the network says")
    given = options.parse_args(arguments)
    print(machine())
    out = {}
    for kind in given.kinds:
        print(f"\n{kind}, {given.number} windows of {given.side} px, seed {given.seed}, distortion {KINDS[kind]:g}")
        print("               right     NLL     ECE     none      ms")
        windows = simulated_windows(kind, given.number, given.seed, given.side)
        out[kind] = table(kind, windows, given.weights)
    write_figures(given.json, "network_proposals", out)


if __name__ == "__main__":
    main()
