"""Rows of the table: all regions that were looked for, measured on the label map."""

import math

import numpy as np
import pytest
from fixed_segmenter import RESULT, result_of
from skimage.draw import ellipse, polygon

from sebre.data.regions import SLICEMAP, SUBCORTICAL
from sebre.networks.segmenter import best_labels
from sebre.predict.measures import TABLE_COLUMNS, is_found, measure, region_rows


def test_rows_of_a_hand_case():
    rows = region_rows("a", RESULT, SLICEMAP, pixel_um=(50.0, 20.0), tissue_px=264)
    assert [row["region"] for row in rows] == SLICEMAP.names
    assert all(list(row) == [c for c in TABLE_COLUMNS if c in row] for row in rows)
    assert [row["region"] for row in rows if is_found(row)] == ["cortex", "thalamus"]
    cortex = rows[0]
    assert cortex["score"] == 0.8 and cortex["area_px"] == 100
    assert cortex["area_um2"] == 100_000 and cortex["area_mm2"] == pytest.approx(0.1)
    assert cortex["tissue_share"] == pytest.approx(100 / 264, abs=1e-4)
    assert [cortex[side] for side in ("y1", "x1", "y2", "x2")] == [5, 5, 15, 15]
    assert (cortex["centroid_y"], cortex["centroid_x"]) == (10, 10)
    assert cortex["solidity"] == 1
    for row in rows[3:]:
        assert row["area_px"] == 0 and "score" not in row and row["reason"].startswith("not found")


def test_why_a_region_has_no_pixel():
    result = result_of((3, 0.9, (0, 0, 10, 10)), (2, 0.7, (2, 2, 5, 5)))
    rows = region_rows("a", result, SLICEMAP, least_score=0.3)
    assert rows[1]["reason"].startswith("suppressed")
    assert rows[0]["reason"] == "not found: no detection with a score of at least 0.3"


def test_sides_by_the_names_of_regions():
    rows = region_rows("a", result_of(), SUBCORTICAL, np.zeros((4, 4), np.uint8))
    assert [row["hemisphere"] for row in rows] == ["left", "right"] * 4
    assert {row["hemisphere"] for row in region_rows("a", RESULT, SLICEMAP)} == {""}


@pytest.mark.parametrize("angle", [-60, -20, 0, 35, 80])
def test_orientation_is_that_of_the_long_axis(angle):
    labels = np.zeros((300, 300), np.uint8)
    t = math.radians(angle)
    along, across = np.array([-math.sin(t), math.cos(t)]), np.array([math.cos(t), math.sin(t)])
    corners = [
        150 + a * 100 * along + b * 15 * across for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))
    ]
    labels[polygon(*np.array(corners).T)] = 2
    assert measure(labels, 7)[2]["orientation_deg"] == pytest.approx(angle, abs=0.5)


def test_large_label_maps_are_measured_alike():
    small = np.zeros((150, 200), np.uint8)
    small[ellipse(70, 90, 40, 60)] = 1
    small[ellipse(70, 90, 20, 30)] = 4
    large = small.repeat(24, axis=0).repeat(20, axis=1)  # 14 million pixels
    few, many = measure(small, 7, (48.0, 40.0)), measure(large, 7, (2.0, 2.0))
    for class_id in (1, 4):
        a, b = few[class_id], many[class_id]
        assert b["area_px"] == 480 * a["area_px"] and b["area_mm2"] == pytest.approx(a["area_mm2"])
        assert b["y2"] == 24 * a["y2"] and b["x1"] == 20 * a["x1"]
        assert b["centroid_y"] == pytest.approx(24 * a["centroid_y"], abs=2)
        assert b["centroid_x"] == pytest.approx(20 * a["centroid_x"], abs=2)
        assert b["solidity"] == pytest.approx(a["solidity"], abs=0.02)


def test_lines_and_single_pixels_are_measured():
    labels = np.zeros((30, 30), np.uint16)
    labels[4, 3:20], labels[29, 29], labels[10:25, 7] = 1, 300, 2
    found = measure(labels, 301)
    assert found[300]["area_px"] == 1 and found[300]["solidity"] == 1
    assert found[1]["orientation_deg"] == pytest.approx(0)
    assert abs(found[2]["orientation_deg"]) == pytest.approx(90)


def test_areas_are_those_of_the_label_map():
    labels = best_labels(RESULT, (20, 20))
    for row in region_rows("a", RESULT, SLICEMAP, labels):
        assert row["area_px"] == np.count_nonzero(labels == row["region_id"])
