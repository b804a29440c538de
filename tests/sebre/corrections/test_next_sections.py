"""Which sections come first: rules on made-up sections, each with one thing that decides."""

import json
import unicodedata
from dataclasses import replace

import numpy as np
import pytest

from mrcnn.errors import UserError
from sebre.corrections.candidates import Candidate, FoundPart
from sebre.corrections.next_sections import (
    COLUMNS,
    choose,
    corrected_in,
    doubts,
    likeness,
    pick_order,
    shown,
)


def section(name: str, looks: float, area: float = 100.0, **dices: float) -> Candidate:
    parts = {region: FoundPart(area, dice) for region, dice in dices.items()}
    expected = float(np.mean([*dices.values()])) if dices else 0.0
    return Candidate(name, f"/pictures/{name}.tif", expected, parts, np.array([looks, 0.0]))


def names(picks) -> list[str]:
    return [pick.section.name for pick in picks]


def test_the_one_that_stands_for_many_comes_first_and_no_two_that_are_alike():
    left = [section(f"left{k}", k / 100, cortex=0.6) for k in range(4)]
    right = [section(f"right{k}", 1 + k / 100, cortex=0.6) for k in range(3)]
    picks = choose([*left, *right], 2)
    assert names(picks)[0].startswith("left") and names(picks)[1].startswith("right")
    assert set(picks[0].stands_for) == {f"left{k}" for k in range(4)} - {names(picks)[0]}
    assert picks[0].taken > picks[1].taken > 0
    assert sum(pick.taken for pick in choose([*left, *right], 7)) == pytest.approx(0.6, abs=0.05)


def test_doubt_decides_between_sections_that_stand_for_as_many():
    sections = [section("sure", 0, cortex=0.9), section("doubtful", 1, cortex=0.6)]
    assert names(choose(sections, 2)) == ["doubtful", "sure"]


def test_what_is_hardly_there_does_not_count_as_doubt():
    """A section that shows little, and of that hardly anything is likely true, comes late."""
    good = [section(f"s{k}", k / 10, cortex=0.7, thalamus=0.7) for k in range(5)]
    torn = section("torn", 2.0, area=5.0, cortex=0.1)
    assert names(choose([torn, *good], 6))[-1] == "torn"


def test_every_region_counts_alike():
    """The rare region comes in with the second section, though the first kind is the larger."""
    many = [section(f"s{k}", k / 50, cortex=0.6) for k in range(8)]
    rare = section("rare", 0.1, cerebellum=0.6)
    assert "rare" in names(choose([*many, rare], 2))


def test_sections_that_are_corrected_take_their_doubt_away():
    left = [section(f"left{k}", k / 100, cortex=0.6) for k in range(4)]
    right = [section(f"right{k}", 1 + k / 100, cortex=0.6) for k in range(3)]
    assert names(choose([*left, *right], 1, done=["left1"]))[0].startswith("right")
    with pytest.raises(UserError, match="No section of the predictions is called other"):
        choose(left, 1, done=["other"])
    with pytest.raises(UserError, match="All sections of the predictions are corrected already"):
        choose(left, 1, done=[one.name for one in left])


def test_greedy_takes_the_best_that_is_left():
    """Beside all orders of a few sections: the first one is the best of all."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        sections = [
            section(str(k), rng.random(), 1 + 99 * rng.random(), a=rng.random(), b=rng.random())
            for k in range(6)
        ]
        alike, there, weights = likeness(sections), shown(sections), doubts(sections)
        assert weights.shape == there.shape == (6, 3) and (there[:, 2] == 0).all()
        (row, taken), *_ = pick_order(alike, there, weights, 2)
        each = [float((alike[k][:, None] * there[k] * weights).sum()) for k in range(6)]
        assert row == int(np.argmax(each))
        assert taken == pytest.approx(max(each) / weights.sum())


def test_sections_without_regions_come_last_and_one_alone_is_enough():
    bare = section("bare", 0.0)
    assert names(choose([bare], 3)) == ["bare"]
    picks = choose([bare, section("s", 1.0, cortex=0.6)], 2)
    assert names(picks) == ["s", "bare"]
    assert "none of the regions was found" in picks[1].reasons()


def test_reasons_are_words_and_rows_have_the_columns():
    sections = [section(f"s{k}", k**4 / 100, cortex=0.6, thalamus=0.4) for k in range(3)]
    (pick,) = choose(sections, 1)
    text = "; ".join(pick.reasons())
    assert "expected Dice 0.50, place " in text and "of 3" in text
    assert "shows 2 regions, of which likely the worst: thalamus 0.40, cortex 0.60" in text
    assert "stands for s" in text
    assert set(pick.row(1)) == set(COLUMNS)


def write_outline(path, side):
    """A square region, of which `sebre predict` said that it has 16 pixels."""
    ring = [[0, 0], [side, 0], [side, side], [0, side], [0, 0]]
    facts = {"name": "CA1", "measurements": {"Area px^2": 16}}
    feature = {"type": "Feature", "properties": facts}
    feature["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    path.write_text(json.dumps(feature), encoding="utf-8")


def test_what_is_corrected_is_known_by_its_files(tmp_path):
    sections = [section("brain/s_1", 0), section("s_2", 1), section("s_3", 2)]
    for name in ("s_1_rois.zip", "notes.txt"):
        (tmp_path / name).touch()
    write_outline(tmp_path / "s_2.geojson", side=3)
    # Saved by another program, but with the pixels that were predicted.
    write_outline(tmp_path / "s_3.geojson", side=4)
    assert corrected_in(tmp_path, sections) == ["brain/s_1", "s_2"]
    composed, apart = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    (tmp_path / f"{apart}_rois.zip").touch()
    assert corrected_in(tmp_path, [section(composed, 0)]) == [composed]
    with pytest.raises(UserError, match="holds no corrected regions"):
        corrected_in(tmp_path, [section("other", 0)])
    with pytest.raises(UserError, match="no such folder of corrected regions"):
        corrected_in(tmp_path / "none", sections)


def test_a_correction_is_of_the_brain_that_it_lies_beside(tmp_path):
    sections = [
        replace(section(f"{brain}/s_1", k), picture=str(tmp_path / brain / "s_1.tif"))
        for k, brain in enumerate("AB")
    ]
    for folder in (tmp_path / "B" / "annotations", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
        write_outline(folder / "s_1.geojson", side=3)
    assert corrected_in(tmp_path / "B" / "annotations", sections) == ["B/s_1"]
    with pytest.raises(UserError, match="s_1 may be of A/s_1, B/s_1"):
        corrected_in(tmp_path / "elsewhere", sections)
