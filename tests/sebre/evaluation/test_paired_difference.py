"""Paired differences: exact where they can be counted by hand, and clustered by unit."""

import numpy as np
import pytest

from sebre.evaluation.bootstrap import Difference
from sebre.evaluation.bootstrap import paired_difference as difference_of
from sebre.evaluation.scores import SectionScore


def paired_difference(ours, theirs, key="dice", **options):
    """The difference of two records."""
    parts = [[SectionScore.from_json(s) for s in one["sections"]] for one in (ours, theirs)]
    return difference_of(*parts, key, unit=ours["interval_unit"], **options)


def record(dices, unit=None, **more):
    """Sections with one Dice by region each: [{region: Dice}, ...]."""
    sections = []
    for i, by_region in enumerate(dices):
        regions = {name: {"dice": v, "iou": v / 2, "score": 1.0} for name, v in by_region.items()}
        section = {"section": f"val/{i}", "regions": regions, "ap": 0.5, "mse": 0.01 * i}
        sections.append(section | ({"unit": unit(i)} if unit else {}))
    return {"sections": sections, "interval_unit": "subject" if unit else "section", **more}


def test_the_difference_is_that_of_the_mean_dice():
    ours = record([{"a": 0.9, "b": 0.5}, {"a": 0.7}, {"a": 0.8, "b": 0.6}])
    theirs = record([{"a": 0.6, "b": 0.5}, {"a": 0.6}, {"a": 0.3, "b": 0.2}])
    difference = paired_difference(ours, theirs)
    # By region over the sections that show it, then over regions.
    assert difference.value == pytest.approx(((0.8 - 0.5) + (0.55 - 0.35)) / 2)
    assert (difference.unit, difference.n_units) == ("section", 3)
    assert paired_difference(theirs, ours).value == pytest.approx(-difference.value)
    assert paired_difference(ours, theirs, "iou").value == pytest.approx(difference.value / 2)
    assert paired_difference(ours, theirs, "mse").value == 0


def test_what_is_hard_for_both_takes_no_part():
    hard = [0.1, 0.3, 0.5, 0.7, 0.9]
    ours, theirs = record([{"a": v + 0.05} for v in hard]), record([{"a": v} for v in hard])
    difference = paired_difference(ours, theirs)
    assert difference.value == pytest.approx(0.05)
    assert difference.interval == pytest.approx((0.05, 0.05))
    assert difference.sign == 1 and paired_difference(theirs, ours).sign == -1


def test_the_interval_is_that_of_resampled_means():
    rng = np.random.default_rng(7)
    values = rng.normal(0.1, 0.2, 40)
    ours = record([{"a": v} for v in values])
    theirs = record([{"a": 0.0}] * 40)
    difference = paired_difference(ours, theirs)
    spread = values.std() / 40**0.5
    low, high = difference.interval
    assert low == pytest.approx(values.mean() - 1.96 * spread, abs=0.1 * spread)
    assert high == pytest.approx(values.mean() + 1.96 * spread, abs=0.1 * spread)
    assert paired_difference(ours, theirs) == difference  # seeded
    assert paired_difference(ours, theirs, seed=1).interval != difference.interval


def test_sections_of_a_subject_are_drawn_together():
    # 4 subjects with 10 sections that are all the same: no more is known than 4 values say.
    values = np.repeat([0.0, 0.1, 0.2, 0.3], 10)
    sections = [{"a": v} for v in values]
    nothing = [{"a": 0.0}] * 40
    by_subject = [record(s, unit=lambda i: f"s{i // 10}") for s in (sections, nothing)]
    of_four = [record(s) for s in (sections[::10], nothing[::10])]
    clustered, alone = paired_difference(*by_subject), paired_difference(*of_four)
    assert clustered.interval == pytest.approx(alone.interval)
    assert (clustered.unit, clustered.n_units) == ("subject", 4)
    naive = paired_difference(record(sections), record(nothing))
    width = clustered.interval[1] - clustered.interval[0]
    assert naive.interval[1] - naive.interval[0] < width / 2
    assert (naive.unit, naive.n_units) == ("section", 40)


def test_without_names_of_subjects_the_sections_are_drawn():
    ours = record([{"a": 0.5}, {"a": 0.7}]) | {"interval_unit": "subject"}
    assert paired_difference(ours, ours).unit == "section"


def test_a_region_that_some_draws_lack():
    ours = record([{"a": 0.5}, {"a": 0.5}, {"a": 0.5, "b": 0.9}])
    theirs = record([{"a": 0.4}, {"a": 0.4}, {"a": 0.4, "b": 0.1}])
    difference = paired_difference(ours, theirs)
    assert difference.value == pytest.approx((0.1 + 0.8) / 2)
    assert difference.interval == pytest.approx((0.1, 0.45))


def test_other_sections_regions_or_angles_are_not_compared():
    ours = record([{"a": 0.5}, {"a": 0.7}])
    turned = record([{"a": 0.5}, {"a": 0.7}])
    turned["sections"][1]["angle"] = 20.0
    for theirs in (
        record([{"a": 0.5}]),
        record([{"a": 0.5}, {"b": 0.7}]),
        record([{"a": 0.5}, {"a": 0.7}, {"a": 0.7}]),
        {**ours, "sections": ours["sections"][::-1]},
        turned,
        record([]),
    ):
        assert paired_difference(ours, theirs) is None
        assert paired_difference(theirs, ours) is None
    assert paired_difference(ours, ours, "similarity") is None
    assert paired_difference(record([]), record([])) is None


def test_sections_on_which_nothing_is_drawn():
    ours, theirs = (record([{"a": v}, {}, {"a": v}]) for v in (0.6, 0.5))
    for one in (ours, theirs):
        one["sections"][1]["ap"] = None
    assert paired_difference(ours, theirs).value == pytest.approx(0.1)
    assert paired_difference(ours, theirs, "ap").value == 0


def test_one_unit_has_no_interval():
    difference = paired_difference(record([{"a": 0.5}]), record([{"a": 0.7}]))
    assert difference.interval is None and difference.sign == 0
    assert Difference(0.1, (-0.1, 0.3), "section", 3).sign == 0
