"""Compare Monte-Carlo dropout with a deep ensemble: on windows of every book, of another renderer, of files, of none.

python benchmarks/network_uncertainty.py [MODEL] [-n 400] [--size 128] [--labelled FILE.npz …] [--json FILE]

Each way of being unsure has one temperature, fitted on half of the windows of the books together. Scored are the other
half; crystals of scattering physics with counting noise (of `physical_crystals`, where ASE is installed); and the
central squares of the images of files, which may come from anywhere. *Errors* is the probability that the entropy of a
wrong answer is larger than that of a right one. Quasicrystals have sharp spots and no lattice, and no network has seen
one: *unlike* is the probability that the entropy, or what the passes or networks disagree about (mutual information),
is larger for one of them than for a window of a broken crystal. What the model goes by is the share of coherent waves
that no lattice explains (`bravaismap.classify.unexplained`): how well it tells quasicrystals from each set, how many
windows it doubts, and how sure the answers are of which it takes nothing and its part.

References
----------
Y. Gal, Z. Ghahramani, Proc. ICML 48, 1050 (2016); B. Lakshminarayanan et al., Adv. NeurIPS 30 (2017).
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence

import numpy as np
import physical_crystals
import torch
from machine import load, machine, parser, write_figures
from sklearn.metrics import roc_auc_score

import bravaismap as bm
from bravaismap.classify.dropout import dropout_scores, evaluating, predictive_entropy
from bravaismap.classify.models import LARGEST_SIDE
from bravaismap.classify.network import members_of
from bravaismap.classify.tokens import tokens_and_lattices
from bravaismap.classify.unexplained import Doubt, unexplained_share
from bravaismap.conventions import CLASSES, NONE
from bravaismap.evaluate.labelled import read_labelled
from bravaismap.evaluate.scores import score
from bravaismap.train.calibration import fit_temperature

SEED = 20191
BOOKS = ("simulated", "realistic", "wide", "broken")
PASSES = 30
TOGETHER = 200  # windows, for memory
COUNTS = (0.05, 0.1, 0.3, 1.0)  # in the brightest pixel of a crystal of scattering physics
FOLDS = (8, 10, 12)  # of quasicrystals, whose waves are as many in directions that are evenly spread
PERIODS = (6.0, 16.0)  # px, of these waves


def central(image: np.ndarray) -> np.ndarray:
    """Return the central square of an image, of at most 384 px."""
    side = min(*image.shape, LARGEST_SIDE)
    top, left = ((size - side) // 2 for size in image.shape)
    return image[top : top + side, left : left + side]


def rendered(classes: Sequence[str], side: int, rng: np.random.Generator) -> tuple[np.ndarray, torch.Tensor]:
    """Return windows of crystals of scattering physics at several counts, four of each, with their classes."""
    images, labels = [], []
    for crystal in physical_crystals.crystals():
        still = physical_crystals.still(crystal, multislice=False)
        for counts in COUNTS:
            for top, left in rng.integers(0, len(still) - side + 1, (4, 2)):
                window = still[top : top + side, left : left + side]
                images.append(rng.poisson(counts * window / still.max()))
                labels.append(classes.index(crystal.expected))
    return np.stack(images), torch.tensor(labels)


def quasicrystals(count: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """Return windows of quasicrystals with noise as strong as they are."""
    y, x = np.mgrid[:side, :side]
    images = []
    for number in range(count):
        fold, period = FOLDS[number % len(FOLDS)], rng.uniform(*PERIODS)
        angles = rng.uniform(0, 2 * math.pi) + 2 * math.pi * np.arange(fold // 2) / fold
        waves = [
            np.cos(2 * math.pi / period * (np.cos(a) * x + np.sin(a) * y) + rng.uniform(0, 2 * math.pi)) for a in angles
        ]
        pattern = np.exp(np.mean(waves, axis=0) * 3)
        images.append(pattern / pattern.std() + rng.normal(size=(side, side)))
    return np.stack(images)


def scores_of(model: object, images: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
    """Return the scores (n, passes, classes) before the softmax by each way of being unsure."""
    parts: dict[str, list[torch.Tensor]] = {}
    for start in range(0, len(images), TOGETHER):
        inputs = model.inputs(np.stack(images[start : start + TOGETHER]).astype(np.float32))
        members = members_of(model.network)
        with evaluating(model.network):
            alone = torch.stack([member(inputs).double() for member in members], dim=1)
        ways = {
            "one network": alone[:, :1],
            "dropout in one network": dropout_scores(members[0], inputs, PASSES),
            "ensemble": alone,
            "dropout in an ensemble": dropout_scores(model.network, inputs, PASSES),
        }
        for way, values in ways.items():
            parts.setdefault(way, []).append(values.cpu())
    return {way: torch.cat(values) for way, values in parts.items()}


def passes_of(scores: torch.Tensor, temperature: float) -> np.ndarray:
    """Return the probabilities (n, passes, classes) of calibrated scores."""
    return np.asarray((scores / temperature).softmax(-1).numpy())


def figures(passes: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
    """Return how right and how sure the mean over passes is, and how well its entropy tells errors."""
    probability = passes.mean(1)
    result, wrong = score(probability, labels, classes), probability.argmax(1) != labels
    told = roc_auc_score(wrong, predictive_entropy(probability)) if 0 < wrong.sum() < len(wrong) else math.nan
    return {"accuracy": result.accuracy, "negative log likelihood": result.nll,
            "expected calibration error": result.ece, "errors": float(told)}  # fmt: skip


def unlike(inside: np.ndarray, outside: np.ndarray) -> dict[str, float]:
    """Return how well entropy and mutual information tell windows outside from those inside, from their passes."""
    passes, truth = np.concatenate([inside, outside]), np.repeat([0, 1], [len(inside), len(outside)])
    entropy = predictive_entropy(passes.mean(1))
    information = entropy - predictive_entropy(passes).mean(1)
    return {"entropy": float(roc_auc_score(truth, entropy)), "information": float(roc_auc_score(truth, information))}


def unexplained(images: Sequence[np.ndarray], classes: Sequence[str]) -> tuple[np.ndarray, Doubt]:
    """Return the share of unexplained waves of windows of one side, and the doubt that the model has for it."""
    shares, doubts = [], []
    for start in range(0, len(images), TOGETHER):
        windows = torch.from_numpy(np.stack(images[start : start + TOGETHER])).float()
        lattices = tokens_and_lattices(windows)[1]
        shares.append(unexplained_share(windows, lattices).numpy())
        doubts.append(Doubt.about(windows, lattices, classes))
    return np.concatenate(shares), Doubt.concatenate(doubts)


def of_doubt(doubt: Doubt, probability: torch.Tensor, labels: torch.Tensor, classes: Sequence[str]) -> dict[str, float]:
    """Return how many windows are doubted, and what their answers are without and with that; scores if labels are."""
    after = doubt.flattened(probability)
    row = {"doubted": float((doubt.share > 0).double().mean()),
           "largest probability": float(probability.amax(-1).mean()),
           "after doubt": float(after.amax(-1).mean())}  # fmt: skip
    if len(labels):
        for title, values in (("before", probability), ("after", after)):
            scores = score(values.numpy(), labels.numpy(), classes)
            row |= {f"NLL {title}": scores.nll, f"ECE {title}": scores.ece}
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("model", nargs="?", default="dcnn", help="name, or weights with the card beside them")
    options.add_argument("-n", type=int, default=400, help="windows of each book")
    options.add_argument("--size", type=int, default=128, help="side of the windows in px")
    options.add_argument("--labelled", nargs="*", default=[], help="NPZ files of labelled windows from elsewhere")
    asked = options.parse_args(arguments)
    print(f"{machine()}; load before the run {load()}")
    model, rng = bm.load_model(asked.model), np.random.default_rng(SEED)
    classes = model.card.classes
    sets, told = {}, {}
    half = asked.n // 2
    for book in BOOKS:
        data = bm.simulate(asked.n, book, seed=SEED, size=asked.size)
        told[book] = unexplained(list(data["image"].values[half:]), classes)
        sets[book] = (scores_of(model, list(data["image"].values)), torch.from_numpy(data["label"].values).long())
    ways = list(sets[BOOKS[0]][0])
    truth = torch.cat([labels[:half] for _, labels in sets.values()])
    warmth = {way: fit_temperature(torch.cat([s[way][:half] for s, _ in sets.values()]), truth) for way in ways}
    scored = {book: ({way: s[way][half:] for way in ways}, labels[half:]) for book, (s, labels) in sets.items()}
    if importlib.util.find_spec("ase"):
        images, labels = rendered(classes, asked.size, rng)
        scored["another renderer"] = (scores_of(model, list(images)), labels)
        told["another renderer"] = unexplained(list(images), classes)
    for path in asked.labelled:
        labelled = read_labelled(path)
        names = [classes.index(name) for name in labelled.classes]
        labels = torch.tensor([names[i] for i in labelled.labels])
        parts = [scores_of(model, [central(image)]) for image in labelled.images]
        scored[str(path)] = ({way: torch.cat([part[way] for part in parts]) for way in ways}, labels)
    out: dict[str, dict[str, dict[str, float]]] = {}
    for name, (scores, labels) in scored.items():
        print(f"\n{name}: {len(labels)} windows")
        for way in ways:
            row = figures(passes_of(scores[way], warmth[way]), labels.numpy(), classes) | {"temperature": warmth[way]}
            out.setdefault(name, {})[way] = row
            print(f"  {way:24s} {100 * row['accuracy']:5.1f} %  NLL {row['negative log likelihood']:.3f}  "
                  f"ECE {row['expected calibration error']:.3f}  errors {row['errors']:.3f}  "
                  f"T {row['temperature']:.2f}")  # fmt: skip
    patterns = list(quasicrystals(half, asked.size, rng))
    strange = scores_of(model, patterns)
    print(f"\nquasicrystals: {half} windows, unlike broken crystals")
    for way in ways:
        outside = passes_of(strange[way], warmth[way])
        row = unlike(passes_of(scored["broken"][0][way], warmth[way]), outside)
        row["none"] = float((outside.mean(1).argmax(1) == classes.index("none")).mean())
        out.setdefault("quasicrystals", {})[way] = row
        print(f"  {way:24s} entropy {row['entropy']:.3f}  information {row['information']:.3f}  "
              f"called none {100 * row['none']:.0f} %")  # fmt: skip
    shares, doubt = unexplained(patterns, classes)
    told["quasicrystals"] = (shares, doubt)
    scored["quasicrystals"] = (strange, torch.empty(0))
    print("\nunexplained waves: tells quasicrystals; windows doubted; largest probability, and after doubt")
    for name, (own, of_set) in told.items():
        probability = torch.from_numpy(passes_of(scored[name][0]["ensemble"], warmth["ensemble"]).mean(1))
        truth = np.repeat([0, 1], [len(own), len(shares)])
        row = {"tells quasicrystals": float(roc_auc_score(truth, np.concatenate([own, shares])))}
        row |= of_doubt(of_set, probability, scored[name][1], classes)
        out.setdefault(name, {})["unexplained waves"] = row
        print(f"  {name:18s}", "  ".join(f"{title} {value:.3f}" for title, value in row.items()))
    measured = bm.load_model("default").predict(np.stack(patterns).astype(np.float32), samples=0).probability.argmax(1)
    share = float((measured == CLASSES.index(NONE)).mean())
    print(f"  {'default, a measurement':24s} called none {100 * share:.0f} %")
    write_figures(asked.json, "network_uncertainty", {"sets": out, "quasicrystals called none by default": share})


if __name__ == "__main__":
    main()
