"""Pictures: what is drawn, where, and in which color."""

import inspect
import random
import sys
import types

import keras
import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Polygon, Rectangle

from mrcnn import visualize
from mrcnn.structures.boxes import norm_boxes

NAMES = ["BG", "square", "disc"]


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture
def objects():
    """Image [60, 80, 3] with three square masks, the last at the border."""
    image = np.full((60, 80, 3), 100, np.uint8)
    boxes = np.array([[5, 5, 25, 25], [30, 10, 50, 40], [0, 60, 20, 80]])
    masks = np.zeros((60, 80, 3), bool)
    for i, (y1, x1, y2, x2) in enumerate(boxes):
        masks[y1:y2, x1:x2, i] = True
    return image, boxes, masks, np.array([1, 2, 1])


def patches(ax, kind):
    return [patch for patch in ax.patches if isinstance(patch, kind)]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def shown_image(ax):
    return np.asarray(ax.images[0].get_array())


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("display_images", "images titles=None cols=4 cmap=None norm=None interpolation=None"),
        ("random_colors", "N bright=True"),
        ("apply_mask", "image mask color alpha=0.5"),
        (
            "display_instances",
            "image boxes masks class_ids class_names scores=None title='' figsize=(16, 16) "
            "ax=None show_mask=True show_bbox=True colors=None captions=None",
        ),
        (
            "display_differences",
            "image gt_box gt_class_id gt_mask pred_box pred_class_id pred_score pred_mask "
            "class_names title='' ax=None show_mask=True show_box=True iou_threshold=0.5 "
            "score_threshold=0.5",
        ),
        ("draw_rois", "image rois refined_rois mask class_ids class_names limit=10"),
        ("draw_box", "image box color"),
        ("display_top_masks", "image mask class_ids class_names limit=4"),
        ("plot_precision_recall", "AP precisions recalls"),
        (
            "plot_overlaps",
            "gt_class_ids pred_class_ids pred_scores overlaps class_names threshold=0.5",
        ),
        (
            "draw_boxes",
            "image boxes=None refined_boxes=None masks=None captions=None visibilities=None "
            "title='' ax=None",
        ),
        ("display_table", "table"),
        ("display_weight_stats", "model"),
    ],
)
def test_arguments_and_defaults_are_those_of_the_public_interface(name, arguments):
    parameters = inspect.signature(getattr(visualize, name)).parameters.values()
    got = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    assert " ".join(got) == arguments


def test_random_colors_are_distinct_repeatable_and_leave_the_random_state_alone():
    random.seed(7)
    before = random.getstate()
    colors = visualize.random_colors(12)
    assert random.getstate() == before
    assert len(set(colors)) == 12
    assert colors == visualize.random_colors(12)
    assert {max(color) for color in colors} == {1.0}
    assert {max(color) for color in visualize.random_colors(12, bright=False)} == {0.7}
    assert visualize.random_colors(0) == []


def test_apply_mask_blends_inside_the_mask_in_place():
    image = np.full((4, 5, 3), 100, np.uint8)
    mask = np.zeros((4, 5), bool)
    mask[1:3, 2] = True
    result = visualize.apply_mask(image, mask, (1.0, 0.0, 0.5), alpha=0.25)
    assert result is image
    # 0.75 * 100 + 0.25 * 255 * color = 138.75, 75, 106.875; cut to whole numbers.
    assert np.all(image[mask] == [138, 75, 106])
    assert np.all(image[~mask] == 100)


def test_draw_box_leaves_exactly_its_two_pixel_border():
    image = np.zeros((12, 14, 3), np.uint8)
    result = visualize.draw_box(image, np.array([2, 3, 8, 10]), [9, 8, 7])
    assert result is image
    border = np.zeros((12, 14), bool)
    border[2:4, 3:10] = border[8:10, 3:10] = True
    border[2:8, 3:5] = border[2:8, 10:12] = True
    assert np.all(image[border] == [9, 8, 7])
    assert not image[~border].any()


def test_draw_box_cuts_what_lies_outside_the_image():
    image = np.zeros((6, 6), np.uint8)
    visualize.draw_box(image, [-3, -1, 4, 9], 5)
    expected = np.zeros((6, 6), np.uint8)
    expected[4:6] = 5
    expected[:4, 0] = 5
    assert np.array_equal(image, expected)


def test_display_instances_draws_masks_boxes_and_captions(objects, tmp_path):
    image, boxes, masks, class_ids = objects
    colors = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    scores = np.array([0.91234, 0.5, 1.0])
    ax = visualize.display_instances(
        image, boxes, masks, class_ids, NAMES, scores=scores, title="three", colors=colors
    )
    assert texts(ax) == ["square 0.912", "disc 0.500", "square 1.000"]
    assert ax.get_title() == "three"
    rectangles = patches(ax, Rectangle)
    assert [r.get_bbox().bounds for r in rectangles] == [
        (5, 5, 20, 20),
        (10, 30, 30, 20),
        (60, 0, 20, 20),
    ]
    assert all(r.get_linestyle() in ("dashed", "--") for r in rectangles)
    picture = shown_image(ax)
    assert np.all(picture[masks[..., 1]] == [50, 177, 50])
    assert np.all(picture[~masks.any(-1)] == 100)
    assert np.all(image == 100), "the caller's image must not change"
    # The outline lies half a pixel around the mask, closed at the border too.
    outline = patches(ax, Polygon)[2].get_xy()
    assert outline.min(0) == pytest.approx([59.5, -0.5])
    assert outline.max(0) == pytest.approx([79.5, 19.5])

    path = tmp_path / "picture.png"
    plt.savefig(path)
    saved = matplotlib.image.imread(path)[..., :3]
    assert saved.std() > 0.05


def test_display_instances_takes_captions_and_axes_and_leaves_parts_out(objects):
    image, boxes, masks, class_ids = objects
    _, ax = plt.subplots()
    boxes = boxes.copy()
    boxes[0] = 0
    result = visualize.display_instances(
        image,
        boxes,
        masks,
        class_ids,
        NAMES,
        ax=ax,
        show_mask=False,
        show_bbox=False,
        captions=["a", "b", "c"],
    )
    assert result is ax
    assert len(plt.get_fignums()) == 1
    assert texts(ax) == ["b", "c"]
    assert not patches(ax, Rectangle)
    assert np.all(shown_image(ax) == 100)


def test_display_instances_without_objects_shows_the_image(objects, tmp_path, capsys):
    image = objects[0]
    none = np.zeros((60, 80, 0), bool)
    ax = visualize.display_instances(image, np.zeros((0, 4), int), none, np.zeros(0, int), NAMES)
    assert "No instances to display" in capsys.readouterr().out
    assert np.array_equal(shown_image(ax), image)
    assert not ax.patches
    ax.figure.savefig(tmp_path / "empty.png", dpi=30)
    assert matplotlib.image.imread(tmp_path / "empty.png")[..., :3].min() < 0.5


def test_display_instances_refuses_unequal_numbers(objects):
    image, boxes, masks, class_ids = objects
    with pytest.raises(ValueError, match="3 boxes, 2 masks and 3 class ids"):
        visualize.display_instances(image, boxes, masks[..., :2], class_ids, NAMES)
    with pytest.raises(ValueError, match="2 class ids"):
        visualize.display_instances(image, boxes, masks, class_ids[:2], NAMES)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 2), (20, 30, 4)])
def test_images_of_any_channel_count_are_shown(shape):
    image = np.full(shape, 30, np.float32)
    ax = visualize.draw_boxes(image, boxes=np.array([[2, 2, 9, 9]]))
    assert shown_image(ax).shape == (20, 30, 3)
    assert np.all(shown_image(ax) == 30)


def test_display_differences_puts_score_and_iou_on_the_right_predictions(objects):
    image, boxes, masks, class_ids = objects
    # Worst first, and half as high as the object: its IoU with object 1 is 0.5.
    half = masks[..., 1].copy()
    half[40:] = False
    pred_box = np.array([[30, 10, 40, 40], [5, 5, 25, 25]])
    pred_mask = np.stack([half, masks[..., 0]], axis=-1)
    ax = visualize.display_differences(
        image,
        boxes,
        class_ids,
        masks,
        pred_box,
        np.array([1, 1]),
        np.array([0.6, 0.8]),
        pred_mask,
        NAMES,
    )
    assert texts(ax) == ["", "", "", "0.80 / 1.00", "0.60 / 0.50"]
    rectangles = patches(ax, Rectangle)
    assert [r.get_edgecolor()[:3] for r in rectangles] == [(0, 1, 0)] * 3 + [(1, 0, 0)] * 2
    assert rectangles[4].get_bbox().bounds == (10, 30, 30, 10)
    assert "green" in ax.get_title()


def test_display_differences_works_without_ground_truth_and_with_padding(objects):
    image, boxes, masks, class_ids = objects
    ax = visualize.display_differences(
        image,
        np.zeros((0, 4), int),
        np.zeros(0, int),
        np.zeros((60, 80, 0), bool),
        np.vstack([boxes[:1], np.zeros((2, 4), int)]),
        class_ids,
        np.array([0.9, 0.0, 0.0]),
        masks,
        NAMES,
        title="mine",
    )
    assert texts(ax) == ["0.90 / 0.00"]
    assert ax.get_title() == "mine"


def test_draw_boxes_styles_follow_the_visibility(objects):
    image, boxes, masks, _ = objects
    refined = boxes + 2
    ax = visualize.draw_boxes(
        image, boxes, refined, masks, ["a", "b", "c"], visibilities=[0, 1, 2], title="t"
    )
    first, second, second_refined, third, third_refined = patches(ax, Rectangle)
    gray = plt.matplotlib.colors.to_rgb("gray")
    assert first.get_linestyle() in ("dotted", ":") and first.get_alpha() == 0.5
    assert first.get_edgecolor()[:3] == gray
    assert second.get_linestyle() in ("dotted", ":") and second.get_alpha() == 1
    assert third.get_linestyle() in ("solid", "-") and third.get_alpha() == 1
    assert second.get_edgecolor()[:3] != gray != third.get_edgecolor()[:3]
    assert second_refined.get_linestyle() in ("solid", "-")
    assert third_refined.get_bbox().bounds == (62, 2, 20, 20)
    assert [list(map(tuple, line.get_xydata())) for line in ax.lines] == [
        [(10, 30), (12, 32)],
        [(60, 0), (62, 2)],
    ]
    assert [text.get_position() for text in ax.texts] == [(5, 5), (12, 32), (62, 2)]
    picture = shown_image(ax)
    assert np.all(picture[masks[..., 0]] == 100), "visibility 0 hides the mask"
    assert np.all(np.any(picture[masks[..., 2]] != 100, axis=-1))


def test_normalized_boxes_are_drawn_where_they_belong_with_a_warning(objects, caplog):
    image, boxes, _, _ = objects
    normalized = norm_boxes(np.concatenate([boxes, [[-9, -9, 99, 99]]]), image.shape)
    padded = np.concatenate([normalized, np.zeros((2, 4), np.float32)])
    ax = visualize.draw_boxes(image, boxes=padded, refined_boxes=padded)
    found = [(p.get_y(), p.get_x(), p.get_height()) for p in patches(ax, Rectangle)]
    assert set(found) == {(5, 5, 20), (30, 10, 20), (0, 60, 20), (-9, -9, 108)}
    assert "taken for normalized" in caplog.text
    caplog.clear()
    visualize.draw_boxes(image, boxes=boxes.astype(float), refined_boxes=np.zeros((3, 4)))
    assert not caplog.text


def test_axes_of_a_size_for_programs_of_sebre():
    assert visualize.get_ax(1, 2, size=3).shape == (2,)
    assert visualize.get_ax(size=3).figure.get_size_inches().tolist() == [3, 3]


def test_draw_boxes_takes_refined_boxes_alone_and_needs_one_of_the_two(objects):
    image, boxes, _, _ = objects
    ax = visualize.draw_boxes(image, refined_boxes=boxes)
    assert [r.get_linestyle() for r in patches(ax, Rectangle)] == ["solid"] * 3
    assert not len(ax.lines)
    with pytest.raises(ValueError, match="both None"):
        visualize.draw_boxes(image)


def test_draw_rois_draws_objects_in_color_and_background_in_gray(objects, capsys):
    image, boxes, _, _ = objects
    masks = np.ones((3, 28, 28), np.float32)
    ax = visualize.draw_rois(image, boxes, boxes + 1, masks, np.array([1, 0, 2]), NAMES)
    assert texts(ax) == ["square", "disc"]
    styles = [r.get_linestyle() for r in patches(ax, Rectangle)]
    assert styles == ["dashed", "solid", "dashed", "dashed", "solid"]
    picture = shown_image(ax)
    assert np.all(np.any(picture[5:25, 5:25] != 100, axis=-1))
    assert np.all(picture[30:50, 10:40] == 100)
    assert "Positive Ratio: 0.67" in capsys.readouterr().out


def test_draw_rois_draws_no_more_than_the_limit(objects):
    image, boxes, _, _ = objects
    rois = np.tile(boxes, (5, 1))
    ids = np.zeros(15, int)
    ax = visualize.draw_rois(image, rois, rois, np.zeros((15, 28, 28)), ids, NAMES, limit=4)
    assert len(patches(ax, Rectangle)) == 4
    assert ax.get_title() == "4 of 15 ROIs"


def test_display_top_masks_orders_classes_by_area(objects):
    image, _, masks, class_ids = objects
    figure = visualize.display_top_masks(image, masks, class_ids, NAMES, limit=3)
    # Class 1 has 400 + 400 px, class 2 has 600.
    assert [ax.get_title() for ax in figure.axes] == ["H x W=60x80", "square", "disc", "-"]
    squares = shown_image(figure.axes[1])
    assert squares[10, 10] == 1 and squares[10, 70] == 2 and squares.max() == 2
    assert not shown_image(figure.axes[3]).any()


def test_display_images_lays_out_a_grid(objects):
    image = objects[0]
    figure = visualize.display_images([image] * 3 + [image[..., 0]], ["a", "b", "c", "d"], cols=3)
    places = [ax.get_subplotspec() for ax in figure.axes]
    assert [(p.rowspan.start, p.colspan.start) for p in places] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c", "d"]
    assert len(visualize.display_images([image]).axes) == 1
    with pytest.raises(ValueError, match="1 titles for 2 images"):
        visualize.display_images([image, image], ["a"])


def test_plot_precision_recall_shows_the_curve():
    recalls, precisions = np.array([0, 0.5, 1]), np.array([1, 0.8, 0])
    ax = visualize.plot_precision_recall(0.8125, precisions, recalls)
    assert "0.812" in ax.get_title()
    assert np.array_equal(ax.lines[0].get_xydata(), np.stack([recalls, precisions], axis=1))
    assert ax.get_xlim() == (0, 1.1) and ax.get_ylim() == (0, 1.1)


def test_plot_overlaps_names_matches_and_mistakes():
    ax = visualize.plot_overlaps(
        np.array([1, 2, 0]),
        np.array([2, 1]),
        np.array([0.9, 0.75]),
        np.array([[0.6, 0.8], [0.2, 0.0]], np.float32),
        NAMES,
    )
    assert texts(ax) == ["0.600\nwrong", "0.800\nmatch", "0.200\n", "0.000\n"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["disc (0.90)", "square (0.75)"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["square", "disc"]
    assert shown_image(ax).shape == (2, 2)


def test_a_new_figure_is_shown_where_there_is_a_display(objects, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    image, boxes, masks, class_ids = objects
    visualize.display_instances(image, boxes, masks, class_ids, NAMES)
    assert not shown
    monkeypatch.setattr(plt, "get_backend", lambda: "QtAgg")
    ax = visualize.display_instances(image, boxes, masks, class_ids, NAMES)
    assert len(shown) == 1
    visualize.display_instances(image, boxes, masks, class_ids, NAMES, ax=ax)
    assert len(shown) == 1


def test_display_table_returns_html_and_displays_it_in_a_notebook(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    expected = "<table><tr><td>a</td><td>1</td></tr><tr><td>b</td><td>2</td></tr></table>"
    assert visualize.display_table([["a", 1], ["b", 2]]) == expected

    displayed = []
    display = types.ModuleType("IPython.display")
    display.HTML = lambda html: ("HTML", html)
    display.display = displayed.append
    package = types.ModuleType("IPython")
    package.display = display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    assert visualize.display_table([["a", 1], ["b", 2]]) == expected
    assert displayed == [("HTML", expected)]


def test_display_weight_stats_lists_weights_and_marks_odd_ones():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv1")(inputs)
    x = keras.layers.BatchNormalization(name="bn1")(x)
    keras_model = keras.Model(inputs, x)
    kernel = np.linspace(-1, 2000, 3 * 3 * 3 * 4, dtype=np.float32).reshape(3, 3, 3, 4)
    keras_model.get_layer("conv1").set_weights([kernel, np.zeros(4)])
    model = types.SimpleNamespace(
        keras_model=keras_model,
        get_trainable_layers=lambda: [layer for layer in keras_model.layers if layer.weights],
    )
    rows = visualize.display_weight_stats(model).split("<tr>")[2:]
    assert len(rows) == 6
    assert "conv1/kernel" in rows[0] and "(3, 3, 3, 4)" in rows[0]
    assert "Overflow?" in rows[0] and "dead?" not in rows[0]
    assert "+2000.0000" in rows[0] and "-1.0000" in rows[0] and f"{kernel.std():+9.4f}" in rows[0]
    assert "conv1/bias" in rows[1] and "dead?" not in rows[1], "biases may be all equal"
    assert "bn1/gamma" in rows[2] and "dead?" in rows[2]
