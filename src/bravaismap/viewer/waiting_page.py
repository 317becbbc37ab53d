"""The waiting page: the first picture, served while Panel and Bokeh are still imported, which takes seconds.

Its server is the standard library's. It gives its port to the viewer's server, and the page then loads itself again.
"""

from __future__ import annotations

import os
import threading
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final

from bravaismap.viewer.addresses import family_of

__all__ = ["WaitingPage"]

#: What the page asks for next; it is answered when the viewer's server listens.
_READY: Final = "/ready"
_PAGE: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head><body>{content}
<script>fetch("{ready}", {{cache: "no-store"}}).finally(() => location.reload())</script></body></html>
"""
_LOOK: Final = 0.02  # s between two looks whether the server is to end


class WaitingPage:
    """A page that is served until the viewer's own server has taken over its port.

    Parameters
    ----------
    title : str
    content : str
        HTML.
    address : str
        On which the page is served.
    port : int
        Which must be free.
    """

    def __init__(self, title: str, content: str, address: str, port: int) -> None:
        page = _PAGE.format(title=escape(title), content=content, ready=_READY).encode()
        self._answered = threading.Event()
        self._server = _Server(address, port, page, self._answered)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_LOOK,), name="bravaismap waiting page", daemon=True
        )
        self._thread.start()

    def release(self) -> None:
        """Free the port; pages that are open go on waiting."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self) -> None:
        """Have the pages that are open load themselves again."""
        self._answered.set()


class _Server(ThreadingMixIn, TCPServer):
    daemon_threads = True
    #: Windows would share a port that is in use.
    allow_reuse_address = os.name != "nt"

    def __init__(self, address: str, port: int, page: bytes, answered: threading.Event) -> None:
        self.address_family = family_of(address)
        self.page, self.answered = page, answered
        super().__init__((address, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of browsers that have gone."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answer with the page, or to its question when there is another one."""
        if self.path == _READY:
            self.server.answered.wait()
        page = self.server.page if self.path.partition("?")[0] == "/" else b""
        self.send_response(HTTPStatus.OK if page else HTTPStatus.NO_CONTENT)
        if page:
            self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log."""
