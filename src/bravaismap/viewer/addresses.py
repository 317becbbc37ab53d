"""Addresses and ports on which the viewer is served, and the pages that may talk to its server."""

from __future__ import annotations

import errno
import ipaddress
import socket
from contextlib import suppress

from bravaismap.errors import InputError

__all__ = ["family_of", "free_port", "is_local", "origins", "url_of"]


def family_of(address: str) -> socket.AddressFamily:
    """Return the family of sockets that an address needs."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def url_of(address: str, port: int) -> str:
    """Return the URL at which this computer finds what is served on an address."""
    host = "127.0.0.1" if address in ("0.0.0.0", "::") else address
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


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
        with socket.socket(family_of(address)) as trial:
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


def _port_option() -> int:
    """Return the option that allows a port that has just been left; Windows' own would take one in use as well."""
    return int(getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR))
