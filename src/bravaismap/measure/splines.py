"""Splines: what varies slowly over an image, from its values at places that are evenly spread, as a matrix.

Straight lines between the values would leave of an image that is smooth and has no noise what repeats from one place to
the next, and that is a lattice with the period of the places. The cubic B-spline with these values as coefficients
(I. J. Schoenberg, Q. Appl. Math. 4, 45 (1946)) follows polynomials of the third degree but for a constant.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["spline_matrix"]


def spline_matrix(place: Tensor, count: int) -> Tensor:
    """Return the matrix (n, count) from values to the cubic B-spline of which they are the coefficients.

    Parameters
    ----------
    place : tensor, shape (n,)
        Where the spline is evaluated, in steps from the first value, at most one step beyond the values.
    count : int
        Number of values; beyond the first and the last one these go on.
    """
    knot = torch.arange(-2, count + 2, device=place.device)
    away = (place[:, None] - knot).abs()
    weight = torch.where(away < 1, 2 / 3 - away.square() + away**3 / 2, (2 - away).clamp_min(0) ** 3 / 6)
    matrix: Tensor = weight.new_zeros(len(place), count).index_add_(1, knot.clamp(0, count - 1), weight)
    return matrix
