"""Scores of segments, and the traps of their definitions."""

import numpy as np
import pytest
from skimage.metrics import adapted_rand_error, variation_of_information

from mrcnn.errors import UserError
from sebre.neurites.scoring.bad_sections import degraded
from sebre.neurites.scoring.segment_scores import pieces, score_segments, scored_bodies


def _stripes(count, shape=(12, 24, 48)):
    return np.broadcast_to(np.arange(shape[2]) * count // shape[2] + 1, shape).copy()


@pytest.mark.parametrize("flat", [False, True])
def test_segments_of_a_whole_volume_are_cut_as_bodies_are(flat):
    volume = np.zeros((24, 24, 48), np.uint32)
    volume[:, :, :20], volume[:, :, 24:] = 7, 7  # joined beyond the block that is scored
    volume[12:, :, 20:24] = 7
    block, below = volume[:12], pieces(volume, flat)[:12]
    bodies = scored_bodies(block, flat=flat)
    assert bodies.max() == 24 if flat else 2
    assert score_segments(bodies, block).vi_merge > 0.9
    for segments in (pieces(block, flat), pieces(below, flat)):
        scores = score_segments(bodies, segments)
        assert (scores.vi, scores.rand_error) == (pytest.approx(0, abs=1e-12), 0)
        assert scores.merge_errors == scores.split_errors == 0
    np.testing.assert_array_equal(pieces(block, flat) == 0, block == 0)


def test_the_truth_has_no_error():
    bodies = _stripes(4)
    scores = score_segments(bodies, 7 * bodies + 3)
    assert (scores.vi, scores.rand_error, scores.merge_errors, scores.split_errors) == (0, 0, 0, 0)
    assert set(scores.joined.values()) == set(scores.parted.values()) == {0.0}


def test_all_in_one_is_an_error_of_mergers():
    scores = score_segments(_stripes(4), np.ones((12, 24, 48), int))
    assert scores.vi_split == pytest.approx(0, abs=1e-9)
    assert scores.vi_merge == pytest.approx(2.0)  # bits: four bodies of one size
    assert scores.merge_errors == 3 and scores.split_errors == 0
    assert scores.joined["x"] == 1.0 and scores.joined["z"] == 0.0  # bodies are beside each other


def test_pieces_are_an_error_of_splits():
    scores = score_segments(_stripes(2), _stripes(8))
    assert (scores.vi_split, scores.vi_merge) == (pytest.approx(2.0), pytest.approx(0, abs=1e-9))
    assert scores.merge_errors == 0 and scores.split_errors == 6
    assert scores.parted["x"] > 0.5 and scores.parted["z"] == 0.0


def test_splits_along_z_are_told_from_others():
    cut = _stripes(2)
    cut[6:] += 2
    scores = score_segments(_stripes(2), cut)
    assert scores.parted["z"] > 0.5 and scores.parted["x"] == scores.parted["y"] == 0.0


def test_what_the_library_calls_precision_falls_with_splits():
    # With the truth first, as we call it. Should this change, the documentation is wrong.
    truth, one = _stripes(10), np.ones((12, 24, 48), int)
    _, precision, recall = adapted_rand_error(truth, one)
    assert precision == pytest.approx(1.0) and recall < 0.2
    split, merge = variation_of_information(truth, one)
    assert split == pytest.approx(0, abs=1e-9) and merge > 3


def test_a_body_that_comes_back_is_two_and_small_ones_are_not_scored():
    labels = np.zeros((4, 20, 20), int)
    labels[:, :8], labels[:, 12:] = 5, 5
    labels[:, 9:11, :10] = 9
    bodies = scored_bodies(labels)
    assert bodies.max() == 2 and bodies[0, 0, 0] != bodies[0, 19, 0]
    assert (bodies[labels == 9] == 0).all()
    assert scored_bodies(labels, 10, flat=True).max() == 4 * 3


def test_segments_of_another_shape_are_the_users_mistake():
    with pytest.raises(UserError, match="same shape"):
        score_segments(_stripes(2), np.ones((24, 12, 48), int))
    with pytest.raises(UserError, match="No neurite"):
        score_segments(np.zeros((2, 2, 2), int), np.ones((2, 2, 2), int))


def test_bad_sections_are_as_many_as_wanted_and_the_others_untouched(volume):
    changed, bad = degraded(volume.raw, seed=0)
    assert len(bad) == round(0.3 * len(volume.raw))
    different = (changed != volume.raw).any(axis=(1, 2))
    assert np.flatnonzero(different).tolist() == bad
    np.testing.assert_array_equal(changed, degraded(volume.raw, seed=0)[0])
