"""The network of any section on the page of results: aims, tables, figures, and files."""

import copy
import json
import shutil

import pytest
from figure_texts import check_texts
from paths import ROOT
from result_samples import made_up, result_of

from sebre.data.csv_tables import read_rows
from sebre.report.systems.any_section_figures import (
    any_section_figures,
    learning_figure,
    sources_figure,
)
from sebre.report.systems.any_section_scores import over_copied, seen_and_scores, spreads
from sebre.report.systems.any_section_tables import (
    any_section_tables,
    learning_table,
    read_any_section,
    trained_table,
)
from sebre.report.systems.any_section_targets import MET, Target, targets_table, tuned_row

WEIGHTS = "ab" * 32


def error(median, n=10):
    return {
        **{"n": n, "median": median, "within_90_percent": 4 * median},
        **{"median_bar": 3.0, "inside_bar": 0.9},
    }


def place(angle, position=None, n=10):
    part = {"n": n, "n_near_a_named_plane": n - 1, "named_rightly": 0.75, "sure": 0.5}
    part["angle_deg"] = error(angle, n)
    return part | ({} if position is None else {"position_mm": error(position, n)})


def scores(**more):
    return {"plates": 0.8, "others": 0.6, "sagittal59": 0.72, **more}


FOUND = {
    "any_section": {
        "weights_sha256": WEIGHTS,
        "n_by_source": {"plates": 15, "others": 5, "sagittal59": 50},
        "scores": {
            "as it is": scores(),
            "turned by 30": scores(plates=0.7),
            "inverted": scores(others=0.64),
        },
        "prepared": {"ccf": {"dice": 0.5, "n": 30}},
        "training": {"sections_seen": 50_000, "started_from": {"sections_seen": 170_000}},
    },
    "baselines": {
        **{"templates": ["ccf", "civm"], "n_cuts": 1521, "step_mm": 0.2},
        "scores": {
            "plates": {
                "copied": {"dice": 0.5, "n": 15},
                "copied_same": {"dice": 0.4, "n": 12},
                "elastix": {"dice": 0.45, "n": 12},
            },
            "others": {"copied": {"dice": 0.55, "n": 5}},
            "ccf": {"copied": {"dice": 0.6, "n": 30}},
        },
    },
    "mask_rcnn": {"n_sections_seen": 10_400, "scores": {"as it is": {"plates": 0.5}}},
    "place": {
        "weights_sha256": WEIGHTS,
        "scored_on": ["princeton"],
        "misfit_of_landmarks_mm": {"princeton": 0.3, "demba_P28": 0.2},
        "synthetic": {
            "all": place(14.4, 0.47),
            "recipe easy": place(8.0, 0.25),
            "recipe hard": place(31.3, 0.85),
            "source princeton": place(12.0, 0.4),
        },
        "real": {
            "plates": place(6.4, 0.26),
            "parts": place(23.3, 1.49),
            "known by name": place(1.9),
            "all with a registered plane": place(3.0, 0.18),
        },
        "age": {"princeton": {"n": 9, "true_days": 56.0, "median_days": 54.3, "inside_bar": 1.0}},
    },
    "any_section_settings": {
        "n_sections": 150,
        "rows": [
            {"views": views, "share": share, "dice": 0.3 + views / 100 + share / 10}
            for views in (1, 8)
            for share in (0.85, 1.0)
        ],
    },
    "stream": {
        **{"size": 192, "sections_a_round": 100, "load_average": 5.5},
        "environment": {"cpu_count": 2},
        "stream": {
            "easy": {"cpu_s": [0.5, 0.4, 0.8], "wall_s": [1.0, 1.0, 1.0]},
            "hard": {"cpu_s": [1.0, 2.5, 2.5], "wall_s": [3.0, 3.0, 3.0]},
        },
        "shipped": {
            "weights_sha256": WEIGHTS,
            "bytes": {"any_section.h5": 7_800_000, "any_section.place.npz": 900_000},
            "pictures": {"one.jpg": [4, 4], "other.jpg": [4, 4]},
            "seconds": {
                "regions": {"cpu_s": [0.4, 0.4, 0.9], "wall_s": [1.0, 1.0, 1.0]},
                "place": {"cpu_s": [0.2, 0.3, 0.9], "wall_s": [1.0, 1.0, 1.0]},
            },
        },
    },
    "learning": [
        {"size": 128.0, "sections": 1000.0, "dice_easy": 0.2, "dice_hard": 0.1},
        {
            **{"size": 128.0, "sections": 3000.0, "dice_easy": 0.4, "dice_hard": 0.2},
            **{"real_plates": 0.5, "real_others": 0.3, "real_sagittal59": 0.1},
        },
        {"size": 160.0, "sections": 500.0, "dice_easy": 0.6, "dice_hard": 0.5},
    ],
}


def curve(few, many):
    runs = [("any_section", 5, value) for value in few] + [("none", 20, value) for value in many]
    return {"runs": [{"start": s, "sections": n, "dice_mean": v} for s, n, v in runs]}


def test_every_aim_is_measured_and_misses_say_by_how_much():
    table = targets_table(FOUND, {})
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["Dice, mean of the sources of zeroshot"] == (
        "0.65 or more",
        "0.700 (20 sections, 2 sources)",
        MET,
    )
    assert rows["Dice, mean of the sources of zeroshot: hoped for"][2] == "missed by 0.050"
    assert rows["Dice on sagittal59, six regions"] == ("0.7 or more", "0.720 (50 sections)", MET)
    above = rows["Dice above copied labels, each source"]
    assert above[1:] == ("1 of 3: -0.100 to 0.300", "missed: others by 0.100, ccf by 0.250")
    spread = rows["Dice turned, mirrored, inverted: spread of each source"]
    assert spread == ("0.05 or less", "2 of 3: 0.000 to 0.100", "missed: plates by 0.050")
    assert rows["Dice on prepared data sets"][1] == "ccf 0.500 (30)"
    angle = "median error of the plane's angle, {}"
    assert rows[angle.format("held-out brains")] == (
        "10 degrees or less",
        "14.4 degrees (10 synthetic sections)",
        "missed by 4.4 degrees",
    )
    assert rows[angle.format("the hard ones")][2] == "missed by 21.3 degrees"
    assert rows[angle.format("each source of real sections")][1:] == (
        "2 of 3: 1.9 to 23.3 degrees (30 sections)",
        "missed: parts by 13.3 degrees",
    )
    position = "median error of the position, {}"
    assert rows[position.format("real, registered planes")][1:] == ("0.18 mm (10 sections)", MET)
    assert rows[position.format("each source of real sections")][2] == "missed: parts by 0.99 mm"
    assert rows["size, weights and place"][1:] == ("8.7 MB", MET)
    assert rows["a section, seconds of the processor"] == (
        "0.5 s or less",
        "0.35 s (regions 0.20, place 0.15)",
        MET,
    )
    assert rows["synthetic sections of 192 px, one core"] == (
        "50 a second or more",
        "1 of 2: 40 to 200 a second (best rounds: easy 250, hard 100)",
        "missed: hard by 10 a second",
    )
    assert rows["fine-tuned on 5 sections above random weights on 20"][2] == "not measured"
    assert rows["a section, seconds by the clock"][1:] == (
        "1.00 s (regions 0.50, place 0.50)",
        "missed by 0.50 s",
    )
    assert "medians of 3 rounds" in table.notes[-1] and "5.5 on 2 processors" in table.notes[-1]


def test_what_was_not_measured_is_said():
    rows = targets_table({"any_section": FOUND["any_section"]}, {}).rows
    missing = [row[0] for row in rows if row[2:] == ("-", "not measured")]
    assert len(missing) == 16 and missing[0] == "Dice above copied labels, each source"
    table = targets_table({}, {"mine": curve([0.9], [0.1])})
    assert table.rows == () and table.notes == ()


@pytest.mark.parametrize(
    ("values", "most", "verdict"),
    [
        ((0.5,), False, MET),
        ((0.5,), True, MET),
        ((0.499,), False, "missed by 0.001"),
        ((0.6, 0.4), True, "missed: a by 0.100"),
    ],
)
def test_the_limit_itself_is_kept(values, most, verdict):
    found = dict(zip("ab", values, strict=False))
    assert Target("score", 0.5, most=most).row(found)[3] == verdict


def test_fine_tuning_is_judged_by_means_and_by_every_seed():
    clear, close = curve([0.7, 0.8], [0.6]), curve([0.5, 0.8], [0.6])
    curves = {"a": clear, "b": clear, "c": close, "d": curve([0.2], [0.9])}
    curves["e"] = curve([0.9], [])  # nothing to compare with
    _, wanted, measured, verdict = tuned_row(curves)
    assert wanted == "3 data sets or more"
    assert measured == "3 of 4: a +0.150, b +0.150, c +0.050; in every seed a, b"
    assert verdict == "met by means; in every seed missed by 1"
    assert tuned_row(curves | {"c": clear})[3] == MET
    assert tuned_row({"a": clear, "d": curves["d"]})[3] == "missed by 2"
    assert tuned_row({"d": curves["d"]})[2] == "0 of 1; in every seed none"


def test_tables():
    conditions, beside, mask, plane, position, age, settings = any_section_tables(FOUND)
    assert conditions.header[2:] == ("as it is", "turned by 30", "inverted", "spread")
    assert conditions.rows[0] == ("plates", "15", "0.800", "0.700", "0.800", "0.100")
    assert "as it is 0.700, turned by 30 0.650, inverted 0.720." in conditions.notes[0]
    assert beside.rows == (
        ("plates", "15", "0.800", "0.500", "+0.300", "0.450 (12)", "0.400"),
        ("others", "5", "0.600", "0.550", "+0.050", "-", "-"),
        ("ccf", "30", "0.500", "0.600", "-0.100", "-", "-"),
    )
    assert "2 templates (1,521 planes, every 0.2 mm)" in beside.notes[0]
    assert mask.rows == (("plates", "15", "0.800", "0.500", "-0.300"),)
    assert "220,000 sections" in mask.notes[0] and "saw 10,400" in mask.notes[0]
    assert [row[0] for row in plane.rows[:4]] == [
        f"synthetic, {name}" for name in ("all", "easy", "hard", "brain princeton")
    ]
    assert plane.rows[0][1:] == ("10", "0.75 of 9", "0.50", "14.4", "57.6", "0.90")
    assert "0.20 to 0.30 mm by brain" in plane.notes[1]
    assert [row[0] for row in position.rows][-2:] == [
        "real, parts",
        "real, all with a registered plane",
    ]
    assert position.rows[0] == ("synthetic, all", "10", "0.47", "1.88", "3.00", "0.90")
    assert age.rows == (("princeton", "9", "56.0", "54.3", "1.00"),)
    assert settings.header == ("views", "tissue fills 85 %", "tissue fills 100 %")
    assert settings.rows == (("1", "0.395", "0.410"), ("8", "0.465", "0.480"))
    assert all(table.rows == table.notes == () for table in any_section_tables({}))
    assert not any(table.wide for table in (beside, mask, plane, position, age, settings))


def test_the_log_of_the_second_training_goes_on_after_the_first():
    assert learning_table(FOUND).rows == (
        ("128", "1,000", "-", "-", "0.200", "0.100"),
        ("128", "3,000", "0.400", "0.100", "0.400", "0.200"),
        ("160", "3,500", "-", "-", "0.600", "0.500"),
    )
    assert learning_table({}).rows == () == learning_table({}).notes


def trained(change=None):
    names = ("cortex", "tectum")
    record = made_up("slicemap", "slicemap", 0.5, names, weights="slicemap")
    record["split"] = {"rule": "section:1/4", "seed": 0, "leaks": "Leaks: none."}
    result = result_of("slicemap", record)
    before = {
        section.section: {name: score.dice - 0.25 for name, score in section.regions.items()}
        for section in result.record.sections
    }
    gain = {
        **{"dataset": "slicemap", "split": {"rule": "section:1/4"}, "unit": "section"},
        **{"start": {"sha256": WEIGHTS}, "known_regions": ["cortex"], "before": before},
        "units": {name: name for name in before},
    }
    if change:
        change(gain)
    return trained_table(FOUND, {"slicemap": gain}, [result])


def test_trained_networks_stand_beside_it_on_the_same_sections():
    (row,) = trained().rows
    assert (row[0], row[3], row[5]) == ("slicemap", "slicemap", "2 sections")
    assert float(row[2]) - float(row[1]) == pytest.approx(0.25, abs=0.0011)
    assert row[4] == "+0.250 [+0.250, +0.250]"


@pytest.mark.parametrize(
    "change",
    [
        lambda gain: gain.update(dataset="other"),
        lambda gain: gain["split"].update(rule="section:2"),
        lambda gain: gain["start"].update(sha256="of other weights"),
        lambda gain: gain["before"].update({"val/none": {"cortex": 0.5}}),
        lambda gain: next(iter(gain["before"].values())).update(thalamus=0.5),
    ],
)
def test_networks_on_other_sections_or_regions_do_not(change):
    assert trained(change).rows == ()


def test_the_figures_draw_the_numbers(monkeypatch):
    figure = sources_figure(FOUND)
    (ax,) = figure.axes
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == ["plates (15)", "others (5)", "sagittal59 (50)", "ccf (30)"]
    points = {(x, y) for line in ax.lines for x, y in zip(*line.get_data(), strict=True)}
    wanted = {(0.8, 0), (0.7, 0), (0.45, 0), (0.5, 0), (0.64, 1), (0.55, 1), (0.5, 3), (0.6, 3)}
    assert wanted <= points
    check_texts(figure, monkeypatch)
    figure = learning_figure(FOUND)
    (ax,) = figure.axes
    lines = [line.get_xydata().tolist() for line in ax.lines]
    assert [[3000, 0.4]] in lines and [[1000, 0.2], [3000, 0.4]] in lines
    assert [[3500, 0.6]] in lines and [[3250, 0.0], [3250, 1.0]] in lines
    check_texts(figure, monkeypatch)
    assert list(any_section_figures(FOUND)) == ["any_section", "any_section_learning"]
    assert any_section_figures({}) == {}


def write(folder, found):
    (folder / "synthesis").mkdir(exist_ok=True)
    for name, record in found.items():
        if name != "learning":
            (folder / "synthesis" / f"{name}.json").write_text(json.dumps(record))


def test_files_are_read_and_faults_named(tmp_path):
    assert read_any_section(tmp_path) == ({}, ())
    write(tmp_path, FOUND)
    log = tmp_path / "synthesis" / "learning.csv"
    log.write_text("size,sections,dice_easy,dice_hard\n160,500,0.6,0.5\n")
    wanted = {**FOUND, "learning": FOUND["learning"][2:]}
    assert read_any_section(tmp_path) == (wanted, ())
    log.write_text("size,sections,dice_easy\n160,500,0.6\n")
    (tmp_path / "synthesis" / "mask_rcnn.json").write_text('{"scores": {}}')
    (tmp_path / "synthesis" / "baselines.json").write_text("{")
    found, problems = read_any_section(tmp_path)
    assert found.keys() == FOUND.keys() - {"learning", "mask_rcnn", "baselines"}
    for name, module in (
        ("baselines.json", "baselines.measure"),
        ("mask_rcnn.json", "mask_rcnn"),
        ("learning.csv", "learn"),
    ):
        (problem,) = (text for text in problems if name in text)
        assert "not what it should be" in problem and problem.endswith(f"synthesis.{module}")


@pytest.mark.parametrize("name", ["place", "stream"])
def test_records_of_other_weights_are_not_set_beside(tmp_path, name):
    found = copy.deepcopy(FOUND)
    record = found[name].get("shipped", found[name])
    record["weights_sha256"] = "cd" * 32
    write(tmp_path, found)
    read, (problem,) = read_any_section(tmp_path)
    assert name not in read and f"{name}.json" in problem
    assert "of weights cdcdcdcd, the scores on real sections of abababab" in problem


def test_the_stored_files_are_whole_and_of_the_network_that_ships(tmp_path):
    shutil.copytree(ROOT / "results" / "synthesis", tmp_path / "synthesis")
    found, problems = read_any_section(tmp_path)
    assert problems == () and found.keys() == FOUND.keys()
    # The second log is that in the store of weights.
    (size, rows), *_ = sorted(seen_and_scores(found).items(), reverse=True)
    _, log = read_rows(ROOT / "weights" / "any_section.log.csv")
    stored = [row for row in found["learning"] if row["size"] == size]
    assert size == found["any_section"]["training"]["size"] and len(rows) == len(log)
    for one, other in zip(stored, log, strict=True):
        assert {k: v for k, v in one.items() if k != "size"} == {
            name: float(cell) for name, cell in other.items()
        }
    # What the release set beside each other is what the two files hold now.
    beside = found["any_section"]["beside"]
    above = {name: one["over_copied"] for name, one in beside.items()}
    assert over_copied(found) == pytest.approx(above) and len(spreads(found)) == 6
