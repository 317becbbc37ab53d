"""What each ingredient of the measurement and of its posterior is worth, beside the models that are there.

python benchmarks/ablation.py [SIMULATED.npz REALISTIC.npz [BROKEN.npz]] [-n WINDOWS] [--csv FILE]

Without files, windows of all kinds are simulated (seed 7); those of `broken` are whole images of broken crystals. An
ingredient is switched off by replacing what holds it: settings of the measurement, or a name of a module. `moved` is
the share of windows of which that moves a probability by more than 1 %; a switch that changes nothing at all in any
kind is named at the end, and the exit code is 1. Differences are to `lattice`, in pairs on the same windows, with their
95 % intervals. `lattice × dcnn` multiplies the probabilities of both, each to a power that was fitted on other
simulated windows of the kind.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from machine import machine
from scipy.optimize import minimize
from scipy.special import softmax

import bravaismap as bm
from bravaismap.classify import posterior, posterior_settings
from bravaismap.classify.models import MODELS, load_model
from bravaismap.evaluate.answers import Answers, answer
from bravaismap.evaluate.comparison import Compared, compare
from bravaismap.evaluate.labelled import Labelled, read_labelled

#: Kinds of windows and the distortion that each is scored with.
KINDS = {"simulated": 0.0, "realistic": 0.003, "broken": 0.02}
NAMES = ("dcnn-2018", "dcnn-2018-wide", "dcnn", "lattice", "default")
#: The network to combine with the measurement.
PARTNER = "dcnn"
SEED = 7
_OFF = "− "
#: Strain of every measurement, in place of its own covariance: of 0.2–0.7 %, the one of the highest likelihood.
FIXED_ERROR = 0.004
_MOVED = 0.01
FIGURES = ("accuracy", "nll", "ece", "rate")
HEADER = ("", "moved", "accuracy", "difference", "NLL", "difference", "ECE", "windows/s")


@dataclass(frozen=True)
class Switch:
    """A name in a module of the package, and what stands for it while the ingredient is off."""

    module: str
    name: str
    off: Any


@dataclass(frozen=True)
class Setting:
    """A field of a group of settings, and its value while the ingredient is off."""

    module: str
    group: str
    field: str
    off: Any


def _first(image: Any, *_: object) -> Any:
    return image


def _constant(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda where: torch.full_like(where, value)


def _unmoved(sums: torch.Tensor, orders: torch.Tensor, *_: object) -> torch.Tensor:
    return orders.new_zeros(len(orders), 2, 2)


def _filled(_sums: torch.Tensor, noise: torch.Tensor, used: torch.Tensor, *_: object) -> torch.Tensor:
    return used.to(noise.dtype)


_own_covariance = posterior.shape_covariance


def _one_error(basis: np.ndarray, covariance: np.ndarray, distortion: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    tau = _own_covariance(basis, covariance)[0]
    return tau, np.tile((FIXED_ERROR**2 + 2 * distortion**2) * np.eye(2), (len(tau), 1, 1))


def _even_over_domain(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """One density per hyperbolic area in the domain of reduced shapes, none outside."""
    inside = (x >= 0) & (x <= 0.5) & (x.square() + y.square() >= 1)
    return inside.to(x.dtype) * (6 / math.pi)


#: Density over the length of each line of the domain, as far as a shape of 1 : 4.
_EVEN_RECTANGULAR = 1 / math.log(4)
_EVEN_CENTRED = 1 / (math.log(3) / 2 + math.log(4 / math.sqrt(0.75)))

#: Ingredients by what the table calls their absence.
ABLATIONS: dict[str, tuple[Switch | Setting, ...]] = {
    "no second look at doubtful windows": (Setting("measure.settings", "search", "doubtful_evidence", -math.inf),),
    "second look not flattened": (Switch("measure.search", "flatten", _first),),
    "slow background left in": (Switch("measure.explanation", "without_background", _first),),
    "extra rows of nodes kept": (Switch("measure.search", "_coarser", _first),),
    "hidden rows of nodes not added": (Switch("measure.search", "_finer", _first),),
    "every window one wave": (Setting("measure.settings", "second_look", "groups", ()),),
    "autocorrelation not asked": (Setting("measure.settings", "repeats", "doubtful_evidence", -1.0),),
    "outliers left in doubtful windows": (Setting("measure.settings", "second_look", "outlier_share", 1.0),),
    "regions of another level left in": (Setting("measure.settings", "regions", "most_share", 0.0),),
    "one candidate only": (Setting("measure.settings", "search", "ranked_candidates", 1),),
    "refined on weak nodes too": (Switch("measure.refinement", "_clear", _filled),),
    "no Newton refinement": (Switch("measure.refinement", "_newton", _unmoved),),
    "no preference for sparse nodes": (
        Setting("measure.settings", "search", "sparse_preference", 0.0),
        Setting("measure.settings", "search", "spectrum_sparse_preference", 0.0),
    ),
    "slender cells welcome": (Setting("measure.settings", "search", "slender_penalty", 0.0),),
    "no share of mistaken lattices": (
        Setting("classify.posterior_settings", "errors", "least_mistaken", 0.0),
        Setting("classify.posterior_settings", "errors", "more_mistaken", 0.0),
    ),
    "covariance without tails": (Setting("classify.posterior_settings", "errors", "scales", ((1.0, 1.0),)),),
    "covariance not inflated": (
        Setting("measure.settings", "covariance", "factor", 1.0),
        Setting("measure.settings", "covariance", "few_cells", 0.0),
    ),
    "every scan as distorted as allowed": (
        Setting("classify.posterior_settings", "distortion", "calibrated_share", 0.0),
    ),
    "near misses as frequent as any lattice": (Setting("classify.posterior_settings", "distortion", "near_miss", 0.0),),
    f"one error ({100 * FIXED_ERROR:g} %) for all": (Switch("classify.posterior", "shape_covariance", _one_error),),
    "flat prior over shapes": (
        Switch("classify.likelihood", "_rectangular_prior", _constant(_EVEN_RECTANGULAR)),
        Switch("classify.likelihood", "_arc_prior", _constant(_EVEN_CENTRED)),
        Switch("classify.likelihood", "_oblique_prior", _even_over_domain),
    ),
}


@contextmanager
def switched_off(switches: Sequence[Switch | Setting]) -> Iterator[None]:
    """Replace what the switches name, for a while.

    Raises
    ------
    SystemExit
        If a module, or the settings, no longer have such a name: an ingredient that is not there cannot be switched
        off.
    """
    with ExitStack() as stack:
        for switch in switches:
            module = importlib.import_module(f"bravaismap.{switch.module}")
            if isinstance(switch, Setting):
                name, off = "SETTINGS", _with_setting(module.SETTINGS, switch)
            else:
                name, off = switch.name, switch.off
                _require(module, name, f"bravaismap.{switch.module}")
            stack.enter_context(mock.patch.object(module, name, off))
        yield


def _with_setting(whole: Any, setting: Setting) -> Any:
    """Return settings in which the field is off."""
    _require(whole, setting.group, type(whole).__name__)
    group = getattr(whole, setting.group)
    _require(group, setting.field, type(group).__name__)
    return replace(whole, **{setting.group: replace(group, **{setting.field: setting.off})})


def _require(owner: object, name: str, what: str) -> None:
    if not hasattr(owner, name):
        raise SystemExit(f"{what} has no {name}: it was renamed or removed; change ABLATIONS in benchmarks/ablation.py")


@dataclass(frozen=True)
class Row:
    """A row of the table: how the answers compare with `lattice`, whether any differs, and in what share by much."""

    compared: Compared
    moved: float
    differs: bool


def without(switches: Sequence[Switch | Setting], labelled: Labelled, distortion: float) -> Answers:
    """Return the answers of the lattice model while the ingredient is off."""
    with switched_off(switches):
        return answer(load_model("lattice", distortion), labelled)


def combined(first: Answers, second: Answers, powers: Sequence[float]) -> Answers:
    """Return the product of the probabilities of two models, each to a power."""
    log = sum(p * np.log(a.probability.clip(1e-6, 1)) for p, a in zip(powers, (first, second), strict=True))
    product = softmax(log, axis=1)
    seconds = first.seconds.sum() + second.seconds.sum()
    total = np.array([len(product)])
    return replace(first, model="combined", probability=product, batches=total, seconds=np.array([seconds]), cells=None)


def fitted_powers(kind: str, number: int = 600) -> Sequence[float]:
    """Return the powers of the highest likelihood on simulated windows that are used for nothing else."""
    labelled = simulated_windows(kind, number, SEED + 1000)
    first, second = (answer(load_model(name, KINDS[kind]), labelled) for name in ("lattice", PARTNER))
    windows = np.arange(number)

    def loss(powers: np.ndarray) -> float:
        probability = combined(first, second, powers).probability
        return float(-np.log(probability[windows, labelled.labels]).mean())

    return list(minimize(loss, [1.0, 0.1], method="Nelder-Mead").x)


def rows(labelled: Labelled, kind: str) -> dict[str, Row]:
    """Return how each model, and the lattice model without each ingredient, does; compared with `lattice`."""
    distortion = KINDS[kind]
    lattice = answer(load_model("lattice", distortion), labelled)
    others = {name: answer(load_model(name, distortion), labelled) for name in NAMES if name in MODELS}
    if PARTNER in others:
        others[f"lattice × {PARTNER}"] = combined(lattice, others[PARTNER], fitted_powers(kind))
    others |= {f"{_OFF}{name}": without(switches, labelled, distortion) for name, switches in ABLATIONS.items()}
    compared = compare([lattice, *others.values()], seed=SEED)[1:]
    apart = [np.abs(a.probability - lattice.probability).max(axis=1) for a in others.values()]
    return {
        name: Row(comparison, float((gap > _MOVED).mean()), bool(gap.any()))
        for name, comparison, gap in zip(others, compared, apart, strict=True)
    }


def idle(rows_by_kind: dict[str, dict[str, Row]]) -> list[str]:
    """Return the ingredients whose absence changes no window of any kind.

    Those about a distortion beyond that of a calibrated scan are not asked of kinds that have none.
    """
    calibrated = posterior_settings.SETTINGS.distortion.calibrated
    beyond = any(KINDS[kind] > calibrated for kind in rows_by_kind)
    asked = [name for name, switches in ABLATIONS.items() if beyond or not all(map(_of_distortion, switches))]
    return [name for name in asked if not any(kind[f"{_OFF}{name}"].differs for kind in rows_by_kind.values())]


def _of_distortion(switch: Switch | Setting) -> bool:
    return isinstance(switch, Setting) and switch.group == "distortion"


def labelled_windows(files: Sequence[Path], number: int) -> dict[str, Labelled]:
    """Return the labelled windows of each kind, from files, in the order of `KINDS`, or simulated."""
    if files:
        return {kind: read_labelled(path) for kind, path in zip(KINDS, files, strict=False)}
    return {kind: simulated_windows(kind, number, SEED) for kind in KINDS}


def simulated_windows(kind: str, number: int, seed: int) -> Labelled:
    """Return labelled windows of a recipe book."""
    data = bm.simulate(number, kind, seed=seed)
    vectors = data["primitive_vectors_px"].values.astype(float)
    labels = data["label"].values.astype(np.intp)
    return Labelled(data["image"].values, labels, tuple(data.attrs["classes"]), vectors)


def table(rows_of_kind: dict[str, Row]) -> str:
    """Return the rows of a kind of windows as text."""
    lines = [list(HEADER)]
    for name, row in rows_of_kind.items():
        figure, gap = row.compared.figures, row.compared.differences
        accuracy, nll = (100 * value for value in vars(gap["accuracy"]).values()), vars(gap["nll"]).values()
        lines.append(
            [
                name,
                f"{100 * row.moved:.1f} %",
                f"{100 * figure['accuracy'].value:.1f} %",
                "{:+.1f} ({:+.1f} to {:+.1f})".format(*accuracy),
                f"{figure['nll'].value:.3f}",
                "{:+.3f} ({:+.3f} to {:+.3f})".format(*nll),
                f"{figure['ece'].value:.3f}",
                f"{figure['rate'].value:.0f}",
            ]
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def write_csv(rows_by_kind: dict[str, dict[str, Row]], path: Path) -> None:
    """Write every figure with its interval, a row for each row of the table and kind of windows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        gaps = ("difference_accuracy", "difference_nll")
        ends = [f"{name}{end}" for name in (*FIGURES, *gaps) for end in ("", "_low", "_high")]
        writer.writerow(["row", "windows_of", "distortion", "windows", "moved", *ends])
        for kind, of_kind in rows_by_kind.items():
            for name, row in of_kind.items():
                comparison = row.compared
                difference = (comparison.differences[gap.removeprefix("difference_")] for gap in gaps)
                numbers = [
                    v
                    for i in (*(comparison.figures[n] for n in FIGURES), *difference)
                    for v in (i.value, i.low, i.high)
                ]
                writer.writerow(
                    [name, kind, KINDS[kind], comparison.windows, f"{row.moved:.4g}", *(f"{v:.6g}" for v in numbers)]
                )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "files", nargs="*", type=Path, help="labelled windows: simulated, realistic, and broken if wanted"
    )
    parser.add_argument("-n", "--number", type=int, default=600, help="windows to simulate of each kind")
    parser.add_argument("--csv", type=Path, help="also write the table, with intervals, to this file")
    given = parser.parse_args(arguments)
    if len(given.files) not in (0, len(KINDS) - 1, len(KINDS)):
        parser.error(f"{len(given.files)} files were given; expected simulated, realistic and perhaps broken, or none")
    if given.csv is not None:
        given.csv.parent.mkdir(parents=True, exist_ok=True)
    print(machine())
    rows_by_kind = {}
    for kind, labelled in labelled_windows(given.files, given.number).items():
        rows_by_kind[kind] = rows(labelled, kind)
        print(f"\n{kind}, {len(labelled.labels)} windows, distortion {100 * KINDS[kind]:g} %")
        print(table(rows_by_kind[kind]), flush=True)
    if given.csv is not None:
        write_csv(rows_by_kind, given.csv)
    if idle(rows_by_kind):
        raise SystemExit(
            f"these changed nothing on these windows; use more, or correct ABLATIONS: {', '.join(idle(rows_by_kind))}"
        )


if __name__ == "__main__":
    main()
