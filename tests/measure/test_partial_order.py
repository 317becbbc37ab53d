"""Partial order: the lattice of an image of which a part is ordered, and of which all is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import bravaismap as bm
from bravaismap.cli.answers import classification_answer
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.agreement import common_lattices
from bravaismap.measure.partial_order import partly_ordered
from bravaismap.measure.parts import measure_parts
from bravaismap.phases.besides import besides_lines
from bravaismap.phases.order import modulation_waves

SIDE = 320
BASIS = basis_from_cell(9.0, 9.0, np.pi / 3, 0.37)
ROOT_THREE = np.array([[1, 1], [-1, 2]])
Draw = Callable[..., np.ndarray]


def ordered(crystal: Draw, share: float, height: float) -> np.ndarray:
    image = crystal((SIDE, SIDE), BASIS)
    y, x = np.mgrid[:SIDE, :SIDE]
    k = np.linalg.inv(ROOT_THREE @ BASIS).T[0]
    image = image * (1 + height * (x < share * SIDE) * np.cos(2 * np.pi * (k[0] * y + k[1] * x)))
    return image + 0.3 * image.std() * np.random.default_rng(4).standard_normal(image.shape)


@pytest.mark.parametrize("start", ["finer", "larger"])
def test_where_order_was_first_seen_does_not_matter(crystal: Draw, start: str) -> None:
    image = torch.from_numpy(ordered(crystal, 0.45, 0.3).astype(np.float32))
    with torch.inference_mode():
        parts = measure_parts(image)
        lattices = common_lattices(parts.in_cells_of(BASIS, 16), (SIDE, SIDE))
        finer = lattices[0]
        matrix = np.asarray(np.rint(ROOT_THREE @ BASIS @ np.linalg.inv(finer.basis)), np.intp)
        given = (finer, None) if start == "finer" else (finer.multiplied(matrix), matrix)
        answer = partly_ordered(*given, parts, image)
    assert answer.order is None
    assert abs(np.linalg.det(answer.lattice.basis @ np.linalg.inv(BASIS))) == pytest.approx(1, abs=0.02)
    (region,) = answer.regions
    assert abs(round(np.linalg.det(region.matrix))) == 3
    assert region.share == pytest.approx(0.45, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("height", [0.1, 0.8], ids=["weak", "strong"])
def test_order_of_a_part_is_told_with_its_share(crystal: Draw, height: float) -> None:
    row = bm.classify(ordered(crystal, 0.45, height), samples=0).isel(image=0)
    assert str(row["lattice"].values[int(row["label"])]) == "hexagonal"
    assert float(row["a"]) == pytest.approx(9.0, rel=0.02)
    assert float(row["share"]) > 0.9
    assert not row["order"].values.any()
    assert float(row["region_share"][0]) == pytest.approx(0.45, abs=0.05)
    change = row["region_order"].values[0] @ row["basis"].values @ np.linalg.inv(ROOT_THREE @ BASIS)
    assert np.abs(change - np.rint(change)).max() < 0.05
    assert abs(np.linalg.det(change)) == pytest.approx(1, abs=0.05)
    (line,) = [line for line in besides_lines(row) if line.startswith("order")]
    assert "superlattice √3 × √3 R30°, matrix" in line
    assert line.endswith(" % of the image")


@pytest.mark.slow
@pytest.mark.parametrize("height", [0.2, 0.9], ids=["weak", "strong"])
def test_order_of_the_whole_crystal_is_its_lattice(crystal: Draw, height: float) -> None:
    row = bm.classify(ordered(crystal, 1.1, height), samples=0).isel(image=0)
    assert float(row["a"]) == pytest.approx(9.0 * 3**0.5, rel=0.02)
    assert abs(np.linalg.det(row["order"].values)) == pytest.approx(3 if height < 0.5 else 0)
    assert (row.sizes["region"], row.sizes["wave"]) == (0, 0)


@pytest.mark.slow
def test_a_modulation_that_fits_no_cells_is_no_superlattice(crystal: Draw) -> None:
    image = crystal((SIDE, SIDE), BASIS)
    y, x = np.mgrid[:SIDE, :SIDE]
    k = 0.1371 * np.linalg.inv(BASIS).T[0]
    image = image * (1 + 0.3 * np.cos(2 * np.pi * (k[0] * y + k[1] * x)))
    image = image + 0.3 * image.std() * np.random.default_rng(4).standard_normal(image.shape)
    row = bm.classify(image, samples=0).isel(image=0)
    assert float(row["a"]) == pytest.approx(9.0, rel=0.02)
    assert not row["order"].values.any()
    (line,) = [line for line in besides_lines(row) if line.startswith("order")]
    assert line.startswith("order      a modulation of period 56.")
    assert "px along −8." in line
    assert "q = (0.13" in line
    assert line.endswith("not commensurate: no superlattice of up to 16 cells fits")
    (wave,) = modulation_waves(row)
    assert abs(wave.period - 1 / np.linalg.norm(k)) < 4 * wave.period_std
    angle = np.degrees(np.arctan2(-k[0], k[1]))
    assert abs((wave.angle - angle + 90) % 180 - 90) < 4 * wave.angle_std
    json = classification_answer([("image", bm.classify(image, samples=0), 0)])["images"][0]
    assert json["superlattice"] is None
    assert json["modulation"]["commensurate"] < 0.2


@pytest.mark.slow
def test_order_in_stripes_of_seven_cells_has_its_share_and_is_no_modulation(crystal: Draw) -> None:
    image = crystal((SIDE, SIDE), BASIS)
    y, x = np.mgrid[:SIDE, :SIDE]
    k = np.linalg.inv(ROOT_THREE @ BASIS).T[0]
    inside = (0.8 * x + 0.6 * y) % (14 * 9.0) < 7 * 9.0
    image = image * (1 + 0.3 * inside * np.cos(2 * np.pi * (k[0] * y + k[1] * x)))
    image = image + 0.3 * image.std() * np.random.default_rng(4).standard_normal(image.shape)
    row = bm.classify(image, samples=0).isel(image=0)
    assert row.sizes["wave"] == 0
    assert float(row["a"]) == pytest.approx(9.0, rel=0.02)
    assert float(row["region_share"][0]) == pytest.approx(float(inside.mean()), abs=0.08)
