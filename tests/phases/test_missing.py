"""What was never measured has no class, no share of a fraction, and one line that says so."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.classify.models import load_model
from bravaismap.conventions import UNMAPPED
from bravaismap.errors import BravaismapWarning
from bravaismap.phases.frame import MOST_MISSING, warn_missing
from bravaismap.phases.image import classify
from bravaismap.phases.map import map_phases
from bravaismap.phases.reclassification import reclassify
from bravaismap.result.phase_map import phase_table
from bravaismap.windows import missing_share, window_grid

SIZE = {"window": 48, "step": 16}


def lattice(height: int, width: int, a: float = 11.0) -> np.ndarray:
    """Return a hexagonal lattice of side `a` with noise."""
    y, x = np.mgrid[:height, :width]
    k = 4 * np.pi / (np.sqrt(3) * a) * np.exp(1j * (0.2 + np.arange(3) * np.pi / 3))
    waves = sum(np.cos(q.real * x + q.imag * y) for q in k)
    return (waves + 0.3 * np.random.default_rng(0).normal(size=(height, width))).astype(np.float32)


@pytest.fixture(scope="module")
def stopped() -> np.ndarray:
    """Return an image whose scan was stopped at row 90."""
    image = lattice(160, 112)
    image[90:] = np.nan
    return image


@pytest.mark.parametrize("nan", ["missing", "fill"])
@pytest.mark.parametrize("model", ["lattice", "network"])
def test_a_stopped_scan(stopped: np.ndarray, quick: object, model: str, nan: str) -> None:
    options = {"model": quick if model == "network" else "lattice", "samples": 4, **SIZE}
    with pytest.warns(BravaismapWarning, match=r"windows, \d+ % of those in 1 frame \(frame 0\), were mostly never"):
        result = map_phases(stopped, nan=nan, **options)
    share = missing_share(np.isnan(stopped), window_grid(stopped.shape, 48, 16)).reshape(result["label"].shape[1:])
    hidden = share > MOST_MISSING
    assert 0 < hidden.sum() < hidden.size
    np.testing.assert_array_equal(result["label"].values[0] == UNMAPPED, hidden)
    np.testing.assert_array_equal(np.isnan(result["probability"].values[0]).all(axis=-1), hidden)
    seen = result["probability"].values[0][~hidden]
    np.testing.assert_allclose(result["fraction"].values[0], seen.mean(axis=0), rtol=1e-5)
    assert np.isfinite(result["fraction_std"]).all()
    whole = map_phases(stopped[:90], **options)
    full = share[: whole.sizes["y"]] == 0
    np.testing.assert_allclose(
        result["probability"].values[0][: whole.sizes["y"]][full], whole["probability"].values[0][full], atol=1e-5
    )


def test_partly_missing_windows_keep_the_lattice(stopped: np.ndarray) -> None:
    with pytest.warns(BravaismapWarning):
        result = map_phases(stopped, model="lattice", samples=0, window=64, step=8)
    label = result["label"].values[0]
    assert set(np.unique(label[label >= 0])) == {3}  # hexagonal: what was continued is no pattern of its own


def test_single_missing_pixels_hide_nothing(quick: object) -> None:
    image = lattice(64, 64)
    image[10, ::7] = np.nan
    result = map_phases(image, model=quick, samples=0, **SIZE)
    assert np.isfinite(result["probability"]).all()


def test_a_frame_that_was_never_measured(quick: object) -> None:
    movie = np.stack([lattice(64, 64), np.full((64, 64), np.nan, np.float32)])
    with pytest.warns(BravaismapWarning, match="100 % of those in 1 frame"):
        result = map_phases(movie, model=quick, samples=2, **SIZE)
    assert (result["label"].values[1] == UNMAPPED).all()
    assert np.isnan(result["fraction"].values[1]).all()
    assert np.isfinite(result["fraction"].values[0]).all()
    phase_table(result)


def test_a_map_classified_anew_hides_the_same(stopped: np.ndarray) -> None:
    with pytest.warns(BravaismapWarning):
        result = map_phases(stopped, model="lattice", samples=0, **SIZE)
    again = reclassify(result, float(result.attrs["distortion"]))
    np.testing.assert_array_equal(again["label"], result["label"])
    np.testing.assert_allclose(again["fraction"], result["fraction"], atol=1e-4)
    np.testing.assert_allclose(again["fraction_std"], result["fraction_std"], atol=1e-4)


def test_images_are_classified_where_they_were_measured(stopped: np.ndarray) -> None:
    with pytest.warns(BravaismapWarning, match=r"44 % of the pixels .* rows 0:90 and columns 0:112 are classified"):
        result = classify(stopped, model=load_model("lattice"), samples=0)
    np.testing.assert_allclose(
        result["probability"], classify(stopped[:90], model="lattice", samples=0)["probability"], atol=1e-6
    )
    images = np.stack([lattice(64, 64), lattice(64, 64)])
    images[1, 3:] = np.nan
    with pytest.warns(BravaismapWarning, match=r"1 of 2 images \(image 1\) was mostly never measured"):
        result = classify(images, model="lattice", samples=0)
    assert result["label"].values.tolist() == [3, UNMAPPED]
    assert np.isnan(result["probability"][1]).all()
    assert np.isnan(result["a"][1])
    assert "not measured" in phase_table(result)


def test_nothing_missing_is_not_mentioned(recwarn: pytest.WarningsRecorder) -> None:
    warn_missing({}, 9)
    assert not recwarn.list
