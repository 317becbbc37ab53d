"""Strain of every pixel: two halves of a crystal, one of them stretched and turned, against several references."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bravaismap.errors import InputError
from bravaismap.export.pixel_strain import export_pixel_strain
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.movie import as_movie
from bravaismap.phases.map import map_phases
from bravaismap.phases.pixel_strain import pixel_strain
from bravaismap.simulate.crystal import gaussian_atoms

SIZE, SPACING, PIXEL, STRETCH = 192, 9.0, 0.03, 0.012


@pytest.fixture(scope="module")
def movie() -> xr.DataArray:
    """Above the middle the crystal is as it is; below, it is stretched along x, and the change takes 30 px."""
    basis = basis_from_cell(SPACING, SPACING, np.pi / 2, 0.0)
    index = np.stack(np.meshgrid(*[np.arange(-30, 30)] * 2, indexing="ij"), -1).reshape(-1, 2)
    places = index @ basis + SIZE / 2
    places[:, 1] += STRETCH * (places[:, 1] - SIZE / 2) / (1 + np.exp(-(places[:, 0] - SIZE / 2) / 8))
    places = places[((places > -SPACING) & (places < SIZE + SPACING)).all(axis=1)]
    image = gaussian_atoms(places, np.ones(len(places)), np.full(len(places), 1.5), (SIZE, SIZE)).astype(float)
    counts = np.random.default_rng(3).poisson(60 * image + 3).astype(np.float32)
    return as_movie(counts[None], pixel_size=PIXEL)


@pytest.fixture(scope="module")
def result(movie: xr.DataArray) -> xr.Dataset:
    return map_phases(movie, window=64, step=16)


@pytest.fixture(scope="module")
def strain(result: xr.Dataset, movie: xr.DataArray) -> xr.Dataset:
    return pixel_strain(result, movie, {"y": slice(0.9, 1.9), "x": slice(1, 4.8)}, kernel=1.5)


def halves(field: xr.DataArray) -> tuple[float, float]:
    """Mean of a field above and below the change, a Gaussian away from the edges of the frame."""
    inside = field.isel(time=0).sel(px=slice(1, 4.8))
    return float(inside.sel(py=slice(1, 1.8)).mean()), float(inside.sel(py=slice(4, 5)).mean())


def test_the_stretched_half_is_stretched(strain: xr.Dataset) -> None:
    rest, stretched = halves(strain["exx"])
    assert rest == pytest.approx(0, abs=0.1)
    assert stretched == pytest.approx(100 * STRETCH, abs=0.15)
    for name in ("eyy", "exy"):
        np.testing.assert_allclose(halves(strain[name]), 0, atol=0.15)
    assert strain["exx"].attrs["units"] == "%"
    assert float(strain["kernel"][0]) == pytest.approx(1.5 * SPACING * PIXEL, rel=0.02)


def test_errors_are_those_of_the_noise(strain: xr.Dataset) -> None:
    quiet = strain["exx"].isel(time=0).sel(py=slice(1, 1.8), px=slice(1, 4.6))
    said = float(strain["exx_std"].isel(time=0).sel(py=slice(1, 1.8), px=slice(1, 4.6)).mean())
    assert float(quiet.std()) == pytest.approx(said, rel=0.6)  # a few independent places


def test_a_cell_as_the_reference(result: xr.Dataset, movie: xr.DataArray) -> None:
    side = SPACING * PIXEL / 1.01
    rest, stretched = halves(pixel_strain(result, movie, (side, side, 90.0), kernel=1.5)["exx"])
    assert rest == pytest.approx(1.0, abs=0.15)
    assert stretched - rest == pytest.approx(100 * STRETCH, abs=0.2)


def test_files(strain: xr.Dataset, tmp_path, no_figures) -> None:  # type: ignore[no-untyped-def]
    written = export_pixel_strain(strain, tmp_path)
    assert [path.name for path in written] == ["strain_pixels_0000.png", "strain_pixels.nc"]
    with xr.open_dataset(written[1], engine="h5netcdf") as stored:
        np.testing.assert_allclose(stored["exx"], strain["exx"])


def test_what_is_no_reference_is_refused(result: xr.Dataset, movie: xr.DataArray) -> None:
    for reference, message in (
        ({"z": slice(0, 1)}, "reference region z"),
        ({"y": slice(90, 99)}, "no pixel with a lattice"),
        ((0.3, 0.3), "reference cell"),
        ((0.3, 0.3, 0.0), "reference cell"),
        ((0.4, 0.4, 90.0), r"is 3[12] % from the reference cell 0\.4, 0\.4, 90: it has 0\.27"),
    ):
        with pytest.raises(InputError, match=message):
            pixel_strain(result, movie, reference)
    with pytest.raises(InputError, match="kernel"):
        pixel_strain(result, movie, kernel=0.1)
