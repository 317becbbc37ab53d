"""Fitting to the window of the browser: the plots as large as it allows, and what its keys and buttons do.

The code runs in the page, which knows how large it is; it asks nothing of any other computer.
"""

from __future__ import annotations

from typing import Any, Final

from bokeh.models import CustomJS

from bravaismap.viewer.first_picture import ABOVE, MARK, NARROW

__all__ = ["fit_to_browser"]

#: Sizes: the frame takes the height that is left beside its widgets, and at most its share of the width; where the
#: parts lie below one another and the page is scrolled, all of the width and nearly all of the height.
_CODE: Final = """
const doc = Bokeh.documents.find(one => one.get_model_by_name('frame') != null)
const plot = name => doc.get_model_by_name(name)
const player = Array.from(doc._all_models.values()).find(model => model.type.endsWith('Player'))

function fit() {
  const wide = document.documentElement.clientWidth, high = window.innerHeight
  const frames = ['frame', 'beside'].map(plot).filter(one => one != null && one.visible)
  const columns = wide < narrow ? 1 : 2
  const [bars, taken] = around, left = columns == 1 ? wide - 30 : Math.round((frames.length == 2 ? 0.6 : 0.45) * wide)
  const across = frames.length == 2 && columns == 1 ? left / 2 : left
  const shown = plot('frame')
  const room = frames.length == 2 && columns == 2 ? left / 2 : across
  const tall = columns == 1 ? high - above : Math.max(high - taken, 260)
  const scale = Math.max(0.2, Math.min((room - bars) / extent[1], tall / extent[0]))
  for (const one of frames) {
    one.frame_width = Math.round(extent[1] * scale)
    one.frame_height = Math.round(extent[0] * scale)
  }
  const taking = Math.max(frames.length * (shown.frame_width + bars), 440)
  const right = Math.max(400, columns == 1 ? wide - 30 : wide - taking - 40)
  plot('halves').styles = {...plot('halves').styles, 'flex-wrap': columns == 1 ? 'wrap' : 'nowrap'}
  plot('left').styles = {width: (columns == 1 ? right : taking) + 'px', 'flex-shrink': '0'}
  plot('right').styles = {width: right + 'px', 'min-width': '0'}
  if (plot('curves') != null) {
    plot('curves').width = right
    plot('curves').height = Math.round(Math.max(190, Math.min(0.3 * high, 420)))
  }
  if (plot('bars') == null) return
  const small = right < 620
  plot('bars').width = small ? 140 : 165
  plot('shape').width = small ? 112 : 135
  const rest = right - plot('bars').width - plot('shape').width - 60
  const side = Math.round(Math.max(90, Math.min(rest / 2, 0.5 * high - 60)))
  for (const name of ['window', 'spectrum']) {
    plot(name).frame_width = plot(name).frame_height = side
  }
  for (const one of plot('spectrum').renderers) {
    if (one.glyph.type == 'Text') one.visible = side > 150 // indices would cover one another
  }
  for (const name of ['bars', 'shape']) plot(name).height = Math.max(220, Math.min(side + 45, 420))
}

function step(by) {
  if (player == null || player.disabled) return
  player.value = Math.min(Math.max(player.value + by, player.start), player.end)
}

function name_buttons() {
  const view = player == null ? null : Bokeh.index.find_one(player)
  if (view == null) return
  for (const button of view.shadow_el.querySelectorAll('button')) {
    const name = names[Array.from(button.classList).find(one => one in names)]
    if (name) { button.title = name; button.setAttribute('aria-label', name) }
  }
  const slider = view.shadow_el.querySelector('input[type=range]')
  if (slider) { slider.setAttribute('aria-label', 'frame'); slider.title = 'frame' }
}

// plots are made when they are first needed
let present = ''
function fit_new() {
  const names = ['beside', 'bars', 'curves'].filter(name => plot(name) != null && plot(name).visible).join()
  if (names == present) return
  present = names
  fit()
}

window.addEventListener('resize', fit)
doc.on_change(() => setTimeout(fit_new, 0))
document.addEventListener('keydown', event => {
  const focus = event.composedPath()[0]
  const typing = ['INPUT', 'SELECT', 'TEXTAREA', 'BUTTON'].includes(focus.tagName)
  if (typing || focus.classList.contains('noUi-handle')) return
  if (event.ctrlKey || event.metaKey || event.altKey) return
  if (event.key == 'ArrowRight') step(1)
  else if (event.key == 'ArrowLeft') step(-1)
  else if (event.key == 'Home') step(-1e9)
  else if (event.key == 'End') step(1e9)
  else if (event.key == ' ' && player != null && !player.disabled) player.direction = player.direction == 0 ? 1 : 0
  else return
  event.preventDefault()
})
fit()
name_buttons()
document.getElementById(mark)?.remove()
"""

_BUTTONS: Final = {
    "slower": "slower",
    "first": "first frame",
    "previous": "frame before",
    "reverse": "play backwards",
    "pause": "pause",
    "play": "play",
    "next": "next frame",
    "last": "last frame",
    "faster": "faster",
}


def fit_to_browser(document: Any, height: float, width: float, around: tuple[int, int]) -> None:
    """Have a page fit its plots to the window of the browser, name its buttons, and listen to keys.

    Parameters
    ----------
    document : bokeh.document.Document
    height, width : float
        Sides of a frame, in any unit.
    around : (int, int)
        Width and height in px that the widgets around the frame take.
    """
    args = {
        "extent": [height, width],
        "around": list(around),
        "narrow": NARROW,
        "above": ABOVE,
        "names": _BUTTONS,
        "mark": MARK,
    }
    code = CustomJS(args=args, code=_CODE)
    document.js_on_event("document_ready", code)
