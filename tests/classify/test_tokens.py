"""Tokens: of any side, finite for any image, and independent of contrast and of the other windows."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from bravaismap.classify.tokens import (
    ANGLES,
    CELL_FEATURES,
    CELLS,
    RADII,
    REFINED,
    REFINED_FEATURES,
    SPOT_FEATURES,
    SPOTS,
    VIEWS,
    Tokens,
    window_tokens,
)
from bravaismap.lattice.shape import hyperbolic_distance, shape
from bravaismap.simulate.windows import simulate


def tensors(tokens: Tokens) -> dict[str, torch.Tensor]:
    """Return what is seen of the windows: all but the distortion, which is told."""
    return {field.name: getattr(tokens, field.name) for field in fields(tokens) if field.name != "distortion"}


def test_the_distortion_is_told() -> None:
    image = torch.rand(2, 48, 48)
    assert window_tokens(image).distortion.isnan().tolist() == [True, True]
    assert window_tokens(image, 0.25).distortion.tolist() == [0.25, 0.25]


@pytest.mark.parametrize("side", [32, 48, 100, 129])
def test_shapes_do_not_depend_on_the_side(side: int) -> None:
    image = torch.from_numpy(simulate(3, "realistic", seed=1, size=side)["image"].values).float()
    tokens = window_tokens(image)
    assert tokens.spots.shape == (3, VIEWS * SPOTS, SPOT_FEATURES)
    assert tokens.cells.shape == (3, VIEWS * CELLS, CELL_FEATURES)
    assert tokens.refined.shape == (3, REFINED, REFINED_FEATURES)
    assert tokens.polar.shape == (3, VIEWS, ANGLES, RADII)
    assert tokens.shapes.shape == (3, VIEWS * CELLS + REFINED, 3)
    assert all(bool(values.isfinite().all()) for values in tensors(tokens).values())


def test_finite_for_any_image() -> None:
    rng = np.random.default_rng(0)
    line, point = np.zeros((64, 64)), np.zeros((64, 64))
    line[30], point[12, 40] = 1, 1
    wave = np.sin(np.arange(64) * 0.7) * np.ones((64, 1))
    images = [np.zeros((64, 64)), line, point, line.T, wave, wave.T, 1e30 * rng.standard_normal((64, 64))]
    tokens = window_tokens(torch.from_numpy(np.stack(images)).float())
    assert all(bool(values.isfinite().all()) for values in tensors(tokens).values())
    assert all(float(values.abs().max()) < 65504 for values in tensors(tokens).values())  # half precision holds them


def test_a_window_alone_and_among_others() -> None:
    image = torch.from_numpy(simulate(6, "wide", seed=2, size=96)["image"].values).float()
    together, alone = window_tokens(image), window_tokens(image[2:3])
    for name, values in tensors(together).items():
        torch.testing.assert_close(getattr(alone, name)[0], values[2], atol=2e-3, rtol=2e-3, msg=name)


def test_contrast_and_brightness_do_not_matter() -> None:
    image = torch.from_numpy(simulate(4, "simulated", seed=3, size=96)["image"].values).float()
    tokens, other = window_tokens(image), window_tokens(3 * image + 40)
    torch.testing.assert_close(tokens.shapes, other.shapes, atol=2e-3, rtol=2e-3)


def test_refined_lattice_is_the_true_one() -> None:
    data = simulate(30, "simulated", seed=4)
    there = data["label"].values < 5
    image = torch.from_numpy(data["image"].values[there]).float()
    shapes = window_tokens(image).shapes[:, VIEWS * CELLS].numpy()
    basis = data["primitive_vectors_px"].values[there].astype(float)
    error = hyperbolic_distance(shapes[:, 0] + 1j * np.exp(shapes[:, 1]), shape(basis))
    scale = shapes[:, 2] - 0.5 * np.log(np.abs(np.linalg.det(basis)))
    right = (error < 0.05) & (np.abs(scale) < 0.05)
    assert right.mean() > 0.85
    assert np.median(error[right]) < 0.005


def test_parts_and_the_whole() -> None:
    tokens = window_tokens(torch.from_numpy(simulate(4, "simulated", seed=5, size=48)["image"].values).float())
    again = Tokens.concatenate([tokens[:1], tokens[torch.tensor([1, 2, 3])]])
    assert len(again) == 4
    for name, values in tensors(tokens).items():
        assert torch.equal(getattr(again, name), values)
    assert tokens.to(torch.float16).polar.dtype == torch.float16
