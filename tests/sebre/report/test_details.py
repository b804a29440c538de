"""Tables of intervals, failures and volumes: every cell is in the record."""

import pytest
from result_samples import made_up, newer, write

from sebre.data.regions import HIPPOCAMPUS, SUBCORTICAL
from sebre.report.details import failures_table, intervals_table, volumes_table
from sebre.report.records import read_results

NAMES = HIPPOCAMPUS.names


def read(folder, **records):
    write(folder, **records)
    results, problems = read_results(folder, {})
    assert problems == ()
    return results


def test_intervals_with_their_unit_and_count(tmp_path):
    record = newer(made_up("hippocampus", "plates", 0.1, NAMES))
    table = intervals_table(read(tmp_path, a=record))
    (row,) = table.rows
    cells = []
    for scores in (record, record["turned"]):
        for key in ("map_paper", "dice_mean"):
            low, high = scores["intervals"][key]
            cells.append(f"{scores[key]:.3f} [{low:.3f}, {high:.3f}]")
    assert row == ("hippocampus", "plates", *cells, "7 sections")
    assert table.groups[2:6] == ("as they lie",) * 2 + ("turned",) * 2
    assert not any("too narrow" in note for note in table.notes)


def test_few_units_are_named_as_too_few(tmp_path):
    few = newer(made_up("ibsr", "scans", 0.1, SUBCORTICAL.names), unit="subject", n_units=4)
    results = read(tmp_path, a=few, b=newer(made_up("hippocampus", "plates", 0.1, NAMES)))
    (note,) = (note for note in intervals_table(results).notes if "too narrow" in note)
    assert "scans (4 subjects)" in note and "plates" not in note


def test_results_without_intervals_and_of_a_unet(tmp_path):
    old = made_up("hippocampus", "plates", 0.1, NAMES, turned=False)
    unet = newer(made_up("hippocampus", "plates", 0.3, NAMES), network="U-Net")
    results = read(tmp_path, old=old, unet=unet)
    (row,) = intervals_table(results).rows
    assert row[2:] == (f"{old['map_paper']:.3f}", f"{old['dice_mean']:.3f}", "-", "-", "-")
    assert failures_table(results).rows == ()


@pytest.mark.parametrize("sides", [False, True])
def test_failures_by_kind(tmp_path, sides):
    record = newer(made_up("hippocampus", "plates", 0.1, NAMES))
    record["n_regions_drawn"] = 80
    if sides:
        record["failures"]["side_swap"] = {"total": 9, "per_region": {}}
    record["turned"]["failures"]["missed"]["total"] = 11
    table = failures_table(read(tmp_path, a=record))
    lying, turned = table.rows
    assert table.header[4:] == (
        *("missed", "poor fit", "not drawn", "found twice"),
        *("wrong region", "other side"),
    )
    assert lying[1:] == ("plates", "as they lie", "80", *"12345", "9" if sides else "-")
    assert turned[2:] == ("turned", "-", "11", *"2345", "-")


def test_no_turned_sections_no_row(tmp_path):
    record = newer(made_up("hippocampus", "plates", 0.1, NAMES, turned=False))
    assert len(failures_table(read(tmp_path, a=record)).rows) == 1


def volumes(record, **values):
    record |= {"n_volumes": 5, "n_volumes_measured": 4}
    for key, start in values.items():
        record[f"{key}_per_region_volume"] = {
            name: start + i for i, name in enumerate(record["n_per_region"])
        }
    return record


def test_whole_volumes(tmp_path):
    record = made_up("ibsr", "scans", 0.1, SUBCORTICAL.names, volumes=True)
    keys = {"hausdorff_mm": 1.5, "hausdorff95_mm": 11.5, "cmd_mm": 21.5}
    record = volumes(record, **keys, n=4, missed=0)
    record["missed_per_region_volume"] = {name: 1 for name in SUBCORTICAL.names}
    results = read(tmp_path, a=record, b=made_up("ibsr", "flat", 0.2, SUBCORTICAL.names))
    table = volumes_table(results, "ibsr")
    assert len(table.rows) == len(SUBCORTICAL)
    dice = record["dice_per_region_volume"]
    for i, (name, row) in enumerate(zip(SUBCORTICAL.names, table.rows, strict=True)):
        distances = tuple(f"{start + i:.3f}" for start in keys.values())
        region = name.replace("_", " ")
        assert row == ("scans", region, f"{dice[name]:.3f}", *distances, str(4 + i), "1")
    assert table.notes[0] == (
        "scans: 3 subjects; 5 volumes, 4 of them without a gap between slices."
    )
    assert volumes_table(results, "hippocampus").rows == ()


def test_volumes_without_a_distance_between_slices(tmp_path):
    record = made_up("ibsr", "scans", 0.1, SUBCORTICAL.names, volumes=True)
    table = volumes_table(read(tmp_path, a=record), "ibsr")
    assert all(row[2] != "-" and set(row[3:]) == {"-"} for row in table.rows)
    assert "no distances in space" in table.notes[0]
