"""Module names of version 0.1: each leads to the modules that hold its contents today.

Version 0.1 had one flat list of modules, and documented some of them by their deep names (``bravaismap.cells``,
``bravaismap.io.export``). These imports go on working, with a `DeprecationWarning` that names the new place.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["MOVED", "find_moved_modules"]

#: Module of version 0.1 → modules of today that hold its public names; a name is taken from the first that has it.
MOVED: dict[str, tuple[str, ...]] = {
    "beam": ("kinetics.beam",),
    "calibration": ("train.calibration",),
    "cellplot": ("show.cells",),
    "cells": ("phases.cells", "classify.answer", "result.schema"),
    "dose": ("kinetics.dose",),
    "driftplot": ("show.drift",),
    "growthlaws": ("kinetics.laws",),
    "growthplot": ("show.growth",),
    "io": (),
    "io.export": ("export.figures", "export.report", "export.video", "export.tables"),
    "io.growth": ("export.growth",),
    "io.read": ("read.reading",),
    "io.result": ("result.store",),
    "io.track": ("export.drift_track",),
    "knockon": ("kinetics.knock_on",),
    "measurement": ("measure.measurement",),
    "models": ("classify.models",),
    "plot": ("show.maps", "show.movie", "show.axes"),
    "posterior": ("classify.posterior",),
    "predict": ("phases.map",),
    "recipe": ("simulate.books", "simulate.recipe"),
    "regions": ("domains.regions",),
    "report": ("export.report",),
    "simulation": ("simulate.windows",),
    "strain": ("phases.strain", "lattice.deformation"),
    "thresholding": ("domains.thresholding",),
    "uncertainty": ("classify.dropout",),
}
_PACKAGE = "bravaismap"


class _MovedModule(Loader):
    """Loads a module of version 0.1 as the public names of the modules of today."""

    def __init__(self, homes: tuple[str, ...]) -> None:
        self.homes = homes

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave the making of the module to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module, and say once where its contents are now."""
        for home in reversed([import_module(f"{_PACKAGE}.{home}") for home in self.homes]):
            module.__dict__.update({name: getattr(home, name) for name in home.__all__})
        if self.homes:
            places = " and ".join(f"{_PACKAGE}.{home}" for home in self.homes)
            warnings.warn(f"{module.__name__} has moved to {places}", DeprecationWarning, stacklevel=2)


class _MovedFinder(MetaPathFinder):
    """Finds the modules of `MOVED`; Python asks it after all others."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module of version 0.1, or None for every other name."""
        package, _, name = fullname.partition(".")
        if package != _PACKAGE or name not in MOVED:
            return None
        return ModuleSpec(fullname, _MovedModule(MOVED[name]), is_package=not MOVED[name])


def find_moved_modules() -> None:
    """Let Python find the modules of version 0.1; once is enough."""
    if not any(isinstance(finder, _MovedFinder) for finder in sys.meta_path):
        sys.meta_path.append(_MovedFinder())
