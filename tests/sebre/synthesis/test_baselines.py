"""An atlas alone: the nearest plane of a template, and its labels on a picture."""

import json

import cv2
import numpy as np
import pytest
from paths import ROOT

from mrcnn.errors import UserError
from sebre.networks.any_section import frame_of, prepared, view
from sebre.synthesis import zeroshot
from sebre.synthesis.baselines.measure import measure
from sebre.synthesis.baselines.nearest_plane import Atlas, cuts_of
from sebre.synthesis.labeled_volume import Volume
from sebre.synthesis.release import beside


@pytest.fixture(scope="module")
def lopsided(volume: Volume) -> Volume:
    """The phantom with gray values that differ along all axes."""
    a, d, m = np.meshgrid(*(np.linspace(0, 1, n) for n in volume.labels.shape), indexing="ij")
    gray = 90 + 60 * a + 40 * d + 65 * m * (1 + np.sin(9 * a))
    image = np.where(volume.labels > 0, np.clip(gray, 0, 255), 0).astype(np.uint8)
    return Volume(**{**vars(volume), "images": (image,)})


@pytest.fixture(scope="module")
def atlas(lopsided) -> Atlas:
    return Atlas(list(cuts_of(lopsided, step_mm=0.5)))


def test_cuts_are_of_all_planes_and_show_tissue(atlas):
    assert {cut.plane for cut in atlas.cuts} == {"coronal", "sagittal", "horizontal"}
    for cut in atlas.cuts:
        assert cut.picture.shape == cut.labels.shape == (128, 128)
        assert cut.labels.max() <= 9 and (cut.labels > 0).mean() > 0.2, "framed"
    coronal = [cut for cut in atlas.cuts if cut.plane == "coronal"]
    assert np.diff([cut.at_mm for cut in coronal]) == pytest.approx(0.5)
    most = [np.bincount(cut.labels[cut.labels > 0]).argmax() for cut in coronal]
    assert most == sorted(most), "blocks follow each other from front to back"


@pytest.mark.parametrize("turn", range(8))
def test_a_section_of_the_template_is_found_in_any_turn(atlas, turn):
    number = len(atlas.cuts) // 2
    cut = atlas.cuts[number]
    picture = view(cut.picture, turn)
    found, at, correlation = atlas.nearest(picture)
    assert (found, at) == (cut, turn) and correlation > 0.99
    inverted, at, correlation = atlas.nearest(1 - picture)
    assert (inverted, at) == (cut, turn) and correlation < -0.99


def test_its_labels_are_laid_on_the_picture(atlas):
    cut = next(c for c in atlas.cuts if c.plane == "sagittal" and abs(c.at_mm) < 0.4)
    # On a slide, smaller and off its middle.
    picture, labels = np.zeros((200, 300), np.float32), np.zeros((200, 300), np.uint8)
    picture[60:160, 150:250] = 200 * cv2.resize(cut.picture, (100, 100))
    labels[60:160, 150:250] = cv2.resize(cut.labels, (100, 100), interpolation=cv2.INTER_NEAREST)
    for found in (atlas.copied(picture), atlas.registered(picture)):
        assert found.shape == labels.shape and found.dtype == np.uint8
        assert np.mean(found[labels > 0] == labels[labels > 0]) > 0.85
        assert np.mean(found[labels == 0] > 0) < 0.02
    assert frame_of(picture, 0.95).side == pytest.approx(100 * 1.0, rel=0.1)


def test_without_a_picture_there_is_nothing_to_search_in(volumes):
    _, bare = volumes
    with pytest.raises(UserError, match="none of the volumes has an image"):
        Atlas(list(cuts_of(bare)))


def test_scores_of_both_ways_beside_a_network(atlas, tmp_path):
    cut = atlas.cuts[len(atlas.cuts) // 2]
    masks = {i: cut.labels == i for i in range(1, 10)}
    everywhere = np.ones(cut.labels.shape, bool)
    section = zeroshot.RealSection("one", "here", 255 * cut.picture, masks, everywhere)
    scores = measure(atlas, {"here": [section] * 3}, registered=1)
    assert scores["here"]["copied"]["n"] == 3 and scores["here"]["elastix"]["n"] == 1
    assert scores["here"]["copied"]["dice"] > 0.8 and scores["here"]["elastix"]["dice"] > 0.7
    (tmp_path / "baselines.json").write_text(json.dumps({"scores": scores}))
    record = {"scores": {"as it is": {"here": 0.95}}, "n_by_source": {"here": 3}, "prepared": {}}
    row = beside(record, tmp_path)["here"]
    assert row["over_copied"] == pytest.approx(0.95 - scores["here"]["copied"]["dice"])
    assert beside(record, tmp_path / "nowhere") == {}


def test_sections_of_prepared_sets_are_scored_by_their_names():
    root = ROOT / "datasets" / "slicemap"
    some = list(zeroshot.prepared_sections(root, 5))
    assert len(some) == 5 and all(one.name.startswith("val/") for one in some)
    assert {i for one in some for i in one.masks} == {1, 2, 4, 6, 7, 8}
    assert all(not one.joined for one in some), "brainstem and cerebellum are drawn apart"
    everything = list(zeroshot.prepared_sections(root, 60))
    assert len(everything) == 50
    section = some[0]
    perfect = np.zeros(section.picture.shape, np.uint8)
    for class_id, mask in section.masks.items():
        perfect[mask] = class_id
    assert min(zeroshot.section_dices(perfect, section).values()) > 0.9
    hind = {7: section.masks[7] | section.masks[8]}
    joined = zeroshot.RealSection("", "", section.picture, hind, section.scored, {8: 7})
    assert zeroshot.section_dices(perfect, joined)[7] > 0.9
    assert prepared(section.picture, 32, frame_of(section.picture, 0)).shape == (32, 32)
