"""Intervals by bootstrap: hand cases, against draws one by one, and their coverage."""

import numpy as np
import pytest
from section_cases import WHOLE, section_of

from sebre.data.regions import SLICEMAP
from sebre.evaluation.bootstrap import PERCENTILES, TALLY_DRAWS, Tally
from sebre.evaluation.scores import RegionScore
from sebre.evaluation.section import Section

REGIONS = len(SLICEMAP)


def scored(name: str, ap: float | None, **dices: float) -> Section:
    """A section with scores that were not measured."""
    section = section_of({}, name=name)
    ids = {region.name: region.id for region in SLICEMAP}
    section.ap = ap
    section.scores = {
        ids[region]: RegionScore(dice=dice, iou=dice / (2 - dice)) for region, dice in dices.items()
    }
    return section


def tally_of(sections: list[Section], unit_of=None) -> Tally:
    tally = Tally(SLICEMAP, unit_of)
    for section in sections:
        tally.add(section)
    return tally


def test_hand_cases():
    # Of two units, a draw takes one twice (a quarter each) or both (a half).
    tally = tally_of([scored("a", 0.0, cortex=0.4), scored("b", 1.0, cortex=0.8)])
    intervals = tally.intervals().to_json()
    assert intervals["map_paper"] == [0, 1]
    assert intervals["dice_per_region"]["cortex"] == pytest.approx([0.4, 0.8])
    assert intervals["iou_per_region"]["cortex"] == pytest.approx([0.25, 2 / 3])
    assert intervals["dice_per_region"]["thalamus"] is None
    ap, dice, _ = tally.means()
    assert ap == 0.5
    assert dice == pytest.approx(0.6)
    # Scores that do not vary.
    same = (
        tally_of([scored(str(k), 0.7, cortex=0.9, thalamus=0.5) for k in range(9)])
        .intervals()
        .to_json()
    )
    assert same["map_paper"] == pytest.approx([0.7, 0.7])
    assert same["dice_mean"] == pytest.approx([0.7, 0.7])


def test_too_few_units_have_no_interval():
    for sections in ([], [scored("a", 0.5, cortex=1)]):
        intervals = tally_of(sections).intervals().to_json()
        assert intervals["map_paper"] is intervals["dice_mean"] is None
        assert set(intervals["dice_per_region"].values()) == {None}
    ap, dice, by_region = tally_of([]).means()
    assert ap is dice is by_region["cortex"] is None
    nothing_drawn = tally_of([scored("a", None), scored("b", None)])
    assert nothing_drawn.intervals().to_json()["map_paper"] is None


def test_against_draws_one_by_one():
    """Sections of four subjects, some without a region; every draw is written out."""
    rng = np.random.default_rng(3)
    subjects: dict[str, list[Section]] = {}
    for k in range(11):
        dices = {"cortex": rng.random()} | ({"thalamus": rng.random()} if k in (2, 9) else {})
        name = f"{k % 4}/{k}"
        subjects.setdefault(str(k % 4), []).append(scored(name, rng.random(), **dices))
    sections = [section for each in subjects.values() for section in each]
    tally = tally_of(sections, lambda name: name[0])
    assert (tally.n_sections, tally.n_units) == (11, 4)

    draws = np.random.default_rng(5).multinomial(4, [1 / 4] * 4, size=TALLY_DRAWS)
    aps, means, thalami = [], [], []
    for times in draws:
        taken = [s for n, each in zip(times, subjects.values(), strict=True) for s in each * n]
        by_region = [[s.dices[i] for s in taken if i in s.dices] for i in (1, 3)]
        aps.append(np.mean([s.ap for s in taken]))
        means.append(np.mean([np.mean(values) for values in by_region if values]))
        thalami += [np.mean(by_region[1])] if by_region[1] else []
    intervals = tally.intervals(seed=5).to_json()
    assert len(thalami) < TALLY_DRAWS
    for values, found in (
        (aps, intervals["map_paper"]),
        (means, intervals["dice_mean"]),
        (thalami, intervals["dice_per_region"]["thalamus"]),
    ):
        assert found == pytest.approx(np.percentile(values, PERCENTILES), abs=1e-12)


def test_a_seed_gives_the_same_interval():
    rng = np.random.default_rng(0)
    tally = tally_of([scored(str(k), rng.random(), cortex=rng.random()) for k in range(20)])
    assert tally.intervals(4) == tally.intervals(4)
    assert tally.intervals(4) != tally.intervals(5)


def test_subjects_that_differ_make_the_interval_wide():
    sections = [scored(f"{k % 2}/{k}", float(k % 2), cortex=1) for k in range(40)]
    low, high = tally_of(sections).intervals().to_json()["map_paper"]
    assert 0.3 < low < 0.4 and 0.6 < high < 0.7  # 0.5 +- 1.96 * 0.5 / sqrt(40)
    assert tally_of(sections, lambda name: name[0]).intervals().to_json()["map_paper"] == [0, 1]


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        values = rng.beta(8, 2, 40)
        tally = Tally(SLICEMAP)
        section = scored("a", 0.0)
        for k, value in enumerate(values):
            section.name, section.ap = str(k), value
            tally.add(section)
        low, high = tally.intervals().to_json()["map_paper"]
        covered += low <= 0.8 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_measured_sections():
    tally = tally_of([section_of({1: WHOLE}, (1, 0.9, WHOLE)), section_of({1: WHOLE}, name="b")])
    assert tally.means()[2]["cortex"] == 0.5
    assert tally.intervals().to_json()["map_paper"] == [0, 1]
