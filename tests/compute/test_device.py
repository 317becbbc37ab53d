"""Where windows are computed: batches that fit a device, and no step of the measurement that leaves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from typer.testing import CliRunner

from bravaismap.classify import likelihood
from bravaismap.classify.models import load_model
from bravaismap.classify.tiling import images, words_on
from bravaismap.cli import app
from bravaismap.compute import device
from bravaismap.compute.device import checked_device, exponential, images_together, in_batches, on_device, own_stream
from bravaismap.errors import ModelError
from bravaismap.measure import explanation, indexing, nodes, refinement, spots
from bravaismap.measure.tapered_tiles import tapered_tiles

#: A device that tensors can pretend to be on: any step that mixes it with the processor is an error.
ELSEWHERE = "lazy:0"
PRETENDING = FakeTensorMode(allow_non_fake_inputs=True)


def empty(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(*shape, dtype=dtype, device=ELSEWHERE)


def spectrum() -> spots.Spectrum:
    return spots.whitened_power(spots.flatten(spots.standardize(empty(4, 128, 128))))


def placed() -> likelihood.Placed:
    x, y = empty(3, 5), empty(3, 5)
    return images(x, y, empty(3, 3), words_on(torch.device(ELSEWHERE), torch.float32)[:3])


def shapes() -> likelihood.Shapes:
    made = likelihood.Shapes.__new__(likelihood.Shapes)
    made.scatters, made.near_miss = likelihood.scatters(0.02, ((0.9, 1.0), (0.1, 6.0))), 0.03
    made.own = empty(3, 2, 2)
    made.seen, made.point, made.ends = [3, 1, 1, 1], empty(3, 2), empty(3, 2)
    return made


STAGES: dict[str, Callable[[], torch.Tensor]] = {
    "background": lambda: spots.background(empty(4, 128, 128), 11),
    "whitened_power": lambda: spectrum().power,
    "find_spots": lambda: spots.find_spots(spectrum()).position,
    "candidate cells": lambda: indexing._pairs(empty(4, 24, 2)),
    "score": lambda: indexing._score(empty(4, 30, 2, 2), empty(4, 24, 2), empty(4, 24), 0.25, 1.0),
    "least squares": lambda: indexing._least_squares(empty(4, 30, 2, 2), empty(4, 24, 2), empty(4, 24), 0.25),
    "evidence": lambda: nodes.evidence(spectrum(), empty(4, 6, 2, 2), empty(4)),
    "broad_power": lambda: nodes.broad_power(spectrum(), empty(4, 12, 2), rings=True),
    "choose_nodes": lambda: explanation.choose_nodes(spectrum(), empty(4, 2, 2))[1],
    "refine": lambda: (
        refinement.refine(tapered_tiles(empty(4, 128, 128)), empty(4, 2, 2), empty(4, 12, 2), empty(4, 12)).covariance
    ),
    "points": lambda: likelihood._points(placed(), shapes()),
    "lines": lambda: likelihood._lines(placed(), shapes()),
    "near misses": lambda: likelihood._frequency(empty(3, 5), empty(3, 5), shapes()),
    "oblique": lambda: likelihood._oblique_prior(empty(3, 5), empty(3, 5)),
}


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_leaves_the_device(stage: str) -> None:
    with PRETENDING:
        assert str(STAGES[stage]().device) == ELSEWHERE


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)  # what is rounded depends on it


@pytest.mark.usefixtures("two_threads")
def test_a_processor_gets_equal_batches_for_all_cores() -> None:
    found = in_batches(lambda rows: rows, (625, 128, 128))
    sizes = [rows.stop - rows.start for rows in found]
    assert sum(sizes) == 625
    assert len(sizes) % 2 == 0
    assert max(sizes) * 128**2 <= device._PIXELS_ON_PROCESSOR
    assert max(sizes) - min(sizes) <= len(sizes)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("shape", "batches"), [((169, 128, 128), 1), ((256, 128, 128), 2), ((8, 1024, 1024), 4)])
def test_a_thread_gets_no_less_than_is_worth_it(shape: tuple[int, int, int], batches: int) -> None:
    assert len(in_batches(lambda rows: rows, shape)) == batches


def test_a_card_gets_what_its_memory_holds_and_less_when_that_was_too_much() -> None:
    asked: list[int] = []

    def work(rows: slice) -> slice:
        asked.append(rows.stop - rows.start)
        if asked[-1] > 30:
            raise torch.OutOfMemoryError("too much")
        return rows

    found = in_batches(work, (100, 64, 64), "cuda", free=2 * 80 * 64 * 64 * device._BYTES_PER_PIXEL)
    assert asked[:2] == [50, 25]  # two equal ones, since 80 fit
    assert [rows.start for rows in found] == [0, 25, 50, 75]
    assert found[-1].stop == 100

    def never(_: slice) -> slice:
        raise torch.OutOfMemoryError("too much")

    with pytest.raises(torch.OutOfMemoryError):
        in_batches(never, (4, 64, 64), "cuda", free=2**30)


def test_images_are_taken_to_a_device_once() -> None:
    images = np.random.default_rng(0).random((3, 8, 8))
    there = on_device(images, "cpu")
    assert there.dtype == torch.float32
    np.testing.assert_array_equal(there, images.astype(np.float32))
    assert on_device(there, "cpu") is there
    assert images_together(64 * 64, "cpu") == 1
    assert images_together(2**60, "cpu:0") == 1
    assert images_together(64 * 64, "cpu:0") // 4 == images_together(128 * 128, "cpu:0") > 1
    with own_stream("cpu"):
        assert on_device(there, "cpu") is there


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_memory_that_is_kept_for_the_next_batch_is_free() -> None:
    first = images_together(128 * 128, "cuda")
    kept = torch.empty(2**28, dtype=torch.float32, device="cuda")
    assert images_together(128 * 128, "cuda") <= first
    del kept  # PyTorch keeps the memory
    assert images_together(128 * 128, "cuda") >= 0.99 * first


def test_the_answer_does_not_depend_on_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = np.random.default_rng(0).random((5, 64, 64), dtype=np.float32)
    whole = load_model("lattice").predict(windows, samples=20)
    monkeypatch.setattr(device, "_PIXELS_ON_PROCESSOR", 2 * 64 * 64)
    parts = load_model("lattice").predict(windows, samples=20)
    np.testing.assert_allclose(parts.probability, whole.probability, atol=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes here")
def test_a_gpu_that_does_not_compute_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert checked_device("auto") == "cpu"
    with pytest.raises(ModelError, match="'cuda' was asked for"):
        checked_device("cuda")


def test_a_device_that_is_not_there_is_refused() -> None:
    assert checked_device("cpu") == "cpu"
    assert checked_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("meta", "no such device"):
        with pytest.raises(ModelError, match=f"'{name}' was asked for.*expected cpu"):
            load_model("default", device=name)
    said = CliRunner().invoke(app, ["classify", "x.npy", "--device", "warp"])
    assert said.exit_code != 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("model", ["lattice", "dcnn-2018", "dcnn"])
def test_a_card_answers_as_the_processor(model: str) -> None:
    windows = np.random.default_rng(0).random((6, 128, 128), dtype=np.float32)
    windows[:4] += np.sin(np.arange(128) / 2)[:, None] + np.sin(np.arange(128) / 2.3)
    here, there = (load_model(model, device=name).predict(windows, samples=30) for name in ("cpu", "cuda"))
    np.testing.assert_allclose(there.probability, here.probability, atol=1e-4)
    np.testing.assert_allclose(there.probability_std, here.probability_std, atol=1e-3)


def test_exponential_is_that_of_small_exponents_too() -> None:
    exponent = torch.tensor([0.0, -1e-3, -1.0, -30.0, -59.0, -61.0, -1e6])
    expected = exponent.double().clamp_min(-60).exp()
    answer = exponential(exponent)
    assert answer.data_ptr() == exponent.data_ptr()
    torch.testing.assert_close(answer.double(), expected, rtol=5e-6, atol=0.0)
