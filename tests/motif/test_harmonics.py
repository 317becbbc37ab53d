"""Lattices at few counts: found by all their spots, with honest errors, and none where there is none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
import torch
from patterns import Pattern

from bravaismap.errors import InputError
from bravaismap.measure.measurement import measure
from bravaismap.motif.harmonics import lattice_of_all_spots, lattice_of_image


def change_to(basis: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.asarray(basis @ np.linalg.inv(true))


def is_lattice(basis: np.ndarray, true: np.ndarray) -> bool:
    change = change_to(basis, true)
    return bool(np.abs(change - np.rint(change)).max() < 0.1 and abs(abs(np.linalg.det(change)) - 1) < 0.1)


def test_few_counts(pattern: Callable[..., Pattern]) -> None:
    """At one count to an atom a dozen bright spots show the lattice in a third of the images, all in 39 of 40."""
    bright, every = 0, 0
    for seed in range(40):
        drawn = pattern("p4", [(0.2, 0.07), (0.5, 0.5)], heights=(1.0, 0.8), counts=0.05, seed=seed)
        image, weight = drawn.image.astype(float), np.ones(drawn.image.shape)
        measured = measure(torch.from_numpy(image)[None])
        bright += float(measured.evidence[0]) > 10 and is_lattice(measured.basis[0].numpy(), drawn.basis)
        with suppress(InputError):  # that none is found
            every += is_lattice(lattice_of_image(image, weight)[0], drawn.basis)
    assert every >= 37
    assert bright < 20


def test_errors_are_as_large_as_stated(pattern: Callable[..., Pattern]) -> None:
    """The squared deviation of the four components of the basis, by their covariance, is 4 on average."""
    squares = []
    for seed in range(12):
        drawn = pattern("p2", [(0.2, 0.07), (0.5, 0.5)], heights=(1.0, 0.8), counts=0.15, seed=seed)
        found = lattice_of_all_spots(drawn.image.astype(float), np.ones(drawn.image.shape))
        assert found is not None
        assert is_lattice(found.basis, drawn.basis)
        away = (found.basis - np.rint(change_to(found.basis, drawn.basis)) @ drawn.basis).ravel()
        squares.append(away @ np.linalg.solve(found.covariance, away))
    assert 2 < np.mean(squares) < 7


def test_the_better_of_what_is_given_and_what_is_found(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p1", counts=0.2)
    weight = np.ones(drawn.image.shape)
    alone = lattice_of_all_spots(drawn.image.astype(float), weight)
    near = drawn.basis * 1.003
    wrong = np.array([[0.0, 13.0], [11.0, 3.0]])
    for others in ([near], [wrong], [wrong, near]):
        found = lattice_of_all_spots(drawn.image.astype(float), weight, others)
        assert alone is not None
        assert found is not None
        assert found.evidence >= alone.evidence - 0.1
        assert is_lattice(found.basis, drawn.basis)


def test_what_is_masked_does_not_count(pattern: Callable[..., Pattern]) -> None:
    drawn = pattern("p3", [(0.2, 0.07), (0.5, 0.4)], counts=0.2, size=160)
    other = pattern("p4", [(0.2, 0.07), (0.5, 0.5)], counts=5.0, size=160)
    weight = np.ones(drawn.image.shape)
    weight[:, 100:] = 0
    found = lattice_of_all_spots(np.where(weight > 0, drawn.image, other.image).astype(float), weight)
    assert found is not None
    assert is_lattice(found.basis, drawn.basis)


@pytest.mark.parametrize("side", [64, 128])
def test_noise_and_fringes_have_no_lattice(side: int) -> None:
    y, x = np.mgrid[:side, :side]
    for seed in range(6):
        rng = np.random.default_rng([side, seed])
        fringes = 3 + np.cos(2 * np.pi * (y * 0.11 + x * 0.05)) + 0.5 * np.cos(4 * np.pi * (y * 0.11 + x * 0.05))
        for mean in (np.full((side, side), 1.5), fringes):
            with pytest.raises(InputError, match="no lattice was found"):
                lattice_of_image(rng.poisson(mean).astype(float), np.ones((side, side)))


def test_parts_of_a_large_image_with_phases_of_their_own(pattern: Callable[..., Pattern]) -> None:
    """Sixteen squares of one crystal, displaced against each other, are no wave through the image."""
    rng = np.random.default_rng(2)
    squares = [
        [
            pattern("p4mm", [(0.0, 0.0)], heights=(1.0,), counts=20.0, size=72, origin=tuple(rng.random(2)))
            for _ in "abcd"
        ]
        for _ in "abcd"
    ]
    image = np.block([[square.image.astype(float) for square in row] for row in squares])
    assert is_lattice(lattice_of_image(image, np.ones(image.shape))[0], squares[0][0].basis)
