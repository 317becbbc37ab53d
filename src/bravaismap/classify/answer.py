"""Answer: the class probabilities that a model gives each window, and the primitive cells that it measures there."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bravaismap.classify.posterior import cell
from bravaismap.conventions import CELL_PARAMETERS, CLASSES, NONE, UNMAPPED, Floats
from bravaismap.measure.whole_image import WholeImage

__all__ = ["MEASURED", "Answer", "Cells", "label_of", "symmetric_matrix", "upper_triangle"]

#: Variables of a result that hold the measurement itself; all others of the cells follow from them.
MEASURED = ("basis", "basis_covariance", "evidence")

_UPPER = np.triu_indices(4)
#: Variables of a result that are angles: in degrees there, in radians here.
_ANGLES = ("gamma", "gamma_std", "orientation", "orientation_std")
_SCALARS = (*CELL_PARAMETERS, *(f"{name}_std" for name in CELL_PARAMETERS), "deviation_std")


@dataclass(frozen=True)
class Cells:
    """Measured primitive cells of windows.

    Attributes
    ----------
    basis : array, shape (n, 2, 2)
        Reduced primitive vectors, rows, columns (y, x), in px; NaN for a window that holds nothing to measure.
    covariance : array, shape (n, 4, 4)
        Covariance of the flattened basis, px².
    evidence : array, shape (n,)
        Log likelihood ratio of a lattice against none; NaN for a window that is not mapped yet.
    """

    basis: Floats
    covariance: Floats
    evidence: Floats

    @classmethod
    def of_constant(cls, count: int) -> Cells:
        """Return the cells of constant windows: NaN, with an evidence of 0."""
        return cls(np.full((count, 2, 2), np.nan), np.full((count, 4, 4), np.nan), np.zeros(count))

    @classmethod
    def concatenate(cls, parts: Sequence[Cells]) -> Cells:
        """Return the cells of several batches of windows, one batch after the other."""
        return cls(
            np.concatenate([part.basis for part in parts]),
            np.concatenate([part.covariance for part in parts]),
            np.concatenate([part.evidence for part in parts]),
        )

    def __getitem__(self, windows: NDArray[Any]) -> Cells:
        """Return the cells of some windows, by number or mask."""
        return Cells(self.basis[windows], self.covariance[windows], self.evidence[windows])

    def scaled(self, length: float) -> Cells:
        """Return the cells in another unit of length, in which a px is `length`."""
        return Cells(self.basis * length, self.covariance * length**2, self.evidence)

    def variables(self, label: NDArray[np.integer]) -> dict[str, NDArray[Any]]:
        """Return the variables of a result that describe the cells, in the unit of the basis and in degrees.

        Parameters
        ----------
        label : int array, shape (n,)
            Most probable class of each window. Where it is none, all but the measurement itself is NaN.
        """
        variables: dict[str, NDArray[Any]] = {name: np.full(len(label), np.nan) for name in _SCALARS}
        variables["deviation"] = np.full((len(label), len(CLASSES)), np.nan)
        lattice = (label != CLASSES.index(NONE)) & (label >= 0)
        rows = np.flatnonzero(lattice & np.isfinite(self.basis).all(axis=(1, 2)))
        if len(rows):
            measured = cell(self.basis[rows], self.covariance[rows])
            for name in _SCALARS:
                values = getattr(measured, name)
                variables[name][rows] = np.degrees(values) if name in _ANGLES else values
            variables["deviation"][rows, :-1] = measured.deviation
        return variables | {
            "basis": self.basis,
            "basis_covariance": upper_triangle(self.covariance),
            "evidence": self.evidence,
        }


@dataclass(frozen=True)
class Answer:
    """The class probabilities that a model gives windows, with their uncertainty, and the cells that it measures.

    Attributes
    ----------
    probability, probability_std : arrays, shape (n, classes)
        Mean and standard deviation over the draws or passes; the latter is NaN without any.
    entropy, mutual_information : arrays, shape (n,)
        Predictive entropy of the mean, and the part of it that comes from differences between draws or passes, in nats.
    pass_total : array, shape (passes, classes), optional
        Sum of the probabilities over the windows in each pass; divided by n, the phase fraction of that pass. None
        where the draws of different windows are independent.
    cells : Cells, optional
        Measured cells, of a model that measures them.
    looks : tuple of WholeImage, optional
        What whole images show besides, of a model that answers them from their parts.
    """

    probability: Floats
    probability_std: Floats
    entropy: Floats
    mutual_information: Floats
    pass_total: Floats | None = None
    cells: Cells | None = None
    looks: tuple[WholeImage, ...] | None = None

    @classmethod
    def of_constant(cls, count: int, classes: Sequence[str], samples: int, *, measures_cells: bool) -> Answer:
        """Return the answer for constant windows, which are none with certainty.

        Parameters
        ----------
        count : int
        classes : sequence of str
            Classes of the model, none among them.
        samples : int
            Number of draws or passes; with 0, every standard deviation is NaN.
        measures_cells : bool
            Whether the answers of the model hold cells, or else a sum over the windows in each pass.
        """
        certain = np.eye(len(classes))[classes.index(NONE)]
        spread = 0.0 if samples else np.nan
        return cls(
            np.tile(certain, (count, 1)),
            np.full((count, len(classes)), spread),
            np.zeros(count),
            np.full(count, spread),
            None if measures_cells else np.tile(certain * count, (max(samples, 1), 1)),
            Cells.of_constant(count) if measures_cells else None,
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Answer]) -> Answer:
        """Return the answers for several batches of windows, by the same model and passes, as one."""
        totals = [part.pass_total for part in parts if part.pass_total is not None]
        cells = [part.cells for part in parts if part.cells is not None]
        looks = [part.looks or (WholeImage(),) * len(part.entropy) for part in parts]
        return cls(
            np.concatenate([part.probability for part in parts]),
            np.concatenate([part.probability_std for part in parts]),
            np.concatenate([part.entropy for part in parts]),
            np.concatenate([part.mutual_information for part in parts]),
            np.sum(totals, axis=0) if totals else None,
            Cells.concatenate(cells) if cells else None,
            tuple(itertools.chain(*looks)) if any(part.looks for part in parts) else None,
        )

    @classmethod
    def interleave(cls, first: Answer, second: Answer, in_second: NDArray[np.bool_]) -> Answer:
        """Return two answers as one whose windows are taken from the second where `in_second` (n,) says so."""
        place = np.argsort(np.argsort(in_second, kind="stable"))
        return cls.concatenate([first, second])[place]

    def __getitem__(self, windows: NDArray[Any]) -> Answer:
        """Return the answer for some windows, by number or mask; the sums over all windows stay as they are."""
        return replace(
            self,
            probability=self.probability[windows],
            probability_std=self.probability_std[windows],
            entropy=self.entropy[windows],
            mutual_information=self.mutual_information[windows],
            cells=None if self.cells is None else self.cells[windows],
            looks=None if self.looks is None else tuple(np.array(self.looks, object)[windows]),
        )

    def unknown_where(self, unseen: NDArray[np.bool_]) -> Answer:
        """Return the answer with NaN for the windows (n,) that are not mapped yet."""
        return replace(
            self,
            probability=np.where(unseen[:, None], np.nan, self.probability),
            probability_std=np.where(unseen[:, None], np.nan, self.probability_std),
            entropy=np.where(unseen, np.nan, self.entropy),
            mutual_information=np.where(unseen, np.nan, self.mutual_information),
        )

    def variables(self, pixel_size: float | None) -> dict[str, NDArray[Any]]:
        """Return the variables of a result by name, each (n, ...).

        Parameters
        ----------
        pixel_size : float or None
            Side of a pixel in nm, the unit of lengths; without it they are in px.
        """
        label = label_of(self.probability)
        variables: dict[str, NDArray[Any]] = {
            "probability": self.probability,
            "probability_std": self.probability_std,
            "entropy": self.entropy,
            "mutual_information": self.mutual_information,
            "label": label,
        }
        return variables if self.cells is None else variables | self.cells.scaled(pixel_size or 1.0).variables(label)


def label_of(probability: Floats) -> NDArray[np.int8]:
    """Return the most probable class along the last axis (`UNMAPPED` where the probabilities are NaN)."""
    unknown = np.isnan(probability).any(axis=-1)
    return np.where(unknown, UNMAPPED, np.nan_to_num(probability).argmax(axis=-1)).astype(np.int8)


def upper_triangle(covariance: Floats) -> Floats:
    """Return the upper triangles (..., 10), by rows, of symmetric matrices (..., 4, 4)."""
    return covariance[..., _UPPER[0], _UPPER[1]]


def symmetric_matrix(triangle: Floats) -> Floats:
    """Return the symmetric matrices (..., 4, 4) that upper triangles (..., 10) stand for."""
    matrix = np.empty((*triangle.shape[:-1], 4, 4))
    matrix[..., _UPPER[0], _UPPER[1]] = triangle
    matrix[..., _UPPER[1], _UPPER[0]] = triangle
    return matrix
