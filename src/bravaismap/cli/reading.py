"""How a command reads an image or movie, says in one line what was read, and names results and their files."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from bravaismap.cli.terminal import opening

if TYPE_CHECKING:
    import xarray as xr

    from bravaismap.files import Destination
    from bravaismap.result.phase_map import PhaseMap

__all__ = ["Reading", "checked_table", "checked_target", "default_output", "destination"]

#: Endings of tables and pages that are no text with commas.
_OTHER_TABLES = frozenset({"feather", "html", "json", "md", "ods", "parquet", "pdf", "tex", "xls", "xlsm", "xlsx"})


@dataclass(frozen=True)
class Reading:
    """What a command was told of how to read its input.

    Attributes
    ----------
    dataset, channel, frames, crop, bin, pixel_size, frame_time
        As :func:`bravaismap.read` takes them.
    """

    dataset: str | None = None
    channel: str | None = None
    frames: str | None = None
    crop: str | None = None
    bin: int = 1
    pixel_size: float | None = None
    frame_time: float | None = None

    def __call__(
        self, source: str, *, timed: bool = True, result: PhaseMap | None = None, growing: bool = False
    ) -> xr.DataArray:
        """Read a source and say what it is.

        Parameters
        ----------
        source : str
        timed : bool
            Whether the command needs the time of a frame, so that one which is only a playback rate is warned of.
        result : Dataset, optional
            A map of this movie, which has its scale and time; `InputError` if it is a map of another.
        growing : bool
            Whether the result may be of the first frames alone, and who shows it compares the frames.
        """
        from bravaismap.errors import InputError, warn
        from bravaismap.read.description import movie_line, playback_warning
        from bravaismap.read.reading import read

        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            movie = read(source, **asdict(self))
            if result is not None:
                from bravaismap.result.mapped_movie import mapped_movie, with_scale_of

                try:
                    movie = with_scale_of(result, movie) if growing else mapped_movie(result, movie)
                except InputError as error:
                    raise InputError(f"{source}: {error}") from error
        opening(movie_line(movie))
        for one in said:  # after the line that says what they are about
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        doubt = playback_warning(movie) if timed else None
        if doubt is not None:
            warn(doubt)
        return movie

    def count(self, source: str) -> int:
        """Return how many frames of a source there are to read."""
        from bravaismap.read.reading import frame_count

        return frame_count(source, dataset=self.dataset, channel=self.channel, frames=self.frames)


def checked_target(target: Path) -> Path:
    """Return where a result is to be written, or raise `OutputError`: it is a folder, and its name says so."""
    from bravaismap.errors import OutputError
    from bravaismap.read.reading import FORMATS

    ending = target.suffix[1:].lower()
    if target.is_file() or (ending in FORMATS and ending != "zarr"):
        what = "is a file, not a result" if target.is_file() else f"has the name of a {ending} file"
        raise OutputError(
            f"-o {target} was given, which {what}; a result is a folder: give another name, one that ends in .zarr"
        )
    return target


def checked_table(table: Path | None) -> None:
    """Raise `OutputError` if a table of text has the name of a folder, or that of another kind of file."""
    from bravaismap.errors import OutputError
    from bravaismap.read.reading import FORMATS

    if table is None:
        return
    if table.is_dir():
        raise OutputError(f"--csv {table} was given, which is a folder; give the name of a file, one that ends in .csv")
    ending = table.suffix[1:].lower()
    if ending in FORMATS or ending in _OTHER_TABLES:
        raise OutputError(
            f"--csv {table} was given, which ends as another kind of file does; the table is text with commas, which "
            "spreadsheets open too: give a name that ends in .csv"
        )


def default_output(movie: str) -> Path:
    """Return where the result of a movie goes: NAME-phases/NAME.zarr, or with the ending or a number in its name.

    The latter where there is a result of another movie already, such as that of a.dm4 when a.tif is mapped.
    """
    name = _name_of(movie)
    ending = Path(movie).suffix[1:]
    names = chain([name], [f"{name}_{ending}"] if ending else [], (f"{name}-{number}" for number in count(2)))
    targets = (Path(f"{one}-phases") / f"{one}.zarr" for one in names)
    return next(target for target in targets if _is_free_for(target, movie))


def destination(result: Path, folder: Path | None = None) -> Destination:
    """Return where tables and figures of a result go, and how their names begin: with that of the result.

    Without a folder, those of NAME.zarr go to NAME-phases beside it; or to the folder in which it lies, where that is
    named after it already, as NAME-phases of a map and NAME-live of a live run are.
    """
    from bravaismap.files import Destination

    place = result.expanduser().resolve()
    if folder is None:
        own = place.parent.name.startswith(f"{place.stem}-")
        folder = result.parent if own else result.parent / f"{place.stem}-phases"
    return Destination(folder, place.stem)


def _is_free_for(target: Path, movie: str) -> bool:
    """Return whether there is no result at `target`, or one of this movie, or what is no result at all."""
    if not target.is_dir():
        return True
    import zarr

    from bravaismap.result.card import card_of

    try:
        mapped = Path(str(card_of(zarr.open_group(target, mode="r"), target)["input"]))
    except Exception:  # damaged, or no result: what that means is said when it is opened
        return True
    moved = mapped.name == Path(movie).name and not mapped.exists()
    return moved or str(mapped) == movie or mapped.resolve() == Path(movie).resolve()


def _name_of(movie: str) -> str:
    """Return what to call the result of a movie: the file's name without its ending, or the folder's for a pattern."""
    path = Path(movie).expanduser()
    if not path.exists() and any(letter in path.name for letter in "*?["):
        path = path.parent
    if path.is_dir() and path.suffix not in (".zarr", ".zspy"):
        return path.resolve().name or "movie"
    return (path.resolve().stem if path.exists() else path.stem or "movie").removesuffix(".zarr")  # of film.zarr.zip
