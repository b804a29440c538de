"""Scores of areas on the page of results."""

import json

from sebre.report.systems.area_tables import area_figures, area_tables, read_areas

METHODS = ("copy of the nearer", "carried", "shapes", "network", "combined")


def _row(dice, more=None):
    row = {"dice": dice, "dice_interval": [dice - 0.1, dice + 0.1], "cortex_dice": 0.9}
    row |= {"accuracy": dice, "accuracy_interval": None}
    row["by_area"] = {"RSPv": 0.8, "TEa": 0.1}
    row["by_section"] = {"71": {"dice": dice, "distance_mm": 0.1}}
    if more is not None:
        row |= {"more_dice": more, "more_dice_interval": [more - 0.02, more + 0.02]}
    return row


PLATES = {"split": "every:4:2", "rows": {"copy": _row(0.5), "network": _row(0.7, 0.2)}}
PLATES["rows"]["network"] |= {"right_where_wrong": 0.6, "followed_where_wrong": 0.05}
GAP = {"gap": "70-82", "mm": 1.2, "rows": {name: _row(0.5) for name in METHODS}}
TOLD = {"error_mm": 0.24, "median_error_mm": 1.0, "correlation": 0.97, "pairs": 9}
PRETRAINING = {
    "distances": {"held_out": TOLD, "learned": TOLD},
    "probe": {"accuracy": 0.79, "commonest": 0.12, "patches": 246},
    "probe_random_encoder": [{"accuracy": 0.64}],
    "clusters": {"count": 18, "shared_information": 0.57},
    "borders": {"learned": {"correlation": 0.05}, "random_encoder": {"correlation": 0.11}},
    "map": {"section": [0, 0, 3], "place": [[1, 2], [3, 4], [5, 6]], "cluster": [0, 1, 2]},
}
RUNS = [
    {"count": 4, "start": start, "seed": seed, "dice": 0.3 + seed, "accuracy": 0.4}
    for start in ("random", "siamese")
    for seed in (0, 1)
]
RUNS += [{"count": 4, "start": "copy", "seed": None, "dice": 0.25, "accuracy": 0.35}]
PAIRED = {"count": 4, "more_dice": 0.1, "interval": [0.05, 0.15]}
TRANSFER = {"steps": 300, "runs": RUNS, "paired": [PAIRED]}
SEVERAL = {
    **PLATES,
    "settings": {"steps": 3600},
    "seeds": [0, 1],
    "each": [{name: {"dice": d, "accuracy": 0.6} for name in PLATES["rows"]} for d in (0.61, 0.62)],
}


def _stored(folder):
    files = {
        "interleaved": PLATES,
        "several": SEVERAL,
        "gaps": {"gaps": {"kind": "areas", "gaps": [GAP]}},
        "layers": {"gaps": {"kind": "layers", "gaps": [GAP]}},
        "pretraining": {"pretraining": PRETRAINING},
        "transfer": {"transfer": TRANSFER},
    }
    (folder / "areas").mkdir()
    for name, record in files.items():
        (folder / "areas" / f"{name}.json").write_text(json.dumps(record))


def test_files_of_all_kinds_become_tables_and_figures(tmp_path):
    _stored(tmp_path)
    found, problems = read_areas(tmp_path)
    assert problems == ()
    plates, each, wrong, gaps, alone, starts = area_tables(found)
    assert plates.rows[0][2:] == ("0.500 [0.400, 0.600]", "0.500", "0.900", "-")
    assert plates.rows[1][5:] == ("+0.200 [+0.180, +0.220]",)
    several = "every:4:2, 3,600 steps, mean of 2 networks"
    assert plates.rows[2][0] == several
    assert each.rows == ((several, "network", "0.700, 0.700", "0: 0.610, 0.600; 1: 0.620, 0.600"),)
    assert wrong.rows[0] == ("every:4:2", "network", "0.600", "0.050")
    assert [row[0] for row in gaps.rows] == ["70-82, 1.2 mm"] * 5 + ["70-82, 1.2 mm, layers"] * 5
    assert gaps.rows[0][5] == "RSPv 0.80"
    assert alone.rows[0][1:] == ("0.240", "always the median: 1.000")
    assert starts.rows[0] == ("4", "random", "2", "0.800", "0.400", "-")
    assert starts.rows[1][5] == "+0.100 [+0.050, +0.150]"
    assert starts.rows[2] == ("4", "copy", "-", "0.250", "0.350", "-")
    assert "300 steps" in starts.notes[0]
    figures = area_figures(found)
    assert set(figures) == {"areas_gaps", "areas_map"}
    (ax,) = figures["areas_gaps"][1].axes
    assert len(ax.lines) == 5 and ax.lines[0].get_xydata().tolist() == [[0.1, 0.5]]
    assert len(figures["areas_map"][1].axes) == 2  # sections


def test_a_record_that_is_none_is_a_problem_and_no_file_is_none(tmp_path):
    assert read_areas(tmp_path) == ({}, ())
    assert [table.rows for table in area_tables({})] == [()] * 6 and area_figures({}) == {}
    _stored(tmp_path)
    (tmp_path / "areas" / "gaps.json").write_text('{"rows": {"copy": {}}, "split": "x"}')
    found, problems = read_areas(tmp_path)
    assert "gaps.json" in problems[0] and set(found) == {
        "plates",
        "gaps",
        "pretraining",
        "transfer",
    }
    assert [gap["kind"] for gap in found["gaps"]] == ["layers"]
