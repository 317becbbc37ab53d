"""Round trips of `read` on HDF5: hspy, NeXus, netCDF-4 and EMD, each by its own writer, or as it writes."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from instrument_files import STACK, hyperspy_signal, write_emd_1
from movie_checks import check, check_both

from bravaismap.errors import InputError
from bravaismap.read.reading import read


@pytest.mark.parametrize("data", [STACK, STACK[0]], ids=["movie", "image"])
def test_hspy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: np.ndarray) -> None:
    from rsciio.hspy import file_writer

    file_writer(str(tmp_path / "a.hspy"), hyperspy_signal(data), show_progressbar=False)
    check_both(tmp_path / "a.hspy", monkeypatch, data, 0.03, 0.2 if data.ndim == 3 else None)
    assert read(tmp_path / "a.hspy").attrs["dataset"] == "film"


def test_hspy_of_something_else(tmp_path: Path) -> None:
    from rsciio.hspy import file_writer

    file_writer(str(tmp_path / "a.hspy"), hyperspy_signal(STACK, ("eV", "nm", "nm")), show_progressbar=False)
    with pytest.raises(InputError, match=r"a\.hspy: a spectrum \(axis in eV\)"):
        read(tmp_path / "a.hspy")
    h5py.File(tmp_path / "b.hspy", "w").close()
    with pytest.raises(InputError, match=r"b\.hspy: no group 'Experiments'"):
        read(tmp_path / "b.hspy")


@pytest.mark.parametrize("data", [STACK, STACK[0]], ids=["movie", "image"])
def test_nexus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: np.ndarray) -> None:
    from rsciio.nexus import file_writer

    file_writer(str(tmp_path / "a.nxs"), hyperspy_signal(data))
    check_both(tmp_path / "a.nxs", monkeypatch, data, 0.03, 0.2 if data.ndim == 3 else None)


@pytest.mark.parametrize("data", [STACK, STACK[0]], ids=["movie", "image"])
def test_emd_of_ncem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: np.ndarray) -> None:
    from rsciio.emd import file_writer

    file_writer(str(tmp_path / "a.emd"), hyperspy_signal(data))
    check_both(tmp_path / "a.emd", monkeypatch, data, 0.03, 0.2 if data.ndim == 3 else None)


def test_emd_of_ncem_in_the_order_of_its_specification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file.attrs.update(version_major=0, version_minor=2)
        group = file.create_group("data/film")
        group.attrs["emd_group_type"] = 1
        group["data"] = STACK
        for i, (n, unit, step) in enumerate(
            zip(STACK.shape, ("[m_s]", "[n_m]", "[n_m]"), (20, 0.03, 0.03), strict=True)
        ):
            group[f"dim{i + 1}"] = np.arange(n) * step
            group[f"dim{i + 1}"].attrs["units"] = np.bytes_(unit)
    check_both(tmp_path / "a.emd", monkeypatch, STACK, 0.03, 0.02)


def test_emd_of_velox_with_a_derived_image_and_one_without_detector(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file["Version"] = [json.dumps({"format": "Velox", "version": "9"})]
        for uuid in ("0a", "0b"):
            file[f"Data/Image/{uuid}/Data"] = STACK[0][..., None]
            file[f"Data/Image/{uuid}/Metadata"] = np.frombuffer(b"{}\0\0", np.uint8)[:, None]
        file["Operations/IntegrationOperation/0c"] = [json.dumps({"dataPath": "/Data/Image/0b"})]
    with pytest.raises(InputError, match=r"holds 2 images: 'image 0' .*, 'DCFI'"):
        read(tmp_path / "a.emd")
    check(read(tmp_path / "a.emd", dataset="DCFI"), STACK[0], None, None)


def test_emd_of_velox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file.create_dataset("Version", data=[json.dumps({"format": "Velox", "version": "9"}).encode()])
        for detector, values in (("HAADF", STACK), ("BF", STACK[:1] + 1)):
            metadata = {
                "BinaryResult": {
                    "PixelSize": {"width": "3e-11", "height": "3e-11"},
                    "PixelUnitX": "m",
                    "PixelUnitY": "m",
                    "DetectorIndex": "1",
                    "Detector": detector,
                },
                "Scan": {"FrameTime": "0.25"},
                "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "0"}},
                "Detectors": {"Detector-1": {"DetectorName": detector}},
            }
            group = file.create_group(f"Data/Image/{detector.encode().hex():0>32}")
            group.create_dataset("Data", data=np.moveaxis(values, 0, -1), chunks=(*values.shape[1:], 1))
            text = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
            group["Metadata"] = np.repeat(np.pad(text, (0, 40))[:, None], len(values), axis=1)
    movie = read(tmp_path / "a.emd")
    assert movie.attrs["dataset"] == "HAADF"
    assert movie.attrs["available"] == "BF"
    check(read(tmp_path / "a.emd", dataset="BF"), STACK[:1] + 1, 0.03, None)
    from rsciio.emd import file_reader

    theirs = next(s for s in file_reader(str(tmp_path / "a.emd"), select_type="images") if s["data"].ndim == 3)
    np.testing.assert_array_equal(theirs["data"], movie.values)
    check_both(tmp_path / "a.emd", monkeypatch, STACK, 0.03, 0.25)


# As other programs write it


def test_netcdf4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file["image"] = STACK
        for i, (name, n, step, unit) in enumerate([("time", 4, 40, "ms"), ("y", 12, 0.3, "Å"), ("x", 17, 0.3, "Å")]):
            file[name] = np.arange(n) * step
            file[name].attrs["units"] = unit
            file[name].make_scale(name)
            file["image"].dims[i].attach_scale(file[name])
    check_both(tmp_path / "a.nc", monkeypatch, STACK, 0.03, 0.04)


@pytest.mark.parametrize("suffix", ["h5", "hdf5", "emd"])
def test_emd_1_by_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    write_emd_1(tmp_path / f"a.{suffix}")
    check_both(tmp_path / f"a.{suffix}", monkeypatch, STACK, 0.03, 0.2)


def test_hspy_named_hdf5_and_plain_hdf5_named_emd(tmp_path: Path) -> None:
    from rsciio.hspy import file_writer

    file_writer(str(tmp_path / "a.hspy"), hyperspy_signal(STACK), show_progressbar=False)
    (tmp_path / "a.hspy").rename(tmp_path / "a.hdf5")
    check(read(tmp_path / "a.hdf5", dataset="/Experiments/film/data"), STACK, 0.03, 0.2)
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file["stack"] = STACK
    check(read(tmp_path / "a.emd"), STACK, None, None)


@pytest.mark.parametrize(
    ("axes", "size"), [([".", "y", "x"], 0.03), (["t", "y", "x"], 0.03), (["y", "x"], None), (["."] * 3, None)]
)
def test_nexus_axes_without_coordinate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: list[str], size: float | None
) -> None:
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        group = file.create_group("entry/data")
        group.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": axes})
        group["data"] = STACK
        for name, n in (("y", 12), ("x", 17)):
            group[name] = 0.03 * np.arange(n)
            group[name].attrs["units"] = "nm"
    check_both(tmp_path / "a.nxs", monkeypatch, STACK, size, None)


def test_nexus_as_before_2014(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        group = file.create_group("entry/data")
        group["counts"], group["other"] = STACK, STACK[0]
        group["counts"].attrs.update({"signal": "1", "axes": "time:y:x"})
        for name, n, step, unit in (("time", 4, 0.2, "s"), ("y", 12, 0.03, "nm"), ("x", 17, 0.03, "nm")):
            group[name] = step * np.arange(n)
            group[name].attrs["units"] = unit
    check(read(tmp_path / "a.nxs"), STACK, 0.03, 0.2)
