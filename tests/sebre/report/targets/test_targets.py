"""Targets beside stored results: what is met, by how much one is missed, and what was tried."""

import re

import pytest
from paths import ROOT
from result_samples import made_up, made_up_method, newer, result_of

from sebre.data.regions import HIPPOCAMPUS, SUBCORTICAL
from sebre.report.markdown import number
from sebre.report.page import chapters, claims_of, read_records
from sebre.report.published import read_published
from sebre.report.targets.target_measures import LEFT_OUT, Sources, measured
from sebre.report.targets.target_rows import (
    AT_LEAST,
    AT_MOST,
    Target,
    Way,
    read_targets,
    read_ways,
)
from sebre.report.targets.target_tables import (
    MISSED,
    NOT_MEASURED,
    TOO_FEW,
    target_tables,
    verdict,
)

PLATES, SCANS = HIPPOCAMPUS.names, SUBCORTICAL.names


def target(measure="map_paper", value=0.5, relation=AT_LEAST, file="a.json", **more):
    other = {"region": "", "strict_file": "", "otherwise": "", "why_not": "", "ways": ""}
    texts = {"data": "plates", "what": measure, "measure": measure, **other, **more}
    return Target(relation=relation, value=value, file=file, **texts)


def of(measure, record, **more):
    """What a record says of a target."""
    sources = Sources({"a.json": result_of("a", record)}, published=read_published())
    return measured(target(measure, **more), "a.json", sources)


# --- The shipped rows


@pytest.fixture(scope="module")
def stored():
    """The chapter of the stored results: its tables."""
    records = read_records(ROOT / "results")
    (chapter,) = (c for c in chapters(records, claims_of(records)) if c.title == "Targets")
    return chapter.tables


def test_every_row_can_be_looked_up(stored):
    targets = read_targets()
    assert len(targets) == len({t.name for t in targets}) == len(stored[0].rows) > 20
    for one, row in zip(targets, stored[0].rows, strict=True):
        assert one.relation in (AT_LEAST, AT_MOST) and row[:2] == (one.name, one.wanted)
        # Answered by a file, or a reason why it is not: one of the two.
        assert bool(one.file) != bool(one.why_not), one.name
        files = [file for file in (one.file, one.strict_file) if file]
        assert all((ROOT / "results" / file).is_file() for file in files), one.name
        assert (row[3] == NOT_MEASURED) == bool(one.why_not), one.name
        assert (row[4] == "-") == (not one.strict_file), one.name
        assert row[6] == (one.file or "-")
    assert [row[0] for row in stored[2].rows] == [t.name for t in targets if t.why_not]


def test_numbers_are_those_of_the_records(stored):
    rows = {row[0]: row for row in stored[0].rows}
    by_name = {r.name: r for r in read_records(ROOT / "results").results}
    mice = by_name["extended_mouse_mri"].at().map_paper
    row = rows["mouse_mri: mAP"]
    assert row[2].startswith(f"{number(mice)} [") and row[3] == f"missed by {0.94 - mice:.3f}"
    assert row[5] == "424 sections, 6 subjects"
    curve = by_name["slicemap"].record.angles.curve
    assert rows["slicemap: lowest mean Dice of all angles"][2] == number(
        min(point.dice_mean for point in curve)
    )
    assert rows["demba: mean Dice above copied labels"][3].startswith("called uninformative, ")
    assert rows["sebre_figures: mean Dice above copied labels"][3] == TOO_FEW
    (leaks,) = (note for note in stored[0].notes if "lies in the training part" in note)
    assert "ccf, unseen modality (Allen CCFv3)" in leaks and "demba (Allen" in leaks
    assert "malc2012" not in leaks


def headings(page):
    """Anchors that GitHub gives the headings of a page."""
    lines = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_ways_are_written_down_where_the_page_says():
    ways = read_ways()
    known = {one.ways for one in read_targets()}
    for way in ways:
        assert way.section in headings(way.page), way
        assert way.ways in known, way
        assert not way.file or (ROOT / "results" / way.file).is_file(), way
        # Scores are looked up.
        assert not re.search(r"\b0\.\d|\b1\.0", way.way), way


def test_missed_targets_have_their_ways_or_are_named(stored):
    targets, tried, _ = stored
    missed = [row[0] for row in targets.rows if row[3].startswith(MISSED)]
    assert missed and {row[0] for row in tried.rows} <= set(missed)
    few = tried.notes[-1]
    for name in missed:
        ways = sum(row[0] == name for row in tried.rows)
        assert (f"{name} ({ways or 'none'})" in few) == (ways < 3), name


# --- Verdicts


@pytest.mark.parametrize(
    ("relation", "value", "says"),
    [
        (AT_LEAST, 0.5, "met"),
        (AT_LEAST, 0.6, "missed by 0.100"),
        (AT_LEAST, 0.50004, "missed by 4e-05"),
        (AT_MOST, 0.5, "met"),
        (AT_MOST, 0.4, "missed by 0.100"),
    ],
)
def test_met_or_missed_by_how_much(relation, value, says):
    record = {**made_up("hippocampus", "plates", 0.1, PLATES), "map_paper": 0.5}
    wanted = target(relation=relation, value=value)
    found = of("map_paper", record)
    assert found.text == "0.500" and verdict(wanted, found) == says
    other = target(relation=relation, value=value, otherwise="called so")
    assert verdict(other, found) == says.replace("missed by", "called so,") + (
        " short" if "missed" in says else ""
    )
    assert verdict(wanted, None) == NOT_MEASURED


def test_a_score_of_all_and_of_a_region():
    record = newer(made_up("hippocampus", "plates", 0.1, PLATES), n_units=7)
    found = of("map_paper", record)
    around = f"{record['map_paper'] - 0.005:.3f}, {record['map_paper'] + 0.005:.3f}"
    assert found.text == f"{record['map_paper']:.3f} [{around}]"
    assert found.n == "20 images, 7 sections"
    assert of("dice", record, region="CA2").value == record["dice_per_region"]["CA2"]
    record["dice_per_region"]["CA2"] = None
    assert of("dice", record, region="CA2") is None
    people = newer(made_up("ibsr", "scans", 0.1, SCANS), unit="subject", n_units=3)
    assert of("map_paper", people).n == "20 sections, 3 subjects"
    whole = newer(made_up("ibsr", "scans", 0.1, SCANS), n_units=20)
    assert of("map_paper", whole).n == "20 sections"


def test_structures_at_or_above_table_1():
    record = made_up("ibsr", "scans", 0.1, SCANS, volumes=True)
    printed = {
        score.region_name: score.value
        for score in read_published()
        if score.where == "Table 1" and score.method == "SeBRe" and score.metric == "dice_mean"
    }
    record["dice_per_region_volume"] = dict(printed)
    found = of("volumes_at_table_1", record)
    assert (found.value, found.text, found.n, found.digits) == (8, "8", "3 subjects", 0)
    record["dice_per_region_volume"]["left_caudate"] -= 0.001
    found = of("volumes_at_table_1", record)
    assert found.text == "7 (lower: left caudate)"
    assert verdict(target(value=8), found) == "missed by 1"
    assert of("volumes_at_table_1", made_up("hippocampus", "plates", 0.1, PLATES)) is None
    assert of("volumes_at_table_1", made_up("ibsr", "scans", 0.1, SCANS)) is None


def test_the_worst_structure_in_space():
    record = made_up("ibsr", "scans", 0.1, SCANS, volumes=True)
    record |= {"n_volumes": 4, "n_volumes_measured": 4}
    record["n_per_region_volume"] = dict.fromkeys(SCANS, 4)
    record["hausdorff95_mm_per_region_volume"] = dict.fromkeys(SCANS, 2.0)
    record["hausdorff95_mm_per_region_volume"]["right_putamen"] = 5.5
    found = of("largest_hausdorff95", record)
    assert (found.text, found.n) == ("5.500 (right putamen)", "4 volumes, 3 subjects")
    assert verdict(target(relation=AT_MOST, value=3.0), found) == "missed by 2.500"
    record["hausdorff95_mm_per_region_volume"]["left_pallidum"] = None
    found = of("largest_hausdorff95", record)
    assert found.text == "not found: left pallidum"
    assert verdict(target(relation=AT_MOST, value=3.0), found) == MISSED
    # A structure that no volume shows was not missed.
    record["n_per_region_volume"]["left_pallidum"] = 0
    assert of("largest_hausdorff95", record).value == 5.5
    assert of("largest_hausdorff95", made_up("ibsr", "scans", 0.1, SCANS)) is None


def test_what_turning_costs():
    record = newer(made_up("ibsr", "scans", 0.5, SCANS), angles=(-20, -10, 0, 20))
    for point, dice in zip(record["angles"]["curve"], (0.7, 0.1, 0.8, 0.75), strict=True):
        point["dice_mean"] = dice
    found = of("lost_at_20", record)
    assert found.text == "0.100 (at -20)" and found.value == pytest.approx(0.1)
    for key, value in (("lowest", 0.1), ("spread", 0.7)):
        found = of(f"{key}_dice_mean", record)
        assert found.value == pytest.approx(value)
        assert found.n == "20 images, 7 sections, 4 angles"
    record["angles"]["curve"] = record["angles"]["curve"][1:3]
    assert of("lost_at_20", record) is None
    assert of("lost_at_20", made_up("ibsr", "scans", 0.5, SCANS)) is None
    assert of("lowest_map_paper", made_up("ibsr", "scans", 0.5, SCANS)) is None
    method = made_up_method("ibsr", "scans", "lddmm", SCANS, 0.6, "subject")
    found = of("lost_turned", method)
    assert found.value == pytest.approx(0.1) and found.n == "6 sections, 3 subjects"
    method["turned"]["rotate"] = 10.0
    assert of("lost_turned", method) is None
    assert of("lost_at_20", method) is None
    assert of("lost_turned", made_up("ibsr", "scans", 0.5, SCANS)) is None


def test_sections_left_out_one_by_one():
    record = {"n_sections": 4, "means": {"any_section": {"ap": 0.9}, "none": {"ap": 0.4}}}
    sources = Sources({}, {"plates": record})
    wanted = target(LEFT_OUT, value=0.8, file="leave_one_out/plates.json")
    found = measured(wanted, wanted.file, sources)
    assert (found.text, found.n, verdict(wanted, found)) == ("0.900", "4 sections", "met")
    assert measured(wanted, "leave_one_out/other.json", sources) is None
    assert measured(wanted, "", sources) is None
    del record["means"]["any_section"]
    assert measured(wanted, wanted.file, sources) is None


# --- Tables


def test_tables_of_targets():
    record = {**made_up("hippocampus", "plates", 0.1, PLATES), "map_paper": 0.5}
    better = {**record, "map_paper": 0.7}
    results = {
        name: result_of(name, made) for name, made in (("a.json", record), ("b.json", better))
    }
    targets = [
        target(value=0.6, strict_file="b.json", ways="plates", data="one"),
        target(value=0.4, data="two"),
        target(file="", why_not="nobody had time", data="three"),
        target(file="gone.json", data="four"),
    ]
    ways = [
        Way("plates", "more steps", "b.json", "docs/x.md", "steps"),
        Way("plates", "no record", "", "docs/x.md", "steps"),
        Way("plates", "lost", "gone.json", "docs/x.md", "steps"),
        Way("scans", "elsewhere", "b.json", "docs/x.md", "steps"),
    ]
    first, tried, open_ = target_tables(Sources(results), targets, ways)
    assert [row[3] for row in first.rows] == ["missed by 0.100", "met", *[NOT_MEASURED] * 2]
    assert [row[4] for row in first.rows] == ["0.700: met", "-", "-", "-"]
    assert first.rows[2][2:] == ("-", NOT_MEASURED, "-", "-", "-")
    assert "From 0.3: 1 met, 1 missed, 2 not measured of 4; from 0.9: 1 met of 1." in first.notes[0]
    assert tried.rows == (
        ("one: map_paper", "[more steps](docs/x.md#steps)", "0.700", "met"),
        ("one: map_paper", "[no record](docs/x.md#steps)", "-", "-"),
    )
    assert "one: map_paper (2)" in tried.notes[-1]
    assert [row[2] for row in open_.rows] == ["nobody had time", "results/gone.json is not there"]
    assert target_tables(Sources({}), targets, ways) == ()
