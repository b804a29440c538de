"""Molding beyond the stored numbers: extreme sizes, empty inputs, user errors."""

import random

import numpy as np
import pytest
import scipy.ndimage

from mrcnn.config import Config
from mrcnn.data import molding, resizing
from mrcnn.imageio.reduced import resize
from mrcnn.structures.masks import (
    expand_mask,
    extract_bboxes,
    minimize_mask,
    mold_mask,
    unmold_mask,
)


@pytest.mark.parametrize(
    ("shape", "args", "mode", "out_shape", "window", "scale"),
    [
        ((2192, 3616), (384, 384), "square", (384, 384), (75, 0, 308, 384), 384 / 3616),
        ((2192, 3616), (384, 384), "fit64", (256, 384), (11, 0, 244, 384), 384 / 3616),
        ((320, 240), (384, 384), "fit64", (384, 320), (0, 16, 384, 304), 1.2),
        ((480, 640), (800, 1024), "square", (1024, 1024), (128, 0, 896, 1024), 1.6),
        ((480, 640), (512, None), "pad64", (512, 704), (0, 10, 512, 693), 512 / 480),
    ],
)
def test_resize_modes_worked_by_hand(shape, args, mode, out_shape, window, scale):
    image = np.full((*shape, 3), 9, np.uint8)
    out, found, used, padding, crop = resizing.resize_image(image, *args, mode=mode)
    assert out.shape == (*out_shape, 3)
    assert found == window
    assert used == pytest.approx(scale)
    y1, x1, y2, x2 = window
    assert padding == [(y1, out_shape[0] - y2), (x1, out_shape[1] - x2), (0, 0)]
    assert crop is None
    inside = out[y1:y2, x1:x2]
    assert inside.any() and out.sum(dtype=int) == inside.sum(dtype=int)


def test_crop_mode_follows_the_seed_and_takes_the_mask_along():
    image = np.arange(90 * 120 * 3).reshape(90, 120, 3).astype(np.float32)

    def crop():
        random.seed(3)
        return resizing.resize_image(image, min_dim=64, mode="crop")

    out, window, scale, padding, where = crop()
    assert where == crop()[4]
    y, x, height, width = where
    assert (height, width) == (64, 64) and window == (0, 0, 64, 64)
    np.testing.assert_array_equal(out, image[y : y + 64, x : x + 64])
    np.testing.assert_array_equal(resizing.resize_mask(image, scale, padding, where), out)


@pytest.mark.parametrize(
    ("shape", "kwargs", "message"),
    [
        ((8, 8, 3), {"mode": "stretch", "max_dim": 64}, "Resize mode 'stretch'"),
        ((8, 8), {"mode": "square", "max_dim": 64}, r"shape \(8, 8\)"),
        ((0, 8, 3), {"mode": "square", "max_dim": 64}, r"shape \(0, 8, 3\)"),
        ((8, 8, 3), {"mode": "square"}, "needs max_dim"),
        ((8, 8, 3), {"mode": "crop"}, "needs min_dim"),
        ((8, 8, 3), {"mode": "pad64", "min_dim": 100}, "multiple of 64, not 100"),
        ((8, 8, 3), {"mode": "pad64"}, "multiple of 64, not None"),
        ((8, 8, 3), {"mode": "fit64"}, "'fit64' needs max_dim; it is None"),
        ((8, 8, 3), {"mode": "fit64", "max_dim": 100}, "multiple of 64, not 100"),
        ((1, 5000, 3), {"mode": "square", "max_dim": 64}, "too narrow"),
    ],
)
def test_unusable_resizing_is_refused(shape, kwargs, message):
    with pytest.raises(ValueError, match=message):
        resizing.resize_image(np.zeros(shape, np.uint8), **kwargs)


@pytest.mark.parametrize("scale", [0.3, 0.41, 0.64, 0.777, 1.1, 1.28, 1.6, 2.5])
def test_resized_masks_equal_scipy_but_for_the_last_line_it_may_lose(scale):
    rng = np.random.default_rng(0)
    no_padding = [(0, 0), (0, 0), (0, 0)]
    for height in range(5, 90, 7):
        mask = rng.random((height, height + 3, 2)) > 0.5
        ours = resizing.resize_mask(mask, scale, no_padding)
        theirs = scipy.ndimage.zoom(mask, [scale, scale, 1], order=0)
        assert ours.shape == theirs.shape
        np.testing.assert_array_equal(ours[:-1, :-1], theirs[:-1, :-1])
        np.testing.assert_array_equal(ours[-1, [0, -1]], mask[-1, [0, -1]])


def test_no_masks_stay_no_masks():
    empty = np.zeros((30, 40, 0), bool)
    resized = resizing.resize_mask(empty, 2.0, [(2, 2), (0, 0), (0, 0)])
    assert resized.shape == (64, 80, 0) and resized.dtype == bool
    assert extract_bboxes(empty).shape == (0, 4)
    no_boxes = np.zeros((0, 4), np.int32)
    assert minimize_mask(no_boxes, empty, (56, 56)).shape == (56, 56, 0)
    expanded = expand_mask(no_boxes, np.zeros((56, 56, 0), bool), (30, 40, 3))
    assert expanded.shape == (30, 40, 0)


def test_boxes_are_tight_and_zero_for_empty_masks():
    mask = np.zeros((10, 12, 3), bool)
    mask[2:5, 3:9, 0] = True
    mask[9, 11, 2] = True
    found = extract_bboxes(mask)
    assert found.tolist() == [[2, 3, 5, 9], [0, 0, 0, 0], [9, 11, 10, 12]]
    assert found.dtype == np.int32


def test_a_mini_mask_of_a_full_box_comes_back_whole():
    mask = np.zeros((40, 50, 1), bool)
    mask[4:30, 10:45] = True
    box = extract_bboxes(mask)
    back = expand_mask(box, np.ones((14, 14, 1), bool), mask.shape)
    # Enlarging darkens the borders, so the outermost pixels may be lost.
    assert (back & ~mask).sum() == 0
    assert back[5:29, 11:44].all()
    mini = minimize_mask(box, mask, (14, 14))
    assert mini.shape == (14, 14, 1) and mini.dtype == bool and mini.all()


def test_boxes_without_area_are_refused():
    for box in ([3, 3, 3, 9], [3, 9, 8, 4]):
        with pytest.raises(ValueError, match="has no area"):
            minimize_mask(np.array([box]), np.ones((10, 10, 1), bool), (4, 4))
        with pytest.raises(ValueError, match="has no area"):
            expand_mask(np.array([box]), np.ones((4, 4, 1), bool), (10, 10))
        with pytest.raises(ValueError, match="has no area"):
            unmold_mask(np.ones((4, 4)), box, (10, 10))


def test_an_unmolded_mask_stays_inside_its_box_and_inside_the_image():
    ones = np.ones((28, 28), np.float32)
    full = unmold_mask(ones, (5, 6, 15, 18), (20, 30, 3))
    assert full.dtype == bool and full.shape == (20, 30)
    assert full[6:14, 7:17].all()
    assert full.sum() == full[5:15, 6:18].sum()
    half = ones.copy()
    half[:, :14] = 0
    # Ten pixels wide, eight of them left of the image: the two on the right stay.
    cut = unmold_mask(half, (-3, -8, 9, 2), (20, 30))
    inside = unmold_mask(half, (0, 0, 12, 10), (20, 30))
    np.testing.assert_array_equal(cut[:9, :2], inside[3:12, 8:10])
    assert cut.sum() == cut[:9, :2].sum() > 0
    assert not unmold_mask(ones, (-9, -9, -1, -1), (20, 30)).any()


def test_detections_without_area_in_the_picture_are_left_out():
    detections = np.array(
        [[0, 0, 1, 1, 1, 0.9], [0.2, 0.2, 0.18, 0.8, 2, 0.8], [0.25, 0.25, 0.75, 0.5, 2, 0.7]],
        np.float32,
    )
    masks = np.zeros((3, 28, 28, 3), np.float32)
    masks[0, ..., 1] = masks[2, ..., 2] = 1
    found = molding.unmold_detections(detections, masks, (65, 65, 3), (33, 33, 3), (0, 0, 33, 33))
    boxes, class_ids, scores, full = found
    # In 65 px the second one would reach from row 13 to row 13; 0.25 lies at pixel 16, 0.75
    # at pixel 48, and y2, x2 are one past it.
    assert boxes.tolist() == [[0, 0, 65, 65], [16, 16, 49, 33]]
    assert class_ids.tolist() == [1, 2]
    np.testing.assert_allclose(scores, [0.9, 0.7], rtol=1e-6)
    assert full.shape == (65, 65, 2) and full.any(axis=(0, 1)).all()


def test_mold_inputs_refuses_what_makes_no_batch():
    config = Config(IMAGE_RESIZE_MODE="none")
    with pytest.raises(ValueError, match="No images"):
        molding.mold_inputs([], config)
    with pytest.raises(ValueError, match=r"Image 0 has shape \(64, 64\)"):
        molding.mold_inputs([np.zeros((64, 64), np.uint8)], config)
    with pytest.raises(ValueError, match=r"Image 1 has shape \(64, 64, 4\).*3"):
        molding.mold_inputs([np.zeros((64, 64, c), np.uint8) for c in (3, 4)], config)
    with pytest.raises(ValueError, match="different molded shapes"):
        molding.mold_inputs([np.zeros((s, 64, 3), np.uint8) for s in (64, 128)], config)


def test_mold_inputs_takes_pictures_of_any_size_and_any_channel_count():
    config = Config(
        IMAGE_MIN_DIM=64,
        IMAGE_MAX_DIM=64,
        IMAGE_CHANNEL_COUNT=1,
        MEAN_PIXEL=np.array([10.0]),
        NUM_CLASSES=3,
    )
    images = [np.full(shape, 60, np.uint8) for shape in ((32, 64, 1), (90, 30, 1))]
    molded, metas, windows = molding.mold_inputs(images, config)
    assert molded.shape == (2, 64, 64, 1) and molded.dtype == np.float32
    assert molded[0, 32, 32, 0] == 50 and molded[0, 0, 0, 0] == -10
    assert metas.shape == (2, 15) and metas.dtype == np.float64
    assert windows.tolist() == [[16, 0, 48, 64], [0, 21, 64, 42]]
    assert metas[1, 1:7].tolist() == [90, 30, 1, 64, 64, 1]
    assert metas[:, 12:].sum() == 0


def test_resize_takes_bool_arrays():
    mask = np.array([[True, False], [True, False]])
    assert resize(mask, (4, 4), order=0).dtype == bool
    smooth = resize(mask, (4, 4))
    assert smooth.dtype == np.float64 and 0 < smooth[1, 1] < 1


def test_the_empty_stub_of_the_reference_is_there():
    assert mold_mask(np.ones((4, 4)), Config()) is None
