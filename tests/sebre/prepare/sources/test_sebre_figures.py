"""The four sections of the released figure."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from sebre.data.dataset import SectionDataset
from sebre.data.regions import MOUSE
from sebre.prepare.build import build
from sebre.prepare.sources import read_source

LATERAL = ["cortex", "hippocampus", "basal_ganglia", "hindbrain", "telencephalic_vesicle"]
MEDIAL = ["cortex", "hippocampus", "thalamus", "hindbrain", "telencephalic_vesicle"]


def test_sections_and_masks(data_dir):
    raw = data_dir / "sebre_figures"
    raw_set = read_source("sebre-figures", raw, {})
    with (raw / "placement.csv").open(newline="") as file:
        placed = {
            (int(r["section"]), r["mask"]): int(r["mask_pixels"]) for r in csv.DictReader(file)
        }
    assert len(raw_set.sections) == 4
    assert len(raw_set.files) == 24
    borders = []
    for k, section in enumerate(raw_set.sections):
        image, masks = section.read()
        np.testing.assert_array_equal(
            image, np.asarray(Image.open(raw / f"section_{k}" / f"section_{k}.png"))
        )
        names = [MOUSE[i].name for i in masks]
        assert names == (LATERAL if k < 2 else MEDIAL)
        bright = image.mean(axis=-1) > 235
        for class_id, mask in masks.items():
            name = MOUSE[class_id].name
            name = "basal_ganglia_column_thalamus" if name == "thalamus" else name
            drawn = np.asarray(Image.open(raw / f"section_{k}" / f"{name}.png")) > 0
            assert drawn.sum() == placed[k, name]
            assert not (drawn & ~mask).any()
            added = mask & ~drawn
            # Fissures are thin, and nothing is far from what was drawn.
            assert added.sum() < 0.04 * drawn.sum()
            assert not ndimage.binary_erosion(added, np.ones((5, 5))).any()
            assert ndimage.distance_transform_edt(~drawn)[mask].max() <= 3
            assert bright[mask].mean() < 0.15  # it lies on tissue
            others = np.any([m for i, m in masks.items() if i != class_id], axis=0)
            assert (added & others).sum() == 0
        borders += [*image[0], *image[-1]]
    assert np.abs(np.median(borders, axis=0) - raw_set.background).max() <= 2


def test_fissures_are_filled(data_dir):
    """The mask of a cerebellum had 3 % of thin lines in it."""
    raw = data_dir / "sebre_figures"
    _, masks = read_source("sebre-figures", raw, {}).sections[2].read()
    drawn = np.asarray(Image.open(raw / "section_2" / "hindbrain.png")) > 0
    holes = ndimage.binary_fill_holes(drawn) & ~drawn
    assert holes.sum() > 200
    assert masks[7][holes].mean() > 0.98


def test_data_set(data_dir, tmp_path):
    raw_set = read_source("sebre-figures", data_dir / "sebre_figures", {})
    build(raw_set, tmp_path / "out")
    counts = {}
    for subset in ("train", "val"):
        dataset = SectionDataset(MOUSE).load(tmp_path / "out", subset)
        dataset.prepare()
        counts[subset] = dataset.num_images
    assert counts == {"train": 3, "val": 1}
    card = (tmp_path / "out" / "README.md").read_text()
    for words in ("is the cerebellum", "P14", "is the thalamus", "MIT"):
        assert words in card


@pytest.mark.parametrize("damage", ["section", "mask", "size", "unknown", "masks", "folders"])
def test_damaged_folders_are_named(data_dir, tmp_path, damage):
    folder = tmp_path / "section_2"
    shutil.copytree(data_dir / "sebre_figures" / "section_2", folder)
    for path in (tmp_path, folder, *folder.iterdir()):
        path.chmod(0o755)
    if damage == "section":
        (folder / "section_2.png").unlink()
        message = "section_2.png: no such file; the section itself is missing"
    elif damage == "mask":
        (folder / "cortex.png").write_bytes(b"PNG")
        message = "cortex.png: cannot read this picture"
    elif damage == "size":
        Image.new("L", (5, 4)).save(folder / "cortex.png")
        message = r"cortex.png: 4 x 5 px \(height x width\), but its section section_2.png has 368"
    elif damage == "unknown":
        (folder / "cortex.png").rename(folder / "neocortex.png")
        message = "neocortex.png: is not a mask of this source"
    elif damage == "masks":
        for path in folder.glob("[!s]*.png"):
            path.unlink()
        message = "section_2: holds no masks beside section_2.png"
    else:
        shutil.rmtree(folder)
        message = "holds no folder section_0"
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_source("sebre-figures", tmp_path, {}).sections[0].read()
