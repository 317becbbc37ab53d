"""The motif of an image: known structures, units, invariances, masks, text, files, the figure and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import PathCollection
from patterns import GENERAL, Pattern

import bravaismap as bm
from bravaismap.errors import InputError, OutputError
from bravaismap.export.motif import export_motif
from bravaismap.lattice import basis_from_cell, reduce_basis
from bravaismap.motif.motif import motif
from bravaismap.motif.plane_groups import PLANE_GROUPS
from bravaismap.motif.settings import SYSTEMATIC
from bravaismap.motif.structure_text import cell_text, coordinate_triplets, number_text, structure_text
from bravaismap.movie import as_movie
from bravaismap.show.motif import plot_motif

PERFECT: dict[str, Any] = {"distortion": 0.005, "systematic": 0.0}


@pytest.fixture(scope="module")
def perovskite(pattern: Callable[..., Pattern]) -> xr.Dataset:
    """Return the motif of two columns on a square lattice of 22 px."""
    drawn = pattern("p4mm", [(0.0, 0.0), (0.5, 0.5)], heights=(1.0, 0.5), counts=50.0, width=2.2)
    return motif(as_movie(drawn.image, pixel_size=0.0175), **PERFECT)


def test_two_columns_on_a_square_lattice(perovskite: xr.Dataset) -> None:
    about = perovskite.attrs
    assert (about["plane_group"], about["point_group"], about["laue_class"]) == ("p4mm", "4mm", "4mm")
    assert about["motif_lattice"] == about["metric_lattice"] == "square"
    assert about["cells"] == pytest.approx(128**2 / 22**2, rel=0.02)
    for name in ("a", "b"):
        assert abs(float(perovskite[name]) - 0.385) < 4 * float(perovskite[f"{name}_std"])
        assert perovskite[name].attrs["units"] == "nm"
    assert abs(float(perovskite["gamma"]) - 90) < 4 * float(perovskite["gamma_std"])
    assert sorted(perovskite["wyckoff"].values) == ["1a", "1b"]
    order = np.argsort(perovskite["x"].values)
    np.testing.assert_allclose(perovskite["x"].values[order], [0, 0.5], atol=0.005)
    np.testing.assert_allclose(perovskite["y"].values[order], [0, 0.5], atol=0.005)
    np.testing.assert_allclose(perovskite["height"].values, [50, 25], rtol=0.05)
    np.testing.assert_allclose(perovskite["width"].values, 2.2 * 0.0175, rtol=0.05)
    assert perovskite["probability"].sum() == pytest.approx(1)
    assert float(perovskite["probability"].sel(group="p4mm")) > 0.8
    assert perovskite["used"].values.all()


def test_the_cell_is_drawn_about_the_origin_of_its_group(perovskite: xr.Dataset) -> None:
    """The averaged cell has its two columns at 0, 0 and 1/2, 1/2, and the value that was drawn there."""
    cell = perovskite["cell"].values
    size = np.array(cell.shape)
    v, u = np.unravel_index(np.argmax(cell), cell.shape)
    column = perovskite.isel(column=0)
    assert abs((v / size[0] - float(column["y"]) + 0.5) % 1.0 - 0.5) < 2.5 / size[0]
    assert abs((u / size[1] - float(column["x"]) + 0.5) % 1.0 - 0.5) < 2.5 / size[1]
    assert cell.max() == pytest.approx(50 * 1.05, rel=0.12)
    assert 0 < np.nanmean(perovskite["cell_std"]) < 2
    assert float(perovskite["cell_count"].sum()) == pytest.approx(128**2)


def test_structure_factors_are_real_where_the_origin_is_a_centre(perovskite: xr.Dataset) -> None:
    strong = perovskite["amplitude"].values > 10 * perovskite["amplitude_std"].values
    phase = np.abs(np.radians(perovskite["phase"].values[strong]))
    off = np.minimum(phase, np.pi - phase) / np.radians(perovskite["phase_std"].values[strong])
    assert strong.sum() > 5
    assert np.sqrt(np.mean(off**2)) < 2
    assert perovskite["phase"].attrs["units"] == "degree"


@pytest.mark.parametrize(
    ("name", "points", "columns"),
    [
        ("p6mm", [(1 / 3, 2 / 3)], {"2b"}),
        ("p3m1", [(1 / 3, 2 / 3), (2 / 3, 1 / 3)], {"1b", "1c"}),
        ("c2mm", [(0.12, 0.0)], {"4d"}),
        ("p4gm", [(0.305, 0.195), (0.0, 0.0)], {"2a", "4c"}),
    ],
)
def test_known_structures(
    pattern: Callable[..., Pattern], name: str, points: list[tuple[float, float]], columns: set[str]
) -> None:
    """Graphene, a 1H dichalcogenide, dumbbells of silicon along [110], and rutile along its fourfold axis."""
    drawn = pattern(name, points, heights=(1.0, 0.45), counts=60.0, size=160, width=1.7)
    for measured in (motif(drawn.image, **PERFECT), motif(drawn.image, drawn.primitive, **PERFECT)):
        assert measured.attrs["plane_group"] == name
        letters = {str(letter) for letter in measured["wyckoff"].values}
        if name == "p3m1":  # the three threefold axes are equivalent by a shift of the origin
            assert len(letters) == 2
            assert letters <= {"1a", "1b", "1c"}
        else:
            assert {letter[:-1] for letter in letters} == {letter[:-1] for letter in columns}
    assert np.isnan(motif(drawn.image, drawn.primitive)["a_std"])


def test_rotation_scale_and_offset_do_not_matter(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p3m1", [(1 / 3, 2 / 3), (2 / 3, 1 / 3)], heights=(1.0, 0.45), counts=60.0, width=1.7)
    images = (drawn.image, drawn.image.T, np.rot90(drawn.image), 1e-9 * drawn.image - 1e-8, 1e12 * drawn.image)
    first, *others = (motif(image.copy(), **PERFECT) for image in images)
    for other in others:
        assert other.attrs["plane_group"] == first.attrs["plane_group"] == "p3m1"
        np.testing.assert_allclose(np.sort(other["amplitude"] / other["amplitude"].max())[-6:],
                                   np.sort(first["amplitude"] / first["amplitude"].max())[-6:], atol=0.02)  # fmt: skip
    for other, factor in zip(others[2:], (1e-9, 1e12), strict=True):
        for name in ("height", "height_std", "amplitude", "amplitude_std", "cell_std"):
            np.testing.assert_allclose(other[name], factor * first[name], rtol=1e-3)
        for name in ("x", "y", "width"):
            np.testing.assert_allclose(other[f"{name}_std"], first[f"{name}_std"], rtol=1e-3)
    np.testing.assert_allclose(others[2]["cell"], 1e-9 * first["cell"] - 1e-8, rtol=1e-6)


def test_what_is_masked_or_not_finite_is_left_out(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p4mm", [(0.0, 0.0), (0.5, 0.5)], heights=(1.0, 0.5), counts=50.0, size=200, width=2.2)
    spoilt = drawn.image.copy()
    spoilt[:, 150:] = np.random.default_rng(0).uniform(0, 200, (200, 50))
    spoilt[20:30, 20:30] = np.nan
    mask = np.ones(spoilt.shape, bool)
    mask[:, 150:] = False
    found = motif(spoilt, mask=mask, **PERFECT)
    assert found.attrs["plane_group"] == "p4mm"
    used = found["used"].values
    assert not used[:, 150:].any()
    assert not used[20:30, 20:30].any()
    assert used[:, :140].mean() > 0.97
    np.testing.assert_allclose(found["height"].values, [50, 25], rtol=0.1)


def test_glides_are_named_by_their_extinctions(pattern: Callable[..., Pattern]) -> None:
    found = motif(pattern("p2gg", [(0.14, 0.1), (0.3, 0.62)], counts=100.0, size=160).image, **PERFECT)
    assert found.attrs["plane_group"] == "p2gg"
    h, k = found["h"].values, found["k"].values
    axial = ((h == 0) & (k % 2 != 0)) | ((k == 0) & (h % 2 != 0))
    assert (found["extinct"].values == axial).all()
    assert axial.any()


def test_pseudosymmetry_is_told(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p31m", [(1 / 3, 2 / 3), (0.0, 0.0)], heights=(1.0, 0.05), counts=500.0, size=160)
    turned = pattern("p3m1", [(1 / 3, 2 / 3), (2 / 3, 1 / 3)], heights=(1.0, 0.9), counts=500.0, size=160)
    assert motif(drawn.image, **PERFECT).attrs["pseudosymmetry"] == ""
    found = motif(turned.image, **PERFECT)
    assert found.attrs["plane_group"] == "p3m1"
    assert found.attrs["pseudosymmetry"].startswith("p6mm (0.")


# text and files


def test_numbers_with_their_errors() -> None:
    assert number_text(3.90512, 0.0124) == "3.905(12)"
    assert number_text(3.90512, 0.034) == "3.91(3)"
    assert number_text(-0.0001, 0.002) == "0.000(2)"
    assert number_text(1234.6, 12.0) == "1235(12)"
    assert number_text(22.0, np.nan) == "22"
    assert number_text(np.nan, np.nan) == "?"


@pytest.mark.parametrize("group", PLANE_GROUPS, ids=[group.name for group in PLANE_GROUPS])
def test_general_positions_read_as_in_the_tables(group: Any) -> None:
    def values(triplets: list[str]) -> set[tuple[float, ...]]:
        names = {"x": 0.137, "y": 0.291}
        return {
            tuple(round(eval(part.replace("/2", "*0.5"), {}, names) % 1.0, 6) for part in triplet.split(","))
            for triplet in triplets
        }

    assert values(coordinate_triplets(group)) == values(GENERAL[group.name].split(";"))


def test_structure_text(perovskite: xr.Dataset) -> None:
    text = structure_text(perovskite, "two columns")
    assert text.startswith("data_two_columns\n# lengths in Å\n_cell_length_a 3.85")
    assert "_plane_group_name_H-M 'p 4 m m'\n_plane_group_IT_number 11\n" in text
    assert "_plane_group_symop_operation_xy\n1 'x, y'" in text
    assert "_space_group" not in text  # whose numbers and operations are of three dimensions
    assert text.count("\n1 'x, y'\n") == 1
    assert text.count("\ncolumn") == 2
    assert "a 0.385" in cell_text(perovskite)


def test_lengths_stay_in_px_where_the_pixel_is_unknown(pattern: Callable[..., Pattern]) -> None:
    found = motif(pattern("p4mm", [(0.0, 0.0)], heights=(1.0,), counts=30.0).image, **PERFECT)
    assert found["a"].attrs["units"] == found["width"].attrs["units"] == "px"
    assert float(found["a"]) == pytest.approx(22, abs=0.2)
    text = structure_text(found)
    assert "px: the size of a pixel is not known" in text
    assert "_plane_cell_length_a_px 2" in text
    assert "_cell_length_a " not in text  # whose unit is Å


def test_files(perovskite: xr.Dataset, tmp_path: Path) -> None:
    paths = export_motif(perovskite, tmp_path / "new", "crystal")
    assert [path.name for path in paths] == ["crystal.cif", "crystal.npz", "crystal.png"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    with np.load(paths[1]) as arrays:
        np.testing.assert_array_equal(arrays["cell"], perovskite["cell"].values)
        assert str(arrays["attribute_plane_group"]) == "p4mm"
    assert paths[0].read_text(encoding="utf-8") == structure_text(perovskite, "crystal")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        export_motif(perovskite, tmp_path / "file")


def test_figure(perovskite: xr.Dataset) -> None:
    figure = plot_motif(perovskite)
    by_title = {ax.get_title(): ax for ax in figure.axes}
    cell, factors, groups = (by_title[title] for title in ("averaged cell", "amplitudes", "plane group"))
    (image,) = cell.images
    shown, values = np.asarray(image.get_array()), perovskite["cell"].transpose("v", "u").values
    assert np.isin(shown, values).all()
    assert len(np.unique(shown)) == len(np.unique(values))
    left, right, bottom, top = image.get_extent()
    v, u = np.unravel_index(values.argmax(), values.shape)
    y, x = np.array([u / values.shape[1], v / values.shape[0]]) @ perovskite["basis"].values
    row, column = (y - top) / (bottom - top) * shown.shape[0], (x - left) / (right - left) * shown.shape[1]
    assert shown[int(row), int(column)] == values.max()
    spots = [artist for artist in factors.collections if isinstance(artist, PathCollection)]
    assert sum(len(artist.get_offsets()) for artist in spots) == 2 * perovskite.sizes["order"]
    widest = max(patch.get_width() for patch in groups.patches)
    assert widest == pytest.approx(100 * float(perovskite["probability"].max()))
    marks = [line for line in cell.lines if line.get_marker() == "o"]
    basis = perovskite["basis"].values
    corner = {tuple(np.round(line.get_xydata()[0], 3)) for line in marks}
    middle = (perovskite["x"].values[1], perovskite["y"].values[1]) @ basis
    assert tuple(np.round(middle[::-1], 3)) in corner
    figure.canvas.draw()


# command line


def test_command(pattern: Callable[..., Pattern], run: Callable[..., Any], tmp_path: Path) -> None:
    drawn = pattern("p2gg", [(0.14, 0.1), (0.3, 0.62)], counts=100.0)
    np.save(tmp_path / "glide.npy", drawn.image.astype(np.float32))
    outcome = run(
        "motif", tmp_path / "glide.npy", "--systematic", 0, "--distortion", 0.005, "--pixel-size", 0.02,
        "-o", tmp_path / "o",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    for part in ("plane group   p2gg", "point group   2mm", "extinct       ", "nm", "4c", "glide.cif"):
        assert part in outcome.out, outcome.out
    assert (tmp_path / "o" / "glide.png").stat().st_size > 10_000
    run("motif", tmp_path / "glide.npy", "--frame", 3).refused("--frame 3", "1 frame")
    np.save(tmp_path / "flat.npy", np.zeros((64, 64)))
    run("motif", tmp_path / "flat.npy").refused("flat.npy", "without contrast")


# errors


def test_errors(pattern: Callable[..., Pattern]) -> None:
    image = pattern("p4", noise=0.1).image
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (np.stack([image, image]), {}, "movie of 2 frames"),
        (image[:20], {}, "expected 32 px or more"),
        (np.ones((64, 64)), {}, "without contrast"),
        (np.full((64, 64), np.nan), {}, "0 pixels are finite"),
        (image, {"basis": [1.0, 2.0]}, "a basis of shape"),
        (image, {"basis": [[1.0, 0.0], [2.0, 0.0]]}, "parallel or zero"),
        (image, {"basis": [[1.0, 0.0], [0.0, np.nan]]}, "two finite vectors"),
        (image, {"basis": [[1.0, 0.0], [0.0, 1.2]]}, "vectors of 3 px or more"),
        (image, {"basis": [[0.0, 80.0], [80.0, 0.0]]}, "holds 2.6 cells"),
        (image, {"mask": np.ones((3, 3), bool)}, "a mask of shape"),
        (image, {"mask": np.ones(image.shape)}, "expected bool"),
        (image, {"distortion": -1.0}, "distortion"),
        (image, {"systematic": np.nan}, "systematic"),
        (np.random.default_rng(0).normal(size=(64, 64)), {}, "no lattice was found"),
    ]
    for given, options, message in cases:
        with pytest.raises(InputError) as refused:
            motif(given, **options)
        assert message in str(refused.value)


@pytest.mark.parametrize("seed", range(4))
def test_no_image_of_finite_numbers_raises_anything_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = [(32, 32), (33, 97), (120, 40), (64, 64)]
    base = rng.normal(size=shapes[seed])
    for image in (base, np.sign(base), 1e30 * base, np.round(base), np.cumsum(base, axis=0), base > 2.5):
        for basis in (None, [[0.0, 300.0], [200.0, 0.0]], [[0.0, 3.1], [3.3, 0.4]], basis_from_cell(9, 140, 1.4, 0.2)):
            try:
                found = bm.motif(image, basis)
            except InputError:
                continue
            assert np.isfinite(found["probability"]).all()
            assert found["probability"].sum() == pytest.approx(1)


def test_settings_are_kept(pattern: Callable[..., Pattern]) -> None:
    found = motif(pattern("p4", noise=0.1).image)
    assert found.attrs["systematic"] == SYSTEMATIC
    assert found.attrs["distortion"] == 0.02


def test_the_same_image_gives_the_same_motif(pattern: Callable[..., Pattern]) -> None:
    image = pattern("p6", [(0.1, 0.3), (0.0, 0.0)], counts=10.0).image
    xr.testing.assert_identical(motif(image), motif(image))
    assert reduce_basis(motif(image)["basis"].values).shape == (2, 2)
