"""Pictures of test sections: what they show, how large they are, and what the license asks for."""

import dataclasses
import json

import numpy as np
import pytest
from paths import ROOT
from PIL import Image
from section_cases import Scripted, prepared, result_of

from sebre.experiments import EXPERIMENTS
from sebre.trials import section_pictures
from sebre.trials.section_pictures import (
    CAPTIONS,
    PLATES,
    captions,
    drawn_and_found,
    fullest,
    main,
    mask_heads,
)

BOX = (4, 4, 20, 20)
PICTURES = ROOT / "results" / "pictures"
MOST_BYTES = 200_000


@pytest.fixture
def sections(tmp_path):
    drawn = [{1: BOX}, *[{1: BOX, 2: (22, 22, 30, 30)}] * 6]
    return prepared(tmp_path / "slicemap", drawn)


def test_sections_are_the_fullest_and_inner_ones(sections):
    assert fullest(sections, 1) == [3] and fullest(sections, 2) == [3, 4]
    assert fullest(sections, 9) == [1, 2, 3, 4, 5, 6]


class AnySize(Scripted):
    """Finds the same box in pictures of any size."""

    def detect(self, images):
        (found,) = super().detect(images)
        masks = np.zeros((*images[0].shape[:2], 1), bool)
        masks[BOX[0] : BOX[2], BOX[1] : BOX[3]] = True
        return [{**found, "masks": masks}]


def test_rows_upright_and_turned(sections, tmp_path):
    rows = [*drawn_and_found(1, (0, -20))(AnySize(result_of((1, 0.9, BOX))), sections, tmp_path)]
    assert [title.partition("  ")[0] for title, _ in rows] == [
        "val/3",
        "val/3 -20°",
    ]
    assert all(len(pictures) == 3 for _, pictures in rows)
    assert "Dice 0.50" in rows[0][0]  # one of two regions


def test_maps_of_the_mask_head_are_of_the_class_found():
    network = section_pictures.load_segmenter("slicemap", EXPERIMENTS["slicemap"])
    sections = EXPERIMENTS["slicemap"].load(ROOT / "datasets" / "slicemap", "val")
    first, *maps = mask_heads(network, sections, ROOT)
    assert first[0].startswith("val/") and 1 <= len(maps) <= 6
    names = {title.rpartition(" ")[0] for title, _ in maps}
    assert names <= set(EXPERIMENTS["slicemap"].regions.names)
    for _, (shown,) in maps:
        # A region fills the middle of its box: bright there in this color map.
        assert shown.shape[2] == 3 and len(np.unique(shown.reshape(-1, 3), axis=0)) > 5


def test_the_command_writes_pictures_and_all_captions(sections, tmp_path, monkeypatch):
    network = Scripted(result_of((1, 0.9, BOX)))
    monkeypatch.setattr(section_pictures, "load_segmenter", lambda weights, experiment: network)
    one = dataclasses.replace(PLATES[0], rows=drawn_and_found(1, (0,)))
    monkeypatch.setattr(section_pictures, "PLATES", (one,))
    out = tmp_path / "out"
    main(["--data", str(tmp_path), "--out", str(out)])
    assert json.loads((out / CAPTIONS).read_text()) == captions()
    with Image.open(out / PLATES[0].file) as picture:
        assert picture.mode == "P" and min(picture.size) > 100


def test_every_shipped_picture_is_small_and_has_its_caption():
    shipped = {path.name: path.stat().st_size for path in PICTURES.glob("*.png")}
    assert set(shipped) == set(captions()) and max(shipped.values()) <= MOST_BYTES
    assert json.loads((PICTURES / CAPTIONS).read_text()) == captions()


def test_captions_name_source_and_license():
    for plate in PLATES:
        assert any(name in plate.caption for name in ("Apache-2.0", "GPL-3", "CC BY-NC", "MIT"))
        # Sections of the Allen Institute may not be shown.
        assert plate.dataset not in ("ara_nissl", "ccf", "demba")
    human = next(plate for plate in PLATES if plate.dataset == "malc2012")
    assert "http://Neuromorphometrics.com/" in human.caption
    assert "not for commercial use" in human.caption
