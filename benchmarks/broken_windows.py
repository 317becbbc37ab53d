"""How often the windows of a map are right in broken crystals, by fault, with and without a look at tiles.

python benchmarks/broken_windows.py [--sides 96 128 192] [-n IMAGES] [--seed SEED] [--csv FILE]

Images of 384 px of the recipe book `broken` are cut into windows side by side. A window counts if it holds four cells
along each axis; holes are not left out. `cell` is the share in which the measured cell is the true one within 20 % of
its entries, turned as it likes: a scan that drifts shears a small window truly, so that its class may be another one.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
import xarray as xr
from machine import machine

import bravaismap as bm
from bravaismap.classify.models import load_model
from bravaismap.conventions import CLASSES, NONE
from bravaismap.lattice.basis import reduce_basis
from bravaismap.measure import settings
from bravaismap.simulate.faults import FAULTS

DISTORTION = 0.02
CELLS = 4  # along each axis of a window
_SAME_CELL = 0.2
_CHANGES = [
    np.reshape(m, (2, 2)) for m in itertools.product((-1, 0, 1), repeat=4) if abs(m[0] * m[3] - m[1] * m[2]) == 1
]


@dataclass(frozen=True)
class Windows:
    """Windows of broken crystals, with their truth."""

    image: np.ndarray
    label: np.ndarray
    faults: np.ndarray
    vectors: np.ndarray


def cut(data: xr.Dataset, side: int) -> Windows:
    """Return the windows of a side that hold enough cells."""
    chosen: list[tuple[np.ndarray, int, str, np.ndarray]] = []
    none = CLASSES.index(NONE)
    for image, label, faults, vectors in zip(
        data["image"].values,
        data["label"].values,
        data["faults"].values.astype(str),
        data["primitive_vectors_px"].values,
        strict=True,
    ):
        if label != none and side < CELLS * np.linalg.norm(vectors, axis=1).max():
            continue
        count = image.shape[0] // side
        first = (image.shape[0] - count * side) // 2
        starts = range(first, first + count * side, side)
        chosen += [(image[y : y + side, x : x + side], label, faults, vectors) for y in starts for x in starts]
    return Windows(*(np.array([window[i] for window in chosen]) for i in range(4)))


def same_cell(basis: np.ndarray, vectors: np.ndarray) -> bool:
    """Return whether two cells are the same one, turned as they like."""
    first, second = reduce_basis(basis.astype(float)), reduce_basis(vectors.astype(float))
    metric, true = first @ first.T, second @ second.T
    apart = min(np.abs(change @ metric @ change.T - true).max() for change in _CHANGES)
    return bool(apart < _SAME_CELL * np.sqrt(true[0, 0] * true[1, 1]))


def scores(windows: Windows) -> dict[str, float]:
    """Return the shares in percent: of crystals right, by fault, with the true cell; of none, called none."""
    answer = load_model("lattice", DISTORTION).predict(windows.image, samples=0)
    label = answer.probability.argmax(1)
    none = CLASSES.index(NONE)
    crystal, right = windows.label != none, label == windows.label
    sure = crystal & (answer.probability.max(1) > 0.9)
    assert answer.cells is not None
    cell = [
        same_cell(basis, vectors)
        for basis, vectors in zip(answer.cells.basis[crystal], windows.vectors[crystal], strict=True)
    ]
    values = {
        "right": right[crystal].mean(),
        "cell": np.mean(np.array(cell) & (label[crystal] != none)),
        "called none": (label[crystal] == none).mean(),
        "wrong above 0.9": (sure & ~right).sum() / max(sure.sum(), 1),
        "none": right[~crystal].mean(),
    }
    for fault in FAULTS:
        own = crystal & np.array([fault in name.split("+") for name in windows.faults])
        values[fault] = right[own].mean()
    return {name: 100 * float(value) for name, value in values.items()}


def looks() -> Iterator[tuple[str, settings.MeasurementSettings]]:
    """Yield ways to look at a window."""
    every = settings.SETTINGS
    yield "all", every
    yield "− tiles: every window one wave", replace(every, second_look=replace(every.second_look, groups=()))
    yield "− outliers bounded", replace(every, second_look=replace(every.second_look, outlier_share=1.0))
    yield "− regions of another level left out", replace(every, regions=replace(every.regions, most_share=0.0))
    yield "− tiles of a quarter", replace(every, second_look=replace(every.second_look, groups=(2,)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[96, 128, 192], help="of the windows, in px")
    parser.add_argument("-n", "--number", type=int, default=72, help="images to simulate")
    parser.add_argument("--seed", type=int, default=501)
    parser.add_argument("--csv", type=Path, help="also write the table to this file")
    given = parser.parse_args(arguments)
    print(machine())
    data = bm.simulate(given.number, "broken", seed=given.seed, size=384)
    rows = []
    for side in given.sides:
        windows = cut(data, side)
        for name, setting in looks():
            with mock.patch.object(settings, "SETTINGS", setting):
                row = {"side": str(side), "windows": str(len(windows.label)), "look": name}
                rows.append(row | {key: f"{value:.1f}" for key, value in scores(windows).items()})
            if len(rows) == 1:
                print("  ".join(rows[0]))
            print("  ".join(rows[-1].values()), flush=True)
    if given.csv is not None:
        given.csv.parent.mkdir(parents=True, exist_ok=True)
        with given.csv.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
