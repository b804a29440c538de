"""Split rules, the paper's counts, and the audit of what stands on both sides."""

import csv
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from paths import ROOT

from sebre.data.leakage import audit
from sebre.data.rotation import rotated_versions
from sebre.data.split import SplitRule, assign, inner_rule


def sections(n: int, **facts) -> list[dict]:
    return [{"section": i, "source_row": i, **facts} for i in range(n)]


def brains(*sizes: int) -> list[dict]:
    rows = [
        {"subject": f"b{brain}", "plate": plate}
        for brain, size in enumerate(sizes)
        for plate in range(size)
    ]
    return [{"section": i, "source_row": i, **row} for i, row in enumerate(rows)]


def rotated(rows: list[dict], flips: bool = False) -> list[dict]:
    """Rows of the versions of each section, as they are written."""
    image = np.zeros((9, 12), np.uint8)
    masks = {1: np.pad(np.ones((3, 4), bool), ((3, 3), (4, 4)))}
    return [
        {**row, "angle": angle, "flipped": flipped, "regions": len(kept)}
        for row in rows
        for angle, flipped, _, kept in rotated_versions(image, masks, flips=flips)
    ]


def divided(rows: list[dict], rule: str, seed: int = 0) -> list[dict]:
    parts = assign(rows, rule, seed)
    return [{**row, "subset": part} for row, part in zip(rows, parts, strict=True)]


def held(rows: list[dict], key: str = "section") -> list:
    return [row[key] for row in rows if row["subset"] == "val"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("section", SplitRule("section", Fraction(1, 4))),
        ("section:7", SplitRule("section", 7)),
        ("brain:1/3", SplitRule("subject", Fraction(1, 3))),
        ("subject:0.25", SplitRule("subject", Fraction(1, 4))),
        ("block:7/27", SplitRule("block", Fraction(7, 27))),
        ("image:1/3", SplitRule("image", Fraction(1, 3))),
        ("marker=GAD1", SplitRule("column", None, "marker", ("GAD1",))),
        ("age=P4, P14", SplitRule("column", None, "age", ("P4", "P14"))),
        ("source", SplitRule("source")),
        ("test", SplitRule("test")),
    ],
)
def test_rules_are_read_and_written(text, rule):
    assert SplitRule.parse(text) == rule
    assert SplitRule.parse(str(rule)) == rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slices", "'slices' is not known. Rules: section"),
        ("", "'' is not known"),
        ("source:3", "'source:3' is not known"),
        ("marker=", "wanted COLUMN=VALUE"),
        ("=GAD1", "wanted COLUMN=VALUE"),
        ("section:", "'' must be a count"),
        ("section:0", "'0' must be a count"),
        ("section:-2", "'-2' must be a count"),
        ("section:4/3", "'4/3' must be a count"),
        ("section:1.0", "'1.0' must be a count"),
        ("section:1/0", "'1/0' must be a count"),
        ("section:many", "'many' must be a count"),
    ],
)
def test_what_is_no_rule_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        SplitRule.parse(text)


@pytest.mark.parametrize(
    ("rule", "n", "count"),
    [("section:1/3", 30, 10), ("section:7", 27, 7), ("section:7/27", 27, 7), ("section:0.1", 5, 1)]
    + [("section", 50, 12), ("image:1/3", 557, 185)],
)
def test_amount_held_out(rule, n, count):
    assert assign(sections(n), rule).count("val") == count


def test_section_split_is_that_of_the_committed_data_set():
    with (ROOT / "datasets" / "slicemap" / "sections.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["source_row"]))
    assert len(rows) == 50
    bare = [{"section": row["source_row"]} for row in rows]
    assert assign(bare, "section:1/4", seed=0) == [row["subset"] for row in rows]


def test_settings_are_chosen_on_whole_animals_or_on_neighbors():
    rows = [{"section": f"{i}", "subject": f"m{i // 4}"} for i in range(20)]
    assert str(inner_rule(rows, 0.2)) == "subject:1"
    parts = assign(rows, inner_rule(rows, 0.4), seed=3)
    held_animals = {row["subject"] for row, part in zip(rows, parts, strict=True) if part == "val"}
    assert parts.count("val") == 8 and len(held_animals) == 2
    few = [{**row, "subject": f"m{i // 5}"} for i, row in enumerate(rows)]
    assert str(inner_rule(few, 0.2)) == "block:4", "four animals are too few"
    unnamed = [*rows[:-1], {"section": "19"}]
    parts = assign(unnamed, inner_rule(unnamed, 0.3))
    runs = "".join(part[0] for part in parts).replace("v", " ").split()
    assert parts.count("val") == 6 and len(runs) <= 4, "neighbors are held out together"
    turned = [{"section": f"{i // 3}"} for i in range(30)]
    parts = assign(turned, inner_rule(turned, 0.2))
    assert all(len(set(parts[i : i + 3])) == 1 for i in range(0, 30, 3)), "versions of a section"
    for share, n, message in ((1.0, 9, "above 0 and below 1"), (0.5, 1, "cannot be divided")):
        with pytest.raises(ValueError, match=message):
            inner_rule(sections(n), share)


def test_seed_fixes_the_split():
    rows = sections(40)
    assert assign(rows, "section", 1) == assign(rows, "section", 1)
    assert assign(rows, "section", 1) != assign(rows, "section", 2)


def test_p14_counts():
    """30 sections of two brains, 20 angles: 400 and 200 images (paper, Methods)."""
    images = rotated(brains(15, 15))
    assert len(images) == 600
    rows = divided(images, "section:1/3")
    assert Counter(row["subset"] for row in rows) == {"train": 400, "val": 200}
    found = audit(rows)
    assert found.sections == ()
    assert found.n_sections == 10
    assert found.subjects == ("b0", "b1")
    # The same sections are drawn before rotation.
    assert list(dict.fromkeys(held(rows))) == held(divided(brains(15, 15), "section:1/3"))


@pytest.mark.parametrize("rule", ["section:7", "block:7"])
def test_hippocampus_counts(rule):
    """27 sections, mirrored, 20 angles: 800 and 280 images (paper, Methods)."""
    images = rotated(brains(27), flips=True)
    assert len(images) == 1080
    rows = divided(images, rule, seed=3)
    assert Counter(row["subset"] for row in rows) == {"train": 800, "val": 280}
    assert len(set(held(rows))) == 7
    assert audit(rows).sections == ()


def test_ibsr_counts():
    """557 sections of 18 subjects: 372 and 185 (paper, Methods), beside 12 and 6 subjects."""
    rows = brains(*[31] * 17, 30)
    assert len(rows) == 557
    by_image = divided(rows, "image:1/3")
    assert Counter(row["subset"] for row in by_image) == {"train": 372, "val": 185}
    found = audit(by_image)
    assert len(found.subjects) == 18
    assert found.neighbors > 100
    by_subject = divided(rows, "subject:1/3")
    assert len(set(held(by_subject, "subject"))) == 6
    assert audit(by_subject).clean
    assert audit(by_subject).neighbors == 0
    assert 180 <= len(held(by_subject)) <= 186


def test_extended_set_holds_out_a_marker():
    """Nine brains, three markers and ages; trained on Nissl and VGAT, tested on GAD1."""
    rows = [
        {"section": f"{marker}{age}{i}", "source_row": i, "subject": f"{marker}-{age}"}
        | {"marker": marker, "age": age}
        for marker in ("Nissl", "VGAT", "GAD1")
        for age in ("P4", "P14", "P28")
        for i in range(4)
    ]
    images = divided(rotated(rows), "marker=GAD1")
    assert len(images) == 36 * 20
    assert {row["marker"] for row in images if row["subset"] == "train"} == {"Nissl", "VGAT"}
    assert set(held(images, "marker")) == {"GAD1"}
    assert len(held(images)) == 12 * 20
    assert audit(images).clean
    by_age = divided(rows, "age=P4,P28")
    assert Counter(held(by_age, "age")) == {"P4": 12, "P28": 12}


def test_image_rule_draws_each_version_on_its_own():
    rows = divided(rotated(sections(6, subject="a")), "image:1/3")
    assert len(held(rows)) == 40
    found = audit(rows)
    assert len(found.sections) == 6
    assert "6 of 6 test sections have versions in training" in str(found)


@pytest.mark.parametrize("sizes", [(27,), (31, 4, 1, 2, 8), (3, 3), (2, 2, 2), (5, 1)])
def test_blocks_leave_no_section_between_two_of_the_training_part(sizes):
    total = sum(sizes)
    rows = brains(*sizes)
    for count in range(1, total):
        for seed in range(4):
            parts = assign(rows, f"block:{count}", seed)
            assert parts.count("val") == count
            start = 0
            for size in sizes:
                run = parts[start : start + size]
                for i in range(1, size - 1):
                    assert run[i - 1 : i + 2] != ["train", "val", "train"]
                start += size


def test_blocks_are_drawn_all_over():
    rows = brains(27)
    drawn = Counter(i for seed in range(60) for i in held(divided(rows, "block:9", seed)))
    assert len(drawn) == 27
    assert all(10 <= times <= 30 for times in drawn.values())
    kept = [assign(rows, "block:9", seed) for seed in range(60)]
    runs = [sum(a != b for a, b in zip(p, p[1:], strict=False)) for p in kept]
    scattered = [assign(rows, "section:9", seed) for seed in range(60)]
    more = [sum(a != b for a, b in zip(p, p[1:], strict=False)) for p in scattered]
    assert np.mean(runs) < 0.6 * np.mean(more)


def test_as_the_source_divides_and_all_to_one_side():
    rows = [{**row, "part": "val" if row["section"] < 2 else "train"} for row in sections(5)]
    assert assign(rows, "source") == ["val"] * 2 + ["train"] * 3
    assert assign(rows, "test") == ["val"] * 5
    assert assign(rows, "train") == ["train"] * 5
    with pytest.raises(ValueError, match="does not say for 5 of 5 sections.*Use another rule"):
        assign(sections(5), "source")


@pytest.mark.parametrize(
    ("rows", "rule", "message"),
    [
        (sections(6, marker="Nissl"), "subject", "column 'subject'.*6 of 6.*marker, section"),
        (brains(3) + sections(2), "brain", "2 of 5 lack it"),
        (sections(6, marker="Nissl"), "marker=GAD1", "no section has the marker GAD1.*are: Nissl"),
        (sections(6, marker="Nissl"), "stain=GAD1", "needs the column 'stain'.*marker"),
        (sections(6, marker="Nissl"), "marker=Nissl", "leaves none to train on"),
        (brains(3, 3), "subject:2", "holds out 2 of 2 subject.*leaves none"),
        (sections(4), "section:4", "holds out 4 of 4 section"),
        (sections(1), "section", "holds out 1 of 1 section"),
        ([], "section", "no section to divide"),
        ([{"marker": "x"}] * 3, "section", "needs the column 'section'.*values: marker"),
    ],
)
def test_rows_that_a_rule_cannot_divide(rows, rule, message):
    with pytest.raises(ValueError, match=message):
        assign(rows, rule)


def test_numbers_and_texts_are_the_same_cell():
    rows = brains(4)
    assert assign(rows, "plate=2,3") == ["train", "train", "val", "val"]


def test_audit_tells_neighbors_by_the_step_of_the_subject():
    def row(subset, plate, subject="a"):
        return {"subset": subset, "subject": subject, "source_row": plate, "plate": plate}

    every_other = [row("train", 10), row("val", "12"), row("val", 14), row("val", 16.0)]
    assert audit(every_other).neighbors == 1
    assert audit([*every_other, row("train", 18)]).neighbors == 2
    # A wider gap is no neighborhood, nor is another subject.
    assert audit([*every_other, row("train", 30), row("train", 15, "b")]).neighbors == 1
    assert "1 test plates lie next to" in str(audit(every_other))
    slices = [{**r, "plate": "", "slice": r["plate"]} for r in every_other]
    assert audit(slices).neighbors == 1


def test_audit_says_what_is_not_known():
    rows = divided(sections(8), "section")
    assert audit(rows).subjects is None
    assert str(audit(rows)) == "Leaks: subjects are not recorded."
    found = audit([{"subset": "train"}, {"subset": "val"}])
    assert found.sections is None and found.subjects is None and found.neighbors is None
    assert "source sections are not recorded" in str(found)
    assert str(audit(divided(brains(3, 3), "subject:1"))).startswith("Leaks: none")
    assert audit(divided(brains(3, 3), "test")).clean


def test_audit_keeps_brains_apart_whose_rows_have_the_same_number():
    rows = [
        {"subset": "train", "subject": "a", "source_row": 1},
        {"subset": "val", "subject": "b", "source_row": 1},
    ]
    assert audit(rows).clean
    many = brains(*[2] * 9)
    found = audit([{**row, "subset": "val" if row["plate"] else "train"} for row in many])
    assert len(found.subjects) == 9
    assert "9 of 9 test subjects are in training too (b0, b1, b2, b3, b4, ...)" in str(found)
