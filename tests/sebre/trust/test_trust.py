"""What not to trust: inputs of another kind, and regions that are likely to be bad."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from paths import ROOT

import sebre
from mrcnn.errors import UserError
from sebre.data.regions import SLICEMAP, SUBCORTICAL
from sebre.experiments import EXPERIMENTS
from sebre.networks.segmenter import best_labels
from sebre.networks.weights_store import find_weights
from sebre.trust.remarks import Remark, of_most
from sebre.trust.trust_features import FoundRegions, describe_regions, measure_regions, side_pairs
from sebre.trust.trust_files import load_trust, trust_path
from sebre.trust.trust_model import (
    DiceModel,
    RegionRange,
    RegionTrust,
    SectionTrust,
    TrustModel,
    of_half,
    region_evidence,
    region_flags,
)
from sebre.trust.turned import detect_turned

NETWORK = "slicemap"


@pytest.fixture(scope="module")
def segmenter():
    return sebre.load(NETWORK)


@pytest.fixture(scope="module")
def model():
    return load_trust(find_weights(NETWORK))


@pytest.fixture(scope="module")
def sections():
    return EXPERIMENTS["slicemap"].load(ROOT / "datasets" / "slicemap", "val")


def _assess(model, segmenter, picture, tta=None):
    result = segmenter.detect([picture])[0]
    return model.assess(segmenter, picture, result, best_labels(result, picture.shape), tta)


# --- Inputs ------------------------------------------------------------------------------


def test_held_out_sections_are_of_the_kind_it_knows(model, segmenter, sections):
    warned = 0
    for image_id in sections.image_ids:
        trust = _assess(model, segmenter, sections.load_image(image_id))
        assert trust.known and 0.2 < trust.tissue_share < 0.6
        assert len(trust.regions) >= 5
        assert all(0 <= region.expected_dice <= 1 for region in trust.regions.values())
        warned += bool(trust.warnings)
    assert warned <= 1, "10 % of 12"


def test_photographs_and_inverted_sections_are_not(model, segmenter, sections):
    wrong = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea()]
    wrong += [np.repeat(skimage.data.camera()[..., None], 3, axis=-1)]
    for picture in wrong:
        assert _assess(model, segmenter, picture).warnings
    inverted = _assess(model, segmenter, 255 - sections.load_image(0))
    assert any("upside down" in str(warning) for warning in inverted.warnings)
    assert any("invert the picture" in str(warning) for warning in inverted.warnings)


def test_nothing_to_be_seen(model, segmenter):
    trust = _assess(model, segmenter, np.zeros((84, 84, 3), np.uint8))
    assert [warning.kind for warning in trust.warnings] == ["no_tissue"]
    assert str(trust.warnings[0]).startswith("no tissue is to be seen")
    assert trust.tissue_share == 0


def test_turned_pictures_count_as_evidence(model, segmenter, sections):
    picture = sections.load_image(0)
    result = segmenter.detect([picture])[0]
    labels = best_labels(result, picture.shape)
    turned = detect_turned(segmenter, picture)
    assert [found["masks"].shape[:2] for found in turned] == [picture.shape[:2]] * 2
    agreeing = model.assess(segmenter, picture, result, labels, turned)
    nothing = {**result, "class_ids": result["class_ids"][:0], "scores": result["scores"][:0]}
    nothing |= {"masks": result["masks"][..., :0], "rois": result["rois"][:0]}
    alone = model.assess(segmenter, picture, result, labels, [nothing])
    lower = [agreeing.regions[i].expected_dice - alone.regions[i].expected_dice for i in (1, 2, 6)]
    assert min(lower) >= 0 and max(lower) > 0.01


# --- Regions -----------------------------------------------------------------------------


def _section(labels_of=None):
    """A round tissue of 100 px with a square region 1 left of its center, and what is given."""
    rows, columns = np.indices((120, 120))
    tissue = np.hypot(rows - 60, columns - 60) < 50
    labels = np.zeros((120, 120), np.uint8)
    labels[50:70, 30:50] = 1
    for class_id, place in (labels_of or {}).items():
        labels[place] = class_id
    return labels, tissue


def test_measures_are_relative_to_the_tissue():
    labels, tissue = _section({2: np.s_[60:62, 80:100]})
    found = measure_regions(labels, tissue)
    area = tissue.sum()
    size, down, across, apart, solidity = found[1]
    assert size == pytest.approx(np.log(400 / area))
    assert (down, across) == pytest.approx((0.5, 0.3), abs=0.01)
    assert apart == pytest.approx(20.5 / np.sqrt(area), abs=0.01)
    assert solidity == pytest.approx(1)
    ragged = labels.copy()
    ragged[55:65, 40:50] = 0
    assert measure_regions(ragged, tissue)[1][4] < 0.9
    large = [np.kron(part, np.ones((3, 3), part.dtype)) for part in (labels, tissue)]
    for class_id, values in measure_regions(*large).items():
        assert values == pytest.approx(found[class_id], abs=0.02)
    assert measure_regions(np.zeros((5, 5), int), np.zeros((5, 5), bool)) == {}


def _said(flags):
    return {class_id: [str(remark) for remark in remarks] for class_id, remarks in flags.items()}


def _range(values, width=0.1):
    return RegionRange(values, np.full(5, width), values - width, values + width)


def test_what_no_training_section_shows_is_said():
    labels, tissue = _section()
    ranges = {1: _range(measure_regions(labels, tissue)[1])}
    assert region_flags(ranges, measure_regions(labels, tissue), {}) == {1: []}
    for place, said in (
        (np.s_[58:62, 38:42], "smaller than in any training section"),
        (np.s_[40:80, 20:60], "larger than in any training section"),
        (np.s_[20:40, 30:50], "farther up than in any training section"),
        (np.s_[50:70, 80:100], "farther right than in any training section"),
    ):
        moved = np.zeros_like(labels)
        moved[place] = 1
        assert said in _said(region_flags(ranges, measure_regions(moved, tissue), {}))[1]
    moved[:] = 0
    moved[50:70, 30:50] = 2
    flags = region_flags(ranges, measure_regions(moved, tissue), {})
    assert _said(flags) == {2: ["no training section shows this region"]}


def test_sides_are_compared():
    assert side_pairs(SLICEMAP) == {}
    pairs = side_pairs(SUBCORTICAL)
    assert pairs[1] == 2 and pairs[2] == 1 and len(pairs) == 8
    labels, tissue = _section({2: np.s_[50:70, 70:90]})
    measures = measure_regions(labels, tissue)
    ranges = {i: replace(_range(measures[i], 9.0), sides=(-0.2, 0.2)) for i in (1, 2)}
    assert region_flags(ranges, measures, pairs) == {1: [], 2: []}
    labels[50:60, 70:90] = 0
    flags = _said(region_flags(ranges, measure_regions(labels, tissue), pairs))
    assert flags[1] == ["larger beside the other side than in any training section"]
    assert flags[2] == ["smaller beside the other side than in any training section"]
    found = FoundRegions(measure_regions(labels, tissue), {1: 0.9, 2: 0.9}, {1: 1.0, 2: 1.0}, {})
    evidence = region_evidence(ranges, found, 0.5, pairs, 8)
    assert evidence[:, 6] == pytest.approx(np.log(2), abs=1e-6)


def test_evidence_is_of_the_best_detection_and_the_label_map():
    labels, tissue = _section()
    masks = np.stack([labels == 1, tissue], axis=-1)
    result = {"class_ids": np.array([1, 1]), "scores": np.array([0.5, 0.8]), "masks": masks}
    found = describe_regions(result, labels, tissue)
    assert found.scores == {1: 0.8} and found.agreed == {}
    assert found.kept[1] == pytest.approx(400 / tissue.sum())
    turned = {"class_ids": np.array([1]), "scores": np.array([0.9]), "masks": masks[..., :1]}
    assert describe_regions(result, labels, tissue, [turned]).agreed == {1: 1.0}


def test_an_unlikely_region_is_flagged_with_its_reason(model, segmenter, sections):
    picture = sections.load_image(0)
    result = segmenter.detect([picture])[0]
    good = model.assess(segmenter, picture, result, best_labels(result, picture.shape))
    row = int(np.flatnonzero(result["class_ids"] == 1)[0])
    worse = {**result, "scores": result["scores"].copy(), "masks": result["masks"].copy()}
    worse["scores"][row] = 0.31
    worse["masks"][..., row] = False
    worse["masks"][2:6, 2:6, row] = True  # a corner of the glass
    bad = model.assess(segmenter, picture, worse, best_labels(worse, picture.shape))
    assert not good.regions[1].flags
    assert bad.regions[1].expected_dice < 0.7 < good.regions[1].expected_dice
    flags = bad.regions[1].flags
    assert flags[0].kind == "low_dice" and str(flags[0]).startswith("expected Dice 0.")
    assert "smaller than in any training section" in map(str, flags)
    assert bad.warnings == good.warnings == ()


def test_expected_dice_rises_with_the_curve():
    steps = np.array([[0.2, 0.8], [0.1, 0.9]])
    model = DiceModel(np.zeros(1), np.ones(1), np.ones(1), {1: 0.0, 2: -2.0}, steps)
    expected = model.expect([1, 1, 1, 2], np.array([[-9.0], [0.0], [9.0], [0.0]]))
    assert expected == pytest.approx([0.1, 0.5, 0.9, 0.1], abs=0.01)
    assert model.curve([7], np.zeros((1, 1))) == pytest.approx([1 / (1 + np.e)])


# --- Files -------------------------------------------------------------------------------


def test_a_file_holds_all_of_it(model):
    again = TrustModel.from_json(json.loads(json.dumps(model.to_json())))
    assert again.to_json() == model.to_json()
    path = trust_path(find_weights(NETWORK))
    assert path.parent == ROOT / "weights" and path.stat().st_size < 300_000
    assert model.facts["command"].startswith("sebre models calibrate --weights slicemap ")


@pytest.fixture
def own(tmp_path):
    """Weights of one's own, with the trust file of others beside them."""
    shutil.copy(find_weights("slicemap_unet").path, tmp_path / "run.h5")
    shutil.copy(trust_path(find_weights(NETWORK)), tmp_path / "run.trust.json")
    # Not one of the manifest's: one byte more.
    with (tmp_path / "run.h5").open("ab") as file:
        file.write(b"\0")
    return tmp_path


def test_weights_of_ones_own_have_it_beside_them(own, caplog):
    found = find_weights(own / "run.h5")
    assert trust_path(found) == own / "run.trust.json"
    assert load_trust(found) is None
    assert "was made for other weights" in caplog.text
    record = json.loads((own / "run.trust.json").read_text())
    record["weights_sha256"] = found.sha256
    (own / "run.trust.json").write_text(json.dumps(record))
    assert load_trust(found).weights_sha256 == found.sha256
    (own / "run.trust.json").unlink()
    assert load_trust(found) is None


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', '{"version": 9}', "{"])
def test_a_damaged_file_is_refused(own, text):
    (own / "run.trust.json").write_text(text)
    with pytest.raises(
        UserError, match="run.trust.json: not a trust file .*sebre models calibrate"
    ):
        load_trust(find_weights(own / "run.h5"))


def test_a_changed_file_of_the_store_is_refused(own, monkeypatch):
    found = find_weights(own / "run.h5")
    entry = {"file": "run.h5", "trust": {"file": "run.trust.json", "sha256": "0" * 64}}
    with pytest.raises(UserError, match="its SHA-256 differs from the manifest's 0000"):
        load_trust(replace(found, name="run", entry=entry, store=own))


# --- Remarks -----------------------------------------------------------------------------


def test_what_is_said_of_most_pictures_is_told_by_its_kind():
    far = [Remark("far", "{times:.1f} times as far", {"times": times}) for times in (1, 2, 6)]
    dark = Remark("dark", "it is dark (50 %)")
    said = [(far[0], dark), (far[1],), (), (far[2], far[2]), (dark,)]
    ((remark, count),) = of_most(said)
    assert (remark.kind, str(remark), count) == ("far", "2.0 times as far", 3)
    assert of_most([]) == [] == of_most([(), (dark,)])


def test_halves_are_told_of_the_midline():
    """Left and right trade places where a half is mirrored for the network."""
    flags = (Remark("across_low", "farther left than usual"), Remark("size_low", "smaller"))
    told = of_half(SectionTrust(True, regions={3: RegionTrust(0.5, flags)}))
    assert [str(flag) for flag in told.regions[3].flags] == [
        "nearer the midline than in any training section",
        "smaller",
    ]
    assert told.regions[3].expected_dice == 0.5
