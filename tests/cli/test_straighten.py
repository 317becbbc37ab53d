"""Straightening on the command line: what is printed, and files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bravaismap.lattice.basis import basis_from_cell

Run = Callable[..., "object"]


@pytest.mark.usefixtures("no_figures")
def test_an_image_is_straightened(run: Run, tmp_path: Path, crystal: Callable[..., np.ndarray]) -> None:
    movie, store, folder = tmp_path / "film.npy", tmp_path / "film.zarr", tmp_path / "out"
    image = crystal((128, 128), basis_from_cell(9.0, 9.0, np.radians(89), 0.2), 1.6)
    np.save(movie, np.random.default_rng(2).poisson(60 * image + 3).astype(np.float32))
    assert run("map", movie, "-o", store, "--window", 64, "--step", 32, "--pixel-size", 0.03).code == 0
    refused = run("export", store, "--straighten")
    assert refused.code != 0
    assert "--movie" in refused.err
    done = run("export", store, "--straighten", "--movie", movie, "-o", folder)
    assert done.code == 0, done.err
    assert sorted(path.name for path in folder.iterdir()) == ["film_straight.npy", "film_straight.tif"]
    assert "departs from square by 0.8" in done.out  # an angle of 1° is a strain of 0.0087
    assert re.search(r"--distortion 0\.[0-9]+%", done.out)
