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


def picture(gray: int) -> str:
    pixels = np.zeros((40, 60), np.uint8)
    pixels[8:32, 10:50] = gray
    packed = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(packed, format="JPEG", quality=90)
    return base64.b64encode(packed.getvalue()).decode()


def row(name: str, number: int, area: int, score: float = 0.9, **more) -> dict:
    found = {"found": "yes", "score": score} if area else {"found": "no"}
    return {"region": name, "region_id": number, "area_px": area, **found, **more}


def record(folder, name, rows, gray=200, shape=(40, 60), warnings=()):
    about = {"warnings": list(warnings), "shape": list(shape), "picture": picture(gray)}
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


def test_looks_are_near_where_sections_are_alike(tmp_path):
    def rows(a, b):
        shares = {"tissue_share": a / 100}, {"tissue_share": b / 100}
        return [row("a", 1, a, **shares[0]), row("b", 2, b, **shares[1])]

    for name, areas, gray in (
        *(("one", (40, 20), 200), ("like", (38, 22), 200)),
        *(("other", (5, 60), 200), ("dark", (40, 20), 60)),
    ):
        record(tmp_path, name, rows(*areas), gray)
    looks = {one.name: one.looks for one in read_candidates(tmp_path).sections}

    def away(name):
        return float(np.hypot.reduce(looks["one"] - looks[name]))

    assert away("like") < 0.1 < away("other") and away("dark") > 0.3


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


def test_a_folder_without_predictions_is_refused(tmp_path):
    with pytest.raises(UserError, match="no section of `sebre predict` that could be corrected"):
        read_candidates(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        read_candidates(tmp_path / "none")
