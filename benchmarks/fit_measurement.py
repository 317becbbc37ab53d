"""Fit again what the measurement's settings hold as fitted: the factor on the covariance, and the odds of `none`.

python benchmarks/fit_measurement.py [--windows 300] [--without 1000] [--sides 64 128] [--seed 21] [--json FILE]

Windows of each kind are simulated, cut to each side about their centre and measured. With d² the squared error of a
basis over its covariance, and n the cells of the window, the factor f · (1 + c / n) is the one of the highest
likelihood if the errors scatter as the posterior takes them to: four components, of which 3 % of the windows have a
covariance six times as large. The odds of a lattice against none are exp(slope · (evidence − even)) with a floor,
since some lattices leave no evidence; all three are those of the highest likelihood on the windows of all kinds.
Where the evidence of no window without a lattice reaches that of one with a lattice, any odds between fit, and the
range is printed instead. What decides then is how often nothing may be called a lattice. Of windows without one, of
three kinds, the evidence is printed that one in a thousand exceeds, with the rate at which that share falls with the
evidence: even odds, and their slope, by that rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from unittest import mock

import numpy as np
import torch
from machine import machine, parser, write_figures
from scipy.optimize import minimize
from scipy.special import logsumexp

import bravaismap as bm
from bravaismap.classify import posterior_settings
from bravaismap.conventions import CLASSES, NONE
from bravaismap.evaluate.scores import match_cells
from bravaismap.measure import settings
from bravaismap.measure.measurement import measure
from bravaismap.measure.window_settings import CovarianceSettings
from bravaismap.simulate.books import BOOKS

KINDS = ("simulated", "realistic")
#: Kinds whose windows without a lattice are measured for the rule of false alarms.
NONE_KINDS = ("simulated", "realistic", "wide")
_FALSE_ALARMS = 0.001  # share of the windows without a lattice that may be more probably one than none
_TAIL = 0.03  # share of the windows, those of most evidence, whose fall with the evidence is the slope
_BATCH = 100


@dataclass(frozen=True)
class Measured:
    """What the measurement makes of simulated windows, with a covariance that no factor is on.

    Attributes
    ----------
    squares : array, shape (m,)
        Squared error of each basis that is of the right lattice, over its covariance.
    cells : array, shape (m,)
        Cells of these windows.
    evidence : array, shape (n,)
        Of all windows.
    has_lattice : bool array, shape (n,)
    """

    squares: np.ndarray
    cells: np.ndarray
    evidence: np.ndarray
    has_lattice: np.ndarray


def measured_windows(kind: str, windows: int, side: int, seed: int) -> Measured:
    """Simulate windows of a kind, cut them to a side and measure them."""
    data = bm.simulate(windows, kind, seed=seed)
    first = [(length - side) // 2 for length in data["image"].shape[1:]]
    images = data["image"].values[:, first[0] : first[0] + side, first[1] : first[1] + side].astype(np.float32)
    plain = replace(settings.SETTINGS, covariance=CovarianceSettings(factor=1.0, few_cells=0.0))
    with mock.patch.object(settings, "SETTINGS", plain):
        batches = [measure(torch.from_numpy(images[i : i + _BATCH])) for i in range(0, windows, _BATCH)]
    basis, covariance, evidence = (
        torch.cat([getattr(batch, name) for batch in batches]).double().numpy()
        for name in ("basis", "covariance", "evidence")
    )
    matched = match_cells(basis, covariance, data["primitive_vectors_px"].values.astype(float))
    errors = (matched.nearest - matched.true).reshape(-1, 4)
    squares = np.einsum("ni,nij,nj->n", errors, np.linalg.inv(matched.covariance), errors)
    cells = side**2 / np.abs(np.linalg.det(matched.true))
    has_lattice = data["label"].values != CLASSES.index("none")
    return Measured(squares, cells, evidence, has_lattice)


def evidence_of_none(kind: str, windows: int, side: int, seed: int) -> np.ndarray:
    """Return the evidence of windows of a kind without a lattice."""
    images = bm.simulate(windows, {NONE: BOOKS[kind][NONE]}, seed=seed, size=side)["image"].values.astype(np.float32)
    parts = [measure(torch.from_numpy(images[i : i + _BATCH])).evidence for i in range(0, windows, _BATCH)]
    return torch.cat(parts).double().numpy()


def false_alarm_odds(evidence: np.ndarray) -> tuple[float, float]:
    """Return the evidence that one in a thousand windows without a lattice exceeds, and the rate of the fall to it."""
    first = np.quantile(evidence, 1 - _TAIL)
    return float(np.quantile(evidence, 1 - _FALSE_ALARMS)), float(1 / (evidence[evidence > first] - first).mean())


def fitted_factor(squares: np.ndarray, cells: np.ndarray) -> tuple[float, float]:
    """Return f and c of the factor f · (1 + c / n) on the covariance, of the highest likelihood."""
    shares, factors = np.array(posterior_settings.SETTINGS.errors.scales).T

    def loss(logarithms: np.ndarray) -> float:
        factor, few_cells = np.exp(logarithms)
        scale = (factor * (1 + few_cells / cells))[:, None] * factors
        return -float(logsumexp(-0.5 * squares[:, None] / scale - 2 * np.log(scale), b=shares, axis=1).mean())

    factor, few_cells = np.exp(minimize(loss, [0.0, 0.0], method="Nelder-Mead").x)
    return float(factor), float(few_cells)


def fitted_odds(evidence: np.ndarray, has_lattice: np.ndarray) -> tuple[float, float, float] | None:
    """Return the evidence of even odds, their slope and their floor; None where the evidence separates the windows."""
    if evidence[~has_lattice].max() < evidence[has_lattice].min():
        return None

    def loss(values: np.ndarray) -> float:
        even, slope, floor = values[0], *np.exp(values[1:])
        odds = np.logaddexp(slope * (evidence - even), np.log(floor))
        return float(np.logaddexp(0, np.where(has_lattice, -odds, odds)).mean())

    even, slope, floor = minimize(loss, [20.0, np.log(0.3), np.log(0.01)], method="Nelder-Mead").x
    return float(even), float(np.exp(slope)), float(np.exp(floor))


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--windows", type=int, default=300, help="windows of each kind")
    options.add_argument("--without", type=int, default=1000, help="windows of each kind without a lattice")
    options.add_argument("--sides", type=int, nargs="+", default=[64, 128], help="sides that they are cut to, in px")
    options.add_argument("--seed", type=int, default=21)
    asked = options.parse_args(arguments)
    print(machine())
    covariance, used = settings.SETTINGS.covariance, settings.SETTINGS.odds
    figures: dict[str, float] = {}
    for side in asked.sides:
        parts = {kind: measured_windows(kind, asked.windows, side, asked.seed) for kind in KINDS}
        for kind, part in parts.items():
            factor, few_cells = fitted_factor(part.squares, part.cells)
            n = float(np.median(part.cells))
            in_use = covariance.factor * (1 + covariance.few_cells / n)
            print(f"{kind}, {side} px: factor {factor:.2f} (1 + {few_cells:.1f}/n), ", end="")
            print(f"{factor * (1 + few_cells / n):.2f} at n = {n:.0f}, in use {in_use:.2f}")
            figures |= {f"{kind}, {side} px: factor": factor, f"{kind}, {side} px: few cells": few_cells}
        evidence = np.concatenate([part.evidence for part in parts.values()])
        has_lattice = np.concatenate([part.has_lattice for part in parts.values()])
        odds = fitted_odds(evidence, has_lattice)
        if odds is None:
            none, lattice = evidence[~has_lattice].max(), evidence[has_lattice].min()
            print(f"{side} px: even odds anywhere from an evidence of {none:.0f} to {lattice:.0f}")
            figures |= {f"{side} px: none up to": float(none), f"{side} px: lattices from": float(lattice)}
        else:
            print(f"{side} px: even odds at an evidence of {odds[0]:.1f}, slope {odds[1]:.2f}, floor {odds[2]:.3f}")
            figures |= {f"{side} px: even evidence": odds[0], f"{side} px: slope": odds[1]}
        nothing = np.concatenate([evidence_of_none(kind, asked.without, side, asked.seed) for kind in NONE_KINDS])
        even, slope = false_alarm_odds(nothing)
        print(
            f"{side} px: one in a thousand of {len(nothing)} windows without a lattice has an evidence above ", end=""
        )
        print(f"{even:.1f}, and the share falls by {slope:.2f} per unit; above {used.even_evidence:g} are ", end="")
        print(f"{100 * (nothing > used.even_evidence).mean():.2f} %")
        figures |= {f"{side} px: false alarms above": even, f"{side} px: fall of false alarms": slope}
    print(f"in use: factor {covariance.factor:g} (1 + {covariance.few_cells:g}/n); ", end="")
    print(f"even odds at an evidence of {used.even_evidence:g}, slope {used.slope:g}")
    write_figures(asked.json, "fit_measurement", {"windows": asked.windows, "seed": asked.seed} | figures)


if __name__ == "__main__":
    main()
