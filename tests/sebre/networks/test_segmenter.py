"""Label maps, overlays, tables and scores, on hand cases."""

import numpy as np
import pytest
from fixed_segmenter import RESULT, SIDE, Fixed, box_mask, result_of
from PIL import Image

from mrcnn.errors import UserError
from sebre.data.dataset import SectionDataset
from sebre.data.region_masks import RegionMasks
from sebre.data.regions import SLICEMAP
from sebre.drawing.contact_sheet import save_sheet
from sebre.drawing.overlay import label_map, overlay
from sebre.evaluation.evaluate import TURN_DRAWS, evaluate_sections
from sebre.evaluation.mask_metrics import dice, iou
from sebre.evaluation.section import score_section, sheet_row
from sebre.evaluation.summary import summarize
from sebre.networks.segmenter import (
    MaskRCNNSegmenter,
    best_labels,
    best_per_region,
    find_network,
)
from sebre.predict.outputs import save_section


def test_best_detection_of_each_region():
    assert best_per_region(RESULT) == {1: 1, 3: 2}
    assert best_per_region(result_of()) == {}


def test_higher_score_wins_where_masks_overlap():
    for order in ((0, 1), (1, 0)):
        found = [(3, 0.9, (0, 0, 10, 10)), (1, 0.8, (5, 5, 15, 15))]
        result = result_of(*(found[i] for i in order))
        labels = best_labels(result, (SIDE, SIDE))
        assert labels.dtype == np.uint8
        assert labels[7, 7] == 3
        assert labels[12, 12] == 1
        assert labels[19, 19] == 0
        assert (labels == 3).sum() == 100
        assert (labels == 1).sum() == 75


def test_smaller_mask_wins_at_equal_scores():
    masks = np.stack([box_mask(0, 0, 10, 10), box_mask(2, 2, 4, 4)], -1)
    for ids, order in (([1, 2], [0, 1]), ([2, 1], [1, 0])):
        labels = label_map(np.array(ids), np.zeros(2), masks[..., order], (SIDE, SIDE))
        assert (labels == 2).sum() == 4
        assert (labels == 1).sum() == 96


def test_label_map_of_many_classes_and_of_none():
    mask = box_mask(0, 0, 2, 2)[..., None]
    labels = label_map(np.array([300]), np.array([1.0]), mask, (SIDE, SIDE))
    assert labels.dtype == np.uint16
    assert labels.max() == 300
    assert label_map(np.array([]), np.array([]), mask[..., :0], (SIDE, SIDE)).max() == 0


def test_overlay_is_enlarged_and_outlined_in_the_region_color():
    image = np.full((SIDE, SIDE, 3), 100, np.uint8)
    picture = overlay(image, best_labels(RESULT, image.shape), SLICEMAP, alpha=0.5)
    assert picture.shape == (520, 520, 3)
    scale = 26
    cortex = np.array(SLICEMAP[1].color)
    np.testing.assert_array_equal(picture[5 * scale, 10 * scale], cortex)  # upper left corner
    inner = picture[10 * scale + 13, 10 * scale + 13]
    np.testing.assert_allclose(inner, (100 + cortex) / 2, atol=1)
    np.testing.assert_array_equal(picture[-1, -1], (100, 100, 100))


def test_large_sections_keep_their_size():
    image = np.zeros((600, 700, 3), np.uint8)
    assert overlay(image, np.zeros((600, 700), np.uint8), SLICEMAP).shape == (600, 700, 3)


def test_dice_and_iou_of_a_hand_case():
    a, b = box_mask(0, 0, 4, 4), box_mask(0, 0, 4, 8)
    assert dice(a, b) == pytest.approx(2 / 3)
    assert iou(a, b) == pytest.approx(1 / 2)
    assert dice(a & False, b & False) == 1.0
    assert iou(a, box_mask(8, 8, 9, 9)) == 0.0
    with pytest.raises(ValueError, match="cannot be compared"):
        dice(a, a[:3])


def test_scores_of_a_hand_case():
    """Region 1 found half (IoU .5), 2 missed, 3 perfect but for a worse duplicate, 4 extra."""
    drawn = [(1, (0, 0, 4, 8)), (2, (10, 0, 14, 4)), (3, (10, 10, 16, 16))]
    masks = np.stack([box_mask(*box) for _, box in drawn], -1)
    result = result_of(
        (1, 0.7, (0, 0, 4, 4)),
        (3, 0.9, (10, 10, 16, 16)),
        (3, 0.6, (0, 10, 4, 14)),
        (4, 0.99, (16, 0, 19, 4)),
    )
    section = score_section(
        "s", np.zeros((SIDE, SIDE, 3), np.uint8), RegionMasks(masks, np.array([1, 2, 3])), result
    )
    assert section.dices == pytest.approx({1: 2 / 3, 2: 0.0, 3: 1.0})
    ious = {i: score.iou for i, score in section.drawn_scores.items()}
    assert ious == pytest.approx({1: 0.5, 2: 0.0, 3: 1.0})
    certain = {i: score.score for i, score in section.drawn_scores.items()}
    assert certain == pytest.approx({1: 0.7, 2: 0.0, 3: 0.9})
    assert section.n_found == 2
    # In order of scores: extra, right, right, wrong. Precision 1/2 then 2/3 at recalls 1/3, 2/3.
    assert section.ap == pytest.approx(2 / 3 * 2 / 3)


def test_means_are_over_sections_that_show_a_region_then_over_regions():
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    one = np.stack([box_mask(0, 0, 4, 4), box_mask(10, 10, 14, 14)], -1)
    sections = [
        score_section(name, image, RegionMasks(one[..., :n], np.array([1, 2])[:n]), result)
        for name, n, result in (
            ("a", 2, result_of((1, 0.9, (0, 0, 4, 4)))),
            ("b", 1, result_of()),
            ("c", 0, result_of()),
        )
    ]
    summary = summarize(sections, SLICEMAP).to_json()
    assert summary["dice_per_region"]["cortex"] == 0.5
    assert summary["dice_per_region"]["hippocampus"] == 0.0
    assert summary["dice_per_region"]["thalamus"] is None
    assert summary["dice_mean"] == 0.25
    assert summary["map_paper"] == pytest.approx(0.25)  # of 0.5 and 0; "c" shows nothing
    assert summary["n_sections"] == 3


@pytest.fixture
def dataset(tmp_path) -> SectionDataset:
    images, masks = tmp_path / "mrcnn_val_dataset_images", tmp_path / "mrcnn_val_dataset_masks"
    images.mkdir()
    for k in range(2):
        (masks / f"m_{k}").mkdir(parents=True)
        Image.fromarray((box_mask(6, 6, 14, 14) * 200).astype(np.uint8)).save(images / f"i_{k}.png")
        Image.fromarray(box_mask(6, 6, 14, 14)).save(masks / f"m_{k}" / "m1.png")
    loaded = SectionDataset(SLICEMAP).load(tmp_path, "val")
    loaded.prepare()
    return loaded


def test_sections_as_they_lie_and_turned(dataset):
    segmenter = Fixed(result_of((1, 0.9, (6, 6, 14, 14))))
    lying = evaluate_sections(segmenter, dataset)
    assert [s.name for s in lying] == ["val/0", "val/1"]
    assert [s.ap for s in lying] == [1.0, 1.0]
    turned = evaluate_sections(segmenter, dataset, turned=True)
    assert len(turned) == 2 * TURN_DRAWS
    # A centered square turned by any angle still covers most of itself, and never all.
    assert all(0.7 < s.dices[1] <= 1 for s in turned)
    assert min(s.dices[1] for s in turned) < 0.95
    # Image and mask turn together.
    assert all(((s.image[..., 0] > 100) == s.drawn.stack[..., 0]).mean() > 0.95 for s in turned)
    again = evaluate_sections(segmenter, dataset, turned=True)
    assert [s.dices for s in again] == [s.dices for s in turned]


def test_contact_sheet(dataset, tmp_path):
    sections = evaluate_sections(Fixed(result_of((1, 0.9, (6, 6, 14, 14)))), dataset)
    rows = [sheet_row(section, SLICEMAP) for section in sections]
    save_sheet(rows, ("drawn", "found"), SLICEMAP, tmp_path / "sheet.png")
    picture = np.asarray(Image.open(tmp_path / "sheet.png"))[..., :3].reshape(-1, 3)
    for color in ((255, 255, 255), SLICEMAP[1].color, SLICEMAP[6].color):
        assert (picture == color).all(axis=-1).sum() > 50
    assert not list(tmp_path.glob("*.part"))


def test_overlay_of_a_large_section_is_reduced_and_its_label_map_is_not(tmp_path):
    labels = np.zeros((2000, 1600), np.uint8)
    labels[1000:, 800:] = 1
    image = np.full((2000, 1600, 3), 100, np.uint8)
    paths = save_section("s", image, labels, SLICEMAP, tmp_path, overlay_px=1000)
    found, picture = (np.asarray(Image.open(path)) for path in paths)
    np.testing.assert_array_equal(found, labels)
    assert picture.shape[0] > 1000 and picture.shape[1:] == (800, 3)  # with a legend below
    np.testing.assert_array_equal(picture[499, 399], (100, 100, 100))
    np.testing.assert_array_equal(picture[500, 400], SLICEMAP[1].color)  # its corner
    save_section("s", image, labels, SLICEMAP, tmp_path)
    assert np.asarray(Image.open(paths[1])).shape[1:] == image.shape[1:]


@pytest.mark.parametrize("shape", [(4, 600), (2, 2000), (30_000, 5), (1, 1), (84, 84), (300, 40)])
def test_overlays_keep_to_their_longest_side(tmp_path, shape):
    image = np.full((*shape, 3), 100, np.uint8)
    labels = np.ones(shape, np.uint8)
    for longest in (2048, 100):
        _, path = save_section("s", image, labels, SLICEMAP, tmp_path, overlay_px=longest)
        picture = np.asarray(Image.open(path))
        if picture.shape[1] >= 256 and len(picture) >= 256:  # a legend is below it
            picture = picture[: round(picture.shape[1] * shape[0] / shape[1])]
        assert max(picture.shape) <= longest
        # As large as whole numbers allow, up to the 512 px that all is seen at.
        assert min(picture.shape[:2]) >= 512 or max(picture.shape[:2]) > longest / 2
        assert (picture == SLICEMAP[1].color).all(axis=-1).any()
    # Of sheets and panels too, which do not name a size.
    small = overlay(image[:600, :600], np.zeros(shape, np.uint8)[:600, :600], SLICEMAP)
    assert max(small.shape) <= 2048


@pytest.mark.parametrize("name", ["any_section", "slicemap_unet"])
def test_settings_that_would_change_nothing_are_refused(name):
    with pytest.raises(UserError, match="DETECTION_MIN_CONFIDENCE would change nothing"):
        find_network(name, DETECTION_MIN_CONFIDENCE=0.9)
    assert find_network("slicemap", DETECTION_MIN_CONFIDENCE=0.9)[2].DETECTION_MIN_CONFIDENCE == 0.9


def test_segmenter_passes_images_on():
    model = Fixed(RESULT)
    segmenter = MaskRCNNSegmenter(model, SLICEMAP, weights=None)
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    assert segmenter.detect([image]) == [RESULT]
    assert model.shown[0] is image
