"""A finished result classified anew for another distortion, without the images.

A result keeps the measurement that the classification rests on (`basis`, `basis_covariance`, `evidence`), so that
another distortion does not need the image.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from bravaismap.classify.answer import MEASURED, Cells, symmetric_matrix
from bravaismap.classify.cells import classified
from bravaismap.classify.settings import DEFAULT_DISTORTION, checked_distortion
from bravaismap.conventions import Floats
from bravaismap.errors import InputError
from bravaismap.phases.fractions import measured_fractions
from bravaismap.result.phase_map import PhaseMap
from bravaismap.result.schema import PIXELS, pixel_variables

__all__ = ["check_cells", "covariance_of", "reclassify"]


def reclassify(result: xr.Dataset, distortion: float = DEFAULT_DISTORTION) -> PhaseMap:
    """Return a result classified anew for another distortion of the instrument, without the images.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.classify`, :func:`~bravaismap.map_phases` or :func:`~bravaismap.open_result` returns it,
        of a model that measures cells. A lazy result stays lazy, a frame at a time.
    distortion : float
        Standard deviation of each component of the linear map from sample to image, as a fraction.

    Returns
    -------
    PhaseMap
        The windows of a new run with that distortion. Pixels, whose lattices are gathered from the windows, are left
        out: :func:`~bravaismap.pixel_map` measures them again, given the movie.

    Raises
    ------
    InputError
        If the result holds no measured cells, or the distortion is not within its limits.

    Examples
    --------
    >>> strict = bm.reclassify(bm.open_result("film.zarr"), distortion=0.003)
    """
    distortion = checked_distortion(distortion)
    check_cells(result, ("basis", "basis_covariance", "evidence", "probability", "label"))
    pixels = {variable.name for variable in pixel_variables()}
    result = result.drop_vars([name for name in result.variables if name in pixels | {*PIXELS[1:]}])
    if result.chunks:
        options, result = {"distortion": distortion}, result.chunk(time=1)  # as much memory as a frame takes
        again = xr.map_blocks(_reclassified, result, kwargs=options, template=result)
    else:
        again = _reclassified(result, distortion)
    card = {key: value for key, value in result.attrs.items() if key != "pixel_step"}
    return PhaseMap(again.data_vars, coords=result.coords, attrs=card | {"distortion": distortion})


def check_cells(result: xr.Dataset, needed: Iterable[str]) -> None:
    """Raise `InputError` if a result lacks a variable that only a model that measures cells gives."""
    missing = [name for name in needed if name not in result]
    if missing:
        raise InputError(
            f"the result has no {', '.join(missing)}: its model ({result.attrs.get('model', 'unknown')}) measured no "
            "cells; classify or map again with the model lattice"
        )


def covariance_of(result: xr.Dataset) -> Floats:
    """Return the covariance of the flattened basis, shape (windows..., 4, 4), which a result holds as triangles."""
    triangle = result["basis_covariance"].transpose(*result["label"].dims, "pair").values
    return symmetric_matrix(triangle.astype(float))


def _reclassified(result: xr.Dataset, distortion: float) -> xr.Dataset:
    dims, shape = result["label"].dims, result["label"].shape
    covariance = covariance_of(result).reshape(-1, 4, 4)
    basis = result["basis"].transpose(*dims, "vector", "component").values.reshape(-1, 2, 2).astype(float)
    cells = Cells(basis, covariance, result["evidence"].transpose(*dims).values.ravel().astype(float))
    answer = classified(cells, distortion, int(result.attrs["samples"]), int(result.attrs["seed"]))
    new = {}
    for name, values in answer.unknown_where(np.isnan(cells.evidence)).variables(None).items():
        if name not in MEASURED:
            old = result[name]
            order = (*dims, "lattice") if "lattice" in old.dims else dims
            new[name] = (order, values.reshape(*shape, *values.shape[1:]).astype(old.dtype), old.attrs)
    again = result.assign(new)
    if "fraction" in result:
        probability = again["probability"].transpose("time", "y", "x", "lattice").values.astype(float)
        frames = probability.reshape(len(probability), -1, probability.shape[-1])
        size, window = result.attrs["frame_size"], result.attrs["window"]
        fractions = [measured_fractions(frame, size, window) for frame in frames]
        fraction, std = (np.stack(values) for values in zip(*fractions, strict=True))
        again = again.assign(
            fraction=(("time", "lattice"), fraction, result["fraction"].attrs),
            fraction_std=(("time", "lattice"), std, result["fraction_std"].attrs),
        )
    return again
