"""Strain maps: known fields come back whatever basis a window has, errors are true, figure and table show them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from lattice_images import CELLS, cell_basis
from matplotlib.collections import QuadMesh

import bravaismap as bm
from bravaismap.classify.models import NetworkClassifier
from bravaismap.conventions import CLASSES
from bravaismap.errors import InputError
from bravaismap.export.figures import export_strain
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.lattice.deformation import deformation
from bravaismap.phases.strain import COMPONENTS, reference_lattice
from bravaismap.show.cells import plot_strain
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

UPPER = np.triu_indices(4)
SHAPE = (2, 7, 9)


def gradient(exx: Any, eyy: Any, exy: Any, rotation: Any) -> np.ndarray:
    """Deformation gradients in columns (x, y), y down: R U, with the rotation (degrees) counter-clockwise as seen."""
    exx, eyy, exy, turn = np.broadcast_arrays(exx, eyy, exy, np.radians(rotation))
    u = np.stack([1 + exx, exy, exy, 1 + eyy], -1).reshape(*exx.shape, 2, 2)
    # x goes to (cos, −sin): up the screen, where y is negative.
    r = np.stack([np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn)], -1).reshape(*exx.shape, 2, 2)
    return r @ u


def deformed(basis: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Apply a gradient in (x, y) columns to rows of (y, x)."""
    return np.einsum("...ij,kj->...ki", f, basis[:, ::-1])[..., ::-1]


def result_of(
    basis: np.ndarray, name: str = "hexagonal", covariance: np.ndarray | None = None, **attrs: Any
) -> xr.Dataset:
    """Make a result of bases (time, y, x, 2, 2)."""
    shape = basis.shape[:3]
    wide = np.broadcast_to(1e-10 * np.eye(4) if covariance is None else covariance, (*shape, 4, 4))
    dims = ("time", "y", "x")
    return xr.Dataset(
        {
            "basis": ((*dims, "vector", "component"), basis, {"units": "px"}),
            "basis_covariance": ((*dims, "pair"), wide[..., UPPER[0], UPPER[1]]),
            "label": (dims, np.full(shape, CLASSES.index(name), np.int8)),
        },
        coords={
            dim: (dim, 8.0 * np.arange(n) + (0 if dim == "time" else 64)) for dim, n in zip(dims, shape, strict=True)
        },
        attrs={"model": "lattice"} | attrs,
    )


def field(seed: int = 0, turn: float = 12.0) -> dict[str, np.ndarray]:
    """Return a smooth field of strains (fractions) and rotations (degrees), zero where x is least."""
    rng = np.random.default_rng(seed)
    along = np.linspace(0, 1, SHAPE[2]) * np.linspace(0.5, 1, SHAPE[1])[:, None]
    along = along * np.array([1.0, -1.0])[:, None, None]
    amount = rng.uniform(0.02, 0.06, 3) * rng.choice([-1, 1], 3)
    return {n: a * along for n, a in zip(COMPONENTS, [*amount, turn], strict=True)}


def unimodular(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return random changes of basis, of both handednesses."""
    n = rng.integers(-4, 5, (3, count))
    lower, upper = np.tile(np.eye(2), (count, 1, 1)), np.tile(np.eye(2), (count, 1, 1))
    lower[:, 1, 0], upper[:, 0, 1] = n[0], n[1]
    flip = np.where(n[2, :, None, None] > 0, np.eye(2), np.array([[0.0, 1], [1, 0]]))
    return np.asarray(lower @ upper @ flip)


def compare(found: xr.Dataset, expected: dict[str, np.ndarray], atol: float = 1e-3) -> None:
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values * (1 if name == "rotation" else 100), atol=atol, err_msg=name)


def alike(found: xr.DataArray, true: np.ndarray) -> np.ndarray:
    """Return the basis of a lattice that corresponds to another one vector by vector."""
    change = np.rint(true @ np.linalg.inv(found.values))
    assert abs(np.linalg.det(change)) == pytest.approx(1)
    return np.asarray(change @ found.values)


START = {"x": slice(0, 64.0)}


# known fields


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("orientation", [0.0, 0.3, 1.4])
def test_known_field_is_recovered_whatever_the_bases(name: str, orientation: float) -> None:
    truth = field()
    basis = deformed(cell_basis(name, orientation), gradient(**truth))
    change = unimodular(basis.shape[0] * basis.shape[1] * basis.shape[2], np.random.default_rng(3))
    found = bm.strain_map(result_of(change.reshape(*SHAPE, 2, 2) @ basis, name), START)
    compare(found, truth)
    assert found.attrs["reference_class"] == name
    assert found.attrs["reference_windows"] == SHAPE[0] * SHAPE[1]


def test_signs_are_those_of_the_frame() -> None:
    basis = np.tile(cell_basis("oblique"), (1, 1, 6, 1, 1))
    wider, lower = np.array([[1.0, 0], [0, 1.03]]), np.array([[1.02, 0], [0, 1.0]])  # rows and columns (y, x)
    diagonal = np.eye(2) + 0.01 * np.ones((2, 2)) - 0.01 * np.eye(2)  # (1, 1), down and to the right, is longer
    turn = np.radians(5)  # an atom at the right, (0, 1), goes up: y < 0
    turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    for i, change in enumerate((wider, lower, diagonal, turned), 1):
        basis[0, 0, i] = basis[0, 0, 0] @ change
    assert (np.array([0.0, 1.0]) @ turned)[0] < 0
    found = bm.strain_map(result_of(basis, "oblique"), START).isel(time=0, y=0)
    rows = np.stack([found[name].values for name in COMPONENTS], axis=-1)
    expected = [[0, 0, 0, 0], [3, 0, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 5], [0, 0, 0, 0]]
    np.testing.assert_allclose(rows, expected, atol=1e-4)


@pytest.mark.parametrize(("name", "most"), [("hexagonal", 29.0), ("square", 44.0), ("oblique", 85.0)])
def test_large_rotations(name: str, most: float) -> None:
    turns = np.linspace(0, most, SHAPE[2]) * np.ones(SHAPE)
    basis = deformed(cell_basis(name), gradient(0.01 * turns / most, 0 * turns, 0 * turns, turns))
    compare(bm.strain_map(result_of(basis, name), START), {"rotation": turns, "exx": 0.01 * turns / most})


def test_a_grain_turned_by_nearly_a_right_angle_is_not_taken_for_a_strained_one() -> None:
    basis = np.tile(basis_from_cell(10.0, 11.0, np.pi / 2, 0.3), (1, 1, 6, 1, 1))
    basis[0, 0, 3:] = deformed(basis[0, 0, 0], gradient(0.0, 0.0, 0.0, 80.0))
    found = bm.strain_map(result_of(basis, "rectangular"), START)
    np.testing.assert_allclose(found["rotation"][0, 0], [0, 0, 0, 80, 80, 80], atol=1e-3)
    np.testing.assert_allclose(found["exx"][0, 0], 0, atol=1e-3)


def test_rotation_is_continuous_where_the_reference_is_not_quite_hexagonal() -> None:
    skewed = cell_basis("hexagonal") @ np.array([[1.0, 0.02], [0.0, 1.0]])  # as a scan would
    truth = field(turn=20.0)
    found = bm.strain_map(result_of(deformed(skewed, gradient(**truth))), START)
    compare(found, truth)


def test_other_lattices_are_blank() -> None:
    basis = np.tile(cell_basis("hexagonal"), (1, 2, 4, 1, 1))
    basis[0, 0, 1] *= 1.2
    basis[0, 0, 2] = cell_basis("rectangular")
    basis[0, 0, 3] = np.nan
    result = result_of(basis)
    result["label"][0, 1, 1] = CLASSES.index("none")
    result["label"][0, 1, 2] = -1
    found = bm.strain_map(result)
    blank = np.array([[False, True, True, True], [False, True, True, False]])
    for name in [*COMPONENTS, *(f"{n}_std" for n in COMPONENTS)]:
        np.testing.assert_array_equal(np.isnan(found[name].values[0]), blank, err_msg=name)


# the reference


def test_a_minority_does_not_pull_the_reference() -> None:
    rng = np.random.default_rng(2)
    basis = np.tile(cell_basis("hexagonal"), (*SHAPE, 1, 1)) * (1 + 0.001 * rng.standard_normal((*SHAPE, 1, 1)))
    basis[:, :, :3] = deformed(cell_basis("hexagonal"), gradient(0.03, 0.0, 0.0, 15.0))
    result = result_of(basis, covariance=1e-5 * np.eye(4))
    result["label"][0, 0, 8] = CLASSES.index("oblique")
    result["basis"][0, 0, 8] = cell_basis("oblique")
    found = bm.strain_map(result)
    assert found.attrs["reference_class"] == "hexagonal"
    np.testing.assert_allclose(
        alike(found["reference_basis"], cell_basis("hexagonal")), cell_basis("hexagonal"), atol=0.01
    )
    np.testing.assert_allclose(found["exx"][:, :, :3], 3.0, atol=0.1)
    np.testing.assert_allclose(found["rotation"][:, :, :3], 15.0, atol=0.1)


def test_the_reference_is_weighted_by_precision_and_its_error_is_true() -> None:
    true, off = cell_basis("oblique"), []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        sigma = np.where(np.arange(SHAPE[2]) < 6, 0.003, 0.1)[:, None, None]
        basis = true + sigma * rng.standard_normal((*SHAPE, 2, 2))
        found = bm.strain_map(result_of(basis, "oblique", sigma**2 * np.eye(4)))
        mean = alike(found["reference_basis"], true)
        stretch, rotation = deformation(mean, true)
        values = [100 * (stretch[1, 1] - 1), 100 * (stretch[0, 0] - 1), 100 * stretch[0, 1], np.degrees(rotation)]
        off.append([v / found.attrs[f"reference_{n}_std"] for v, n in zip(values, COMPONENTS, strict=True)])
        assert np.abs(mean - true).max() < 0.0015  # 0.1 √42/126 = 0.005 without the weights
    assert np.sqrt(np.mean(np.square(off), axis=0)) == pytest.approx(np.ones(4), abs=0.3)


def test_windows_that_overlap_make_no_better_reference() -> None:
    basis = cell_basis("oblique") + 0.01 * np.random.default_rng(0).standard_normal((*SHAPE, 2, 2))
    apart = bm.strain_map(result_of(basis, "oblique", 1e-4 * np.eye(4), window=64, step=64)).attrs
    dense = bm.strain_map(result_of(basis, "oblique", 1e-4 * np.eye(4), window=64, step=16)).attrs
    assert dense["reference_exx_std"] == pytest.approx(4 * apart["reference_exx_std"])


def test_coverage_of_the_errors() -> None:
    rng, shape = np.random.default_rng(1), (1, 40, 100)
    root = rng.normal(0, 0.03, (4, 4))
    covariance = root @ root.T
    truth = {"exx": 0.03, "eyy": -0.02, "exy": 0.04, "rotation": 10.0}
    basis = deformed(cell_basis("oblique"), gradient(**truth)) + np.zeros((*shape, 1, 1))
    basis = basis + rng.multivariate_normal(np.zeros(4), covariance, shape).reshape(*shape, 2, 2)
    basis[:, :, 0] = cell_basis("oblique")
    result = result_of(basis, "oblique", covariance)
    found = bm.strain_map(result, START).isel(x=slice(1, None))
    for name, value in truth.items():
        off = np.abs(found[name] - value * (1 if name == "rotation" else 100)) / found[f"{name}_std"]
        assert float((off < 1).mean()) == pytest.approx(0.683, abs=0.03), name
        assert float((off < 2).mean()) == pytest.approx(0.954, abs=0.02), name


# images


def stepped_image(seed: int = 0) -> np.ndarray:
    """Return 256 × 512 px of a hexagonal lattice whose right half is 3 % longer along x and turned by 2°."""
    basis, rng = cell_basis("hexagonal"), np.random.default_rng(seed)
    halves = []
    for f in (gradient(0.0, 0.0, 0.0, 0.0), gradient(0.03, 0.0, 0.0, 2.0)):
        sites = lattice_sites(deformed(basis, f), (256, 256), np.array([3.3, 5.7]), 12.0)
        sites = sites + rng.normal(0, 0.1, sites.shape)
        halves.append(gaussian_atoms(sites, np.ones(len(sites)), np.full(len(sites), 1.8), (256, 256)))
    image = np.concatenate(halves, axis=1)
    return image + 0.5 * image.std() * rng.standard_normal(image.shape)


@pytest.fixture(scope="module")
def mapped() -> xr.Dataset:
    return bm.map_phases(stepped_image(), window=64, step=64, pixel_size=0.02)


LEFT = {"x": slice(0, 5.0)}


def test_a_step_in_an_image_is_measured(mapped: xr.Dataset) -> None:
    found = bm.strain_map(mapped, LEFT)
    left, right = found.isel(x=slice(0, 4)), found.isel(x=slice(4, 8))
    for name, step in {"exx": 3.0, "eyy": 0.0, "exy": 0.0, "rotation": 2.0}.items():
        noise = float(np.sqrt((found[f"{name}_std"] ** 2).mean()))
        assert noise < 0.4
        for part, value in ((left, 0.0), (right, step)):
            shared = found.attrs[f"reference_{name}_std"]
            assert float(part[name].mean()) == pytest.approx(value, abs=3 * np.hypot(noise / 4, shared)), name
            pull = (part[name] - part[name].mean()) / part[f"{name}_std"]
            assert 0.5 < float((pull**2).mean()) < 2.0, name
    assert found["exx"].attrs["units"] == "%"
    assert found["rotation"].attrs["units"] == "degree"
    assert found["reference_basis"].attrs["units"] == "nm"
    assert np.linalg.norm(found["reference_basis"], axis=-1) == pytest.approx([0.2, 0.2], rel=2e-3)


def test_stored_and_reclassified_results(mapped: xr.Dataset, tmp_path: Path) -> None:
    stored = bm.map_phases(
        np.stack([stepped_image(), stepped_image(1)]), window=64, step=64, pixel_size=0.02, output=tmp_path / "r.zarr"
    )
    assert stored["basis"].chunks is not None
    found = bm.strain_map(stored, LEFT | {"time": slice(0, 0)})
    xr.testing.assert_allclose(found["exx"][0], bm.strain_map(mapped, LEFT)["exx"][0], atol=1e-3)
    found.drop_vars("label").to_zarr(tmp_path / "strain.zarr", consolidated=False)  # all attributes can be stored


# what is refused


def test_results_without_cells_are_refused(quick: NetworkClassifier) -> None:
    result = bm.map_phases(stepped_image()[:64, :64], window=64, model=quick, samples=0)
    with pytest.raises(InputError, match=r"no basis, basis_covariance.*\(quick\).*model lattice"):
        bm.strain_map(result)
    with pytest.raises(InputError, match="over image was given; expected a map"):
        bm.strain_map(bm.classify(stepped_image()[:64, :64], samples=0))


def test_references_that_are_none() -> None:
    result = result_of(np.tile(cell_basis("hexagonal"), (*SHAPE, 1, 1)))
    with pytest.raises(InputError, match=r"reference region \(y 500 to 600\) has no window with a lattice"):
        bm.strain_map(result, {"y": slice(500, 600)})
    with pytest.raises(InputError, match=r"\(y start to 0, x 64 to end\)"):
        bm.strain_map(result, {"y": slice(None, 0), "x": slice(64, None)})
    with pytest.raises(InputError, match=r"lattice = .* was given; expected slices"):
        bm.strain_map(result, {"lattice": slice(0, 1)})
    with pytest.raises(InputError, match="y = 3 was given; expected slices"):
        bm.strain_map(result, {"y": 3})  # type: ignore[dict-item]
    result["label"][:] = CLASSES.index("none")
    with pytest.raises(InputError, match="no window of the result shows a lattice"):
        bm.strain_map(result)


def test_a_region_at_the_edge_of_the_frame_takes_the_nearest_windows() -> None:
    basis = np.tile(cell_basis("hexagonal"), (*SHAPE, 1, 1))
    basis[:, 0, 0] *= 1.02
    result = result_of(basis, window=128, step=8)  # the centres begin at 64 px, the frame at 0
    corner = {"y": slice(0, 40), "x": slice(0, 40)}
    found = bm.strain_map(result, corner)
    assert (found.attrs["reference_windows"], found.attrs["reference_nearest"]) == (2, 1)
    np.testing.assert_allclose(found["exx"][:, 0, 0], 0, atol=1e-4)
    np.testing.assert_allclose(found["exx"][:, 3, 3], 100 * (1 / 1.02 - 1), atol=1e-3)
    result["label"][:, 0, 0] = CLASSES.index("none")  # the nearest with a lattice
    moved = bm.strain_map(result, corner)
    np.testing.assert_allclose(moved["exx"][:, 3, 3], 0, atol=1e-4)
    assert bm.strain_map(result, {"x": slice(60, 80)}).attrs["reference_nearest"] == 0
    with pytest.raises(InputError, match="no window with a lattice"):
        bm.strain_map(result, {"y": slice(-40, -1), "x": slice(0, 40)})


# figures and tables


def test_figure_shows_the_strain(mapped: xr.Dataset) -> None:
    found = bm.strain_map(mapped, LEFT)
    found["exx"][0, 0, 0] = np.nan
    figure = plot_strain(found)
    meshes = [c for ax in figure.axes for c in ax.collections if isinstance(c, QuadMesh)][:4]
    for mesh, name in zip(meshes, COMPONENTS, strict=True):
        low, high = mesh.get_clim()
        assert low == -high < 0
        shown = np.ma.masked_invalid(found[name].values[0])
        np.testing.assert_allclose(np.ma.compressed(mesh.get_array()), shown.compressed())
    limits = [mesh.get_clim()[1] for mesh in meshes]
    assert limits[0] == limits[1] == limits[2] > 2.5
    units = {ax.get_ylabel().split(",")[0] for ax in figure.axes}
    assert {"%", "°"} <= units
    assert plot_strain(found * np.nan).axes


def test_export_writes_figures_and_a_table(mapped: xr.Dataset, tmp_path: Path) -> None:
    found = bm.strain_map(mapped, LEFT)
    written = export_strain(found, tmp_path)
    assert {path.name for path in written} == {"strain_0000.png", "strain.csv"}
    with (tmp_path / "strain.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header[:5] == ["frame", "y_nm", "x_nm", "exx_percent", "exx_std_percent"]
    assert header[-2:] == ["rotation_degree", "rotation_std_degree"]
    assert len(rows) == 4 * 8
    row = dict(zip(header, rows[8 + 5], strict=True))
    assert float(row["x_nm"]) == float(found["x"][5])
    assert np.float32(row["exx_percent"]) == found["exx"].values[0, 1, 5]
    assert np.float32(row["rotation_std_degree"]) == found["rotation_std"].values[0, 1, 5]


@pytest.mark.usefixtures("no_figures")
def test_command_exports_the_strain(run: Callable[..., Any], tmp_path: Path) -> None:
    bm.map_phases(stepped_image(), window=64, step=64, output=tmp_path / "r.zarr")
    done = run("export", tmp_path / "r.zarr", "--strain", "--reference", "0:,0:250", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"r_strain.csv", "r_strain_0000.png"}
    assert "reference: hexagonal, a " in done.out
    with (tmp_path / "out" / "r_strain.csv").open() as file:
        rows = list(csv.DictReader(file))
    step = [np.mean([float(r["exx_percent"]) for r in rows if (float(r["x_px"]) > 256) == side]) for side in (0, 1)]
    assert step == pytest.approx([0, 3], abs=0.3)
    run("export", tmp_path / "r.zarr", "--strain", "--reference", "9").refused("--reference", "9", "y0:y1,x0:x1")
    run("export", tmp_path / "r.zarr", "--csv", "--reference", "0:9,0:9").refused("--reference", "--strain")


def test_reference_lattice_in_numbers(mapped: xr.Dataset) -> None:
    strain = bm.strain_map(mapped)
    reference = reference_lattice(strain)
    basis = strain["reference_basis"].values
    a, b = np.linalg.norm(basis, axis=1)
    assert (reference.a, reference.b) == pytest.approx((a, b))
    assert reference.gamma == pytest.approx(np.degrees(np.arccos(basis[0] @ basis[1] / (a * b))))
    assert (reference.lattice, reference.unit) == ("hexagonal", strain["reference_basis"].attrs["units"])
    assert reference.windows == strain.attrs["reference_windows"]
    assert reference.strain_std == max(strain.attrs[f"reference_{name}_std"] for name in ("exx", "eyy", "exy"))
