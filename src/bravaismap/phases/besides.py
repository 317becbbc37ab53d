"""Besides: what a classified image shows besides the class of its lattice, as variables and in words.

The share of the image that shows the lattice, its superlattices and its modulation, other lattices (grains, twins,
layers) with their turn, the one period of an image without a lattice, and what of the instrument was undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from bravaismap.classify.answer import Answer, label_of, symmetric_matrix, upper_triangle
from bravaismap.classify.posterior import class_probability
from bravaismap.conventions import CLASSES, LATTICES, NONE, display_name
from bravaismap.lattice.basis import cell_from_basis, reduce_basis
from bravaismap.lattice.deformation import STRAIN_LIMIT, deformation, matched
from bravaismap.measure.modulation import Modulation
from bravaismap.measure.whole_image import WholeImage, look_at_window
from bravaismap.phases.cells import basis_orientation, lattice_orientation
from bravaismap.phases.order import order_lines

__all__ = [
    "OtherLattice",
    "besides_lines",
    "looked",
    "looks_of",
    "other_lattices",
    "seen_texts",
]

#: Largest strain between two lattices that are the same one, turned: what drift and bending come to.
_SAME_STRAIN = 0.05


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
    modulations = [look.modulation if shown else None for look, shown in zip(looks, lattice, strict=True)]
    most_waves = max((len(own.waves) for own in modulations if own is not None), default=0)
    values: dict[str, NDArray[Any]] = {
        "share": np.full(count, np.nan),
        "order": np.zeros((count, 2, 2), int),
        "region_order": np.zeros((count, most_regions, 2, 2), int),
        "region_share": np.full((count, most_regions), np.nan),
        "modulation": np.full((count, most_waves, 2), np.nan),
        "modulation_covariance": np.full((count, most_waves, 2, 2), np.nan),
        "modulation_commensurate": np.full(count, np.nan),
        "modulation_order": np.zeros((count, 2, 2), int),
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
        "ring": np.array([look.ring for look in looks], int),
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
        if (modulation := modulations[i]) is not None:
            _put_modulation(values, i, modulation)
        for j, other in enumerate(others[i]):
            values["other_share"][i, j], values["other_evidence"][i, j] = other.share, other.evidence
            values["other_basis"][i, j] = reduce_basis(other.basis) * length
            change = np.rint(values["other_basis"][i, j] / length @ np.linalg.inv(other.basis))
            wide = np.kron(change, np.eye(2)) * length
            values["other_basis_covariance"][i, j] = upper_triangle(wide @ other.covariance @ wide.T)
    return values


def _put_modulation(values: dict[str, NDArray[Any]], image: int, modulation: Modulation) -> None:
    own = slice(len(modulation.waves))
    values["modulation"][image, own] = modulation.waves
    values["modulation_covariance"][image, own] = modulation.covariances
    values["modulation_commensurate"][image] = modulation.commensurate
    values["modulation_order"][image] = modulation.matrix


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


def besides_lines(row: xr.Dataset) -> list[str]:
    """Return a line for each thing that an image shows besides its cell; none where there is nothing to say."""
    if "share" not in row:
        return []
    lines = []
    if float(row["share"]) < 0.995:
        lines.append(f"share      {100 * float(row['share']):.0f} % of the parts of the image show this lattice")
    lines += order_lines(row)
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
    if "ring" in row and (fold := int(row["ring"])):
        # of two layers, square ones at 45° and hexagonal ones at 30° have such a ring, and no others
        layers = "" if fold == 10 else f", or two layers turned by {360 // fold}°"
        texts.append(
            f"{fold} spots of one radius, {360 // fold}° apart: no crystal has such a symmetry; a quasicrystal{layers}"
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
