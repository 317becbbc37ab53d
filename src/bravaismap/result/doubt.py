"""Doubt: what a user should know before believing a result, in plain words and from one place.

The terminal, the report, the viewer and the printed result show the same lines.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from bravaismap.conventions import CLASSES, NONE

__all__ = ["FEWEST_CELLS", "cells_along_image", "cells_along_window", "doubts"]

#: Primitive cells along the side of a window below which its class is in doubt: with three, the errors of the cell
#: exceed the strain between neighbouring classes.
FEWEST_CELLS: Final = 4.0
#: Share of the windows from which on a second size of cells is worth a word, and how nearly equal areas are to count as
#: the same: errors of a cell are about 1 %, those of its neighbours at a boundary larger.
_SHARE, _SAME_AREA = 0.05, 0.05
#: Distance from a class, as a fraction, beyond which a lattice is of its own rather than distorted: scans of STM with
#: strong drift shear by up to a tenth.
_LARGEST_SUSPECTED = 0.12
#: Lengths of primitive vectors in nm within which lattices of atoms lie, seen along an axis: below are distances of
#: projected columns (0.14 nm in silicon along [110]), above those of moiré lattices.
_SHORTEST, _LONGEST = 0.1, 20.0
#: By how much the area of none may be above and below its mean probability over windows: they do not see holes smaller
#: than themselves, and near holes and in noise they see a few percent more none than there is.
_ABOVE, _BELOW = 0.35, 0.2
#: Difference between the shares of two classes from which on they are not nearly equal.
_UNEQUAL = 0.1
#: Probability of its phase below which a pixel is undecided, and the share of a frame from which on that is worth a
#: word: boundaries of grains and voids make up a few percent.
_UNDECIDED, _MANY = 0.75, 0.2
#: σ of the area of none from which on that is vague: that of boundaries comes to 0.03.
_VAGUE = 0.05
#: Share of the pixels beside which, within a cell, another lattice is drawn, from which on the two are interwoven: one
#: half in grains of four cells, narrower than any window shows.
_INTERWOVEN = 0.5
_FRAMES = [0, -1]  # looked at, as for the phase table: a long movie is not read whole to be printed


def cells_along_window(result: xr.Dataset) -> float:
    """Return the number of primitive cells along the side of a typical window that shows a lattice.

    Parameters
    ----------
    result : Dataset
        A phase map with ``a``, ``b``, ``gamma`` and ``label``, and the run card.

    Returns
    -------
    float
        √(window² / area of the cell), the median over the windows of a lattice in the first and last frame; NaN where
        there is none.
    """
    if result.sizes.get("time", 0) > len(_FRAMES):
        result = result.isel(time=_FRAMES)
    areas = _areas(result)
    areas = areas[np.isfinite(areas)]
    side = float(result.attrs["window"]) * (result.attrs.get("pixel_size_nm") or 1.0)
    return side / float(np.sqrt(np.median(areas))) if areas.size else float("nan")


def cells_along_image(result: xr.Dataset) -> NDArray[np.float64]:
    """Return the number of primitive cells along the shorter side of each classified image, NaN of one without any.

    Parameters
    ----------
    result : Dataset
        Of :func:`~bravaismap.classify`, with ``basis`` and ``label``, or one image of it.

    Returns
    -------
    array, shape (image,)
        √(area of the image ÷ area of the cell), the image taken as a square of its shorter side.
    """
    side = min(result.attrs["size"]) * float(result.attrs.get("pixel_size_nm") or 1.0)
    return np.asarray(side / np.sqrt(_areas(result)))


def _areas(result: xr.Dataset) -> NDArray[np.float64]:
    """Areas of the cells, flat; NaN where there is no lattice."""
    area = result["a"] * result["b"] * np.sin(np.radians(result["gamma"]))
    lattice = (result["label"] >= 0) & (result["label"] != CLASSES.index(NONE))
    return np.asarray(area.where(lattice).values.ravel(), float)


def doubts(result: xr.Dataset) -> list[str]:
    """Return a line for each reason to doubt a result; none where there is nothing to say.

    Parameters
    ----------
    result : Dataset
        A phase map, classified images, or one of them. A result that lacks what a reason rests on does not give that
        reason.
    """
    lines: list[str] = []
    if not {"a", "b", "gamma", "label"} <= set(result.variables):
        return lines
    if "size" in result.attrs:
        few = cells_along_image(result)
        numbers = np.flatnonzero(few < FEWEST_CELLS)
        for i in numbers:
            image = f"image {i}" if "image" in result.dims else "the image"
            lines.append(
                f"{image} holds {few[i]:.1f} cells along its shorter side; below {FEWEST_CELLS:g} the class is in "
                "doubt: take a larger field of view"
            )
    if "window" in result.attrs:
        cells = cells_along_window(result)
        if cells < FEWEST_CELLS:
            lines.append(
                f"a window of {result.attrs['window']} px holds {cells:.1f} cells along its side; below "
                f"{FEWEST_CELLS:g} the class is in doubt: give a larger --window"
            )
        vague = _vague(result)
        if result.sizes.get("time", 0) > len(_FRAMES):
            result = result.isel(time=_FRAMES)
        lines += [*_several_sizes(result), *_area_apart(result), *(vague or _undecided(result)), *_interwoven(result)]
    return [*lines, *_distorted(result), *_implausible_scale(result)]


def _several_sizes(result: xr.Dataset) -> list[str]:
    """Windows of which some have a whole multiple of the cell of the others."""
    areas = _areas(result)
    areas = areas[np.isfinite(areas)]
    if not areas.size:
        return []
    smallest = float(np.percentile(areas, 100 * _SHARE / 2))
    smallest = float(np.median(areas[np.abs(areas / smallest - 1) < _SAME_AREA]))
    ratio = areas / smallest
    for multiple in (2, 3, 4):
        share = float((np.abs(ratio / multiple - 1) < _SAME_AREA).mean())
        if share >= _SHARE and (np.abs(ratio - 1) < _SAME_AREA).mean() >= _SHARE:
            return [
                f"the cell of {100 * share:.0f} % of the windows is {multiple} times as large as that of others: a "
                "superlattice in part of the sample, or a doubled cell where spots are weak; look at the spectra"
            ]
    return []


def _area_apart(result: xr.Dataset) -> list[str]:
    """Areas that say something else than the windows do, more than windows that are coarser than voids explain."""
    if not {"area_fraction", "probability"} <= set(result.variables):
        return []
    every = result["area_fraction"].transpose(..., "lattice").values.reshape(-1, len(CLASSES))
    windows = result["probability"].transpose(..., "y", "x", "lattice").values.astype(float)
    windows = windows.reshape(len(every), -1, len(CLASSES))
    none = CLASSES.index(NONE)
    lines: dict[str, str] = {}
    for area, probability in zip(every, windows, strict=True):
        probability = probability[np.isfinite(probability).all(1)]
        if not np.isfinite(area).all() or not len(probability):
            continue
        showing = probability[probability[:, none] < 0.5]
        if len(showing) and area[none] == 1:
            count = (
                f"{len(showing)} of {len(probability)} windows show" if len(showing) > 1 else "a single window shows"
            )
            lines["unknown"] = (
                f"no lattice of a frame is known, though {count} one: its area of none says that, and not that there "
                "is void"
            )
            continue
        lines |= _frame_apart(area, probability, showing)
    return list(lines.values())


def _frame_apart(
    area: NDArray[np.floating], probability: NDArray[np.floating], showing: NDArray[np.floating]
) -> dict[str, str]:
    """Lines, by their kind, about the areas (lattice) and windows (windows, lattice) of one frame."""
    none = CLASSES.index(NONE)
    lines: dict[str, str] = {}
    void = float(probability[:, none].mean())
    if not -_BELOW < area[none] - void < _ABOVE:
        lines["void"] = (
            f"the area of none is {100 * area[none]:.0f} %, its mean probability over windows {100 * void:.0f} %: more "
            "apart than voids smaller than a window explain; look at the figure of the pixels before either is believed"
        )
    lattices = np.delete(area, none)
    if not len(showing) or not lattices.sum():
        return lines
    lattices = lattices / lattices.sum()
    mean = np.delete(showing.mean(0), none)
    mean = mean / mean.sum()
    most, likely = int(lattices.argmax()), int(mean.argmax())
    if lattices[most] - lattices[likely] > _UNEQUAL and mean[likely] - mean[most] > _UNEQUAL:
        names = [name.replace("_", " ") for name in np.delete(CLASSES, none)]
        lines["class"] = (
            f"most of the area is {names[most]}, but the windows that show a lattice say {names[likely]} with "
            f"{100 * mean[likely]:.0f} % and {names[most]} with {100 * mean[most]:.0f} %: do not rely on the area"
        )
    return lines


def _vague(result: xr.Dataset) -> list[str]:
    """Frames, of all there are, whose area of none has a large error."""
    if not {"area_fraction", "area_fraction_std"} <= set(result.variables):
        return []
    area, std = (
        np.atleast_1d(result[name].sel(lattice=NONE).values.astype(float))
        for name in ("area_fraction", "area_fraction_std")
    )
    measured = np.isfinite(area) & (area < 1)  # 1: of a frame of which no lattice is known
    vague = measured & (std > _VAGUE)
    if not vague.any():
        return []
    frames = f"of {vague.sum()} of {measured.sum()} frames" if measured.sum() > 1 else "of the frame"
    return [
        f"the area of none {frames} is known to ± {100 * std[vague].min():.0f} % of the frame or worse, ± "
        f"{100 * std[vague].max():.0f} % at worst: atoms are as faint as the noise there; take the mean over frames, "
        "and expect noise in the figure of the pixels"
    ]


def _undecided(result: xr.Dataset) -> list[str]:
    """Frames of which much could be one phase as well as another."""
    if "phase_probability" not in result:
        return []
    probability = result["phase_probability"].transpose(..., "py", "px").values.astype(float)
    probability = probability.reshape(-1, probability.shape[-2] * probability.shape[-1])
    pixels = np.isfinite(probability).sum(1)
    shares = (probability < _UNDECIDED).sum(1)[pixels > 0] / pixels[pixels > 0]
    if not shares.size or shares.max() < _MANY:
        return []
    return [
        f"{100 * shares.max():.0f} % of the pixels of a frame are less than {100 * _UNDECIDED:g} % sure of their "
        "phase: the figure of the pixels shows what is likelier there, and no share of anything seen"
    ]


def _interwoven(result: xr.Dataset) -> list[str]:
    """Two lattices that are drawn in turns everywhere, as those of two layers on one another would be."""
    if not {"frame_lattice", "frame_basis"} <= set(result.variables) or result.sizes.get("px", 0) < 2:
        return []
    step = float(result["px"][1] - result["px"][0])
    drawn = result["frame_lattice"].transpose(..., "py", "px").values
    bases = result["frame_basis"].transpose(..., "number", "vector", "component").values.astype(float)
    areas = np.abs(bases[..., 0, 0] * bases[..., 1, 1] - bases[..., 0, 1] * bases[..., 1, 0]).reshape(
        -1, bases.shape[-3]
    )
    shares = [
        _beside_another(lattice, int(np.sqrt(np.nanmin(cells)) / step))
        for lattice, cells in zip(drawn.reshape(-1, *drawn.shape[-2:]), areas, strict=True)
        if np.unique(lattice[lattice >= 0]).size > 1
    ]
    if not shares or max(shares) < _INTERWOVEN:
        return []
    return [
        f"{100 * max(shares):.0f} % of the pixels of a frame have another lattice within a cell of them: these are no "
        "grains, but two layers on one another, or one lattice taken for several; do not rely on their areas, and ask "
        "`bravaismap classify`, which tells layers"
    ]


def _beside_another(lattice: NDArray[np.integer], reach: int) -> float:
    """Share of the pixels of lattices (py, px) that have another lattice within a reach in points."""
    size = 2 * max(1, reach) + 1
    shown = lattice >= 0
    highest = maximum_filter(lattice, size)
    lowest = minimum_filter(np.where(shown, lattice, highest.max()), size)
    return float((highest > lowest)[shown].mean())


def _distorted(result: xr.Dataset) -> list[str]:
    """Lattices of low symmetry near a high one, farther than the distortion that was given."""
    given = result.attrs.get("distortion")
    if "deviation" not in result or given is None:
        return []
    label = np.asarray(result["label"].values)
    lattice = (label >= 0) & (label != CLASSES.index(NONE))
    if not lattice.any():
        return []
    code = int(np.bincount(label[lattice]).argmax())
    if CLASSES[code] not in ("oblique", "centered_rectangular", "rectangular"):
        return []
    own = (label == code) & lattice
    for name in ("hexagonal", "square"):
        deviation = np.asarray(result["deviation"].sel(lattice=name).values, float)[own]
        distance = float(np.nanmedian(deviation)) if np.isfinite(deviation).any() else np.inf
        if 200 * given < distance < 100 * _LARGEST_SUSPECTED:
            return [
                f"the lattice is {distance:.1f} % from {name}: a scan that distorts by that much, far above the "
                f"{100 * given:g} % of --distortion, would show a {name} sample so"
            ]
    return []


def _implausible_scale(result: xr.Dataset) -> list[str]:
    """Cells that no crystal has, which come from a wrong pixel size."""
    if not result.attrs.get("pixel_size_nm"):
        return []
    label = result["label"]
    lattice = (label >= 0) & (label != CLASSES.index(NONE))
    sides = np.asarray(result["a"].where(lattice).values, float)
    side = float(np.nanmedian(sides)) if np.isfinite(sides).any() else np.nan
    if not (side < _SHORTEST or side > _LONGEST):
        return []
    return [
        f"the primitive vector a is {side:.3g} nm; those of atoms are {_SHORTEST:g} to {_LONGEST:g} nm long: check the "
        "pixel size"
    ]
