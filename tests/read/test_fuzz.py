"""Damaged files of every format: `read` gives a movie or one line that names the file; no crash, hang or flood.

The files are read in a process of their own whose memory is limited, since some are decoded by libraries in C.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

#: Files tried of each format; more by hand, for a long run.
EXAMPLES = int(os.environ.get("BRAVAISMAP_FUZZ", "10"))
SEED = os.environ.get("BRAVAISMAP_FUZZ_SEED", "7")
MEMORY = 1_500_000_000  # bytes beyond what the process has at its start
SECONDS = 15.0  # for a file


def write_seeds(folder: Path) -> dict[str, Path]:
    """Write a good file of each format that can be written here; return them by name."""
    import h5py
    import mrcfile
    import tifffile
    import xarray as xr
    import zarr
    from instrument_files import (
        NM,
        STACK,
        dm_bytes,
        grid_bytes,
        gsf_bytes,
        hyperspy_signal,
        matrix_files,
        ome_zarr,
        ser_bytes,
        sxm_bytes,
        tvips_header,
        write_emd_1,
        write_gwy,
        write_sis,
        write_zspy,
    )
    from PIL import Image
    from rsciio.emd import file_writer as write_emd
    from rsciio.hspy import file_writer as write_hspy
    from rsciio.nexus import file_writer as write_nexus

    from bravaismap.export.video import write_video

    np.save(folder / "a.npy", STACK)
    np.savez(folder / "a.npz", image=STACK, pixel_size_nm=0.1)
    np.savez_compressed(folder / "b.npz", image=STACK)
    tifffile.imwrite(folder / "plain.tif", STACK, photometric="minisblack")
    tifffile.imwrite(folder / "imagej.tif", STACK, imagej=True, compression="zlib", metadata={"axes": "TYX"})
    tifffile.imwrite(folder / "a.ome.tif", STACK, metadata={"axes": "TYX", "PhysicalSizeX": 0.3})
    tifffile.imwrite(folder / "tiled.tif", np.tile(STACK, (1, 4, 4)), photometric="minisblack", tile=(16, 16))
    palette = np.random.default_rng(3).integers(0, 65536, (3, 256)).astype(np.uint16)
    tifffile.imwrite(folder / "palette.tif", STACK[0].astype(np.uint8), photometric="palette", colormap=palette)
    tifffile.imwrite(folder / "c.ome.tif", STACK.reshape(2, 2, 12, 17), metadata={"axes": "TCYX"})
    header = tvips_header(0.03)
    tifffile.imwrite(folder / "tvips.tif", STACK[0], extratags=[(37706, "B", len(header), header, True)])
    write_sis(folder / "sis.tif", STACK[0], 3e-11)
    pixel = '<PixelSize><X unit="m">3e-11</X><Y unit="m">3e-11</Y></PixelSize>'
    tags = {
        "velox": (
            34683,
            f'<?xml version="1.0" encoding="utf-8"?><Metadata><BinaryResult>{pixel}</BinaryResult></Metadata>',
        ),
        "fei": (34682, "[User]\r\nDate=1\r\n\r\n[Scan]\r\nPixelWidth=3e-011\r\nPixelHeight=3e-011\r\n"),
        "zeiss": (34118, "\r\n0\r\n0\r\n1.0\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 30.0 pm\r\n"),
    }
    for name, (tag, text) in tags.items():
        tifffile.imwrite(folder / f"{name}.tif", STACK[0], extratags=[(tag, "s", 0, text, True)])
    steps = [(65003, "s", 3, "nm", False), (65004, "s", 3, "nm", False), (65005, "s", 2, "s", False)]
    steps += [(number, "d", 1, 0.03, False) for number in (65009, 65010, 65011)]
    tifffile.imwrite(folder / "dm.tif", STACK, photometric="minisblack", extratags=steps)
    with tifffile.TiffWriter(folder / "pages.tif") as file:
        for frame in (*STACK, STACK[0, ::2, ::2]):
            file.write(frame)
    Image.fromarray(STACK[0].astype(np.uint8)).quantize(64).save(folder / "palette.png")
    for suffix in ("png", "jpg", "bmp", "gif"):
        Image.fromarray(STACK[0].astype(np.uint8)).save(folder / f"a.{suffix}")
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("image", data=STACK, chunks=(1, 12, 17), compression="gzip")
        file["image"].attrs["pixel_size_nm"] = 0.1
    write_hspy(str(folder / "a.hspy"), hyperspy_signal(STACK))
    write_nexus(str(folder / "a.nxs"), hyperspy_signal(STACK))
    write_emd(str(folder / "a.emd"), hyperspy_signal(STACK))
    data = xr.Dataset({"image": (("time", "y", "x"), STACK.astype(np.int16))}, coords={"x": np.arange(17.0)})
    data.to_netcdf(folder / "three.nc", engine="scipy")
    data.to_netcdf(folder / "four.nc", engine="h5netcdf")
    with mrcfile.new(folder / "a.mrc") as file:
        file.set_data(STACK)
    with mrcfile.new(folder / "turned.mrc") as file:
        file.set_data(STACK.astype(np.int8))
        file.header.mapc, file.header.mapr, file.header.maps = 2, 1, 3
        file.header.dmin, file.header.dmax = 0, 255
    with h5py.File(folder / "point.nxs", "w") as file:
        group = file.create_group("entry/data")
        group.parent.attrs["NX_class"], group.attrs["NX_class"] = "NXentry", "NXdata"
        group.attrs["signal"], group.attrs["axes"] = "data", [".", "y", "x"]
        group["data"], group["y"], group["x"] = STACK, 0.03 * np.arange(12), 0.03 * np.arange(17)
    (folder / "a.dm3").write_bytes(dm_bytes(3, [(STACK, (*NM, (0.5, "s")))], False))
    (folder / "a.dm4").write_bytes(dm_bytes(4, [(STACK, (*NM, (0.5, "s")))], False))
    (folder / "a.ser").write_bytes(ser_bytes(STACK, 3e-11, True, 2))
    write_gwy(folder / "a.gwy", {"Height": STACK[0].astype(float)})
    (folder / "a.gsf").write_bytes(gsf_bytes(STACK[0], XReal=1.7e-9, YReal=1.2e-9, XYUnits="m"))
    (folder / "a.sxm").write_bytes(sxm_bytes([STACK[0].astype(np.float32)], "forward"))
    (folder / "a.3ds").write_bytes(grid_bytes(np.ones((12, 17, 7), np.float32), np.ones((12, 17, 5), np.float32)))
    parameters, values = matrix_files(STACK[0].astype(int), "run--1_1.Z_mtrx")
    (folder / "run_0001.mtrx").write_bytes(parameters)
    (folder / "run--1_1.Z_mtrx").write_bytes(values)
    for suffix in ("mp4", "avi"):
        write_video(folder / f"a.{suffix}", np.repeat(STACK.astype(np.uint8)[..., None], 3, axis=-1), 10.0)
    data.to_zarr(folder / "a.zarr", zarr_format=3, consolidated=False)
    write_emd_1(folder / "emd1.h5")
    axes = [("t", "second"), ("y", "nanometer"), ("x", "nanometer")]
    ome_zarr(folder / "ome.zarr", STACK, axes, [0.2, 0.03, 0.03], "0.4")
    ome_zarr(folder / "tree" / "ome.zarr", STACK, axes, [0.2, 0.03, 0.03], "0.5")
    shutil.make_archive(str(folder / "ome"), "zip", folder / "tree")
    shutil.rmtree(folder / "tree")
    store = zarr.storage.ZipStore(folder / "a.zspy", mode="w")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr 2 has no specification for what is in a group of its own
        write_zspy(folder / "b.zspy", folder / "b.zspy")
        write_zspy(folder / "a.zspy", store)
        store.close()
    return {path.name: path for path in sorted(folder.iterdir()) if path.suffix != ".mtrx"}


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return the content of a file after one or a few accidents."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        if not data:
            break
        reach = rng.choice((64, 1024, len(data)))  # headers are near the beginning
        place = rng.randrange(min(reach, len(data)))
        way = rng.choice(("flip", "flip", "cut", "number", "number", "digit", "zeros", "repeat", "grow"))
        if way == "flip":
            data[place] ^= 1 << rng.randrange(8)
        elif way == "cut":
            data = data[: rng.randrange(len(data))]
        elif way == "number":
            size = rng.choice((1, 2, 4, 8))
            value = rng.choice(
                (0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), 2 ** (4 * size))
            )
            start = place - place % size
            data[start : start + size] = value.to_bytes(size, rng.choice(("little", "big")))
        elif way == "digit":
            digits = [i for i, byte in enumerate(data[:4096]) if byte in b"0123456789"]
            if digits:
                start = rng.choice(digits)
                data[start : start + 1] = rng.choice((b"0", b"-1", b"9999999999", b"1e300", b"x"))
        elif way == "zeros":
            data[place : place + rng.choice((1, 16, 512))] = bytes(rng.choice((1, 16)))
        elif way == "repeat":
            piece = data[place : place + rng.choice((4, 64, 1024))]
            data[place:place] = piece
        else:
            data += rng.randbytes(rng.choice((1, 100, 5000)))
    return bytes(data)


def write_mutants(folder: Path, seeds: dict[str, Path], examples: int, seed: str) -> list[Path]:
    """Write damaged copies of every good file, each in a folder of its own."""
    paths = []
    for name, source in seeds.items():
        rng = random.Random(f"{seed} {name}")
        for i in range(examples):
            target = folder / f"{name}-{i}" / name
            target.parent.mkdir()
            if source.is_dir():
                shutil.copytree(source, target)
                inner = rng.choice(sorted(path for path in target.rglob("*") if path.is_file()))
            else:
                inner = target
                inner.write_bytes(source.read_bytes())
                for beside in source.parent.glob("*.mtrx"):
                    (target.parent / beside.name).write_bytes(beside.read_bytes())
            inner.write_bytes(mutated(inner.read_bytes(), rng))
            paths.append(target)
    return paths


def outcome(path: str) -> dict[str, object]:
    """Read a file and the first frame of it, and tell how that went."""
    from bravaismap.errors import InputError
    from bravaismap.read.reading import read

    start = time.monotonic()
    found = {"path": path, "what": "read", "said": ""}
    channel = "0" if Path(path).name == "c.ome.tif" else None
    try:
        movie = read(path, channel=channel)
        read(path, channel=channel, frames="-2:", crop=":9,1:", bin=2)
        if movie[0].size < 10**7:
            np.asarray(movie[0].data)
    except InputError as error:
        found |= {"what": "refused", "said": str(error)}
    except BaseException as error:
        found |= {"what": type(error).__name__, "said": f"{error!r}"}
    return found | {"seconds": time.monotonic() - start}


def read_all() -> None:
    """Read the files whose paths come in, a line each, in limited memory, and print the outcomes."""
    import resource

    from bravaismap.read import arrays, hdf5, micrograph, pictures, reading, spm, video  # noqa: F401

    warnings.simplefilter("ignore")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
    for line in sys.stdin:
        print("next " + line.rstrip("\n"), flush=True)
        print("done " + json.dumps(outcome(line.rstrip("\n"))), flush=True)


def outcomes(paths: list[Path]) -> list[dict[str, object]]:
    """Return how reading each file went; one that ends the process or takes too long is an outcome too."""
    left, found = [str(path) for path in paths], []
    while left:
        try:
            done = subprocess.run(
                [sys.executable, __file__],
                input="\n".join(left) + "\n",
                capture_output=True,
                text=True,
                check=False,
                timeout=SECONDS * 2 + 0.5 * len(left) * SECONDS,
            )
            printed, code = done.stdout, done.returncode
            trouble = done.stderr
        except subprocess.TimeoutExpired as error:
            printed, code, trouble = (error.stdout or b"").decode(), -1, "too long"
        here = [json.loads(line[5:]) for line in printed.splitlines() if line.startswith("done ")]
        found += here
        left = left[len(here) :]
        if left:
            found.append({"path": left[0], "what": f"ended with {code}", "said": trouble[-500:], "seconds": SECONDS})
            left = left[1:]
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
def test_damaged_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    seeds = write_seeds(tmp_path / "good")
    assert len(seeds) >= 45
    good = outcomes(list(seeds.values()))
    assert [one for one in good if one["what"] != "read"] == []
    paths = write_mutants(tmp_path / "bad", seeds, EXAMPLES, SEED)
    found = outcomes(paths)
    counts: dict[str, int] = {}
    for one in found:
        counts[str(one["what"])] = counts.get(str(one["what"]), 0) + 1
    with capfd.disabled():
        if EXAMPLES > 10:
            print(counts)
    wrong = [one for one in found if one["what"] not in ("read", "refused")]
    assert wrong == [], wrong[:5]
    slow = [one for one in found if float(str(one["seconds"])) > SECONDS]
    assert slow == []
    refusals = [one for one in found if one["what"] == "refused"]
    assert len(refusals) > len(found) / 4
    for one in refusals:
        assert "\n" not in str(one["said"])
        assert Path(str(one["path"])).name in str(one["said"])


if __name__ == "__main__":
    read_all()
