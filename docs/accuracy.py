"""Measure the models on simulated windows, and write the page ``docs/accuracy.md`` with its diagrams.

python docs/accuracy.py -n 1200
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

import bravaismap as bm
from bravaismap.classify.models import load_model
from bravaismap.conventions import display_name
from bravaismap.evaluate.answers import answer
from bravaismap.evaluate.comparison import Compared, Interval, compare
from bravaismap.evaluate.labelled import Labelled
from bravaismap.files import made_folder, save_figure
from bravaismap.show.scores import plot_reliability

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "benchmarks"))

from machine import machine  # noqa: E402

SEED = 7
MODELS = ("default", "dcnn", "dcnn-2018")
BOOKS = {"simulated": 0.0, "realistic": 0.003}
KINDS = {
    "simulated": "the paper's kind of image, at a distortion of 0",
    "realistic": "motifs of up to four atoms, vacancies, 0.3 % scan distortion, counting noise and vacuum, at a "
    "distortion of 0.003",
}
ROWS = (
    ("accuracy", "right", 100, 1), ("second_right", "second class right, where wrong", 100, 0), ("nll", "NLL", 1, 3),
    ("ece", "calibration error", 1, 3), ("confident_wrong", "wrong above 0.95", 100, 1),
)  # fmt: skip


def measured(book: str, distortion: float, count: int) -> list[Compared]:
    """Return how good each model is on windows of a recipe book that nothing was trained on."""
    windows = bm.simulate(count, book, seed=SEED)
    vectors = windows["primitive_vectors_px"].values.astype(float)
    labelled = Labelled(
        windows["image"].values, windows["label"].values.astype(np.intp), tuple(windows.attrs["classes"]), vectors
    )
    answers = [replace(answer(load_model(name, distortion), labelled), model=name) for name in MODELS]
    return compare(answers)


def text(figure: Interval, factor: int, digits: int) -> str:
    """Return a figure with its interval."""
    if np.isnan(figure.value):
        return "–"
    value, low, high = (f"{factor * number:.{digits}f}" for number in (figure.value, figure.low, figure.high))
    return f"{value} ({low} to {high}){' %' if factor == 100 else ''}"


def section(book: str, compared: list[Compared]) -> list[str]:
    """Return the part of the page about one recipe book."""
    lines = [f"## {book.capitalize()} windows", "", f"`{book}`: {KINDS[book]}.", ""]
    lines += [f"| | {' | '.join(f'`{one.model}`' for one in compared)} |", "|---" * (len(compared) + 1) + "|"]
    for name, title, factor, digits in ROWS:
        lines.append(f"| {title} | {' | '.join(text(one.figures[name], factor, digits) for one in compared)} |")
        if name == "ece":
            floors = " | ".join(f"{one.ece_calibrated:.3f}" for one in compared)
            lines.append(f"| a perfectly calibrated model would show | {floors} |")
    default = compared[0]
    cells, limit = default.scores.cells, default.limit
    if cells is not None and limit is not None:
        shares = [", ".join(f"{100 * part[name]:.0f}" for name in ("a", "b", "gamma"))
                  for part in (cells.within_1, cells.within_2)]  # fmt: skip
        lines += [
            "",
            f"Cells of `default`: a, b, γ within 1 σ of the truth in {shares[0]} %, within 2 σ in {shares[1]} %; "
            f"median error of the shape {100 * cells.shape_error:.2f} %; another lattice measured in "
            f"{100 * cells.another:.1f} %. Where the lattice was found, {100 * limit.reached:.1f} % are right; a right "
            f"posterior with these errors would reach {100 * limit.best:.1f} ± {100 * limit.best_std:.1f} %.",
        ]
    return [*lines, "", *confusion(default), "", f"![Reliability of the models](images/reliability_{book}.png)", ""]


def confusion(one: Compared) -> list[str]:
    """Return the confusion matrix of a model; rows are the truth."""
    names = [display_name(name) for name in one.scores.classes]
    lines = [
        "What `default` calls what (rows: the truth):",
        "",
        f"| | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    return lines + [
        f"| **{name}** | {' | '.join(map(str, row))} |" for name, row in zip(names, one.scores.confusion, strict=True)
    ]


def main() -> None:
    """Measure, draw and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("-n", type=int, default=1200, help="windows of each kind")
    arguments.add_argument("-o", type=Path, default=HERE, help="folder of the page")
    given = arguments.parse_args()
    count, folder = given.n, given.o
    lines = [
        "# Accuracy",
        "",
        f"{count} windows of 128 px of each kind, seed {SEED}, which nothing was trained or fitted on; a single pass "
        "of the networks. In brackets 95 % intervals, by drawing the windows again. Probabilities are calibrated where "
        "the points of a diagram lie on the diagonal.",
        "",
        f"Written by `python docs/accuracy.py -n {count}` with bravaismap {version('bravaismap')} on "
        f"{datetime.now(UTC):%Y-%m-%d}: {machine()}. The same numbers for windows of yours: "
        "`bravaismap evaluate WINDOWS.npz`.",
        "",
    ]
    for book, distortion in BOOKS.items():
        compared = measured(book, distortion, count)
        lines += section(book, compared)
        diagram = plot_reliability({one.model: one.reliability for one in compared}, book)
        save_figure(diagram, made_folder(folder / "images") / f"reliability_{book}", (".png",))
    (folder / "accuracy.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
