"""Parts of the panel that know nothing of networks: lists of layers, tables, a curve."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from mrcnn.errors import UserError
from sebre.data.regions import Color

_SWATCH = 12  # px
_SHARES = ("score", "expected_dice", "dice_before_after", "dice_before", "dice_after")
_GRAY = "0.6"  # of the curve's frame: seen on dark and light windows


class LayerBox(QComboBox):
    """A list of the layers of a viewer of one kind, newest first; keeps to what was chosen.

    Args:
        viewer: of napari.
        kind: class of the layers.
    """

    changed = Signal()

    def __init__(self, viewer: Any, kind: type):
        super().__init__()
        self._viewer, self._kind = viewer, kind
        self._named: WeakSet[Any] = WeakSet()  # layers whose names are followed
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._refresh)
        self.currentIndexChanged.connect(lambda _: self.changed.emit())
        self._refresh()

    def layer(self) -> Any | None:
        """The layer that is chosen; None without any."""
        return self.currentData()

    def choose(self, layer: Any) -> None:
        """Choose a layer."""
        for index in range(self.count()):
            if self.itemData(index) is layer:
                self.setCurrentIndex(index)

    def _refresh(self, event: Any = None) -> None:
        chosen = self.layer()
        layers = [one for one in reversed(self._viewer.layers) if isinstance(one, self._kind)]
        if event is not None and event.type == "inserted" and isinstance(event.value, self._kind):
            chosen = event.value
        self.blockSignals(True)
        self.clear()
        for layer in layers:
            self.addItem(layer.name, layer)
            if layer not in self._named:
                self._named.add(layer)
                layer.events.name.connect(self._refresh)
        if chosen is not None:
            self.choose(chosen)
        self.blockSignals(False)
        self.changed.emit()


class RowsTable(QTableWidget):
    """Rows of cells, of which numbers are shown short.

    Args:
        titles: of the columns, by the key of their cells.
    """

    def __init__(self, titles: Mapping[str, str]):
        super().__init__(0, 0)
        self._titles = titles
        self.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.setSelectionMode(QTableWidget.SelectionMode.SingleSelection)
        self.setIconSize(QSize(_SWATCH, _SWATCH))
        self.verticalHeader().hide()
        self.setMinimumHeight(140)

    def show_rows(
        self, rows: Sequence[Mapping[str, Any]], colors: Mapping[str, Color] | None = None
    ) -> None:
        """Show rows; columns without any cell are left out. Colors are by the first cell."""
        keys = [k for k in self._titles if any(row.get(k) not in (None, "") for row in rows)]
        self.setRowCount(len(rows))
        self.setColumnCount(len(keys))
        self.setHorizontalHeaderLabels([self._titles[key] for key in keys])
        for y, row in enumerate(rows):
            for x, key in enumerate(keys):
                item = QTableWidgetItem(_short(row.get(key), key))
                if isinstance(row.get(key), int | float):
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                if not x and (color := (colors or {}).get(str(row.get(key)))):
                    swatch = QPixmap(_SWATCH, _SWATCH)
                    swatch.fill(QColor(*color))
                    item.setIcon(QIcon(swatch))
                item.setToolTip(item.text())
                self.setItem(y, x, item)
        header = self.horizontalHeader()
        for x in range(len(keys)):
            last = x == len(keys) - 1
            mode = QHeaderView.ResizeMode
            header.setSectionResizeMode(x, mode.Stretch if last else mode.ResizeToContents)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)

    def texts(self) -> list[list[str]]:
        """What is shown, row by row."""
        across = range(self.columnCount())
        return [[self.item(y, x).text() for x in across] for y in range(self.rowCount())]


def _short(value: Any, key: str) -> str:
    if value is None:
        return ""
    if key == "change":
        return f"{100 * value:+.1f} %"
    if key in _SHARES:
        return f"{value:.3f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class LossCurve(FigureCanvasQTAgg):
    """The loss of a training as it goes on, and the Dice of held-out sections if there is one."""

    def __init__(self) -> None:
        figure = Figure(figsize=(3.6, 2.0), layout="constrained")
        figure.patch.set_alpha(0)
        super().__init__(figure)
        self.setMinimumHeight(170)
        self.setStyleSheet("background: transparent;")
        self._axes = figure.add_subplot()
        self._axes.patch.set_alpha(0)
        self._axes.set_xlabel("step", color=_GRAY)
        self._axes.set_ylabel("loss", color="C0")
        self._dices = self._axes.twinx()
        self._dices.set_ylim(0, 1)
        self._dices.set_ylabel("Dice, held out", color="C1")
        self._dices.set_visible(False)
        for axes in (self._axes, self._dices):
            axes.tick_params(colors=_GRAY, labelsize=8)
            axes.spines[:].set_color(_GRAY)
        (self._loss,) = self._axes.plot([], [], "C0-", marker=".", markersize=3)
        (self._dice,) = self._dices.plot([], [], "C1o-")
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.points: list[tuple[float, float]] = []
        self.dices: list[tuple[float, float]] = []
        self._show(1)

    def add(self, step: int, steps: int, loss: float, val_dice: float | None) -> None:
        """Add what is known after a step of so many."""
        if val_dice is None:
            self.points.append((step, loss))
        else:
            self.dices.append((step, val_dice))
        self._show(steps)

    def _show(self, steps: int) -> None:
        for line, points in ((self._loss, self.points), (self._dice, self.dices)):
            line.set_data(*np.array(points, float).reshape(-1, 2).T)
        self._dices.set_visible(bool(self.dices))
        self._axes.set_xlim(0, max(steps, 1))
        highest = max((loss for _, loss in self.points), default=1.0)
        self._axes.set_ylim(0, 1.05 * highest)
        self.draw_idle()


class FolderLine(QWidget):
    """A folder that can be written or chosen."""

    changed = Signal()

    def __init__(self, folder: Path, hint: str):
        super().__init__()
        self._line, button = QLineEdit(str(folder)), QPushButton("Choose...")
        self._line.setToolTip(hint)
        button.clicked.connect(self._choose)
        self._line.editingFinished.connect(self.changed)
        row(self, self._line, button)

    def folder(self) -> Path:
        """The folder.

        Raises:
            UserError: none is written.
        """
        text = self._line.text().strip()
        if not text:
            raise UserError("No folder is given. Write or choose one.")
        return Path(text).expanduser()

    def set_folder(self, folder: str | Path) -> None:
        """Show another folder."""
        self._line.setText(str(folder))
        self.changed.emit()

    def _choose(self) -> None:
        if found := QFileDialog.getExistingDirectory(self, "Folder", self._line.text()):
            self.set_folder(found)


def row(holder: QWidget, *widgets: QWidget) -> None:
    """Lay widgets side by side in a holder."""
    layout = QHBoxLayout(holder)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)


def text_label(text: str = "") -> QLabel:
    """A label of any length, whose text can be copied."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
