"""Effects of instrument and specimen: known answers for each."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.simulate.crystal import gaussian_atoms
from bravaismap.simulate.instrument import PROBE_MARGIN, bend, displace, line_noise, probe, repeated, speckle, strength

GRID = np.stack(np.meshgrid(np.arange(0.0, 128.0, 2), np.arange(0.0, 128.0, 2), indexing="ij"), axis=-1).reshape(-1, 2)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_absent_effects_draw_nothing() -> None:
    generator = rng()
    assert strength((0.0, 0.0), 0.3, generator) == 0
    assert generator.random() == rng().random()


def test_present_effects_are_uniform_and_the_others_zero() -> None:
    generator = rng(1)
    drawn = np.array([strength((0.2, 1.0), 0.3, generator) for _ in range(4000)])
    assert (drawn > 0).mean() == pytest.approx(0.3, abs=0.03)
    assert drawn[drawn > 0].min() >= 0.2
    assert drawn[drawn > 0].mean() == pytest.approx(0.6, abs=0.03)
    assert strength((0.5, 0.5), 1.0, rng()) == 0.5


def test_bent_specimen_modulates_heights_up_to_its_depth() -> None:
    factor = bend(20 * GRID, (128, 128), 0.4, rng(2))
    assert factor.max() == pytest.approx(1.0, abs=0.01)
    assert factor.min() == pytest.approx(0.6, abs=0.01)
    neighbours = bend(GRID, (128, 128), 0.4, rng(2)).reshape(64, 64)
    assert np.abs(np.diff(neighbours, axis=0)).max() < 0.4 * np.pi * 2 / 128  # period of at least the frame


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_drift_moves_lines_and_leaves_the_mean_lattice(seed: int) -> None:
    moved = displace(GRID, (128, 128), 1.5, 0.0, rng(seed)) - GRID
    shift = moved.reshape(64, 64, 2)
    np.testing.assert_allclose(shift, np.repeat(shift[:, :1], 64, axis=1), atol=1e-12)  # of a line as a whole
    for component, size in ((1, 1.5), (0, 0.75)):
        line = shift[:, 0, component]
        assert line.std() == pytest.approx(size, rel=0.1)
        slope, _ = np.polyfit(np.arange(64), line, 1)
        assert abs(slope) * 64 < 0.15 * size
        assert np.abs(np.diff(line)).max() < 0.5 * size  # smooth


def test_flyback_decays_along_the_line() -> None:
    moved = displace(np.array([[5.0, 0.0], [90.0, 0.15 * 128], [5.0, 127.0]]), (128, 128), 0.0, 2.0, rng())
    np.testing.assert_allclose(moved[:, 0], [5, 90, 5])
    np.testing.assert_allclose(moved[:, 1], [2, 0.15 * 128 + 2 / np.e, 127 + 2 * np.exp(-127 / 19.2)], atol=1e-9)


def test_no_drift_no_change() -> None:
    np.testing.assert_array_equal(displace(GRID, (128, 128), 0.0, 0.0, rng()), GRID)


def moments(image: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    centred = np.stack([y - (image * y).sum() / image.sum(), x - (image * x).sum() / image.sum()])
    return np.einsum("iyx,jyx,yx->ij", centred, centred, image) / image.sum()


def one_atom(width: float) -> np.ndarray:
    return gaussian_atoms(np.array([[48.0, 48.0]]), np.ones(1), np.full(1, width), (97, 97))


@pytest.mark.parametrize(("tilt", "astigmatism"), [(2.0, 0.0), (0.0, 1.5), (2.0, 1.5)])
def test_blurs_add_their_variances_along_their_directions(tilt: float, astigmatism: float) -> None:
    image = one_atom(2.0)
    blurred = probe(image, tilt, astigmatism, 0.0, 8.0, rng(3))
    assert blurred.sum() == pytest.approx(image.sum(), rel=1e-4)
    directions = rng(3).uniform(0, np.pi, 2)
    expected = 4 * np.eye(2)
    for width, angle in zip((tilt, astigmatism), directions, strict=True):
        along = np.array([np.sin(angle), np.cos(angle)])
        expected += width**2 * np.outer(along, along)
    np.testing.assert_allclose(moments(blurred), expected, atol=0.01)


def test_tail_takes_its_share() -> None:
    blurred = probe(one_atom(2.0), 0.0, 0.0, 0.3, 6.0, rng())
    np.testing.assert_allclose(moments(blurred), (4 + 0.3 * 36) * np.eye(2), atol=0.02)
    assert PROBE_MARGIN >= 6


@pytest.mark.parametrize("radius", [0.06, 0.15])
def test_amorphous_matter_has_a_ring(radius: float) -> None:
    field = speckle(256, 0.7, (radius, radius), rng(4))
    assert field.std() == pytest.approx(0.7, rel=1e-4)
    power = np.abs(np.fft.fft2(field)) ** 2
    k = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    rings = np.array([power[(k >= low) & (k < low + 0.01)].mean() for low in np.arange(0, 0.3, 0.01)])
    assert np.arange(0.005, 0.3, 0.01)[rings.argmax()] == pytest.approx(radius, abs=0.012)
    assert rings[0] < 0.1 * rings.max()


def test_amorphous_matter_without_a_ring_is_blurred_noise() -> None:
    field = speckle(256, 1.0, (0.0, 0.0), rng(5))
    power = np.abs(np.fft.fft2(field)) ** 2
    k = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    assert power[k < 0.06].sum() > 0.95 * power.sum()


def test_lines_have_offsets_and_some_go_on_as_streaks() -> None:
    image = rng(6).standard_normal((400, 100)).astype(np.float32)
    added = line_noise(image, 0.5, rng(7)) - image
    assert added[:, 0].std() == pytest.approx(0.5 * image.std(), rel=0.15)
    steps = (np.abs(np.diff(added, axis=1)) > 1e-3).sum(axis=1)
    assert set(steps) <= {0, 1}
    assert (steps == 1).mean() == pytest.approx(0.1, abs=0.04)


@pytest.mark.parametrize("factor", [2, 3])
def test_repeated_pixels_fill_blocks(factor: int) -> None:
    image = np.arange(30.0 * 41, dtype=np.float32).reshape(30, 41)
    begins = set()
    for seed in range(20):
        shown = repeated(image, factor, np.random.default_rng(seed))
        assert shown.shape == image.shape
        edges = [np.flatnonzero(np.diff(shown, axis=axis).any(axis=1 - axis)) for axis in (0, 1)]
        assert all((np.diff(edge) == factor).all() for edge in edges)
        begins.add((edges[0][0], edges[1][0]))
        whole = shown[edges[0][0] + 1 :, edges[1][0] + 1 :]
        np.testing.assert_array_equal(
            whole[::factor, ::factor], image[edges[0][0] + 1 :: factor, edges[1][0] + 1 :: factor]
        )
    assert len(begins) > factor
