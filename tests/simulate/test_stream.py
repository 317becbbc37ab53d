"""Streams of windows: what a batch holds, and what it depends on."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from bravaismap.conventions import CLASSES, NONE
from bravaismap.errors import InputError
from bravaismap.lattice.basis import reciprocal
from bravaismap.simulate.stream import Batch, batches

KINDS = ("simulated", "realistic", "wide", "broken")


def drawn(count: int = 1, **options: object) -> list[Batch]:
    return list(islice(batches(3, KINDS, **{"sides": (32, 48), "batch_size": 24, **options}), count))


def test_batch_has_every_class_of_every_kind() -> None:
    (batch,) = drawn()
    assert batch.image.dtype == batch.basis.dtype == torch.float32
    assert batch.image.shape in {(24, 32, 32), (24, 48, 48)}
    assert len({(int(k), int(c)) for k, c in zip(batch.kind, batch.label, strict=True)}) == len(KINDS) * len(CLASSES)
    low, high = torch.aminmax(batch.image.flatten(1), dim=1)
    assert bool((low == 0).all())
    assert bool(((high - 255).abs() < 1e-3).all())


def test_vectors_are_reduced_and_only_of_lattices() -> None:
    (batch,) = drawn()
    with_lattice = batch.label != CLASSES.index(NONE)
    assert torch.equal(batch.basis.isnan().all(dim=-1).all(dim=-1), ~with_lattice)
    first, second = batch.basis[with_lattice].unbind(1)
    product = (first * second).sum(-1)
    assert bool((first.norm(dim=-1) <= second.norm(dim=-1) + 1e-4).all())
    assert bool(((product > -1e-4) & (product <= first.square().sum(-1) / 2 + 1e-3)).all())
    np.testing.assert_allclose(batch.reciprocal[with_lattice], reciprocal(batch.basis[with_lattice]), rtol=1e-4)


def test_stream_goes_on_where_it_was_left() -> None:
    whole, resumed = drawn(3), drawn(1, start=2)
    assert torch.equal(whole[2].image, resumed[0].image)
    assert torch.equal(whole[2].label, resumed[0].label)
    assert not torch.equal(whole[0].image[:, :32, :32], whole[1].image[:, :32, :32])


def test_sides_are_drawn() -> None:
    assert {batch.image.shape[-1] for batch in drawn(12, batch_size=1)} == {32, 48}


@pytest.mark.parametrize("options", [{"sides": (8,)}, {"sides": ()}, {"batch_size": 0}, {"start": -1}])
def test_stream_says_what_it_needs(options: dict) -> None:
    with pytest.raises(InputError, match="expected at least 1 window of at least 16 px"):
        drawn(1, **options)


#: Means of the first windows of a stream of 64 px, seed 1: a training is resumed on the windows that it has begun with.
FROZEN = {
    "simulated": [88.28, 74.78, 83.95, 123.37, 62.96, 38.83],
    "realistic": [95.45, 67.22, 124.42, 85.49, 81.34, 48.89],
    "wide": [130.81, 129.6, 148.21, 111.47, 106.16, 103.62],
    "broken": [110.33, 132.08, 103.15, 124.16, 81.31, 124.8],
    "enlarged": [100.52, 153.15, 123.15, 110.2, 74.32, 119.74],
}


@pytest.mark.parametrize("kind", FROZEN)
def test_stream_gives_the_windows_it_always_gave(kind: str) -> None:
    (batch,) = islice(batches(1, (kind,), (64,), 6), 1)
    np.testing.assert_allclose(batch.image.mean(dim=(1, 2)), FROZEN[kind], atol=0.05)


def test_books_of_a_stream_have_the_same_classes(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("[graphene]\nlattice = 'hexagonal'\n[none]\n", encoding="utf-8")
    (batch,) = islice(batches(1, (str(own),), (32,), 4), 1)
    assert batch.label.tolist() == [0, 1, 0, 1]
    assert batch.basis.isnan().any(dim=-1).any(dim=-1).tolist() == [False, True, False, True]
    with pytest.raises(InputError, match=r"have the classes square, .* and graphene, none; expected the same classes"):
        next(batches(1, ("wide", str(own)), (32,), 4))
    with pytest.raises(InputError, match="no recipe book is called 'paper'"):
        next(batches(1, ("paper",), (32,), 4))


def test_batches_simulated_together_are_those_of_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = drawn(5, batch_size=24)
    monkeypatch.setattr(sys.modules[batches.__module__], "_batches_together", lambda *_: 4)
    together, resumed = drawn(5, batch_size=24), drawn(2, batch_size=24, start=3)
    for one, other in zip(alone, together, strict=True):
        assert one.image.shape == other.image.shape
        assert torch.equal(one.label, other.label)
        assert torch.equal(one.kind, other.kind)
        torch.testing.assert_close(one.basis, other.basis, equal_nan=True)
        # rounding may move a count over an edge, as between devices
        assert float(((one.image - other.image).abs() > 0.01).float().mean()) < 1e-3
    for one, other in zip(together[3:], resumed, strict=True):
        assert torch.equal(one.image, other.image)
