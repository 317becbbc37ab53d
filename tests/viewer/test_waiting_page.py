"""The waiting page: served until the viewer's server has taken over its port."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.viewer.addresses import free_port
from bravaismap.viewer.waiting_page import WaitingPage

ADDRESS = "127.0.0.1"


def asked(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_it_waits_for_another_server_on_its_port() -> None:
    port = free_port(ADDRESS)
    waiting = WaitingPage("a <film>", "<p>picture</p>", ADDRESS, port)
    try:
        status, page = asked(port, "/")
        assert (status, "<p>picture</p>" in page, "a &lt;film&gt;" in page) == (200, True, True)
        assert asked(port, "/favicon.ico") == (204, "")
        with ThreadPoolExecutor(1) as pool:
            question = pool.submit(asked, port, "/ready")
            with pytest.raises(TimeoutError):
                question.result(timeout=0.3)
            waiting.release()
            with socket.create_server((ADDRESS, port)):  # the port is free, while the question is still open
                assert not question.done()
                waiting.answer()
                assert question.result(timeout=20) == (204, "")
    finally:
        waiting.answer()


def test_a_port_is_not_shared() -> None:
    port = free_port(ADDRESS)
    waiting = WaitingPage("film", "", ADDRESS, port)
    with pytest.raises(OSError, match="in use"):
        WaitingPage("another", "", ADDRESS, port)
    waiting.release()


def test_the_first_picture_needs_nothing_that_takes_long_to_import(movie: xr.DataArray, tmp_path: Path) -> None:
    bm.map_phases(movie, window=64, step=64, output=tmp_path / "film.zarr")
    np.save(tmp_path / "film.npy", movie.values)
    code = """
import sys
from bravaismap.cli.reading import Reading
from bravaismap.result.open import open_result
from bravaismap.viewer import server
from bravaismap.viewer.first_picture import first_picture
from bravaismap.viewer.movie_source import open_source
reading = Reading(None, None, None, None, 1, None, None)
source = open_source(sys.argv[1], sys.argv[2], reader=lambda path: reading(path, result=open_result(sys.argv[1])))
assert "data:image/jpeg" in first_picture(source, 0)
sys.exit(", ".join({"torch", "panel", "bokeh", "distributed", "matplotlib"} & set(sys.modules)) or 0)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "film.zarr"), str(tmp_path / "film.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
