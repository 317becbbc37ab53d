"""Strain and rotation of the lattice of each window against a reference lattice.

A vector of the reference lattice becomes that of the window by the deformation gradient F, a column (x, y) → F (x, y).
Its polar decomposition F = R U gives the rotation R and the stretch U; the strain is U − 1 (Biot's), which for small
strains is the infinitesimal one and is exact under any rotation.

Axes are those of the frame, x to the right and y down, before the rotation: ``exx`` > 0 is longer along x, ``exy`` > 0
(half the engineering shear) longer along the diagonal from the top left to the bottom right. The rotation is positive
counter-clockwise as seen on the screen, like every orientation in this package.

The basis of a window is the one nearest to that of the reference (``lattice.deformation``). For this
choice alone a reference of the class square or hexagonal is made exactly square or hexagonal: a slight distortion that
the whole image shares must not decide. The rotation of a hexagonal lattice therefore lies within ±30°, of a square one
within ±45°, of any other within ±90°.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import LATTICES, Floats
from bravaismap.errors import InputError
from bravaismap.lattice.basis import cell_from_basis, reduce_basis
from bravaismap.lattice.deformation import STRAIN_LIMIT, jacobian, matched, polar
from bravaismap.lattice.deviation import nearest_basis
from bravaismap.lattice.shape import CENTER
from bravaismap.lattice.sublattices import kronecker_lift, reduce_measured
from bravaismap.phases.reclassification import check_cells, covariance_of

__all__ = [
    "COMPONENTS",
    "ReferenceLattice",
    "reference_lattice",
    "strain_map",
]


#: Components of a strain map, with their meaning and unit.
COMPONENTS = {
    "exx": ("strain along x", "%"),
    "eyy": ("strain along y (down)", "%"),
    "exy": ("shear strain, longer from top left to bottom right", "%"),
    "rotation": ("rotation of the lattice, counter-clockwise", "degree"),
}
_DIMS = ("time", "y", "x")
_MEDOIDS, _VOTERS = 24, 512  # windows tried as the first reference, and windows that decide between them
_LARGEST_LOSS = 0.05  # change of a lattice, as a fraction, beyond which the loss of a window stays the same
_ROUNDS = 20  # of reweighting
_MEDIAN, _CUT = 3.357, 36.0  # of χ² with 4 degrees of freedom: its median, and where a window counts no more


@dataclass(frozen=True)
class _Windows:
    """Measured cells of windows that show a lattice: reduced bases (n, 2, 2) and covariances (n, 4, 4)."""

    basis: Floats
    covariance: Floats


def strain_map(result: xr.Dataset, reference: Mapping[str, slice] | None = None) -> xr.Dataset:
    """Return the strain and rotation of the lattice of every window against a reference lattice.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` or :func:`~bravaismap.open_result` returns it, of a model that measures cells.
    reference : mapping of str to slice, optional
        Region that is taken as unstrained, in the coordinates of the result, ends included, such as
        ``{"y": slice(0, 5), "x": slice(0, 5)}``; an axis (``time``, ``y``, ``x``) that is not named is taken whole. All
        windows when not given. Where the centre of no window with a lattice lies in the region, as at the edge of a
        frame, the nearest ones that reach into it are taken. The reference lattice is a robust weighted mean over the
        windows of the region that have the commonest class in it.

    Returns
    -------
    Dataset
        ``exx``, ``eyy``, ``exy`` in % and ``rotation`` in degrees (time, y, x), each with its ``_std`` from the
        covariance of the window alone; ``label``; ``reference_basis`` (vector, component), rows the vectors, columns
        (y, x). NaN where there is no lattice, or none within 15 % of the reference. The attributes are the run card of
        the result, ``reference_class``, ``reference_windows`` (their number), ``reference_nearest`` (1 where these are
        the nearest to the region instead of in it), and ``reference_exx_std``, ``reference_eyy_std``,
        ``reference_exy_std``, ``reference_rotation_std``: σ of the reference, which all windows share. Signs and axes
        are those of :mod:`bravaismap.phases.strain`.

    Raises
    ------
    InputError
        If the result holds no measured cells or is no map, or the reference is no region with a lattice.

    References
    ----------
    M. J. Hÿtch, E. Snoeck and R. Kilaas, Ultramicroscopy 74, 131 (1998), who measure strain from two spots.

    Examples
    --------
    >>> strain = bm.strain_map(result, reference={"y": slice(0, 5), "x": slice(0, 5)})
    """
    check_cells(result, ("basis", "basis_covariance", "label"))
    if set(result["label"].dims) != set(_DIMS):
        raise InputError(
            f"a result over {', '.join(map(str, result['label'].dims))} was given; expected a map of phases"
        )
    held = result[["basis", "basis_covariance", "label"]].transpose(*_DIMS, ...).load()
    label = held["label"].values
    basis = held["basis"].transpose(..., "vector", "component").values.astype(float)
    shown = (label >= 0) & (label < len(LATTICES)) & np.isfinite(basis).all(axis=(-2, -1))
    covariance = covariance_of(held)
    windows = _Windows(*reduce_measured(basis[shown], covariance[shown]))
    inside, nearest = _region(held, reference, shown)
    chosen, name = _majority(label[shown], inside[shown], reference)
    lattice, lattice_covariance = _mean_lattice(
        _Windows(windows.basis[chosen], windows.covariance[chosen]), name, _independent_share(result)
    )
    values, errors = _strain(windows, lattice, name)
    units = np.array([100.0, 100.0, 100.0, np.degrees(1.0)])
    variables: dict[str, Any] = {}
    for i, (component, (meaning, unit)) in enumerate(COMPONENTS.items()):
        for ending, numbers, what in (("", values, meaning), ("_std", errors, f"σ of {component}")):
            windows_of_map = np.full(label.shape, np.nan, np.float32)
            windows_of_map[shown] = units[i] * numbers[:, i]
            variables[component + ending] = (_DIMS, windows_of_map, {"long_name": what, "units": unit})
    variables["label"] = held["label"]
    vectors = dict(result["basis"].attrs) | {"long_name": "reference primitive vectors a, b as (y, x)"}
    variables["reference_basis"] = (("vector", "component"), lattice, vectors)
    slope = jacobian(np.eye(2)[None])[0] @ kronecker_lift(np.linalg.inv(lattice))
    reference_std = units * np.sqrt(np.diagonal(slope @ lattice_covariance @ slope.T).clip(0))
    card: dict[str, Any] = {"reference_class": name, "reference_windows": int(chosen.sum())}
    card["reference_nearest"] = int(nearest)
    card |= {f"reference_{component}_std": float(std) for component, std in zip(COMPONENTS, reference_std, strict=True)}
    coords = {dim: result[dim] for dim in _DIMS}
    return xr.Dataset(variables, coords=coords, attrs=dict(result.attrs) | card)


@dataclass(frozen=True)
class ReferenceLattice:
    """The lattice that a strain map is measured against.

    Attributes
    ----------
    lattice : str
        Its class.
    a, b, gamma : float
        Its primitive cell, lengths in `unit`, γ in degrees.
    unit : str
    windows : int
        Number of windows whose mean it is.
    nearest : bool
        Whether these are the windows nearest to a region in which the centre of none with a lattice lies.
    strain_std, rotation_std : float
        Largest σ of its strain components in %, and σ of its rotation in degrees.
    """

    lattice: str
    a: float
    b: float
    gamma: float
    unit: str
    windows: int
    nearest: bool
    strain_std: float
    rotation_std: float


def reference_lattice(strain: xr.Dataset) -> ReferenceLattice:
    """Return the reference lattice of a strain map.

    Parameters
    ----------
    strain : Dataset
        Of :func:`strain_map`.
    """
    a, b, gamma, _ = (float(value) for value in cell_from_basis(strain["reference_basis"].values))
    card = strain.attrs
    return ReferenceLattice(
        card["reference_class"], a, b, float(np.degrees(gamma)), strain["reference_basis"].attrs["units"],
        card["reference_windows"], bool(card["reference_nearest"]),
        max(card[f"reference_{name}_std"] for name in ("exx", "eyy", "exy")),
        card["reference_rotation_std"],
    )  # fmt: skip


def _ideal(basis: Floats, name: str) -> Floats:
    """Return a basis (2, 2) made exactly square or hexagonal if it is of that class."""
    if name not in CENTER:
        return basis
    return np.asarray(basis @ np.linalg.solve(reduce_basis(basis), nearest_basis(basis)[LATTICES.index(name)]))


def _strain(windows: _Windows, reference: Floats, name: str) -> tuple[Floats, Floats]:
    """Return (exx, eyy, exy, rotation) of each window and their σ, shape (n, 4); NaN for another lattice."""
    change = matched(windows.basis, _ideal(reference, name))
    linear = np.linalg.solve(reference, change @ windows.basis)
    stretch, rotation = polar(linear)
    values = np.stack([stretch[:, 1, 1] - 1, stretch[:, 0, 0] - 1, stretch[:, 0, 1], rotation], axis=-1)
    step = np.linalg.solve(reference, change)
    slope = jacobian(linear) @ kronecker_lift(step)
    variance = np.einsum("nij,njk,nik->ni", slope, windows.covariance, slope)
    errors = np.sqrt(variance.clip(0))
    other = np.abs(np.linalg.eigvalsh(stretch) - 1).max(axis=-1, initial=0) > STRAIN_LIMIT
    values[other], errors[other] = np.nan, np.nan
    return values, errors


def _region(
    result: xr.Dataset, reference: Mapping[str, slice] | None, shown: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], bool]:
    """Return which windows (time, y, x) the reference is taken of, and whether they are the nearest to the region.

    It is of those with their centre in the region, or, where none of these shows a lattice, of the nearest that show
    one and reach into the region.
    """
    reach = 0.5 * float(result.attrs.get("window", 0)) * float(result.attrs.get("pixel_size_nm") or 1.0)
    inside = near = xr.ones_like(result["label"], bool)
    distance = xr.zeros_like(result["label"], float)
    for dim, part in (reference or {}).items():
        if dim not in _DIMS or not isinstance(part, slice) or part.step is not None:
            raise InputError(
                f"the reference region {dim} = {part} was given; expected slices such as "
                '{"y": slice(0, 5), "x": slice(0, 5)} along time, y or x'
            )
        at = result[dim]
        low, high = part.start, part.stop
        outside = (0.0 if low is None else (low - at).clip(min=0)) + (0.0 if high is None else (at - high).clip(min=0))
        inside = inside & (outside == 0)
        near = near & (outside <= (0.0 if dim == "time" else reach))
        distance = distance + outside**2
    centred, touched = (np.asarray(part.transpose(*_DIMS).values) for part in (inside, near))
    reaching = touched & shown
    if (centred & shown).any() or not reaching.any():
        return centred, False
    squared = np.asarray(distance.transpose(*_DIMS).values)
    return reaching & (squared <= squared[reaching].min() * (1 + 1e-9)), True


def _majority(
    label: NDArray[np.integer], inside: NDArray[np.bool_], reference: Mapping[str, slice] | None
) -> tuple[NDArray[np.bool_], str]:
    """Return the windows that have the commonest class inside a region, and that class."""
    if not inside.any():
        if not reference:
            raise InputError("no window of the result shows a lattice; strain is that of a lattice")
        ends = [(dim, part.start, part.stop) for dim, part in reference.items()]
        where = ", ".join(
            f"{dim} {'start' if low is None else low} to {'end' if high is None else high}" for dim, low, high in ends
        )
        raise InputError(
            f"the reference region ({where}) has no window with a lattice; choose a region of "
            "crystal, in the coordinates of the result"
        )
    commonest = int(np.bincount(label[inside]).argmax())
    return inside & (label == commonest), LATTICES[commonest]


def _independent_share(result: xr.Dataset) -> float:
    """Return the number of windows with independent errors per window: less than 1 where windows overlap."""
    window = float(result.attrs.get("window", 1))
    return min(1.0, (float(result.attrs.get("step", window)) / window) ** 2)


def _mean_lattice(windows: _Windows, name: str, share: float) -> tuple[Floats, Floats]:
    """Return the robust mean of lattices and its covariance (4, 4).

    The weight of a window is the inverse of its variance plus the scatter of windows beyond it, and falls with the
    distance from the mean (Tukey's biweight), so that a minority of other grains or defects does not shift the mean.
    """
    first = _medoid(windows, name)
    change = matched(windows.basis, _ideal(first, name))
    basis = change @ windows.basis
    step = kronecker_lift(change)
    covariance = step @ windows.covariance @ step.transpose(0, 2, 1)
    mean, weight = first, np.ones(len(basis))
    for _ in range(_ROUNDS):
        own = _variance(mean, covariance)
        squared = ((np.linalg.solve(mean, basis) - np.eye(2)) ** 2).sum(axis=(1, 2))
        near = squared <= max(_LARGEST_LOSS**2, float(squared.min()))
        variance = own + _scatter_beyond(squared[near], own[near]) + 1e-12
        weight = (1 - 4 * squared / variance / _CUT).clip(0) ** 2 / variance
        if not weight.any():
            weight = near / variance
        weight = weight / weight.sum()
        mean = np.einsum("n,nij->ij", weight, basis)
    deviation = (basis - mean).reshape(-1, 4)
    scatter, measured = (weight**2 * deviation.T) @ deviation, np.einsum("n,nij->ij", weight**2, covariance)
    own_share = max(share, float((weight**2).sum()))  # all windows together count at least as a single one
    spread = (scatter if np.trace(scatter) > np.trace(measured) else measured) / own_share
    reduced, spread = reduce_measured(mean[None], spread[None])
    return reduced[0], spread[0]


def _scatter_beyond(squared: Floats, own: Floats) -> float:
    """Return the common variance that, added to their own, gives the squares the median of a χ² distribution."""
    low, high = 0.0, 4 / _MEDIAN * float(squared.max())
    if np.median(4 * squared / (own + 1e-12)) <= _MEDIAN:
        return low
    for _ in range(30):
        middle = (low + high) / 2
        if np.median(4 * squared / (own + middle + 1e-12)) > _MEDIAN:
            low = middle
        else:
            high = middle
    return high


def _variance(basis: Floats, covariance: Floats) -> Floats:
    """Return the variance of the relative change of each lattice, summed over its four components."""
    inverse = np.broadcast_to(np.linalg.inv(basis), (len(covariance), 2, 2))
    return np.asarray(np.einsum("nki,nkj,niaja->n", inverse, inverse, covariance.reshape(-1, 2, 2, 2, 2)))


def _medoid(windows: _Windows, name: str) -> Floats:
    """Return the basis of a precise window that most windows are nearest to."""
    order = np.argsort(_variance(windows.basis, windows.covariance), kind="stable")
    precise = order[: -(-len(order) // 2)]
    candidates = precise[:: max(1, len(precise) // _MEDOIDS)]
    voters = windows.basis[:: max(1, len(order) // _VOTERS)]
    loss = []
    for basis in windows.basis[candidates]:
        linear = np.linalg.solve(basis, matched(voters, _ideal(basis, name)) @ voters)
        loss.append(((linear - np.eye(2)) ** 2).sum(axis=(1, 2)).clip(max=_LARGEST_LOSS**2).mean())
    return np.asarray(windows.basis[candidates[int(np.argmin(loss))]])
