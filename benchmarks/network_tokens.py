"""What each group of tokens is worth to a network that reads tokens, and each way of being unsure: one table.

python benchmarks/network_tokens.py [MODEL] [-n 200] [--size 128] [--json FILE]

The shipped weights are kept; a group of tokens is hidden: every window gets its mean over all windows. That says
what the trained network relies on, not what another one could learn without the group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from machine import load, machine, parser, write_figures

import bravaismap as bm
from bravaismap.classify.dropout import dropout_scores, evaluating
from bravaismap.classify.network import members_of
from bravaismap.classify.tokens import CELLS, SPOTS, VIEWS, Tokens
from bravaismap.evaluate.scores import score

SEED = 20193
BOOKS = ("simulated", "realistic", "wide", "broken")
PASSES = 30
#: Views by number: the window, the window flattened, and its tiles of a half and a quarter of its side.
WINDOW, TILES = (0, 1), (2, 3)


def hidden(values: torch.Tensor, views: Sequence[int], count: int) -> torch.Tensor:
    """Return tokens (n, VIEWS * count, features) of which those of some views are their mean over the windows."""
    by_view = values.reshape(len(values), VIEWS, count, -1).clone()
    for view in views:
        by_view[:, view] = by_view[:, view].mean(0)
    return by_view.reshape(values.shape)


def without_spots(tokens: Tokens, views: Sequence[int] = range(VIEWS)) -> Tokens:
    return replace(tokens, spots=hidden(tokens.spots, views, SPOTS))


def without_cells(tokens: Tokens, views: Sequence[int] = range(VIEWS)) -> Tokens:
    return replace(tokens, cells=hidden(tokens.cells, views, CELLS))


def without_refined(tokens: Tokens) -> Tokens:
    return replace(tokens, refined=tokens.refined.mean(0).expand_as(tokens.refined))


def without_polar(tokens: Tokens) -> Tokens:
    return replace(tokens, polar=tokens.polar.mean(0).expand_as(tokens.polar))


GROUPS: dict[str, Callable[[Tokens], Tokens]] = {
    "all tokens": lambda tokens: tokens,
    "without spots of the window": lambda tokens: without_spots(tokens, WINDOW),
    "without spots of the tiles": lambda tokens: without_spots(tokens, TILES),
    "without spots": without_spots,
    "without candidates of the window": lambda tokens: without_cells(tokens, WINDOW),
    "without candidates of the tiles": lambda tokens: without_cells(tokens, TILES),
    "without candidates": without_cells,
    "without refined candidates": without_refined,
    "without any candidate": lambda tokens: without_refined(without_cells(tokens)),
    "without log-polar correlation": without_polar,
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("model", nargs="?", default="dcnn", help="name or weights of a network that reads tokens")
    options.add_argument("-n", type=int, default=200, help="windows of each book")
    options.add_argument("--size", type=int, default=128, help="side of the windows in px")
    asked = options.parse_args(arguments)
    print(f"{machine()}; load before the run {load()}")
    model = bm.load_model(asked.model, device="cpu")
    network, classes = model.network, model.card.classes
    single, many = model.card.temperature(), model.card.temperature(passes=True)
    sets = [bm.simulate(asked.n, book, seed=SEED, size=asked.size) for book in BOOKS]
    tokens = model.inputs(np.concatenate([data["image"].values for data in sets]).astype(np.float32))
    labels = np.concatenate([data["label"].values for data in sets])
    with evaluating(network):
        rows = {name: network(change(tokens)).double() / single for name, change in GROUPS.items()}
        alone = members_of(network)[0](tokens).double() / single
    probabilities = {name: scores.softmax(-1) for name, scores in rows.items()}
    probabilities |= {
        "one network": alone.softmax(-1),
        f"one network, {PASSES} passes of dropout": (
            (dropout_scores(members_of(network)[0], tokens, PASSES) / many).softmax(-1).mean(1)
        ),
        f"ensemble, {PASSES} passes of dropout": (dropout_scores(network, tokens, PASSES) / many).softmax(-1).mean(1),
    }
    print(f"right in % of {asked.n} windows of {asked.size} px of each book; NLL and ECE of all\n")
    print("| |" + " | ".join(BOOKS) + " | NLL | ECE |\n|---|" + "---|" * (len(BOOKS) + 2))
    figures = {}
    for name, probability in probabilities.items():
        values = probability.numpy()
        right = (values.argmax(-1) == labels).reshape(len(BOOKS), -1).mean(1)
        result = score(values, labels, classes)
        figures[name] = {
            **dict(zip(BOOKS, right.tolist(), strict=True)),
            "negative log likelihood": result.nll,
            "expected calibration error": result.ece,
        }
        shares = " | ".join(f"{100 * share:.1f}" for share in right)
        print(f"| {name} | {shares} | {result.nll:.3f} | {result.ece:.3f} |")
    write_figures(asked.json, "network_tokens", {"rows": figures})


if __name__ == "__main__":
    main()
