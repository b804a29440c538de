"""Failures of sections by kind, on hand cases."""

from section_cases import HALF, WHOLE, section_of

from sebre.data.regions import SLICEMAP, SUBCORTICAL
from sebre.evaluation.failures import KINDS, LISTED, FailureTable, side_partners
from sebre.evaluation.section import Section
from sebre.evaluation.summary import summarize

FAR, CORNER = (20, 20, 28, 28), (20, 2, 26, 8)


def table_of(*sections: Section, regions=SUBCORTICAL) -> dict:
    table = FailureTable(regions)
    for section in sections:
        table.add(section.name, section.failures)
    return {kind: count.to_json() for kind, count in table.result().items()}


def shown(kind: dict) -> dict[str, int]:
    """Counts above 0 of a kind, by region; checked against its total."""
    counts = {name: n for name, n in kind["per_region"].items() if n}
    assert sum(counts.values()) == kind["total"]
    return counts


def test_every_kind():
    section = section_of(
        {1: WHOLE, 2: FAR, 3: CORNER},
        (1, 0.9, HALF),  # IoU 0.5: neither poor, nor a wrong region
        (1, 0.5, (0, 0, 2, 2)),
        (2, 0.8, WHOLE),  # the right caudate where the left one is
        (5, 0.8, (20, 2, 26, 7)),  # the left pallidum where the left putamen is
        (4, 0.7, (28, 4, 32, 8)),
    )
    failures = table_of(section)
    assert shown(failures["missed"]) == {"left_putamen": 1}
    assert shown(failures["poor"]) == {"right_caudate": 1}
    assert shown(failures["extra"]) == {"right_putamen": 1, "left_pallidum": 1}
    assert shown(failures["duplicate"]) == {"left_caudate": 1}
    assert shown(failures["wrong_region"]) == {"right_caudate": 1, "left_pallidum": 1}
    assert shown(failures["side_swap"]) == {"right_caudate": 1}
    assert failures["side_swap"]["sections"] == {"val/0": ["right_caudate"]}
    assert failures["wrong_region"]["sections"] == {"val/0": ["right_caudate", "left_pallidum"]}


def test_a_region_of_a_section_counts_once_in_a_kind():
    section = section_of({1: WHOLE}, *[(2, 0.5 + k / 10, (4, 4, 12, 12 - k)) for k in range(3)])
    failures = table_of(section)
    for kind in ("extra", "duplicate", "wrong_region", "side_swap"):
        assert shown(failures[kind]) == {"right_caudate": 1}


def test_a_wrong_region_overlaps_another_most_and_by_half():
    def wrong(drawn, box):
        return section_of(drawn, (2, 0.9, box)).failures.kinds["wrong_region"]

    assert wrong({1: WHOLE}, HALF) == [2]  # IoU 0.5
    assert wrong({1: WHOLE}, (4, 4, 12, 7)) == []  # 24 of 64 px
    assert wrong({1: HALF, 2: (4, 8, 12, 12)}, (4, 4, 12, 12)) == [2]  # a tie at 0.5
    assert wrong({1: HALF, 2: WHOLE}, WHOLE) == []
    assert wrong({}, WHOLE) == []


def test_detections_without_pixels_are_none():
    section = section_of(
        {1: WHOLE}, (1, 0.9, WHOLE), (1, 0.8, (4, 4, 4, 4)), (2, 0.9, (0, 0, 0, 0))
    )
    assert all(kind["total"] == 0 for kind in table_of(section).values())


def test_the_worst_sections_come_first_and_only_some():
    drawn = {1: WHOLE, 2: FAR, 3: CORNER}
    sections = [section_of({1: WHOLE}, name=f"val/{k}") for k in range(LISTED + 3)]
    sections.insert(5, section_of(drawn, name="val/worst"))
    missed = table_of(*sections)["missed"]
    assert missed["total"] == LISTED + 3 + 3
    assert list(missed["sections"]) == ["val/worst", *(f"val/{k}" for k in range(LISTED - 1))]
    assert missed["sections"]["val/worst"] == ["left_caudate", "right_caudate", "left_putamen"]


def test_counts_of_summaries_agree():
    sections = [
        section_of({1: WHOLE, 2: FAR}, (1, 0.9, WHOLE), (3, 0.9, (0, 0, 3, 3))),
        section_of({1: WHOLE, 2: FAR}, (2, 0.9, (20, 20, 24, 28))),
    ]
    summary = summarize(sections, SLICEMAP).to_json()
    assert summary["failures"]["missed"]["per_region"] == summary["missed_per_region"]
    assert summary["failures"]["extra"]["per_region"] == summary["extra_per_region"]
    assert "side_swap" not in summary["failures"]


def test_partners_are_those_of_the_names():
    partners = side_partners(SUBCORTICAL)
    assert partners == {1: 2, 2: 1, 3: 4, 4: 3, 5: 6, 6: 5, 7: 8, 8: 7}
    assert side_partners(SLICEMAP) == {}


def test_no_sections():
    none = {"total": 0, "per_region": dict.fromkeys(SLICEMAP.names, 0), "sections": {}}
    assert table_of(regions=SLICEMAP) == dict.fromkeys(KINDS, none)
