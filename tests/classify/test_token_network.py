"""The network that reads tokens: the likelihood of its mixture, and what it does not depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from bravaismap.classify.network import Ensemble, build_ensemble, build_network, cell_of, members_of, reads_tokens
from bravaismap.classify.token_network import CellMixture, TokenStem, most_probable_cell
from bravaismap.classify.tokens import ANGLES, RADII, window_tokens
from bravaismap.errors import ModelError
from bravaismap.simulate.windows import simulate


def test_likelihood_is_that_of_the_mixture() -> None:
    rng = np.random.default_rng(0)
    lower = np.tril(rng.normal(0, 0.3, (1, 2, 3, 3)))
    lower[..., range(3), range(3)] = rng.uniform(0.5, 2, (1, 2, 3))
    logit, mean, cell = rng.normal(size=(1, 2)), rng.normal(size=(1, 2, 3)), rng.normal(size=3)
    weight = np.exp(logit[0]) / np.exp(logit[0]).sum()
    density = sum(
        weight[i] * multivariate_normal(mean[0, i], np.linalg.inv(lower[0, i].T @ lower[0, i])).pdf(cell)
        for i in (0, 1)
    )
    mixture = CellMixture(*(torch.from_numpy(values) for values in (logit, mean, lower)))
    assert np.isclose(float(mixture.negative_log_likelihood(torch.from_numpy(cell)[None])), -np.log(density))


def test_order_of_the_spots_does_not_matter() -> None:
    tokens = window_tokens(torch.from_numpy(simulate(3, seed=1, size=64)["image"].values).float())
    torch.manual_seed(0)
    stem = TokenStem(32, 2).eval()
    turned = tokens[:]
    turned.spots[:, :16] = tokens.spots[:, :16].flip(1)
    with torch.no_grad():
        torch.testing.assert_close(stem(turned), stem(tokens), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("windows", [1, 7, 8, 30])
def test_elements_of_few_and_of_many_windows_take_the_same_layers(windows: int) -> None:
    tokens = window_tokens(torch.from_numpy(simulate(2, seed=1, size=64)["image"].values).float())
    many = tokens[torch.arange(windows) % 2]
    torch.manual_seed(2)
    stem = TokenStem(32, 2).eval()
    with torch.no_grad():
        torch.testing.assert_close(stem(many)[:2], stem(tokens)[:windows], atol=1e-5, rtol=1e-4)


def test_ensemble_averages_probabilities() -> None:
    tokens = window_tokens(torch.from_numpy(simulate(3, seed=1, size=64)["image"].values).float())
    torch.manual_seed(1)
    network = build_ensemble("tokens", 6, 0.2, 3).eval()
    assert isinstance(network, Ensemble)
    assert reads_tokens(network)
    assert not reads_tokens(build_network("dcnn-2018", 6, 0.2))
    with torch.no_grad():
        apart = torch.stack([member(tokens).softmax(-1) for member in members_of(network)])
        torch.testing.assert_close(network(tokens).exp(), apart.mean(0))
    assert len({float(p[0, 0]) for p in apart}) == 3
    assert network.features(tokens).shape == (3, 3 * 128)


def test_most_probable_cell_of_an_ensemble() -> None:
    def mixture(logit: list[float], mean: float, sigma: float) -> CellMixture:
        means = torch.tensor([[[mean] * 3, [1.0, 2.0, 3.0]]])
        return CellMixture(torch.tensor([logit]), means, torch.eye(3).expand(1, 2, 3, 3) / sigma)

    found = most_probable_cell([mixture([0.0, 1.0], 0.5, 0.1), mixture([0.0, 3.0], 0.7, 0.2)])
    weights = [float(torch.tensor([0.0, logit]).softmax(0)[1]) for logit in (1.0, 3.0)]
    torch.testing.assert_close(found.mean, torch.tensor([[1.0, 2.0, 3.0]]))
    assert float(found.weight) == pytest.approx(sum(weights) / 2)
    expected = (weights[0] * 0.01 + weights[1] * 0.04) / sum(weights)
    torch.testing.assert_close(found.covariance, expected * torch.eye(3)[None])
    other = most_probable_cell([mixture([2.0, 0.0], 0.5, 0.1), mixture([2.0, 0.0], 0.7, 0.1)])
    torch.testing.assert_close(other.mean, torch.full((1, 3), 0.6))
    torch.testing.assert_close(other.covariance, (0.01 * torch.eye(3) + 0.01)[None])


def test_cells_are_those_of_networks_that_read_tokens() -> None:
    tokens = window_tokens(torch.from_numpy(simulate(3, seed=1, size=64)["image"].values).float())
    cells = cell_of(build_ensemble("tokens", 6, 0.2, 2).eval(), tokens)
    assert cells.mean.shape == (3, 3)
    assert (torch.linalg.eigvalsh(cells.covariance) > 0).all()
    with pytest.raises(ModelError, match="expected one that reads tokens"):
        cell_of(build_network("dcnn-2018", 6, 0.2), tokens)


def test_correlation_by_products_is_the_inverse_fourier_transform() -> None:
    stem = TokenStem()
    radial, angular = stem.polar.radial, stem.polar.angular
    image = torch.randn(2, ANGLES, RADII, generator=torch.Generator().manual_seed(5))
    shifts, size = radial.shape[1] // 2, (ANGLES, RADII + radial.shape[1] // 2)
    power = torch.fft.rfft2(image, s=size).abs().square()
    even, odd = (power @ radial).chunk(2, dim=-1)
    found = angular @ torch.cat([even, odd], dim=-2)
    expected = torch.fft.irfft2(power, s=size)[..., :shifts].roll(ANGLES // 4, dims=-2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    # the definition: spectra that are turned by 3 steps and scaled by 2
    turned = (image[:, :, :-2] * image.roll(-3, dims=1)[:, :, 2:]).sum((1, 2))
    torch.testing.assert_close(found[:, ANGLES // 4 + 3, 2], turned, rtol=1e-4, atol=1e-3)
    assert not {"radial", "angular"} & {name.split(".")[-1] for name in stem.state_dict()}
