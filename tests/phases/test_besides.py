"""What a classified image shows besides its class: known grains, superlattices, fringes and offsets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from lattice_images import atoms

import bravaismap as bm
from bravaismap.errors import BravaismapWarning
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.whole_image import WholeImage
from bravaismap.phases.besides import besides_lines, looked, other_lattices, seen_texts
from bravaismap.phases.order import finer_basis
from bravaismap.phases.verdict import cell_lines
from bravaismap.result.schema import LOOKED

Draw = Callable[..., np.ndarray]
SQUARE = basis_from_cell(10.0, 10.0, np.pi / 2, 0.3)


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_a_superlattice_and_its_lattice_are_in_the_answer() -> None:
    y, x = np.mgrid[:128, :128]
    matrix = np.array([[1, 0], [0, 2]])
    wave = np.linalg.inv(matrix @ SQUARE).T[1]
    image = atoms(SQUARE, (128, 128), noise=0.05) * (1 + 0.2 * np.cos(2 * np.pi * (wave[0] * y + wave[1] * x)))
    row = bm.classify(image, samples=0).isel(image=0)
    finer = finer_basis(row)
    assert finer is not None
    change = finer @ np.linalg.inv(SQUARE)
    np.testing.assert_allclose(change, np.rint(change), atol=0.01)
    assert abs(np.linalg.det(change)) == pytest.approx(1, abs=0.02)
    (line,) = besides_lines(row)
    assert line.startswith("order      superlattice ")
    assert line.endswith("γ 90.0°")
    assert float(row["share"]) == 1


def test_fringes_and_offsets_are_said_where_there_is_no_lattice() -> None:
    y, x = np.mgrid[:128, :128]
    fringes = np.sin(2 * np.pi * (0.8 * x + 0.6 * y) / 6.3) + noise(1, 128, 128)
    offsets = noise(2, 128, 128) + 2 * noise(3, 128, 1)
    result = bm.classify(np.stack([fringes, offsets, noise(4, 128, 128)]), samples=0)
    assert (result["label"].values == 5).all()
    texts = [seen_texts(result.isel(image=i)) for i in range(3)]
    assert texts == [["one set of fringes of 6.3 px"], ["offsets of the rows removed"], []]
    assert cell_lines(result.isel(image=0))[1:] == ["seen       one set of fringes of 6.3 px"]
    assert np.isnan(result["share"]).all()
    rows = bm.classify(np.repeat(noise(5, 128, 1), 128, axis=1), samples=0).isel(image=0)
    assert seen_texts(rows) == ["offsets of the rows removed"]


@pytest.mark.parametrize("length", [2.3, 3.1, 6.3])
def test_no_cell_that_pixels_do_not_resolve(length: float) -> None:
    """One set of fringes, read-out columns and hum are none, and no vector is shorter than 2 px."""
    y, x = np.mgrid[:128, :128]
    images = []
    for seed in range(6):
        turn = np.random.default_rng(seed).uniform(0, np.pi)
        images.append(np.sin(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / length) + noise(seed, 128, 128))
    images.append(noise(7, 128, 128) + np.tile(noise(8, 8), 16))
    images.append(noise(9, 128, 128) + 0.6 * np.sin(2 * np.pi * np.arange(128**2).reshape(128, 128) / 37.3))
    result = bm.classify(np.stack(images), samples=0)
    assert (result["label"].values == 5).all()
    assert np.isnan(result["a"]).all()


@pytest.mark.slow
def test_a_second_grain_has_its_share_and_turn(crystal: Draw) -> None:
    x = np.mgrid[:256, :256][1]
    grains = [basis_from_cell(13.0, 13.0, np.pi / 3, np.radians(angle)) for angle in (10.0, 31.0)]
    image = np.where(x > 150, *(crystal((256, 256), grain) for grain in grains[::-1])) + 0.15 * noise(5, 256, 256)
    result = bm.classify(image, distortion=0.01, samples=0)
    assert result.sizes["other"] == 1
    row = result.isel(image=0)
    (other,) = other_lattices(row)
    assert other.same
    assert other.label == "hexagonal"
    assert other.turn == pytest.approx(21.0, abs=0.5)
    assert any(line.endswith(f"turned by {other.turn:.1f}° against the first") for line in besides_lines(row))
    assert any("of the parts of the image show this lattice" in line for line in besides_lines(row))
    assert float(row["share"]) + other.share == pytest.approx(1.0, abs=0.35)
    assert any("turned by 2" in line for line in besides_lines(row))
    again = bm.reclassify(result, distortion=0.03)
    for variable in LOOKED:
        assert variable.name in again


@pytest.mark.slow
def test_repeated_pixels_are_said() -> None:
    small = atoms(basis_from_cell(6.0, 6.0, np.pi / 3, 0.2), (64, 64))
    row = bm.classify(np.kron(small, np.ones((4, 4))), samples=0).isel(image=0)
    assert seen_texts(row) == ["pixels repeated 4 ×: measured in its own resolution"]
    assert float(row["a"]) == pytest.approx(24, rel=0.02)


def test_images_without_anything_have_empty_variables() -> None:
    values = looked([WholeImage(), WholeImage()], np.array([5, -1]), 1.0)
    assert set(values) == {variable.name for variable in LOOKED}
    assert values["other_basis"].shape == (2, 0, 2, 2)
    assert np.isnan(values["share"]).all()
    with pytest.warns(BravaismapWarning, match="constant"):
        result = bm.classify(np.stack([np.zeros((64, 64)), noise(1, 64, 64)]), samples=0)
    said = [cell_lines(result.isel(image=i))[0] for i in range(2)]
    assert ["constant" in line for line in said] == [True, False]
    assert result["repeated"].values.tolist() == [[1, 1], [1, 1]]


def test_another_cell_is_turned_within_the_symmetry_of_its_class() -> None:
    """A square lattice repeats after 90°: its angle from the first is folded to at most 45°, with a true minus sign."""
    first = np.stack([basis_from_cell(8.0, 13.0, np.pi / 2, 0.2)])
    row = bm.classify(atoms(first[0], (128, 128), noise=0.05), samples=0).isel(image=0)
    for turn in (-100, -20, 70):
        square = basis_from_cell(10.0, 10.0, np.pi / 2, np.radians(float(row["orientation"]) + turn))
        seen = row.drop_dims("other").assign(
            other_share=("other", [0.5]), other_evidence=("other", [500.0]),
            other_basis=(("other", "vector", "component"), square[None], {"units": "px"}),
            other_basis_covariance=(("other", "term"), 1e-6 * np.array([[1, 0, 0, 0, 1, 0, 0, 1, 0, 1.0]])),
        )  # fmt: skip
        (other,) = other_lattices(seen)
        angle = {-100: -10.0, -20: -20.0, 70: -20.0}[turn]
        assert (other.label, other.same, other.turn) == ("square", False, pytest.approx(angle, abs=0.01))
        assert f"its a or b −{-angle:.1f}° from the a of the first" in besides_lines(seen)[-1]
