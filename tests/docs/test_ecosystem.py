"""docs/ecosystem.md: every block of Python on the page runs, in order, and does what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.simulate.film import simulate_film
from bravaismap.simulate.writing import write_film

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "ecosystem.md"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the page and return the names that it leaves behind."""
    pytest.importorskip("hyperspy.api", reason="HyperSpy is not installed (extra hyperspy)")
    folder = tmp_path_factory.mktemp("ecosystem")
    film = simulate_film(2, 128, seed=0)
    write_film(film, folder / "film.h5")
    bm.map_phases(film["image"], window=64, samples=0, output=folder / "film.zarr")
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)  # the page is ours
        names["same"].load().close()
        names["voids"].load()
    return names


def test_result_in_xarray_and_netcdf(ran: dict[str, Any]) -> None:
    assert ran["names"] == list(bm.CLASSES)
    assert ran["voids"].dims == ("time",)
    np.testing.assert_array_equal(ran["same"]["probability"], ran["plain"]["probability"])


def test_hyperspy_there_and_back(ran: dict[str, Any]) -> None:
    assert type(ran["signal"]).__name__ == "LazySignal2D"
    xr.testing.assert_identical(ran["back"].compute(), ran["movie"].compute())
    assert ran["hexagonal"].axes_manager.navigation_axes[0].name == "time"
    assert ran["result"].attrs["frame_size"] == [96, 96]
    assert ran["result"].attrs["pixel_size_nm"] == pytest.approx(float(ran["movie"]["x"][1]))


def test_napari_layers(ran: dict[str, Any]) -> None:
    assert [kind for _, _, kind in ran["layers"][:3]] == ["image", "labels", "image"]
    assert ran["layers"][-1][2] == "points"


def test_scikit_learn_in_three_lines(ran: dict[str, Any]) -> None:
    assert ran["accuracy"] > 0.8
    assert ran["probabilities"].transform(ran["images"]).shape == (48, 6)
    assert ran["model"].predict(ran["images"][:2]).shape == (2,)
