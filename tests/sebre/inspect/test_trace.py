"""One section on its way through the shipped network: numbers, panels, figures, the command."""

import itertools
import json
import shutil
from pathlib import Path

import imageio.v3 as iio
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from paths import ROOT

from mrcnn.structures.boxes import apply_box_deltas, norm_boxes, pairwise_iou
from mrcnn.structures.matching import compute_overlaps_masks
from mrcnn.structures.stages import Stages
from sebre.cli import commands as cli
from sebre.inspect import examples as open_walk
from sebre.inspect import panels as stages
from sebre.inspect import stage_figures
from sebre.inspect.trace import PAPER_NUMBERS, walk_section
from sebre.networks.weights_store import WeightsFile

DATASET = ROOT / "datasets" / "slicemap"
IMAGE = DATASET / "mrcnn_val_dataset_images" / "section_img_3.png"
MASKS = DATASET / "mrcnn_val_dataset_masks" / "section_masks_3"
GRAY = (0.62, 0.62, 0.62)


@pytest.fixture(scope="module")
def walk():
    """An embedded test section and the shipped network at the numbers of the released code."""
    return open_walk.open_walk("p14_mouse", DATASET, section="val/6", features=True)


@pytest.fixture(scope="module")
def blank(walk):
    """Nothing drawn, nothing found."""
    return walk_section(
        walk.segmenter, np.zeros((40, 60, 3), np.uint8), name="blank", features=True
    )


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


# --- the walk -------------------------------------------------------------------------------------


def test_numbers_are_those_that_the_released_notebook_prints(walk):
    assert walk.facts() == {
        "image_side": 384,
        "anchors": 36_828,
        "rpn_samples": 256,
        "before_nms": 6_000,
        "proposals": 1_000,
        "detections": 6,  # of 8 at most: the section shows six regions
    }
    assert PAPER_NUMBERS["DETECTION_MAX_INSTANCES"] == 8


def test_the_result_is_that_of_detect(walk):
    expected = walk.segmenter.detect([walk.image])[0]
    np.testing.assert_array_equal(walk.result["class_ids"], expected["class_ids"])
    np.testing.assert_allclose(walk.result["scores"], expected["scores"], atol=1e-4)
    np.testing.assert_allclose(walk.result["rois"], expected["rois"], atol=1)
    overlaps = compute_overlaps_masks(walk.result["masks"], expected["masks"])
    assert np.diag(overlaps).min() > 0.98


def test_positive_anchors_moved_by_their_targets_are_the_drawn_boxes(walk):
    anchors = walk.pixels(walk.stages.anchors)[walk.rpn_match > 0]
    assert len(anchors) >= len(walk.class_ids) == 6
    deltas = walk.rpn_bbox[: len(anchors)] * walk.config.RPN_BBOX_STD_DEV
    moved = apply_box_deltas(anchors, deltas)
    overlaps = pairwise_iou(moved, walk.gt_boxes.astype(float))
    assert overlaps.max(axis=1).min() > 0.99
    assert set(overlaps.argmax(axis=1)) == set(range(6))
    assert not walk.rpn_bbox[len(anchors) :].any()


def test_pixels_undo_the_normalization(walk):
    boxes = np.array([[0.0, 10, 100, 384], [7, 8, 9, 10]])
    np.testing.assert_allclose(walk.pixels(norm_boxes(boxes, (384, 384))), boxes, atol=1e-4)


def test_a_box_is_of_the_region_that_it_overlaps(walk):
    np.testing.assert_array_equal(walk.region_of(walk.gt_boxes), walk.class_ids)
    y1, x1, y2, x2 = walk.gt_boxes[0].astype(float)
    half = np.array([[y1, x1, y1 + 0.49 * (y2 - y1), x2], [0, 0, 3, 3]])
    assert walk.region_of(half).tolist() == [0, 0]


def test_masks_of_the_molded_picture_are_the_enlarged_ones(walk):
    y1, x1, y2, x2 = walk.stages.window
    scale = (y2 - y1) / walk.image.shape[0]
    for column in range(len(walk.class_ids)):
        ratio = walk.gt_masks[..., column].sum() / walk.masks[..., column].sum()
        assert ratio == pytest.approx(scale**2, rel=0.1)
    assert walk.drawn


def test_without_drawings_the_targets_are_those_of_what_is_found(walk):
    alone = walk_section(walk.segmenter, walk.image, name="alone", features=True)
    assert not alone.drawn
    assert sorted(alone.class_ids) == sorted(walk.result["class_ids"])
    assert "Nothing drawn" in panel(alone, "a").get_title(loc="left")


def test_a_section_without_any_region(blank):
    assert blank.facts()["detections"] == 0
    assert not (blank.rpn_match > 0).any()
    for letter in stages.PANELS:
        panel(blank, letter)


# --- which section, which network -----------------------------------------------------------------


def test_without_a_data_set_the_stand_in_or_the_embedded_sections(monkeypatch, tmp_path):
    taken = []

    def known(experiment, root, weights):
        taken.append((experiment, root.name))
        raise LookupError

    monkeypatch.setattr(open_walk, "_network", known)
    monkeypatch.setattr(open_walk, "DATASETS", tmp_path)
    (tmp_path / "ara_nissl").mkdir()
    for experiment in ("hippocampus", "ibsr", "p14_mouse"):
        with pytest.raises(LookupError):
            open_walk.open_walk(experiment)
    assert taken == [("hippocampus", "ara_nissl"), ("ibsr", "slicemap"), ("p14_mouse", "slicemap")]
    monkeypatch.setenv("SEBRE_EMBEDDED_ONLY", "1")
    with pytest.raises(LookupError):
        open_walk.open_walk("hippocampus")
    assert taken[-1] == ("hippocampus", "slicemap")
    (tmp_path / "shown" / "ara_nissl").mkdir(parents=True)
    monkeypatch.setattr(open_walk, "_network", lambda experiment, root, weights: taken.append(root))
    with pytest.raises(TypeError):
        open_walk.open_walk("hippocampus")
    assert taken[-1] == tmp_path / "shown" / "ara_nissl"


@pytest.mark.parametrize(
    ("experiment", "name", "license", "least"),
    [
        ("ibsr", "malc2012", "CC BY-NC 3.0", 7),
        ("extended_mouse", "mouse_mri", "GPL-3", 7),
        ("p14_mouse", "sebre_figures", "MIT", 5),
    ],
)
def test_one_section_of_a_stand_in_is_embedded_with_its_license(experiment, name, license, least):
    root = open_walk.DATASETS / "shown" / name
    sections = open_walk.EXPERIMENTS[experiment].load(root, "val")
    assert sections.num_images == 1 and (root / "LICENSE").is_file()
    masks, class_ids = sections.load_mask(0)
    assert len(class_ids) >= least and masks.any((0, 1)).all()
    assert json.loads((root / "dataset.json").read_text())["licence"] == license


def test_the_note_says_what_is_missing_and_what_stands_in(monkeypatch, tmp_path, walk):
    shutil.copytree(DATASET, tmp_path / "slicemap")
    monkeypatch.setattr(open_walk, "DATASETS", tmp_path)
    monkeypatch.setattr(open_walk, "load_segmenter", lambda *args, **settings: walk.segmenter)
    note = open_walk.open_walk("ibsr", features=True).note
    assert note.startswith("datasets/malc2012 is not here (`sebre prepare` makes it). Section val/")
    assert "of slicemap; network slicemap_384, which looks for cortex, " in note


def data_set(root: Path, regions: list[str]) -> Path:
    root.mkdir()
    rows = [{"id": i, "name": name, "color": [i, 0, 0]} for i, name in enumerate(regions, start=1)]
    (root / "dataset.json").write_text(json.dumps({"regions": rows}))
    return root


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        (["CA1", "CA2", "CA3", "DG"], ("hippocampus", "hippocampus")),
        (
            open_walk.EXPERIMENTS["p14_mouse"].regions.names,
            ("extended_mouse", "extended_mouse_384"),
        ),
    ],
)
def test_a_data_set_gets_the_network_that_knows_its_regions(
    monkeypatch, tmp_path, regions, expected
):
    loaded = []

    def load(weights, experiment, **settings):
        loaded.append((experiment.name, weights))
        assert settings == PAPER_NUMBERS
        raise LookupError

    monkeypatch.setattr(open_walk, "load_segmenter", load)
    with pytest.raises(LookupError):
        open_walk.open_walk("p14_mouse", data_set(tmp_path / "mine", regions))
    assert loaded == [expected]


def test_weights_of_ones_own_keep_their_settings_and_the_regions_of_the_data_set(
    monkeypatch, tmp_path
):
    loaded = []

    def load(weights, experiment, **settings):
        loaded.append((weights, experiment.regions.names, settings))
        raise LookupError

    monkeypatch.setattr(open_walk, "load_segmenter", load)
    with pytest.raises(LookupError):
        open_walk.open_walk("p14_mouse", data_set(tmp_path / "mine", ["x", "y"]), "mine.h5")
    assert loaded == [("mine.h5", ["x", "y"], {})]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("p15_mouse", None), "'p15_mouse' is not one of p14_mouse, "),
        (("slicemap", "nowhere", "slicemap"), "nowhere.*: no such folder"),
        (("slicemap", DATASET, "slicemap", "3"), "section is '3'; give part and number"),
        (("slicemap", DATASET, "slicemap", "val/99"), "no image ends in _99"),
    ],
)
def test_what_cannot_be_opened(arguments, message):
    with pytest.raises(ValueError, match=message):
        open_walk.open_walk(*arguments)


def test_regions_that_no_shipped_network_knows(tmp_path):
    root = data_set(tmp_path / "mine", ["pons", "medulla"])
    with pytest.raises(ValueError, match=r"mine: no network is shipped .*\(pons, medulla\)"):
        open_walk.open_walk("p14_mouse", root)
    (root / "dataset.json").write_text('{"regions": [{"id": 1}]}')
    with pytest.raises(ValueError, match=r"dataset\.json: its regions cannot be read"):
        open_walk.open_walk("p14_mouse", root)


# --- the nine panels ------------------------------------------------------------------------------


def panel(walk, letter):
    stages.show(walk, letter)
    return plt.gcf().axes[0]


def boxes(ax):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def rounded(color):
    return tuple(np.round(to_rgb(color), 3))


@pytest.mark.parametrize("letter", stages.PANELS)
def test_colors_are_those_of_the_regions_and_gray_is_dashed(walk, letter):
    known = {rounded(np.array(region.color) / 255) for region in walk.regions}
    for box in boxes(panel(walk, letter)):
        color = rounded(box.get_edgecolor())
        assert color in known or (color == rounded(GRAY) and box.get_linestyle() == "dashed")


@pytest.mark.parametrize("letters", [*stages.PANELS, "abcdefghi"])
def test_text_does_not_overlap_and_is_not_cut_off(walk, letters):
    stages.show(walk, letters)
    figure = plt.gcf()
    figure.canvas.draw()
    texts = [text for ax in figure.axes for text in (*ax.texts, ax.title, ax._left_title)]
    extents = [text.get_window_extent() for text in texts if text.get_text()]
    assert len(extents) >= 2 * len(letters)
    for one, other in itertools.combinations(extents, 2):
        assert not one.overlaps(other)
    width, height = figure.get_size_inches() * figure.dpi
    assert all(e.x0 >= 0 and e.y0 >= 0 and e.x1 <= width and e.y1 <= height for e in extents)


def test_panel_a_has_drawn_boxes_positive_anchors_and_some_negative_ones(walk):
    ax = panel(walk, "a")
    thick = [box for box in boxes(ax) if box.get_linewidth() > 2]
    positive = [
        box for box in boxes(ax) if box.get_linestyle() == "dashed" and rounded(box.get_edgecolor())
        != rounded(GRAY)
    ]  # fmt: skip
    assert len(thick) == 6
    assert len(positive) == np.count_nonzero(walk.rpn_match > 0)
    y1, x1, y2, x2 = walk.gt_boxes[0]
    assert thick[0].get_bbox().bounds == (x1 - 0.5, y1 - 0.5, x2 - x1, y2 - y1)
    names = {walk.regions[int(i)].acronym for i in walk.class_ids}
    assert names <= {text.get_text() for text in ax.texts}


@pytest.mark.parametrize(("letter", "count"), [("b", 100), ("c", 100), ("d", 50), ("e", 50)])
def test_as_many_boxes_as_in_the_released_notebook(walk, letter, count):
    assert len(boxes(panel(walk, letter))) == count


def test_panel_c_reaches_out_of_the_picture_and_d_does_not(walk):
    def reach(letter):
        edges = np.array([box.get_bbox().extents for box in boxes(panel(walk, letter))])
        return max(-edges.min(), edges.max() - 384)

    assert reach("c") > reach("d")
    assert reach("d") <= 0.5 + 1e-6


def test_panel_f_is_in_normalized_coordinates(walk):
    ax = panel(walk, "f")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "0.25", "0.5", "0.75", "1"]
    np.testing.assert_allclose(ax.get_yticks(), np.linspace(0, 1, 5) * 383)


def test_panel_g_labels_the_best_proposal_of_each_region(walk):
    probabilities = walk.stages.mrcnn_class
    expected = {
        f"{walk.regions[int(c)].acronym} "
        f"{probabilities[probabilities.argmax(axis=1) == c, c].max():.2f}"
        for c in np.unique(probabilities.argmax(axis=1))
        if c
    }
    ax = panel(walk, "g")
    assert expected <= {text.get_text() for text in ax.texts}
    assert len([box for box in boxes(ax) if box.get_linewidth() > 2]) == len(expected)


def test_panel_h_labels_the_detections(walk):
    ax = panel(walk, "h")
    expected = {
        f"{walk.regions[int(c)].acronym} {score:.2f}"
        for c, score in zip(walk.result["class_ids"], walk.result["scores"], strict=True)
    }
    assert {text.get_text() for text in ax.texts} - {"h"} == expected


def test_panel_i_paints_the_masks(walk):
    ax = panel(walk, "i")
    painted = np.asarray(ax.images[0].get_array())
    plain = np.asarray(panel(walk, "h").images[0].get_array())
    assert plain.shape == (384, 384, 3)
    scale = painted.shape[0] // 384
    changed = (painted[scale // 2 :: scale, scale // 2 :: scale] != plain).any(axis=-1)
    inside = walk.molded_result["masks"].any(axis=-1)
    assert changed[inside].mean() > 0.95
    assert {text.get_text() for text in ax.texts} >= {region.acronym for region in walk.regions}


def test_there_is_no_panel_j(walk):
    with pytest.raises(ValueError, match=r"no panel 'j'; Fig\. 2 has a, b"):
        stages.draw_panel(walk, "j", None)


# --- other figures --------------------------------------------------------------------------------


def test_feature_maps(walk, blank):
    stage_figures.show_features(walk)
    titles = [ax.get_title() for ax in plt.gcf().axes if ax.images]
    assert titles[0] == "C2  96 x 96 x 32"
    assert [title[:2] for title in titles] == ["C2", "C3", "C4", "C5", "P2", "P3", "P4", "P5", "P6"]


def test_feature_maps_must_have_been_kept(walk):
    bare = walk_section(walk.segmenter, walk.image)
    with pytest.raises(ValueError, match="features=True"):
        stage_figures.show_features(bare)


def test_losses_are_those_of_the_log(walk):
    stage_figures.show_losses(walk.segmenter.weights)
    whole, parts = plt.gcf().axes
    table = np.loadtxt(ROOT / "weights/slicemap_384.log.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(whole.lines[0].get_ydata(), table[:, 1])
    columns = (ROOT / "weights/slicemap_384.log.csv").read_text().split("\n")[0].split(",")
    drawn = {line.get_label(): line.get_ydata() for line in parts.lines}
    assert len(drawn) == 5
    for name, label in (("rpn_class_loss", "RPN class"), ("mrcnn_mask_loss", "head mask")):
        np.testing.assert_allclose(drawn[label], table[:, columns.index(name)])


def test_losses_that_are_lost(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"log\.csv: the log of the run is not there"):
        stage_figures.show_losses(WeightsFile(tmp_path / "mine.h5", ""))
    (tmp_path / "log.csv").write_text("epoch,loss\n1,2.0\n")
    with pytest.raises(ValueError, match=r"log\.csv: column rpn_class_loss, .* is missing"):
        stage_figures.show_losses(WeightsFile(tmp_path / "mine.h5", ""))


def test_a_log_lies_beside_its_weights(tmp_path):
    mine = WeightsFile(tmp_path / "mask_rcnn_mine_0003.h5", "")
    assert stage_figures.training_log(mine) is None
    (tmp_path / "log.csv").touch()
    assert stage_figures.training_log(mine) == tmp_path / "log.csv"
    for entry in json.loads((ROOT / "weights/manifest.json").read_text()).values():
        shipped = WeightsFile(ROOT / "weights" / entry["file"], "")
        assert stage_figures.training_log(shipped).stat().st_size > 50


def test_mini_masks_state_what_they_lose(walk):
    stage_figures.show_mini_masks(walk)
    axes = plt.gcf().axes
    assert len(axes) == 18
    assert np.asarray(axes[6].images[0].get_array()).shape == (56, 56)
    lost = [float(ax.get_title().removesuffix(" %")) for ax in axes[12:]]
    red = [(np.asarray(ax.images[0].get_array()) == (220, 30, 30)).all(axis=-1) for ax in axes[12:]]
    areas = walk.gt_masks.sum(axis=(0, 1))
    np.testing.assert_allclose(
        lost, [100 * r.sum() / a for r, a in zip(red, areas, strict=True)], atol=0.06
    )


def test_detections_and_scores_of_the_section(walk):
    section = stage_figures.score(walk)
    stage_figures.show_detections(walk)
    figure = plt.gcf()
    mean = np.mean(list(section.dices.values()))
    assert figure.axes[2].get_title() == f"found, mean Dice {mean:.2f}"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[0] == f"cortex {section.dices[1]:.2f}"
    assert stage_figures.show_precision_recall(walk) == pytest.approx(section.ap)


def test_overlaps_of_all_pairs(walk):
    stage_figures.show_overlaps(walk)
    grid = np.asarray(plt.gca().images[0].get_array())
    assert grid.shape == (6, 6)
    found = {int(c): row for row, c in enumerate(walk.result["class_ids"])}
    for column, class_id in enumerate(walk.class_ids):
        iou = stage_figures.score(walk).scores[int(class_id)].iou
        assert grid[:, column].max() == pytest.approx(iou, abs=1e-6)
        assert grid[found[int(class_id)], column] == pytest.approx(iou, abs=1e-6)


def test_turned_sections(walk):
    dices = stage_figures.show_rotations(walk, angles=(0, 10))
    upright = np.mean(list(stage_figures.score(walk).dices.values()))
    assert list(dices) == [0, 10]
    assert dices[0] == pytest.approx(upright, abs=0.01)
    assert dices[10] > 0.7
    assert [ax.get_title() for ax in plt.gcf().axes] == [
        f"{angle:+g}°  Dice {dice:.2f}" for angle, dice in dices.items()
    ]


# --- the command ----------------------------------------------------------------------------------


def test_inspect_writes_nine_panels_and_the_stages(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["inspect", "slicemap", IMAGE, "--masks", MASKS, "--out", out]
    assert cli.main([*arguments, "--set", "POST_NMS_ROIS_INFERENCE=50"]) == 0
    printed = capsys.readouterr().out
    assert "proposals          50\n" in printed
    written = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    assert [name.split("_")[3] for name in written[:9]] == list(stages.PANELS)
    assert written[9:] == ["section_img_3_panels.png", "section_img_3_stages.npz"]
    kept = Stages.load(out / "section_img_3_stages.npz")
    assert kept.proposals.shape == (50, 4)
    np.testing.assert_array_equal(kept.image[..., 0], iio.imread(IMAGE))
    sizes = {iio.imread(path).shape[:2] for path in out.glob("*.png")}
    assert sizes == {(460, 460), (1380, 1380)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.png"], "missing.png: cannot read this picture"),
        ([ROOT / "README.md"], "README.md: cannot read this picture"),
        ([IMAGE, "--masks", "nowhere"], "nowhere: no such folder"),
        ([IMAGE, "--masks", ROOT / "sebre"], "belong here"),
        ([IMAGE, "--masks", ROOT / "datasets/slicemap/mrcnn_val_dataset_images"], "class id"),
        ([IMAGE, "--weights", "nothing"], "neither a file nor a name"),
        ([IMAGE, "--set", "NO_SUCH=1"], "has no setting 'NO_SUCH'"),
        ([IMAGE, "--set", "IMAGE_MAX_DIM=100"], "multiples of 64"),
    ],
)
def test_inspect_refuses_with_one_message_and_writes_nothing(tmp_path, capsys, arguments, message):
    out = tmp_path / "out"
    assert cli.main(["inspect", "slicemap", *arguments, "--out", out]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("sebre inspect: ") and error.count("\n") == 1
    assert not out.exists()
