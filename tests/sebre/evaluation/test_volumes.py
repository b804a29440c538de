"""Distances in space, of volumes whose slices are sections, on hand cases."""

from pathlib import Path

import pytest
from section_cases import HALF, WHOLE, Scripted, prepared, result_of

from sebre.data.dataset import SectionDataset
from sebre.data.metadata import Slice, read_facts
from sebre.evaluation.evaluate import evaluate

FACTS = {"plane": "horizontal", "volumetric": True, "pixel_size_um": 100, "slice_spacing_um": 2000}
FOUND, LOST = result_of((1, 0.9, WHOLE)), result_of()
KEYS = ("hausdorff_mm", "hausdorff95_mm", "cmd_mm")


def volumes(root: Path, places: list[tuple], **facts) -> SectionDataset:
    """Slices that all show the cortex, at (subject, scan, slice)."""
    cells = [dict(zip(("subject", "scan", "slice"), place, strict=True)) for place in places]
    return prepared(root, [{1: WHOLE}] * len(places), {**FACTS, **facts}, cells)


def scores(root: Path, places: list[tuple], results: list[dict], facts=None, **options) -> dict:
    dataset = volumes(root, places, **(facts or {}))
    return evaluate(Scripted(*results), dataset, "slicemap", root, draws=0, **options).to_json()


def cortex(record: dict) -> dict:
    return {key: record[f"{key}_per_region_volume"]["cortex"] for key in KEYS}


# Three slices of 8 x 8 px, of which the last was missed. Ends of a volume are contour as a whole,
# so drawn: 64, 28 and 64 px; the last 64 are one slice, 2 mm, off. Found: 64 and 64 px; of the last
# slice 36 px are inside the drawn ring: 20, 12 and 4 px, 1, 2 and 3 px off.
MEAN = (64 * 2 / 156 + 0.1 * (20 + 2 * 12 + 3 * 4) / 128) / 2
A = [("a", "", k) for k in (5, 6, 7)]


def test_a_hand_case(tmp_path):
    record = scores(tmp_path / "set", A, [FOUND, FOUND, LOST])
    assert cortex(record) == pytest.approx({"hausdorff_mm": 2, "hausdorff95_mm": 2, "cmd_mm": MEAN})
    assert record["n_volumes"] == record["n_volumes_measured"] == 1
    assert record["n_per_region_volume"]["cortex"] == 1
    assert record["missed_per_region_volume"]["cortex"] == 0
    assert record["hausdorff_mm_per_region_volume"]["thalamus"] is None
    assert record["n_per_region_volume"]["thalamus"] == 0
    # On the two slices where it was found it was found exactly.
    assert record["hausdorff_px_per_region"]["cortex"] == 0
    assert record["slice_spacing_um"] == 2000


def test_means_are_over_subjects_of_the_means_over_their_volumes(tmp_path):
    places = [*A, ("a", "again", 1), ("b", "", 0), ("c", "", 0), ("c", "", 1)]
    results = [FOUND, FOUND, LOST, FOUND, FOUND, LOST, LOST]
    record = scores(tmp_path / "set", places, results)
    # a: 2 and 0 mm; b: 0; c: nothing found.
    assert record["hausdorff_mm_per_region_volume"]["cortex"] == pytest.approx(0.5)
    assert record["n_volumes"] == record["n_per_region_volume"]["cortex"] == 4
    assert record["missed_per_region_volume"]["cortex"] == 1
    assert record["n_subjects"] == record["n_interval_units"] == 3
    assert record["interval_unit"] == "subject"


def test_percentile(tmp_path):
    """A pixel of 0.1 mm off at one end: 8 of 64 pixels, more than 5 %."""
    shifted = result_of((1, 0.9, (4, 4, 12, 13)))
    record = scores(tmp_path / "set", A[:1], [shifted])
    assert cortex(record)["hausdorff95_mm"] == pytest.approx(0.1)
    assert record["hausdorff95_px_per_region"]["cortex"] == 1
    spot = result_of((1, 0.9, WHOLE))
    spot["masks"][4, 12, 0] = True  # 1 of 65 pixels
    record = scores(tmp_path / "spot", A[:1], [spot])
    assert cortex(record)["hausdorff_mm"] == pytest.approx(0.1)
    assert cortex(record)["hausdorff95_mm"] == 0
    assert record["hausdorff95_mm_per_region"]["cortex"] == 0


@pytest.mark.parametrize(
    "places",
    [
        [("a", "", 1), ("a", "", 3)],  # a gap
        [("a", "", 1), ("a", "", 1)],  # two scans in one
    ],
)
def test_volumes_with_gaps_are_not_measured(tmp_path, places):
    record = scores(tmp_path / "set", [*places, ("b", "", 1)], [LOST, LOST, FOUND])
    assert (record["n_volumes"], record["n_volumes_measured"]) == (2, 1)
    assert cortex(record) == dict.fromkeys(KEYS, 0)
    assert record["n_subjects"] == 2  # the Dice of volumes needs no neighbors
    assert record["dice_per_region_volume"]["cortex"] == 0.5


def test_volumes_divided_among_parts_are_not_measured(tmp_path):
    dataset = volumes(tmp_path / "set", A)
    table = tmp_path / "set" / "sections.csv"
    table.write_text(table.read_text() + "0,train,a,,8\n")
    record = evaluate(Scripted(FOUND), dataset, "slicemap", tmp_path / "set", draws=0).to_json()
    assert (record["n_volumes"], record["n_volumes_measured"]) == (1, 0)
    assert cortex(record) == dict.fromkeys(KEYS)
    assert record["n_per_region_volume"]["cortex"] == 0


def test_without_a_distance_between_slices(tmp_path):
    record = scores(tmp_path / "set", A, [FOUND], {"slice_spacing_um": None})
    assert "n_volumes" not in record
    assert not any(f"{key}_per_region_volume" in record for key in KEYS)
    assert record["dice_per_region_volume"]["cortex"] == 1
    record = scores(
        tmp_path / "given", A, [FOUND, FOUND, LOST], {"slice_spacing_um": None}, slice_um=500
    )
    assert cortex(record)["hausdorff_mm"] == 0.5
    assert record["slice_spacing_um"] == 500


def test_sizes_that_differ_between_volumes(tmp_path):
    cells = [
        {"subject": s, "slice": k, "pixel_um": um, "slice_um": slice_um}
        for s, k, um, slice_um in [("a", 0, 100, 3000), ("a", 1, 100, 3000), ("b", 0, 200, "")]
    ]
    facts = {**FACTS, "pixel_size_um": None}
    dataset = prepared(tmp_path / "set", [{1: WHOLE}] * 3, facts, cells)
    known = read_facts(tmp_path / "set")
    assert known.slices["val/0"] == Slice(("a", ""), 0, (3, 0.1, 0.1))
    assert known.slices["val/2"] == Slice(("b", ""), 0, (2, 0.2, 0.2))
    assert known.pixel_of("val/2") == (0.2, 0.2)
    assert known.pixel_of("val/9") is None
    results = [FOUND, LOST, result_of((1, 0.9, HALF))]
    record = evaluate(Scripted(*results), dataset, "slicemap", tmp_path / "set", draws=0).to_json()
    assert cortex(record)["hausdorff_mm"] == pytest.approx((3 + 0.8) / 2)
    assert record["hausdorff_mm_per_region"]["cortex"] == pytest.approx((0 + 0.8) / 2)


def test_units(tmp_path):
    volumes(tmp_path / "set", [*A, ("b", "", 0)])
    facts = read_facts(tmp_path / "set")
    assert facts.unit == "subject"
    assert facts.units == {"val/0": "a", "val/1": "a", "val/2": "a", "val/3": "b"}
    cells = [{"source_row": row, "angle": angle} for row in (7, 8) for angle in (0, 2)]
    prepared(tmp_path / "flat", [{1: WHOLE}] * 4, {"plane": "sagittal"}, cells)
    facts = read_facts(tmp_path / "flat")
    assert facts.unit == "section"
    assert facts.units == {"val/0": "7", "val/1": "7", "val/2": "8", "val/3": "8"}


@pytest.mark.parametrize("spacing", [0, -1, "2", [2, 2], True, float("inf")])
def test_distances_that_do_not_fit(tmp_path, spacing):
    volumes(tmp_path / "set", A, slice_spacing_um=spacing)
    with pytest.raises(ValueError, match="distance between slices is"):
        read_facts(tmp_path / "set")
    volumes(tmp_path / "good", A)
    with pytest.raises(ValueError, match="distance between slices is"):
        read_facts(tmp_path / "good", spacing)


def test_a_pixel_size_that_does_not_fit(tmp_path):
    cells = [{"subject": "a", "slice": 0, "pixel_um": "small"}]
    prepared(tmp_path / "set", [{1: WHOLE}], FACTS, cells)
    with pytest.raises(ValueError, match=r"sections\.csv: pixel_um of val/0 is 'small'"):
        read_facts(tmp_path / "set")


def test_inner_slices_are_those_away_from_the_ends_of_a_region(tmp_path):
    places = [("a", "", k) for k in range(6)] + [("b", "", k) for k in range(4)]
    results = [LOST, FOUND, FOUND, LOST, FOUND, LOST, FOUND, FOUND, FOUND, FOUND]
    record = scores(tmp_path / "set", places, results)
    # Two of six slices, one of them missed; four slices have none.
    assert record["dice_inner_per_region"]["cortex"] == pytest.approx(0.5)
    assert record["n_inner_per_region"]["cortex"] == 2
    assert record["dice_inner_per_region"]["thalamus"] is None
    gap = scores(tmp_path / "gap", places[:2] + places[3:6], results[:5])
    assert gap["n_inner_per_region"]["cortex"] == 0
