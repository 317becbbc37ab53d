"""Names that version 0.1 documented import from their old places, and parts never hide functions of the same name."""

from __future__ import annotations

import subprocess
import sys
import warnings
from importlib import import_module

import pytest

import bravaismap as bm
from bravaismap.moved import MOVED, find_moved_modules

#: What the API pages of version 0.1 named, by module.
DOCUMENTED = {
    "beam": "maximum_energy_transfer",
    "calibration": "",
    "cellplot": "plot_cells plot_shapes plot_strain",
    "cells": "cell_statistics cell_table",
    "conventions": "CLASSES LATTICES class_name class_index display_name",
    "domains": "find_domains domain_maps",
    "dose": "dose_rate over_dose frame_area physical_growth",
    "driftplot": "plot_drift",
    "errors": "BravaismapError InputError ModelError OutputError",
    "evaluate": "read_labelled answer evaluate",
    "growthlaws": "LAWS",
    "growthplot": "plot_growth",
    "interop.hyperspy": "to_hyperspy from_hyperspy",
    "io.export": "export_csv export_figures export_report export_strain export_domains export_video",
    "io.growth": "export_growth",
    "io.track": "export_track",
    "kinetics": "compare_laws",
    "knockon": "displacement_table",
    "lattice": (
        "basis_from_cell cell_from_basis reduce_basis reciprocal shape deviation hyperbolic_distance nearest_basis"
    ),
    "measurement": "measure",
    "phases": "",
    "plot": "plot_classification plot_labels plot_probabilities plot_uncertainty plot_fractions",
    "posterior": "class_probability",
    "recipe": "Recipe read_recipes",
    "regions": "Regions",
    "report": "report",
    "spectrum": "spectrum",
    "strain": "",
    "thresholding": "threshold_voids",
    "train": "train TrainingPlan",
    "uncertainty": "monte_carlo_dropout",
    "unmixing": "unmix",
}


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the moved modules that this process has loaded, since each warns once."""
    for name in MOVED:
        monkeypatch.delitem(sys.modules, f"bravaismap.{name}", raising=False)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("module", sorted(set(DOCUMENTED) | set(MOVED) - {"io"}))
def test_documented_names_import_from_their_old_places(module: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        old = import_module(f"bravaismap.{module}")
    told = [str(warning.message) for warning in caught if warning.category is DeprecationWarning]
    if module in MOVED:
        places = " and ".join(f"bravaismap.{home}" for home in MOVED[module])
        assert told == [f"bravaismap.{module} has moved to {places}"]
    else:
        assert told == []
    for name in DOCUMENTED.get(module, "").split():
        value = getattr(old, name)
        homes = [import_module(f"bravaismap.{home}") for home in MOVED.get(module, ())]
        assert not homes or value is next(getattr(home, name) for home in homes if hasattr(home, name))


@pytest.mark.usefixtures("fresh")
def test_the_warning_points_at_the_import() -> None:
    with pytest.warns(DeprecationWarning, match=r"bravaismap\.plot has moved to bravaismap\.show\.maps") as caught:
        from bravaismap.plot import plot_labels
    assert [warning.filename for warning in caught] == [__file__]
    assert plot_labels.__module__ == "bravaismap.show.maps"


def test_a_module_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"bravaismap\.nowhere"):
        import_module("bravaismap.nowhere")
    with pytest.raises(ModuleNotFoundError, match=r"bravaismap\.io\.nowhere"):
        import_module("bravaismap.io.nowhere")


def test_one_finder_is_enough() -> None:
    count = len(sys.meta_path)
    find_moved_modules()
    assert len(sys.meta_path) == count


def test_parts_do_not_hide_the_functions_of_the_same_name() -> None:
    code = (
        "import bravaismap as bm, bravaismap.read, bravaismap.read.reading, bravaismap.classify.models, "
        "bravaismap.simulate.windows; "
        "from bravaismap.read import reading; "
        "print(*(type(f).__name__ for f in (bm.read, bm.classify, bm.simulate)), reading.read is bm.read, "
        "dir(bm) == sorted(bm.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["function"] * 3 + ["True"] * 2, done.stderr


def test_public_names_are_all_there() -> None:
    assert dir(bm) == sorted(bm.__all__)
    for name in bm.__all__:
        assert getattr(bm, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nowhere'"):
        _ = bm.nowhere
