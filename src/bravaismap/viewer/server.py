"""The viewer's server: for this computer alone unless an address is given; it fetches nothing from elsewhere."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import panel as pn

from bravaismap.errors import InputError
from bravaismap.viewer.interaction import Session
from bravaismap.viewer.result_source import Source

__all__ = ["free_port", "is_local", "origins", "serve"]


def is_local(address: str) -> bool:
    """Return whether an address can be reached from this computer alone."""
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def free_port(address: str, port: int = 0) -> int:
    """Return a port that is free, `port` itself unless it is 0.

    Raises
    ------
    InputError
        If the port is in use, or the address is none of this computer.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as trial:
            trial.setsockopt(socket.SOL_SOCKET, _port_option(), 1)
            trial.bind((address, port))
            return int(trial.getsockname()[1])
    except OverflowError:
        raise InputError(f"the port {port} was given; expected 1 to 65535, or none for a free one") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"the port {port} is in use; give another --port, or none for a free one"
        elif error.errno == errno.EACCES:
            text = f"the port {port} may not be used; give another one above 1023, or none for a free one"
        else:
            text = f"the address {address} is none of this computer ({error.strerror}); the usual one is 127.0.0.1"
        raise InputError(text) from None


def origins(address: str, port: int) -> list[str]:
    """Return the pages that may talk to the server: those it has served itself."""
    names = [address]
    if is_local(address):
        names += ["127.0.0.1", "localhost"]
    elif address in ("0.0.0.0", "::"):
        host = socket.gethostname()
        names = ["127.0.0.1", "localhost", host, socket.getfqdn()]
        with suppress(OSError):
            names += [str(entry[4][0]) for entry in socket.getaddrinfo(host, None)]
    return [f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in dict.fromkeys(names)]


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
    host = "127.0.0.1" if address in ("0.0.0.0", "::") else address
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    for one in (source, *([] if other is None else [other])):
        one.start()
    options: dict[str, Any] = {
        "title": f"bravaismap · {source.title}", "port": port, "address": address, "show": browser, "verbose": False,
        "websocket_origin": origins(address, port),
    }  # fmt: skip
    if not wait:
        return pn.serve(lambda: Session(source, other).panel(), threaded=True, **options)
    try:
        server = pn.serve(lambda: Session(source, other).panel(), start=False, **options)
        server.start()
        if ready is not None:
            ready(url)
        server.io_loop.start()
        server.stop()
    finally:
        ended = source.close() and (other is None or other.close())
    return ended


def _port_option() -> int:
    """Return the option that allows a port that has just been left; Windows' own would take one in use as well."""
    return int(getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR))
