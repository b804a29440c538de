"""The panel "SeBRe" of napari, put together: the network above, then predict, correct, train and
compare."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from sebre.viewer.label_layers import KEY
from sebre.viewer.network_choices import DEFAULT, NetworkChoice, shipped_choices
from sebre.viewer.parts import row, text_label
from sebre.viewer.session import Session, describe
from sebre.viewer.tabs import ComparePanel, CorrectPanel, PredictPanel, TrainPanel

_FOLDER = "sebre_corrections"  # in the home of the user, where no other is chosen
_THUMBNAIL_PX = 120
_FACTS_PX = 130  # height of what is known of a network


class NetworkBox(QWidget):
    """Choose a network; see what it knows."""

    def __init__(self, session: Session):
        super().__init__()
        self.session = session
        self.names, self.other = QComboBox(), QPushButton("Trained run...")
        self.picture, self.facts = text_label(), text_label()
        self.picture.setFixedSize(_THUMBNAIL_PX, _THUMBNAIL_PX)
        self.facts.setAlignment(Qt.AlignmentFlag.AlignTop)
        for choice in shipped_choices():
            self.names.addItem(choice.name, choice)
        self.other.setToolTip("Choose the folder of a training run")
        self.other.clicked.connect(self._choose_folder)
        self.names.currentIndexChanged.connect(self._show)
        session.trained.connect(self.add)
        top, below = QWidget(), QWidget()
        row(top, self.names, self.other)
        top.layout().setStretch(0, 1)
        scrolled = QScrollArea(widgetResizable=True)
        scrolled.setWidget(self.facts)
        scrolled.setFixedHeight(_FACTS_PX)
        line = QHBoxLayout(below)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.picture)
        line.addWidget(scrolled, stretch=1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(top)
        layout.addWidget(below)

    def choose(self, name: str) -> None:
        """Choose a network by the name that it is listed by."""
        self.names.setCurrentIndex(self.names.findText(name))
        self._show()

    def add(self, choice: NetworkChoice) -> None:
        """List a network of one's own, and choose it; one of that name is taken off."""
        self.names.blockSignals(True)
        if (index := self.names.findText(choice.name)) >= 0:
            self.names.removeItem(index)
        self.names.insertItem(0, choice.name, choice)
        self.names.setCurrentIndex(0)
        self.names.blockSignals(False)
        self._show()

    def _choose_folder(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "Folder of a training run"):
            with self.session.complaining():
                self.session.run(self.add, "look", folder)

    def _show(self) -> None:
        choice = self.names.currentData()
        text = "<br>".join(f"<b>{what}</b> {value}" for what, value in choice.lines)
        self.facts.setText(text)
        self.session.choose(choice)
        if choice.thumbnail is None:
            self.picture.setText("no picture")
            return
        pixels = QPixmap(str(choice.thumbnail))
        keep = Qt.AspectRatioMode.KeepAspectRatio
        smooth = Qt.TransformationMode.SmoothTransformation
        self.picture.setPixmap(pixels.scaled(_THUMBNAIL_PX, _THUMBNAIL_PX, keep, smooth))


class SeBReWidget(QWidget):
    """The panel.

    Args:
        napari_viewer: that it is docked to.
        folder: that corrections go to at first; None for `sebre_corrections` in the user's home.
        command: that starts the process of networks; None for the usual one.
    """

    def __init__(
        self,
        napari_viewer: Any,
        folder: str | Path | None = None,
        command: Sequence[str] | None = None,
    ):
        super().__init__()
        session = self.session = Session(napari_viewer, command)
        process = session.process
        self.destroyed.connect(lambda: process.close())
        self.networks = NetworkBox(session)
        self.predict = PredictPanel(session)
        self.correct = CorrectPanel(session, Path(folder or Path.home() / _FOLDER))
        self.train = TrainPanel(session, self.correct.folder)
        self.compare = ComparePanel(session)
        self.bar, self.line = QProgressBar(), text_label()
        self.bar.setVisible(False)
        self.tabs = QTabWidget()
        for name in ("predict", "correct", "train", "compare"):
            self.tabs.addTab(getattr(self, name), name.capitalize())
        self.tabs.currentChanged.connect(self._turn_to)
        layout = QVBoxLayout(self)
        layout.addWidget(self.networks)
        layout.addWidget(self.tabs, stretch=1)
        layout.addWidget(self.bar)
        layout.addWidget(self.line)
        session.said.connect(self._say)
        session.busy.connect(self._busy)
        session.progressed.connect(self._progress)
        self.train.again.connect(self.predict_again)
        self.networks.choose(DEFAULT)

    def predict_again(self) -> None:
        """Predict the picture with the network that is chosen now, and compare."""
        before = self.correct.labels.layer()
        made_of = None if before is None else self.session.made_of.get(before)
        picture = self.predict.pictures.layer() if made_of is None else made_of
        self.predict.predict([picture], lambda: self._compare(before))

    def _compare(self, before: Labels | None) -> None:
        after = self.predict.labels.layer()
        if before is not None and before is not after and KEY in before.metadata:
            self.compare.choose(before, after)
            self.tabs.setCurrentWidget(self.compare)
            self.correct.labels.choose(before)  # which is the one to correct further

    def _turn_to(self) -> None:
        if self.tabs.currentWidget() is self.compare:
            self.compare.refresh()  # layers may have been painted on

    def _say(self, text: str, error: bool) -> None:
        self.line.setStyleSheet("color: #e06c4f;" if error else "")
        self.line.setText(text)

    def _busy(self, busy: bool) -> None:
        self.bar.setVisible(busy)
        self.bar.setRange(0, 0)

    def _progress(self, event: Any) -> None:
        done, total, text = describe(event)
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.line.setText(text)
