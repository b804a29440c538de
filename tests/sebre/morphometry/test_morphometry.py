"""Areas and shapes of predicted regions by group: animals are the unit, and what lacks is said."""

import csv
import json
import unicodedata
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from mrcnn.errors import MissingFileError, UserError
from sebre.cli.commands import main
from sebre.morphometry.animals import FactTable, PredictedSection
from sebre.morphometry.groups import measure
from sebre.morphometry.growth_figure import day_of

COLUMNS = (
    "image region_id region found reason score flags hemisphere area_px area_mm2 tissue_share "
    "volume_mm3 y1 x1 y2 x2 perimeter_px solidity".split()
)


def write_csv(path: Path, columns, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def cortex(image: str, area: float, found: str = "yes", mm2: bool = True, **cells) -> dict:
    row = {"image": image, "region_id": 1, "region": "cortex", "found": found}
    if found == "yes":
        row |= {"area_px": round(area * 100), "area_mm2": area if mm2 else ""}
    return row | cells


def predictions(folder: Path, *rows: dict) -> Path:
    write_csv(folder / "regions.csv", COLUMNS, rows)
    return folder


def table_of(out: Path) -> dict[tuple[str, str], dict[str, str]]:
    with (out / "morphometry.csv").open(newline="") as file:
        return {(row["age"], row["region"]): row for row in csv.DictReader(file)}


def run(*arguments) -> int:
    return main(["morphometry", *map(str, arguments)])


def test_animals_are_the_unit_not_sections(tmp_path, capsys):
    # One animal has ten sections of 1, the other one of 3: their mean is 2, not 13 / 11.
    folder = predictions(
        tmp_path / "found",
        *(cortex(f"a_P4/s_{i}", 1.0) for i in range(10)),
        cortex("a_P4/s_10", 0, found="no"),
        cortex("b_P4/s_0", 3.0),
        *(cortex(f"{name}_P14/s_0", area) for name, area in zip("cdefg", range(4, 9), strict=True)),
    )
    assert run(folder, "--by", "age", "--out", tmp_path / "out") == 0
    rows = table_of(tmp_path / "out")
    young, old = rows["P4", "cortex"], rows["P14", "cortex"]
    assert [young[name] for name in ("animals", "sections", "n_animals", "n_sections")] == [
        *("2", "12", "2", "11")
    ]
    assert (young["area_mm2"], young["area_mm2_low"], young["area_mm2_high"]) == ("2", "1", "3")
    assert list(rows) == [("P4", "cortex"), ("P14", "cortex")]  # by day, not by letter
    # Five values from 4 to 8: mean 6, and an interval inside of them that holds it.
    assert float(old["area_mm2"]) == 6
    assert 4 < float(old["area_mm2_low"]) < 6 < float(old["area_mm2_high"]) < 8
    assert "fewer than 5 animals (P4)" in capsys.readouterr().err


def test_the_interval_is_that_of_all_draws(tmp_path):
    areas = np.random.default_rng(0).normal(5, 1, 40)
    rows = (cortex(f"m{i}_P7/s", area) for i, area in enumerate(areas))
    (row,) = measure([predictions(tmp_path, *rows)], ["age"]).rows
    low, high = row.measures["area_mm2"].interval
    half = 1.96 * areas.std() / np.sqrt(40)  # of a normal mean
    assert row.measures["area_mm2"].mean == pytest.approx(areas.mean())
    assert (low, high) == pytest.approx((areas.mean() - half, areas.mean() + half), abs=0.06)


def test_one_animal_has_no_interval_and_that_is_said(tmp_path, capsys):
    folder = predictions(tmp_path / "found", cortex("m_P4/a", 1.0), cortex("m_P4/b", 2.0))
    assert run(folder, "--by", "age", "--out", tmp_path / "out") == 0
    row = table_of(tmp_path / "out")["P4", "cortex"]
    assert (row["area_mm2"], row["area_mm2_low"], row["area_mm2_high"]) == ("1.5", "", "")
    assert "No interval in 1 of 1 group(s) with one animal (P4)" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["_1", "_*"])
def test_accents_of_names_in_the_table_may_have_another_form(tmp_path, ending):
    composed, apart = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    for name, other in ((composed, apart), (apart, composed)):
        row = {"image": f"{name}{ending}", "age": "P4"}
        path = write_csv(tmp_path / "facts.csv", ["image", "age"], [row])
        section = PredictedSection(tmp_path, f"{other}_1", ())
        assert FactTable(path).facts_of(section) == {"age": "P4"}


def test_sections_that_the_table_lacks_are_named(tmp_path, capsys):
    folder = predictions(
        tmp_path / "found",
        *(cortex(name, 1.0) for name in ("m1/a", "m1/b", "m2/a", "x_wt_3", "stray", "m3/a")),
    )
    facts = write_csv(
        tmp_path / "facts.csv",
        ["image", "genotype", "subject"],
        [
            {"image": "m1", "genotype": "ko", "subject": "one"},  # the folder of a brain
            {"image": "m2/a.png", "genotype": "wt", "subject": "two"},  # a picture
            {"image": "*_wt_*", "genotype": "wt", "subject": "three"},  # a pattern
            {"image": "m3", "genotype": "", "subject": "four"},  # does not say
            {"image": "m9", "genotype": "wt", "subject": "nine"},  # of no section
        ],
    )
    out = tmp_path / "out"
    assert run(folder, "--by", "genotype", "--table", facts, "--out", out) == 3
    record = json.loads((out / "morphometry.json").read_text())
    assert record["sections_left_out"] == ["m3/a", "stray"]
    assert {tuple(row["group"]): row["animals"] for row in record["rows"]} == {
        ("ko",): 1,
        ("wt",): 2,
    }
    told = capsys.readouterr().err
    assert "2 section(s) left out" in told and "m3/a, stray" in told
    assert "1 row(s) are of no section (m9)" in told


@pytest.mark.parametrize(
    "subject, animals", [(None, 2), ("mouse", 1), (r"^(\w)", 1), (r"_(\d)", 3)]
)
def test_whose_animal_a_section_is(tmp_path, subject, animals):
    rows = (cortex(name, 1.0) for name in ("a1/s_1", "a1/s_2", "a2/s_3"))
    folder = predictions(tmp_path, *rows)
    facts = [{"image": "*", "age": "P4", "mouse": "m"}]
    table = write_csv(tmp_path / "facts.csv", ["image", "age", "mouse"], facts)
    (row,) = measure([folder], ["age"], table, subject).rows
    assert row.n_animals == animals


def test_sections_of_no_known_animal_are_said(tmp_path):
    one = predictions(tmp_path / "P4", cortex("s1", 1.0), cortex("s2", 2.0))
    alone = measure([one], ["age"])
    assert alone.rows[0].n_animals == 2
    assert "2 section(s) without a known animal count as an animal each" in alone.notes[0]
    # Of several folders each is one animal.
    two = predictions(tmp_path / "P4_b", cortex("s1", 5.0))
    both = measure([one, two], ["age"])
    assert both.rows[0].n_animals == 2
    assert both.rows[0].measures["area_mm2"].mean == pytest.approx((1.5 + 5) / 2)


def test_flagged_regions_are_left_out_and_counted(tmp_path):
    folder = predictions(
        tmp_path,
        *(cortex(f"m{i}_P4/s", 1.0) for i in range(3)),
        cortex("m3_P4/s", 9.0, flags="far from the training set"),
    )
    everything, trusted = measure([folder], ["age"]), measure([folder], ["age"], trusted_only=True)
    assert everything.rows[0].measures["area_mm2"].mean == 3.0
    assert trusted.rows[0].measures["area_mm2"].mean == 1.0
    assert (trusted.rows[0].n_animals, trusted.rows[0].n_flagged) == (3, 1)
    assert "1 of 4 regions have a flag and are left out." in trusted.notes
    assert "1 of 4 regions have a flag and count; see --trusted-only." in everything.notes


def test_mm2_and_px_are_never_mixed(tmp_path):
    sized, unsized = cortex("a_P4/s", 2.0), cortex("b_P4/s", 7.0, mm2=False)
    mixed = measure([predictions(tmp_path / "mixed", sized, unsized)], ["age"])
    assert mixed.rows[0].measures["area_mm2"].mean == 2.0
    assert mixed.rows[0].measures["area_mm2"].n_animals == 1
    assert "area_px" not in mixed.rows[0].measures
    assert "1 of 2 regions have no area in mm2" in mixed.notes[0]
    px = measure([predictions(tmp_path / "px", unsized)], ["age"])
    assert px.rows[0].measures["area_px"].mean == 700
    assert "No section has a known pixel size" in px.notes[0]


def test_shapes_and_volumes(tmp_path):
    disk = {"perimeter_px": 2 * np.pi * 10, "area_px": np.pi * 100, "solidity": 0.9}
    box = {"y1": 0, "x1": 10, "y2": 40, "x2": 30, "tissue_share": 0.25}
    rows = [cortex(f"m_P4/s{i}", 2.0, **disk, **box) for i in range(3)]
    (row,) = measure([predictions(tmp_path, *rows)], ["age"], spacing_um=500).rows
    means = {name: value.mean for name, value in row.measures.items()}
    assert means == pytest.approx(
        {
            **{"area_mm2": 2, "tissue_share": 0.25, "solidity": 0.9},
            **{"box_aspect": 2, "compactness": 1, "volume_mm3": 3 * 2 * 0.5},
        }
    )
    # A row of a whole scan: what it calls its area counts voxels.
    volumes = predictions(tmp_path / "scan", cortex("m_P4", 9.0, mm2=False, volume_mm3=12.5))
    scan = measure([volumes], ["age"])
    assert {name: value.mean for name, value in scan.rows[0].measures.items()} == {
        "volume_mm3": 12.5
    }
    assert scan.unit == "volume_mm3" and "px" not in " ".join(scan.notes)
    with pytest.raises(UserError, match="have volumes already"):
        measure([volumes], ["age"], spacing_um=500)


def test_an_animal_that_was_scanned_twice_has_one_volume(tmp_path):
    scans = [cortex(f"m{i}_P4", 9.0, mm2=False, volume_mm3=10.0 + i) for i in range(3)]
    folder = predictions(tmp_path, *scans)
    facts = [{"image": f"m{i}_P4", "age": "P4", "subject": "ab"[i == 2]} for i in range(3)]
    table = write_csv(tmp_path / "facts.csv", ["image", "age", "subject"], facts)
    found = measure([folder], ["age"], table)
    assert found.rows[0].measures["volume_mm3"].mean == pytest.approx((10.5 + 12) / 2)
    assert "1 animal(s) have several scans in a group (a)" in " ".join(found.notes)


def test_regions_of_few_animals_are_said(tmp_path):
    rows = [cortex(f"m{i}/P4", 1.0 + i, found="yes" if i < 2 else "no") for i in range(6)]
    found = measure([predictions(tmp_path, *rows)], ["age"])
    (row,) = found.rows
    assert (row.animals, row.n_animals) == (6, 2)
    assert "1 region(s) were measured in fewer than 5 animals of their group (P4: cortex)" in (
        " ".join(found.notes)
    )


def test_folders_of_one_name_are_animals_of_their_own(tmp_path):
    first = predictions(tmp_path / "m7" / "found", cortex("P4/s1", 1.0), cortex("P4_s2", 1.0))
    second = predictions(tmp_path / "m8" / "found", cortex("P4/s1", 3.0), cortex("P4_s2", 5.0))
    facts = [{"image": "*", "age": "P4"}]
    table = write_csv(tmp_path / "facts.csv", ["image", "age"], facts)
    found = measure([first, second], ["age"], table)
    # Of each a brain, and a section that lies beside it.
    assert found.rows[0].n_animals == 4
    assert "1 brain(s) are in several folders (P4) and count as an animal in each" in found.notes[0]
    facts = [{"image": "found", "age": "P4"}]
    table = write_csv(tmp_path / "ages.csv", ["image", "age"], facts)
    with pytest.raises(UserError, match="'found' is of 2 folders of that name"):
        measure([first, second], ["age"], table)


def test_volumes_want_every_section(tmp_path):
    rows = [cortex("m_P4/s0", 2.0), cortex("m_P4/s1", 2.0, flags="far from the training set")]
    folder = predictions(tmp_path / "flagged", *rows)
    with pytest.raises(UserError, match="none may be left out. Leave --trusted-only out"):
        measure([folder], ["age"], trusted_only=True, spacing_um=500)
    rows = [cortex("m_P4/s0", 2.0), cortex("m_P4/s1", 2.0, mm2=False)]
    with pytest.raises(UserError, match="1 of 2 regions have no area in mm2, so that volumes"):
        measure([predictions(tmp_path / "sizes", *rows)], ["age"], spacing_um=500)


def test_hemispheres_are_measured_apart(tmp_path):
    sides = [cortex("m_P4/s", area, hemisphere=side) for side, area in (("left", 1), ("right", 2))]
    rows = measure([predictions(tmp_path, *sides)], ["age"]).rows
    assert {row.title: row.measures["area_mm2"].mean for row in rows} == {
        **{"left cortex": 1.0, "right cortex": 2.0}
    }


@pytest.mark.parametrize("by", [["age"], ["age", "genotype"], ["genotype"]])
def test_the_figure_has_a_panel_for_each_region(tmp_path, by):
    rows = [
        cortex(f"{animal}{age}/s", area) | {"region": region, "region_id": number}
        for age in ("P4", "P14", "P56")
        for animal, area in (("a", 1.0), ("b", 2.0), ("c", 3.0))
        for number, region in ((1, "cortex"), (2, "thalamus"))
    ]
    facts = [
        {"image": f"{animal}{age}", "age": age, "genotype": genotype}
        for age in ("P4", "P14", "P56")
        for animal, genotype in (("a", "wt"), ("b", "wt"), ("c", "ko"))
    ]
    table = write_csv(tmp_path / "facts.csv", ["image", "age", "genotype"], facts)
    folder, out = predictions(tmp_path / "found", *rows), tmp_path / "out"
    assert run(folder, "--by", *by, "--table", table, "--out", out) == 0
    with Image.open(out / "growth.png") as picture:
        assert picture.width > 500
    drawn = (out / "growth.svg").read_text()
    ElementTree.fromstring(drawn)
    assert all(f"<!-- {text} -->" in drawn for text in ("cortex", "thalamus"))
    assert ("<!-- age, days -->" in drawn) == (by[0] == "age")
    # Again, over what was written before: byte for byte the same.
    assert run(folder, "--by", *by, "--table", table, "--out", out) == 0
    assert (out / "growth.svg").read_text() == drawn


@pytest.mark.parametrize(
    "age, day", [("P4", 4), ("14", 14), ("56 d", 56), ("P0.5", 0.5), ("adult", None), ("E18", None)]
)
def test_ages_in_days(age, day):
    assert day_of(age) == day


def test_what_cannot_be_used_is_one_line(tmp_path, capsys):
    found = predictions(tmp_path / "found", cortex("m/s", 1.0), cortex("n/s", 1.0))
    facts = write_csv(tmp_path / "facts.csv", ["image", "age"], [{"image": "m", "age": "P4"}])
    twice = write_csv(
        tmp_path / "twice.csv",
        ["image", "age"],
        [{"image": "m*", "age": "P4"}, {"image": "*/s", "age": "P5"}],
    )
    none = predictions(tmp_path / "none", cortex("m_P4/s", 0, found="no"))
    cases = {
        "named twice": [found, found, "--by", "age"],
        "Nothing says the age": [found, "--by", "age"],
        "Nothing says the genotype": [found, "--by", "genotype"],
        "has no column genotype; it has age": [found, "--by", "genotype", "--table", facts],
        "fits several rows": [found, "--by", "age", "--table", twice],
        "not a column of the table (age)": [found, "--by", "age", "--table", facts, *_subject("q")],
        "nor a regular expression": [found, "--by", "age", "--table", facts, *_subject("(")],
        "no region was found": [none, "--by", "age"],
        "--draw solidity: not known": [found, *_table(facts), "--draw", "solidity"],
    }
    for text, arguments in cases.items():
        assert run(*arguments, "--out", tmp_path / "out") == 2, text
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert text in line
        assert not (tmp_path / "out").exists()
    with pytest.raises(MissingFileError, match="regions.csv"):
        measure([tmp_path / "absent"], ["age"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "growth.png").write_text("mine")
    assert run(found, *_table(facts), "--out", tmp_path / "out") == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["growth.png"]


def _subject(text: str) -> list[str]:
    return ["--subject", text]


def _table(path: Path) -> list[str]:
    return ["--by", "age", "--table", str(path)]


def test_a_picture_that_was_predicted_twice_counts_once_or_not_at_all(tmp_path, capsys):
    folders = []
    for name in "ab":
        folder = predictions(tmp_path / name, cortex("m1_P4", 1.0), cortex("m2_P4", 1.0))
        (folder / ".records").mkdir()
        for image in ("m1_P4", "m2_P4"):
            picture = {"path": str(tmp_path / f"{image if image[1] == '1' else name}.png")}
            (folder / f".records/{image}.json").write_text(json.dumps({"picture": picture}))
        folders.append(folder)
    facts = [{"image": "m1_P4", "age": "P4", "subject": "m"}]
    facts += [{"image": "m2_P4", "age": "P4", "subject": "m"}]
    table = write_csv(tmp_path / "facts.csv", ["image", "age", "subject"], facts)
    assert run(*folders, "--by", "age", "--table", table, "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "m1_P4.png: cortex was found in it twice" in said and "would count twice" in said
    assert run(folders[0], "--by", "age", "--table", table, "--out", tmp_path / "out") == 0


def test_volumes_of_sections_that_lack_something_are_refused(tmp_path, capsys):
    rows = [
        cortex(f"a_P4/s_{i}", 1.0, hemisphere=side) for i in range(3) for side in ("left", "right")
    ]
    whole = predictions(tmp_path / "whole", *rows)
    assert run(whole, "--by", "age", "--spacing-um", "100", "--out", tmp_path / "out") == 0
    mixed = predictions(tmp_path / "mixed", *rows, cortex("a_P4/s_3", 2.0))
    assert run(mixed, "--by", "age", "--spacing-um", "100", "--out", tmp_path / "out") == 2
    assert "of both in a_P4/s_3, which was not cut" in capsys.readouterr().err
    facts = [{"image": f"a_P4/s_{i}", "age": "P4"} for i in range(2)]
    table = write_csv(tmp_path / "facts.csv", ["image", "age"], facts)
    asked = ("--by", "age", "--table", table, "--out", tmp_path / "out", "--spacing-um", "100")
    assert run(whole, *asked) == 2
    assert (
        "1 section(s) of brains that are measured are not in the table" in capsys.readouterr().err
    )


@pytest.mark.parametrize(("by", "numbers"), [("dose", False), ("age", True)])
def test_numbers_are_days_of_ages_alone(tmp_path, by, numbers):
    rows = [cortex(f"{name}/s", 1.0) for name in "abc"]
    facts = [
        {"image": name, by: value} for name, value in zip("abc", ("0", "0.5", "10"), strict=True)
    ]
    table = write_csv(tmp_path / "facts.csv", ["image", by], facts)
    folder, out = predictions(tmp_path / "found", *rows), tmp_path / "out"
    assert run(folder, "--by", by, "--table", table, "--out", out) == 0
    assert ("days -->" in (out / "growth.svg").read_text()) == numbers


def test_scans_are_named_with_or_without_their_ending(tmp_path):
    folder = predictions(tmp_path / "found", cortex("m1", 1.0), cortex("m2", 1.0))
    facts = [{"image": "m1.nii.gz", "age": "P4"}, {"image": "m2.nrrd", "age": "P4"}]
    table = write_csv(tmp_path / "facts.csv", ["image", "age"], facts)
    assert run(folder, "--by", "age", "--table", table, "--out", tmp_path / "out") == 0
    twice = [{"image": "m1.nii.gz", "age": "P4"}, {"image": "m1.png", "age": "P5"}]
    table = write_csv(tmp_path / "facts.csv", ["image", "age"], twice)
    assert run(folder, "--by", "age", "--table", table, "--out", tmp_path / "out") == 2
