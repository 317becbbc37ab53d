"""Operations that a GPU is asked for, counted on a processor: each is a launch there, however little it has to do.

They are counted as PyTorch dispatches them, without those that only look at memory in another way. Batches are as large
as on a GPU, and records are worked on together as they are there. Where Python asks a device for a value it waits for
all before: these are the waits.

windows     `default` with 60 draws, the 625 windows of a frame with voids at once
pixels      of several frames with the same windows, at once
simulation  a batch of windows of all recipe books, as a stream for training asks for it

python benchmarks/launches.py [--frames 4] [--simulated 1024] [--json FILE]
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from machine import machine, parser, write_figures
from torch.utils._python_dispatch import TorchDispatchMode

import bravaismap as bm
from bravaismap.phases.frame import FrameMapper
from bravaismap.phases.frame_pixels import pixels_of_frames
from bravaismap.simulate.film import PAPER_KINETICS, Film
from bravaismap.simulate.stream import batches
from bravaismap.windows import cut_windows, window_grid

Figures = dict[str, Any]
WINDOW, STEP, DISTORTION, PIXEL_STEP, FRAME = 128, 16, 0.02, 3, 80
#: Operations that give another view of what is there, or memory that is not filled.
VIEWS = frozenset({
    "_conj", "_neg_view", "_reshape_alias", "_unsafe_view", "alias", "as_strided", "detach", "diagonal", "empty",
    "empty_like", "empty_strided", "expand", "imag", "lift_fresh", "new_empty", "new_empty_strided", "permute", "real",
    "select", "slice", "split", "split_with_sizes", "squeeze", "t", "transpose", "unbind", "unfold", "unsqueeze",
    "view", "view_as_complex", "view_as_real",
})  # fmt: skip
#: Operations whose answer Python needs: a number, or a shape that depends on values.
WAITS = frozenset({"_local_scalar_dense", "nonzero", "repeat_interleave"})


class Counted(TorchDispatchMode):
    """Counts operations by the module of the package that asks for them."""

    def __init__(self) -> None:
        super().__init__()
        self.by_module: Counter[str] = Counter()
        self.waits = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:  # what consists of others is counted as these
            parts = function.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        name = function.overloadpacket.__name__
        if name not in VIEWS:
            self.by_module[_module()] += 1
            self.waits += name in WAITS
        return function(*args, **kwargs)

    def figures(self) -> Figures:
        """Return the number of operations, of waits, and of the operations of each module, most first."""
        modules = dict(self.by_module.most_common())
        return {"operations": sum(modules.values()), "waits": self.waits, "modules": modules}


def _module() -> str:
    """The module of the package nearest in the stack, but for the one that puts records together."""
    frame = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename.replace("\\", "/")
        if "/bravaismap/" in path and not path.endswith("compute/together.py"):
            return path.rpartition("/bravaismap/")[2]
        frame = frame.f_back  # type: ignore[assignment]
    return "other"


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Let a processor take batches as large as a GPU does, and work on records together."""
    device, together, order_statistics, explanation, likelihood, windows, imaging, smoothing = (
        importlib.import_module(f"bravaismap.{name}")
        for name in (
            "compute.device",
            "compute.together",
            "compute.order_statistics",
            "measure.explanation",
            "classify.likelihood",
            "simulate.batch.windows",
            "simulate.batch.imaging",
            "local.smoothing",
        )
    )
    with (
        patch.object(device, "_PIXELS_ON_PROCESSOR", device._MOST_PIXELS),
        patch.object(together, "_gains", lambda _: True),
        patch.object(order_statistics, "_parted", lambda _: False),
        patch.object(explanation, "_gains_apart", lambda _: False),
        patch.object(likelihood, "at_once", lambda _: True),
        patch.object(smoothing, "_one_by_one", lambda _: False),
        patch.object(windows, "_PIXELS_ON_PROCESSOR", windows._PIXELS_ON_DEVICE),
        patch.object(imaging, "_STEPS", imaging._STEPS_ON_DEVICE),
    ):
        yield


def counted(work: Callable[[], object]) -> Figures:
    """Return what some work asks for, once what is kept for later is there."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that batches are not parted
    try:
        with as_on_a_gpu():
            work()
            with Counted() as operations:
                work()
    finally:
        torch.set_num_threads(threads)
    return operations.figures()


def measured(frames: int, simulated: int, size: int) -> Figures:
    """Return the figures of all parts."""
    frame = Film(90, size, kinetics=PAPER_KINETICS).image(FRAME).astype(np.float32)
    grid = window_grid(frame.shape, min(WINDOW, size), STEP)
    model = bm.load_model("default", DISTORTION, "cpu")
    images = cut_windows(frame, grid)
    windows = FrameMapper(grid, model, 0, 0, None)(0, frame).variables
    many = [np.roll(frame, 7 * i, axis=0) for i in range(frames)]
    return {
        f"{len(images)} windows": counted(lambda: model.predict(images, samples=60)),
        f"pixels of {frames} frames": counted(
            lambda: pixels_of_frames(many, [windows] * frames, PIXEL_STEP, None, "cpu")
        ),
        f"{simulated} simulated windows": counted(
            lambda: next(batches(3, sides=(WINDOW,), batch_size=simulated, device="cpu"))
        ),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--frames", type=int, default=4, help="whose pixels are asked at once")
    options.add_argument("--simulated", type=int, default=1024, help="windows of a batch")
    options.add_argument("--size", type=int, default=512, help="of a frame, in px")
    asked = options.parse_args(arguments)
    print(machine())
    parts = measured(asked.frames, asked.simulated, asked.size)
    for name, figures in parts.items():
        print(f"{name}: {figures['operations']} operations, {figures['waits']} waits")
        for module, number in list(figures["modules"].items())[:12]:
            print(f"  {number:6d}  {module}")
    write_figures(asked.json, "launches", {"parts": parts})


if __name__ == "__main__":
    main()
