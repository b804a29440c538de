"""The paper's counts, from raw pictures through the command line (Methods; Results).

Hippocampus and human MRI are counted in test_source_ara_nissl.py and test_source_ibsr.py.
"""

import csv
from collections import Counter
from pathlib import Path

import pytest
from raw_samples import REGIONS_CSV, drawn_labels, painted, section, write

from sebre.cli import commands as cli

SIZE = (60, 80)
SMALL = (slice(None, None, 2), slice(None, None, 2))  # pictures of 30 x 40 pixels
ANGLES = list(range(-20, 20, 2))
MARKERS, AGES = ("Nissl", "VGAT", "GAD1"), ("P4", "P14", "P56")


def make(raw: Path, facts: list[dict[str, str]]) -> None:
    """Sections with overlays, and a table of facts, one row a section."""
    for k in range(1, len(facts) + 1):
        write(raw / "images" / f"section_{k}.png", section(k, SIZE)[SMALL])
        write(raw / "overlays" / f"section_{k}.png", painted(drawn_labels(SIZE)[SMALL]))
    (raw / "regions.csv").write_text(REGIONS_CSV)
    with (raw / "sections.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["section", *facts[0]])
        table.writeheader()
        table.writerows({"section": k, **row} for k, row in enumerate(facts, start=1))


def prepare(raw: Path, out: Path, split: str) -> list[dict[str, str]]:
    """Rows of the prepared set, whose files are looked through and counted."""
    command = ["prepare", "colour-code", "--raw", raw, "--out", out, "--rotations"]
    assert cli.main([*command, "--split", split]) == cli.DONE
    assert cli.main(["check", out]) == cli.DONE
    with (out / "sections.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for part, count in Counter(row["subset"] for row in rows).items():
        numbers = [int(row["section"]) for row in rows if row["subset"] == part]
        assert numbers == list(range(count))
        assert len(list((out / f"mrcnn_{part}_dataset_images").iterdir())) == count
        assert len(list((out / f"mrcnn_{part}_dataset_masks").iterdir())) == count
    return rows


def of(rows: list[dict[str, str]], part: str, column: str) -> Counter:
    """How often each cell of a column stands in a part."""
    return Counter(row[column] for row in rows if row["subset"] == part)


@pytest.fixture(scope="module")
def p14(tmp_path_factory) -> list[dict[str, str]]:
    folder = tmp_path_factory.mktemp("p14")
    make(folder / "raw", [{"marker": "GAD1", "age": "P14", "plane": "sagittal"}] * 30)
    return prepare(folder / "raw", folder / "out", "section:1/3")


def test_p14_has_600_images(p14):
    # Methods: 30 sections, each in 20 versions, 400 to train on and 200 to validate.
    assert Counter(row["subset"] for row in p14) == {"train": 400, "val": 200}
    assert of(p14, "train", "marker") + of(p14, "val", "marker") == {"GAD1": 600}


def test_p14_has_all_versions_of_a_section_on_one_side(p14):
    train, val = (of(p14, part, "source_row") for part in ("train", "val"))
    assert (len(train), len(val)) == (20, 10)
    assert not train.keys() & val.keys()
    assert set((train + val).values()) == {20}


def test_p14_is_turned_by_the_angles_of_the_paper(p14):
    turned: dict[str, list[int]] = {}
    for row in p14:
        turned.setdefault(row["source_row"], []).append(int(row["angle"]))
    assert len(turned) == 30
    assert all(sorted(angles) == ANGLES for angles in turned.values())
    assert {row["flipped"] for row in p14} == {"0"}


def test_the_extended_set_is_divided_by_marker(tmp_path):
    # Results: trained on Nissl and VGAT, tested on GAD1, each at P4, P14 and P56.
    facts = [{"marker": marker, "age": age} for marker in MARKERS for age in AGES]
    make(tmp_path / "raw", facts)
    rows = prepare(tmp_path / "raw", tmp_path / "out", "marker=GAD1")
    assert of(rows, "train", "marker") == {"Nissl": 60, "VGAT": 60}
    assert of(rows, "val", "marker") == {"GAD1": 60}
    assert of(rows, "train", "age") == {"P4": 40, "P14": 40, "P56": 40}
    assert of(rows, "val", "age") == {"P4": 20, "P14": 20, "P56": 20}
