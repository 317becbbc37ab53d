"""The viewer in a notebook, and the check that what it needs is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from bravaismap.errors import InputError

__all__ = ["need_panel", "view"]


def view(result: Any, *, movie: Any = None, dataset: str | None = None, beside: Any = None, **options: Any) -> Any:
    """Show a result, or a movie while it is mapped, in a notebook.

    Parameters
    ----------
    result : Dataset, array, str or path
        A result (in memory, or the folder that ``bravaismap map`` writes, finished or not), or a movie (an array
        (time, y, x), or a file that :func:`bravaismap.read` reads).
    movie : array, str or path, optional
        The movie that was mapped: a result does not hold its frames.
    dataset : str, optional
        Which array of a movie file that holds several.
    beside : Dataset, str or path, optional
        Another result of the same frames, shown beside the first.
    options
        How to map a movie: ``window``, ``step``, ``model``, ``distortion``, ``nan``, ``pixel_size``, ``frame_time``, as
        for :func:`bravaismap.map_phases`.

    Returns
    -------
    panel.Column
        The page that ``bravaismap view`` serves. A notebook displays it; ``.show()`` opens it in a browser.

    Raises
    ------
    InputError
        If there is nothing to show, the arguments do not go together, or the extra ``viewer`` is not installed.

    Examples
    --------
    >>> bm.view(bm.open_result("film.zarr"), movie="film.h5")  # doctest: +SKIP
    """
    need_panel()
    import panel as pn

    from bravaismap.viewer.interaction import Session
    from bravaismap.viewer.movie_source import open_beside, open_source

    pn.extension(inline=True)
    source = open_source(result, movie, dataset, **options)
    source.start()
    if beside is None:
        return Session(source).panel()
    other = open_beside(beside, source)
    other.start()
    return Session(source, other).panel()


def need_panel() -> None:
    """Raise `InputError` if what the viewer needs is not installed."""
    try:
        missing = find_spec("panel") is None
    except ValueError:  # of a module without a description
        missing = True
    if missing:
        raise InputError("the viewer needs panel, which is not installed; pip install 'bravaismap[viewer]'")
