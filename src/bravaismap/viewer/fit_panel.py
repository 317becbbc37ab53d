"""The panel of the growth law: nothing is fitted until it is asked for, and then again when its input changes."""

from __future__ import annotations

from concurrent.futures import Future
from html import escape
from typing import Any

import numpy as np

from bravaismap.viewer.fraction_curves import Curves, Fit
from bravaismap.viewer.page import Page

__all__ = ["FitPanel"]

_UNASKED = "A law of growth is fitted to the fraction of a class when you press fit."


class FitPanel:
    """A growth law fitted in the background to the fraction of a class.

    Parameters
    ----------
    page : Page
    curves : Curves
        Have the fractions, and fit.

    Attributes
    ----------
    fit : Fit
        The last one; empty before.
    """

    def __init__(self, page: Page, curves: Curves, *, several_frames: bool) -> None:
        self._page, self._curves = page, curves
        self.fit = Fit("", np.empty(0), np.empty(0), None)
        self._fitting: Future[Fit] | None = None
        self._asked = self._stale = False  # whether a fit was asked for, and whether it is to be made (again)
        if several_frames:
            page.text["fit"].object = f"<p>{_UNASKED}</p>"
        for widget in (page.fit_class, page.law, page.baseline):
            widget.param.watch(self.renew, "value")
        page.fit.on_click(lambda _: self.ask())

    def ask(self) -> None:
        """Fit as soon as the fractions are known."""
        self._asked = self._stale = True
        self._page.text["fit"].object = "<p>fitting …</p>"

    def renew(self, _: Any = None) -> None:
        """Fit again if a fit was asked for."""
        self._stale = self._asked

    def follow(self) -> bool:
        """Show a finished fit, and begin another if its input has changed; return whether there is something new."""
        new = self._fitting is not None and self._fitting.done()
        if self._fitting is not None and new:
            self.fit, self._fitting = self._fitting.result(), None
            self._page.curve_plot().show_fit(self.fit.time, self.fit.curve)
            self._page.text["fit"].object = f"<p>{escape(self.fit.text)}</p>"
        ready = self._fitting is None and not self._curves.left() and np.isfinite(self._curves.values()[0]).any()
        if self._stale and ready:
            page, self._stale = self._page, False
            self._fitting = self._curves.submit_fit(page.fit_class.value, page.law.value, page.baseline.value)
        return new
