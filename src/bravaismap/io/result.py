"""The result on disk: a zarr store that grows frame by frame, and the run card that says how it was made.

A frame is complete when its mark in `frame_done` is set, which is written after everything else of that frame and its
checksum. Every file is written under another name and then renamed, so that what a crash leaves behind is a store that
opens, knows which frames it has, and can be continued. The `lattice` axis is stored as small integers with CF
`flag_values` and `flag_meanings`, so that any zarr or NetCDF reader can open it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from bravaismap.cells import CELL_SIZES, Table, cell_table
from bravaismap.errors import BravaismapError, BravaismapWarning, InputError, OutputError
from bravaismap.io.checksum import frame_checksum, intact_frames, readable_frames
from bravaismap.io.lock import WriterLock
from bravaismap.io.structure import check_card, check_files, check_names, check_variables
from bravaismap.phases import UNMAPPED, PhaseMap

__all__ = [
    "CHECKSUM",
    "DONE",
    "MAP_VARIABLES",
    "WRITABLE",
    "ResultStore",
    "array_of",
    "card_difference",
    "card_of",
    "create_store",
    "open_group",
    "open_result",
    "write_problem",
]

_FORMAT = 1
_CARD = "run_card"
#: Arrays of a mark and of a checksum for each frame.
DONE = "frame_done"
CHECKSUM = "frame_checksum"
_MARKS = {CHECKSUM: "uint32", DONE: "uint8"}
#: Written last of a frame's variables: a reader takes a frame that has it for mapped.
_LAST = "fraction"
#: Endings of what stands beside a store while it is made: the new one, and the one that it replaces.
_LEFTOVERS = (".partial", ".replaced")
#: What to do where a store cannot be made.
WRITABLE = "give -o a folder that can be written to"
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
    """A result being written, by one writer at a time.

    Use it in a ``with`` block, or `close` it; the end of the object or of the process closes it too.

    Parameters
    ----------
    path : Path
        The ``.zarr`` folder.
    coords : mapping of str to DataArray
        ``time``, ``y``, ``x`` with their ``units``, and ``lattice`` (class names).
    card : mapping
        The run card. A result that exists is continued when its card is the same; its frames are verified first.
    overwrite : bool
        Replace a result that exists.
    variables : mapping
        Dimensions, type and attributes of each variable.

    Attributes
    ----------
    done : bool array, shape (time,)
        Which frames are written.

    Raises
    ------
    OutputError
        If the path cannot be written, is being written by another, holds something else, a finished result without
        damage, or one with another run card (the difference is named).

    Warns
    -----
    UserWarning
        If frames of a result that is continued are damaged; they are no longer `done`.
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
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = WriterLock(path)
        except OSError as error:
            raise OutputError(write_problem(path, error, WRITABLE)) from error
        try:
            _remove_leftovers(path)
            self._created = overwrite or not path.exists()
            if self._created:
                create_store(path, coords, card, variables)
            self._open(variables)
            if not self._created:
                self._continue(coords, card)
        except OSError as error:
            self.close()
            raise OutputError(write_problem(path, error, WRITABLE)) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ResultStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others write."""
        self._lock.release()

    def write_frame(self, index: int, variables: Mapping[str, NDArray[Any]]) -> None:
        """Write everything of one frame, then its checksum, then mark it as done."""
        values = {name: np.asarray(variables[name], array.dtype) for name, array in self._arrays.items()}
        try:
            for name, array in self._arrays.items():
                array[index] = values[name]
            self._checksum[index] = frame_checksum(values)
            self._mark[index] = 1
        except OSError as error:
            raise OutputError(write_problem(self.path, error, "the same command continues it")) from error
        self.done[index] = True

    def verify(self) -> list[int]:
        """Compare the frames that are done with their checksums.

        Returns
        -------
        list of int
            Frames that are damaged; they are no longer marked as done.
        """
        wrong = self.done & ~intact_frames(self._arrays, self._checksum, self.done)
        damaged = [int(index) for index in np.flatnonzero(wrong)]
        for index in damaged:
            self._mark[index] = 0
        self.done &= ~wrong
        return damaged

    def discard_if_empty(self) -> None:
        """Remove a store that this object has created and that holds no frame yet."""
        if self._created and not self.done.any():
            shutil.rmtree(self.path, ignore_errors=True)

    def _open(self, variables: Table) -> None:
        self._group = open_group(self.path, "r+")
        order = sorted(variables, key=lambda name: (name == _LAST, name))
        try:
            self._arrays = {name: array_of(self._group, name) for name in order}
            self._checksum, self._mark = (array_of(self._group, name) for name in (CHECKSUM, DONE))
        except (KeyError, ValueError, TypeError) as error:
            raise OutputError(f"{self.path} exists and is damaged ({error}); give --overwrite") from error
        marks = readable_frames({DONE: self._mark}, 0, self._mark.shape[0])
        self.done = np.array([mark is not None and mark[DONE] == 1 for mark in marks], bool)

    def _continue(self, coords: Mapping[str, xr.DataArray], card: Mapping[str, Any]) -> None:
        difference = card_difference(card_of(self._group, self.path), card)
        if difference:
            raise OutputError(
                f"{self.path} exists and was made differently ({difference}); give --overwrite or another output"
            )
        damaged = self.verify()
        if damaged:
            named = ", ".join(map(str, damaged[:5])) + (", …" if len(damaged) > 5 else "")
            which = "1 frame is" if len(damaged) == 1 else f"{len(damaged)} frames are"
            warnings.warn(
                f"{self.path}: {which} damaged (frame {named}: not what was written), mapped again",
                BravaismapWarning,
                stacklevel=6,
            )
        _write_axes(self._group, coords)
        if self.done.all():
            raise OutputError(
                f"{self.path} exists and is complete, every frame as it was written; give --overwrite to make it again"
            )
        _remove_unfinished(self.path, self._arrays, self.done)
        self._group.attrs[_CARD] = json.dumps(dict(card), ensure_ascii=False)
        _consolidate(self.path)


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
        If there is no such folder, or it is not a result: what it declares is checked before anything is read.
    OutputError
        Without permission to read it.
    """
    folder = Path(path)
    if not folder.exists():
        raise InputError(f"{folder}: no such result; give the .zarr folder that `bravaismap map` wrote")
    growing = (folder / DONE / "frames.jsonl").exists()  # of a live run
    try:
        if folder.is_dir():
            check_files(folder)
        group = open_group(folder, "r")
        card = card_of(group, folder)
        check_card(card, folder)
        known = cell_table(("time", "y", "x"), "")
        required = MAP_VARIABLES | {name: (("time",), dtype, {}) for name, dtype in _MARKS.items()}
        check_variables(group, folder, required, known, growing=growing)
        names = check_names(array_of(group, "lattice"), folder)
        if growing:
            from bravaismap.io.live import open_live

            return open_live(folder)
        dataset = xr.open_zarr(folder, consolidated=False, decode_cf=False)
    except BravaismapError:
        raise
    except PermissionError as error:
        raise OutputError(write_problem(folder, error, "check the permissions of the folder")) from error
    except Exception as error:  # whatever damaged metadata make a library raise
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"{folder}: a damaged result ({reason}); map the movie again with --overwrite") from error
    dataset = dataset.drop_vars([DONE, CHECKSUM], errors="ignore").assign_coords(lattice=("lattice", names))
    return PhaseMap(dataset.data_vars, coords=dataset.coords, attrs=card)


def card_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Name what differs between two run cards (an empty string when nothing does)."""
    differing = [key for key in sorted({*old, *new} - _MAY_DIFFER) if old.get(key) != new.get(key)]
    return ", ".join(
        _track_difference(old.get(key), new.get(key))
        if key == "drift"
        else f"{key}: {old.get(key)!r} there, {new.get(key)!r} now"
        for key in differing
    )


def _track_difference(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    """Say in a few words how two drift tracks differ, which are as long as the movie."""
    if not old or not new:
        return f"drift: {'followed' if old else 'not followed'} there, {'followed' if new else 'not followed'} now"
    there, here = (np.stack([track["dy_px"], track["dx_px"]], axis=1) for track in (old, new))
    if len(there) != len(here):
        return f"drift: {len(there)} frames there, {len(here)} now"
    apart = float(np.hypot(*(there - here).T).max())
    bounds = [track.get("max_shift_px") for track in (old, new)]
    told = f", largest shift {bounds[0]} px there, {bounds[1]} px now" if bounds[0] != bounds[1] else ""
    return f"drift: {len(here)} frames, up to {apart:.2g} px apart{told}"


def create_store(
    path: Path,
    coords: Mapping[str, xr.DataArray],
    card: Mapping[str, Any],
    variables: Table,
    empty_file: str | None = None,
) -> None:
    """Make an empty store, which appears under its name when it is whole, and replaces one that exists.

    `empty_file` is the path within it of a file that must be there from the start. Raises OSError.
    """
    partial, replaced = (path.with_name(f".{path.name}.{os.getpid()}{ending}") for ending in _LEFTOVERS)
    if path.exists():
        _check_result(path)
    try:
        group = zarr.open_group(partial, mode="w", zarr_format=3)
        group.attrs.update({"format": _FORMAT, _CARD: json.dumps(dict(card), ensure_ascii=False)})
        _write_axes(group, coords)
        _create_arrays(group, coords, variables)
        if empty_file is not None:
            (partial / empty_file).touch()
        else:
            _consolidate(partial)
        if path.exists():
            os.rename(path, replaced)
        os.rename(partial, path)
    except OSError:
        if replaced.exists() and not path.exists():
            os.rename(replaced, path)
        raise
    finally:
        for leftover in (partial, replaced):
            shutil.rmtree(leftover, ignore_errors=True)


def _consolidate(path: Path) -> None:
    """Gather the metadata of all arrays in one place, where `xarray.open_zarr` looks for it; shapes do not change."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(str(path), zarr_format=3)


def _write_axes(group: zarr.Group, coords: Mapping[str, xr.DataArray]) -> None:
    """Write the coordinates that are missing or damaged."""
    names = [str(name) for name in coords["lattice"].values]
    axes = {dim: (np.asarray(coords[dim].values, np.float64), dict(coords[dim].attrs)) for dim in ("time", "y", "x")}
    axes["lattice"] = (np.arange(len(names), dtype=np.int8), {"long_name": "Bravais lattice"} | _flags(coords))
    for dim, (values, attributes) in axes.items():
        with suppress(Exception):  # whatever damaged bytes make the decoder raise
            if np.array_equal(array_of(group, dim)[:], values):
                continue
        group.create_array(
            dim, data=values, chunks=values.shape, dimension_names=(dim,), attributes=attributes, overwrite=True
        )


def _flags(coords: Mapping[str, xr.DataArray]) -> dict[str, Any]:
    names = [str(name) for name in coords["lattice"].values]
    return {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)}


def _create_arrays(group: zarr.Group, coords: Mapping[str, xr.DataArray], variables: Table) -> None:
    sizes = CELL_SIZES | {dim: coords[dim].size for dim in ("time", "y", "x", "lattice")}
    for name, (dims, dtype, attributes) in variables.items():
        shape = tuple(sizes[dim] for dim in dims)
        group.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=(1, *shape[1:]),
            fill_value=UNMAPPED if name == "label" else np.nan,
            dimension_names=dims,
            attributes=dict(attributes) | (_flags(coords) if name == "label" else {}),
        )
    for name, dtype in _MARKS.items():
        group.create_array(
            name, shape=(sizes["time"],), dtype=dtype, chunks=(1,), fill_value=0, dimension_names=("time",)
        )


def array_of(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """Return an array of a store; raises KeyError or TypeError if there is none."""
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise TypeError(f"{name} is no array")
    return array


def _remove_leftovers(path: Path) -> None:
    """Remove what a process that was killed has left beside a store."""
    for entry in path.parent.iterdir():
        if entry.name.startswith(f".{path.name}.") and entry.name.endswith(_LEFTOVERS):
            shutil.rmtree(entry, ignore_errors=True)


def _remove_unfinished(path: Path, names: Iterable[str], done: NDArray[np.bool_]) -> None:
    """Remove what there is of frames that are not done, and files that a process that was killed has not renamed."""
    undone = {str(index) for index in np.flatnonzero(~done)}
    for name in (*names, CHECKSUM, DONE):
        chunks = path / name / "c"
        for entry in os.scandir(chunks) if chunks.is_dir() else ():
            if entry.is_dir() and entry.name in undone:
                shutil.rmtree(entry)
            elif entry.name.endswith(".partial"):
                os.unlink(entry)
    for pattern in ("*.partial", "*/*.partial"):
        for file in path.glob(pattern):
            file.unlink(missing_ok=True)


def open_group(path: Path, mode: str) -> zarr.Group:
    """Open a store; raises `InputError` if it is none of ours, `OutputError` without permission."""
    try:
        group = zarr.open_group(path, mode=mode, zarr_format=3, use_consolidated=False)  # type: ignore[arg-type]
    except PermissionError as error:
        raise OutputError(write_problem(path, error, "check the permissions of the folder")) from error
    except (OSError, ValueError, KeyError, AssertionError) as error:  # the last is zarr 3.1.0's, of an array
        raise InputError(f"{path}: not a result of `bravaismap map`") from error
    if group.attrs.get("format") != _FORMAT or DONE not in group:
        raise InputError(f"{path}: a zarr store, but not a result of `bravaismap map`")
    return group


def card_of(group: zarr.Group, path: Path) -> dict[str, Any]:
    """Return the run card of a store, or raise `InputError` if it has none."""
    try:
        card = json.loads(str(group.attrs[_CARD]))
        if not isinstance(card, dict):
            raise ValueError(f"expected a table, not {card!r}")
    except (KeyError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: the run card is missing or damaged; map the movie again with --overwrite") from error
    return card


def _check_result(path: Path) -> None:
    """Raise `OutputError` unless there is a result at a path: anything else is not to be replaced."""
    try:
        open_group(path, "r")
    except InputError as error:
        raise OutputError(f"{path} exists and is not a result of `bravaismap map`; give another output") from error


def write_problem(path: Path, error: OSError, advice: str) -> str:
    """Say in one line why a path cannot be written, and what to do."""
    what = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error)).lower()
    return f"{path}: cannot be written ({what}); {advice}"
