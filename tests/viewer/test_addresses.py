"""Addresses and ports of the viewer."""

from __future__ import annotations

import socket

import pytest

from bravaismap.errors import InputError
from bravaismap.viewer.addresses import free_port, is_local, origins


def test_addresses() -> None:
    assert all(is_local(address) for address in ("127.0.0.1", "localhost", "::1", "127.0.0.5"))
    assert not any(is_local(address) for address in ("0.0.0.0", "192.168.1.5", "::", "example.org"))
    assert origins("127.0.0.1", 5006) == ["127.0.0.1:5006", "localhost:5006"]
    assert origins("192.168.1.5", 80) == ["192.168.1.5:80"]
    assert "[::1]:7" in origins("::1", 7)
    assert all("*" not in origin for origin in origins("0.0.0.0", 80))


def test_ports() -> None:
    assert 0 < free_port("127.0.0.1") < 65536
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"the port {port} is in use"):
            free_port("127.0.0.1", port)
    with pytest.raises(InputError, match="expected 1 to 65535"):
        free_port("127.0.0.1", 99999)
    with pytest.raises(InputError, match="none of this computer"):
        free_port("203.0.113.7")


def test_a_port_in_use_is_not_taken_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """There SO_REUSEADDR would take it; SO_EXCLUSIVEADDRUSE, which other systems lack, does not."""
    options: list[int] = []

    class Trial(socket.socket):
        def setsockopt(self, _level: int, option: int, _value: object) -> None:  # type: ignore[override]
            options.append(option)

    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", -5, raising=False)
    monkeypatch.setattr(socket, "socket", Trial)
    free_port("127.0.0.1")
    assert options == [-5]
