"""Lattices of a frame: the cells of its windows gathered into the few that are different, and followed through a movie.

Two bases are of one lattice if a change of basis makes one of them the other but for a small strain and rotation: with
A and B the bases and M = A B⁻¹ rounded to whole numbers, det M = ±1, that is the X of A X = M B. Rotations by the
symmetry of the lattice are such changes of basis too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bravaismap.conventions import CLASSES, NONE, Floats
from bravaismap.errors import InputError
from bravaismap.lattice.basis import reduce_basis
from bravaismap.lattice.deformation import turns
from bravaismap.lattice.grains import two_grains

__all__ = ["FrameLattices", "followed", "gathered_lattices", "matched"]

#: Largest strain and rotation (radians) between two versions of one lattice: strained, distorted by the scan, turned
#: within a grain. Grains that are turned by more than twice 3° are two lattices, and by less if their windows part.
_STRAIN, _ROTATION = 0.04, np.deg2rad(3.0)
#: Standard errors by which they may differ as well.
_ERRORS = 3.0
#: Least share of the windows with a lattice that must show one, and least number.
_LEAST_SHARE, _FEWEST = 0.03, 2
_ROUNDS = 3
#: A lattice of so much fewer windows is taken for the larger one, badly measured, if it is so many times as far off.
_MINOR, _WIDER = 0.2, 2.5
#: A lattice whose cell is a part of the cell of others is these with weak order missed, if they have so many times
#: as many windows together. With more of its own it may be a part of the sample without that order.
_ORDERED = 2.0
#: Windows of a frame below which one of them alone tells its lattice.
_FEW_WINDOWS = 10
#: Largest strain of a lattice of windows across a boundary against the lattices on both sides, and cells of theirs that
#: its own may hold: coincidence lattices up to Σ5 of square and Σ7 of hexagonal grains.
_COMMON_STRAIN, _MOST_CELLS = 0.03, 7


@dataclass(frozen=True)
class FrameLattices:
    """The lattices of a frame, the one of most windows first.

    Attributes
    ----------
    basis : array, shape (n, 2, 2)
        Mean reduced basis in px, rows = vectors (y, x).
    covariance : array, shape (n, 4, 4)
        Of the flattened mean basis, px²: the scatter among the windows over their number, no less than what the windows
        say of themselves.
    probability : array, shape (n, 6)
        Mean probability of each class over the windows, in the order of :data:`~bravaismap.conventions.CLASSES`.
    share : array, shape (n,)
        Of the windows with a lattice, by their probability of any.
    window : int array, shape (windows,)
        Which lattice each window shows, in full or without its weak order; −1 for none.
    """

    basis: Floats
    covariance: Floats
    probability: Floats
    share: Floats
    window: NDArray[np.int64]

    @property
    def label(self) -> NDArray[np.int64]:
        """Class of each lattice, (n,): a place in :data:`~bravaismap.conventions.CLASSES`, never that of none."""
        return np.asarray(np.delete(self.probability, CLASSES.index(NONE), axis=-1).argmax(-1))


def matched(reference: Floats, basis: Floats) -> tuple[Floats, Floats, Floats]:
    """Bring bases as close to a reference as a change of basis can.

    Parameters
    ----------
    reference : array, shape (..., 2, 2)
        Reduced, rows = vectors.
    basis : array, shape (..., 2, 2)

    Returns
    -------
    change : array, shape (..., 2, 2)
        Whole numbers; ``change @ basis`` is closest to the reference.
    strain, rotation : arrays, shape (...)
        Largest principal strain between them, and angle in radians; infinite if no change of basis brings them close.
    """
    # by components: NumPy's products and inverses of many small matrices take several times as long
    of_reference, own = _components(reference), _components(basis)
    whole = np.rint(_product(of_reference, _inverse(own)))
    unimodular = np.abs(np.abs(whole[0] * whole[3] - whole[1] * whole[2]) - 1) < 0.5
    whole[:, ~unimodular] = _SAME
    yy, yx, xy, xx = _product(_inverse(of_reference), _product(whole, own))
    turn = np.arctan2(yx - xy, yy + xx)
    proper = unimodular & (yy * xx > yx * xy)
    # the singular values of F are the half sum and half difference of these two
    both, apart = np.hypot(yy + xx, yx - xy), np.hypot(yy - xx, yx + xy)
    strain = np.where(proper, np.maximum(np.abs((both + apart) / 2 - 1), np.abs((both - apart) / 2 - 1)), np.inf)
    change = np.ascontiguousarray(np.moveaxis(whole, 0, -1)).reshape(*turn.shape, 2, 2)
    return change, strain, np.where(proper, np.abs(turn), np.inf)


#: Components of the unit matrix.
_SAME = np.array([[1.0], [0.0], [0.0], [1.0]])


def _components(matrix: Floats) -> Floats:
    """Components (0, 0), (0, 1), (1, 0), (1, 1) of matrices (..., 2, 2), (4, ...)."""
    return np.ascontiguousarray(np.moveaxis(matrix, (-2, -1), (0, 1)).reshape(4, *matrix.shape[:-2]))


def _product(first: Floats, second: Floats) -> Floats:
    """Products of matrices, all by components."""
    (a, b, c, d), (e, f, g, h) = first, second
    return np.stack([a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h])


def _inverse(matrix: Floats) -> Floats:
    """Inverses of matrices, all by components."""
    a, b, c, d = matrix
    return np.asarray(np.stack([d, -b, -c, a]) / (a * d - b * c))


def gathered_lattices(basis: Floats, covariance: Floats, probability: Floats) -> FrameLattices:
    """Gather the cells of the windows of a frame into the lattices that are different.

    Parameters
    ----------
    basis : array, shape (windows, 2, 2)
        In px, rows = vectors (y, x); windows with NaN do not count.
    covariance : array, shape (windows, 4, 4)
        Of the flattened basis.
    probability : array, shape (windows, 6)
        In the order of :data:`~bravaismap.conventions.CLASSES`; a window counts by its probability of any lattice.

    Returns
    -------
    FrameLattices
        None at all (n = 0) if no lattice is known: one that fewer than 3 % of the windows with a lattice show, or only
        one of ten windows or more, is not; nor is one that few windows of a frame show, and none of them clearly.

    Raises
    ------
    InputError
        If the shapes do not fit.
    """
    basis, covariance, probability = (np.asarray(v, float) for v in (basis, covariance, probability))
    if not (basis.shape[1:] == (2, 2) and covariance.shape == (len(basis), 4, 4) and len(probability) == len(basis)):
        raise InputError(
            f"bases {basis.shape}, covariances {covariance.shape} and probabilities {probability.shape} were given; "
            "expected (windows, 2, 2), (windows, 4, 4) and (windows, 6)"
        )
    window = np.full(len(basis), -1)
    none = probability[:, CLASSES.index(NONE)]
    shown = _with_lattice(basis, covariance, none)
    if len(shown) == 0:
        return _no_lattice(window)
    cells = reduce_basis(basis[shown])
    error = np.sqrt(np.trace(covariance[shown], axis1=1, axis2=2) / 2 / np.abs(np.linalg.det(cells)))
    weight = 1 - none[shown]
    windows, least = int(np.isfinite(none).sum()), max(_FEWEST, _LEAST_SHARE * len(shown))
    member = _clusters(cells, error, weight, least if windows >= _FEW_WINDOWS else 1)
    count = np.bincount(member[member >= 0], minlength=1)
    kept = [k for k in np.argsort(-count, kind="stable") if count[k] >= least]
    if windows >= _FEW_WINDOWS:
        kept = [k for k in kept if _evident(none[shown[member == k]], windows)]
    elif not kept:
        kept = [int(count.argmax())]
    if not kept:
        return _no_lattice(window)
    rows = [_mean(cells, covariance[shown], weight, np.flatnonzero(member == k)) for k in kept]
    centres, counts = [r[0] for r in rows], [int(count[k]) for k in kept]
    places = _own(centres, counts)
    ordered = _ordered([centres[i] for i in places], [counts[i] for i in places])
    complete = [i for i, whole in enumerate(ordered) if i == whole]
    for i, whole in enumerate(ordered):
        window[shown[member == kept[places[i]]]] = complete.index(whole)
    kept = [kept[places[i]] for i in complete]
    rows = [rows[places[i]] for i in complete]
    # a window that misses the weak order says nothing of the cell and its class
    classes = np.stack([np.average(probability[shown[member == k]], axis=0) for k in kept])
    share = np.bincount(window[shown] + 1, weight, len(kept) + 1)[1:] / weight.sum()
    return FrameLattices(np.stack([r[0] for r in rows]), np.stack([r[1] for r in rows]), classes, share, window)


def _with_lattice(basis: Floats, covariance: Floats, none: Floats) -> NDArray[np.intp]:
    """Numbers of the windows that show a lattice whose cell is measured."""
    finite = np.isfinite(basis).all((1, 2)) & np.isfinite(covariance).all((1, 2)) & np.isfinite(none)
    shown = np.flatnonzero(finite)
    shown = shown[none[shown] < 0.5]
    return np.asarray(shown[np.abs(np.linalg.det(basis[shown])) > 1e-9])


def _evident(none: NDArray[np.float64], windows: int) -> bool:
    """Whether one window of a lattice says so more clearly than it is rare among the windows of the frame.

    Windows that overlap see the same noise, so that two of them are no more than one.
    """
    clearest = float(none.min())
    return (1 - clearest) * len(none) > clearest * (windows - len(none))


def _no_lattice(window: NDArray[np.int64]) -> FrameLattices:
    return FrameLattices(np.empty((0, 2, 2)), np.empty((0, 4, 4)), np.empty((0, len(CLASSES))), np.empty(0), window)


def _own(centres: list[Floats], count: list[int]) -> list[int]:
    """Which lattices, the largest first, are neither a worse version of a larger one nor two of them seen at once."""
    own: list[int] = []
    for i, centre in enumerate(centres):
        minor = False
        for j in own:
            _, strain, rotation = matched(centres[j], centre)
            near = strain < _WIDER * _STRAIN and rotation < _WIDER * _ROTATION
            minor |= bool(near and count[i] < _MINOR * count[j])
        if not minor:
            own.append(i)
    # a window across a boundary shows the nodes of both sides: those of a lattice that both contain
    return [i for i in own if not _shared([centres[j] for j in own if j != i], centres[i])]


def _shared(centres: list[Floats], coarser: Floats) -> bool:
    """Whether two lattices, of which neither contains the other, both contain a coarser one."""
    finer = [centre for centre in centres if _contains(centre, coarser)]
    return any(
        not _contains(one, other) and not _contains(other, one)
        for i, one in enumerate(finer)
        for other in finer[i + 1 :]
    )


def _ordered(centres: list[Floats], count: list[int]) -> list[int]:
    """For each lattice, the largest first, the one that it is when weak order that its windows missed is seen."""
    ordered = list(range(len(centres)))
    for i, centre in enumerate(centres):
        for wider, times in ((1.0, _ORDERED), (_WIDER, 1 / _MINOR)):
            larger = [j for j in range(len(centres)) if _subcell(centre, centres[j], wider)]
            if larger and sum(count[j] for j in larger) > times * count[i]:
                ordered[i] = larger[0]
    # the one of most windows that holds a lattice may itself be a part of a coarser one
    for i in range(len(ordered)):
        while ordered[i] != ordered[ordered[i]]:
            ordered[i] = ordered[ordered[i]]
    return ordered


def _subcell(finer: Floats, coarser: Floats, wider: float) -> bool:
    """Whether the coarser basis is an integer combination of the finer one, within the strain of one lattice."""
    change = np.rint(coarser @ np.linalg.inv(finer))
    if not 1.5 < abs(np.linalg.det(change)) < _MOST_CELLS + 0.5:
        return False
    _, strain, rotation = matched(coarser, change @ finer)
    return bool(strain < wider * _STRAIN and rotation < wider * _ROTATION)


def _contains(finer: Floats, coarser: Floats) -> bool:
    """Whether all points of the coarser lattice are points of the finer one, and these are more."""
    change = np.rint(coarser @ np.linalg.inv(finer))
    cells = abs(np.linalg.det(change))
    if not 1.5 < cells < _MOST_CELLS + 0.5:
        return False
    deformation = np.linalg.inv(coarser) @ change @ finer
    return bool(np.abs(deformation - np.eye(2)).max() < _COMMON_STRAIN)


def _near(reference: Floats, cells: Floats, error: Floats) -> tuple[NDArray[np.bool_], Floats]:
    change, strain, rotation = matched(reference, cells)
    near = (strain < np.maximum(_STRAIN, _ERRORS * error)) & (rotation < np.maximum(_ROTATION, _ERRORS * error))
    return near, np.asarray(change @ cells)


def _clusters(cells: Floats, error: Floats, weight: Floats, least: float) -> NDArray[np.int64]:
    """Number of the cluster of each cell: the best measured one gathers what is like it, then the next.

    What is left when no cluster of at least so many cells can be among it has none, −1.
    """
    member = np.full(len(cells), -1)
    error = np.minimum(error, 0.03)
    number = 0
    while len(left := np.flatnonzero(member < 0)) >= least:
        tried = _best(left, error)
        worth = (_near(cells[tried][:, None], cells[left], error[left])[0] * weight[left]).sum(1)
        centre = reduce_basis(cells[tried[int(worth.argmax())]])
        for _ in range(_ROUNDS):
            near, moved = _near(centre, cells[left], error[left])
            if not near.any():
                break
            centre = reduce_basis(np.average(moved[near], axis=0, weights=weight[left][near]))
        near, _ = _near(centre, cells[left], error[left])
        near[np.argmin(error[left])] |= not near.any()
        member[left[_one_grain(centre, cells[left], error[left], weight[left], near)]] = number
        number += 1
    return member


def _one_grain(
    centre: Floats, cells: Floats, error: Floats, weight: Floats, near: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which cells are those of a lattice: the `near` ones, or of two grains into which all that are alike part one."""
    change, strain, rotation = matched(centre, cells)
    deformation = np.linalg.inv(centre) @ change @ cells
    alike = (strain < np.maximum(_STRAIN, _ERRORS * error)) & (rotation < 2 * _ROTATION)
    grains = two_grains(deformation[alike], error[alike], weight[alike])
    if grains is None:
        return near
    turn = turns(deformation)
    own = (near | alike) & grains.nearer(turn) & (np.abs(turn - grains.larger) < _ROTATION)
    return own if own.any() else near


def _best(left: NDArray[np.int64], error: Floats, most: int = 24) -> NDArray[np.int64]:
    """Cells that are tried as the middle of a cluster: the best measured ones, spread over all."""
    ranked = left[np.argsort(error[left], kind="stable")]
    return np.asarray(ranked[:: max(1, len(ranked) // most)])


def _mean(cells: Floats, covariance: Floats, weight: Floats, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Mean basis of a cluster and its covariance."""
    centre = reduce_basis(cells[rows[0]])
    for _ in range(_ROUNDS):
        change = matched(centre, cells[rows])[0]
        moved = change @ cells[rows]
        mean = np.average(moved, axis=0, weights=weight[rows])
        centre = reduce_basis(mean)
    change = matched(centre, cells[rows])[0]
    moved = (change @ cells[rows]).reshape(-1, 4)
    weights = weight[rows] / weight[rows].sum()
    mean = weights @ moved
    scatter = np.einsum("n,ni,nj->ij", weights, moved - mean, moved - mean)
    # of change ⊗ 1 acting on the flattened bases, both sides
    own = np.einsum(
        "n,nab,nbidj,ncd->aicj", weights**2, change, covariance[rows].reshape(-1, 2, 2, 2, 2), change, optimize=True
    ).reshape(4, 4)
    total = scatter * (weights**2).sum()
    return mean.reshape(2, 2), total if np.trace(total) > np.trace(own) else own


def followed(frames: Sequence[Floats]) -> list[NDArray[np.int64]]:
    """Number the lattices of a movie so that a grain keeps its number.

    Parameters
    ----------
    frames : sequence of arrays, shape (lattices, 2, 2)
        Bases of the lattices of each frame, rows = vectors (y, x).

    Returns
    -------
    list of int array
        For each frame the number of each of its lattices, from 0 in the order of their appearance. A grain that is lost
        for some frames and comes back keeps its number; two lattices of a frame never share one.
    """
    last = np.empty((0, 2, 2))
    numbers = []
    for frame in frames:
        basis = reduce_basis(np.asarray(frame, float))
        own = np.full(len(basis), -1)
        _, strain, rotation = matched(last[:, None], basis)
        apart = np.hypot(strain / _STRAIN, rotation / _ROTATION)
        near = np.argwhere((strain < _STRAIN) & (rotation < _ROTATION)).tolist()
        taken: set[int] = set()
        for old, new in sorted(near, key=lambda pair: (apart[pair[0], pair[1]], *pair)):
            if own[new] < 0 and old not in taken:
                own[new] = old
                taken.add(old)
        unseen = np.flatnonzero(own < 0)
        own[unseen] = len(last) + np.arange(len(unseen))
        last = np.concatenate([last, basis[unseen]])
        last[own] = basis
        numbers.append(own)
    return numbers
