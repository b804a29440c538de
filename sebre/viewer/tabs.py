"""The four panels of the plugin: predict, correct, train, compare.

They hold widgets and hand on what is asked for; what is done is in `sebre.viewer.tasks`,
`corrected_sections`, `label_layers` and `label_comparison`.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from mrcnn.errors import UserError
from sebre.viewer.background import Loss, TrainedRun, Training
from sebre.viewer.corrected_sections import CorrectedSection, count_sections, save_section
from sebre.viewer.label_comparison import compare_layers, demand_same_regions
from sebre.viewer.label_layers import KEY, LayerData, area_rows, facts_of, pixel_of
from sebre.viewer.network_choices import NetworkChoice, start_of, usual_steps
from sebre.viewer.parts import FolderLine, LayerBox, LossCurve, RowsTable, row, text_label
from sebre.viewer.session import Session, picture_of

_AREAS = {
    "region": "region",
    "area_mm2": "mm²",
    "area_px": "px",
    "score": "score",
    "expected_dice": "expected Dice",
    "doubts": "doubts",
}
_DICES = {
    "region": "region",
    "dice_before": "Dice\nbefore",
    "dice_after": "Dice\nafter",
    "dice_before_after": "Dice of\nboth",
    "before": "area\nbefore",
    "after": "area\nafter",
    "corrected": "area\ncorrected",
    "change": "change\nof area",
}
_PARTS = {"to learn from": "train", "held out, to test": "val"}
_WAIT_MS = 300  # after a stroke of the brush, before areas are counted


def chosen(box: LayerBox) -> Labels:
    """The layer of labels that a list has chosen.

    Raises:
        UserError: there is none.
    """
    if (layer := box.layer()) is None:
        raise UserError("No layer of labels is there. Predict first, or open a label map.")
    return layer


class PredictPanel(QWidget):
    """Predict pictures, and read the areas of the regions."""

    def __init__(self, session: Session):
        super().__init__()
        self.session = session
        self.pictures, self.labels = (
            LayerBox(session.viewer, Image),
            LayerBox(session.viewer, Labels),
        )
        self.pixel = QDoubleSpinBox(decimals=3, maximum=1e5, suffix=" \u00b5m")
        self.pixel.setSpecialValueText("not known")
        self.pixel.setToolTip("from one pixel of the picture to the next; for areas in mm\u00b2")
        self.one, self.all = QPushButton("Predict"), QPushButton("Predict all pictures")
        self.cancel = QPushButton("Cancel")
        self.areas, self.remarks = RowsTable(_AREAS), text_label()
        self.one.clicked.connect(lambda: self.predict([self.pictures.layer()]))
        self.all.clicked.connect(lambda: self.predict(self._all_pictures()))
        self.cancel.clicked.connect(session.stop)
        session.busy.connect(self._busy)
        self._watched: Labels | None = None
        self._later = QTimer(self, singleShot=True, interval=_WAIT_MS)
        self._later.timeout.connect(self.show_areas)
        self.labels.changed.connect(self._watch)
        self.pictures.changed.connect(self._show_pixel)
        self.pixel.editingFinished.connect(self.set_pixel)
        self.areas.itemSelectionChanged.connect(self._choose_region)
        buttons = QWidget()
        row(buttons, self.one, self.all, self.cancel)
        form = QFormLayout()
        form.addRow("picture", self.pictures)
        form.addRow("pixel", self.pixel)
        form.addRow(buttons)
        form.addRow("regions of", self.labels)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.remarks)
        layout.addWidget(self.areas, stretch=1)
        self._busy(False)
        self._show_pixel()

    def predict(self, layers: list[Layer | None], done: Callable[[], None] = lambda: None) -> None:
        """Predict some layers with the network that is chosen."""
        session = self.session
        with session.complaining():
            if session.choice is None:
                raise UserError("No network is chosen.")
            pictures = [picture_of(layer) for layer in layers]
            if not pictures:
                raise UserError("No picture is open. Open one first.")
            session.run(partial(self._show, layers, done), "predict", session.choice, pictures)

    def _show_pixel(self) -> None:
        layer = self.pictures.layer()
        size = None if layer is None else pixel_of(layer.scale, layer.units)
        self.pixel.setEnabled(layer is not None)
        self.pixel.setValue(0.0 if size is None else float(np.sqrt(size[0] * size[1])))

    def set_pixel(self) -> None:
        """Take the size of a pixel that the user wrote, for the picture and its labels."""
        layer, um = self.pictures.layer(), self.pixel.value()
        size = None if layer is None else pixel_of(layer.scale, layer.units)
        known = 0.0 if size is None else float(np.sqrt(size[0] * size[1]))
        if layer is None or np.isclose(um, known, atol=5e-4):
            return
        made = self.session.made_of.items()
        for one in (layer, *(labels for labels, picture in made if picture is layer)):
            one.scale = (um or 1.0,) * one.ndim
            one.units = ("micrometer" if um else "pixel",) * one.ndim
        self.session.viewer.reset_view()
        self.show_areas()

    def _all_pictures(self) -> list[Layer]:
        return [layer for layer in self.session.viewer.layers if isinstance(layer, Image)]

    def _show(self, layers: list[Layer], done: Callable[[], None], found: list[LayerData]) -> None:
        for data, picture in zip(found, layers, strict=False):
            self.session.add(data, picture)
        doubted = sum(attributes["metadata"][KEY]["doubted"] for _, attributes, _ in found)
        text = f"{len(found)} of {len(layers)} picture(s) predicted."
        text += f" {doubted} not to be trusted: see the remarks." if doubted else ""
        self.session.said.emit(text, bool(doubted))
        done()

    def _busy(self, busy: bool) -> None:
        self.one.setEnabled(not busy)
        self.all.setEnabled(not busy)
        self.cancel.setEnabled(busy)

    def _watch(self) -> None:
        """Follow the layer that is chosen, as it is painted on."""
        layer = self.labels.layer()
        if layer is not self._watched:
            for one, follow in ((self._watched, False), (layer, True)):
                if one is not None:
                    for name in ("paint", "labels_update", "data"):
                        event = getattr(one.events, name)
                        (event.connect if follow else event.disconnect)(self._painted)
            self._watched = layer
        self.show_areas()

    def _painted(self, event: Any = None) -> None:
        self._later.start()

    def show_areas(self) -> None:
        """Count the regions of the layer that is chosen."""
        layer = self.labels.layer()
        rows, colors, remarks = [], {}, []
        if layer is not None:
            try:
                facts = facts_of(layer.metadata, layer.name)
                pixel = pixel_of(layer.scale, layer.units)
                rows = area_rows(np.asarray(layer.data), facts, pixel)
                colors = {region.name: region.color for region in facts["regions"]}
                remarks = list(facts.get("remarks", ()))
                remarks += [] if pixel else ["The picture does not say the size of its pixels."]
            except UserError as error:
                remarks = [str(error)]
        self.areas.show_rows(rows, colors)
        self.remarks.setText("\n".join(remarks))

    def _choose_region(self) -> None:
        """The region of a row is what the brush paints."""
        if self._watched is not None and self.areas.currentRow() >= 0:
            self._watched.selected_label = self.areas.currentRow() + 1


class CorrectPanel(QWidget):
    """Save a layer of labels, as it was corrected, into a data set."""

    def __init__(self, session: Session, folder: Path):
        super().__init__()
        self.session = session
        self.pictures, self.labels = (
            LayerBox(session.viewer, Image),
            LayerBox(session.viewer, Labels),
        )
        self.subject, self.part = QLineEdit(), QComboBox()
        self.subject.setPlaceholderText("name of the animal, such as m12")
        self.part.addItems(list(_PARTS))
        self.folder = FolderLine(folder, "of the corrected sections; new, or made here before")
        self.save, self.held = QPushButton("Save correction"), text_label()
        self.save.clicked.connect(self.save_correction)
        self.labels.changed.connect(self._choose_picture)
        self.folder.changed.connect(self.count)
        session.saved.connect(self.count)
        form = QFormLayout(self)
        form.addRow(
            text_label(
                "Paint on the labels with the tools of napari (keys: 2 brush, 4 fill, 5 pick); a "
                "row of the table of areas chooses the region. Then save; sections add up."
            )
        )
        form.addRow("labels", self.labels)
        form.addRow("picture", self.pictures)
        form.addRow("animal", self.subject)
        form.addRow("section is", self.part)
        form.addRow("folder", self.folder)
        form.addRow(self.save)
        form.addRow(self.held)
        self.count()

    def save_correction(self) -> None:
        """Add the section to the data set of the folder."""
        with self.session.complaining():
            layer, picture = chosen(self.labels), picture_of(self.pictures.layer())
            self.session.demand_picture(layer, self.pictures.layer())
            section = CorrectedSection(
                picture.values,
                np.array(layer.data),
                facts_of(layer.metadata, layer.name),
                Path(picture.file).name or picture.name,
                self.subject.text(),
                _PARTS[self.part.currentText()],
                picture.pixel_um,
            )
            folder = self.folder.folder()
            name = save_section(folder, section)
            animal = section.subject.strip()
            whose = f"of the animal {animal}" if animal else "of no animal that is named"
            self.session.said.emit(f"Saved as {name}, {whose}, in {folder}.", False)
            self.session.saved.emit()

    def count(self) -> None:
        """Say how many sections there are."""
        with self.session.complaining():
            counts = count_sections(self.folder.folder())
            self.held.setText(
                f"In this folder: {counts['train']} to learn from, {counts['val']} held out."
            )

    def _choose_picture(self) -> None:
        """The picture that the labels were made of."""
        layer = self.labels.layer()
        if layer is not None and (picture := self.session.made_of.get(layer)) is not None:
            self.pictures.choose(picture)


class TrainPanel(QWidget):
    """Go on with a network on corrected sections."""

    again = Signal()

    def __init__(self, session: Session, folder: FolderLine):
        super().__init__()
        self.session, self._folder = session, folder
        self.start, self.steps = text_label(), QSpinBox(minimum=1, maximum=100_000)
        self.settings: dict[str, Any] = {}  # that differ from the usual ones
        self.begin, self.resume = QPushButton("Train on my corrections"), QPushButton("Resume")
        self.halt, self.predict = QPushButton("Stop"), QPushButton("Predict again")
        self.curve, self.state = LossCurve(), text_label()
        self.begin.clicked.connect(lambda: self.train(False))
        self.resume.clicked.connect(lambda: self.train(True))
        self.halt.clicked.connect(session.stop)
        self.predict.clicked.connect(self.again)
        session.busy.connect(self._busy)
        session.progressed.connect(self._progress)
        session.chosen.connect(self.choose)
        buttons = QWidget()
        row(buttons, self.begin, self.halt, self.resume)
        form = QFormLayout()
        form.addRow("starts from", self.start)
        form.addRow("steps", self.steps)
        form.addRow(buttons)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.curve)
        layout.addWidget(self.state)
        layout.addWidget(self.predict)
        layout.addStretch(1)
        self._begun: Training | None = None
        self._busy(False)

    def choose(self, choice: NetworkChoice) -> None:
        """Start from this network, if trainings can."""
        start = self._start = start_of(choice)
        other = "" if start is choice else f" (a training cannot go on from {choice.name})"
        self.start.setText(f"{start.name}{other}")
        self.steps.setValue(usual_steps(start))

    def train(self, resume: bool) -> None:
        """Begin a training, or go on with the last one."""
        with self.session.complaining():
            folder = self._folder.folder()
            logs = folder.with_name(f"{folder.name}_runs")
            start, steps = self._start, self.steps.value()
            if resume and self._begun is not None:  # with what it was begun with
                logs, start, steps = self._begun.logs, self._begun.start, self._begun.steps
            training = Training(folder, logs, start, steps, resume, self.settings)
            self.session.run(self._trained, "train", training)
            self._begun = training
            if not resume:
                self.curve.clear()
            self.session.said.emit("preparing the training; the first step takes longest", False)

    def _progress(self, event: Any) -> None:
        if isinstance(event, Loss):
            self.curve.add(event.step, event.steps, event.loss, event.val_dice)
            self.state.setText(f"step {event.step} of {event.steps}: loss {event.loss:.3f}")

    def _trained(self, run: TrainedRun) -> None:
        if run.network is None:
            self.session.said.emit("Stopped before anything was learned; nothing is kept.", False)
            return
        end = "Trained" if run.finished else "Stopped; Resume goes on"
        self.session.trained.emit(run.network)
        self.session.said.emit(f"{end}: {run.network.weights}", False)

    def _busy(self, busy: bool) -> None:
        for button in (self.begin, self.resume, self.predict):
            button.setEnabled(not busy)
        self.halt.setEnabled(busy)


class ComparePanel(QWidget):
    """Two layers of labels side by side, and both against a corrected one."""

    def __init__(self, session: Session):
        super().__init__()
        self.session = session
        self.before, self.after, self.corrected = QComboBox(), QComboBox(), QComboBox()
        self.compare, self.table = QPushButton("Compare"), RowsTable(_DICES)
        self.compare.clicked.connect(self.show_comparison)
        form = QFormLayout()
        for name in ("before", "after", "corrected"):
            form.addRow(name, getattr(self, name))
        form.addRow(self.compare)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.table, stretch=1)
        events = session.viewer.layers.events
        for event in (events.inserted, events.removed):
            event.connect(self.refresh)
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """List the layers of labels; one that was painted on also as it was found."""
        layers = [x for x in reversed(self.session.viewer.layers) if isinstance(x, Labels)]
        entries: list[tuple[str, tuple[Labels, bool] | None]] = []
        for layer in layers:
            entries.append((layer.name, (layer, False)))
            if _is_changed(layer):
                entries.append((f"{layer.name}, as found", (layer, True)))
        for box in (self.before, self.after, self.corrected):
            text = box.currentText()
            box.clear()
            for name, entry in [("none", None)] * (box is self.corrected) + entries:
                box.addItem(name, entry)
            box.setCurrentIndex(max(0, box.findText(text)))

    def choose(self, before: Labels, after: Labels) -> None:
        """Compare what was found before with what is found after; where the layer of before was
        corrected since, with that, too."""
        self.refresh()
        changed = _is_changed(before)
        texts = (f"{before.name}, as found" if changed else before.name, after.name)
        texts += (before.name if changed else "none",)
        for box, text in zip((self.before, self.after, self.corrected), texts, strict=True):
            box.setCurrentIndex(box.findText(text))
        self.show_comparison()

    def show_comparison(self) -> None:
        """Fill the table."""
        with self.session.complaining():
            picked = [self.before.currentData(), self.after.currentData()]
            if None in picked:
                raise UserError("Two layers of labels are needed. Predict first.")
            picked += [self.corrected.currentData()] if self.corrected.currentIndex() > 0 else []
            facts = [facts_of(layer.metadata, layer.name) for layer, _ in picked]
            for (layer, _), fact in zip(picked[1:], facts[1:], strict=True):
                names = (picked[0][0].name, layer.name)
                demand_same_regions(facts[0]["regions"], fact["regions"], names)
            pixels = [
                fact["found"] if as_found else np.asarray(layer.data)
                for (layer, as_found), fact in zip(picked, facts, strict=True)
            ]
            regions, first = facts[0]["regions"], picked[0][0]
            corrected = pixels[2] if len(pixels) > 2 else None
            size = pixel_of(first.scale, first.units)
            rows = compare_layers(pixels[0], pixels[1], regions, corrected, size)
            self.table.show_rows(rows, {region.name: region.color for region in regions})
            unit = "px; the size of a pixel is not known" if size is None else "mm\u00b2"
            self.session.said.emit(f"Areas are in {unit}.", False)


def _is_changed(layer: Labels) -> bool:
    """Whether a layer was painted on since it was predicted."""
    found = (layer.metadata.get(KEY) or {}).get("found")
    return found is not None and not np.array_equal(found, np.asarray(layer.data))
