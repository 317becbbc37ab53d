"""A result opened lazily: one that is finished, one that is being mapped, or one of a live run that grows."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from bravaismap.errors import BravaismapError, InputError, OutputError
from bravaismap.result.card import card_of
from bravaismap.result.journal import JOURNAL, journal_of
from bravaismap.result.phase_map import PhaseMap
from bravaismap.result.schema import AXES, MARKS, VARIABLES
from bravaismap.result.stored import StoredVariable
from bravaismap.result.structure import check_card, check_files, check_names, checked_arrays
from bravaismap.result.zarr_store import dims_of, frames_together, open_group, write_problem

__all__ = ["open_result"]


def open_result(path: str | os.PathLike[str]) -> PhaseMap:
    """Open a result, lazily.

    Parameters
    ----------
    path : path
        The ``.zarr`` folder that ``bravaismap map`` or ``watch`` wrote; it may be unfinished.

    Returns
    -------
    PhaseMap
        A Dataset with the variables of :func:`bravaismap.map_phases`; frames that are not mapped yet are NaN and their
        label is -1. Of a live run, the frames that are complete now. The attributes are the run card.

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
    try:
        return _opened(folder)
    except BravaismapError:
        raise
    except PermissionError as error:
        raise OutputError(write_problem(folder, error, "check the permissions of the folder")) from error
    except Exception as error:  # whatever damaged metadata make a library raise
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"{folder}: a damaged result ({reason}); map the movie again with --overwrite") from error


def _opened(folder: Path) -> PhaseMap:
    if folder.is_dir():
        check_files(folder)
    group = open_group(folder, "r")
    card = card_of(group, folder)
    check_card(card, folder)
    growing = (folder / JOURNAL).exists()
    # the journal before the arrays, which are never shorter than it
    frames = len(journal_of(folder)) if growing else None
    arrays = checked_arrays(group, folder, growing=growing)
    names = check_names(arrays.pop("lattice"), folder)
    for mark in MARKS:
        del arrays[mark.name]
    order = [v.name for v in VARIABLES if v.name in arrays]
    variables = {name: _variable(arrays[name], folder, frames) for name in dict.fromkeys([*order, *arrays])}
    coords = {dim: variables.pop(dim) for dim in AXES if dim in variables} | {"lattice": names}
    return PhaseMap(variables, coords=coords, attrs=card)


def _variable(array: zarr.Array[Any], folder: Path, frames: int | None) -> tuple[tuple[str, ...], Any, dict[str, Any]]:
    """Return a stored array as what `xarray.Dataset` takes, of a live result as many frames as are complete."""
    da: Any = import_module("dask.array")  # its functions have no types
    dims = dims_of(array)
    if array.basename not in AXES:
        stored: Any = StoredVariable(array, folder) if dims[0] == "time" else array
        # without a name of its own dask reads nothing to make one, and never takes a result for one written before it
        chunks = (frames_together(array), *array.shape[1:])  # of which dask reads the frames that are asked for
        data = da.from_array(stored, chunks=chunks, name=False)
    else:
        data = np.asarray(array[...])
    attributes = {key: value for key, value in array.attrs.items() if not key.startswith("_")}
    return dims, data[:frames] if dims[:1] == ("time",) else data, attributes
