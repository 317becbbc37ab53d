"""Name the machine and the versions that a figure was measured with, and write figures down with them."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

PACKAGES = ("bravaismap", "numpy", "xarray", "zarr", "torch")


def machine() -> str:
    """Return processor, cores, system and versions in one line."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        models = [
            line.split(":", 1)[1].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        processor = models[0] if models else processor
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{processor}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"{versions} on {torch.get_num_threads()} threads"
    )


def load() -> float | None:
    """Return how many processes wanted a core in the last minute, where the system tells."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def median_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Return the median time of some repeats, after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the option that every benchmark has."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    return options


def write_figures(path: Path | None, benchmark: str, figures: dict[str, Any]) -> None:
    """Write figures as JSON, with the machine and the date, if a path is given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        about = {"benchmark": benchmark, "date": date.today().isoformat(), "machine": machine()}
        path.write_text(json.dumps(about | figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
