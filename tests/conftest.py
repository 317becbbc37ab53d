"""What several test modules need: a network that was not trained, windows, and the command line in this process."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    import xarray as xr

    from bravaismap.classify.models import NetworkClassifier


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of weights whose answers differ from window to window and from pass to pass.

    All layers are random but for the last one, which is solved for; that is much faster than training, and little worse
    than a short one.
    """
    import torch

    from bravaismap.classify.network import ModelCard, build_network, save_network
    from bravaismap.conventions import CLASSES
    from bravaismap.simulate.windows import simulate
    from bravaismap.spectrum import spectrum

    data = simulate(300, seed=1)
    spectra = spectrum(torch.from_numpy(data["image"].values))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        network = build_network("dcnn-2018", len(CLASSES), 0.2)
        for module in network.modules():
            module.momentum = 1.0  # what is normalised is normalised by these windows
        network.train()(spectra)
    features = network.eval().features(spectra).double()
    truth = torch.eye(len(CLASSES), dtype=torch.float64)[torch.from_numpy(data["label"].values).long()] - 1 / 6
    centred = features - features.mean(dim=0)
    noise = 300 * 0.25 * features.square().mean(dim=0) + 1e-6  # what dropout adds to the covariance
    solved = torch.linalg.solve(centred.T @ centred + noise.diag(), centred.T @ truth).T
    solved *= 0.6 / (centred @ solved.T).std()
    last = network.blocks[-1]
    with torch.no_grad():
        last.weight.copy_(solved)
        last.bias.copy_(-solved @ features.mean(dim=0))
    path = tmp_path_factory.mktemp("quick") / "quick.safetensors"
    save_network(network, ModelCard("quick", "dcnn-2018", CLASSES, 0.2, 128, ""), path)
    return path


@pytest.fixture(scope="session")
def quick(weights: Path) -> NetworkClassifier:
    """Return the classifier of `weights`."""
    from bravaismap.classify.models import load_model

    return load_model(weights)


@pytest.fixture(scope="session")
def windows() -> np.ndarray:
    """Return twelve simulated windows, two of each class."""
    from bravaismap.simulate.windows import simulate

    return simulate(12, seed=77)["image"].values


@pytest.fixture(scope="session")
def crystal() -> Callable[..., np.ndarray]:
    """Return a function that draws Gaussian atoms of height 1 at the points of a lattice."""

    def draw(
        shape: tuple[int, int], basis: np.ndarray, width: float = 2.0, shift: np.ndarray | None = None
    ) -> np.ndarray:
        place = np.stack(np.mgrid[: shape[0], : shape[1]], axis=-1).astype(float)
        if shift is not None:
            place = place - shift
        index = place @ np.linalg.inv(basis)
        index -= np.floor(index)
        image = np.zeros(shape)
        for corner in np.stack(np.mgrid[-1:3, -1:3], axis=-1).reshape(-1, 2):
            image += np.exp(-(((index - corner) @ basis) ** 2).sum(-1) / (2 * width**2))
        return image

    return draw


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def refused(self, *parts: str) -> None:
        """Assert exit code 2 and a single line on stderr, without a traceback, that holds every part."""
        assert self.code == 2, (self.code, self.out, self.err)
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        assert "Traceback" not in self.err
        for part in parts:
            assert part in lines[0], lines[0]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Return a function that runs the command line in this process."""
    from bravaismap import cli
    from bravaismap.errors import BravaismapWarning

    def command(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["bravaismap", *map(str, arguments)])
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("default", BravaismapWarning)  # the command line says them
            with pytest.raises(SystemExit) as end:
                cli.main()
        printed = capsys.readouterr()
        code = end.value.code
        return Outcome(0 if code is None else int(code), printed.out, printed.err)

    return command


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the figures that `map` draws, which take seconds, where a test is about something else."""
    monkeypatch.setattr("bravaismap.export.figures.export_figures", lambda *_, **__: [])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put modules with slow tests first, so that no process has one left when the others are done."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def small() -> xr.Dataset:
    """Simulate a film of three frames of 48 px, for tests that only read it."""
    from bravaismap.simulate.film import simulate_film

    return simulate_film(3, 48, seed=1)
