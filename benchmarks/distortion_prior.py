"""Why the answers about straight scans are too sure at a distortion that allows for much more: the prior, or σ.

python benchmarks/distortion_prior.py [-n 800] [--seed 521] [--distortion 0.02]

Windows of `realistic` and `broken` crystals are measured once and classified at one distortion. Of `broken` ones those
count whose evidence is above 100. Each line changes one thing of the posterior: σ of the cell, how frequent near misses
of a symmetry are over what even priors say, the share of the scans that are straight whatever is allowed for, or both
kinds of scans against any between them. Right, mean negative log likelihood, and expected calibration error. Lattices
of `realistic` miss a symmetry as often as an even prior says and its scans are straight, those of `broken` miss it by a
tenth at least, and its scans are distorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from unittest import mock

import numpy as np
from machine import machine, parser, write_figures

import bravaismap as bm
from bravaismap.classify import likelihood, posterior_settings
from bravaismap.classify.answer import Cells
from bravaismap.classify.cells import classified
from bravaismap.classify.likelihood import Scatter
from bravaismap.classify.models import load_model
from bravaismap.classify.posterior_settings import Scales
from bravaismap.conventions import CLASSES
from bravaismap.evaluate.scores import score

KINDS = ("realistic", "broken")
_CLEAR = 100.0  # evidence of a lattice that is certainly the right one
_LEVELS = 4  # distortions that stand for all between the least and the largest


def logarithmic(distortion: float, scales: Scales) -> tuple[Scatter, ...]:
    """Return the scatter where any distortion of a scan up to one is as likely, evenly in its logarithm."""
    limits = posterior_settings.SETTINGS.distortion
    least = max(limits.calibrated, limits.straightest_part * distortion)
    levels = least * (distortion / least) ** ((np.arange(_LEVELS) + 0.5) / _LEVELS)
    return tuple(Scatter(share / _LEVELS, factor, float(2 * level**2)) for share, factor in scales for level in levels)


@dataclass(frozen=True)
class Line:
    """What a line changes: a factor on the variance of the cell, fields of `DistortionSettings`, or kinds of scans."""

    factor: float = 1.0
    changes: dict[str, float] = field(default_factory=dict)
    any_scan: bool = False


LINES: dict[str, Line] = {
    "as it is": Line(),
    "σ × 1.4": Line(factor=2.0),
    "σ / 3": Line(factor=1 / 9),
    "near misses 0.35": Line(changes={"near_miss_frequency": 0.35}),
    "near misses 0.5": Line(changes={"near_miss_frequency": 0.5}),
    "near misses 1": Line(changes={"near_miss_frequency": 1.0}),
    "straight scans 0.4": Line(changes={"calibrated_share": 0.4}),
    "straight scans 0.6": Line(changes={"calibrated_share": 0.6}),
    "any scan": Line(any_scan=True),
    "any, near misses 1": Line(changes={"near_miss_frequency": 1.0}, any_scan=True),
}


def measured(kind: str, number: int, seed: int) -> tuple[Cells, np.ndarray]:
    """Return the cells of simulated windows, and their classes."""
    data = bm.simulate(number, kind, seed=seed, size=128)
    cells = load_model("lattice").predict(data["image"].values.astype(np.float32), samples=0).cells
    assert cells is not None
    chosen = cells.evidence > (_CLEAR if kind == "broken" else -np.inf)
    return cells[chosen], data["label"].values.astype(np.intp)[chosen]


def line(cells: Cells, labels: np.ndarray, distortion: float, name: str) -> dict[str, float]:
    """Return the figures of a line."""
    changes, settings = LINES[name], posterior_settings.SETTINGS
    changed = replace(settings, distortion=replace(settings.distortion, **changes.changes))
    scatters = logarithmic if changes.any_scan else likelihood.scatters
    widened = replace(cells, covariance=changes.factor * cells.covariance)
    with (
        mock.patch.object(posterior_settings, "SETTINGS", changed),
        mock.patch.object(likelihood, "scatters", scatters),
    ):
        probability = classified(widened, distortion, 0, 0).probability
    scores = score(probability, labels, CLASSES)
    return {"right": 100 * scores.accuracy, "NLL": scores.nll, "ECE": scores.ece}


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("-n", "--number", type=int, default=800, help="windows of each kind")
    options.add_argument("--seed", type=int, default=521)
    options.add_argument("--distortion", type=float, default=0.02)
    given = options.parse_args(arguments)
    print(machine())
    out: dict[str, dict[str, dict[str, float]]] = {}
    for kind in KINDS:
        cells, labels = measured(kind, given.number, given.seed)
        print(f"\n{kind}, {len(labels)} windows, distortion {given.distortion:g}")
        out[kind] = {name: line(cells, labels, given.distortion, name) for name in LINES}
        for name, row in out[kind].items():
            print(f"{name:20s}  {row['right']:5.1f} %  {row['NLL']:6.3f}  {row['ECE']:6.3f}", flush=True)
    write_figures(given.json, "distortion_prior", out)


if __name__ == "__main__":
    main()
