"""Matching and average precision: cases worked out by hand, and the empty ones."""

import numpy as np
import pytest

from mrcnn.structures import matching as metrics
from mrcnn.structures.masks import extract_bboxes


def instances(*spans, size=20):
    """Masks [1, size, N] of horizontal runs (x1, x2), with their boxes."""
    masks = np.zeros((1, size, len(spans)), bool)
    for i, (x1, x2) in enumerate(spans):
        masks[0, x1:x2, i] = True
    return extract_bboxes(masks), masks


def image(gt, gt_ids, pred, pred_ids, scores):
    gt_boxes, gt_masks = instances(*gt)
    boxes, masks = instances(*pred)
    ids = np.array(pred_ids, np.int32)
    return gt_boxes, np.array(gt_ids), gt_masks, boxes, ids, np.array(scores, np.float32), masks


def test_overlaps_of_masks_worked_by_hand():
    _, masks1 = instances((0, 10), (4, 4))
    _, masks2 = instances((5, 10), (5, 15), (12, 12))
    overlaps = metrics.compute_overlaps_masks(masks1, masks2)
    np.testing.assert_allclose(overlaps, [[0.5, 1 / 3, 0], [0, 0, 0]], rtol=1e-6)
    assert overlaps.dtype == np.float32


def test_overlaps_take_probabilities_above_one_half_as_inside():
    masks = np.array([[[0.5], [0.51], [0.9]]])
    overlaps = metrics.compute_overlaps_masks(masks, np.ones((1, 3, 1)))
    np.testing.assert_allclose(overlaps, [[2 / 3]], rtol=1e-6)


def test_overlaps_of_masks_of_two_images_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 20\) and \(2, 20\) px"):
        metrics.compute_overlaps_masks(np.ones((1, 20, 1)), np.ones((2, 20, 1)))


def test_wrong_class_and_late_hit_give_half():
    # The second prediction has a wrong class, the third misses its object.
    case = image(
        [(0, 5), (10, 15)], [1, 2], [(0, 5), (10, 15), (16, 20)], [1, 1, 2], [0.9, 0.8, 0.7]
    )
    gt_match, pred_match, _ = metrics.compute_matches(*case)
    assert gt_match.tolist() == [0, -1]
    assert pred_match.tolist() == [0, -1, -1]
    ap, precisions, recalls, overlaps = metrics.compute_ap(*case)
    assert ap == pytest.approx(0.5)
    np.testing.assert_allclose(precisions, [1, 1, 0.5, 1 / 3, 0])
    np.testing.assert_allclose(recalls, [0, 0.5, 0.5, 0.5, 1])
    assert overlaps.shape == (3, 2)


def test_one_of_two_objects_found_gives_half():
    case = image([(0, 5), (10, 15)], [1, 1], [(0, 5)], [1], [0.9])
    assert metrics.compute_ap(*case)[0] == pytest.approx(0.5)


def test_perfect_predictions_give_one_whatever_their_order():
    case = image([(0, 5), (10, 15)], [1, 2], [(10, 15), (0, 5)], [2, 1], [0.3, 0.4])
    assert metrics.compute_ap(*case)[0] == pytest.approx(1.0)
    gt_match, pred_match, _ = metrics.compute_matches(*case)
    assert gt_match.tolist() == [0, 1]  # numbered by score: object 0 has the better one
    assert pred_match.tolist() == [0, 1]


def test_an_object_of_a_wrong_class_does_not_end_the_search():
    # Both objects overlap the prediction enough; the better one has another class.
    case = image([(0, 10), (0, 9)], [2, 1], [(0, 10)], [1], [0.9])
    gt_match, pred_match, _ = metrics.compute_matches(*case)
    assert gt_match.tolist() == [-1, 0]
    assert pred_match.tolist() == [1]


def test_a_second_prediction_of_an_object_counts_as_wrong():
    case = image([(0, 10)], [1], [(0, 10), (0, 9)], [1, 1], [0.5, 0.9])
    assert metrics.compute_matches(*case)[1].tolist() == [0, -1]


def test_score_threshold_drops_pairs_of_a_lower_overlap():
    case = image([(0, 10)], [1], [(0, 6)], [1], [0.9])
    assert metrics.compute_matches(*case, iou_threshold=0.5)[1].tolist() == [0]
    strict = metrics.compute_matches(*case, iou_threshold=0.5, score_threshold=0.7)
    assert strict[1].tolist() == [-1]


def test_zero_padding_changes_nothing():
    gt_boxes, gt_ids, gt_masks, boxes, ids, scores, masks = image(
        [(0, 5), (10, 15)], [1, 2], [(10, 15), (0, 5)], [2, 2], [0.3, 0.4]
    )
    plain = metrics.compute_ap(gt_boxes, gt_ids, gt_masks, boxes, ids, scores, masks)
    padded = metrics.compute_ap(
        np.pad(gt_boxes, ((0, 2), (0, 0))),
        np.pad(gt_ids, (0, 2)),
        np.pad(gt_masks, ((0, 0), (0, 0), (0, 2))),
        np.pad(boxes, ((0, 3), (0, 0))),
        np.pad(ids, (0, 3)),
        np.pad(scores, (0, 3)),
        np.pad(masks, ((0, 0), (0, 0), (0, 3))),
    )
    for a, b in zip(plain, padded, strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_predictions_give_zero():
    ap, precisions, recalls, overlaps = metrics.compute_ap(*image([(0, 5)], [1], [], [], []))
    assert ap == 0.0
    assert precisions.tolist() == [0, 0]
    assert recalls.tolist() == [0, 1]
    assert overlaps.shape == (0, 1)


@pytest.mark.parametrize("predictions", [[], [(0, 5)]])
def test_no_ground_truth_gives_zero_and_not_nan(predictions):
    n = len(predictions)
    case = image([], [], predictions, [1] * n, [0.9] * n)
    ap, precisions, recalls, overlaps = metrics.compute_ap(*case)
    assert ap == 0.0
    assert np.isfinite(precisions).all() and np.isfinite(recalls).all()
    assert overlaps.shape == (n, 0)
    assert metrics.compute_ap_range(*case, verbose=0) == 0.0


def test_ap_range_is_the_mean_over_thresholds_and_prints_them(capsys):
    # IoU 0.8: found at the seven thresholds from 0.5 to 0.8.
    case = image([(0, 10)], [1], [(0, 8)], [1], [0.9])
    singles = [metrics.compute_ap(*case, t)[0] for t in np.arange(0.5, 1.0, 0.05)]
    assert sum(singles) == 7
    assert metrics.compute_ap_range(*case) == pytest.approx(np.mean(singles))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
    assert lines[0] == "AP @0.50:\t 1.000"
    assert lines[-1] == f"AP @0.50-0.95:\t {np.mean(singles):.3f}"


def test_ap_range_takes_thresholds_as_list_or_array_and_can_be_silent(capsys):
    case = image([(0, 10)], [1], [(0, 8)], [1], [0.9])
    for thresholds in ([0.5, 0.9], np.array([0.5, 0.9])):
        assert metrics.compute_ap_range(*case, thresholds, verbose=0) == pytest.approx(0.5)
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="iou_thresholds is empty"):
        metrics.compute_ap_range(*case, [])


def test_recall_counts_objects_and_not_predictions():
    gt_boxes, _ = instances((0, 10), (10, 20))
    boxes, _ = instances((0, 10), (0, 9), (12, 14))
    recall, rows = metrics.compute_recall(boxes, gt_boxes, 0.5)
    assert recall == 0.5
    assert rows.tolist() == [0, 1]


def test_recall_without_boxes_is_zero():
    one = np.array([[0, 0, 4, 4]])
    for boxes, gt_boxes in ((np.zeros((0, 4)), one), (one, np.zeros((0, 4))), ([], [])):
        recall, rows = metrics.compute_recall(boxes, gt_boxes, 0.5)
        assert recall == 0.0
        assert rows.shape == (0,)
