"""Two-dimensional lattices: bases, reduction, the space of shapes, and the deviation from the classes."""

from bravaismap.lattice.basis import basis_from_cell, cell_from_basis, reciprocal, reduce_basis
from bravaismap.lattice.deviation import deviation, metric_class, nearest_basis, nearest_shape
from bravaismap.lattice.shape import CENTER, hyperbolic_distance, shape

__all__ = [
    "CENTER",
    "basis_from_cell",
    "cell_from_basis",
    "deviation",
    "hyperbolic_distance",
    "metric_class",
    "nearest_basis",
    "nearest_shape",
    "reciprocal",
    "reduce_basis",
    "shape",
]
