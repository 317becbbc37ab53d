"""A frame, or one window of it, classified again at the distortion that the slider tries."""

from __future__ import annotations

import xarray as xr

from bravaismap.result.phase_map import PhaseMap

__all__ = ["reclassified_frame", "reclassified_window"]


def reclassified_frame(frame: PhaseMap, distortion: float) -> PhaseMap:
    """Return the map of a frame at another distortion: classes, probabilities, entropy and cells, without their σ.

    The σ of a probability takes draws, which are left for the one window that is inspected: `reclassified_window`.
    """
    if distortion == frame.attrs.get("distortion") or "basis" not in frame:
        return frame
    from bravaismap.phases.reclassification import reclassify

    result = reclassify(frame.assign_attrs(samples=0), distortion)
    return PhaseMap(result.data_vars, coords=result.coords, attrs=result.attrs | {"samples": frame.attrs["samples"]})


def reclassified_window(frame: PhaseMap, row: int, column: int, distortion: float) -> xr.Dataset:
    """Return one window of a frame (not yet reclassified) at a distortion, with all σ."""
    window = frame.isel(y=[row], x=[column])
    if distortion != frame.attrs.get("distortion") and "basis" in window:
        from bravaismap.phases.reclassification import reclassify

        window = reclassify(window, distortion)
    return window.isel(time=0, y=0, x=0)
