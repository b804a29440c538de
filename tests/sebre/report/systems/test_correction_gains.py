"""Gains of corrections: numbers that are known by how the records are made."""

import json

import pytest

from sebre.report.systems.correction_gains import (
    correction_figure,
    correction_tables,
    difference_of,
    gain_of,
    read_corrections,
)

BEFORE = {"val/0": {"a": 0.5, "b": 0.6}, "val/1": {"a": 0.7, "b": 0.2}}


def shifted(by: float, extra: float = 0.0) -> dict:
    return {
        name: {**{r: v + by for r, v in dices.items()}, "c": 0.5 + extra}
        for name, dices in BEFORE.items()
    }


def run(rule: str, seed: int, by: float, extra: float = 0.0) -> dict:
    scores = shifted(by, extra)
    mean = sum(sum(d.values()) for d in scores.values()) / 6
    return {"rule": rule, "seed": seed, "corrected": [1], "dice_mean": mean, "scores": scores}


def record(**more) -> dict:
    runs = [run("worst", 0, 0.1), run("worst", 1, 0.2)]
    runs += [run("next", 0, 0.2), run("random", 0, 0.1), run("next", 1, 0.1, 0.3)]
    runs += [run("random", 1, 0.1), run("next", 2, 0.3)]
    return {
        "dataset": "made",
        "unit": "subject",
        "units": {"val/0": "x", "val/1": "y"},
        "known_regions": ["a", "b"],
        "before": {name: {**dices, "c": 0.0} for name, dices in BEFORE.items()},
        "runs": runs,
        **more,
    }


def test_gain_is_over_the_regions_that_were_known():
    gain = gain_of(record())
    assert gain.value == pytest.approx(0.15) and (gain.unit, gain.n_units) == ("subject", 2)
    assert gain.interval == pytest.approx((0.15, 0.15))


def test_the_choice_is_beside_chance_over_the_seeds_that_have_both():
    difference = difference_of(record())
    assert (difference.unit, difference.n_units) == ("seed", 2)
    # Region c differs by 0.3 in one of two seeds, a and b by 0.1 in the other.
    assert difference.value == pytest.approx((0.05 + 0.05 + 0.15) / 3)
    assert difference.interval is None  # of two seeds there is none
    more = [
        run(rule, seed, by) for seed in (3, 4, 5) for rule, by in (("next", 0.2), ("random", 0))
    ]
    low, high = difference_of(record(runs=[*record()["runs"], *more])).interval
    assert 0.2 / 3 <= low < high <= 0.2


def test_tables_and_files(tmp_path):
    (tmp_path / "corrections").mkdir()
    (tmp_path / "corrections" / "made.json").write_text(json.dumps(record()))
    (tmp_path / "corrections" / "torn.json").write_text('{"dataset": "torn"}')
    records, problems = read_corrections(tmp_path)
    assert list(records) == ["made"] and len(problems) == 1 and "torn.json" in problems[0]
    gains, choices = correction_tables(records)
    before, after = 0.5, 0.65
    assert gains.rows[0][:3] == ("made", f"{before:.3f}", f"{after:.3f}")
    assert gains.rows[0][3] == "+0.150 [+0.150, +0.150]"
    assert gains.rows[0][4:] == ("2 sections, 2 subjects", "2")
    assert choices.rows[0][-2:] == ("+0.067 +0.100", "2")
    (ax,) = [ax for ax in correction_figure(records).axes if ax.get_title().startswith("made")]
    assert [list(line.get_ydata()) for line in ax.lines[:1]] == [
        [r["dice_mean"] for r in (record()["runs"][i] for i in (3, 2, 0))]
    ]


def test_without_runs_there_are_no_rows():
    assert [table.rows for table in correction_tables({"made": record(runs=[])})] == [(), ()]
