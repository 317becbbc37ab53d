"""Cells: the measured primitive cells of windows, what a result says of them, and a result classified anew.

A result keeps what the classification rests on (`basis`, `basis_covariance`, `evidence`), so that another `distortion`
takes no second look at the image.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.classify.answer import MEASURED, Answer, Cells, symmetric_matrix
from bravaismap.classify.dropout import predictive_entropy
from bravaismap.classify.posterior import class_probability, sample_probability
from bravaismap.classify.settings import DEFAULTS, checked_distortion
from bravaismap.compute.device import PROCESSOR
from bravaismap.conventions import CLASSES, NONE, TURNS
from bravaismap.errors import InputError
from bravaismap.phases.fractions import PhaseMap, independent_std
from bravaismap.result.schema import CELL_PARAMETERS, cell_table

__all__ = [
    "cell_statistics",
    "cell_table",
    "check_cells",
    "classified",
    "covariance_of",
    "independent_windows",
    "orientation_period",
    "reclassify",
]

_AT_ONCE = 4096  # windows whose probabilities are worked out together


def classified(cells: Cells, distortion: float, samples: int, seed: int, device: str = PROCESSOR) -> Answer:
    """Return the class probabilities of measured cells.

    The probability is the posterior of the measurement itself; σ and mutual information come from `samples` draws of
    what another measurement could have been (0 for none, with NaN for both), worked out on `device`.
    """
    count = len(cells.evidence)
    probability = np.tile(np.eye(len(CLASSES))[CLASSES.index(NONE)], (count, 1))
    std, information = np.zeros_like(probability), np.zeros(count)
    if not samples:
        std[:], information[:] = np.nan, np.nan
    known = np.flatnonzero(np.isfinite(cells.basis).all(axis=(1, 2)) & np.isfinite(cells.evidence))
    for first in range(0, len(known), _AT_ONCE):
        some = known[first : first + _AT_ONCE]
        measured = cells.basis[some], cells.covariance[some], cells.evidence[some]
        probability[some] = class_probability(*measured, distortion, device)
        if samples:
            mean, std[some], doubt = sample_probability(*measured, distortion, samples, seed, device)
            information[some] = np.maximum(predictive_entropy(mean) - doubt, 0)
    return Answer(probability, std, predictive_entropy(probability), information, None, cells)


def cell_statistics(result: xr.Dataset) -> xr.Dataset:
    """Return the cell of each class over some windows of a result: a region, a frame, or all of it.

    Parameters
    ----------
    result : Dataset
        With ``label``, ``a``, ``b``, ``gamma``, ``orientation`` and their ``_std``, over any dimensions.

    Returns
    -------
    Dataset
        Over ``lattice``: ``windows``, the number of windows that have the class as their most probable one; ``a``,
        ``b``, ``gamma``, ``orientation``, the medians over them; ``a_std`` and so on, the medians of the σ of a single
        window; and ``a_scatter`` and so on, the standard deviations between windows. NaN for a class without windows,
        and for the scatter of one window. Orientations that are the same by the symmetry of the class count as the
        same.
    """
    names = [str(name) for name in result["lattice"].values]
    label = result["label"].values
    found: dict[str, Any] = {"windows": ("lattice", [int((label == i).sum()) for i in range(len(names))])}
    for name in CELL_PARAMETERS:
        values, errors = (result[key].transpose(*result["label"].dims).values for key in (name, f"{name}_std"))
        rows = []
        for i, lattice in enumerate(names):
            known = (label == i) & np.isfinite(values)
            some, their = values[known].astype(float), errors[known].astype(float)
            turn = TURNS.get(lattice) if name == "orientation" else None
            rows.append((*_middle(some, turn), np.median(their)) if some.size else (np.nan,) * 3)
        unit = {"units": str(result[name].attrs.get("units", ""))}
        for column, ending in zip(zip(*rows, strict=True), ("", "_scatter", "_std"), strict=True):
            found[f"{name}{ending}"] = ("lattice", list(column), unit)
    return xr.Dataset(found, coords={"lattice": names})


def _middle(values: NDArray[np.float64], turn: float | None) -> tuple[float, float]:
    """Return median and standard deviation; with a turn, of angles that repeat after it."""
    if turn is not None:
        middle = float(np.angle(np.exp(2j * np.pi * values / turn).mean())) * turn / (2 * np.pi)
        values = middle + (values - middle + turn / 2) % turn - turn / 2
    spread = float(values.std(ddof=1)) if values.size > 1 else np.nan
    median = float(np.median(values))
    return (median if turn is None else median % turn), spread


def orientation_period(label: NDArray[np.integer], classes: tuple[str, ...] = CLASSES) -> NDArray[np.float64]:
    """Return the turn (degrees) after which the lattice of each window looks the same, 180 where there is none."""
    table = np.array([TURNS.get(name, 180.0) for name in classes] + [180.0])
    return np.asarray(table[label])


def independent_windows(size: Iterable[int], window: int, windows: int) -> float:
    """Return how many windows of a frame err independently: as many as fit side by side, at most all of them."""
    height, width = size
    return min(float(windows), max(1.0, height * width / window**2))


def reclassify(result: xr.Dataset, distortion: float = DEFAULTS.distortion) -> PhaseMap:
    """Classify a finished result anew for another distortion of the instrument, without the images.

    Parameters
    ----------
    result : Dataset
        Of :func:`~bravaismap.classify`, :func:`~bravaismap.map_phases` or :func:`~bravaismap.open_result`, made by a
        model that measures cells. A lazy result stays lazy, a frame at a time.
    distortion : float
        Standard deviation of each component of the linear map from sample to image, as a fraction.

    Returns
    -------
    PhaseMap
        What a new run with that distortion would give.

    Raises
    ------
    InputError
        If the result holds no measured cells, or the distortion cannot be.

    Examples
    --------
    >>> strict = bm.reclassify(bm.open_result("film.zarr"), distortion=0.003)
    """
    distortion = checked_distortion(distortion)
    check_cells(result, ("basis", "basis_covariance", "evidence", "probability", "label"))
    if result.chunks:
        options = {"distortion": distortion}
        again = xr.map_blocks(_reclassified, result, kwargs=options, template=result)
    else:
        again = _reclassified(result, distortion)
    return PhaseMap(again.data_vars, coords=result.coords, attrs=dict(result.attrs) | {"distortion": distortion})


def check_cells(result: xr.Dataset, needed: Iterable[str]) -> None:
    """Raise `InputError` if a result lacks a variable that only a model that measures cells gives."""
    missing = [name for name in needed if name not in result]
    if missing:
        raise InputError(
            f"the result has no {', '.join(missing)}: its model ({result.attrs.get('model', 'unknown')}) measured no "
            "cells; classify or map again with the model lattice"
        )


def covariance_of(result: xr.Dataset) -> NDArray[np.float64]:
    """Return the covariance of the flattened basis, shape (windows..., 4, 4), that a result holds as triangles."""
    triangle = result["basis_covariance"].transpose(*result["label"].dims, "pair").values
    return symmetric_matrix(triangle.astype(float))


def _reclassified(result: xr.Dataset, distortion: float) -> xr.Dataset:
    dims, shape = result["label"].dims, result["label"].shape
    covariance = covariance_of(result).reshape(-1, 4, 4)
    basis = result["basis"].transpose(*dims, "vector", "component").values.reshape(-1, 2, 2).astype(float)
    cells = Cells(basis, covariance, result["evidence"].transpose(*dims).values.ravel().astype(float))
    answer = classified(cells, distortion, int(result.attrs["samples"]), int(result.attrs["seed"]))
    new = {}
    for name, values in answer.unknown_where(np.isnan(cells.evidence)).variables(None).items():
        if name not in MEASURED:
            old = result[name]
            order = (*dims, "lattice") if "lattice" in old.dims else dims
            new[name] = (order, values.reshape(*shape, *values.shape[1:]).astype(old.dtype), old.attrs)
    again = result.assign(new)
    if "fraction" in result:
        probability = again["probability"].transpose("time", "y", "x", "lattice").values.astype(float)
        frames = probability.reshape(len(probability), -1, probability.shape[-1])
        count = independent_windows(result.attrs["frame_size"], result.attrs["window"], frames.shape[1])
        again = again.assign(
            fraction=(("time", "lattice"), frames.mean(axis=1), result["fraction"].attrs),
            fraction_std=(("time", "lattice"), independent_std(frames, count), result["fraction_std"].attrs),
        )
    return again
