"""Regions painted as overlays, and read again."""

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

from mrcnn.imageio.reading import read_picture
from sebre.data.dataset import SectionDataset
from sebre.data.regions import SLICEMAP, Region, RegionSet
from sebre.data.section_files import numbered
from sebre.evaluation.mask_metrics import iou
from sebre.prepare.build import build
from sebre.prepare.painting import paint_overlays
from sebre.prepare.sources import read_source

TWO = RegionSet(
    "two",
    (Region(1, "cerebellum", "Cb", (238, 93, 255)), Region(2, "cortex", "Ctx", (242, 25, 60))),
)


@pytest.fixture
def dataset():
    root = ROOT / "datasets" / "slicemap"
    sections = SectionDataset(SLICEMAP).load(root, "train", numbers=[0, 3, 7])
    sections.prepare()
    return sections


def drawn(dataset, image_id, name):
    masks, class_ids = dataset.load_mask(image_id)
    return masks[..., list(class_ids).index(SLICEMAP.names.index(name) + 1)]


@pytest.mark.parametrize("scale", [1, 4])
def test_what_is_painted_is_read_again(dataset, tmp_path, scale):
    raw, out = tmp_path / "raw", tmp_path / "prepared"
    paint_overlays(dataset, TWO, raw, scale)
    build(read_source("colour-code", raw, {"downsample": scale}), out, split="train")
    again = SectionDataset(TWO).load(out, "train")
    again.prepare()
    assert again.num_images == 3
    for image_id in range(3):
        masks, class_ids = again.load_mask(image_id)
        assert list(class_ids) == [1, 2]
        for i, region in enumerate(TWO):
            assert iou(masks[..., i], drawn(dataset, image_id, region.name)) > 0.97
        error = np.abs(again.load_image(image_id).astype(int) - dataset.load_image(image_id))
        assert error.mean() < 2


def test_pictures_overlays_and_table(dataset, tmp_path):
    paint_overlays(dataset, TWO, tmp_path / "raw", scale=4)
    raw = tmp_path / "raw"
    assert sorted(p.relative_to(raw).as_posix() for p in raw.rglob("[!.]*.*")) == [
        *(f"images/section_{k}.png" for k in range(3)),
        *(f"overlays/section_{k}.png" for k in range(3)),
        "regions.csv",
    ]
    assert (raw / "regions.csv").read_text() == (
        "name,r,g,b\ncerebellum,238,93,255\ncortex,242,25,60\n"
    )
    overlay = read_picture(numbered(raw / "overlays", "file")[0])
    assert overlay.shape == (336, 336, 3) and overlay.dtype == np.uint8
    assert read_picture(numbered(raw / "images", "file")[0]).shape == (336, 336, 3)
    pure = [(255, 255, 255), *(region.color for region in TWO)]
    exact = [np.all(overlay == color, axis=-1) for color in pure]
    # Inside the masks and outside of them; between them a thin edge of mixed colors.
    mixed = ~np.any(exact, axis=0)
    assert 0 < mixed.mean() < 0.02
    enlarged = Image.fromarray(drawn(dataset, 0, "cortex")).resize((336, 336))
    assert iou(exact[2], np.asarray(enlarged)) > 0.93


def test_the_smaller_of_two_masks_is_seen(dataset, tmp_path, monkeypatch):
    masks = np.zeros((84, 84, 2), bool)
    masks[10:60, 10:60, 0] = masks[20:30, 20:30, 1] = True
    monkeypatch.setattr(dataset, "load_mask", lambda image_id: (masks, np.array([1, 6])))
    paint_overlays(dataset, TWO, tmp_path)
    overlay = read_picture(tmp_path / "overlays" / "section_0.png")
    assert tuple(overlay[25, 25]) == TWO[1].color
    assert tuple(overlay[40, 40]) == TWO[2].color
    assert tuple(overlay[5, 5]) == (255, 255, 255)


def test_a_section_without_the_regions_is_white(dataset, tmp_path, monkeypatch):
    nothing = np.zeros((84, 84, 0), bool), np.zeros(0, np.int32)
    monkeypatch.setattr(dataset, "load_mask", lambda image_id: nothing)
    paint_overlays(dataset, TWO, tmp_path, scale=2)
    overlay = read_picture(tmp_path / "overlays" / "section_0.png")
    assert overlay.shape == (168, 168, 3) and overlay.min() == 255


def test_unknown_regions_and_scales_are_refused(dataset, tmp_path):
    unknown = RegionSet("x", (Region(1, "tail", "T", (1, 2, 3)),))
    with pytest.raises(ValueError, match="no region 'tail'; it has cortex, hippocampus"):
        paint_overlays(dataset, unknown, tmp_path / "raw")
    with pytest.raises(ValueError, match="scale is 0"):
        paint_overlays(dataset, TWO, tmp_path / "raw", scale=0)
    assert not (tmp_path / "raw").exists()
