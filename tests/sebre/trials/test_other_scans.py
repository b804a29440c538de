"""Scans of other sources: as a prepared data set, and without labels of the regions."""

import numpy as np
import pytest
from volumes import save_nifti

from mrcnn.errors import MissingFileError, UserError
from sebre.data.metadata import read_facts
from sebre.data.regions import MOUSE, SUBCORTICAL
from sebre.data.section_files import list_subset
from sebre.prepare.volume import Volume
from sebre.trials import labeled_scans
from sebre.trials.labeled_scans import SCANS
from sebre.trials.unlabeled_scans import GRAY, score_scan, score_scans

SHAPE = (20, 24, 6)


def labels_of(name):
    """The eight structures of a scan: right ones right, of 4 x 4 px on the slices 2 and 3."""
    labels = np.zeros(SHAPE, np.int16)
    for number, class_id in SCANS[name].numbers.items():
        left = SUBCORTICAL[class_id].name.startswith("left")
        x, y = (2 if left else 14), 1 + 5 * ((class_id - 1) // 2)
        labels[x : x + 4, y : y + 4, 2:4] = number
    return labels


@pytest.mark.parametrize("name", ["colin27", "eve"])
def test_a_scan_becomes_a_test_part(tmp_path, name):
    labels = labels_of(name)
    image = np.where(labels > 0, 200, 100).astype(np.int16)
    voxel = (1.0, 1.0, 1.0)
    save_nifti(tmp_path / "raw" / SCANS[name].image, image, voxel_mm=voxel)
    save_nifti(tmp_path / "raw" / SCANS[name].labels, labels, voxel_mm=voxel)
    out = tmp_path / name
    labeled_scans.main([name, "--raw", str(tmp_path / "raw"), "--out", str(out)])
    sections, _ = list_subset(out, "val")
    assert len(sections) == 2 and not list_subset(out, "train")[0]
    assert all(len(section.masks) == 8 for section in sections.values())
    facts = read_facts(out)
    assert facts.subjects["val/0"] == name and facts.record["split"]["rule"] == "test"
    assert facts.record["slice_spacing_um"] == 1000


def test_the_template_of_diffusion_mri_has_the_regions_of_mice(tmp_path, data_dir):
    raw = tmp_path / "civm"
    raw.mkdir()
    structures = data_dir / "ccf" / "structure_tree_safe_2017.csv"
    # Cortex, CA1, zona incerta and a number of no region, as the file of the template has them.
    names = ["11\tVISp2_3:a", "457\tCA1:Field_CA1", "802\tZI:Zona_incerta", "3\tfiber_tracts:b"]
    (raw / "P56_annotation.txt").write_text("\n".join(names))
    labels = np.zeros(SHAPE, np.float32)
    for row, number in enumerate((11, 457, 802, 3)):
        labels[4:8, 5 * row : 5 * row + 4] = number
    save_nifti(raw / "P56_annotation.nii.gz", labels, voxel_mm=(0.05,) * 3)
    save_nifti(raw / "CIVM_mouse.ISO.nii.gz", labels + 50, voxel_mm=(0.05,) * 3)
    options = ["--raw", str(raw), "--structures", str(structures), "--out", str(tmp_path / "out")]
    labeled_scans.main(["civm", *options])
    sections, _ = list_subset(tmp_path / "out", "val")
    assert len(sections) == 4
    found = {MOUSE[class_id].name for class_id in sections[0].masks}
    assert found == {"cortex", "hippocampus", "prethalamus"}
    record = read_facts(tmp_path / "out").record
    assert record["plane"] == "sagittal" and record["split"]["rule"] == "test"


class Halves:
    """Finds the left caudate in the left half of the picture, and the right in the other."""

    regions = SUBCORTICAL

    def detect(self, images):
        height, width = images[0].shape[:2]
        masks = np.zeros((height, width, 2), bool)
        masks[:, : width // 2, 0] = masks[:, width // 2 :, 1] = True
        ids = np.array([2, 1])
        return [{"masks": masks, "class_ids": ids, "scores": np.array([0.9, 0.8])}]


def test_the_share_of_gray_matter(tmp_path):
    image = np.full(SHAPE, 100, np.int16)
    classes = np.full(SHAPE, 3, np.int16)
    classes[:10] = GRAY  # all of the subject's left
    volumes = (Volume(data, (1.0, 1.0, 1.0)) for data in (image, classes))
    found = score_scan(Halves(), *volumes, step=2)
    # The subject's right lies left in the picture.
    assert found["gray"] == {"left_caudate": 1.0, "right_caudate": 0.0}
    assert found["gray_of_brain"] == 0.5
    assert found["ml"]["left_caudate"] == pytest.approx(10 * 24 * 6 / 1000)
    assert found["ml"]["left_thalamus"] == 0
    alone = score_scan(Halves(), Volume(image, (1.0, 1.0, 1.0)), None)
    assert set(alone) == {"ml"}


def test_scans_with_and_without_tissue_classes(tmp_path):
    for name in ("IBSR_01", "IBSR_02"):
        save_nifti(tmp_path / f"{name}.nii.gz", np.full(SHAPE, 100, np.int16))
    save_nifti(tmp_path / "IBSR_01_seg.nii.gz", np.full(SHAPE, GRAY, np.int16))
    scans = score_scans(Halves(), tmp_path)
    assert ["gray" in scans[name] for name in ("IBSR_01", "IBSR_02")] == [True, False]
    save_nifti(tmp_path / "IBSR_02_seg.nii.gz", np.full((20, 24, 5), GRAY, np.int16))
    with pytest.raises(UserError, match="IBSR_02"):
        score_scans(Halves(), tmp_path)
    with pytest.raises(MissingFileError, match="no IBSR"):
        score_scans(Halves(), tmp_path / "none")
