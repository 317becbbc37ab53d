"""Agreement: the lattice that parts have in common, its error, and superlattices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bravaismap.measure.agreement import are_alike, common_lattices, superlattice, with_common_share
from bravaismap.measure.parts import Parts

SHAPE = (256, 256)
BASIS = np.array([[12.0, 1.0], [-2.0, 15.0]])


def parts(bases: np.ndarray, sigma: float, side: int = 96, evidence: float = 100.0) -> Parts:
    count = len(bases)
    covariance = np.tile(sigma**2 * np.eye(4), (count, 1, 1))
    full = np.full(count, evidence)
    return Parts(bases, covariance, full, full, np.full(count, side), np.zeros((count, 2), np.intp))


def test_the_same_lattice_in_other_settings_is_found_and_averaged() -> None:
    rng = np.random.default_rng(1)
    settings = np.array([[[1, 0], [0, 1]], [[1, 1], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [1, 1]]])
    bases = np.tile(settings, (4, 1, 1)) @ BASIS + rng.normal(0, 0.02, (16, 2, 2))
    lattices = common_lattices(parts(bases, 0.02), SHAPE)
    assert len(lattices) == 1
    change = lattices[0].basis @ np.linalg.inv(BASIS)
    assert np.abs(change - np.rint(change)).max() < 3 * 0.02 / 12 / np.sqrt(7)
    assert lattices[0].share == pytest.approx(1, abs=0.01)


def test_the_error_holds_what_varies_between_parts() -> None:
    rng = np.random.default_rng(2)
    scatter = 0.2
    found = [common_lattices(parts(BASIS + rng.normal(0, scatter, (25, 2, 2)), 0.01), SHAPE)[0] for _ in range(60)]
    sigma = np.sqrt(np.mean([np.diag(lattice.covariance) for lattice in found], axis=0))
    independent = SHAPE[0] * SHAPE[1] / 96**2
    assert sigma == pytest.approx(scatter / np.sqrt(independent), rel=0.25)


def test_parts_without_any_noise_have_a_mean() -> None:
    for count in (1, 12):
        (lattice,) = common_lattices(parts(np.tile(BASIS, (count, 1, 1)), 0.0), SHAPE)
        np.testing.assert_allclose(lattice.basis, BASIS)
        assert np.abs(lattice.covariance).max() < 1e-10


def test_two_grains_are_two_lattices_with_their_shares() -> None:
    turn = np.radians(25)
    turned = BASIS @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    bases = np.concatenate([np.tile(BASIS, (15, 1, 1)), np.tile(turned, (10, 1, 1))])
    first, second = common_lattices(parts(bases, 0.05), SHAPE)
    assert (first.share, second.share) == pytest.approx((0.6, 0.4), abs=0.01)
    assert np.allclose(first.basis, BASIS)


def test_parts_without_a_lattice_have_none() -> None:
    assert common_lattices(parts(np.tile(BASIS, (9, 1, 1)), 0.05, evidence=5.0), SHAPE) == []


def test_a_superlattice_has_a_matrix() -> None:
    root_three = np.array([[1, 1], [-1, 2]])
    matrix = superlattice(root_three @ BASIS, BASIS)
    assert matrix is not None
    assert np.array_equal(matrix, root_three)
    assert superlattice(BASIS, BASIS) is None
    assert superlattice(1.4 * BASIS, BASIS) is None


def test_order_that_domains_cancel_is_the_lattice_where_parts_show_it() -> None:
    double = np.array([[2, 0], [0, 1]]) @ BASIS
    small = parts(np.concatenate([np.tile(double, (12, 1, 1)), np.tile(BASIS, (13, 1, 1))]), 0.05)
    whole = parts(BASIS[None], 0.01, side=256, evidence=200.0)
    first = common_lattices(Parts.joined([small, whole]), SHAPE)[0]
    assert abs(np.linalg.det(first.basis)) == pytest.approx(2 * abs(np.linalg.det(BASIS)), rel=0.01)


def test_shares_are_counted_in_parts_of_one_size() -> None:
    """A lattice resolved in small parts and one resolved in large parts alone are both counted in large ones."""
    first = common_lattices(parts(np.tile(BASIS, (9, 1, 1)), 0.05), SHAPE)[0]
    strong = replace(first, strengths={32: 90.0, 64: 100.0}, shares={32: 0.5, 64: 0.75}, share=0.5)
    weak = replace(first, strengths={32: 1.0, 64: 100.0}, shares={32: 0.1, 64: 0.25}, share=0.25)
    assert [lattice.share for lattice in with_common_share([strong, weak])] == [0.75, 0.25]
    assert with_common_share([strong])[0].share == 0.5
    elsewhere = replace(weak, strengths={128: 1.0}, shares={128: 1.0})
    assert [lattice.share for lattice in with_common_share([strong, elsewhere])] == [0.5, 0.25]


def test_grains_of_a_small_turn_are_two_lattices() -> None:
    rng = np.random.default_rng(3)
    turn = np.radians(3.0)
    turned = BASIS @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    bases = np.concatenate([np.tile(BASIS, (15, 1, 1)), np.tile(turned, (10, 1, 1))])
    first, second = common_lattices(parts(bases + rng.normal(0, 0.02, bases.shape), 0.02), SHAPE)
    assert (first.share, second.share) == pytest.approx((0.6, 0.4), abs=0.01)
    assert are_alike(first.basis, second.basis)
    assert are_alike(first.basis, np.array([[1, 1], [0, 1]]) @ second.basis)
    assert not are_alike(first.basis, second.basis, 0.01)
    assert not are_alike(first.basis, 2 * second.basis)
    assert first.basis == pytest.approx(BASIS, abs=0.05)
    sheared = BASIS @ np.array([[1.0, 0.1], [0.0, 1.0]])  # as a scan does where it drifts
    assert len(common_lattices(parts(np.concatenate([bases[:15], np.tile(sheared, (10, 1, 1))]), 0.02), SHAPE)) == 1
