"""All of the paper: the numbers of every figure, computed once and kept, the figures, the results and the report."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave

from bravaismap.classify.settings import DEFAULT_MODEL
from bravaismap.conventions import CLASSES, NONE
from bravaismap.files import write_atomically
from bravaismap.reproduce.confidence import (
    confidence,
    draw_confidence,
    draw_single_images,
    draw_spectra,
    summarise_confidence,
)
from bravaismap.reproduce.decomposition import (
    Decomposition,
    film_sites,
    film_truth,
    growth,
    map_film,
    paper_law,
    summarise_decomposition,
    summarise_unmixed,
    unmixed_film,
    void_area,
)
from bravaismap.reproduce.decomposition_figures import (
    draw_film_maps,
    draw_fractions,
    draw_unmixed,
    note_strip,
    video_frames,
)
from bravaismap.reproduce.edge_cases import draw_drift, draw_edge_cases, edge_cases, read_image, summarise_edge_cases
from bravaismap.reproduce.energy_transfer import draw_energy_transfer, energy_transfer
from bravaismap.reproduce.feature_map import draw_feature_map, feature_map, summarise_feature_map
from bravaismap.reproduce.noise_limits import draw_noise_limits, noise_limits, summarise_noise_limits
from bravaismap.reproduce.paper_report import paper_report
from bravaismap.reproduce.paper_table import findings, paper_table
from bravaismap.reproduce.parts import Numbers, Parts
from bravaismap.reproduce.plan import FULL, PAPER_MODEL, Advance, Contestant, Plan, contestant
from bravaismap.reproduce.training_curve import (
    draw_training_curve,
    summarise_training_curve,
    train_network,
    training_curve,
)

__all__ = ["reproduce"]

_DPI = 130
_FPS = 8.0
_QUICK = "quick run: fewer images, passes and frames"


def reproduce(
    folder: str | Path,
    plan: Plan = FULL,
    *,
    model: str = DEFAULT_MODEL,
    image: str | None = None,
    train: bool = False,
    progress: Advance | None = None,
) -> dict[str, Any]:
    """Make every figure and every number of the paper, and a report that sets them beside it.

    Parameters
    ----------
    folder : path
        For ``results.json``, ``report.html``, ``figures/`` and videos. What an earlier run with the same settings has
        computed is kept in ``parts/`` and not computed again.
    plan : Plan
        How much is computed: ``FULL`` or ``QUICK``.
    model : str
        The model beside the paper's network, by name or file.
    image : str, optional
        File of an image for Fig. 5, instead of simulated graphene.
    train : bool
        Train the paper's network first, in ``training/``, instead of taking the shipped one.
    progress : callable, optional
        Called with what is being done, how far it is, and how far it goes.

    Returns
    -------
    dict
        What ``results.json`` holds.

    Raises
    ------
    InputError, ModelError, OutputError
        If the image cannot be read, there is no such model, or the folder cannot be written to.
    """
    advance: Advance = progress or (lambda *_: None)
    folder = Path(folder)
    picture = None if image is None else read_image(image)
    weights = str(train_network(plan, folder / "training", advance)) if train else ""
    models = [contestant(PAPER_MODEL, weights)]
    if model != PAPER_MODEL:
        own = Path(model).stem if model.endswith(".safetensors") else ""
        models.append(contestant(f"{own}-own" if own == PAPER_MODEL else own or model, model if own else ""))
    run = _Run(folder, plan, models, advance, Parts(folder / "parts"))
    run.training(weights or PAPER_MODEL)
    run.simulated_images()
    run.edge_cases(picture, Path(image or "").name)
    run.film()
    run.energy()
    return run.finish(image)


@dataclass
class _Run:
    """The run under way, and its results so far."""

    folder: Path
    plan: Plan
    models: list[Contestant]
    advance: Advance
    parts: Parts
    figures: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    videos: list[str] = field(default_factory=list)

    def training(self, weights: str) -> None:
        """Fig. 1b."""
        numbers = training_curve(weights)
        self.figures["training_curve"] = summarise_training_curve(numbers)
        if len(numbers["epoch"]):
            self._draw("training_curve", draw_training_curve(numbers))

    def simulated_images(self) -> None:
        """Fig. 2, 3 and 4, and Supplementary 1–2."""
        plan, advance = self.plan, self.advance
        answers = {m.name: confidence(m, plan, self.parts, advance) for m in self.models}
        self.figures["confidence"] = {name: summarise_confidence(n) for name, n in answers.items()}
        self._draw("confidence", draw_confidence(answers))
        for name, numbers in answers.items():
            self._draw("spectra", draw_spectra(name, numbers, plan), name)
            for right in (False, True):
                drawn = draw_single_images(name, numbers, plan, right=right)
                self._draw("right" if right else "wrong", drawn, name)
        noise = self._each(
            "noise", ("noise_images", "noise_levels", "noise_passes"),
            lambda m: noise_limits(m, plan, advance),
        )  # fmt: skip
        self.figures["noise_limits"] = {name: summarise_noise_limits(n) for name, n in noise.items()}
        self._draw("noise_limits", draw_noise_limits(noise))
        features = self._each("features", ("feature_images",), lambda m: feature_map(m, plan, advance))
        self.figures["feature_map"] = {name: summarise_feature_map(n) for name, n in features.items()}
        self._draw("feature_map", draw_feature_map(features))

    def edge_cases(self, picture: Any, image: str) -> None:
        """Fig. 5."""
        of = {} if picture is None else {"image": image, "pixels": float(np.sum(picture, dtype=float))}
        found = self._each(
            "edges", ("edge_images", "shears", "passes", "noise_passes"),
            lambda m: edge_cases(m, self.plan, picture, image, self.advance), of,
        )  # fmt: skip
        self.figures["edge_cases"] = {name: summarise_edge_cases(n) for name, n in found.items()}
        self._draw("drift", draw_drift(found))
        self._draw("edge_cases", draw_edge_cases(found))

    def film(self) -> None:
        """Fig. 6, the method before, and the supplementary video."""
        film = Decomposition(self.plan, self.advance)
        truth = self.parts.get("film", film.settings, lambda: film_truth(film))
        maps: dict[str, xr.Dataset] = {m.name: map_film(m, film, self.parts.folder).load() for m in self.models}
        unmixed = self.parts.get("unmixed", film.settings, lambda: unmixed_film(film))
        none = CLASSES.index(NONE)
        curves: Any = {"the paper's law with noise": (paper_law(truth["time"], self.plan.seed), None)}
        curves |= {"true voids": (truth["void"], None), "thresholding": (truth["threshold"], None)}
        curves |= {n: (r["fraction"].values[:, none], r["fraction_std"].values[:, none]) for n, r in maps.items()}
        curves |= {f"{name}, areas": (void_area(r)[0], None) for name, r in maps.items() if "area_fraction" in r}
        small: dict[str, Any] = {}
        for model in self.models:
            if model.instrument.record.measures_cells:
                again = map_film(model, film, self.parts.folder, small=True)
                small[model.name] = again["fraction"].values[:, none]
        curves |= {f"{name}, windows of 48 px": (values, None) for name, values in small.items()}
        sites = {
            model.name: self.parts.get(
                f"sites-{model.name}", film.settings | model.fingerprint,
                partial(film_sites, film, maps[model.name]),
            )["void"]
            for model in self.models if model.instrument.record.measures_cells
        }  # fmt: skip
        fits = growth(curves, truth["time"])
        self.advance("fit growth", 1, 1)
        self.figures["decomposition"] = summarise_decomposition(truth, maps, fits, small, sites)
        self.figures["decomposition"]["unmixed"] = summarise_unmixed(unmixed, truth["void"])
        self._draw("film_maps", draw_film_maps(truth, maps))
        self._draw("fractions", draw_fractions(truth, maps, fits, small))
        self._draw("unmixed", draw_unmixed(unmixed))
        for name, result in maps.items():
            self._video(name, result, film)

    def energy(self) -> None:
        """Eq. 1."""
        numbers = energy_transfer()
        self.figures["energy_transfer"] = numbers
        self._draw("energy_transfer", draw_energy_transfer(numbers))

    def finish(self, image: str | None) -> dict[str, Any]:
        """Write the results and the report."""
        results: dict[str, Any] = {
            "version": version("bravaismap"),
            "quick": self.plan.quick,
            "plan": asdict(self.plan),
            "models": [m.name for m in self.models],
            "cards": {m.name: m.fingerprint | {"description": m.exact.record.description} for m in self.models},
            "image": image,
            "videos": self.videos,
            "figures": self.figures,
        }
        results["table"] = paper_table(results)
        results["words"] = findings(results)
        results["summary"] = _summary(results)
        text = json.dumps(_plain(results), indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(self.folder / "results.json", text.encode())
        stored = json.loads(text)
        write_atomically(self.folder / "report.html", paper_report(stored, self.pictures).encode())
        return dict(stored)

    def _each(
        self,
        part: str,
        names: tuple[str, ...],
        compute: Callable[[Contestant], Numbers],
        of: dict[str, Any] | None = None,
    ) -> dict[str, Numbers]:
        """Return a part for each model."""
        settings = self.plan.settings(*names) | (of or {})
        return {
            m.name: self.parts.get(f"{part}-{m.name}", settings | m.fingerprint, lambda m=m: compute(m))  # type: ignore[misc]
            for m in self.models
        }

    def _draw(self, name: str, figure: Figure, of: str = "") -> None:
        """Write a figure; one of a quick run says so along its bottom."""
        canvas: Any = FigureCanvasAgg(figure)
        figure.set_dpi(_DPI)
        figure.draw_without_rendering()  # what is to scale needs a second look at the layout
        canvas.draw()
        pixels = np.array(canvas.buffer_rgba())[..., :3]
        if self.plan.quick:
            pixels = np.concatenate([pixels, note_strip(_QUICK, pixels.shape[1])])
        file = io.BytesIO()
        imsave(file, pixels, format="png")
        write_atomically(self.folder / "figures" / f"{name}{f'-{of}' if of else ''}.png", file.getvalue())
        self.pictures.setdefault(name, []).append((of, file.getvalue()))

    def _video(self, name: str, result: xr.Dataset, film: Decomposition) -> None:
        """Write the supplementary video of a model, unless it is there, or nothing can write it."""
        if find_spec("imageio_ffmpeg") is None:
            return
        from bravaismap.export.video import write_video

        target = self.folder / f"film-{name}.mp4"
        model = next(m for m in self.models if m.name == name)
        settings = film.settings | self.plan.settings("film_passes", "quick") | model.fingerprint

        def made() -> Numbers:
            count = result.sizes["time"]
            frames = video_frames(
                result, film.frames["image"], _QUICK if self.plan.quick else ""
            )  # fmt: skip
            self.folder.mkdir(parents=True, exist_ok=True)
            write_video(target, _counted(frames, lambda done: self.advance(f"video of {name}", done, count)), _FPS)
            return {"file": target.name}

        if not target.exists():
            (self.parts.folder / f"video-{name}.npz").unlink(missing_ok=True)
        self.videos.append(self.parts.get(f"video-{name}", settings, made)["file"])


def _counted(frames: Any, done: Callable[[int], object]) -> Any:
    for number, frame in enumerate(frames, 1):
        yield frame
        done(number)


def _summary(results: dict[str, Any]) -> list[str]:
    """Return a sentence per model: which quantities of the table agree with the paper, are better, or do not."""
    phrases = {
        "agrees": "agrees with the paper in", "better": "is better in", "worse": "is worse in",
        "differs": "differs in", "not determined": "does not determine",
    }  # fmt: skip
    lines = []
    for name in results["models"]:
        parts = []
        for verdict, phrase in phrases.items():
            quantities = [row["quantity"] for row in results["table"] if row["verdicts"][name] == verdict]
            if quantities:
                parts.append(f"{phrase}: {', '.join(quantities)}")
        lines.append(f"{name} {'; '.join(parts)}.")
    return lines


def _plain(value: Any) -> Any:
    """Return values as JSON knows them: numbers of NumPy as numbers, and what is not a number as null."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
