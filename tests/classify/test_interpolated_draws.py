"""Interpolated draws: cubics are exact, and the spread over draws is that of the draws themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bravaismap.classify import posterior
from bravaismap.classify.interpolated_draws import InterpolatedDraws
from bravaismap.classify.posterior import sample_probability
from bravaismap.lattice.basis import basis_from_cell

DRAWS = torch.from_numpy(np.random.default_rng(5).standard_normal((3000, 2)))


def test_a_cubic_is_interpolated_exactly() -> None:
    about = InterpolatedDraws.of(DRAWS)

    def cubic(at: torch.Tensor) -> torch.Tensor:
        x, y = at.float().unbind(-1)
        return torch.stack([x**3 - 2 * x * y + y**2, 1 + x**2 * y**3], dim=-1)[..., None]

    values = about.at_draws(cubic(about.nodes))
    assert values.shape == (3000, 2, 1)
    np.testing.assert_allclose(values, cubic(DRAWS), rtol=2e-4, atol=2e-4)


def test_there_are_few_nodes_and_they_surround_the_draws() -> None:
    nodes = InterpolatedDraws.of(DRAWS).nodes
    assert len(nodes) < len(DRAWS) / 4
    assert bool((nodes.amin(0) < DRAWS.amin(0)).all())
    assert bool((nodes.amax(0) > DRAWS.amax(0)).all())


@pytest.mark.parametrize(("sigma", "within"), [(0.0005, 2e-4), (0.01, 2e-3), (0.05, 5e-3)])
def test_the_spread_is_that_of_the_draws(monkeypatch: pytest.MonkeyPatch, sigma: float, within: float) -> None:
    ratio, angle = np.array([1.0, 1.01, 1.3, 1.05, 2.2]), np.radians([90.0, 89.0, 90.0, 61.0, 76.0])
    basis = basis_from_cell(np.full(5, 9.0), 9 * ratio, angle, 0.3)
    covariance, evidence = np.tile((9 * sigma) ** 2 * np.eye(4), (5, 1, 1)), np.array([300.0, 40.0, 90.0, 24.0, 60.0])
    interpolated = sample_probability(basis, covariance, evidence, 0.02, samples=4000, seed=3)
    monkeypatch.setattr(posterior, "_INTERPOLATED", np.inf)
    computed = sample_probability(basis, covariance, evidence, 0.02, samples=4000, seed=3)
    assert interpolated.std.max() > 0.1 * sigma
    for name in ("mean", "std", "entropy"):
        np.testing.assert_allclose(getattr(interpolated, name), getattr(computed, name), atol=within, err_msg=name)
    np.testing.assert_array_equal(interpolated.probability, computed.probability)
