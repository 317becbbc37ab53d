"""Pixels of several frames at once: each has the answers that it has alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bravaismap.compute import together as records
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.local.frame import pixel_phases, pixel_phases_of_frames
from bravaismap.local.pixels import PixelPhases, PixelSettings
from bravaismap.simulate.crystal import gaussian_atoms

SIZE = 112
SETTINGS = PixelSettings(step=2)


def frame(cells: list[float], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Grains side by side, above a void, and the lattices of them."""
    index = np.stack(np.meshgrid(*2 * [np.arange(-40, 40)], indexing="ij"), -1).reshape(-1, 2)
    edges, clean, bases = np.linspace(0, SIZE, len(cells) + 1), np.zeros((SIZE, SIZE)), []
    for k, cell in enumerate(cells):
        basis = basis_from_cell(cell, cell, np.pi / (2 + k), 0.1 + k + seed)
        places = index @ basis + SIZE / 2
        inside = (places[:, 1] >= edges[k]) & (places[:, 1] < edges[k + 1]) & (places[:, 0] < 80)
        places = places[inside & (places[:, 0] > -cell)]
        count = len(places)
        clean += gaussian_atoms(places, np.ones(count), np.full(count, 0.17 * cell), (SIZE, SIZE))
        bases.append(basis)
    noisy = np.random.default_rng(seed).poisson(25 * clean + 3)
    return torch.from_numpy((noisy / noisy.std()).astype(np.float32)), torch.from_numpy(np.float32(bases))


FRAMES = [frame([9.0], 0), frame([9.0, 9.6], 1), frame([9.3], 2), frame([9.1, 9.5], 3), frame([14.0], 4)]


def same(one: PixelPhases, other: PixelPhases) -> None:
    """Check that two answers are the same but for rounding."""
    assert bool((one.phase == other.phase).all())
    torch.testing.assert_close(one.probability, other.probability, atol=1e-4, rtol=0)
    torch.testing.assert_close(one.amplitude, other.amplitude, atol=3e-3, rtol=0)
    torch.testing.assert_close(one.basis, other.basis, atol=1e-4, rtol=0)
    assert one.fine == pytest.approx(other.fine, rel=1e-5)
    assert one.noise.floor == pytest.approx(other.noise.floor, rel=1e-3, abs=1e-5)
    assert one.noise.correlation == pytest.approx(other.noise.correlation, rel=1e-3)
    inside = one.probability[:-1] > 0.9
    torch.testing.assert_close(one.strain[inside], other.strain[inside], atol=1e-4, rtol=0)


@pytest.fixture
def stacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a processor take records at once, as a GPU does."""
    monkeypatch.setattr(records, "_gains", lambda device: True)


@pytest.mark.usefixtures("stacked")
def test_a_frame_has_the_answers_that_it_has_alone() -> None:
    masks = [None, None, torch.arange(SIZE)[:, None].expand(SIZE, SIZE) > 20, None, None]
    images, lattices = zip(*FRAMES, strict=True)
    together = pixel_phases_of_frames(images, lattices, SETTINGS, masks)
    for image, own, mask, answer in zip(images, lattices, masks, together, strict=True):
        same(answer, pixel_phases(image, own, SETTINGS, mask))


def test_it_does_not_matter_which_frames_are_beside_it(stacked: None) -> None:
    images, lattices = zip(*FRAMES, strict=True)
    first, second = ([images[i] for i in order] for order in ((0, 2), (4, 1, 0)))
    pair = pixel_phases_of_frames(first, [lattices[0], lattices[2]], SETTINGS)[0]
    three = pixel_phases_of_frames(second, [lattices[4], lattices[1], lattices[0]], SETTINGS)[2]
    same(pair, three)


@pytest.mark.slow
def test_the_steps_of_several_frames_are_as_few_as_those_of_one(stacked: None) -> None:
    image, lattices = FRAMES[0]

    def steps(frames: int) -> int:
        images = [image.roll(3 * i, 0) for i in range(frames)]
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            pixel_phases_of_frames(images, [lattices] * frames, SETTINGS)
        kernels = ("aten::mm", "aten::bmm", "aten::mul", "aten::add", "aten::exp", "aten::sum", "aten::item")
        return sum(event.count for event in profile.key_averages() if event.key in kernels)

    assert steps(6) < 1.5 * steps(2)
