"""The search: the lattice is found from its spots, whichever rows of nodes a motif hides or noise adds."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch
from lattice_images import CELLS, atoms, cell_basis, plane_waves

from bravaismap.measure import search as search_module
from bravaismap.measure.explanation import explained, view_of_tiles, view_of_windows
from bravaismap.measure.indexing import index_spots
from bravaismap.measure.search import search
from bravaismap.measure.spots import find_spots, standardize


def same_lattice(cell: np.ndarray, reciprocal: torch.Tensor, size: int) -> bool:
    change = np.linalg.inv(reciprocal.numpy() / size).T @ np.linalg.inv(cell)
    whole = np.rint(change)
    return bool(np.abs(change - whole).max() < 0.05 and abs(abs(np.linalg.det(whole)) - 1) < 0.01)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("groups", [1, 2])
def test_each_lattice_is_found(name: str, groups: int) -> None:
    image = torch.from_numpy(atoms(cell_basis(name), noise=0.8))[None]
    view = view_of_windows(standardize(image))
    view = view if groups == 1 else view_of_tiles(view, groups)
    found = search(view)
    assert same_lattice(cell_basis(name), found.best.scaled(view.scale).basis[0], 128)


def test_rows_of_nodes_that_a_motif_hides_are_added() -> None:
    cell = cell_basis("rectangular")
    image = torch.from_numpy(atoms(cell, motif=((0.0, 0.0, 1.0), (0.5, 0.0, 0.85)), noise=0.1))[None]
    assert same_lattice(cell, search(view_of_windows(standardize(image))).best.basis[0], 128)


def test_a_wide_search_agrees_and_spots_may_be_given() -> None:
    cell = cell_basis("hexagonal")
    view = view_of_windows(standardize(torch.from_numpy(plane_waves(cell, (128, 128)))[None]))
    plain = search(view)
    given = search(view, spots=find_spots(view.spectrum, brightest=False))
    assert torch.equal(plain.best.basis, given.best.basis)
    assert torch.equal(plain.spots.position, given.spots.position)
    assert same_lattice(cell, search(view, wide=True).best.basis[0], 128)


def test_what_shows_no_spots_is_not_searched_again() -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(12, 128, 128))
    faint = atoms(cell_basis("hexagonal"), noise=3.0) * (0.3 + np.linspace(0, 2, 128) ** 2)
    view = view_of_windows(standardize(torch.from_numpy(np.concatenate([noise, faint[None]]))))
    with (
        mock.patch.object(search_module, "index_spots", wraps=index_spots) as indexed,
        mock.patch.object(search_module, "explained", wraps=explained) as refined,
    ):
        found = search(view)
    assert len(indexed.call_args_list) == 2
    assert len(indexed.call_args_list[1].args[0].weight) < 8
    assert sum(len(call.args[1]) for call in refined.call_args_list) < 2.5 * len(view.plain)
    assert same_lattice(cell_basis("hexagonal"), found.best.basis[-1], 128)
