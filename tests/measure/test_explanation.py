"""The lattice that explains a window, as one wave or as tiles: units, and windows of a batch on their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lattice_images import cell_basis, plane_waves

from bravaismap.measure import explanation
from bravaismap.measure.explanation import (
    Explanation,
    View,
    choose_nodes,
    explained,
    slenderness,
    view_of_tiles,
    view_of_windows,
)
from bravaismap.measure.refinement import Refined
from bravaismap.measure.spots import standardize

CELL = cell_basis("oblique")


def windows(size: tuple[int, int] = (128, 96), count: int = 2) -> View:
    images = np.stack([plane_waves(CELL, size, noise=0.5, seed=seed) for seed in range(count)])
    return view_of_windows(standardize(torch.from_numpy(images)))


def reciprocal_bins(size: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(np.linalg.inv(CELL).T * np.array(size)).float()


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_cell_is_the_same_in_windows_and_tiles(groups: int) -> None:
    whole = windows()
    view = whole if groups == 1 else view_of_tiles(whole, groups)
    start = (reciprocal_bins((128, 96)) / view.scale + 0.05).expand(2, 2, 2)
    found = explained(view, start).scaled(view.scale)
    np.testing.assert_allclose(found.basis[0], reciprocal_bins((128, 96)), atol=0.05 * groups)
    assert float(found.evidence.min()) > 60


def test_errors_are_larger_in_tiles() -> None:
    whole = windows()
    spread = [
        explained(view, (reciprocal_bins((128, 96)) / view.scale).expand(2, 2, 2)).scaled(view.scale).covariance
        for view in (whole, view_of_tiles(whole, 2))
    ]
    traces = [float(part.diagonal(dim1=1, dim2=2).sum(1).sqrt().mean()) for part in spread]
    assert 1.3 < traces[1] / traces[0] < 4.0  # twice: half the lever, and a phase in each tile


def test_windows_are_taken_and_put_by_rows() -> None:
    view = windows(count=3)
    found = explained(view, reciprocal_bins((128, 96)).expand(3, 2, 2))
    rows = torch.tensor([2, 0])
    alone = explained(view.take(rows), reciprocal_bins((128, 96)).expand(2, 2, 2))
    torch.testing.assert_close(alone.basis, found.basis[rows], rtol=1e-4, atol=1e-4)
    other = Explanation(*(torch.zeros_like(part) for part in vars(alone).values()))
    put = found.put(other, rows)
    assert float(put.basis[[0, 2]].abs().max()) == 0
    assert torch.equal(put.basis[1], found.basis[1])
    assert torch.equal(
        found.improved(other, rows, torch.zeros_like(rows), 1).basis, found.basis
    )  # less evidence wins nothing


def test_nodes_that_hold_waves_are_chosen() -> None:
    order, weight = choose_nodes(windows().spectrum, reciprocal_bins((128, 96)).expand(2, 2, 2))
    for window in range(2):
        chosen = {tuple(abs(node).int().tolist()) for node in order[window][weight[window] > 0.9]}
        assert {(1, 0), (0, 1), (1, 1)} <= chosen


def test_only_cells_more_slender_than_common_ones_are_slender() -> None:
    bases = torch.tensor([[[1.0, 0.0], [0.0, 2.9]], [[1.0, 0.0], [0.0, 6.0]]])
    np.testing.assert_allclose(slenderness(bases), [0.0, np.log(2.0)], atol=1e-6)


def test_windows_of_few_nodes_are_refined_apart_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(40, 64, 64, generator=generator)
    crystals = torch.from_numpy(np.stack([plane_waves(CELL, (64, 64), noise=0.3, seed=seed) for seed in range(8)]))
    view = view_of_windows(standardize(torch.cat([noise, crystals.float()])))
    start = reciprocal_bins((64, 64)).expand(48, 2, 2)
    sizes: list[tuple[int, ...]] = []
    refine = explanation.refine

    def counted(*arguments: torch.Tensor, **options: int) -> Refined:
        sizes.append(tuple(arguments[3].shape))
        return refine(*arguments, **options)

    monkeypatch.setattr(explanation, "refine", counted)
    apart = explained(view, start)
    assert len(sizes) == 2
    assert sizes[0][1] < sizes[1][1]
    monkeypatch.setattr(explanation, "_gains_apart", lambda _: False)
    together = explained(view, start)
    assert len(sizes) == 3
    for name in ("basis", "evidence", "signal", "order"):
        torch.testing.assert_close(getattr(apart, name), getattr(together, name), rtol=1e-3, atol=1e-3)
