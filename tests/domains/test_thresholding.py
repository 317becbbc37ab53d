"""Voids by intensity, against the true voids of a simulated film."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bravaismap.conventions import CLASSES
from bravaismap.domains.thresholding import (
    agreement,
    dark_fraction,
    relative_difference,
    spacing_of,
    threshold_voids,
    thresholded_fraction,
)
from bravaismap.errors import InputError
from bravaismap.simulate.film import simulate_film


def test_thresholding_finds_the_true_voids() -> None:
    film = simulate_film(8, 256, seed=4)
    found, threshold = threshold_voids(film["image"].values, 11.0)
    area, true = found.mean(axis=(1, 2)), film["void_fraction"].values
    assert abs(area[-1] / true[-1] - 1) < 0.15
    both, either = (found & film["void"].values).sum(), (found | film["void"].values).sum()
    assert both / either > 0.75
    assert film["image"].values.min() < threshold < film["image"].values.max()
    by_hand, level = threshold_voids(film["image"].values, 11.0, threshold)
    assert level == threshold
    np.testing.assert_array_equal(by_hand, found)
    assert threshold_voids(film["image"].values, 11.0, 1.2 * threshold)[0].sum() > found.sum()
    with pytest.raises(InputError, match="0 px"):
        threshold_voids(film["image"].values, 0.0)


def test_more_smoothing_hides_a_single_dark_atom() -> None:
    y, x = np.mgrid[:120, :120]
    atoms = 2 + np.cos(2 * np.pi * y / 12) + np.cos(2 * np.pi * x / 12)
    image = atoms * (1 - np.exp(-((y - 24) ** 2 + (x - 24) ** 2) / 40))
    image = np.where((y > 70) & (x > 70), 0.0, image)[None]
    little, much = (threshold_voids(image, 12.0, 1.2, smoothing=one)[0][0] for one in (0.36, 0.8))
    assert little[24, 24]
    assert not much[24, 24]
    assert much[95, 95]


def result(label: list[int], a: list[float], unit: str) -> xr.Dataset:
    return xr.Dataset(
        {"label": ("x", label), "a": ("x", a, {"units": unit})},
        {"lattice": list(CLASSES)},
        {"pixel_size_nm": 0.05 if unit == "nm" else None},
    )


def test_spacing_is_that_of_the_windows_with_a_lattice() -> None:
    assert spacing_of(result([3, 3, 5, -1], [10.0, 12.0, 90.0, np.nan], "px")) == 11
    assert spacing_of(result([3, 3, 5], [0.5, 0.6, 9.0], "nm")) == pytest.approx(11)
    with pytest.raises(InputError, match="no window of this result has a lattice"):
        spacing_of(result([5, 5], [1.0, 2.0], "px"))
    with pytest.raises(InputError, match="measures cells"):
        spacing_of(result([3], [1.0], "px").drop_vars("a"))


def test_agreement_by_hand() -> None:
    found, expected = np.array([0.01, 0.11, 0.22, np.nan]), np.array([0.01, 0.10, 0.20, 0.3])
    said = agreement(found, expected)
    assert said.mean == pytest.approx(0.01)
    assert said.rms == pytest.approx(np.sqrt((0.01**2 + 0.02**2) / 3))
    assert said.relative == pytest.approx(0.1)
    assert said.correlation > 0.999
    assert relative_difference(np.array([0.5]), np.array([0.01])) is None
    assert np.isnan(agreement(np.ones(3), np.arange(3.0)).correlation)
    with pytest.raises(InputError, match="no frame"):
        agreement(np.array([np.nan]), np.array([1.0]))


def test_thresholded_fraction_is_compared_with_that_of_the_classifier() -> None:
    film = simulate_film(8, 256, seed=4)
    result = xr.Dataset({"a": ("window", [11.0, 11.0]), "label": ("window", [3, 3])}, coords={"lattice": list(CLASSES)})
    true = film["void_fraction"]
    found = thresholded_fraction(result, film["image"], true)
    voids, level = threshold_voids(film["image"].values, 11.0)
    assert found.level == level
    np.testing.assert_array_equal(found.fraction, voids.mean(axis=(1, 2)))
    assert found.agreement == agreement(true.values, found.fraction.values)
    assert found.agreement.correlation > 0.99
    with pytest.raises(InputError, match="the movie has 7 frames, the result 8"):
        thresholded_fraction(result, film["image"][:7], true)


def test_what_was_never_measured_is_not_dark() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(100, 5, (2, 60, 60))
    images[:, 10:30, 10:30] -= 60
    stopped = images.copy()
    stopped[1, 40:] = np.nan
    whole, threshold = threshold_voids(images, 4.0)
    voids, chosen = threshold_voids(stopped, 4.0)
    assert chosen == pytest.approx(threshold, rel=0.05)
    assert not voids[1, 40:].any()
    np.testing.assert_array_equal(voids[1, :36], whole[1, :36])
    np.testing.assert_allclose(dark_fraction(voids, stopped), [400 / 3600, 400 / 2400], rtol=0.03)
    assert np.isnan(dark_fraction(voids, np.full_like(stopped, np.nan))).all()
    with pytest.raises(InputError, match="nothing was measured"):
        threshold_voids(np.full((2, 9, 9), np.nan), 4.0)
