"""Besides: what a classified image shows besides the class of its lattice, as variables and in words.

The share of the image that shows the lattice, the finer lattice of a superlattice, other lattices (grains, twins,
layers) with their turn, the one period of an image without a lattice, and what of the instrument was undone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from bravaismap.classify.answer import Answer, label_of, symmetric_matrix, upper_triangle
from bravaismap.classify.posterior import class_probability
from bravaismap.conventions import CLASSES, LATTICES, NONE, Floats, display_name
from bravaismap.lattice.basis import cell_from_basis, reduce_basis
from bravaismap.lattice.deformation import STRAIN_LIMIT, deformation, matched
from bravaismap.measure.whole_image import WholeImage, look_at_window
from bravaismap.phases.cells import basis_orientation, lattice_orientation

__all__ = [
    "OtherLattice",
    "besides_lines",
    "finer_basis",
    "looked",
    "looks_of",
    "order_text",
    "ordered_regions",
    "other_lattices",
    "seen_texts",
]

#: Largest strain between two lattices that are the same one, turned: what drift and bending come to.
_SAME_STRAIN = 0.05
#: Differences of angle, in degrees, and of length from the root of a whole number up to which a superlattice has a
#: name of the form √m × √n Rφ.
_SAME_ANGLE = 2.0
_SAME_LENGTH = 0.04


@dataclass(frozen=True)
class OtherLattice:
    """A lattice that an image shows besides the first.

    Attributes
    ----------
    label : str
        Its most probable class.
    a, b, gamma : float
        Its primitive cell, lengths in `unit`, γ in degrees.
    unit : str
    share : float
        Of the image that shows it.
    turn : float
        Against the first lattice, counter-clockwise as seen on the screen, in degrees: the smallest rotation that
        takes the first to it, or the angle between the directions that are given of them where the cells differ;
        folded by the symmetry of its class, between −half its period and that half.
    direction, first_direction : str
        Which direction of it, and of the first, that angle is between where the cells differ.
    same : bool
        Whether its cell is that of the first lattice.
    """

    label: str
    a: float
    b: float
    gamma: float
    unit: str
    share: float
    turn: float
    same: bool
    direction: str
    first_direction: str


def looks_of(answer: Answer, frames: NDArray[Any], unseen: NDArray[np.bool_]) -> list[WholeImage]:
    """Return what each of the images (n, y, x) shows; nothing where they are `unseen`, (n,), or constant."""
    looks = list(answer.looks or (None,) * len(frames))
    label = label_of(answer.probability)
    for i, frame in enumerate(frames):
        if unseen[i] or frame.max() == frame.min():
            looks[i] = WholeImage()
        elif looks[i] is None:
            basis = None if answer.cells is None or CLASSES[label[i]] == NONE else answer.cells.basis[i]
            looks[i] = look_at_window(torch.from_numpy(np.ascontiguousarray(frame, np.float32)), basis)
    return [look for look in looks if look is not None]


def looked(looks: Sequence[WholeImage], label: NDArray[np.integer], length: float) -> dict[str, NDArray[Any]]:
    """Return the variables of ``LOOKED`` in the schema, in a unit in which a px is `length`.

    Parameters
    ----------
    looks : sequence of WholeImage, n
    label : int array, shape (n,)
        Most probable class of each image. Where it is none there is no share, no order and no other lattice.
    length : float
    """
    count = len(looks)
    lattice = (label >= 0) & (label != CLASSES.index(NONE))
    others = [look.lattices[1:] if shown else () for look, shown in zip(looks, lattice, strict=True)]
    most = max((len(lattices) for lattices in others), default=0)
    regions = [look.regions if shown else () for look, shown in zip(looks, lattice, strict=True)]
    most_regions = max(map(len, regions), default=0)
    values: dict[str, NDArray[Any]] = {
        "share": np.full(count, np.nan),
        "order": np.zeros((count, 2, 2), int),
        "region_order": np.zeros((count, most_regions, 2, 2), int),
        "region_share": np.full((count, most_regions), np.nan),
        "other_share": np.full((count, most), np.nan),
        "other_evidence": np.full((count, most), np.nan),
        "other_basis": np.full((count, most, 2, 2), np.nan),
        "other_basis_covariance": np.full((count, most, 10), np.nan),
        "period": np.full(count, np.nan),
        "period_slips": np.zeros(count, bool),
        "repeated": np.array([look.repeated for look in looks], float).reshape(count, 2),
        "leveled": np.array([look.leveled for look in looks], bool).reshape(count, 2),
        "aligned": np.array([look.aligned for look in looks], bool) & lattice,
        "pickup": np.array([look.pickup for look in looks]) * length,
        "displaced": np.array([look.displaced for look in looks], float).reshape(count, 2) * length,
    }
    for i, look in enumerate(looks):
        if lattice[i]:
            # a small image is measured whole
            values["share"][i] = look.lattices[0].share if look.lattices else 1.0
            if look.order is not None:
                values["order"][i] = look.order
        elif look.period is not None:
            values["period"][i], values["period_slips"][i] = look.period.length * length, look.period.slips
        for j, region in enumerate(regions[i]):
            values["region_order"][i, j], values["region_share"][i, j] = region.matrix, region.share
        for j, other in enumerate(others[i]):
            values["other_share"][i, j], values["other_evidence"][i, j] = other.share, other.evidence
            values["other_basis"][i, j] = reduce_basis(other.basis) * length
            change = np.rint(values["other_basis"][i, j] / length @ np.linalg.inv(other.basis))
            wide = np.kron(change, np.eye(2)) * length
            values["other_basis_covariance"][i, j] = upper_triangle(wide @ other.covariance @ wide.T)
    return values


def other_lattices(row: xr.Dataset) -> list[OtherLattice]:
    """Return the lattices that an image shows besides the first, at the distortion of its result.

    Parameters
    ----------
    row : Dataset
        An image of a result of :func:`~bravaismap.classify`.
    """
    if "other_basis" not in row or not row.sizes.get("other"):
        return []
    lattices = []
    unit, first = str(row["other_basis"].attrs.get("units", "px")), row["basis"].values.astype(float)
    rows = np.flatnonzero(np.isfinite(row["other_share"].values))
    basis = row["other_basis"].values[rows]
    covariance = symmetric_matrix(row["other_basis_covariance"].values[rows])
    if not len(rows):
        return []
    probability = class_probability(
        basis, covariance, row["other_evidence"].values[rows], float(row.attrs["distortion"])
    )[:, : len(LATTICES)]
    cells = np.stack(cell_from_basis(basis), axis=-1)
    first_direction, first_angle, _ = lattice_orientation(row)
    for i, (a, b, gamma, _) in enumerate(cells):
        stretch, rotation = deformation(matched(basis[i : i + 1], first)[0] @ basis[i], first)
        strain = float(np.abs(np.linalg.eigvalsh(stretch) - 1).max())
        same = strain < min(_SAME_STRAIN, STRAIN_LIMIT)
        label = int(probability[i].argmax())
        direction, angle, period = basis_orientation(basis[i], label)
        turn = float(np.degrees(rotation)) if same else angle - first_angle
        lattices.append(
            OtherLattice(
                LATTICES[label], float(a), float(b), float(np.degrees(gamma)), unit,
                float(row["other_share"].values[rows[i]]), period / 2 - (period / 2 - turn) % period, same,
                direction, first_direction,
            )
        )  # fmt: skip
    return lattices


def finer_basis(row: xr.Dataset) -> Floats | None:
    """Return the basis of the finer lattice whose superlattice an image shows, None if it shows no superlattice."""
    if "order" not in row or not row["order"].values.any():
        return None
    return np.asarray(np.linalg.solve(row["order"].values.astype(float), row["basis"].values.astype(float)))


def ordered_regions(row: xr.Dataset) -> list[tuple[NDArray[np.integer], float]]:
    """Return the superlattices that a part of an image shows: their bases in that of its lattice, and their shares."""
    if "region_share" not in row:
        return []
    pairs = zip(row["region_order"].values, row["region_share"].values, strict=True)
    return [(matrix, float(share)) for matrix, share in pairs if np.isfinite(share)]


def order_text(matrix: NDArray[np.integer], finer: Floats) -> str:
    """Return a superlattice as the field writes it: 2 × 1, √3 × √3 R30°, and as a matrix.

    Parameters
    ----------
    matrix : int array, shape (2, 2)
        The basis of the superlattice in that of the finer lattice.
    finer : array, shape (2, 2)
        Basis of the finer lattice.
    """
    entries = f"matrix ({matrix[0, 0]} {matrix[0, 1]}; {matrix[1, 0]} {matrix[1, 1]})"
    basis = matrix @ finer
    best: tuple[float, str] | None = None
    swaps = (np.eye(2), np.eye(2)[::-1])
    for swap, signs, shear in itertools.product(swaps, itertools.product((1, -1), repeat=2), (0, 1, -1)):
        chosen = np.diag(signs) @ swap @ basis
        chosen = np.array([chosen[0], chosen[1] + shear * chosen[0]])
        ratio = np.linalg.norm(chosen, axis=1) / np.linalg.norm(finer, axis=1)
        turns = [_angle(of, vector) for of, vector in zip(finer, chosen, strict=True)]
        squares = np.rint(ratio**2)
        fits = abs(turns[0] - turns[1]) < _SAME_ANGLE and np.abs(ratio / np.sqrt(squares) - 1).max() < _SAME_LENGTH
        turn = abs(float(np.mean(turns)))
        if fits and (best is None or turn < best[0] - 0.01):
            rotated = f" R{turn:.0f}°" if turn > _SAME_ANGLE else ""
            best = turn, f"{_root(int(squares[0]))} × {_root(int(squares[1]))}{rotated}"
    return entries if best is None else f"{best[1]}, {entries}"


def _angle(first: Floats, second: Floats) -> float:
    """Angle from one vector (y, x) to another, in degrees."""
    return float(np.degrees(np.arctan2(first[1] * second[0] - first[0] * second[1], first @ second)))


def _root(square: int) -> str:
    root = round(square**0.5)
    return str(root) if root**2 == square else f"√{square}"


def besides_lines(row: xr.Dataset) -> list[str]:
    """Return a line for each thing that an image shows besides its cell; none where there is nothing to say."""
    if "share" not in row:
        return []
    lines = []
    if float(row["share"]) < 0.995:
        lines.append(f"share      {100 * float(row['share']):.0f} % of the parts of the image show this lattice")
    finer = finer_basis(row)
    if finer is not None:
        cell = _cell_text(finer, str(row["other_basis"].attrs.get("units", "px")))
        order = order_text(row["order"].values, finer).removeprefix("matrix ")
        lines.append(f"order      superlattice {order} of a lattice of {cell}")
    for matrix, share in ordered_regions(row):
        order = order_text(matrix, row["basis"].values.astype(float)).removeprefix("matrix ")
        lines.append(f"order      superlattice {order} in {100 * share:.0f} % of the image")
    for other in other_lattices(row):
        angle = f"{other.turn:.1f}°".replace("-", "−")
        turn = (
            f"turned by {angle} against the first"
            if other.same
            else f"its {other.direction} {angle} from the {other.first_direction} of the first"
        )
        lines.append(
            f"other      {display_name(other.label)}, a {other.a:.3g} {other.unit}, b {other.b:.3g} {other.unit}, "
            f"γ {other.gamma:.1f}°, in {100 * other.share:.0f} % of the parts, {turn}"
        )
    if seen := seen_texts(row):
        lines.append(f"seen       {'; '.join(seen)}")
    return lines


def seen_texts(row: xr.Dataset) -> list[str]:
    """Return what an image without a lattice shows instead, and what of the instrument was undone, in words."""
    texts = []
    if np.isfinite(row["period"]):
        unit = str(row["period"].attrs.get("units", "px"))
        length = f"{float(row['period']):{'.1f' if unit == 'px' else '.3g'}} {unit}"
        texts.append(
            f"a wave of {length} along the rows whose phase slips between them, as mains hum does"
            if bool(row["period_slips"])
            else f"one set of fringes of {length}"
        )
    if pickup := float(row["pickup"]):
        unit = str(row["pickup"].attrs.get("units", "px"))
        length = f"{pickup:{'.1f' if unit == 'px' else '.3g'}} {unit}"
        texts.append(
            f"waves of {length} and of another length that have no sums, as two gratings or pick-up have none"
            if np.isnan(row["share"])
            else f"a wave of {length} beside the lattice, as mains hum is one: taken out"
        )
    repeated = [float(value) for value in row["repeated"].values]
    if max(repeated) > 1:
        times = f"{repeated[0]:.3g}" if repeated[0] == repeated[1] else f"{repeated[0]:.3g} and {repeated[1]:.3g}"
        texts.append(f"pixels repeated {times} ×: measured in its own resolution")
    lines = [name for name, leveled in zip(("rows", "columns"), row["leveled"].values, strict=True) if leveled]
    if lines:
        texts.append(f"offsets of the {' and '.join(lines)} removed")
    for name, axis, displaced in zip(("columns", "rows"), "yx", row["displaced"].values, strict=True):
        if displaced:
            unit = str(row["displaced"].attrs.get("units", "px"))
            texts.append(f"odd {name} displaced by {displaced:.2g} {unit} along {axis}: moved back")
    if bool(row["aligned"]):
        texts.append("displaced rows shifted into place")
    return texts


def _cell_text(basis: Floats, unit: str) -> str:
    a, b, gamma, _ = (float(value) for value in cell_from_basis(basis))
    return f"a {a:.3g} {unit}, b {b:.3g} {unit}, γ {np.degrees(gamma):.1f}°"
