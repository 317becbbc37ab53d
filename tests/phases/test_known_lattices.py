"""Windows of a frame without a lattice are asked for those of the frame; noise and voids stay without one."""

from __future__ import annotations

from unittest import mock

import numpy as np
from lattice_images import cell_basis, plane_waves
from numpy.typing import NDArray

import bravaismap as bm
from bravaismap.classify.answer import Answer, Cells
from bravaismap.conventions import CLASSES, NONE
from bravaismap.phases import frame as frame_module
from bravaismap.phases.known_lattices import certain_lattices

BASIS = cell_basis("hexagonal", 0.3, 0.9)


def fading(noise: float = 3.0, seed: int = 3) -> NDArray[np.float32]:
    """Return a crystal in noise that fades to the right, where nothing of it is left."""
    crystal = plane_waves(BASIS, (128, 192), noise=0.0)
    strength = np.clip(1.6 - np.arange(192) / 80, 0, 1.2)
    return np.asarray(crystal * strength + np.random.default_rng(seed).normal(0, noise, crystal.shape), np.float32)


def without_a_lattice(image: NDArray[np.floating]) -> NDArray[np.bool_]:
    result = bm.map_phases(image, window=64, step=16, samples=0, model="lattice", pixels=False)
    return np.asarray(result["label"].values[0] == CLASSES.index(NONE))


def unasked(image: NDArray[np.floating]) -> NDArray[np.bool_]:
    with mock.patch.object(frame_module, "with_known_lattices", lambda answer, *_: answer):
        return without_a_lattice(image)


def test_faint_windows_show_the_lattice_of_their_frame_and_empty_ones_do_not() -> None:
    image = fading()
    before, after = unasked(image), without_a_lattice(image)
    assert not (after & ~before).any()
    assert after.sum() < before.sum()
    assert after[:, -1].all()


def test_frames_of_noise_have_no_lattice_to_ask_for() -> None:
    image = np.random.default_rng(5).normal(size=(128, 192)).astype(np.float32)
    assert (without_a_lattice(image) == unasked(image)).all()


def test_windows_that_share_their_pixels_are_no_more_evidence_than_one() -> None:
    cells = Cells(np.tile(BASIS, (16, 1, 1)), np.tile(1e-4 * np.eye(4), (16, 1, 1)), np.full(16, 26.0))
    probability = np.tile([0.0, 0.0, 0.0, 0.8, 0.0, 0.2], (16, 1))
    answer = Answer(probability, probability, np.zeros(16), np.zeros(16), cells=cells)
    assert len(certain_lattices(answer, independent=1.0)) == 0
    area = np.abs(np.linalg.det(certain_lattices(answer, independent=4.0)))
    assert np.allclose(area, [abs(np.linalg.det(BASIS))])
