"""The viewer's server: for this computer alone unless an address is given; it fetches nothing from elsewhere."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from importlib import import_module
from typing import Any

from bravaismap.viewer.addresses import free_port, origins, url_of
from bravaismap.viewer.first_picture import first_picture
from bravaismap.viewer.result_source import Source
from bravaismap.viewer.waiting_page import WaitingPage

__all__ = ["serve"]


def serve(
    source: Source,
    *,
    other: Source | None = None,
    address: str = "127.0.0.1",
    port: int = 0,
    browser: bool = False,
    ready: Callable[[str], object] | None = None,
    wait: bool = True,
) -> Any:
    """Serve the viewer until it is interrupted.

    Parameters
    ----------
    source : Source
        Shared by all pages that are opened.
    other : Source, optional
        Another result, shown beside the first.
    address : str
        On which the server listens.
    port : int
        0 for a free one.
    browser : bool
        Open the page in the browser.
    ready : callable, optional
        Called with the URL when the server listens.
    wait : bool
        Return only after Ctrl-C; otherwise at once.

    Returns
    -------
    bool, or the thread of the server
        Whether the background work has ended too; without `wait` a thread with a method ``stop``.
    """
    port = free_port(address, port)
    for shown in (source, *([] if other is None else [other])):
        shown.start()
    if not wait:
        return _viewer_server(source, other, address, port, threaded=True)
    waiting = WaitingPage(_title(source), first_picture(source, source.first), address, port)
    try:
        url = url_of(address, port)
        if ready is not None:
            ready(url)
        if browser:
            webbrowser.open(url)
        import_module("bravaismap.viewer.interaction")  # takes seconds, while the waiting page is there already
        waiting.release()
        server = _viewer_server(source, other, address, port, start=False)
        server.start()
        waiting.answer()
        server.io_loop.start()
        server.stop()
    except KeyboardInterrupt:  # before the server listens, which has an end of its own
        pass
    finally:
        ended = source.close() and (other is None or other.close())
    return ended


def _viewer_server(source: Source, other: Source | None, address: str, port: int, **options: Any) -> Any:
    """Return the server of the viewer: for each page that is opened a session of its own."""
    import panel as pn

    from bravaismap.viewer.interaction import Session

    return pn.serve(
        lambda: Session(source, other).panel(), title=_title(source), port=port, address=address, show=False,
        verbose=False, websocket_origin=origins(address, port), **options,
    )  # fmt: skip


def _title(source: Source) -> str:
    return f"bravaismap · {source.title}"
