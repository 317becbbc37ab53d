"""The viewer: a page in the browser that shows a result, or a movie while it is mapped."""

from bravaismap.viewer.notebook import need_panel, view

__all__ = ["need_panel", "view"]
