"""The command that shows a result, or a movie, in the browser: view."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bravaismap.classify.settings import DEFAULT_MODEL, DEFAULTS
from bravaismap.cli.options import (
    BinOption,
    ChannelOption,
    CropOption,
    DatasetOption,
    FramesOption,
    FrameTimeOption,
    Nan,
    PixelOption,
    QuietOption,
    ResultDistortionOption,
)
from bravaismap.cli.reading import Reading
from bravaismap.cli.start import app
from bravaismap.cli.terminal import err, note, out

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["view"]


@app.command()
def view(
    source: Annotated[
        Path, typer.Argument(help="Result folder (.zarr), or a movie, which is mapped while it is shown.")
    ],
    movie: Annotated[
        str | None, typer.Option("--movie", help="The movie that was mapped, to see its frames with a result.")
    ] = None,
    beside: Annotated[
        Path | None, typer.Option("--beside", help="Another result of the same frames, shown beside the first.")
    ] = None,
    port: Annotated[int, typer.Option("--port", help="Port to listen on.", show_default="a free one")] = 0,
    address: Annotated[
        str, typer.Option("--address", help="Address to listen on; this computer alone by default.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    window: Annotated[
        str | None,
        typer.Option(
            "--window", metavar="auto|N", help="Of a movie: side of a window in px.", show_default=str(DEFAULTS.window)
        ),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(
            "--step", help="Of a movie: distance between windows in px.", show_default="an eighth of the window"
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Of a movie: model by name or file.", show_default=DEFAULT_MODEL)
    ] = None,
    distortion: ResultDistortionOption = None,
    pixel_size: PixelOption = None,
    frame_time: FrameTimeOption = None,
    dataset: DatasetOption = None,
    channel: ChannelOption = None,
    frames: FramesOption = None,
    crop: CropOption = None,
    bin: BinOption = 1,
    nan: Annotated[
        Nan | None, typer.Option("--nan", help="Of a movie: what to do with NaN pixels.", show_default=DEFAULTS.nan)
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Look at a result, finished or not, or at a movie while it is mapped, in the browser."""
    from bravaismap.viewer import need_panel

    need_panel()
    from bravaismap.result.open import open_result
    from bravaismap.result.schema import DONE
    from bravaismap.viewer.addresses import is_local
    from bravaismap.viewer.movie_source import open_beside, open_source
    from bravaismap.viewer.server import serve

    read = Reading(dataset, channel, frames, crop, bin, pixel_size, frame_time)
    reader: Callable[[str], xr.DataArray] = read
    if movie is not None and (source / DONE).is_dir():  # of a result, which has the scale and the times
        reader = partial(read, timed=False, result=open_result(source), growing=True)
    shown = open_source(
        source, movie, dataset, window=window, step=step, model=model, distortion=distortion, pixel_size=pixel_size,
        frame_time=frame_time, nan=None if nan is None else nan.value, reader=reader,
    )  # fmt: skip
    other = None if beside is None else open_beside(beside, shown)
    if not is_local(address):
        text = f"warning: everyone who can reach this computer at {address} can see this page; there is no password"
        err.print(text, style="yellow", highlight=False, soft_wrap=True)

    def ready(url: str) -> None:
        out.print(f"{source} is at {url} (Ctrl-C ends it)", highlight=False, soft_wrap=True)

    ended = serve(shown, other=other, address=address, port=port, browser=browser, ready=ready)
    note("stopped")
    if not ended:  # a frame is still being mapped, for nobody: nothing is lost
        out.file.flush()
        os._exit(0)
