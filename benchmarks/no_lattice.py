"""How often an image without a lattice is called none, by what it shows instead.

python benchmarks/no_lattice.py [-n IMAGES] [--seed SEED] [--kinds KIND ...] [--show]

Images of 128 to 384 px, N of each kind, answered whole as `classify` does:

noise      white, Poisson or blurred
enlarged   such noise shown 3 to 16 times as large, interpolated
speckle    of one length, with offsets of its rows or columns
fringes    one set, straight or bent, of sines or lines
gratings   two sets, added, turned by 3 to 35 degrees, of 5 to 20 px
hum        two or three frequencies of pick-up, each with a harmonic or not
blocks     smooth pictures stored as JPEG of low quality, as they are or shown larger
prose      lines of letters of their own widths, turned by any angle in a third of them
columns    tables in even columns, and letters of one width: these repeat in two directions

`columns` are no crystal and still have a lattice; they are counted apart.
"""

from __future__ import annotations

import argparse
import io
import warnings
from collections.abc import Callable

import matplotlib
import numpy as np
from machine import machine
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

import bravaismap as bm
from bravaismap.conventions import CLASSES, NONE
from bravaismap.errors import BravaismapWarning

_SIDES = (128, 192, 256, 384)
_FONTS = ("DejaVuSans", "DejaVuSerif", "STIXGeneral", "cmr10", "DejaVuSans-Bold")
Generator = np.random.Generator


def _grid(rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    side = int(rng.choice(_SIDES))
    y, x = np.mgrid[:side, :side]
    return y, x


def _wave(y: np.ndarray, x: np.ndarray, period: float, angle: float, phase: np.ndarray | float = 0.0) -> np.ndarray:
    return np.asarray(2 * np.pi * (y * np.sin(angle) + x * np.cos(angle)) / period + phase)


def _smooth(rng: Generator, shape: tuple[int, ...], width: float) -> np.ndarray:
    values = gaussian_filter(rng.standard_normal(shape), width, mode="wrap")
    return np.asarray(values / values.std())


def _noise(rng: Generator, shape: tuple[int, ...]) -> np.ndarray:
    kind = rng.choice(["white", "poisson", "blurred"])
    if kind == "poisson":
        return rng.poisson(rng.uniform(0.5, 10), shape).astype(float)
    return _smooth(rng, shape, 0.0 if kind == "white" else rng.uniform(0.5, 3))


def noise(rng: Generator) -> np.ndarray:
    return _noise(rng, _grid(rng)[0].shape)


def enlarged(rng: Generator) -> np.ndarray:
    side, factor = int(rng.choice(_SIDES)), rng.uniform(3, 16)
    small = _noise(rng, (max(12, round(side / factor)),) * 2)
    way = rng.choice([Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS])
    picture = Image.fromarray(small.astype(np.float32))
    return np.asarray(picture.resize((side, side), Image.Resampling(way)), float)


def speckle(rng: Generator) -> np.ndarray:
    shape = _grid(rng)[0].shape
    length, width = rng.uniform(6, 20), rng.uniform(0.1, 0.3)
    k = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])) * length
    image = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * np.exp(-(((k - 1) / width) ** 2)), shape)
    offsets = rng.standard_normal((shape[0], 1)) * rng.uniform(0, 2)
    return np.asarray(image / image.std() + (offsets if rng.random() < 0.7 else offsets.T))


def fringes(rng: Generator) -> np.ndarray:
    y, x = _grid(rng)
    bend = rng.choice([0.0, rng.uniform(0, 3)]) * _smooth(rng, x.shape, len(x) / 4)
    wave = np.sin(_wave(y, x, rng.uniform(4, 30), rng.uniform(0, np.pi), bend))
    return np.asarray(rng.choice([wave, np.tanh(4 * wave)]) + rng.uniform(0.1, 0.7) * rng.standard_normal(x.shape))


def gratings(rng: Generator) -> np.ndarray:
    y, x = _grid(rng)
    period, angle, turn = rng.uniform(5, 20), rng.uniform(0, np.pi), np.radians(rng.uniform(3, 35))
    one = np.sin(_wave(y, x, period, angle))
    other = np.sin(_wave(y, x, period * rng.uniform(0.8, 1.25), angle + turn, 2.0))
    image = rng.choice([one + other, np.tanh(3 * one) + np.tanh(3 * other)])
    return np.asarray(image + rng.uniform(0.1, 0.5) * rng.standard_normal(x.shape))


def hum(rng: Generator) -> np.ndarray:
    y, x = _grid(rng)
    image = 0.5 * rng.standard_normal(x.shape)
    for _ in range(rng.integers(2, 4)):
        phase = 2 * np.pi * (rng.uniform(-0.5, 0.5) * y + rng.uniform(3, 25) * x / len(x))
        image += rng.uniform(0.5, 1.5) * (np.sin(phase) + rng.choice([0, 0.4]) * np.sin(2 * phase + 1))
    return np.asarray(image)


def blocks(rng: Generator) -> np.ndarray:
    shape = _grid(rng)[0].shape
    scene = _smooth(rng, shape, rng.uniform(1, 6)) + rng.choice([0.0, 0.3]) * rng.standard_normal(shape)
    file = io.BytesIO()
    picture = Image.fromarray(np.clip(127 + 50 * scene, 0, 255).astype(np.uint8))
    picture.save(file, "JPEG", quality=int(rng.integers(2, 25)))
    stored = Image.open(file)
    side = round(shape[0] * float(rng.choice([1.0, 1.25, 1.5, 2.0])))
    return np.asarray(stored.resize((side, side), Image.Resampling.BICUBIC), float)


def _page(rng: Generator, lines: list[str], font: str, size: int, spacing: float, angle: float) -> np.ndarray:
    side = int(rng.choice(_SIDES))
    page = Image.new("L", (2 * side, 2 * side), 255)
    pen, face = ImageDraw.Draw(page), ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{font}.ttf", size)
    for number, line in enumerate(lines):
        pen.text((0, number * spacing * size), line, fill=0, font=face)
    turned = np.asarray(page.rotate(angle, Image.Resampling.BICUBIC, fillcolor=255), float)
    first = 0 if angle == 0 else side // 2
    return turned[first : first + side, first : first + side] + rng.choice([0, 10]) * rng.standard_normal((side, side))


def _words(rng: Generator, letters: int) -> str:
    text = ""
    while len(text) < letters:
        text += "".join(rng.choice(list("eeeetttaaaooiinnsshhrrdlcumwfgypbvk"), 1 + rng.poisson(3.5))) + " "
    return text


def prose(rng: Generator) -> np.ndarray:
    lines = [_words(rng, 200) for _ in range(100)]
    angle = float(rng.choice([0, 0, rng.uniform(-45, 45)]))
    return _page(rng, lines, str(rng.choice(_FONTS)), int(rng.integers(8, 24)), rng.choice([1.15, 1.4, 2.0]), angle)


def columns(rng: Generator) -> np.ndarray:
    table = rng.random() < 0.5
    lines = [
        "  ".join(f"{value:8.2f}" for value in rng.uniform(0, 1000, 30)) if table else _words(rng, 200)
        for _ in range(100)
    ]
    return _page(rng, lines, "DejaVuSansMono", int(rng.integers(8, 24)), rng.choice([1.15, 1.4, 2.0]), 0.0)


KINDS: dict[str, Callable[[Generator], np.ndarray]] = {
    kind.__name__: kind for kind in (noise, enlarged, speckle, fringes, gratings, hum, blocks, prose, columns)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--show", action="store_true", help="print what each image that is not none is called")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", BravaismapWarning)
    print(machine())
    counted = 0
    for kind in chosen.kinds:
        right = 0
        for number in range(chosen.n):
            image = KINDS[kind](np.random.default_rng([chosen.seed, list(KINDS).index(kind), number]))
            row = bm.classify(image, samples=0).isel(image=0)
            name = CLASSES[int(row["label"])]
            right += name == NONE
            if chosen.show and name != NONE:
                cell = f"a {float(row['a']):.1f}, b {float(row['b']):.1f} px, γ {float(row['gamma']):.0f}°"
                print(f"  {kind} {number}: {name} {float(row['probability'].max()):.2f}, {cell}, {image.shape[0]} px")
        counted += right if kind != "columns" else 0
        print(f"{kind:9} none in {right} of {chosen.n}", flush=True)
    if (kinds := [kind for kind in chosen.kinds if kind != "columns"]) and len(kinds) > 1:
        print(f"all but columns: {counted} of {len(kinds) * chosen.n} ({100 * counted / len(kinds) / chosen.n:.1f} %)")


if __name__ == "__main__":
    main()
