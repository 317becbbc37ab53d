"""The figures of the examples, for the pages: those that a block makes without pyplot."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

__all__ = ["figures_of"]


def figures_of(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the figures that a block of an example has made: its last expression, or what it has given a name."""
    from sphinx_gallery.scrapers import figure_rst

    names = block_vars["example_globals"]
    kept = names.setdefault("__drawn__", [])
    paths = []
    for value in list(names.values()):
        if isinstance(value, Figure) and not any(value is other for other in kept):
            kept.append(value)
            paths.append(next(block_vars["image_path_iterator"]))
            value.savefig(paths[-1], dpi=110, bbox_inches="tight", pad_inches=0.05)
    return str(figure_rst(paths, gallery_conf["src_dir"]))
