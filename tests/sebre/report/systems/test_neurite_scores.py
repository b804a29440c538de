"""Scores of neurites on the page of results."""

import json

from sebre.report.systems.neurite_scores import neurite_figure, neurite_tables, read_neurites

AXES = {"z": 0.3, "y": 0.1, "x": 0.2}


def _row(network, volume, method, vi):
    return {
        "network": network,
        "volume": volume,
        "method": method,
        **{"vi": vi, "vi_split": vi - 0.5, "vi_merge": 0.5, "rand_error": vi / 10},
        **{"merge_errors": 3, "split_errors": 4, "segments": 50, "bodies": 40},
        **{"joined": AXES, "parted": AXES},
    }


PLAIN, ALIKE = "without section defects", "with section defects"
RECORD = {
    "rows": [
        _row("none", "sample", "gray values", 2.0),
        _row("neurites", "sample", "watershed", 1.0),
        _row("neurites", "isbi2012, 5 sections", "watershed, flat", 1.5),
        _row(PLAIN, "sample", "watershed", 1.0),
        _row(PLAIN, "sample, bad sections 0", "watershed", 2.0),
        _row(PLAIN, "sample, bad sections 1", "watershed", 3.0),
        _row(ALIKE, "sample", "watershed", 1.2),
        _row(ALIKE, "sample, bad sections 0", "watershed", 1.5),
        _row("kernels within sections", "sample, every 4th section", "components", 0.7),
    ],
    "adaptation": [{**_row("neurites", "other", "watershed", 1.1), "adaptation": "histogram"}],
    "speed": [{"voxels": 2_000_000, "cpu_s": 10.0, "memory_gb": 1.5, "segments": 7}],
}


def test_tables_of_scores_directions_and_bad_sections():
    scores, along, bad, adapted, speed = neurite_tables(RECORD)
    assert [row[:2] for row in scores.rows] == [
        ("sample", "gray values"),
        ("sample", "watershed"),
        ("isbi2012, 5 sections", "watershed, flat"),
        ("sample, every 4th section", "kernels within sections, components"),
    ]
    assert scores.rows[1][2:6] == ("0.100", "0.500", "0.500", "1.000")
    assert len(along.rows) == 3 and along.rows[1][2:5] == ("0.300", "0.100", "0.200")
    assert bad.rows[0] == (PLAIN, "watershed", "1.000", "2.500", "2.500", "0.100", "0.250")
    assert bad.rows[1][4] == "1.250"
    assert adapted.rows[0][:4] == ("other", "histogram", "watershed", "0.110")
    assert speed.rows == (("2,000,000", "10", "200,000", "5.00", "1.50", "7"),)


def test_the_lesson_is_drawn_for_each_method():
    figure = neurite_figure(RECORD)
    (ax,) = figure.axes
    assert sorted(bar.get_width() for bar in ax.patches) == [1.0, 1.2, 1.5, 2.5]


def test_a_record_that_is_none_is_a_problem_and_no_file_is_none(tmp_path):
    assert read_neurites(tmp_path) == ({}, ())
    assert [table.rows for table in neurite_tables({})] == [()] * 5
    folder = tmp_path / "neurites"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps({"rows": RECORD["rows"][:3], "command": "x"}))
    (folder / "b.json").write_text(json.dumps({**RECORD, "rows": RECORD["rows"][3:]}))
    assert read_neurites(tmp_path) == (RECORD, ())
    (folder / "b.json").write_text('{"rows": [{}]}')
    record, problems = read_neurites(tmp_path)
    assert record == {"rows": RECORD["rows"][:3]} and "b.json: not what" in problems[0]
