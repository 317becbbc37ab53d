"""Another distortion without the image is what a new run gives, in memory, on disk, and for frames not mapped yet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from lattice_images import hexagonal_image

import bravaismap as bm
from bravaismap.classify.models import NetworkClassifier
from bravaismap.conventions import CLASSES
from bravaismap.errors import InputError
from bravaismap.phases.reclassification import check_cells, covariance_of
from bravaismap.result.open import open_result
from bravaismap.result.schema import map_variables
from bravaismap.result.store import ResultStore

STRICT = 0.002


def close(one: xr.Dataset, other: xr.Dataset) -> None:
    assert set(one.variables) == set(other.variables)
    for name in one.data_vars:
        assert one[name].dims == other[name].dims
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-3, err_msg=str(name))


def test_reclassified_is_what_a_new_run_gives(film: np.ndarray, mapped: xr.Dataset) -> None:
    again = bm.reclassify(mapped, distortion=STRICT)
    fresh = bm.map_phases(film, window=64, step=16, distortion=STRICT, pixels=False)
    close(again, fresh)
    assert again.attrs == fresh.attrs
    assert float(np.abs(again["probability"] - mapped["probability"]).max()) > 0.05  # or nothing is compared


def test_reclassified_images() -> None:
    images = np.stack([hexagonal_image(0.04), np.full((120, 150), 2.0), hexagonal_image()])
    with pytest.warns(UserWarning, match="constant"):
        lax, strict = bm.classify(images), bm.classify(images, distortion=0.0)
    close(bm.reclassify(lax, 0.0), strict)
    assert [CLASSES[i] for i in lax["label"].values] == ["hexagonal", "none", "hexagonal"]
    assert CLASSES[int(strict["label"][0])] in ("oblique", "centered_rectangular")


def test_stored_result_is_reclassified_lazily_frame_by_frame(film: np.ndarray, tmp_path: Path) -> None:
    whole = bm.map_phases(film, window=64, step=16, output=tmp_path / "whole.zarr")
    again = bm.reclassify(whole, STRICT)
    assert again["probability"].chunks is not None
    assert again["probability"].chunks[0] == (1, 1)
    close(again.load(), bm.map_phases(film, window=64, step=16, distortion=STRICT, pixels=False))


def test_frames_not_mapped_yet_stay_so(mapped: xr.Dataset, tmp_path: Path) -> None:
    coords = {name: mapped[name] for name in ("time", "y", "x", "lattice")}
    store = ResultStore(tmp_path / "r.zarr", coords, mapped.attrs, variables=map_variables(cells=True))
    store.write_frame(0, {str(name): mapped[name].values[0] for name in mapped.data_vars})
    again = bm.reclassify(open_result(tmp_path / "r.zarr"), STRICT).load()
    assert (again["label"].values[1] == -1).all()
    assert np.isnan(again["probability"].values[1]).all()
    assert np.isnan(again["fraction"].values[1]).all()
    np.testing.assert_array_equal(again["label"][0], bm.reclassify(mapped, STRICT)["label"][0])


def test_results_without_cells_and_wrong_distortions(
    quick: NetworkClassifier, windows: np.ndarray, mapped: xr.Dataset
) -> None:
    with pytest.raises(InputError, match=r"no basis.*\(quick\).*model lattice"):
        bm.reclassify(bm.classify(windows[:1], model=quick, samples=0))
    with pytest.raises(InputError, match=r"distortion of 3 .*write 3% or 0\.03"):
        bm.reclassify(mapped, distortion=3)


def test_the_same_distortion_changes_nothing(mapped: xr.Dataset) -> None:
    again = bm.reclassify(mapped, distortion=mapped.attrs["distortion"])
    close(again, mapped[list(again.data_vars)])
    assert again.attrs == {key: value for key, value in mapped.attrs.items() if key != "pixel_step"}
    assert "phase" in mapped


def test_covariances_are_whole_and_symmetric(mapped: xr.Dataset) -> None:
    covariance = covariance_of(mapped)
    assert covariance.shape == (*mapped["label"].shape, 4, 4)
    np.testing.assert_array_equal(covariance, np.swapaxes(covariance, -1, -2))
    rows, columns = np.triu_indices(4)
    np.testing.assert_allclose(covariance[..., rows, columns], mapped["basis_covariance"])
    spread = np.sqrt(covariance[..., 0, 0] + covariance[..., 1, 1])  # a is not longer in error than its components
    with np.errstate(invalid="ignore"):
        assert not (mapped["a_std"].values > 1.001 * spread).any()
    turned = mapped.transpose("pair", "x", "y", "time", ...)
    np.testing.assert_array_equal(covariance_of(turned), covariance.transpose(2, 1, 0, 3, 4))


def test_what_is_missing_is_named(mapped: xr.Dataset) -> None:
    check_cells(mapped, ("basis", "evidence"))
    with pytest.raises(InputError, match=r"the result has no basis, evidence: its model .* measured no cells"):
        check_cells(mapped.drop_vars(["basis", "evidence"]), ("basis", "a", "evidence"))
