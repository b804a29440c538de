"""Networks and views that agree: whose masks count, and from which score on."""

import json

import numpy as np
import pytest
from section_cases import SIDE, Scripted, box_mask, prepared, result_of

from mrcnn.errors import UserError
from sebre.data.regions import SUBCORTICAL
from sebre.evaluation.mask_metrics import dice
from sebre.networks.weights_store import WeightsFile
from sebre.trials.several_networks import Agreement, main, views_of

BOX, RIGHT = (6, 4, 16, 20), (6, 12, 16, 28)
PICTURE = np.zeros((SIDE, SIDE, 3), np.uint8)


class Bright(Scripted):
    """Finds what is bright, with the score of the picture's brightest value."""

    def detect(self, images, masks="full"):
        self.shown += images
        return [self._one(image[..., 0]) for image in images]

    def _one(self, gray):
        found = result_of((1, gray.max() / 255, BOX))
        return {**found, "masks": (gray > 100)[..., None]}


def test_masks_weigh_by_their_scores():
    left, right = Scripted(result_of((1, 0.9, BOX))), Scripted(result_of((1, 0.5, RIGHT)))
    (found,) = Agreement([left, right]).detect([PICTURE])
    np.testing.assert_array_equal(found["masks"][..., 0], box_mask(*BOX))
    assert found["scores"] == pytest.approx([0.7]) and found["rois"].tolist() == [[*BOX]]
    # Where both are as sure, half of the votes are enough: that is all that one of them says.
    right = Scripted(result_of((1, 0.9, RIGHT)))
    (found,) = Agreement([left, right]).detect([PICTURE])
    np.testing.assert_array_equal(found["masks"][..., 0], box_mask(*BOX) | box_mask(*RIGHT))


def test_who_does_not_find_a_region_counts_as_0():
    one, none = Scripted(result_of((1, 0.5, BOX), (2, 0.8, RIGHT))), Scripted(result_of())
    (found,) = Agreement([one, none]).detect([PICTURE])
    assert found["class_ids"].tolist() == [2] and found["scores"] == pytest.approx([0.4])
    (found,) = Agreement([one, none], least_score=0.2).detect([PICTURE], masks="rle")
    assert found["class_ids"].tolist() == [2, 1] and len(found["masks"]) == 2
    (found,) = Agreement([none, none]).detect([PICTURE])
    assert found["masks"].shape == (SIDE, SIDE, 0) and found["rois"].shape == (0, 4)


def test_masks_come_back_from_turned_and_mirrored_pictures():
    picture = PICTURE.copy()
    picture[box_mask(*BOX)] = 255
    network = Bright()
    (found,) = Agreement([network], views_of([0, 90], mirrored=True)).detect([picture])
    np.testing.assert_array_equal(found["masks"][..., 0], box_mask(*BOX))
    assert len(network.shown) == 4
    np.testing.assert_array_equal(network.shown[2], picture[:, ::-1])
    assert not np.array_equal(network.shown[1], picture)
    (found,) = Agreement([network], views_of([-10, 0, 10])).detect([picture])
    assert dice(found["masks"][..., 0], box_mask(*BOX)) > 0.97


def test_networks_of_other_regions_are_refused():
    other = Scripted(result_of())
    other.regions = SUBCORTICAL
    with pytest.raises(UserError, match="find different regions"):
        Agreement([Scripted(result_of()), other])


def test_the_record_is_of_all_networks(tmp_path, monkeypatch):
    prepared(tmp_path / "set", [{1: BOX}, {1: BOX, 2: (22, 22, 30, 30)}])
    asked = []

    def load(name, experiment):
        asked.append((name, experiment.name))
        network = Scripted(result_of((1, 0.9, BOX)))
        network.weights = WeightsFile(tmp_path / "w.h5", name * 64, name)
        return network

    monkeypatch.setattr("sebre.trials.several_networks.load_segmenter", load)
    out = tmp_path / "scores.json"
    options = ["--dataset", tmp_path / "set", "--turns", "0", "180", "--out", out]
    assert main(["slicemap", "--weights", "a", "b", *options]) == 0
    record = json.loads(out.read_text(encoding="utf-8"))
    assert asked == [("a", "slicemap"), ("b", "slicemap")]
    assert record["weights"] == "a, b" and record["network"] == "scripted, 4 looks"
    assert record["n_sections"] == 2 and 0 < record["dice_mean"] < 1
    assert "--weights a b" in record["command"]
    with pytest.raises(UserError, match="tell left from right"):
        main(["ibsr", "--weights", "a", "--mirrored", *options])
