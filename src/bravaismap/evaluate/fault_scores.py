"""Accuracy of a model by the fault of the image, or by the pattern that an image without a lattice shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from bravaismap.conventions import NONE

__all__ = ["FaultScore", "fault_table", "score_faults"]

_CONFIDENCE = 0.95  # of the intervals
_FAULTLESS = "no fault"  # name that images without a fault have in the table


@dataclass(frozen=True)
class FaultScore:
    """Score of a model on the images that have a certain fault, alone or with others.

    Attributes
    ----------
    fault : str
    crystal : bool
        Whether the images show a lattice.
    images, right : int
        Number of images, and of those that are classified right.
    called_none : int
        Number of images that are classified as none.
    """

    fault: str
    crystal: bool
    images: int
    right: int
    called_none: int

    @property
    def accuracy(self) -> float:
        """Share of the images that are classified right."""
        return self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        low, high = binomtest(self.right, self.images).proportion_ci(_CONFIDENCE, method="wilson")
        return float(low), float(high)


def score_faults(
    probability: NDArray[np.floating], labels: NDArray[np.integer], classes: Sequence[str], faults: Sequence[str]
) -> tuple[FaultScore, ...]:
    """Score answers by fault; an image with several faults counts for each.

    Parameters
    ----------
    probability : array, shape (n, classes)
    labels : int array, shape (n,)
        The true classes, as positions in `classes`.
    classes : sequence of str
    faults : sequence of str
        Faults of each image, joined by ``+``.

    Returns
    -------
    tuple of FaultScore
        Of images with a lattice first, then of those without; by name.
    """
    names = np.array(classes)
    answers, crystal = names[probability.argmax(axis=1)], names[labels] != NONE
    right = answers == names[labels]
    sets = [set(filter(None, (name.strip() for name in text.split("+")))) or {_FAULTLESS} for text in faults]
    scores = []
    for is_crystal in (True, False):
        for fault in sorted(set().union(*(sets[i] for i in np.flatnonzero(crystal == is_crystal)))):
            rows = np.array([fault in names for names in sets]) & (crystal == is_crystal)
            scores.append(
                FaultScore(
                    fault=fault,
                    crystal=is_crystal,
                    images=int(rows.sum()),
                    right=int(right[rows].sum()),
                    called_none=int((answers[rows] == NONE).sum()),
                )
            )
    return tuple(scores)


def fault_table(scores: Sequence[FaultScore]) -> str:
    """Return scores by fault as text: images, accuracy with its 95 % interval, and how many were called none."""
    titles = ((True, "  lattices by fault"), (False, "  no lattice, by what there is"))
    parts = [(title, [score for score in scores if score.crystal == crystal]) for crystal, title in titles]
    width = max(len(text) for title, rows in parts for text in (title, *(f"    {row.fault}" for row in rows)))
    lines = []
    for title, rows in parts:
        if rows:
            lines.append(f"{title.ljust(width)}  images    right   95 % interval  called none")
        for row in rows:
            low, high = row.interval
            share = f"{100 * row.accuracy:7.1f} %  {100 * low:5.1f} to {100 * high:5.1f}"
            lines.append(f"    {row.fault}".ljust(width) + f"{row.images:>8}{share}{row.called_none:>13}")
    return "\n".join(lines)
