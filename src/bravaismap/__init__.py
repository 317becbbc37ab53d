"""bravaismap: a 2D crystallographer for atom-resolved microscopy.

An atom-resolved STM or STEM image or movie in; Bravais-lattice phase maps with uncertainty and phase fractions out.

    >>> import bravaismap as bm
    >>> movie = bm.read("movie.dm4")
    >>> result = bm.map_phases(movie, window=128, step=16)
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bravaismap.conventions import CLASSES
from bravaismap.errors import BravaismapError, InputError, ModelError, OutputError
from bravaismap.moved import find_moved_modules

if TYPE_CHECKING:
    from bravaismap.classify.models import load_model
    from bravaismap.domains.finding import find_domains
    from bravaismap.drift.alignment import align, register
    from bravaismap.kinetics.growth import compare_laws, fit_growth
    from bravaismap.motif.motif import motif
    from bravaismap.phases.image import classify
    from bravaismap.phases.map import map_phases
    from bravaismap.phases.motifs import motif_map
    from bravaismap.phases.pixel_strain import pixel_strain
    from bravaismap.phases.pixels import pixel_map
    from bravaismap.phases.reclassification import reclassify
    from bravaismap.phases.sites import find_sites
    from bravaismap.phases.straightening import straighten
    from bravaismap.phases.strain import strain_map
    from bravaismap.read.reading import read
    from bravaismap.result.open import open_result
    from bravaismap.simulate.film import simulate_film
    from bravaismap.simulate.windows import simulate
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
    "find_sites",
    "fit_growth",
    "load_model",
    "map_phases",
    "motif",
    "motif_map",
    "open_result",
    "pixel_map",
    "pixel_strain",
    "read",
    "reclassify",
    "register",
    "simulate",
    "simulate_film",
    "straighten",
    "strain_map",
    "view",
]

_HOMES = {
    "align": "drift.alignment",
    "classify": "phases.image",
    "compare_laws": "kinetics.growth",
    "find_domains": "domains.finding",
    "find_sites": "phases.sites",
    "fit_growth": "kinetics.growth",
    "load_model": "classify.models",
    "map_phases": "phases.map",
    "motif": "motif.motif",
    "motif_map": "phases.motifs",
    "open_result": "result.open",
    "pixel_map": "phases.pixels",
    "pixel_strain": "phases.pixel_strain",
    "read": "read.reading",
    "reclassify": "phases.reclassification",
    "register": "drift.alignment",
    "simulate": "simulate.windows",
    "simulate_film": "simulate.film",
    "straighten": "phases.straightening",
    "strain_map": "phases.strain",
    "view": "viewer",
}


class _Package(ModuleType):
    """The package, in which a function such as `bm.read` is not hidden by the part of the same name, `bravaismap.read`.

    Python sets a package that is imported as an attribute of its parent; here that is left out for the public names.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Load a public function when it is first asked for, so that importing the package is instant."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


sys.modules[__name__].__class__ = _Package
find_moved_modules()
