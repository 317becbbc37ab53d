"""The viewer in a notebook."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.result.phase_map import PhaseMap

pn = pytest.importorskip("panel", reason="the extra `viewer` is not installed")


@pytest.mark.slow
def test_view_is_a_page_that_asks_no_other_host(result: PhaseMap, movie: xr.DataArray) -> None:
    page = bm.view(result, movie=movie)
    assert isinstance(page, pn.viewable.Viewable)
    html = "".join(str(one) for one in page._repr_mimebundle_()[0].values())
    assert not re.search(r"""(?:src|href)=["']?https?://""", html)


def test_importing_the_package_does_not_import_panel() -> None:
    code = "import bravaismap, sys; bravaismap.view; sys.exit('panel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
