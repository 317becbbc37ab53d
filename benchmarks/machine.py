"""Name the machine and the versions that a figure was measured with."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy
import torch


def machine() -> str:
    """Return processor, cores, system and versions in one line."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        models = [
            line.split(":", 1)[1].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        processor = models[0] if models else processor
    return (
        f"{processor}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"numpy {numpy.__version__}, torch {torch.__version__} on {torch.get_num_threads()} threads"
    )
