"""A GPU against the processor: how far the answers are apart, where the time goes, and windows per second of each part.

Sections, one after another; one that fails says so and the others go on. The first run of each, in which a card loads
its libraries, does not count. Where PyTorch finds no card this says "not measured here" and writes nothing.

answers     `default` and the networks on simulated windows and those of a film, on both; the windows farthest apart
classifier  `default` alone, on windows that are on the card, by their number
kernels     of the classifier and of the pixels of frames: launches, waits, time on the card, the most expensive ones
pixels      the pixels of frames, on both, and of many at once on the card
map         file to file: all outputs, without pixels, and `dcnn-2018`; the share of each stage
networks    one pass, and 30 passes with dropout
simulation  windows for training

python benchmarks/gpu.py [--device cuda] [--windows 5000] [--frames 24] [--only answers,map] [--json FILE]
"""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from machine import load, machine, parser, write_figures
from throughput import timed_stages

import bravaismap as bm
from bravaismap.classify.answer import Answer
from bravaismap.classify.models import LatticeClassifier, NetworkClassifier
from bravaismap.classify.posterior import class_probability
from bravaismap.compute.device import on_device
from bravaismap.phases.frame import FrameMapper
from bravaismap.phases.frame_pixels import frame_pixels, pixels_of_frames
from bravaismap.simulate.film import PAPER_KINETICS, Film
from bravaismap.simulate.stream import SIDES, batches
from bravaismap.windows import WindowGrid, cut_on_device, cut_windows, window_grid

Figures = dict[str, Any]
WINDOW, STEP, DISTORTION, PIXEL_STEP = 128, 16, 0.02, 3
#: Frames of the film that are different; a map repeats them.
DIFFERENT = 6
#: Batches of 256 simulated windows that are timed on a card, which simulates many of them at once.
STREAMED = 64


def waited(device: str) -> None:
    """Wait until a card has done what it was asked for."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], object], device: str, repeats: int = 2) -> float:
    """Return the shortest time of some repeats, after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        waited(device)
        started = time.perf_counter()
        work()
        waited(device)
        times.append(time.perf_counter() - started)
    return min(times)


def film(frames: int, size: int) -> np.ndarray:
    """Return frames evenly spread over a film of the paper's kinetics."""
    whole = Film(90, size, kinetics=PAPER_KINETICS)
    spread = ((np.arange(frames) + 0.5) * 90 / frames).astype(int)
    return np.stack([whole.image(int(i)) for i in spread]).astype(np.float32)


def _measurement(answer: Answer, window: int) -> str:
    """Return what an answer measured in a window, in a line."""
    cells = answer.cells[np.array([window])]
    basis, error = cells.basis.round(4).tolist(), np.sqrt(cells.covariance[0].diagonal()).round(5).tolist()
    return f"evidence {cells.evidence[0]:.3f}, basis {basis[0]} ± {error}"


def grid_of(frames: np.ndarray) -> WindowGrid:
    window = min(WINDOW, frames.shape[1])
    return window_grid(frames.shape[1:], window, STEP)


class Measured:
    """The sections, on one device."""

    def __init__(self, device: str, windows: int, frames: np.ndarray, count: int) -> None:
        self.device, self.windows, self.frames, self.count = device, windows, frames, count
        self.grid = grid_of(frames)

    def model(self, device: str, name: str = "default") -> LatticeClassifier | NetworkClassifier:
        """Return a model on a device."""
        return bm.load_model(name, DISTORTION, device)

    def cut(self, count: int) -> torch.Tensor:
        """Return windows of the film, on the device."""
        frames = on_device(self.frames, self.device)
        whole = -(-count // (len(frames) * self.grid.count))
        return torch.cat([cut_on_device(frames, self.grid)] * whole)[:count].clone()

    def answers(self) -> Figures:
        """Return how far the answers are apart on the two devices."""
        few = max(12, self.windows // 25)
        images = {name: bm.simulate(few, name, seed=11)["image"].values for name in ("simulated", "realistic", "wide")}
        images["film"] = np.concatenate([cut_windows(frame, self.grid)[:: len(self.frames)] for frame in self.frames])
        return {name: self.compared(values.astype(np.float32)) for name, values in images.items()}

    def compared(self, images: np.ndarray) -> Figures:
        """Return how far the answers for images are apart on the two devices, and what the farthest have measured."""
        here, there = (self.model(device).predict(images, samples=60) for device in ("cpu", self.device))
        apart = np.abs(here.probability - there.probability).max(axis=1)
        own = here.cells.basis, here.cells.covariance, here.cells.evidence
        posterior = class_probability(*own, DISTORTION, self.device)
        worst = [
            f"window {i}, {apart[i]:.2g} apart; "
            + "; ".join(f"{device}: {_measurement(answer, i)}" for device, answer in (("cpu", here), ("there", there)))
            for i in np.argsort(-apart)[:4]
            if apart[i] > 1e-5
        ]
        figures: Figures = {
            "windows": len(images),
            "largest_difference": float(apart.max()),
            "beyond 1e-4": int((apart > 1e-4).sum()),
            "beyond 1e-3": int((apart > 1e-3).sum()),
            "other class": int((here.probability.argmax(1) != there.probability.argmax(1)).sum()),
            "std": float(np.abs(here.probability_std - there.probability_std).max()),
            "of the posterior alone": float(np.abs(here.probability - posterior).max()),
        }
        for name in ("dcnn", "dcnn-2018"):
            models = (self.model(device, name) for device in ("cpu", self.device))
            here, there = (model.predict(images, samples=0) for model in models)
            figures[name] = float(np.abs(here.probability - there.probability).max())
        return figures | {"worst": worst}

    def classifier(self) -> Figures:
        """Return windows per second of `default`, with and without draws, and the memory that it takes."""
        model, figures = self.model(self.device), {}
        for count in sorted({min(self.windows, n) for n in (self.grid.count, self.windows // 2, 2 * self.windows)}):
            images = self.cut(count)
            if torch.device(self.device).type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            for samples in (60, 0):
                seconds = seconds_of(lambda s=samples, i=images: model.predict(i, samples=s), self.device)
                figures[f"{count} windows, {samples} draws"] = count / seconds
            if torch.device(self.device).type == "cuda":
                figures[f"{count} windows, bytes per pixel"] = torch.cuda.max_memory_allocated() / images.numel()
        return figures

    def kernels(self) -> Figures:
        """Return where the time of the classifier and of the pixels of a frame goes."""
        images, model = self.cut(self.windows), self.model(self.device)
        windows, many = self.mapped_windows(), self.many()
        return {
            "classifier": self.profiled(lambda: model.predict(images, samples=60)),
            f"pixels of {len(many)} frames": self.profiled(lambda: self.asked(many, windows)),
        }

    def many(self) -> list[np.ndarray]:
        """Return as many frames as are mapped with all outputs, of one number of lattices, all different."""
        return [np.roll(self.frames[-1], 7 * i, axis=0) for i in range(self.count)]

    def asked(self, frames: list[np.ndarray], windows: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Return the pixels of frames that have the same windows, asked at once on the device."""
        return pixels_of_frames(frames, [windows] * len(frames), PIXEL_STEP, None, self.device)

    def profiled(self, work: Callable[[], object]) -> Figures:
        """Return launches, waits, time on the card and in all, in ms, and the most expensive kernels."""
        seconds = seconds_of(work, self.device, 1)
        activity = torch.profiler.ProfilerActivity
        card = torch.device(self.device).type == "cuda"
        with torch.profiler.profile(activities=[activity.CUDA if card else activity.CPU]) as profile:
            work()
            waited(self.device)
        events = profile.key_averages()
        on_card = [event for event in events if event.device_type != torch.autograd.DeviceType.CPU]
        named = {event.key: event.count for event in events}
        top = sorted(on_card, key=lambda event: -event.self_device_time_total)[:25]
        calls = sorted(events, key=lambda event: -event.self_cpu_time_total)[:12]
        total = sum(event.self_device_time_total for event in on_card) / 1e3
        return {
            "ms": 1e3 * seconds,
            "ms on the card": total,
            "share of the card": total / (1e3 * seconds),
            "launches": sum(event.count for event in on_card),
            "waits": {name: named[name] for name in named if "Synchronize" in name or "Memcpy" in name},
            "kernels": [f"{e.self_device_time_total / 1e3:.3f} ms, {e.count} times: {e.key[:100]}" for e in top],
            "calls": [f"{e.self_cpu_time_total / 1e3:.3f} ms, {e.count} times: {e.key[:60]}" for e in calls],
        }

    def mapped_windows(self) -> dict[str, np.ndarray]:
        """Return the variables of the windows of the last frame."""
        return FrameMapper(self.grid, self.model(self.device), 0, 0, None)(0, self.frames[-1]).variables

    def pixels(self) -> Figures:
        """Return frames per second of the pixels on both devices, and how far these are apart."""
        windows, frame, figures, maps = self.mapped_windows(), self.frames[-1], {}, {}
        for device in dict.fromkeys(("cpu", self.device)):

            def work(device: str = device) -> None:
                maps[device] = frame_pixels(frame, windows, PIXEL_STEP, None, device)

            figures[f"frames/s, {device}"] = 1 / seconds_of(work, self.device, 1)
        many = self.many()
        seconds = seconds_of(lambda: self.asked(many, windows), self.device, 1)
        figures[f"frames/s, {self.device}, {len(many)} at once"] = len(many) / seconds
        here, there = maps["cpu"], self.asked([frame, *many[1:]], windows)[0]
        figures["pixels of another phase"] = float((here["phase"] != there["phase"]).mean())
        figures["area"] = float(np.abs(here["area_fraction"] - there["area_fraction"]).max())
        figures["amplitude"] = float(np.nanmax(np.abs(here["amplitude"] - there["amplitude"]), initial=0))
        return figures

    def map(self) -> Figures:
        """Return windows per second from file to file."""
        return {
            "default, all outputs": self.file_to_file("default", self.count, pixels=True),
            "default, without pixels": self.file_to_file("default", 2 * self.count, pixels=False),
            "dcnn-2018, 30 passes": self.file_to_file("dcnn-2018", 2 * self.count, pixels=False),
        }

    def file_to_file(self, name: str, count: int, pixels: bool) -> Figures:
        """Return windows per second of a map from one file to another, and the seconds a frame of each stage."""
        model = self.model(self.device, name)
        movie = np.concatenate([self.frames] * -(-count // len(self.frames)))[:count]
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/film.npy", movie)

            def mapped(output: str, frames: int) -> None:
                source = bm.read(f"{folder}/film.npy")[:frames]
                bm.map_phases(
                    source, window=self.grid.window, step=STEP, model=model, pixels=pixels, output=f"{folder}/{output}"
                )

            mapped("first.zarr", min(count, len(self.frames)))
            with timed_stages() as stages:
                started = time.perf_counter()
                mapped("result.zarr", count)
                seconds = time.perf_counter() - started
        each = {stage: round(value / count, 4) for stage, value in stages.items()}
        return {"frames": count, "windows_per_second": count * self.grid.count / seconds, "seconds a frame": each}

    def networks(self) -> Figures:
        """Return windows per second of the networks."""
        count, figures = 4 * self.windows, {}
        images = self.cut(count)
        for name in ("dcnn-2018", "dcnn"):
            model = self.model(self.device, name)
            for samples in (0, 30):
                seconds = seconds_of(lambda m=model, s=samples: m.predict(images, samples=s), self.device, 1)
                figures[f"{name}, {samples or 'no'} passes with dropout"] = count / seconds
        return figures

    def simulation(self) -> Figures:
        """Return simulated windows per second, of the side of the film and of all sides of a stream."""
        figures = {}
        number = STREAMED if torch.device(self.device).type == "cuda" else 1
        for name, sides in ((f"{WINDOW} px", (WINDOW,)), ("all sides", SIDES)):
            stream = batches(3, sides=sides, device=self.device)
            seconds = seconds_of(lambda s=stream: [next(s) for _ in range(number)], self.device, 1)
            figures[f"windows/s, {name}"] = 256 * number / seconds
        return figures


SECTIONS = ("answers", "classifier", "kernels", "pixels", "map", "networks", "simulation")


def section(name: str, work: Callable[[], Figures]) -> Figures:
    """Return what a section finds, or the error that ended it, and print either."""
    started = time.perf_counter()
    try:
        figures = work()
    except Exception as error:  # the next sections are worth having
        figures = {"error": repr(error), "trace": traceback.format_exc().splitlines()[-12:]}
    figures["section seconds"] = round(time.perf_counter() - started, 1)
    print(f"{name}:")
    for key, value in figures.items():
        _print(key, value, "  ")
    return figures


def _print(key: str, value: Any, indent: str) -> None:
    """Print a figure, or those of a mapping and the lines of a list beneath it."""
    if isinstance(value, (dict, list)) and value:
        print(f"{indent}{key}:", flush=True)
        for name, part in value.items() if isinstance(value, dict) else (("-", line) for line in value):
            _print(name, part, f"{indent}  ")
    else:
        print(f"{indent}{key}: {value:.6g}" if isinstance(value, float) else f"{indent}{key}: {value}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--device", default="cuda")
    options.add_argument("--windows", type=int, default=5000)
    options.add_argument("--frames", type=int, default=24, help="mapped with all outputs; twice as many without")
    options.add_argument("--size", type=int, default=512, help="of a frame, in px")
    options.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    asked = options.parse_args(arguments)
    card = torch.device(asked.device).type == "cuda"
    if card and not torch.cuda.is_available():
        print(f"{machine()}: no GPU that PyTorch can use; not measured here")
        return
    before, device = load(), torch.cuda.get_device_name() if card else asked.device
    print(f"{machine()}; {device}; load before the run {before}", flush=True)
    measured = Measured(asked.device, asked.windows, film(DIFFERENT, asked.size), asked.frames)
    found: Figures = {"device": device, "load": before, "windows": asked.windows}
    for name in asked.only.split(","):
        found[name] = section(name, getattr(measured, name))
        write_figures(asked.json, "gpu", found)


if __name__ == "__main__":
    main()
