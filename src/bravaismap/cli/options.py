"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from bravaismap.classify.settings import DEFAULTS, LARGEST_SEED

__all__ = [
    "DEFAULT_NAN",
    "DatasetOption",
    "DeviceOption",
    "DistortionOption",
    "FrameTimeOption",
    "ModelOption",
    "Nan",
    "NanOption",
    "OverwriteOption",
    "PixelOption",
    "SamplesOption",
    "SchedulerOption",
    "SeedOption",
    "SimulationKind",
    "SpectrumChoice",
    "WorkersOption",
]


class Nan(StrEnum):
    """What to do with NaN and infinite pixels."""

    RAISE = "raise"
    FILL = "fill"


#: What is done when nothing is said.
DEFAULT_NAN = Nan(DEFAULTS.nan)


class SpectrumChoice(StrEnum):
    """How a whole image becomes a spectrum."""

    AUTO = "auto"
    WINDOW = "window"
    PAPER = "paper"


class SimulationKind(StrEnum):
    """What to simulate besides the windows of a recipe book."""

    SIMULATED = "simulated"
    REALISTIC = "realistic"
    WIDE = "wide"
    BROKEN = "broken"
    FILM = "film"


ModelOption = Annotated[str, typer.Option("--model", help="Model by name (see `models`) or a .safetensors file.")]
SamplesOption = Annotated[
    int | None,
    typer.Option("--samples", help="Draws, or passes of Monte-Carlo dropout; 0 for none.", show_default=False),
]
DistortionOption = Annotated[
    float,
    typer.Option("--distortion", help="Distortion of the scan: σ of each component of its linear map (0.02 is 2 %)."),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="Where to compute: cpu, cuda (a graphics card), or auto for one if there is.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Seed of all randomness.")]
PixelOption = Annotated[
    float | None,
    typer.Option("--pixel-size", help="Side of a pixel in nm.", show_default=False),
]
FrameTimeOption = Annotated[
    float | None,
    typer.Option("--frame-time", help="Time between frames in s.", show_default=False),
]
DatasetOption = Annotated[
    str | None,
    typer.Option("--dataset", help="Which image of a file that holds several (HDF5 path, npz key, channel)."),
]
NanOption = Annotated[Nan, typer.Option("--nan", help="What to do with NaN and infinite pixels.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace a result that exists.")]
SchedulerOption = Annotated[
    str | None,
    typer.Option("--scheduler", help="Map on the workers of a dask scheduler (tcp://host:8786).", show_default=False),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", help="Map in so many processes of this computer.", show_default=False),
]
