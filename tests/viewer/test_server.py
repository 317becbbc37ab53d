"""The server of the viewer: who may talk to it."""

from __future__ import annotations

import pytest

from bravaismap.result.phase_map import PhaseMap

pn = pytest.importorskip("panel", reason="the extra `viewer` is not installed")

from bravaismap.viewer.addresses import free_port  # noqa: E402
from bravaismap.viewer.result_source import HeldResult  # noqa: E402


def test_a_foreign_page_may_not_talk_to_the_server(result: PhaseMap) -> None:
    import http.client
    from urllib.parse import urlparse

    from bravaismap.viewer.server import serve

    port = free_port("127.0.0.1")
    source = HeldResult(result)
    server = serve(source, port=port, wait=False)
    try:
        answers = {}
        for origin in (f"http://127.0.0.1:{port}", "http://evil.example"):
            for _ in range(100):
                try:
                    answers[origin] = handshake(port, origin)
                    break
                except (ConnectionRefusedError, http.client.HTTPException):
                    import time

                    time.sleep(0.1)
        assert answers["http://evil.example"] == 403
        assert answers[f"http://127.0.0.1:{port}"] != 403
        assert urlparse(next(iter(answers))).hostname == "127.0.0.1"
    finally:
        server.stop()


def handshake(port: int, origin: str) -> int:
    """Ask for a websocket as a page of an origin does; return the status."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {
        "Origin": origin, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "bokeh, none",
    }  # fmt: skip
    connection.request("GET", "/ws", headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status
