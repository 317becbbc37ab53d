"""Scores of models as a table and as reliability diagrams."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bravaismap.files import made_folder, save_figure, texts, write_table

if TYPE_CHECKING:
    from bravaismap.evaluate.comparison import Compared

__all__ = ["export_reliability", "export_scores"]


def export_scores(compared: Iterable[tuple[str, Compared]], path: str | os.PathLike[str]) -> Path:
    """Write scores as a table, a row for each model and data set.

    Parameters
    ----------
    compared : iterable of (str, Compared)
        Name of a data set and the scores of a model on it.
    path : str or path
        Replaced if it exists.

    Returns
    -------
    Path
        With the columns ``dataset``, ``model``, ``distortion``, ``windows``; each figure, with ``_low`` and ``_high``
        of its 95 % interval; ``difference_<figure>`` to the first model of the data set, likewise; the calibration
        error's bias and that of a perfectly calibrated model; coverage and errors of the cells; the information
        limit; ``confusion_<true>_<answer>``; the number of lattices that leave evidence in their windows, ``visible``,
        and ``visible_accuracy`` on them with its interval; and, where faults are known, ``images_<fault>`` and
        ``accuracy_<fault>`` with its interval (``none_<pattern>`` of images without a lattice). Shares are fractions
        of 1. Unknown values are left empty.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    rows = [_score_row(dataset, scores) for dataset, scores in compared]
    header = list(dict.fromkeys(name for row in rows for name in row))
    table = [header, *([row.get(name, "") for name in header] for row in rows)]
    target = Path(path)
    made_folder(target.parent)
    return write_table(target, table)


def _score_row(dataset: str, compared: Compared) -> dict[str, str]:
    """Return the cells of a row by the titles of their columns."""
    values: dict[str, float] = {"windows": compared.windows}
    if compared.distortion is not None:
        values["distortion"] = compared.distortion
    differences = {f"difference_{name}": interval for name, interval in compared.differences.items()}
    for name, interval in (compared.figures | differences).items():
        values |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    for name in ("ece_bias", "ece_calibrated", "ece_calibrated_high"):
        values[name] = getattr(compared, name)
    cells = compared.scores.cells
    if cells is not None:
        values |= {
            "cells_another": cells.another,
            "cells_shape_error": cells.shape_error,
        }
        for sigma, within in ((1, cells.within_1), (2, cells.within_2)):
            values |= {f"{name}_within_{sigma}": share for name, share in within.items()}
    if compared.limit is not None:
        values |= {f"limit_{name}": value for name, value in vars(compared.limit).items()}
    for true, line in zip(compared.scores.classes, compared.scores.confusion, strict=True):
        values |= {f"confusion_{true}_{name}": n for name, n in zip(compared.scores.classes, line, strict=True)}
    for fault in compared.faults:
        name = fault.fault if fault.crystal else f"none_{fault.fault}"
        low, high = fault.interval
        values |= {f"images_{name}": fault.images, f"accuracy_{name}": fault.accuracy}
        values |= {f"accuracy_{name}_low": low, f"accuracy_{name}_high": high}
    if compared.visible is not None:
        low, high = compared.visible.interval
        values |= {"visible": compared.visible.visible, "visible_accuracy": compared.visible.accuracy}
        values |= {"visible_accuracy_low": low, "visible_accuracy_high": high}
    numbers = texts(np.array(list(values.values()), float))
    return {"dataset": dataset, "model": compared.model} | dict(zip(values, numbers, strict=True))


def export_reliability(compared: Sequence[Compared], folder: str | os.PathLike[str], name: str) -> list[Path]:
    """Write the reliability diagram of models on a data set, as PNG and SVG.

    Parameters
    ----------
    compared : sequence of Compared
    folder : str or path
        Created if it does not exist; figures of the same name in it are replaced.
    name : str
        Name of the data set, in the title and in the names of the files.

    Returns
    -------
    list of Path
        ``reliability_<name>.png`` and ``.svg``.

    Raises
    ------
    OutputError
        If the folder or a file in it cannot be written.
    """
    from bravaismap.show.scores import plot_reliability

    figure = plot_reliability({model.model: model.reliability for model in compared}, name)
    return save_figure(figure, made_folder(folder) / f"reliability_{name}", (".png", ".svg"))
