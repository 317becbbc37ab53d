"""Verdict: the measured cell of one image in words, and what decides its class."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.classify.posterior import EVEN_EVIDENCE, class_probability
from bravaismap.conventions import CLASSES, LATTICES, NONE, display_name
from bravaismap.phases.reclassification import covariance_of

__all__ = ["cell_lines", "deviations", "tipping_points", "verdict", "with_error"]

#: Distortions at which the class is tried: none, then 0.03 % to 20 %.
_TRIED = np.concatenate([[0.0], np.geomspace(3e-4, 0.2, 140)])


def cell_lines(row: xr.Dataset) -> list[str]:
    """Return the cell, the deviation from each class and what decides, as three lines (the last alone for none).

    Parameters
    ----------
    row : Dataset
        One image or window of a result that holds cells.
    """
    if CLASSES[int(row["label"])] == NONE:
        return [f"verdict    {verdict(row)}"]
    unit = str(row["a"].attrs.get("units", "px"))
    a, b, gamma, orientation = (
        with_error(float(row[name]), float(row[f"{name}_std"])) for name in ("a", "b", "gamma", "orientation")
    )
    return [
        f"cell       a {a} {unit}, b {b} {unit}, γ {gamma}°, a at {orientation}°",
        f"deviation  {deviations(row)}",
        f"verdict    {verdict(row)}",
    ]


def deviations(row: xr.Dataset) -> str:
    """Return the deviation of one image or window from each class with its error."""
    sigma = float(row["deviation_std"])
    off = [f"{display_name(n)} {float(row['deviation'].sel(lattice=n)):.{_places(sigma)}f}" for n in LATTICES[:-1]]
    return f"{', '.join(off)} %, each ± {sigma:.{_places(sigma)}f} %"


def verdict(row: xr.Dataset) -> str:
    """Return one sentence on what decides the class of one image or window."""
    label = CLASSES[int(row["label"])]
    if label == NONE:
        seen = float(row["evidence"])
        return f"no lattice: the log evidence for one is {seen:.0f}; {EVEN_EVIDENCE:.0f} makes it as likely as not"
    off, sigma = row["deviation"].sel(lattice=list(LATTICES)).values, float(row["deviation_std"])
    near = int(np.argmin(off[:-1])) if label == "oblique" else LATTICES.index(label)
    size = f"{off[near]:.{_places(sigma)}f} ± {sigma:.{_places(sigma)}f} %"
    if label == "oblique":
        text = f"oblique, {size} from {display_name(LATTICES[near])}"
    else:
        text = f"{display_name(label)} within {size}"
    below, above = tipping_points(row)
    if below:
        text += f"; {display_name(below[1])} if your scan distortion is below {100 * below[0]:.2g} %"
    if above:
        text += f"; {display_name(above[1])} if {'it' if below else 'your scan distortion'} is above "
        text += f"{100 * above[0]:.2g} %"
    return text if below or above else f"{text}, whatever your scan distortion up to {100 * _TRIED[-1]:.0f} %"


def tipping_points(row: xr.Dataset) -> tuple[tuple[float, str] | None, tuple[float, str] | None]:
    """Return the nearest distortions, below and above that of the result, that give another class, and that class.

    None where no distortion from 0 to 20 % on that side does.
    """
    measured = row["basis"].values[None].astype(float), covariance_of(row)[None], row["evidence"].values[None]
    labels = np.array([class_probability(*measured, float(tried))[0].argmax() for tried in _TRIED])
    other = np.flatnonzero(labels != int(row["label"]))
    here = float(row.attrs["distortion"])
    return _tip(labels, other[_TRIED[other] < here][-1:], 1), _tip(labels, other[_TRIED[other] > here][:1], -1)


def _tip(labels: NDArray[np.intp], found: NDArray[np.intp], towards: int) -> tuple[float, str] | None:
    if not found.size:
        return None
    at = int(found[0])
    return float(_TRIED[[at, at + towards]].mean()), CLASSES[labels[at]]


def _places(sigma: float) -> int:
    """Decimals of a deviation in %: one digit of its error."""
    return int(np.clip(np.ceil(-np.log10(2 * max(sigma, 1e-9))), 1, 3))


def with_error(value: float, std: float) -> str:
    """Return a value and its standard uncertainty, which is given to two digits."""
    decimals = int(np.clip(1 - np.floor(np.log10(std)), 0, 6)) if 0 < std < np.inf else 3
    return f"{value:.{decimals}f} ± {std:.{decimals}f}"
