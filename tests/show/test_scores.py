"""The reliability diagram shows what was counted."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer

from bravaismap.evaluate.reliability import reliability
from bravaismap.show.scores import plot_reliability


def test_diagram_shows_shares_errors_and_counts() -> None:
    rng = np.random.default_rng(0)
    curves = {
        name: reliability(rng.dirichlet(np.ones(3), 200), rng.integers(0, 3, 200)) for name in ("one", "two", "three")
    }
    figure = plot_reliability(curves, "my windows")
    above, below = figure.axes
    assert above.get_title() == "my windows"
    assert [text.get_text() for text in above.get_legend().get_texts()] == ["one", "two", "three"]
    drawn = [c for c in above.containers if isinstance(c, ErrorbarContainer)]
    for curve, bars, stairs in zip(curves.values(), drawn, below.patches, strict=True):
        some = curve.count > 0
        np.testing.assert_allclose(bars.lines[0].get_xdata(), curve.confidence[some])
        np.testing.assert_allclose(bars.lines[0].get_ydata(), curve.right[some])
        ends = np.array(bars.lines[2][0].get_segments())[:, :, 1]
        np.testing.assert_allclose(ends, np.stack([curve.low[some], curve.high[some]], axis=1), atol=1e-12)
        np.testing.assert_array_equal(stairs.get_data().values, curve.count)
        assert to_hex(bars.lines[0].get_color()) == to_hex(stairs.get_edgecolor())
    colors = {to_hex(bars.lines[0].get_color()) for bars in drawn}
    assert colors == {"#0072b2", "#d55e00", "#009e73"}
