"""How the documentation is built: ``make docs``, without a network, into ``docs/_build/html``.

What is made on the way lies in ``docs/made``: the tutorials and the gallery with what their code printed
and drew, and the pages of the functions.
"""

from __future__ import annotations

import os
import re
import sys
from html import escape
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # the figures of the examples
os.environ.setdefault("OMP_NUM_THREADS", "1")

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

project = "bravaismap"
author = "The bravaismap developers"
copyright = "the bravaismap developers, GPL-3.0-or-later"
release = version = version_of("bravaismap")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "tutorials", "limits", "templates"]
templates_path = ["templates"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
nitpicky = True
#: Names that stand in for types in docstrings, and bases of classes of other packages, whose pages are not asked for.
nitpick_ignore_regex = [("py:(class|obj|data|attr|exc)", r"(?!bravaismap\.).*")]
#: Functions that a docstring of the same module names without it.
nitpick_ignore = [("py:func", "fit_growth"), ("py:func", "answer")]
#: Pages that are listed where they are there.
OPTIONAL = ("viewer", "ecosystem", "performance")

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc says types with shapes and units
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "bravaismap"
html_static_path = ["static"]
html_css_files = ["bravaismap.css"]
html_show_sourcelink = False
html_copy_source = False
html_math_renderer = "mathml"
html_sidebars = {"index": [], "start": [], "api": []}
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "navigation_with_keys": False,
}


sphinx_gallery_conf = {
    "examples_dirs": ["tutorials", "../examples", "limits"],
    "gallery_dirs": ["made/tutorials", "made/gallery", "made/limits"],
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("drawn.figures_of",),
    "capture_repr": (),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 1e9,
    "reset_modules": (),
    "remove_config_comments": True,
    "default_thumb_file": None,
}


def _mathml(node: nodes.Node, as_block: bool) -> str:
    """Return a formula as MathML; what it cannot say is a warning, and shown as it was written."""
    try:
        return str(tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        logging.getLogger(__name__).warning("formula: %s", error, location=node)
        return f"<code>{escape(node.astext())}</code>"


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(_mathml(node, False))
    raise nodes.SkipNode


def _display(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{_mathml(node, True)}</div>\n')
    raise nodes.SkipNode


def _listed(app: Any, name: str, source: list[str]) -> None:
    """Leave out of the contents what is not there."""
    missing = [page for page in OPTIONAL if page not in app.env.found_docs]
    source[0] = "\n".join(line for line in source[0].split("\n") if line not in missing)


def _bars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep |τ| in a docstring from being taken for a substitution, outside of code."""
    for i, line in enumerate(lines):
        parts = re.split(r"(``.*?``)", line)
        lines[i] = "".join(part if part.startswith("``") else part.replace("|", r"\|") for part in parts)


def setup(app: Any) -> dict[str, bool]:
    """Write formulas as MathML, which browsers draw by themselves: no script has to be fetched from anywhere."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    app.connect("source-read", _listed)
    app.connect("autodoc-process-docstring", _bars)
    return {"parallel_read_safe": True}
