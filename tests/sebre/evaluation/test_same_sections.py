"""Test sections that two divisions of one source share, by name in both."""

import json

import pytest

from mrcnn.errors import UserError
from sebre.data.csv_tables import read_rows
from sebre.evaluation.same_sections import main, same_sections

COLUMNS = "section,subset,subject,angle,flipped,source_row"


def prepared(folder, rule, tested, **other):
    """A set of six slices of two people; `tested` are source rows of its test part."""
    folder.mkdir()
    record = {"name": "scans", "raw_sha256": {"a.nii": "01"}, "processing": {"min_mask_px": 10}}
    (folder / "dataset.json").write_text(
        json.dumps({**record, "split": {"rule": rule}, **other}), encoding="utf-8"
    )
    counts, lines = {"train": 0, "val": 0}, [COLUMNS]
    for row in range(6):
        part = "val" if row in tested else "train"
        lines.append(f"{counts[part]},{part},P{row // 3},0,0,{row}")
        counts[part] += 1
    (folder / "sections.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def by_person(tmp_path):
    return prepared(tmp_path / "by_person", "source", (3, 4, 5))


def test_names_of_the_same_slice(by_person, tmp_path):
    by_section = prepared(tmp_path / "by_section", "section:1/3", (0, 3, 5))
    columns, rows = same_sections(by_person, by_section)
    assert columns == ["subject", "source", "section:1/3"]
    assert [tuple(row.values()) for row in rows] == [
        ("P1", "val/0", "val/1"),
        ("P1", "val/2", "val/2"),
    ]
    out = tmp_path / "scans_same_sections.csv"
    command = [str(by_person), str(by_section), "--out", str(out)]
    main(command)
    assert read_rows(out) == (columns, rows)
    # It comes with the repository too, without the hidden record of who wrote it.
    (tmp_path / ".written.jsonl").unlink()
    main(command)
    (tmp_path / ".written.jsonl").unlink()
    out.write_text("my,own\n1,2\n", encoding="utf-8")
    with pytest.raises(UserError, match="there already"):
        main(command)
    assert out.read_text(encoding="utf-8") == "my,own\n1,2\n"
    with pytest.raises(UserError, match=r"wanted a name of the form \*_same_sections.csv"):
        main([*command[:-1], str(tmp_path / "other.csv")])


@pytest.mark.parametrize(
    ("rule", "tested", "other", "message"),
    [
        ("section:1/3", (0, 1), {}, "no section is in both test parts"),
        ("source", (3, 4), {}, "both are divided by 'source'"),
        ("section:1/3", (3,), {"name": "other"}, "another 'name'"),
        ("section:1/3", (3,), {"raw_sha256": {"a.nii": "02"}}, "another 'raw_sha256'"),
        ("section:1/3", (3,), {"processing": {"min_mask_px": 1}}, "another 'processing'"),
        ("section:1/3", (3,), {"split": None}, "does not say how the set was divided"),
    ],
)
def test_sets_that_cannot_be_joined(by_person, tmp_path, rule, tested, other, message):
    wrong = prepared(tmp_path / "other", rule, tested, **other)
    with pytest.raises(UserError, match=message):
        same_sections(by_person, wrong)


def test_rows_that_are_not_told_apart(by_person, tmp_path):
    wrong = prepared(tmp_path / "other", "section:1/3", (3,))
    with (wrong / "sections.csv").open("a", encoding="utf-8") as file:
        file.write("1,val,P1,0,0,3\n")
    with pytest.raises(UserError, match="two rows of one section"):
        same_sections(by_person, wrong)


def test_a_folder_that_was_not_prepared_here(by_person, tmp_path):
    with pytest.raises(UserError, match="two divisions of one source"):
        same_sections(by_person, tmp_path / "nowhere")
