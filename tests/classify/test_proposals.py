"""What a network proposes for doubtful windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bravaismap.classify import proposals as module
from bravaismap.classify.models import LatticeClassifier, load_model
from bravaismap.classify.network import build_network
from bravaismap.classify.posterior_settings import SETTINGS
from bravaismap.classify.proposals import Proposer, network_evidence, proposals, same_lattice, with_proposals
from bravaismap.conventions import CLASSES
from bravaismap.errors import ModelError
from bravaismap.measure.explanation import View
from bravaismap.measure.measurement import Measurement, measure
from bravaismap.measure.settings import SETTINGS as MEASUREMENT
from bravaismap.simulate.windows import simulate


@pytest.fixture(scope="module")
def proposer() -> Proposer:
    model = load_model("default", 0.02)
    assert isinstance(model, LatticeClassifier)
    assert model.proposer is not None
    return model.proposer


def broken(first: int) -> tuple[np.ndarray, int, np.ndarray]:
    """A window of a broken crystal, its class and its true vectors."""
    data = simulate(1, "broken", seed=511, size=128, first=first)
    return data["image"].values.astype(np.float32), int(data["label"][0]), data["primitive_vectors_px"].values[0]


def test_bases_of_one_lattice() -> None:
    basis = torch.tensor([[10.0, 1.0], [3.0, 12.0]], dtype=torch.float64)
    change = torch.tensor([[2.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    doubled = torch.tensor([[2.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    others = torch.stack([change @ basis, basis.flip(0), 1.01 * basis, basis @ turn, doubled @ basis, 0 * basis])
    expected = [True, True, True, False, False, False]
    assert same_lattice(others[None], basis[None, None])[0, :, 0].tolist() == expected
    assert same_lattice(basis[None, None], others[None, :-1])[0, 0].tolist() == expected[:-1]


def test_what_a_network_says_counts_both_ways_and_is_bounded() -> None:
    probability, none = torch.tensor([0.9, 0.3, 0.0, 0.0]), torch.tensor([0.0, 0.3, 0.9, 0.0])
    limits = SETTINGS.network
    says = network_evidence(probability, none, 128)
    assert says[0] == -says[2] == pytest.approx(limits.weight * math.log(0.905 / 0.005))
    assert says[1] == says[3] == 0  # it holds both as likely, or sees another lattice
    small = network_evidence(probability, none, 64)  # half the weight, and four times the doubt
    assert small[0] == -small[2] == pytest.approx(limits.weight / 2 * math.log(0.92 / 0.02))
    np.testing.assert_allclose(network_evidence(probability, none, 256), says)
    most = float(network_evidence(torch.tensor(1.0), torch.tensor(0.0), 128))
    assert limits.clear_evidence - most > MEASUREMENT.odds.even_evidence  # it never makes none of a clear lattice


def test_probabilities_of_proposals(proposer: Proposer) -> None:
    image, _, vectors = broken(68)
    with torch.inference_mode():
        seen = proposals(proposer, torch.from_numpy(image))
        whole = proposals(proposer, (100 * torch.from_numpy(image)).to(torch.int32))
    torch.testing.assert_close(seen.none, whole.none, atol=0.05, rtol=0.0)
    assert ((seen.probability >= 0) & (seen.probability + seen.none[:, None] <= 1 + 1e-9)).all()
    best = seen.basis[0, seen.probability[0].argmax()]
    assert same_lattice(best[None, None], torch.from_numpy(vectors.astype(float))[None, None]).item()


def test_network_of_spectra_is_refused() -> None:
    network = build_network("dcnn-2018", len(CLASSES), 0.2)
    with pytest.raises(ModelError, match="expected one that reads tokens"):
        proposals(Proposer(network, 1.0, ""), torch.zeros(1, 64, 64))


@pytest.mark.parametrize("first", [68, 231, 235])
def test_lattice_that_the_search_missed_is_measured(first: int) -> None:
    image, label, vectors = broken(first)
    alone, asked = (load_model(name, 0.02).predict(image, samples=0) for name in ("lattice", "default"))
    assert asked.probability[0].argmax() == label != alone.probability[0].argmax()
    assert asked.cells is not None
    basis = torch.from_numpy(asked.cells.basis)[None]
    assert same_lattice(basis, torch.from_numpy(vectors.astype(float))[None, None]).item()
    error = np.sqrt(np.diagonal(asked.cells.covariance[0]))
    assert ((error > 0) & (error < 1)).all()


def test_network_is_not_asked_where_the_measurement_is_clear(
    proposer: Proposer, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.from_numpy(simulate(12, "realistic", seed=9)["image"].values)
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 128, 128)).astype(np.float32))
    windows = torch.cat([images, noise])

    def refuse(*_: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(module, "proposals", refuse)
    with torch.inference_mode():
        measured = measure(windows)
        assert with_proposals(windows, measured, proposer) is measured
        faint = torch.from_numpy(broken(307)[0])
        with pytest.raises(AssertionError, match="asked"):
            with_proposals(faint, measure(faint), proposer)
        for other in (faint[:, :100], faint.repeat_interleave(2, 1).repeat_interleave(2, 2)):
            assert with_proposals(other, own := measure(other), proposer) is own  # oblong, enlarged


def test_answer_does_not_depend_on_the_windows_beside_it() -> None:
    data = simulate(24, "wide", seed=4, size=64)["image"].values.astype(np.float32)
    model = load_model("default", 0.003)
    together = model.predict(data, samples=0).probability
    parts = [model.predict(data[rows], samples=0).probability for rows in (slice(0, 5), slice(5, 24))]
    np.testing.assert_allclose(np.concatenate(parts), together, atol=1e-4)
    np.testing.assert_allclose(model.predict(3 * data + 40, samples=0).probability, together, atol=1e-2)


def test_best_of_several_proposals_wins(proposer: Proposer, monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.from_numpy(broken(307)[0])
    basis = 10.0 * torch.eye(2, dtype=torch.float64)
    candidates = torch.stack([basis, 1.37 * basis, 1.73 * basis])[None]
    seen = module.Proposals(candidates, torch.tensor([[0.2, 0.3, 0.05]]), torch.tensor([0.1]))
    monkeypatch.setattr(module, "proposals", lambda *_: seen)
    tried: list[torch.Tensor] = []

    def measured_from(view: View, bases: torch.Tensor) -> Measurement:
        tried.append(bases)
        own = measure(image).take(torch.zeros(len(bases), dtype=torch.long))
        evidence = 100.0 + torch.arange(len(bases)) if view.groups == 1 else torch.zeros(len(bases))
        return Measurement(bases, *list(vars(own).values())[1:2], evidence, *list(vars(own).values())[3:])

    monkeypatch.setattr(module, "measured_from", measured_from)
    with torch.inference_mode():
        answer = with_proposals(image, measure(image), proposer)
    assert tried[0].tolist() == candidates[0, :2].tolist()  # the third is too improbable
    assert answer.basis[0].tolist() == candidates[0, 1].tolist()
    with torch.inference_mode():
        own = measure(image).covariance
    torch.testing.assert_close(answer.covariance, SETTINGS.network.covariance_factor * own)
    assert float(answer.evidence[0]) == pytest.approx(101 + float(network_evidence(torch.tensor(0.3), seen.none, 128)))
