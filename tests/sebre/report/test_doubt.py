"""The table and the figure of what flags are worth."""

import json

from sebre.report.doubt import doubt_figure, doubt_table, read_trust


def _part(n, gap):
    curve = [{"n": n, "expected": x, "dice": x / 2} for x in (0.3, 0.6, 0.9)]
    return {
        **{"n_sections": 4, "n_warned": 1, "n_regions": 3 * n, "correlation": 0.8, "error": 0.07},
        "flagged": {"n": n, "dice": 0.9 - gap},
        "not_flagged": {"n": 2 * n, "dice": 0.9},
        **{"gap": gap, "curve": curve},
    }


RECORDS = {
    "one": {
        "dice_limit": 0.7,
        "test_part": {"as_they_lie": _part(5, 0.3), "disturbed": _part(7, 0.5)},
        "other_kinds": {"n": 40, "n_told": 38},
    },
    "two": {
        "dice_limit": 0.7,
        "test_part": {"as_they_lie": {"n_sections": 2, "n_warned": 2, "n_regions": 0}},
    },
    "three": {"dice_limit": 0.7},
}


def test_a_row_for_each_network_and_part():
    table = doubt_table(RECORDS)
    assert [row[0] for row in table.rows] == [
        "one, as they lie",
        "one, disturbed",
        "two, as they lie",
    ]
    assert table.rows[0][1:] == (
        *("4", "1", "15", "5", "0.600", "0.900", "0.300", "0.800", "0.070"),
        "38 of 40",
    )
    assert table.rows[1][-1] == "", "it is of the network, and said once"
    assert table.rows[2][4:] == ("-",) * 7
    assert doubt_table({}).rows == ()


def test_a_panel_for_each_network_with_a_test_part():
    figure = doubt_figure(RECORDS)
    titles = [ax.get_title() for ax in figure.axes if ax.axison]
    assert titles == ["one\n15 regions, 21 disturbed", "two\n0 regions, 0 disturbed"]
    lines = {line.get_label(): line.get_xydata() for line in figure.axes[0].lines}
    assert lines["as they lie"].tolist() == [[0.3, 0.15], [0.6, 0.3], [0.9, 0.45]]
    assert figure.png().startswith(b"\x89PNG")


def test_the_file_is_checked(tmp_path):
    assert read_trust(tmp_path) == ({}, ())
    (tmp_path / "trust.json").write_text(json.dumps(RECORDS))
    assert read_trust(tmp_path) == (RECORDS, ())
    for damaged in ("{", "[1]", '{"one": 3}', '{"one": {"test_part": {"disturbed": {}}}}'):
        (tmp_path / "trust.json").write_text(damaged)
        records, problems = read_trust(tmp_path)
        assert records == {} and len(problems) == 1
        assert "trust.json: not what `sebre models calibrate` writes" in problems[0]
