"""Areas in noise: unbiased within σ on films whose atoms are as faint as the noise, and as before on clear ones."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from bravaismap.errors import InputError
from bravaismap.local.area import area_fraction
from bravaismap.local.area_in_noise import area_in_noise
from bravaismap.local.frame import pixel_phases
from bravaismap.local.pixels import PixelPhases, PixelSettings
from bravaismap.simulate.film import Specimen, simulate_film

LABEL = torch.tensor([0, 1])


@cache
def film(dose: float) -> tuple[tuple[PixelPhases, ...], np.ndarray]:
    """Return the pixels of the frames of a film, asked with its true lattice, and its true void fractions."""
    movie = simulate_film(5, 192, seed=7, specimen=Specimen(dose=dose, drift=0.0))
    basis = torch.from_numpy(movie["primitive_vectors_px"].values).float()[None]
    frames = torch.from_numpy(movie["image"].values.astype(np.float32))
    asked = [pixel_phases((frame - frame.mean()) / frame.std(), basis, PixelSettings(step=2)) for frame in frames]
    return tuple(asked), movie["void_fraction"].values


@pytest.mark.parametrize(("dose", "error"), [(1.0, 0.032), (0.15, 0.063), (0.05, 0.17)])
def test_areas_of_faint_films_err_as_they_say(dose: float, error: float) -> None:
    frames, true = film(dose)
    areas = [area_in_noise(pixels, LABEL, 2) for pixels in frames]
    none, std = (np.array([float(field[1]) for field in fields]) for fields in zip(*_fields(areas), strict=True))
    assert np.abs(none - true).max() < error
    assert (np.abs(none - true) < 2 * std).all()
    assert abs(np.mean(none - true)) < std.mean()


def _fields(areas: list) -> list:
    return [(area.fraction, area.fraction_std) for area in areas]


def test_fainter_films_have_wider_errors() -> None:
    wide = [
        np.mean([float(area_in_noise(p, LABEL, 2).fraction_std[1]) for p in film(dose)[0]]) for dose in (1, 0.15, 0.05)
    ]
    assert wide[0] < wide[1] < wide[2]


def test_a_clear_frame_is_left_as_it_is() -> None:
    pixels = film(1.0)[0][0]
    clear = replace(pixels, amplitude_std=torch.full_like(pixels.amplitude_std, 0.02))
    plain = area_fraction(pixels.probability, pixels.seen, LABEL, 2, pixels.cell, pixels.fine, pixels.step)
    torch.testing.assert_close(area_in_noise(clear, LABEL, 2).fraction, plain.fraction)
    torch.testing.assert_close(area_in_noise(clear, LABEL, 2).fraction_std, plain.fraction_std)


def test_a_share_of_which_nothing_is_known_is_as_wide_as_all_shares_are() -> None:
    pixels = film(0.05)[0][0]
    half = torch.full_like(pixels.probability, 0.5)
    hidden = replace(pixels, probability=half, amplitude_std=torch.full_like(pixels.amplitude_std, 1e3))
    assert float(area_in_noise(hidden, LABEL, 2).fraction_std[1]) >= 12**-0.5


def test_areas_add_up_to_the_frame_and_the_same_frame_has_the_same() -> None:
    pixels = film(0.15)[0][-1]
    first, second = (area_in_noise(pixels, torch.tensor([2, 4]), 5) for _ in range(2))
    assert float(first.fraction.sum()) == pytest.approx(1.0)
    torch.testing.assert_close(first.fraction, second.fraction, rtol=0, atol=0)
    assert first.fraction[[0, 1, 3]].tolist() == [0.0, 0.0, 0.0]
    assert float(first.fraction_std[2]) == pytest.approx(float(first.fraction_std[4]), rel=0.05)


def test_masked_points_do_not_count_and_all_of_them_are_refused() -> None:
    pixels = film(0.15)[0][-1]
    seen = pixels.seen.clone()
    seen[:, : seen.shape[1] // 2] = 0
    left = replace(pixels, seen=seen)
    other = replace(left, probability=torch.where(seen > 0, pixels.probability, 0.5))
    torch.testing.assert_close(area_in_noise(left, LABEL, 2).fraction, area_in_noise(other, LABEL, 2).fraction)
    with pytest.raises(InputError, match="all pixels of the frame are masked"):
        area_in_noise(replace(pixels, seen=torch.zeros_like(seen)), LABEL, 2)
