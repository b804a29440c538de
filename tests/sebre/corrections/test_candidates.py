"""What a folder of predictions tells, on records as `sebre predict` writes them."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from mrcnn.errors import UserError
from sebre.corrections.candidates import read_candidates
from sebre.predict.section_records import write_record
from sebre.trust.trust_model import NO_TISSUE

COLORS = {1: [200, 0, 0], 2: [0, 200, 0]}


def packed(pixels: np.ndarray, form: str) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=form)
    return base64.b64encode(file.getvalue()).decode()


def pictures(gray: int, share: float, mirrored: bool = False) -> dict[str, str]:
    """A section [40, 60] with region 1 from the left to this share of the tissue, then region 2."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[8:32, 10:50] = gray
    labels = np.zeros((40, 60, 4), np.uint8)
    border = 10 + round(40 * share)
    labels[8:32, 10:border] = (*COLORS[1], 255)
    labels[8:32, border:50] = (*COLORS[2], 255)
    labels = labels[:, ::-1] if mirrored else labels
    return {"picture": packed(pixels, "JPEG"), "labels": packed(labels.copy(), "PNG")}


def row(name: str, number: int, area: int, score: float = 0.9, **more) -> dict:
    found = {"found": "yes", "score": score} if area else {"found": "no"}
    return {"region": name, "region_id": number, "area_px": area, **found, **more}


def record(folder, name, rows, shape=(40, 60), warnings=(), gray=200, **shown):
    regions = [[number, f"r{number}", color] for number, color in COLORS.items()]
    about = {"warnings": list(warnings), "shape": list(shape), "regions": regions}
    about |= pictures(gray, **{"share": 0.5, **shown})
    stamp = {"path": f"/pictures/{name}.tif", "bytes": 1, "mtime_ns": 1}
    (folder / ".records").mkdir(parents=True, exist_ok=True)
    write_record(folder, name, stamp, rows, None, about)


def test_expected_dice_or_scores(tmp_path):
    record(tmp_path, "a", [row("cortex", 1, 50, expected_dice=0.6), row("thalamus", 2, 0)])
    found = read_candidates(tmp_path)
    assert found.calibrated and found.sections[0].expected_dice == 0.6
    assert found.sections[0].picture == "/pictures/a.tif"
    record(tmp_path, "b", [row("cortex", 1, 50, 0.8), row("thalamus", 2, 30, 0.4)])
    found = read_candidates(tmp_path)
    assert not found.calibrated and found.sections[1].expected_dice == pytest.approx(0.6)
    assert found.sections[1].regions["thalamus"].area == 30


def test_both_sides_of_a_section_are_one_region(tmp_path):
    halves = [row("cortex", 1, 50, expected_dice=0.6), row("cortex", 1, 70, expected_dice=0.4)]
    record(tmp_path, "a", halves)
    part = read_candidates(tmp_path).sections[0].regions["cortex"]
    assert (part.area, part.expected_dice) == (120, 0.4)


def test_looks_are_near_where_sections_are_alike_and_lie_alike(tmp_path):
    rows = [row("r1", 1, 50), row("r2", 2, 50)]
    record(tmp_path, "one", rows, share=0.7)
    record(tmp_path, "like", rows, share=0.65)
    record(tmp_path, "other", rows, share=0.1)
    record(tmp_path, "mirrored", rows, share=0.7, mirrored=True)
    record(tmp_path, "dark", rows, share=0.7, gray=60)
    looks = {one.name: one.looks for one in read_candidates(tmp_path).sections}
    away = {name: float(np.hypot.reduce(found - looks["one"])) for name, found in looks.items()}
    assert away["one"] == 0 < away["like"] < 0.5 < away["other"] < 1.42
    assert away["mirrored"] > 0.9 and away["dark"] > 0.3


def test_what_cannot_be_corrected_is_left_out_and_named(tmp_path):
    record(tmp_path, "good", [row("cortex", 1, 50)])
    record(tmp_path, "empty", [], warnings=[str(NO_TISSUE)])
    record(tmp_path, "scan", [row("cortex", 1, 50)], shape=(4, 40, 60))
    (tmp_path / ".records" / "broken.json").write_text("{")
    stamp = {"picture": {"path": "/pictures/begun.tif"}}
    (tmp_path / ".records" / "begun.json").write_text(json.dumps(stamp))
    found = read_candidates(tmp_path)
    assert [one.name for one in found.sections] == ["good"]
    assert {why.partition(":")[0]: names for why, names in found.left_out.items()} == {
        "without tissue": ["empty"],
        "volumes": ["scan"],
        "damaged records": ["broken"],
        "not finished": ["begun"],
    }


def test_sections_of_networks_of_other_regions_are_not_compared(tmp_path, monkeypatch):
    record(tmp_path, "a", [row("r1", 1, 50)])
    monkeypatch.setitem(COLORS, 3, [0, 0, 200])
    record(tmp_path, "b", [row("r1", 1, 50)])
    with pytest.raises(UserError, match="a, b were looked at by networks of other regions"):
        read_candidates(tmp_path)


def test_a_folder_without_predictions_is_refused(tmp_path):
    with pytest.raises(UserError, match="no section of `sebre predict` that could be corrected"):
        read_candidates(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        read_candidates(tmp_path / "none")
