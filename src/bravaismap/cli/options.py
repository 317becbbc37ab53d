"""Options that several commands share."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated

import typer

from bravaismap.classify.settings import DEFAULT_DISTORTION, DEFAULTS, LARGEST_SEED
from bravaismap.cli.terminal import be_quiet
from bravaismap.errors import InputError

__all__ = [
    "DEFAULT_NAN",
    "BinOption",
    "ChannelOption",
    "CmapOption",
    "CropOption",
    "DatasetOption",
    "DeviceOption",
    "DistortionOption",
    "DpiOption",
    "FormatOption",
    "FrameTimeOption",
    "FramesOption",
    "JsonOption",
    "ModelOption",
    "Nan",
    "NanOption",
    "OverwriteOption",
    "PixelOption",
    "QuietOption",
    "ResultDistortionOption",
    "SamplesOption",
    "SchedulerOption",
    "SeedOption",
    "SimulationKind",
    "SpectrumChoice",
    "StepOption",
    "StyleOption",
    "WindowOption",
    "WorkersOption",
    "fraction_of",
    "region_of",
]


class Nan(StrEnum):
    """What to do with NaN and infinite pixels: they were never measured, or are filled, or an error."""

    MISSING = "missing"
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
    ENLARGED = "enlarged"
    FILM = "film"


def _hushed(asked: bool) -> bool:
    """Keep lines that are no answer to itself where that was asked for."""
    if asked:
        be_quiet()
    return asked


def fraction_of(text: str | float) -> float:
    """Return a fraction that was given as such, 0.02, or in percent, 2%."""
    if not isinstance(text, str):
        return float(text)
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if rest or not math.isfinite(value):
        raise typer.BadParameter(f"{text!r} was given; expected such as 2% or 0.02")
    return value / 100 if percent else value


#: What the distortion is, for a microscopist.
_DISTORTION_HELP = (
    "Scan distortion: by how much your microscope stretches and shears an image, by drift, creep or calibration, as "
    "2% or 0.02. A cell this close to a more symmetric one counts as that."
)

ModelOption = Annotated[str, typer.Option("--model", help="Model by name (see `models`) or a .safetensors file.")]
SamplesOption = Annotated[
    int | None,
    typer.Option(
        "--samples",
        help="Draws of repeated measurements, or passes of Monte-Carlo dropout; 0 for none.",
        show_default="an image 5000, fewer for many; a window 60, of a network 30",
    ),
]
DistortionOption = Annotated[
    float | None,
    typer.Option(
        "--distortion",
        help=_DISTORTION_HELP,
        parser=fraction_of,
        metavar="PERCENT",
        show_default=f"{100 * DEFAULT_DISTORTION:g}%",
    ),
]
ResultDistortionOption = Annotated[
    float | None,
    typer.Option(
        "--distortion",
        help=_DISTORTION_HELP,
        parser=fraction_of,
        metavar="PERCENT",
        show_default=f"{100 * DEFAULT_DISTORTION:g}%, or that of the result",
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="Where to compute: cpu, cuda (a GPU), or auto for a GPU if there is one.")
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
ChannelOption = Annotated[
    str | None,
    typer.Option("--channel", help="Channel or detector by name or number; red, green or blue of a picture."),
]
WindowOption = Annotated[
    str,
    typer.Option("--window", metavar="auto|N", help="Side of a window in px; auto: ten cells of the lattice."),
]
PixelsOption = Annotated[
    bool,
    typer.Option("--pixels/--no-pixels", help="Also the phase of every pixel and the area of each class."),
]
StepOption = Annotated[
    int | None,
    typer.Option("--step", help="Distance between windows in px.", show_default="an eighth of the window"),
]
FramesOption = Annotated[
    str | None,
    typer.Option("--frames", help="Frames from:to or from:to:step, as in 10:50:2; the first is 0.", show_default="all"),
]
CropOption = Annotated[
    str | None,
    typer.Option("--crop", help="Rows and columns y0:y1,x0:x1 in px, or in nm as in 0:5,2:8nm.", show_default="all"),
]
BinOption = Annotated[int, typer.Option("--bin", help="Average N × N pixels into one.", metavar="N")]
NanOption = Annotated[
    Nan,
    typer.Option("--nan", help="NaN and infinite pixels: missing (never measured), fill from neighbours, or raise."),
]
FormatOption = Annotated[
    str, typer.Option("--format", help="Formats of the figures, separated by commas: png, pdf, svg.")
]
DpiOption = Annotated[int, typer.Option("--dpi", help="Dots per inch of the figures.")]
StyleOption = Annotated[
    str, typer.Option("--style", help="Width of the figures: page (16 cm) or small (85 mm, a column).")
]
CmapOption = Annotated[
    str | None,
    typer.Option(
        "--cmap",
        help="Colour map of Matplotlib for probabilities, lengths, angles.",
        show_default="viridis, cividis",
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="The answer, warnings and errors alone.", callback=_hushed, is_eager=True)
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON object and nothing else.", callback=_hushed, is_eager=True)
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace a result that exists.")]
SchedulerOption = Annotated[
    str | None,
    typer.Option("--scheduler", help="Map on the workers of a dask scheduler (tcp://host:8786).", show_default=False),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", help="Map in so many processes of this computer.", show_default="as many as map it soonest"
    ),
]


def region_of(text: str, option: str) -> dict[str, slice]:
    """Return the region that ``y0:y1,x0:x1`` means; an end left out is that of the map."""
    try:
        ends = [[float(end) if end.strip() else None for end in part.split(":")] for part in text.split(",")]
        (y0, y1), (x0, x1) = ends
    except ValueError:
        raise InputError(
            f"{option} {text} was given; expected y0:y1,x0:x1 in the unit of the result, such as 0:5,0:10"
        ) from None
    return {"y": slice(y0, y1), "x": slice(x0, x1)}
