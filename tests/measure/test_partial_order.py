"""Partial order: the lattice of an image of which a part is ordered, and of which all is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import bravaismap as bm
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.agreement import common_lattices
from bravaismap.measure.partial_order import partly_ordered
from bravaismap.measure.parts import measure_parts
from bravaismap.phases.besides import besides_lines

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
def test_order_of_the_whole_crystal_is_its_lattice(crystal: Draw) -> None:
    row = bm.classify(ordered(crystal, 1.1, 0.2), samples=0).isel(image=0)
    assert float(row["a"]) == pytest.approx(9.0 * 3**0.5, rel=0.02)
    assert abs(np.linalg.det(row["order"].values)) == pytest.approx(3)
    assert row.sizes["region"] == 0
