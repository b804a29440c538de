"""Fits of the trust model on made-up numbers, and disturbed sections."""

import numpy as np
import pytest
from paths import ROOT

from mrcnn.errors import UserError
from sebre.data.metadata import SetFacts
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import Turn
from sebre.trust.trust_fitting import (
    Rows,
    Sample,
    calibrate,
    disturb,
    fit_dice,
    fit_inputs,
    fit_ranges,
    found_dices,
    group_sections,
)

DATA = ROOT / "datasets" / "slicemap"


@pytest.fixture(scope="module")
def sections():
    return EXPERIMENTS["slicemap"].load(DATA, "train")


def _rows(count=600, seed=0):
    """Regions whose Dice follows from the first evidence, and from which region it is."""
    rng = np.random.default_rng(seed)
    evidence, ids = rng.normal(0, 1, (count, 9)), rng.integers(1, 3, count)
    linear = 1.5 * evidence[:, 0] + np.where(ids == 1, 1.0, -1.0)
    dices = np.clip(1 / (1 + np.exp(-linear)) + rng.normal(0, 0.05, count), 0, 1)
    return Rows(ids, evidence, dices, rng.integers(0, 5, count), np.ones(count, bool))


def test_expected_dice_is_what_was_measured():
    model, new = fit_dice(_rows()), _rows(seed=1)
    expected = model.expect(new.class_ids, new.evidence)
    assert np.abs(expected - new.dices).mean() < 0.07
    assert np.corrcoef(expected, new.dices)[0, 1] > 0.95
    assert np.argmax(np.abs(model.weights)) == 0
    assert np.all(np.diff(model.steps, axis=1) >= 0)


def test_without_evidence_the_mean_is_expected():
    rows = _rows()
    rows.dices[:] = np.random.default_rng(3).permutation(rows.dices)
    expected = fit_dice(rows).expect(rows.class_ids, rows.evidence)
    assert expected.std() < 0.05
    assert expected.mean() == pytest.approx(rows.dices.mean(), abs=0.02)


def _samples(features, groups):
    nothing = np.zeros((2, 2), bool), np.zeros(3), {}
    return [Sample(int(g), row, *nothing) for g, row in zip(groups, features, strict=True)]


def test_the_limit_keeps_the_own_kind_and_tells_others():
    rng = np.random.default_rng(0)
    hidden = rng.normal(0, 1, (5, 60))  # five directions in which pictures vary

    def pictures(count):
        return rng.normal(0, 1, (count, 5)) @ hidden + rng.normal(0, 0.1, (count, 60))

    model, without = fit_inputs(_samples(pictures(250), np.arange(250) % 5))
    assert set(without) == {0, 1, 2, 3, 4}
    same = np.array([model.distance(row) for row in pictures(200)])
    assert 0.01 <= np.mean(same > 1) <= 0.12
    other = np.array([model.distance(row) for row in rng.normal(0, 1, (200, 60))])
    assert np.mean(other > 1) == 1
    far = np.array([model.distance(row) for row in 5 * pictures(100)])
    assert np.mean(far > 1) > 0.9


def test_ranges_are_those_of_the_drawn_regions():
    shown = [{1: np.array([s, 0.5, 0.5, 0.1, 1.0]), 2: np.full(5, 0.5)} for s in (-2, -1.5, -1)]
    samples = [Sample(0, np.zeros(1), np.zeros((1, 1), bool), np.zeros(3), m) for m in shown]
    ranges = fit_ranges(samples, {1: 2, 2: 1})
    assert set(ranges) == {1, 2}
    assert ranges[1].low[0] < -2 < -1 < ranges[1].high[0] < -0.5
    assert ranges[1].mean[0] == -1.5
    assert np.all(ranges[2].deviation > 0), "a measure that never varied"
    low, high = ranges[1].sides
    assert low < -2.5 and high > -1.5
    assert fit_ranges(samples, {})[1].sides is None


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_disturbed_sections_keep_their_masks(sections, strength):
    picture, (masks, _) = sections.load_image(0), sections.load_mask(0)
    rng = np.random.default_rng(0)
    changed = 0.0
    for _ in range(8):
        new, drawn = disturb(picture, masks, Turn(20, True), strength, rng)
        assert new.shape == picture.shape and new.dtype == np.uint8
        assert drawn.shape == masks.shape and drawn.dtype == bool
        changed += np.abs(new.astype(float) - picture).mean() / 8
    assert changed > 1
    again = disturb(picture, masks, Turn(20, True), strength, np.random.default_rng(5))
    same = disturb(picture, masks, Turn(20, True), strength, np.random.default_rng(5))
    assert all(np.array_equal(a, b) for a, b in zip(again, same, strict=True))


def test_groups_are_animals_where_they_are_known(sections):
    picked = list(sections.image_ids[:10])
    fifths = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert group_sections(sections, SetFacts(), picked) == (fifths, "section")
    names = [sections.image_reference(i) for i in picked]
    units = {name: "abc"[i // 4] for i, name in enumerate(names)}
    facts = SetFacts({"volumetric": True}, units=units)
    assert group_sections(sections, facts, picked) == ([0] * 4 + [1] * 4 + [2] * 2, "subject")
    two = SetFacts({"volumetric": True}, units={name: name[-1] > "5" for name in names})
    assert group_sections(sections, two, picked) == (fifths, "section")
    # Versions of a section lie in one fifth, wherever they stand in the list.
    versions = SetFacts(units={name: str(i % 5) for i, name in enumerate(names)})
    assert group_sections(sections, versions, picked) == ([0, 1, 2, 3, 4] * 2, "section")


def test_dice_of_what_was_found():
    masks = np.zeros((4, 4, 2), bool)
    masks[:2, :, 0] = masks[2:, :, 1] = True
    result = {"class_ids": np.array([1, 3, 1]), "scores": np.array([0.9, 0.8, 0.4])}
    result["masks"] = np.stack([masks[..., 0], masks[..., 1], masks[..., 1]], axis=-1)
    assert found_dices(result, masks, [1, 2]) == {1: 1.0, 3: 0.0}


def test_a_small_part_is_refused(sections):
    few = EXPERIMENTS["slicemap"].sections().load(DATA, "train", numbers=range(3))
    few.prepare()
    with pytest.raises(UserError, match=r"has 3 section\(s\); a trust file needs at least 10"):
        calibrate(None, few, DATA, Turn(20, True))
