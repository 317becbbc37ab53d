"""The true area of a void, corrected for the blur of the windows that it is seen through.

A window is classified "none" only when most of it lies in a void: a window that is half crystal still shows the
lattice. A void of radius R therefore appears smaller, with a radius r = √(Σ p a / π) from the windows around it (p the
probability of "none", a the area of the cell of a window), and a void of a radius below about 0.4 windows does not
appear at all. For the model ``lattice`` and a window of side w, compact voids follow

    R / w = 0.330 + 0.865 r / w,     with a scatter of 0.020,

for 0.42 < R / w < 1.2. The constants are fitted to simulated films with a single void each (windows of 128 px of 12
lattice parameters, step 16; ``benchmarks/void_area.py`` fits them again and measures how far the corrected areas of
other films are from the truth). They hold for that model alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr

from bravaismap.conventions import NONE, Floats

__all__ = ["BLUR", "CALIBRATED_MODEL", "VoidShare", "blur_corrected", "corrected_fraction", "last_void_share"]


#: Offset and slope of R/w over r/w, fitted by ``benchmarks/void_area.py``.
BLUR: Final = (0.330, 0.865)
#: Name of the model that the correction is fitted for.
CALIBRATED_MODEL: Final = "lattice"


@dataclass(frozen=True)
class VoidShare:
    """The share of a frame that voids cover: the mean probability of none, and the corrected area."""

    mean_probability: float
    corrected: float


def blur_corrected(apparent: Floats, window: float) -> Floats:
    """Return the area of compact voids from their apparent area.

    Parameters
    ----------
    apparent : array
        Sum of the probability of "none" times the area of the cell over the windows in and around a void.
    window : float
        Side of a window, in the unit of lengths of the area.
    """
    radius = np.sqrt(np.asarray(apparent, float) / np.pi)
    return np.asarray(np.pi * np.where(radius > 0, BLUR[0] * window + BLUR[1] * radius, 0.0) ** 2)


def corrected_fraction(result: xr.Dataset, domains: xr.Dataset) -> xr.DataArray:
    """Return the share of the frame that voids cover, corrected for the blur of the window.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` returns it.
    domains : Dataset
        As :func:`bravaismap.domains.finding.find_domains` returns it for this result, without a movie.

    Returns
    -------
    DataArray (time,)
        NaN for frames that are not mapped, and in all frames if the result is of another model than
        `CALIBRATED_MODEL`. The paper's mean probability is ``result["fraction"]``.
    """
    size = float(result.attrs.get("pixel_size_nm") or 1.0)
    area = float(np.prod(result.attrs["frame_size"])) * size**2
    total = np.bincount(
        domains["frame"].values, np.nan_to_num(domains["corrected_area"].values), result.sizes["time"]
    ) / area  # fmt: skip
    valid = np.isfinite(result["fraction"].values).all(axis=-1) & (result.attrs.get("model") == CALIBRATED_MODEL)
    return xr.DataArray(
        np.where(valid, total, np.nan), {"time": result["time"]}, ("time",), "corrected_fraction", {"units": "1"}
    )


def last_void_share(result: xr.Dataset, domains: xr.Dataset) -> VoidShare | None:
    """Return the share of voids in the last frame, None where the correction does not apply to the result.

    Parameters
    ----------
    result, domains : Dataset
        As :func:`corrected_fraction` takes them.
    """
    if NONE not in result["lattice"].values:
        return None
    corrected = float(corrected_fraction(result, domains)[-1])
    if not np.isfinite(corrected):
        return None
    return VoidShare(float(result["fraction"].sel(lattice=NONE)[-1]), corrected)
