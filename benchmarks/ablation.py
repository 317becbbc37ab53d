"""What each ingredient of the measurement and of its posterior is worth, beside the models that are there.

python benchmarks/ablation.py [FILE.npz ...] [--kinds simulated realistic broken enlarged] [-n WINDOWS]
    [--lines TEXT ...] [--csv FILE]

A file for each of the kinds, or none: then their windows are simulated (seed 7); those of `broken` are whole images of
broken crystals, those of `enlarged` windows with repeated pixels. An ingredient is switched off by replacing what
holds it: settings of the measurement, or a name of a module; those of whole images are asked of `broken` and
`enlarged`. `moved` is the share of windows of which that moves a probability by more than 1 %, `none` the share called
`none` of those without a lattice; a switch that changes nothing at all in any kind is named at the end, and the exit
code is 1. Differences are to `lattice`, in pairs on the same windows, with their 95 % intervals. `lattice × dcnn`
multiplies the probabilities of both, each to a power that was fitted on other simulated windows of the kind. With
`--lines` only lines whose names hold one of these texts are asked.
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
from bravaismap.conventions import NONE
from bravaismap.evaluate.answers import Answers, answer
from bravaismap.evaluate.comparison import Compared, compare
from bravaismap.evaluate.labelled import Labelled, read_labelled
from bravaismap.measure.pickup import Quiet

#: Kinds of windows and the distortion that each is scored with.
KINDS = {"simulated": 0.0, "realistic": 0.003, "broken": 0.02, "enlarged": 0.02}
#: Kinds whose images are more than a window, or are shown larger than they were measured.
OF_IMAGES = ("broken", "enlarged")
NAMES = ("dcnn-2018", "dcnn-2018-wide", "dcnn", "lattice", "default")
#: The network to combine with the measurement.
PARTNER = "dcnn"
SEED = 7
_OFF = "− "
#: Strain of every measurement, in place of its own covariance: of 0.2–0.7 %, the one of the highest likelihood.
FIXED_ERROR = 0.004
_MOVED = 0.01
FIGURES = ("accuracy", "nll", "ece", "rate")
HEADER = ("", "moved", "accuracy", "difference", "none", "NLL", "difference", "ECE", "windows/s")


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


def _first_of_two(second: Any) -> Callable[..., tuple[Any, Any]]:
    return lambda image, *_, **__: (image, second)


def _always(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


def _more_than_hum(images: torch.Tensor, *_: object) -> torch.Tensor:
    return torch.ones(len(images), device=images.device)


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

_ONE_PERIOD = Switch("measure.whole_image", "two_periods", _always(1.0))
#: What whole images, and windows that are shown enlarged, have besides.
ABLATIONS_OF_IMAGES: dict[str, tuple[Switch | Setting, ...]] = {
    "the whole image as one window": (Setting("measure.settings", "whole_image", "shorter_side", 10**9),),
    "offsets of rows and columns left": (Setting("measure.settings", "scan_lines", "raised_ratio", math.inf),),
    "displaced rows left": (Setting("measure.settings", "whole_image", "clear_evidence", -math.inf),),
    "displaced odd rows left": (Switch("measure.whole_image", "interleaved", _first_of_two((0.0, 0.0))),),
    "hum left in": (Switch("measure.whole_image", "without_pickup", Quiet),),
    "repeated pixels taken as they are": (Setting("measure.settings", "enlargement", "least_repetition", math.inf),),
    "interpolated noise taken as it is": (Switch("measure.whole_image", "enlarged_noise", _always(None)),),
    "two periods not asked of the image": (_ONE_PERIOD,),
    "two periods not asked of its windows either": (
        _ONE_PERIOD,
        Switch("measure.worth", "beyond_hum", _more_than_hum),
    ),
    "two gratings are a lattice": (Setting("measure.settings", "gratings", "directions", -1),),
    "streaks count as waves": (Setting("measure.settings", "nodes", "streak_factor", 1e30),),
    "order of superlattices not looked for": (Switch("measure.whole_image", "_ordered", _first_of_two(None)),),
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
    """A row of the table: how the answers compare with `lattice`, and in what share they differ by much.

    Attributes
    ----------
    compared : Compared
    moved : float
        Share of the windows of which a probability differs by more than 1 %.
    differs : bool
        Whether any probability differs at all.
    none : float
        Share called `none` of the windows without a lattice.
    """

    compared: Compared
    moved: float
    differs: bool
    none: float


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


def rows(labelled: Labelled, kind: str, lines: Sequence[str] = ("",)) -> dict[str, Row]:
    """Return how each model, and the lattice model without each ingredient, does; compared with `lattice`.

    Besides that, only those are asked whose names hold one of the texts `lines`.
    """
    distortion = KINDS[kind]
    lattice = answer(load_model("lattice", distortion), labelled)
    others = {
        name: lattice if name == "lattice" else answer(load_model(name, distortion), labelled)
        for name in NAMES
        if name in MODELS and (name == "lattice" or _named(name, lines))
    }
    if PARTNER in others and kind not in OF_IMAGES:
        others[f"lattice × {PARTNER}"] = combined(lattice, others[PARTNER], fitted_powers(kind))
    others |= {
        f"{_OFF}{name}": without(switches, labelled, distortion)
        for name, switches in ingredients(kind).items()
        if _named(name, lines)
    }
    compared = compare([lattice, *others.values()], seed=SEED)[1:]
    apart = [np.abs(a.probability - lattice.probability).max(axis=1) for a in others.values()]
    return {
        name: Row(comparison, float((gap > _MOVED).mean()), bool(gap.any()), none_recall(others[name]))
        for name, comparison, gap in zip(others, compared, apart, strict=True)
    }


def ingredients(kind: str) -> dict[str, tuple[Switch | Setting, ...]]:
    """Return the ingredients that are asked of a kind of windows."""
    return ABLATIONS | ABLATIONS_OF_IMAGES if kind in OF_IMAGES else ABLATIONS


def _named(name: str, lines: Sequence[str]) -> bool:
    return any(text in name for text in lines)


def none_recall(answers: Answers) -> float:
    """Return the share called `none` of the windows without a lattice; NaN if there are none."""
    none = answers.classes.index(NONE)
    empty = answers.labels == none
    return float((answers.probability[empty].argmax(axis=1) == none).mean()) if empty.any() else math.nan


def idle(rows_by_kind: dict[str, dict[str, Row]]) -> list[str]:
    """Return the ingredients that were asked and whose absence changes no window of any kind.

    Those about a distortion beyond that of a calibrated scan are not asked of kinds that have none.
    """
    calibrated = posterior_settings.SETTINGS.distortion.calibrated
    beyond = any(KINDS[kind] > calibrated for kind in rows_by_kind)
    every = {name: switches for kind in rows_by_kind for name, switches in ingredients(kind).items()}
    asked = [name for name, switches in every.items() if beyond or not all(map(_of_distortion, switches))]
    differs = {
        name: [of[row].differs for of in rows_by_kind.values() if (row := f"{_OFF}{name}") in of] for name in asked
    }
    return [name for name, any_kind in differs.items() if any_kind and not any(any_kind)]


def _of_distortion(switch: Switch | Setting) -> bool:
    return isinstance(switch, Setting) and switch.group == "distortion"


def labelled_windows(files: Sequence[Path], number: int, kinds: Sequence[str]) -> dict[str, Labelled]:
    """Return the labelled windows of each kind, from as many files, or simulated."""
    if files:
        return {kind: read_labelled(path) for kind, path in zip(kinds, files, strict=True)}
    return {kind: simulated_windows(kind, number, SEED) for kind in kinds}


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
                f"{100 * row.none:.1f} %",
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
        writer.writerow(["row", "windows_of", "distortion", "windows", "moved", "none_recall", *ends])
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
                    [name, kind, KINDS[kind], comparison.windows, f"{row.moved:.4g}", f"{row.none:.4g}"]
                    + [f"{v:.6g}" for v in numbers]
                )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="labelled windows of each of the kinds")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("-n", "--number", type=int, default=600, help="windows to simulate of each kind")
    parser.add_argument("--lines", nargs="+", default=[""], help="parts of the names of the lines that are asked")
    parser.add_argument("--csv", type=Path, help="also write the table, with intervals, to this file")
    given = parser.parse_args(arguments)
    if len(given.files) not in (0, len(given.kinds)):
        parser.error(
            f"{len(given.files)} files were given; expected none, or one of each kind: {' '.join(given.kinds)}"
        )
    if given.csv is not None:
        given.csv.parent.mkdir(parents=True, exist_ok=True)
    print(machine())
    rows_by_kind = {}
    for kind, labelled in labelled_windows(given.files, given.number, given.kinds).items():
        rows_by_kind[kind] = rows(labelled, kind, given.lines)
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
