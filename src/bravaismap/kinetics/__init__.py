"""Growth laws, their fit and comparison, and the dose and physics of the electron beam."""

from bravaismap.kinetics.growth import compare_laws, fit_growth

__all__ = ["compare_laws", "fit_growth"]
