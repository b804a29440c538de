"""A session in a window of napari: run by `test_window.py`, in a process of its own, as a process
that has TensorFlow cannot draw.

Given by the environment: SEBRE_SCREENSHOTS, a folder to keep pictures in.
"""

import os
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from fake_tasks import COMMAND
from napari.layers import Labels
from npe2 import PluginManager, PluginManifest
from paths import ROOT
from PIL import Image
from qtpy.QtWidgets import QApplication

from sebre.data.check import check
from sebre.data.csv_tables import read_rows
from sebre.drawing.label_descriptions import LabelDescription, label_descriptions
from sebre.viewer.label_layers import KEY, facts_of
from sebre.viewer.widget import SeBReWidget

MINUTES = 5 * 60 * 1000  # ms; a busy machine is slow
# Step by step: for two steps that is faster than to compile the network.
EAGER = "import tensorflow as tf; tf.config.run_functions_eagerly(True); "
SERVE = "from sebre.viewer.serving import serve; serve()"
SMALL = {"IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, "IMAGES_PER_GPU": 2, "WORKERS": 0}

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def plugins():
    """Our plugin, whether the package is installed or not; its parts can all be imported."""
    manifest = PluginManifest.from_file(ROOT / "sebre" / "viewer" / "napari.yaml")
    manifest.validate_imports()
    manager = PluginManager.instance()
    if "sebre" not in manager:
        manager.register(manifest)
    return manager


@pytest.fixture
def panel_of(make_napari_viewer, plugins, tmp_path):
    """Makes the panel in a window, with a process of networks of this command."""
    panels = []

    def make(command):
        viewer = make_napari_viewer()
        panel = SeBReWidget(viewer, tmp_path / "corrections", command)
        viewer.window.add_dock_widget(panel, name="SeBRe")
        viewer.window.resize(1200, 800)
        panel.heard = []
        panel.session.said.connect(lambda text, error: panel.heard.append((text, error)))
        panels.append(panel)
        return viewer, panel

    yield make
    for panel in panels:
        panel.session.process.close()
        assert panel.session.process.wait(60) == 0, "the process ends with the window"


def done(qtbot, panel) -> str:
    """Wait for the end of a task; gives what was said last, which is no error."""
    qtbot.waitUntil(lambda: not panel.session.running, timeout=MINUTES)
    text, error = panel.heard[-1]
    assert not error, text
    return text


def picture(viewer) -> np.ndarray:
    """What the window shows."""
    QApplication.processEvents()
    return viewer.screenshot(canvas_only=False, flash=False)


def keep(viewer, name: str) -> None:
    """Keep what the window shows, to be looked at, if a folder for it is given."""
    if folder := os.environ.get("SEBRE_SCREENSHOTS"):
        Image.fromarray(picture(viewer)).save(Path(folder) / f"{name}.png")


def test_a_session_from_the_first_look_to_a_network_of_ones_own(panel_of, qtbot, tmp_path):
    viewer, panel = panel_of([sys.executable, "-c", EAGER + SERVE])
    panel.train.settings = SMALL
    # Load: the samples of the plugin, through napari.
    viewer.open_sample("sebre", "coronal")
    image = viewer.layers["glta_s124"]
    panel.predict.pixel.setValue(16.0)
    panel.predict.set_pixel()
    assert tuple(image.scale) == (16, 16)

    # Predict.
    panel.predict.one.click()
    assert panel.predict.cancel.isEnabled() and not panel.predict.one.isEnabled()
    assert "1 of 1" in done(qtbot, panel)
    found = viewer.layers["glta_s124, any_section"]
    assert isinstance(found, Labels) and found.data.shape == image.data.shape[:2]
    assert tuple(found.scale) == (16, 16) and found.units == image.units
    rows = {row[0]: row for row in panel.predict.areas.texts()}
    area = float(rows["isocortex"][1])
    assert area == pytest.approx((found.data == 1).sum() * 16**2 / 1e6, rel=1e-3)
    assert rows["cerebellum"][-1] == "not found"
    assert "It lies: coronal" in panel.predict.remarks.text()
    green = np.abs(picture(viewer)[..., :3].astype(int) - (112, 173, 71)).max(axis=-1) < 60
    assert green.mean() > 0.01, "the cortex is seen in its color"
    keep(viewer, "predict")

    # Correct: a row of the table chooses the region, the brush paints it.
    panel.predict.areas.setCurrentCell(2, 0)
    assert found.selected_label == 3
    found.paint((300, 450), 3)
    qtbot.waitUntil(lambda: "drawn otherwise" in panel.predict.areas.texts()[2][-1], timeout=5000)
    changed = int((found.data == 3).sum())
    assert changed > 50
    panel.tabs.setCurrentWidget(panel.correct)
    panel.correct.subject.setText("m1")
    panel.correct.save.click()
    assert "Saved as train/0, of the animal m1" in done(qtbot, panel)
    corrected = found.data.copy()

    # Through napari's own dialogs: a label map is written, and opened again.
    (written,) = found.save(str(tmp_path / "corrected_labels.png"), plugin="sebre")
    (opened,) = viewer.open(written, plugin="sebre")
    np.testing.assert_array_equal(opened.data, corrected)
    assert opened.scale == pytest.approx((16, 16), rel=1e-3)
    assert facts_of(opened.metadata, "opened")["regions"].names[0] == "isocortex"
    viewer.layers.remove(opened)

    # Another section: the five of the samples, of which one is predicted.
    viewer.open_sample("sebre", "sections")
    second = viewer.layers["abba_s004"]
    panel.predict.pictures.choose(second)
    panel.predict.one.click()
    done(qtbot, panel)
    panel.correct.pictures.choose(image)
    panel.correct.save.click()
    assert "was made of abba_s004, not of glta_s124" in panel.heard[-1][0]
    panel.correct.pictures.choose(second)
    panel.correct.subject.setText("m2")
    panel.correct.save.click()
    assert "Saved as train/1" in done(qtbot, panel)
    assert "2 to learn from, 0 held out" in panel.correct.held.text()
    folder = tmp_path / "corrections"
    assert [f for f in check(folder) if f.severity == "error"] == []
    first = read_rows(folder / "sections.csv")[1][0]
    assert first["subject"] == "m1" and int(first["changed_px"]) >= changed
    keep(viewer, "correct")

    # Train two steps.
    panel.tabs.setCurrentWidget(panel.train)
    panel.train.steps.setValue(2)
    panel.train.begin.click()
    assert "Trained" in done(qtbot, panel)
    assert [step for step, _ in panel.train.curve.points] == [1, 2]
    assert all(0 < loss < 10 for _, loss in panel.train.curve.points)
    keep(viewer, "train")

    # Predict again, and compare.
    panel.predict.pictures.choose(image)
    panel.correct.labels.choose(found)
    panel.train.predict.click()
    done(qtbot, panel)
    qtbot.waitUntil(lambda: panel.tabs.currentWidget() is panel.compare, timeout=5000)
    again = panel.predict.labels.layer()
    assert again is not found and again.metadata[KEY]["network"].startswith("any_section_custom")
    assert again.metadata[KEY]["weights_sha256"] != found.metadata[KEY]["weights_sha256"]
    np.testing.assert_array_equal(found.data, corrected)
    assert again.visible and not found.visible
    assert panel.compare.before.currentText() == "glta_s124, any_section, as found"
    assert panel.compare.corrected.currentText() == "glta_s124, any_section"
    table = panel.compare.table.texts()
    dices = {row[0]: row[1:3] for row in table}  # before and after, with what was corrected
    assert dices["basal_ganglia"][0] == "0.000", "it was not found"
    assert dices["isocortex"][0] == "1.000" and 0 < float(dices["isocortex"][1]) < 1
    keep(viewer, "compare")
    assert "tensorflow" not in sys.modules and "keras" not in sys.modules


def test_mistakes_and_ends_are_said(panel_of, qtbot):
    viewer, panel = panel_of(COMMAND)

    def ended() -> tuple[str, bool]:
        qtbot.waitUntil(lambda: not panel.session.running, timeout=MINUTES)
        return panel.heard[-1]

    panel.predict.one.click()
    text = "No picture is open. Open one, or take File > Open Sample > SeBRe."
    assert panel.heard[-1] == (text, True)
    panel.correct.save.click()
    assert "No layer of labels is there" in panel.heard[-1][0]
    image = viewer.add_image(np.zeros((20, 20), np.uint8), name="dark")
    panel.predict.one.click()
    panel.predict.predict([image])
    assert panel.heard[-1] == ("Something is running. Wait for it, or stop it.", True)
    assert ended() == ("dark: refused.", True)
    # Stacks are no sections; a stack of one is.
    viewer.add_image(np.zeros((3, 20, 3), np.uint8), name="stack", rgb=False)
    panel.predict.one.click()
    assert "stack: a stack of the shape (3, 20, 3); wanted one section" in panel.heard[-1][0]
    viewer.add_image(np.zeros((1, 20, 20), np.uint8), name="single")
    panel.predict.one.click()
    assert ended() == ("single: refused.", True)
    panel.predict.pictures.choose(image)
    # Labels that are not ours.
    viewer.add_labels(np.ones((20, 20), int), name="mine")
    assert "mine: does not say which regions" in panel.predict.remarks.text()
    # A network whose training cannot go on.
    panel.networks.choose("slicemap_unet")
    assert panel.train.start.text() == "any_section (a training cannot go on from slicemap_unet)"
    panel.networks.choose("slicemap")
    assert panel.train.start.text() == "slicemap" and panel.train.steps.value() == 1600
    # A training that is stopped; what came until then is seen.
    panel.train.begin.click()
    qtbot.waitUntil(lambda: len(panel.train.curve.points) > 2, timeout=MINUTES)
    assert panel.bar.isVisibleTo(panel) and panel.bar.maximum() == 100_000
    panel.train.halt.click()
    assert ended() == ("Stopped before anything was learned; nothing is kept.", False)
    assert panel.train.curve.dices == [(1, 0.5)] and panel.train.begin.isEnabled()
    # A process that dies is said to have done so, and the next task starts another.
    image.name = "die"
    assert panel.predict.pictures.currentText() == "die"
    panel.predict.one.click()
    assert ended() == ("The process of networks ended by itself (exit code 3). Try again.", True)
    image.name = "light"
    panel.predict.one.click()
    assert ended() == ("light: refused.", True)
    # A panel that is closed does not listen any more.
    viewer.window.remove_dock_widget(panel)
    panel.deleteLater()
    qtbot.wait(50)
    viewer.add_image(np.zeros((20, 20), np.uint8))
    viewer.layers.clear()


def test_a_filled_stack_opens_at_its_scale(make_napari_viewer, plugins, tmp_path):
    labels = np.zeros((8, 20, 30), np.uint8)
    labels[2:6, 5:15, 5:25], labels[2:6, 5:15, 15:25] = 1, 2
    volume = nibabel.Nifti1Image(labels.transpose(2, 1, 0), np.diag([0.017, 0.017, 0.1, 1]))
    volume.header.set_xyzt_units("mm")
    nibabel.save(volume, tmp_path / "labels.nii.gz")
    described = [LabelDescription(1, "SSp-bfd", RED), LabelDescription(2, "6b", BLUE)]
    (tmp_path / "labels.txt").write_text(label_descriptions(described))
    viewer = make_napari_viewer()
    (layer,) = viewer.open(str(tmp_path / "labels.nii.gz"), plugin="sebre")
    assert isinstance(layer, Labels) and layer.name == "labels"
    assert tuple(map(str, layer.units)) == ("micrometer",) * 3
    size_mm = np.ptp(layer.extent.world, axis=0) / 1000
    assert size_mm == pytest.approx((0.7, 19 * 0.017, 29 * 0.017), rel=1e-5)
    np.testing.assert_array_equal(layer.data, labels)
    assert layer.get_status((300, 170, 340), world=True)["value"].endswith("region: 6b")
    viewer.dims.set_point(0, 300)
    seen = picture(viewer)[..., :3].astype(int)
    red, blue = (np.abs(seen - color).max(axis=-1) < 90 for color in (RED, BLUE))
    assert red.any() and blue.any(), "the areas are seen in their colors"
    keep(viewer, "filled")
