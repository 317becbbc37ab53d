"""Make the pictures of docs/first_image.md and docs/first_movie.md from the files that the pages name.

python docs/pictures_of_real_data.py GRAPHENE_IMAGE MOS2_IMAGE GRAPHENE_MOVIE

The files are not part of the project: the pages say where they are from and under which licence.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

import bravaismap as bm
from bravaismap.files import save_figure
from bravaismap.phases.pixels import pixel_map
from bravaismap.show.maps import plot_fractions, plot_labels
from bravaismap.show.pixels import plot_pixels

IMAGES = Path(__file__).parent / "images"
PIXEL_SIZE, FRAME_TIME = 0.0413, 0.0273  # nm, s: as published with the movie
COLORS = 128  # of a picture, enough for greys and classes


def save(figure: object, name: str) -> None:
    """Write a picture of few colours, which a page loads fast."""
    with tempfile.TemporaryDirectory() as folder:
        (path,) = save_figure(figure, Path(folder) / name, (".png",), 110)
        Image.open(path).convert("RGB").quantize(COLORS, method=Image.Quantize.FASTOCTREE).save(
            IMAGES / f"{name}.png", optimize=True
        )


def main(graphene: str, mos2: str, movie: str) -> None:
    """Make the pictures."""
    image = bm.read(graphene)
    save(plot_labels(bm.map_phases(image), 0, image), "first_image_stm")
    image = bm.read(mos2)
    save(plot_pixels(pixel_map(bm.map_phases(image)), 0, image[0]), "first_image_stem")
    frames = bm.read(movie, pixel_size=PIXEL_SIZE, frame_time=FRAME_TIME)[:24]
    save(plot_fractions(bm.map_phases(frames)), "first_movie_nothing_chosen")
    result = bm.map_phases(frames, window=96, distortion=0.06)
    save(plot_fractions(result), "first_movie_chosen")
    save(plot_pixels(pixel_map(result, frames=[6]), 0, frames[6]), "first_movie_pixels")


if __name__ == "__main__":
    main(*sys.argv[1:])
