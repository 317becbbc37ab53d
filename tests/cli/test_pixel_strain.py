"""Strain of pixels on the command line: files, and options that do not go together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bravaismap.lattice.basis import basis_from_cell

Run = Callable[..., "object"]


@pytest.mark.usefixtures("no_figures")
def test_strain_of_the_pixels_of_a_movie(run: Run, tmp_path: Path, crystal: Callable[..., np.ndarray]) -> None:
    movie, store, folder = tmp_path / "film.npy", tmp_path / "film.zarr", tmp_path / "out"
    image = crystal((128, 128), basis_from_cell(9.0, 9.0, np.pi / 2, 0.2), 1.6)
    np.save(movie, np.random.default_rng(2).poisson(40 * image + 3).astype(np.float32))
    assert run("map", movie, "-o", store, "--window", 64, "--step", 32, "--pixel-size", 0.03).code == 0
    for options, word in (
        (("--strain", "--kernel", 2), "--movie"),
        (("--strain", "--movie", movie, "--reference-cell", "3,x"), "a,b,γ"),
    ):
        refused = run("export", store, *options)
        assert refused.code != 0
        assert word in refused.err
    cell = "--reference-cell", "0.27,0.27,90", "--kernel", 2
    done = run("export", store, "--strain", "--movie", movie, *cell, "-o", folder)
    assert done.code == 0, done.err
    assert {"film_strain_pixels.nc", "film_strain_pixels_0000.png"} <= {path.name for path in folder.iterdir()}
    assert "σ = 0.54 nm" in done.out
    edge = run("export", store, "--strain", "--reference", "0:0.6,0:0.6", "-o", tmp_path / "edge")
    assert edge.code == 0, edge.err
    assert "from 1 window nearest to the region, in which no centre of one lies" in edge.out
    with xr.open_dataset(folder / "film_strain_pixels.nc", engine="h5netcdf") as strain:
        inside = strain["exx"].isel(time=0).sel(px=slice(0.9, 2.9), py=slice(0.9, 2.9))
        assert float(np.abs(inside).max()) < 0.5
