"""Run lengths and contours hold the pixels of full masks, without their memory."""

import tracemalloc

import numpy as np
import pycocotools.mask
import pytest
import scipy.ndimage
import skimage.transform

from mrcnn.data.molding import unmold_compact, unmold_detections
from mrcnn.structures import mask_formats
from mrcnn.structures.masks import extract_bboxes, unmold_mask
from mrcnn.structures.resampling import resize
from sebre.drawing.overlay import label_map, reduced_labels


def smooth_mask(rng, sigma=2.0):
    """Mask of a network: 28 x 28 values from 0 to 1 without texture."""
    values = scipy.ndimage.gaussian_filter(rng.normal(size=(28, 28)), sigma)
    return ((values - values.min()) / np.ptp(values)).astype(np.float32)


def random_masks(count):
    rng = np.random.default_rng(0)
    for i in range(count):
        yield rng.random(rng.integers(1, 50, 2)) < (0, 0.05, 0.5, 0.95, 1)[i % 5]


def random_boxes(rng, count):
    for _ in range(count):
        y, x = rng.integers(-30, 60, 2)
        height, width = rng.integers(1, 100, 2)
        yield y, x, y + height, x + width


def test_run_lengths_are_those_of_coco():
    for mask in random_masks(60):
        rle = mask_formats.mask_to_rle(mask)
        coco = pycocotools.mask.encode(np.asfortranarray(mask, np.uint8))
        assert rle == {"size": list(mask.shape), "counts": coco["counts"]}
        np.testing.assert_array_equal(mask_formats.rle_to_mask(coco), mask)
        assert mask_formats.rle_area(rle) == mask.sum() and mask_formats.is_whole(rle)
        assert not mask_formats.is_whole({**rle, "size": [mask.shape[0], mask.shape[1] + 1]})
        assert mask_formats.rle_box(rle) == tuple(extract_bboxes(mask[..., None])[0])
        columns, tops, bottoms = mask_formats.rle_columns(rle)
        assert mask_formats.rle_from_columns(columns, tops, bottoms, mask.shape) == rle
        text = mask_formats.rle_to_text(rle)
        assert isinstance(text["counts"], str) and mask_formats.rle_from_text(text) == rle


def test_counts_of_many_digits():
    mask = np.zeros((3000, 2000), bool)
    mask[1:, 700:1900] = True
    mask[0, ::3] = True
    rle = mask_formats.mask_to_rle(mask)
    assert rle["counts"] == pycocotools.mask.encode(np.asfortranarray(mask, np.uint8))["counts"]
    np.testing.assert_array_equal(mask_formats.rle_to_mask(rle), mask)


def test_windows_unions_and_overlaps():
    rng = np.random.default_rng(1)
    first, second = rng.random((2, 40, 30)) < 0.4
    a, b = mask_formats.to_rles(np.stack([first, second], axis=-1))
    window = (5, 7, 33, 20)
    part = first[5:33, 7:20]
    np.testing.assert_array_equal(mask_formats.rle_to_mask(a, window), part)
    assert mask_formats.rle_area(a, window) == part.sum()
    union = mask_formats.rle_to_mask(mask_formats.rle_union([a, b]))
    np.testing.assert_array_equal(union, first | second)
    both = mask_formats.rle_to_mask(mask_formats.rle_intersection([a, b]))
    np.testing.assert_array_equal(both, first & second)
    iou = mask_formats.rle_iou([a, b], [b])
    np.testing.assert_allclose(iou, [[both.sum() / union.sum()], [1]])
    assert mask_formats.rle_iou([], [a]).shape == (0, 1)


@pytest.mark.parametrize("change", [lambda m: m, lambda m: m / 2 + 0.5, lambda m: (m > 0.5) * 1.0])
def test_pasting_is_resizing_to_the_box(change):
    rng = np.random.default_rng(2)
    shape = (60, 70)
    for box in random_boxes(rng, 25):
        mask = change(smooth_mask(rng)).astype(np.float32)
        y1, x1, y2, x2 = box
        framed = np.zeros((200, 200), np.float32)  # a frame around the image
        framed[y1 + 40 : y2 + 40, x1 + 40 : x2 + 40] = resize(mask, (y2 - y1, x2 - x1))
        values = framed[40:100, 40:110]
        expected = values >= 0.5
        np.testing.assert_array_equal(unmold_mask(mask, box, shape), expected)
        rle = mask_formats.paste_rle(mask, box, shape)
        np.testing.assert_array_equal(mask_formats.rle_to_mask(rle), expected)
        contours = mask_formats.paste_contours(mask, box, shape)
        differs = mask_formats.contours_to_mask(contours) != expected
        assert not differs[values != 0.5].any()


def test_contours_keep_holes_and_islands():
    for mask in random_masks(40):
        contours = mask_formats.mask_to_contours(mask)
        np.testing.assert_array_equal(mask_formats.contours_to_mask(contours), mask)
    ring = np.zeros((20, 30), bool)
    ring[3:15, 5:25] = True
    ring[6:9, 10:14] = False
    polygons = mask_formats.mask_to_contours(ring)["polygons"]
    assert len(polygons) == 2
    outer, hole = sorted(polygons, key=len, reverse=True)
    assert (outer.min(axis=0) == [2.5, 4.5]).all() and (outer.max(axis=0) == [14.5, 24.5]).all()
    assert (hole.min(axis=0) == [5.5, 9.5]).all() and (hole.max(axis=0) == [8.5, 13.5]).all()
    assert (outer[0] == outer[-1]).all() and outer.dtype == np.float32


def test_contours_of_large_masks_are_close():
    mask = smooth_mask(np.random.default_rng(3))
    shape, box = (3000, 2600), (100, 200, 2900, 2500)
    full = unmold_mask(mask, box, shape)
    found = mask_formats.contours_to_mask(mask_formats.paste_contours(mask, box, shape))
    assert (found != full).sum() < 2e-4 * full.sum()


def test_a_large_section_needs_little_memory():
    shape, box = (20_000, 30_000), (4000, 5000, 7000, 8000)
    mask = smooth_mask(np.random.default_rng(4))
    tracemalloc.start()
    rle = mask_formats.paste_rle(mask, box, shape)
    contours = mask_formats.paste_contours(mask, box, shape)
    area, found = mask_formats.mask_areas([rle, contours])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6 < shape[0] * shape[1] / 9
    assert area == unmold_mask(mask, (0, 0, 3000, 3000), (3000, 3000)).sum()
    assert found == pytest.approx(area, rel=2e-4)


@pytest.mark.parametrize("shape", [(60, 45), (20, 15), (47, 100)])
def test_masks_are_enlarged_to_the_nearest_pixel(shape):
    mask = np.random.default_rng(5).random((20, 15)) < 0.5
    mask[:3], mask[:, -2:] = False, False
    full = skimage.transform.resize(mask, shape, order=0)
    rle = mask_formats.enlarged_rle(mask, shape)
    assert (mask_formats.rle_to_mask(rle) == full).all()
    assert mask_formats.rle_area(mask_formats.enlarged_rle(mask & False, shape)) == 0


def network_output(rng):
    boxes = [[0.1, 0.1, 0.6, 0.7], [0.2, 0.3, 0.9, 0.8], [0.5, 0.4, 0.4, 0.6], [0, 0, 1, 1]]
    labels = [[1, 0.8], [2, 0.9], [1, 0.7], [0, 0]]
    detections = np.hstack([boxes, labels]).astype(np.float32)
    masks = np.stack([np.stack([smooth_mask(rng)] * 3, axis=-1) for _ in boxes])
    return detections, masks, (90, 120, 3), (64, 64, 3), (8, 0, 56, 64)


def test_one_result_in_three_formats():
    arguments = network_output(np.random.default_rng(5))
    boxes, class_ids, scores, full = unmold_detections(*arguments)
    assert full.shape == (90, 120, 2)
    for name in mask_formats.FORMATS:
        found = unmold_compact(*arguments, masks=name)
        for one, other in zip(found, (boxes, class_ids, scores), strict=False):
            np.testing.assert_array_equal(one, other)
        masks = found[3]
        assert mask_formats.count_masks(masks) == 2
        assert mask_formats.mask_areas(masks).tolist() == full.sum(axis=(0, 1)).tolist()
        last = mask_formats.select_masks(masks, [1])
        assert mask_formats.mask_areas(last).tolist() == [full[..., 1].sum()]
        labels = label_map(class_ids, scores, masks, (90, 120))
        expected = np.where(full[..., 1], 2, np.where(full[..., 0], 1, 0))
        np.testing.assert_array_equal(labels, expected)
        for rle, mask in zip(mask_formats.to_rles(masks), np.moveaxis(full, -1, 0), strict=True):
            np.testing.assert_array_equal(mask_formats.rle_to_mask(rle), mask)


def test_no_detections():
    detections, masks, *shapes = network_output(np.random.default_rng(6))
    detections[:] = 0
    for name, empty in (("full", (90, 120, 0)), ("rle", []), ("contours", [])):
        found = unmold_compact(detections, masks, *shapes, masks=name)[3]
        assert getattr(found, "shape", found) == empty
        assert mask_formats.mask_areas(found).tolist() == []
        assert not label_map(np.zeros(0, int), np.zeros(0), found, (9, 8)).any()


def test_the_smaller_of_equal_scores_is_seen():
    masks = np.zeros((8, 9, 2), bool)
    masks[2:4, 2:4, 0] = masks[1:7, 1:8, 1] = True
    for given in (masks, mask_formats.to_rles(masks)):
        labels = label_map(np.array([5, 300]), np.zeros(2), given, (8, 9))
        assert labels.dtype == np.uint16
        assert (labels[2:4, 2:4] == 5).all() and labels[1, 1] == 300 and labels[0, 0] == 0


def test_labels_at_a_smaller_size():
    labels = np.repeat(np.repeat(np.arange(12).reshape(3, 4), 7, 0), 5, 1).astype(np.uint8)
    small = reduced_labels(labels, (3, 4))
    np.testing.assert_array_equal(small, np.arange(12).reshape(3, 4))
    assert small.dtype == np.uint8


def test_user_errors():
    with pytest.raises(ValueError, match="masks is 'polygon'; it must be one of 'full', 'rle'"):
        unmold_compact(*network_output(np.random.default_rng(7)), masks="polygon")
    with pytest.raises(ValueError, match="70000 x 70000 px.*Use contours"):
        mask_formats.paste_rle(np.ones((28, 28)), (0, 0, 9, 9), (70_000, 70_000))
    with pytest.raises(ValueError, match="no area"):
        mask_formats.paste_rle(np.ones((28, 28)), (4, 4, 4, 9), (20, 20))
