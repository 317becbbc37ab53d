"""The result on disk: a zarr store that grows frame by frame, and the run card that says how it was made.

A frame is complete when its mark in `frame_done` is set, which is written after everything else of that frame; what a
crash leaves behind is a store that opens, knows which frames it has, and can be continued. The `lattice` axis is stored
as small integers with CF `flag_values` and `flag_meanings`, so that any zarr or NetCDF reader can open it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from bravaismap.cells import CELL_SIZES, Table
from bravaismap.errors import InputError, OutputError
from bravaismap.phases import UNMAPPED, PhaseMap

__all__ = ["MAP_VARIABLES", "ResultStore", "open_result"]

_FORMAT = 1
_CARD = "run_card"
_DONE = "frame_done"
#: What may differ when a result is continued: the path of the same movie, and filling what would have been an error.
_MAY_DIFFER = {"input", "nan"}
#: Variables of every map: dimensions, type, and what they are.
MAP_VARIABLES: Table = {
    "probability": (("time", "y", "x", "lattice"), "float32", {"long_name": "probability", "units": "1"}),
    "probability_std": (("time", "y", "x", "lattice"), "float32", {"long_name": "σ of the probability", "units": "1"}),
    "entropy": (("time", "y", "x"), "float32", {"long_name": "predictive entropy", "units": "nat"}),
    "mutual_information": (("time", "y", "x"), "float32", {"long_name": "mutual information", "units": "nat"}),
    "label": (("time", "y", "x"), "int8", {"long_name": "most probable class"}),
    "fraction": (("time", "lattice"), "float64", {"long_name": "phase fraction", "units": "1"}),
    "fraction_std": (("time", "lattice"), "float64", {"long_name": "σ of the phase fraction", "units": "1"}),
}


class ResultStore:
    """A result being written.

    Parameters
    ----------
    path : Path
        The ``.zarr`` folder.
    coords : mapping of str to DataArray
        ``time``, ``y``, ``x`` with their ``units``, and ``lattice`` (class names).
    card : mapping
        The run card. A result that exists is continued when its card is the same.
    overwrite : bool
        Replace a result that exists.
    variables : mapping
        Dimensions, type and attributes of each variable.

    Raises
    ------
    OutputError
        If the path cannot be written, holds something else, a finished result, or one with another run card (the
        difference is named).
    """

    def __init__(
        self,
        path: Path,
        coords: Mapping[str, xr.DataArray],
        card: Mapping[str, Any],
        *,
        overwrite: bool = False,
        variables: Table = MAP_VARIABLES,
    ) -> None:
        self.path = path
        self._created = False
        if path.exists() and overwrite:
            _remove_result(path)
        if path.exists():
            self._group = self._continue(card)
        else:
            self._group = self._create(coords, card, variables)
        self.done: NDArray[np.bool_] = np.asarray(self._array(_DONE)[:], bool)

    def write_frame(self, index: int, variables: Mapping[str, NDArray[Any]]) -> None:
        """Write everything of one frame, then mark it as done."""
        try:
            for name, values in variables.items():
                self._array(name)[index] = values
            self._array(_DONE)[index] = 1
        except OSError as error:
            raise OutputError(_write_problem(self.path, error, "the same command continues it")) from error
        self.done[index] = True

    def discard_if_empty(self) -> None:
        """Remove a store that this object has created and that holds no frame yet."""
        if self._created and not self.done.any():
            shutil.rmtree(self.path, ignore_errors=True)

    def _array(self, name: str) -> zarr.Array[Any]:
        array = self._group[name]
        assert isinstance(array, zarr.Array)
        return array

    def _continue(self, card: Mapping[str, Any]) -> zarr.Group:
        group = _open_group(self.path, "r+")
        difference = card_difference(_card_of(group, self.path), card)
        if difference:
            raise OutputError(
                f"{self.path} exists and was made differently ({difference}); give --overwrite or another output"
            )
        group.attrs[_CARD] = json.dumps(dict(card), ensure_ascii=False)
        done = group[_DONE]
        assert isinstance(done, zarr.Array)
        if np.asarray(done[:]).all():
            raise OutputError(f"{self.path} exists and is complete; give --overwrite to make it again")
        return group

    def _create(self, coords: Mapping[str, xr.DataArray], card: Mapping[str, Any], variables: Table) -> zarr.Group:
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            group = zarr.open_group(partial, mode="w", zarr_format=3)
            group.attrs.update({"format": _FORMAT, _CARD: json.dumps(dict(card), ensure_ascii=False)})
            _create_arrays(group, coords, variables)
            os.replace(partial, self.path)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise OutputError(_write_problem(self.path, error, "give -o a folder that can be written to")) from error
        self._created = True
        return _open_group(self.path, "r+")


def open_result(path: str | os.PathLike[str]) -> PhaseMap:
    """Open a result, lazily.

    Parameters
    ----------
    path : path
        The ``.zarr`` folder that ``bravaismap map`` wrote; it may be unfinished.

    Returns
    -------
    PhaseMap
        A Dataset with the variables of :func:`bravaismap.map_phases`; frames that are not mapped yet are NaN and their
        label is -1. The attributes are the run card.

    Raises
    ------
    InputError
        If there is no such folder, or it is not a result.
    """
    folder = Path(path)
    if not folder.exists():
        raise InputError(f"{folder}: no such result; give the .zarr folder that `bravaismap map` wrote")
    card = _card_of(_open_group(folder, "r"), folder)
    if (folder / _DONE / "frames.jsonl").exists():  # of a live run
        from bravaismap.io.live import open_live

        return open_live(folder)
    try:
        dataset = xr.open_zarr(folder, consolidated=False)
        names = str(dataset["lattice"].attrs["flag_meanings"]).split()
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{folder}: a damaged result ({error}); map the movie again with --overwrite") from error
    dataset = dataset.drop_vars(_DONE).assign_coords(lattice=("lattice", names))
    return PhaseMap(dataset.data_vars, coords=dataset.coords, attrs=card)


def card_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Name what differs between two run cards (an empty string when nothing does)."""
    differing = [key for key in sorted({*old, *new} - _MAY_DIFFER) if old.get(key) != new.get(key)]
    return ", ".join(f"{key}: {old.get(key)!r} there, {new.get(key)!r} now" for key in differing)


def _create_arrays(group: zarr.Group, coords: Mapping[str, xr.DataArray], variables: Table) -> None:
    sizes = CELL_SIZES | {dim: coords[dim].size for dim in ("time", "y", "x", "lattice")}
    for dim in ("time", "y", "x"):
        values = np.asarray(coords[dim].values, np.float64)
        group.create_array(
            dim, data=values, chunks=values.shape, dimension_names=(dim,), attributes=dict(coords[dim].attrs)
        )
    names = [str(name) for name in coords["lattice"].values]
    flags: dict[str, Any] = {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)}
    group.create_array(
        "lattice",
        data=np.arange(len(names), dtype=np.int8),
        chunks=(len(names),),
        dimension_names=("lattice",),
        attributes={"long_name": "Bravais lattice"} | flags,
    )
    for name, (dims, dtype, attributes) in variables.items():
        shape = tuple(sizes[dim] for dim in dims)
        group.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=(1, *shape[1:]),
            fill_value=UNMAPPED if name == "label" else np.nan,
            dimension_names=dims,
            attributes=dict(attributes) | (flags if name == "label" else {}),
        )
    group.create_array(
        _DONE, shape=(sizes["time"],), dtype="uint8", chunks=(1,), fill_value=0, dimension_names=("time",)
    )


def _open_group(path: Path, mode: str) -> zarr.Group:
    try:
        group = zarr.open_group(path, mode=mode, zarr_format=3)  # type: ignore[arg-type]
    except PermissionError as error:
        raise OutputError(_write_problem(path, error, "check the permissions of the folder")) from error
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a result of `bravaismap map`") from error
    if group.attrs.get("format") != _FORMAT or _DONE not in group:
        raise InputError(f"{path}: a zarr store, but not a result of `bravaismap map`")
    return group


def _card_of(group: zarr.Group, path: Path) -> dict[str, Any]:
    try:
        card = json.loads(str(group.attrs[_CARD]))
        if not isinstance(card, dict):
            raise ValueError(f"expected a table, not {card!r}")
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: the run card is missing or damaged; map the movie again with --overwrite") from error
    return card


def _remove_result(path: Path) -> None:
    """Remove an old result; anything else at that path is left alone."""
    try:
        _open_group(path, "r")
    except InputError as error:
        raise OutputError(f"{path} exists and is not a result of `bravaismap map`; give another output") from error
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise OutputError(_write_problem(path, error, "give another output")) from error


def _write_problem(path: Path, error: OSError, advice: str) -> str:
    what = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error)).lower()
    return f"{path}: cannot be written ({what}); {advice}"
