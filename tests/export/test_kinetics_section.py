"""The section on kinetics of a report: laws that a curve does not determine, and those that it contradicts."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bravaismap.export.kinetics_section import kinetics_section


def film(none: np.ndarray) -> xr.Dataset:
    """Return the mean probabilities of a movie in which `none` takes a share from another class."""
    share = np.stack([1 - none, none], -1)
    time = ("time", np.arange(float(len(none))), {"units": "s"})
    return xr.Dataset(
        {"fraction": (("time", "lattice"), share), "fraction_std": (("time", "lattice"), np.full_like(share, 0.003))},
        {"time": time, "lattice": ["hexagonal", "none"]},
    )


def test_laws_that_cannot_be_fitted_say_why() -> None:
    time = np.arange(40.0)
    noise = 0.003 * np.random.default_rng(0).normal(size=40)
    late = 0.3 * (time < 10) + 0.01 * np.exp(time / 10) + noise
    page = "".join(kinetics_section(film(late)))
    assert "k not determined" in page
    assert "A not determined" in page


def test_an_image_has_no_kinetics() -> None:
    assert kinetics_section(film(np.array([0.2]))) == []


def test_a_result_without_the_class_says_how_to_fit_another() -> None:
    other = film(np.linspace(0, 0.5, 20)).assign_coords(lattice=["hexagonal", "square"])
    assert "bravaismap fit --lattice" in "".join(kinetics_section(other))
