"""bravaismap: a 2D crystallographer for atom-resolved microscopy.

An atom-resolved STM or STEM image or movie in; Bravais-lattice phase maps with uncertainty and phase fractions out.

    >>> import bravaismap as bm
    >>> movie = bm.read("movie.dm4")
    >>> result = bm.map_phases(movie, window=128, step=16)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bravaismap.conventions import CLASSES
from bravaismap.errors import BravaismapError, InputError, ModelError, OutputError

if TYPE_CHECKING:
    from bravaismap.cells import reclassify
    from bravaismap.domains import find_domains
    from bravaismap.drift import align, register
    from bravaismap.film import simulate_film
    from bravaismap.io.open import open_result
    from bravaismap.io.read import read
    from bravaismap.kinetics import compare_laws, fit_growth
    from bravaismap.models import load_model
    from bravaismap.predict import classify, map_phases
    from bravaismap.simulation import simulate
    from bravaismap.strain import strain_map
    from bravaismap.viewer import view

__all__ = [
    "CLASSES",
    "BravaismapError",
    "InputError",
    "ModelError",
    "OutputError",
    "align",
    "classify",
    "compare_laws",
    "find_domains",
    "fit_growth",
    "load_model",
    "map_phases",
    "open_result",
    "read",
    "reclassify",
    "register",
    "simulate",
    "simulate_film",
    "strain_map",
    "view",
]

_HOMES = {
    "align": "drift",
    "classify": "predict",
    "compare_laws": "kinetics",
    "find_domains": "domains",
    "fit_growth": "kinetics",
    "load_model": "models",
    "map_phases": "predict",
    "open_result": "io.open",
    "read": "io.read",
    "reclassify": "cells",
    "register": "drift",
    "simulate": "simulation",
    "simulate_film": "film",
    "strain_map": "strain",
    "view": "viewer",
}


def __getattr__(name: str) -> Any:
    """Load a public function when it is first asked for, so that importing the package is instant."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
