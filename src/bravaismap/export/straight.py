"""Files of straightened images: TIFF with the size of a pixel, and NumPy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bravaismap.errors import InputError
from bravaismap.files import made_folder, replacing

__all__ = ["export_straight"]

#: Bytes that an ImageJ TIFF can hold.
_MOST_BYTES = 2**32 - 2**25


def export_straight(straight: xr.Dataset, folder: str | os.PathLike[str]) -> list[Path]:
    """Write straightened images.

    Parameters
    ----------
    straight : Dataset
        Of :func:`~bravaismap.straighten`.
    folder : str or path
        Created if it does not exist; files of the same name in it are replaced.

    Returns
    -------
    list of Path
        ``straight.tif``, an ImageJ stack of single precision with the size of a pixel if that is known, and
        ``straight.npy`` (time, y, x). Pixels outside of the scanned area are NaN.

    Raises
    ------
    InputError
        If the images are more than a TIFF can hold.
    OutputError
        If the folder or a file in it cannot be written.
    """
    import tifffile

    folder = made_folder(folder)
    images = np.asarray(straight["image"].values, np.float32)
    if images.nbytes > _MOST_BYTES:
        raise InputError(f"images of {images.nbytes / 2**30:.1f} GB were given; a TIFF holds 4: export some --frames")
    metadata: dict[str, Any] = {"axes": "TYX"}
    scale: dict[str, Any] = {}
    size = straight.attrs.get("pixel_size_nm")
    if size is not None:
        metadata["unit"] = "nm"
        scale["resolution"] = (1 / size, 1 / size)
    paths = [folder / "straight.tif", folder / "straight.npy"]
    with replacing(paths[0]) as temporary:
        tifffile.imwrite(temporary, images, imagej=True, metadata=metadata, **scale)
    with replacing(paths[1]) as temporary:
        np.save(temporary, images)
    return paths
