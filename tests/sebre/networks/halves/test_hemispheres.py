"""The midline of whole coronal sections, and the two sides found one by one."""

import csv
import json

import cv2
import numpy as np
import pytest
from PIL import Image

import sebre
from mrcnn.structures.mask_formats import rle_from_text, rle_to_mask
from sebre.data.regions import HIPPOCAMPUS
from sebre.networks.halves.hemispheres import Midline, find_midline, halves


def phantom(lean: float = 0.0) -> np.ndarray:
    """A section that is the same on both sides, with structures, uint8 [240, 320, 3]."""
    y, x = np.mgrid[:240, :320] + 0.5
    across = np.abs(x - 160 - lean * (y - 120))
    picture = np.where(np.hypot(across / 140, (y - 120) / 105) < 1, 60, 0)
    for size, up, out in ((25, 70, 60), (18, 140, 40), (30, 150, 95), (9, 60, 15)):
        picture[np.hypot(across - out, y - up) < size] = 60 + 5 * size
    return np.repeat(picture.astype(np.uint8)[..., None], 3, axis=-1)


def test_the_midline_of_a_phantom_and_its_halves():
    picture = phantom()
    line = find_midline(picture)
    assert abs(line.at + line.slope * 120 - 160) < 1.5 and abs(line.slope) < 0.02
    left, right = halves(picture, Midline(160.0, 0.0))
    assert (left.side, right.side) == ("left", "right")
    np.testing.assert_array_equal(left.pixels, right.pixels)  # both have the midline on the left
    for half in (left, right):
        assert find_midline(half.pixels) is None
    whole = np.zeros((240, 320), np.uint8)
    left.place((left.pixels[..., 0] > 100).astype(np.uint8), whole)
    right.place(2 * (right.pixels[..., 0] > 100).astype(np.uint8), whole)
    bright = picture[..., 0] > 100
    np.testing.assert_array_equal(whole[:, :160], bright[:, :160])
    np.testing.assert_array_equal(whole[:, 160:], 2 * bright[:, 160:])


@pytest.mark.parametrize("angle", [-18, -7, 12, 20])
def test_the_midline_of_a_section_that_is_turned(angle):
    turn = cv2.getRotationMatrix2D((160, 120), angle, 0.75)
    line = find_midline(cv2.warpAffine(phantom(), turn, (320, 240)))
    assert np.degrees(np.arctan(line.slope)) == pytest.approx(angle, abs=1.5)
    for y in (60, 120, 180):
        x, row = turn @ np.array([160, y, 1])
        assert abs(line.at + line.slope * row - x) < 3


def test_what_is_not_the_same_on_both_sides_has_none():
    picture = phantom()
    picture[:, 200:] = 0
    assert find_midline(picture) is None
    assert find_midline(np.zeros((50, 60, 3), np.uint8)) is None


def test_the_two_sides_of_every_plate_are_told_apart(data_dir):
    """The line is that of the table, within 1 % of the width, and halves are no whole sections."""
    folder = data_dir / "ara_nissl_hippocampus"
    with (folder / "alignment.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 31
    for row in rows:
        picture = np.asarray(Image.open(folder / row["jpg"]).convert("RGB"))
        names = ("a11", "a12", "b1", "a21", "a22", "b2", "midline_m", "midline_c")
        a11, a12, b1, a21, a22, b2, m, c = (float(row[name]) for name in names)
        line = find_midline(picture)
        for y in np.array([0.25, 0.5, 0.75]) * len(picture):
            wanted = (m * (a22 * y + b2) + c - a12 * y - b1) / (a11 - m * a21)
            assert abs(line.at + line.slope * y - wanted) < 0.01 * picture.shape[1]
        for half in halves(picture, line):
            assert find_midline(half.pixels) is None


def test_the_network_finds_each_region_on_both_sides(data_dir, tmp_path):
    network = sebre.load("hippocampus")
    picture = np.asarray(Image.open(data_dir / "ara_nissl_hippocampus" / "nissl" / "74.jpg"))
    whole = network.predict(picture)
    assert [(row["region"], row["hemisphere"]) for row in whole.rows] == [
        (name, side) for name in HIPPOCAMPUS.names for side in ("left", "right")
    ]
    line = find_midline(np.repeat(picture[..., None], 3, axis=-1))
    right = line.right_of(picture.shape)
    for row in whole.rows:
        own = whole.label_map == row["region_id"]
        own &= right if row["hemisphere"] == "right" else ~right
        assert row["found"] == "yes" and row["area_px"] == own.sum() > 500
    shares = [row["tissue_share"] for row in whole.rows]
    assert 0 < sum(shares) < 0.4  # of the tissue of both sides
    whole.save(tmp_path, formats=["geojson"], shapes="rle")
    entries = json.loads((tmp_path / "picture_regions.json").read_text())
    for row, entry in zip(whole.rows, entries, strict=True):
        drawn = rle_to_mask(rle_from_text(entry["rle"]))
        assert drawn.sum() == row["area_px"]
        assert not drawn[~right if row["hemisphere"] == "right" else right].any()
    # A half is segmented as it is, and has no side.
    half = next(
        h for h in halves(np.repeat(picture[..., None], 3, axis=-1), line) if h.side == "right"
    )
    alone = network.predict(half.pixels)
    assert {row["hemisphere"] for row in alone.rows} == {""}
    np.testing.assert_array_equal(
        alone.label_map[half.own], whole.label_map[:, half.columns][half.own]
    )
