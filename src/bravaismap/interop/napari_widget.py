"""The dock widget of the napari plugin: settings, a button that maps the selected layer, progress, a button to stop."""

from __future__ import annotations

import gc
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any, Final

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSpinBox,
    Label,
    LineEdit,
    ProgressBar,
    PushButton,
    SpinBox,
)
from qtpy.QtCore import QTimer

from bravaismap.classify.models import MODELS
from bravaismap.classify.settings import AUTO, DEFAULT_DISTORTION, DEFAULT_MODEL, LARGEST_DISTORTION
from bravaismap.errors import BravaismapError, InputError
from bravaismap.interop.napari import LayerData, layer_movie, map_layer

__all__ = ["MapWidget"]

_NO_LAYER: Final = "select an image layer"
_PERCENT: Final = 100.0
#: From look to look at the thread that maps, in ms: a bar that moves ten times a second looks continuous.
_LOOK_MS: Final = 100
#: Largest step that can be typed, px: the side of the largest frames of cameras.
_LARGEST_STEP: Final = 8192


class _Stopped(Exception):
    """The user pressed the button that stops the map."""


class MapWidget(Container):
    """The widget that maps the selected image layer in a thread of its own, so that the viewer stays usable.

    The thread touches nothing of Qt, whose objects belong to the thread of the windows: it counts frames and returns
    layers, and a timer of the windows' thread looks at both. Unreachable objects are collected by that timer, too,
    while the map runs, since the collection in another thread could delete a widget under the windows.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer whose selected layer is mapped, and to which the maps are added. napari gives it by this name.

    Attributes
    ----------
    layer : Label
        Which layer is mapped.
    window, step, model, distortion
        Settings of the map: see :func:`bravaismap.map_phases`. A step of 0 stands for an eighth of the window, and the
        distortion is in percent.
    sites : CheckBox
        Whether every site is looked at, too, which takes about as long again.
    start, stop : PushButton
        Of which one can be pressed at a time.
    progress : ProgressBar
        Frames that are mapped.
    message : Label
        What was done, or why it was not.
    """

    def __init__(self, napari_viewer: Any) -> None:
        self._viewer, self._stopping = napari_viewer, Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bravaismap")
        self._mapping: Future[list[LayerData]] | None = None
        self._frames = 0
        self._bar: Any = None
        self.layer = Label(name="layer")
        self.window = LineEdit(
            name="window", value=AUTO, tooltip="side of a window in px, or auto: about ten cells of the lattice"
        )
        self.step = SpinBox(
            name="step", value=0, min=0, max=_LARGEST_STEP, tooltip="px from window to window; 0: an eighth of a window"
        )
        self.model = ComboBox(name="model", choices=list(MODELS), value=DEFAULT_MODEL, tooltip="how windows are judged")
        self.distortion = FloatSpinBox(
            name="distortion", label="distortion (%)", value=_PERCENT * DEFAULT_DISTORTION, min=0.0,
            max=_PERCENT * LARGEST_DISTORTION, step=0.5,
            tooltip="how much the scan stretches and shears the sample, as one standard deviation",
        )  # fmt: skip
        self.sites = CheckBox(name="sites", value=False, tooltip="mark vacancies and other atoms; takes as long again")
        self.start = PushButton(text="Map the selected layer", name="start")
        self.stop = PushButton(text="Stop", name="stop", enabled=False)
        self.progress = ProgressBar(name="progress", label="frames", min=0, max=1, value=0, visible=False)
        self.message = Label(name="message", label="")
        super().__init__(
            widgets=[
                self.layer, self.window, self.step, self.model, self.distortion, self.sites, self.start, self.stop,
                self.progress, self.message,
            ]
        )  # fmt: skip
        self.start.changed.connect(self._start)
        self.stop.changed.connect(self._stop)
        napari_viewer.layers.selection.events.active.connect(self._name_layer)
        self._timer = QTimer(self.native)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)
        self.native.destroyed.connect(self._stopping.set)
        self.native.destroyed.connect(gc.enable)
        self._name_layer()

    def _name_layer(self, _: Any = None) -> None:
        layer = self._viewer.layers.selection.active
        self.layer.value = _NO_LAYER if layer is None else f"{layer.name}"

    def _start(self, _: Any = None) -> None:
        """Begin to map the selected layer; what cannot be mapped is said at once."""
        from napari.utils import progress as napari_progress

        layer = self._viewer.layers.selection.active
        try:
            if layer is None:
                raise InputError("no layer is selected; select an image layer in the list and press the button again")
            frames = len(layer_movie(layer))
        except BravaismapError as error:
            self.message.value = str(error)
            return
        self._stopping.clear()
        sites = bool(self.sites.value)
        self._frames, self.progress.max, self.progress.value = 0, frames * (2 if sites else 1), 0
        settings = (self.window.value, self.step.value or None, self.model.value, self.distortion.value / _PERCENT)
        self._bar = napari_progress(total=self.progress.max, desc=f"map {layer.name}")
        self._run(True)
        self._mapping = self._thread.submit(map_layer, layer, *settings, sites=sites, progress=self._count)

    def _count(self, done: int, _: int) -> None:
        """Take the number of frames that are mapped; called in the thread that maps them."""
        if self._stopping.is_set():
            raise _Stopped
        self._frames = done

    def _look(self) -> None:
        """Show how far the thread is, and at its end what it returned or why it did not."""
        gc.collect(1)
        self.progress.value = self._frames
        self._bar.update(self._frames - self._bar.n)
        if self._mapping is None or not self._mapping.done():
            return
        mapping, self._mapping = self._mapping, None
        self._bar.close()
        self._run(False)
        error = mapping.exception()
        if error is None:
            self._show(mapping.result())
        else:
            self._explain(error)

    def _show(self, layers: list[LayerData]) -> None:
        from napari.layers import Layer

        for layer in layers:
            self._viewer.add_layer(Layer.create(*layer))
        shown = sum(bool(about.get("visible", True)) for _, about, _ in layers)
        self.message.value = f"{len(layers)} layers added; {shown} shown, the others hidden"

    def _explain(self, error: BaseException) -> None:
        if isinstance(error, _Stopped):
            self.message.value = "stopped; nothing was added"
        elif isinstance(error, BravaismapError):
            self.message.value = str(error)
        else:
            raise error

    def _stop(self, _: Any = None) -> None:
        self._stopping.set()
        self.message.value = "stopping after this frame"

    def _run(self, running: bool) -> None:
        """Let the button that makes sense now be pressed, and look at the thread while it runs."""
        if running:
            self.message.value = ""
            gc.disable()
            self._timer.start()
        else:
            self._timer.stop()
            gc.enable()
        self.start.enabled, self.stop.enabled, self.progress.visible = not running, running, running
