"""What the tabs of the panel share: the viewer, the network, the task that runs, and what is said
of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, Signal

from mrcnn.errors import UserError
from sebre.viewer.background import (
    DONE,
    ENDED,
    REPORT,
    WARNED,
    Loss,
    Picture,
    Progress,
    WorkerProcess,
    in_words,
)
from sebre.viewer.label_layers import LayerData, pixel_of
from sebre.viewer.network_choices import NetworkChoice

_PLACED = ("scale", "translate", "rotate", "shear", "units")  # as the picture lies


class Session(QObject):
    """What the panels share: the viewer, the network, and the one job that runs.

    Args:
        viewer: of napari.
        command: that starts the process of networks; None for the usual one.
    """

    said = Signal(str, bool)  # a line for the user, and whether it is an error
    busy = Signal(bool)
    progressed = Signal(object)
    trained = Signal(object)  # `NetworkChoice` of a run
    chosen = Signal(object)  # `NetworkChoice`
    saved = Signal()
    _heard = Signal(str, object)  # comes over from the thread that listens

    def __init__(self, viewer: Any, command: Sequence[str] | None = None):
        super().__init__()
        self.viewer = viewer
        self.choice: NetworkChoice | None = None
        # The picture of each layer of labels.
        self.made_of: WeakKeyDictionary[Labels, Layer] = WeakKeyDictionary()
        self._done: Callable[[Any], None] | None = None  # of the task that runs
        self._heard.connect(self._hear)
        self.process = WorkerProcess(self._heard.emit, command)
        self.process.start()  # it gets ready while the user opens a picture

    @property
    def running(self) -> bool:
        """Whether a task runs."""
        return self._done is not None

    def choose(self, choice: NetworkChoice) -> None:
        """Choose a network."""
        self.choice = choice
        self.chosen.emit(choice)

    def run(self, done: Callable[[Any], None], task: str, *arguments: Any) -> None:
        """Have a task done by the process; `done` gets the result. Only one runs at a time."""
        if self.running:
            raise UserError("Something is running. Wait for it, or stop it.")
        self._done = done
        self.said.emit("working ...", False)
        self.busy.emit(True)
        self.process.ask(task, *arguments)

    def stop(self) -> None:
        """Ask what runs to end."""
        if self.running:
            self.process.stop()
            self.said.emit("stopping ...", False)

    def _hear(self, kind: str, content: Any) -> None:
        if kind == REPORT:
            self.progressed.emit(content)
        elif kind == WARNED:
            show_warning(content)
        elif self.running:
            done, self._done = self._done, None
            self.busy.emit(False)
            if kind == DONE:
                with self.complaining():
                    done(content)
            else:
                ended = f"The process of networks ended by itself (exit code {content}). Try again."
                self.said.emit(ended if kind == ENDED else content, True)

    @contextmanager
    def complaining(self) -> Iterator[None]:
        """Says an error in a line, in place of raising it."""
        try:
            yield
        except Exception as error:  # a window has nobody to raise it to
            self.said.emit(in_words(error), True)

    def add(self, layer: LayerData, picture: Layer) -> None:
        """Show a layer of labels on its picture."""
        data, attributes, kind = layer
        placed = {name: getattr(picture, name) for name in _PLACED}
        if picture.ndim > 2:  # one plane of a stack, that lies in its last axes
            placed = {name: placed[name][-2:] for name in ("scale", "translate", "units")}
        labels = Layer.create(data, attributes | placed, kind)
        for other, made_of in self.made_of.items():
            other.visible = other.visible and made_of is not picture  # it would lie below
        self.made_of[labels], picture.visible = picture, True
        self.viewer.add_layer(labels)

    def demand_picture(self, labels: Labels, picture: Layer | None) -> None:
        """Raise a UserError if labels were made of another picture."""
        made_of = self.made_of.get(labels)
        if made_of is not None and made_of is not picture:
            raise UserError(
                f"{labels.name}: was made of {made_of.name}, not of "
                f"{picture.name if picture is not None else 'none'}. Choose that picture."
            )


def picture_of(layer: Layer | None) -> Picture:
    """The picture of a layer of napari, of a pyramid its finest level.

    Raises:
        UserError: there is none, or a stack of them.
    """
    if layer is None:
        raise UserError("No picture is open. Open one, or take File > Open Sample > SeBRe.")
    values = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    while values.ndim > 2 + layer.rgb and len(values) == 1:
        values = values[0]
    if values.ndim > 2 + layer.rgb:
        raise UserError(
            f"{layer.name}: a stack of the shape {values.shape}; wanted one section. Split it "
            "first (Layer > Convert > Split Stack)."
        )
    file = str(layer.source.path or "")
    return Picture(layer.name, values, pixel_of(layer.scale, layer.units), file)


def describe(event: Progress | Loss) -> tuple[int, int, str]:
    """How far a task is, as (done, total, text)."""
    if isinstance(event, Progress):
        return event.done, event.total, event.text
    return event.step, event.steps, f"training: step {event.step} of {event.steps}"
