"""Verdict: the measured cell of one image in words, and the distortion at which its class would change."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.classify.posterior import class_probability
from bravaismap.conventions import CLASSES, LATTICES, NONE, display_name
from bravaismap.measure import settings
from bravaismap.phases.besides import besides_lines
from bravaismap.phases.cells import lattice_orientation
from bravaismap.phases.reclassification import covariance_of
from bravaismap.result.doubt import doubts
from bravaismap.result.phase_map import with_error

__all__ = ["cell_lines", "deviations", "orientation_text", "tipping_points", "verdict"]

#: Angle in degrees after which every lattice repeats.
_HALF_TURN = 180.0
#: Distortions at which the class is computed: 0, then 0.03 % to 20 %.
_DISTORTIONS = np.concatenate([[0.0], np.geomspace(3e-4, 0.2, 140)])


def cell_lines(row: xr.Dataset) -> list[str]:
    """Return the cell, the deviations and the verdict as lines, the verdict alone for none, and what there is besides.

    Parameters
    ----------
    row : Dataset
        An image or window of a result that holds cells.
    """
    if CLASSES[int(row["label"])] == NONE:
        return [f"verdict    {verdict(row)}", *besides_lines(row)]
    unit = str(row["a"].attrs.get("units", "px"))
    a, b, gamma = (with_error(float(row[name]), float(row[f"{name}_std"])) for name in ("a", "b", "gamma"))
    direction, angle = orientation_text(row)
    return [
        f"cell       a {a} {unit}, b {b} {unit}, γ {gamma}°, {direction} {angle}",
        f"deviation  {deviations(row)}",
        f"verdict    {verdict(row)}",
        *besides_lines(row),
        *(f"doubt      {line}" for line in doubts(row)),
    ]


def orientation_text(row: xr.Dataset) -> tuple[str, str]:
    """Return which direction of the lattice of an image or window lies where, in words: ``a or b at``, an angle."""
    direction, angle, period = lattice_orientation(row)
    text = f"{with_error(angle, float(row['orientation_std']))}°"
    return f"{direction} at", text if period == _HALF_TURN else f"{text} (modulo {period:g}°)"


def deviations(row: xr.Dataset) -> str:
    """Return the deviation of an image or window from each class, with its σ, in words."""
    sigma = float(row["deviation_std"])
    values = [f"{display_name(n)} {float(row['deviation'].sel(lattice=n)):.{_places(sigma)}f}" for n in LATTICES[:-1]]
    return f"{', '.join(values)} %, each ± {sigma:.{_places(sigma)}f} %"


def verdict(row: xr.Dataset) -> str:
    """Return a sentence on what decides the class of an image or window."""
    label = CLASSES[int(row["label"])]
    if label == NONE:
        evidence = float(row["evidence"])
        if evidence == 0 and float(row["probability"].sel(lattice=NONE)) == 1:  # of noise it is below 1
            return "no lattice: the image is constant, all its pixels are equal"
        even = settings.SETTINGS.odds.even_evidence
        return f"no lattice: the log evidence for one is {evidence:.0f}; {even:.0f} makes it as likely as not"
    deviation, sigma = row["deviation"].sel(lattice=list(LATTICES)).values, float(row["deviation_std"])
    near = int(np.argmin(deviation[:-1])) if label == "oblique" else LATTICES.index(label)
    size = f"{deviation[near]:.{_places(sigma)}f} ± {sigma:.{_places(sigma)}f} %"
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
    return text if below or above else f"{text}, whatever your scan distortion up to {100 * _DISTORTIONS[-1]:.0f} %"


def tipping_points(row: xr.Dataset) -> tuple[tuple[float, str] | None, tuple[float, str] | None]:
    """Return the nearest distortions, below and above that of the result, that give another class, with that class.

    None where no distortion from 0 to 20 % on that side gives another class.
    """
    measured = row["basis"].values[None].astype(float), covariance_of(row)[None], row["evidence"].values[None]
    labels = np.array([class_probability(*measured, float(value))[0].argmax() for value in _DISTORTIONS])
    other = np.flatnonzero(labels != int(row["label"]))
    distortion = float(row.attrs["distortion"])
    below, above = other[_DISTORTIONS[other] < distortion][-1:], other[_DISTORTIONS[other] > distortion][:1]
    return _tipping_point(labels, below, 1), _tipping_point(labels, above, -1)


def _tipping_point(labels: NDArray[np.intp], nearest: NDArray[np.intp], towards: int) -> tuple[float, str] | None:
    """Return the distortion between the nearest one of another class and the next towards the result, and the class."""
    if not nearest.size:
        return None
    position = int(nearest[0])
    return float(_DISTORTIONS[[position, position + towards]].mean()), CLASSES[labels[position]]


def _places(sigma: float) -> int:
    """Return the decimals of a deviation in %, which give one digit of its σ."""
    return int(np.clip(np.ceil(-np.log10(2 * max(sigma, 1e-9))), 1, 3))
