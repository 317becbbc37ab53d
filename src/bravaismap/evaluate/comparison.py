"""Comparison of models on the same labelled windows: figures of merit with intervals, and differences in pairs.

All intervals are of 95 %, by bootstrap over the windows. Every model sees the same resampled windows, so that windows
that are hard for all models do not blur the difference between two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bravaismap.conventions import Floats
from bravaismap.errors import InputError
from bravaismap.evaluate.answers import Answers, score_answers
from bravaismap.evaluate.fault_scores import FaultScore, fault_table, score_faults
from bravaismap.evaluate.limit import Limit, limit_of
from bravaismap.evaluate.reliability import Reliability, calibrated_error, reliability, reliability_table
from bravaismap.evaluate.scores import Scores, figures, merits, score_report
from bravaismap.evaluate.visible import VisibleScore, score_visible, visible_table

__all__ = ["Compared", "Interval", "compare", "comparison_table", "full_report"]


_TAILS = (0.025, 0.975)  # quantiles at the ends of a 95 % interval
_DRAWN_AT_ONCE = 2_000_000  # windows, for memory
#: Rows of the table: figure, title, unit and digits.
_ROWS = (
    ("accuracy", "accuracy", "%", 1),
    ("top2", "first or second class right", "%", 1),
    ("second_right", "second right where wrong", "%", 1),
    ("nll", "negative log likelihood", "nat", 3),
    ("brier", "Brier score", "", 3),
    ("ece", "expected calibration error", "", 3),
    ("confident_wrong", "wrong above 0.95 confidence", "%", 1),
    ("rate", "windows per second", "", 0),
)
_DIFFERENCES = ("accuracy", "nll")


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval (NaN where there is none)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Compared:
    """Figures of merit of a model on labelled windows, and their differences to those of the first model.

    Attributes
    ----------
    model : str
    distortion : float, optional
        Distortion of the scan that the model allows for.
    scores : Scores
    reliability : Reliability
    limit : Limit, optional
        Of a model that measures cells, where the true ones are known.
    figures : dict of str to Interval
        ``accuracy``, ``top2``, ``second_right``, ``nll``, ``brier``, ``ece``, ``confident_wrong`` as in
        :class:`~bravaismap.evaluate.scores.Scores`, and ``rate``, windows per second.
    differences : dict of str to Interval
        ``accuracy`` and ``nll`` less those of the first model; empty for the first.
    ece_bias : float
        Mean excess of the calibration error of resampled windows over that of the windows. The excess of `ece` itself
        over that of infinitely many windows is of the same size. The interval of `ece` is the scatter without this
        bias.
    ece_calibrated, ece_calibrated_high : float
        Calibration error that a perfectly calibrated model of the same confidences would show, see
        :func:`~bravaismap.evaluate.reliability.calibrated_error`.
    faults : tuple of FaultScore
        Scores by fault of the images; empty where the faults are not known.
    visible : VisibleScore, optional
        Score on the lattices that leave evidence in their windows, where these are known.
    """

    model: str
    distortion: float | None
    scores: Scores
    reliability: Reliability
    limit: Limit | None
    figures: dict[str, Interval]
    differences: dict[str, Interval]
    ece_bias: float
    ece_calibrated: float
    ece_calibrated_high: float
    faults: tuple[FaultScore, ...] = ()
    visible: VisibleScore | None = None

    @property
    def windows(self) -> int:
        """Number of windows."""
        return int(self.scores.confusion.sum())


def compare(
    answers: Sequence[Answers], draws: int = 2000, seed: int = 0, visible: NDArray[np.bool_] | None = None
) -> list[Compared]:
    """Compare the answers of models on the same windows.

    Parameters
    ----------
    answers : sequence of Answers
        Of the same windows in the same order.
    draws : int
        Number of bootstrap samples of the windows.
    seed : int
    visible : bool array, shape (n,), optional
        Windows whose true lattice leaves evidence in them, see
        :func:`~bravaismap.evaluate.visible.visible_lattices`.

    Returns
    -------
    list of Compared
        In the order of `answers`.

    Raises
    ------
    InputError
        If the answers are not about the same windows.
    """
    windows = len(answers[0].labels)
    named = [np.array(a.classes)[a.labels] for a in answers]
    if any(len(names) != windows or (names != named[0]).any() for names in named):
        raise InputError("the answers of the models are about different windows; expected the same ones in one order")
    columns = [merits(a.probability, a.labels) for a in answers]
    sums = _resampled_sums(np.concatenate(columns, axis=1), draws, seed)
    compared: list[Compared] = []
    first_value: dict[str, Floats] = {}
    first_scatter: dict[str, Floats] = {}
    for a, merit, drawn in zip(answers, columns, np.split(sums, len(answers), axis=1), strict=True):
        value, scatter = figures(merit.sum(axis=0), windows), figures(drawn, windows)
        bias = float(scatter["ece"].mean() - value["ece"])
        scatter["ece"] = np.maximum(scatter["ece"] - bias, 0)
        if not compared:
            first_value, first_scatter = value, scatter
        differences = {
            name: _interval(value[name] - first_value[name], scatter[name] - first_scatter[name])
            for name in (_DIFFERENCES if compared else ())
        }
        mean, high = calibrated_error(a.probability.max(axis=1), seed=seed)
        compared.append(
            Compared(
                model=a.model,
                distortion=a.distortion,
                scores=score_answers(a),
                reliability=reliability(a.probability, a.labels),
                limit=limit_of(a, seed),
                figures={name: _interval(value[name], scatter[name]) for name in value}
                | {"rate": _rate(a, draws, seed)},
                differences=differences,
                ece_bias=bias,
                ece_calibrated=mean,
                ece_calibrated_high=high,
                faults=() if a.faults is None else score_faults(a.probability, a.labels, a.classes, a.faults),
                visible=None if visible is None else score_visible(a.probability, a.labels, a.classes, visible),
            )
        )
    return compared


def full_report(compared: Compared, title: str) -> str:
    """Return scores, confusion matrix, cells, the best accuracy possible with their errors, and reliability as text."""
    lines = [score_report(compared.scores, title)]
    if compared.limit is not None:
        limit = compared.limit
        lines += [
            f"  best possible with these errors, on the {limit.windows} windows whose lattice was found",
            f"    a right posterior          {100 * limit.best:.1f} ± {100 * limit.best_std:.1f} %",
            f"    this model                 {100 * limit.reached:.1f} %",
            f"    without errors of the cell {100 * limit.exact:.1f} %",
        ]
    if compared.visible is not None:
        lines.append(visible_table(compared.visible))
    if compared.faults:
        lines.append(fault_table(compared.faults))
    return "\n".join([*lines, "  reliability", reliability_table(compared.reliability)])


def comparison_table(compared: Sequence[Compared]) -> str:
    """Return compared models as text: a column for each model, a row for each figure."""
    table = [["", *(column.model for column in compared)]]
    for name, title, unit, digits in _ROWS:
        table.append([title, *(_text(column.figures[name], unit, digits) for column in compared)])
        if name == "ece":
            table.append(["  if perfectly calibrated", *(_floor(column) for column in compared)])
            table.append(["  bias of resampling", *(f"{column.ece_bias:+.3f}" for column in compared)])
    for name, title, unit, digits in _ROWS if len(compared) > 1 else ():
        if name in _DIFFERENCES:
            cells = (_text(column.differences[name], unit, digits, sign="+") for column in compared[1:])
            table.append([f"{title}, difference", "", *cells])
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = [f"  figures of {compared[0].windows} windows with 95 % intervals, bootstrap over the windows"]
    lines += ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    if len(compared) > 1:
        lines.append(f"  differences: to {compared[0].model}, in pairs on the same windows")
    return "\n".join(line.rstrip() for line in lines)


def _text(figure: Interval, unit: str, digits: int, sign: str = "") -> str:
    if np.isnan(figure.value):
        return "–"
    factor = 100 if unit == "%" else 1
    value, low, high = (f"{factor * number:{sign}.{digits}f}" for number in (figure.value, figure.low, figure.high))
    interval = "" if np.isnan(figure.low) else f" ({low} to {high})"
    return f"{value}{interval} {unit}".rstrip()


def _floor(compared: Compared) -> str:
    return f"{compared.ece_calibrated:.3f} (95 % below {compared.ece_calibrated_high:.3f})"


def _interval(value: Floats | float, scatter: Floats) -> Interval:
    finite = scatter[np.isfinite(scatter)]
    low, high = np.quantile(finite, _TAILS) if len(finite) else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high))


def _rate(answers: Answers, draws: int, seed: int) -> Interval:
    """Return windows per second; the interval is over the batches, each timed on its own (NaN if there was one)."""
    timed = np.column_stack([answers.batches, answers.seconds])
    total, time = timed.sum(axis=0)
    if len(timed) < 2:
        return Interval(float(total / time), float("nan"), float("nan"))
    sums = _resampled_sums(timed, draws, seed)
    return _interval(total / time, sums[:, 0] / sums[:, 1])


def _resampled_sums(columns: Floats, draws: int, seed: int) -> Floats:
    """Return sums (draws, k) over rows of `columns` (n, k) that are drawn with replacement."""
    return np.concatenate([counts @ columns for counts in _times_drawn(len(columns), draws, seed)])


def _times_drawn(count: int, draws: int, seed: int) -> Iterator[Floats]:
    """Yield how often each of `count` rows is drawn, arrays (part of the draws, count)."""
    rng = np.random.default_rng(seed)
    per_pass = max(1, _DRAWN_AT_ONCE // count)
    for start in range(0, draws, per_pass):
        part = min(per_pass, draws - start)
        drawn = rng.integers(0, count, (part, count)) + count * np.arange(part)[:, None]
        yield np.bincount(drawn.ravel(), minlength=part * count).reshape(part, count).astype(float)
