"""How often a model is right by what is wrong with the image, or by what an image without a lattice shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from bravaismap.conventions import NONE

__all__ = ["FaultScore", "fault_table", "score_faults"]

_CONFIDENCE = 0.95  # of the intervals
_FAULTLESS = "no fault"


@dataclass(frozen=True)
class FaultScore:
    """How a model does on the images that have one fault, alone or with others.

    Attributes
    ----------
    fault : str
    crystal : bool
        Whether the images show a lattice.
    images, right : int
        How many there are, and how many of them are answered rightly.
    called_none : int
        How many of them are said to have no lattice.
    """

    fault: str
    crystal: bool
    images: int
    right: int
    called_none: int

    @property
    def accuracy(self) -> float:
        """Share of the images that are answered rightly."""
        return self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval of the accuracy, of 95 %."""
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
        The right classes, positions in `classes`.
    classes : sequence of str
    faults : sequence of str
        Of each image, joined by ``+``.

    Returns
    -------
    tuple of FaultScore
        Of images with a lattice first, then of those without; by name.
    """
    names = np.array(classes)
    answers, crystal = names[probability.argmax(axis=1)], names[labels] != NONE
    right = answers == names[labels]
    has = [set(filter(None, (name.strip() for name in text.split("+")))) or {_FAULTLESS} for text in faults]
    scores = []
    for kind in (True, False):
        for fault in sorted(
            set().union(*(own for own, is_crystal in zip(has, crystal, strict=True) if is_crystal == kind))
        ):
            chosen = np.array([fault in own for own in has]) & (crystal == kind)
            scores.append(
                FaultScore(
                    fault,
                    kind,
                    int(chosen.sum()),
                    int(right[chosen].sum()),
                    int((answers[chosen] == NONE).sum()),
                )
            )
    return tuple(scores)


def fault_table(scores: Sequence[FaultScore]) -> str:
    """Return scores by fault as text: images, accuracy with its 95 % interval, and how many were called none."""
    titles = ((True, "  lattices by fault"), (False, "  no lattice, by what there is"))
    parts = [(title, [one for one in scores if one.crystal == crystal]) for crystal, title in titles]
    width = max(len(text) for title, rows in parts for text in (title, *(f"    {one.fault}" for one in rows)))
    lines = []
    for title, rows in parts:
        if rows:
            lines.append(f"{title.ljust(width)}  images    right   95 % interval  called none")
        for one in rows:
            low, high = one.interval
            share = f"{100 * one.accuracy:7.1f} %  {100 * low:5.1f} to {100 * high:5.1f}"
            lines.append(f"    {one.fault}".ljust(width) + f"{one.images:>8}{share}{one.called_none:>13}")
    return "\n".join(lines)
