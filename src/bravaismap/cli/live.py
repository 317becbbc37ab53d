"""The command for live runs: watch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bravaismap.classify.settings import AUTO, DEFAULT_MODEL, DEFAULTS, MOVIE_DEVICE, PATIENCE, SETTLE
from bravaismap.cli.options import (
    DEFAULT_NAN,
    BinOption,
    ChannelOption,
    CropOption,
    DatasetOption,
    DeviceOption,
    DistortionOption,
    FrameTimeOption,
    ModelOption,
    NanOption,
    PixelOption,
    PixelsOption,
    QuietOption,
    SamplesOption,
    SeedOption,
    WindowOption,
)
from bravaismap.cli.reading import checked_target
from bravaismap.cli.start import app
from bravaismap.cli.terminal import err, note, opening, out
from bravaismap.conventions import counted
from bravaismap.errors import InputError

if TYPE_CHECKING:
    from bravaismap.live.watching import Frame

__all__ = ["watch"]


@app.command()
def watch(
    folder: Annotated[Path | None, typer.Argument(help="Folder in which images appear.", show_default=False)] = None,
    follow: Annotated[
        Path | None, typer.Option("--follow", help="One file that grows (npy, HDF5, TIFF, …), instead of a folder.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Result folder (.zarr).", show_default="NAME-live/NAME.zarr"),
    ] = None,
    pattern: Annotated[str, typer.Option("--pattern", help="Which files of the folder, such as '*.tif'.")] = "*",
    window: WindowOption = AUTO,
    step: Annotated[
        int | None,
        typer.Option("--step", help="Distance between windows in px.", show_default="a quarter of the window"),
    ] = DEFAULTS.step,
    model: ModelOption = DEFAULT_MODEL,
    distortion: DistortionOption = None,
    device: DeviceOption = MOVIE_DEVICE,
    samples: SamplesOption = DEFAULTS.samples,
    seed: SeedOption = DEFAULTS.seed,
    pixels: PixelsOption = DEFAULTS.pixels,
    pixel_size: PixelOption = None,
    frame_time: FrameTimeOption = None,
    dataset: DatasetOption = None,
    channel: ChannelOption = None,
    crop: CropOption = None,
    bin: BinOption = 1,
    nan: NanOption = DEFAULT_NAN,
    alarm: Annotated[
        list[str] | None,
        typer.Option(
            "--alarm", help="Such as 'none>0.05': above 5 % and growing. May be repeated.", show_default=False
        ),
    ] = None,
    alarm_frames: Annotated[int, typer.Option("--alarm-frames", help="Frames that an alarm looks at.")] = 3,
    settle: Annotated[float, typer.Option("--settle", help="Seconds for which a file must not have changed.")] = SETTLE,
    patience: Annotated[
        float, typer.Option("--patience", help="Seconds after which a file that stays unreadable is left out.")
    ] = PATIENCE,
    until_idle: Annotated[
        float | None,
        typer.Option("--until-idle", help="Stop after so many seconds without a new frame.", show_default="never"),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Classify frames as they appear; stop with Ctrl-C, and the same command goes on where it stopped."""
    if (folder is None) == (follow is None):
        raise InputError("expected either a folder to watch or --follow FILE")
    for option, seconds in (("--settle", settle), ("--patience", patience), ("--until-idle", until_idle)):
        if seconds is not None and not 0 <= seconds < math.inf:
            raise InputError(f"{option} {seconds:g} was given; expected seconds, 0 or more")
    from bravaismap.classify.models import load_model
    from bravaismap.live.alarms import Alarm, parse_rule
    from bravaismap.live.watching import FolderSource, StackSource
    from bravaismap.live.watching import watch as watch_frames
    from bravaismap.result.journal import JOURNAL, journal_of

    classifier = load_model(model, distortion, device)
    rules = [Alarm(parse_rule(text, classifier.record.classes), alarm_frames) for text in alarm or []]
    source: FolderSource | StackSource
    if folder is not None:
        source = FolderSource(
            folder, pattern, settle, patience, dataset=dataset, channel=channel, crop=crop, bin=bin,
            pixel_size=pixel_size,
        )  # fmt: skip
    else:
        assert follow is not None
        if channel is not None:
            raise InputError(f"--channel {channel} was given with --follow; a stack that grows has one")
        source = StackSource(follow, dataset, settle, pixel_size=pixel_size, crop=crop, bin=bin)
    name = (folder or follow or Path()).resolve().stem
    target = Path(f"{name}-live") / f"{name}.zarr" if output is None else checked_target(output)
    earlier = len(journal_of(target)) if (target / JOURNAL).exists() else 0
    note(f"watching {source}; result: {target}" + (f", with {counted(earlier, 'frame')} so far" if earlier else ""))
    frames = watch_frames(
        source, target, alarms=rules, until_idle=until_idle, frame_time=frame_time, tell=opening, window=window,
        step=step, model=classifier, samples=samples, seed=seed, nan=nan.value, pixels=pixels,
    )  # fmt: skip
    count = 0
    for frame in frames:
        count += 1
        _print(frame)
    if not earlier + count:
        note(f"no frame appeared in {source}, and no result was written")
        return
    note(f"{counted(count, 'frame')} classified; next: bravaismap export {target}")


def _print(frame: Frame) -> None:
    from bravaismap.conventions import display_name

    line: dict[str, Any] = frame.line
    largest = sorted(line["fraction"].items(), key=lambda item: -item[1])
    shares = ", ".join(f"{display_name(name)} {100 * share:.1f} %" for name, share in largest if share >= 0.0005)
    text = f"{line['frame']:5d}  {line['source']}  {shares}  ({frame.seconds:.2f} s)"
    out.print(text, highlight=False, markup=False, soft_wrap=True)
    for alarm in frame.alarms:
        text = f"alarm: {alarm.alarm}: {100 * alarm.fraction:.1f} %, {100 * alarm.per_frame:+.2f} % per frame"
        err.print(f"{text} ({alarm.source})", style="bold red", highlight=False, markup=False, soft_wrap=True)
