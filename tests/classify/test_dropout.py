"""Monte-Carlo dropout: against enumeration, against a loop of the same network, and against every way to batch it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bravaismap.classify import dropout as uncertainty
from bravaismap.classify.answer import Answer
from bravaismap.classify.dropout import dropout_scores, evaluating, monte_carlo_dropout, predictive_entropy
from bravaismap.classify.models import NetworkClassifier
from bravaismap.classify.network import DropoutNetwork
from bravaismap.errors import InputError

FIELDS = ("probability", "probability_std", "entropy", "mutual_information", "pass_total")


@pytest.fixture(scope="module")
def spectra(quick: NetworkClassifier, windows: np.ndarray) -> Tensor:
    return quick.inputs(windows)


@pytest.fixture(scope="module")
def network(quick: NetworkClassifier) -> DropoutNetwork:
    return quick.network


def same(one: Answer, other: Answer, atol: float = 1e-6) -> None:
    for name in FIELDS:
        windows = len(one.entropy) if name == "pass_total" else 1  # a sum over the windows, and so are its errors
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=atol * windows, err_msg=name)


def entropy_of(probability: np.ndarray) -> np.ndarray:
    safe = np.where(probability > 0, probability, 1.0)
    return -(probability * np.log(safe)).sum(axis=-1)


# Known answers


@pytest.mark.parametrize("dropout", [0.2, 0.5])
def test_two_inputs_can_be_enumerated(dropout: float) -> None:
    network = DropoutNetwork(nn.Flatten(), [nn.Linear(2, 2, bias=False)], dropout)
    with torch.no_grad():
        network.blocks[0].weight.copy_(torch.tensor([[1.0, -0.5], [0.2, 2.0]]))
    passes = 20_000
    sampled = monte_carlo_dropout(network, torch.tensor([[[1.5, 1.0]]]), passes, seed=1)
    kept, chances, answers = 1 - dropout, [], []
    for first, second in product((0, 1), repeat=2):
        x = np.array([1.5 * first, 1.0 * second]) / kept
        scores = np.exp(np.array([[1.0, -0.5], [0.2, 2.0]]) @ x)
        chances.append(kept ** (first + second) * dropout ** (2 - first - second))
        answers.append(scores / scores.sum())
    chance, answer = np.array(chances), np.array(answers)
    mean = chance @ answer
    std = np.sqrt(chance @ (answer - mean) ** 2)
    single = chance @ entropy_of(answer)
    np.testing.assert_allclose(sampled.probability[0], mean, atol=5 * std.max() / passes**0.5)
    np.testing.assert_allclose(sampled.probability_std[0], std, atol=0.01)
    assert sampled.entropy[0] == pytest.approx(entropy_of(mean), abs=0.01)
    assert sampled.mutual_information[0] == pytest.approx(entropy_of(mean) - single, abs=0.01)
    assert (sampled.entropy - sampled.mutual_information)[0] == pytest.approx(single, abs=0.01)


def test_without_dropout_there_is_no_spread(network: DropoutNetwork, spectra: Tensor) -> None:
    certain = DropoutNetwork(network.stem, list(network.blocks), 0.0)
    sampled = monte_carlo_dropout(certain, spectra, 60)
    with torch.no_grad():
        expected = certain(spectra).double().softmax(dim=-1).numpy()
    np.testing.assert_allclose(sampled.probability, expected, atol=1e-5)
    np.testing.assert_allclose(sampled.probability_std, 0, atol=1e-4)
    np.testing.assert_allclose(sampled.mutual_information, 0, atol=1e-5)


def test_entropy_of_what_is_sure_and_of_what_is_lost() -> None:
    np.testing.assert_allclose(predictive_entropy(np.array([[1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3]])), [0, np.log(3)])
    probability = np.random.default_rng(0).dirichlet(np.ones(6), size=(4, 5))
    np.testing.assert_allclose(predictive_entropy(probability), entropy_of(probability))


# The same statistics, computed in another way


def test_statistics_of_one_window_follow_from_its_passes(network: DropoutNetwork, spectra: Tensor) -> None:
    passes = 170
    sampled = monte_carlo_dropout(network, spectra[:1], passes, seed=5)
    each = sampled.pass_total  # of a single window: its probabilities in each pass
    assert each.shape == (passes, 6)
    np.testing.assert_allclose(each.sum(axis=1), 1)
    np.testing.assert_allclose(sampled.probability[0], each.mean(axis=0))
    np.testing.assert_allclose(sampled.probability_std[0], each.std(axis=0, ddof=1), atol=1e-9)
    whole = entropy_of(each.mean(axis=0))
    assert sampled.entropy[0] == pytest.approx(whole)
    assert sampled.mutual_information[0] == pytest.approx(whole - entropy_of(each).mean())
    assert sampled.mutual_information[0] > 0.01


def test_scores_are_those_of_the_passes(network: DropoutNetwork, spectra: Tensor) -> None:
    scores = dropout_scores(network, spectra, 110, seed=9)
    assert scores.shape == (len(spectra), 110, 6)
    for temperature in (1.0, 2.0):
        probability = (scores / temperature).softmax(dim=-1)
        sampled = monte_carlo_dropout(network, spectra, 110, seed=9, temperature=temperature)
        np.testing.assert_allclose(sampled.probability, probability.mean(dim=1), atol=1e-6)
        np.testing.assert_allclose(sampled.pass_total, probability.sum(dim=0), atol=1e-5)


def test_same_statistics_as_a_loop_over_passes(network: DropoutNetwork, spectra: Tensor) -> None:
    chosen, passes = spectra[:4], 500
    sampled = monte_carlo_dropout(network, chosen, passes, seed=9)
    network.training = True  # dropout on, batch normalisation as it was trained
    try:
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            loop = torch.stack([network(chosen).double().softmax(dim=-1) for _ in range(passes)]).numpy()
    finally:
        network.eval()
    error = np.sqrt(2 / passes) * loop.std(axis=0)
    assert (np.abs(sampled.probability - loop.mean(axis=0)) <= 5 * error + 1e-9).all()
    fourth = ((loop - loop.mean(axis=0)) ** 4).mean(axis=0)
    variance = loop.var(axis=0)
    of_variance = np.sqrt(2 * np.maximum(fourth - variance**2, 0) / passes)
    assert (np.abs(sampled.probability_std**2 - variance) <= 5 * of_variance + 1e-9).all()
    assert loop.std(axis=0).max() > 0.1  # or the comparison would mean little
    information = entropy_of(loop.mean(axis=0)) - entropy_of(loop).mean(axis=0)
    np.testing.assert_allclose(sampled.mutual_information, information, atol=0.08)


# Independent of how the work is cut


@pytest.mark.parametrize("size", [1, 7, 120, 40_000])
def test_the_batch_does_not_matter(
    network: DropoutNetwork, spectra: Tensor, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = monte_carlo_dropout(network, spectra, 130, seed=2)
    monkeypatch.setattr(uncertainty, "_SAMPLES_PER_BATCH", size)
    same(monte_carlo_dropout(network, spectra, 130, seed=2), reference)


def test_a_window_alone_and_among_others(network: DropoutNetwork, spectra: Tensor) -> None:
    together = monte_carlo_dropout(network, spectra, 120, seed=2)
    backwards = monte_carlo_dropout(network, spectra.flip(0), 120, seed=2)
    for name in FIELDS[:4]:
        np.testing.assert_allclose(getattr(backwards, name)[::-1], getattr(together, name), atol=1e-6)
    alone = [monte_carlo_dropout(network, one[None], 120, seed=2) for one in spectra]
    for name in FIELDS[:4]:
        np.testing.assert_allclose(
            np.concatenate([getattr(one, name) for one in alone]), getattr(together, name), atol=1e-6
        )
    np.testing.assert_allclose(sum(one.pass_total for one in alone), together.pass_total, atol=1e-5)


def test_pass_p_depends_on_the_seed_and_p_alone(network: DropoutNetwork, spectra: Tensor) -> None:
    few = monte_carlo_dropout(network, spectra[:2], 60, seed=2).pass_total
    many = monte_carlo_dropout(network, spectra[:2], 175, seed=2).pass_total
    np.testing.assert_allclose(many[:60], few, atol=1e-6)
    rows = np.unique(np.round(many, 9), axis=0)
    assert len(rows) == len(many)  # no pass is drawn twice


def test_all_windows_see_the_same_thinned_networks(network: DropoutNetwork, spectra: Tensor) -> None:
    one = monte_carlo_dropout(network, spectra[:1], 40).pass_total
    three = monte_carlo_dropout(network, spectra[:1].repeat(3, 1, 1), 40).pass_total
    np.testing.assert_allclose(three, 3 * one, atol=1e-5)


def test_seed(network: DropoutNetwork, spectra: Tensor) -> None:
    first = monte_carlo_dropout(network, spectra, 50, seed=2)
    torch.manual_seed(99)
    same(monte_carlo_dropout(network, spectra, 50, seed=2), first, atol=0)
    assert not np.allclose(monte_carlo_dropout(network, spectra, 50, seed=3).probability, first.probability, atol=1e-4)


def test_no_global_randomness_is_used_up(network: DropoutNetwork, spectra: Tensor) -> None:
    before, of_numpy = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    monte_carlo_dropout(network, spectra[:1], 60)
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], of_numpy)  # noqa: NPY002


# The network is left as it was


def test_modes_are_restored(network: DropoutNetwork, spectra: Tensor) -> None:
    modules = list(network.modules())
    try:
        for index, module in enumerate(modules):
            module.training = index % 3 == 0
        before = [module.training for module in modules]
        assert len(set(before)) == 2
        mixed = monte_carlo_dropout(network, spectra[:2], 20)
        assert [module.training for module in modules] == before
        with evaluating(network):
            assert not any(module.training for module in modules)
            assert not network(spectra[:1]).requires_grad
        assert [module.training for module in modules] == before
        with pytest.raises(ZeroDivisionError), evaluating(network):
            raise ZeroDivisionError
        assert [module.training for module in modules] == before
    finally:
        network.eval()
    same(mixed, monte_carlo_dropout(network, spectra[:2], 20), atol=0)


def test_predict_restores_modes(quick: NetworkClassifier, windows: np.ndarray) -> None:
    modules = list(quick.network.modules())
    deterministic = quick.predict(windows[:2], samples=0).probability
    try:
        modules[-1].training = modules[0].training = True
        before = [module.training for module in modules]
        for samples in (0, 10):
            quick.predict(windows[:2], samples=samples)
            assert [module.training for module in modules] == before
        np.testing.assert_array_equal(quick.predict(windows[:2], samples=0).probability, deterministic)
    finally:
        quick.network.eval()


@pytest.mark.parametrize("passes", [-1, 0, 1])
def test_too_few_passes(network: DropoutNetwork, spectra: Tensor, passes: int) -> None:
    with pytest.raises(InputError, match=f"{passes} samples.*at least 2"):
        monte_carlo_dropout(network, spectra, passes)
