"""Both kinds of split on the same test sections, from stored results."""

import pytest
from paths import ROOT
from result_samples import made_up_method, result_of

from sebre.data.regions import SUBCORTICAL
from sebre.report.page import read_records
from sebre.report.trials.shared_sections import SharedSections, read_shared, shared_table

RULES = ("source", "section:1/3")


def network(name, rule, start, **more):
    """Six sections; those of "section:1/3" are the other way round."""
    record = made_up_method("ibsr", "scans", "network", SUBCORTICAL.names, start)
    record = {**record, "network": "Mask R-CNN", "weights": name, "split": {"rule": rule}, **more}
    del record["method"]
    record["turned"] = None
    if rule == RULES[1]:
        for section in record["sections"]:
            section["section"] = f"val/{5 - int(section['section'][4:])}"
    return result_of(name, record)


@pytest.fixture
def shared():
    """Four of the six sections, of two people."""
    rows = [
        {"subject": f"P{i // 2}", RULES[0]: f"val/{i}", RULES[1]: f"val/{5 - i}"} for i in range(4)
    ]
    return SharedSections("scans_same_sections.csv", rows)


def test_the_same_sections_are_paired_over_people(shared):
    ours, leaky = network("ours", RULES[0], 0.5001), network("leaky", RULES[1], 0.6001)
    strict = network("strict", RULES[1], 0.9, detection_min_confidence=0.9)
    elsewhere = network("elsewhere", "block:1", 0.9)
    table = shared_table([elsewhere, ours], [leaky], [strict], [shared])
    first, second = table.rows
    # Dice is 0.5001, and 0.01 more a section (0 to 3) and 0.001 a region (0 to 7): 0.5186.
    assert first == ("ours", "source", "0.500", "0.519", "-", "-", "-")
    assert second[:4] == ("leaky", "section:1/3", "0.600", "0.619")
    assert second[4:] == (*["+0.100 [+0.100, +0.100]"] * 2, "2 subjects")
    assert "the same 4 sections of 2 subjects" in table.notes[0]
    assert "results/splits/scans_same_sections.csv" in table.notes[0]


def test_results_that_do_not_have_the_sections_are_left_out(shared):
    ours, leaky = network("ours", RULES[0], 0.5001), network("leaky", RULES[1], 0.6001)
    leaky.record.sections.pop()  # val/0, which is not among the four
    assert len(shared_table([ours], [leaky], [], [shared]).rows) == 2
    leaky.record.sections.pop(0)
    assert len(shared_table([ours], [leaky], [], [shared]).rows) == 1
    assert shared_table([leaky], [leaky], [], [shared]).rows == ()
    assert shared_table([], [leaky], [], [shared]).notes == ()
    # Other regions on a section of one name: not the same section after all.
    other = network("other", RULES[1], 0.6001)
    for section in other.record.sections:
        del section.regions["left_caudate"]
    assert shared_table([ours], [other], [], [shared]).rows[1][4:] == (
        "+0.100 [+0.100, +0.100]",
        "-",
        "-",
    )


def test_a_damaged_file_is_named(tmp_path):
    assert read_shared(tmp_path) == ((), ())
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "scans_same_sections.csv").write_text("a,b\n1,2\n")
    (tmp_path / "splits" / "other_same_sections.csv").write_text("subject,source\nP,val/1\n")
    found, problems = read_shared(tmp_path)
    assert found == () and len(problems) == 2
    assert all("Make it again" in problem for problem in problems)


def test_the_stored_file_joins_the_stored_results():
    records = read_records(ROOT / "results")
    (shared,) = records.shared
    assert (shared.dataset, shared.rules) == ("malc2012", list(RULES))
    assert len({row["subject"] for row in shared.rows}) == 7 and len(shared.rows) == 124
    (ours,) = (r for r in records.results if r.name == "ibsr")
    (leaky,) = records.splits
    # Each pair shows the same regions: the names are of the same slices.
    for one, other in zip(shared.of(ours), shared.of(leaky), strict=True):
        assert one.regions.keys() == other.regions.keys()
    rows = shared_table(records.results, records.splits, (), records.shared).rows
    assert [row[0] for row in rows] == ["ibsr", "ibsr_by_section.h5"] and rows[1][
        -1
    ] == "7 subjects"
