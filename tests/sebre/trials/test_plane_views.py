"""Networks of three planes on the same scans: what they say meets in the right voxels."""

import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from mrcnn.errors import UserError
from sebre.cli import main as sebre
from sebre.data.regions import SUBCORTICAL
from sebre.experiments import EXPERIMENTS
from sebre.networks.unet import UNetSegmenter, unet_config
from sebre.prepare.volume import read_volume, to_8_bit
from sebre.trials.plane_views import ViewsSegmenter, main, mean_views

SHAPE = (40, 48, 44)


class Painted(UNetSegmenter):
    """Says of each pixel what its gray value is, at the size of the picture."""

    def probabilities(self, image):
        classes = np.minimum(np.rint(image[..., 0] / 28).astype(int), 8)
        return np.eye(9, dtype=np.float32)[classes]


def painted() -> Painted:
    return Painted(None, unet_config(EXPERIMENTS["ibsr"])(), SUBCORTICAL, None)


@pytest.fixture
def scans(tmp_path):
    """Two scans with eight blocks of their own gray values, and their labels."""
    numbers = [37, 36, 58, 57, 56, 55, 60, 59]
    for scan in ("1000", "1003"):
        labels = np.zeros(SHAPE, np.int16)
        for k, number in enumerate(numbers):
            x = 26 if k % 2 == 0 else 6  # columns run to the left
            y, z = 8 + 16 * (k // 4), 6 + 16 * ((k // 2) % 2)
            labels[x : x + 8, y : y + 9, z : z + 7] = number
        order = np.zeros(256, np.float32)
        for k, number in enumerate(numbers, start=1):
            order[number] = 28 * k
        picture = order[labels]
        picture[:2], picture[-2:] = 2, 255  # so that the window of gray values changes little
        for name, data in (("glm", labels), ("SS", picture)):
            image = nibabel.Nifti1Image(data, np.diag([-1.0, 1, 1, 1]))
            nibabel.save(image, tmp_path / f"{scan}_{name}.nii.gz")
    return tmp_path


@pytest.fixture
def prepared(scans):
    """Their horizontal sections."""
    rows = "scan_id,subject_id,split\n1000,a,train\n1003,b,test\n"
    (scans / "subjects.csv").write_text(rows, encoding="utf-8")
    out = scans / "malc2012"
    assert sebre(["prepare", "malc2012", "--raw", scans, "--out", out]) == 0
    return out


@pytest.mark.parametrize("planes", [("horizontal",), ("horizontal", "coronal", "sagittal")])
def test_every_plane_paints_the_same_voxels(scans, planes):
    volume = read_volume(scans / "1003_SS.nii.gz")
    shown = replace(volume, data=to_8_bit(volume.data.astype(np.float32)))
    found = mean_views({plane: painted() for plane in planes}, shown)
    assert found.shape == (9, *volume.data.shape)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    wanted = np.minimum(np.rint(shown.data / 28).astype(int), 8)
    assert len(np.unique(wanted)) == 9
    np.testing.assert_array_equal(found.argmax(0), wanted)
    # Of a region, sagittal slices say as much of its counterpart: 0.2 beside 0.4 + 0.4 + 0.2.
    sure = np.where(wanted > 0, 1 / 1.2 if "sagittal" in planes else 1, 1)
    np.testing.assert_allclose(found.max(0), sure, atol=1e-5)


def test_sections_get_what_was_found_in_their_scan(scans, prepared):
    dataset = EXPERIMENTS["ibsr"].load(prepared, "val")
    views = {plane: painted() for plane in ("horizontal", "coronal")}
    segmenter = ViewsSegmenter(views, dataset, prepared, {"1003": scans / "1003_SS.nii.gz"})
    assert segmenter.network == "U-Net, 2 planes"
    picture = dataset.load_image(0)
    (result,) = segmenter.detect([picture])
    own = painted().probabilities(picture).argmax(-1)
    assert set(result["class_ids"]) == set(np.unique(own)) - {0}
    for k, class_id in enumerate(result["class_ids"]):
        np.testing.assert_array_equal(result["masks"][..., k], own == class_id)
    with pytest.raises(UserError, match="no section of the data set"):
        segmenter.detect([picture[:20]])


def test_three_networks_from_one_command(scans, prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny = ["IMAGE_MIN_DIM=64", "IMAGE_MAX_DIM=64", "QUICKNAT_FILTERS=4", "IMAGES_PER_GPU=1"]
    words = [word for setting in [*tiny, "WORKERS=0"] for word in ("--set", setting)]
    asked = ["--dataset", prepared, "--network", "quicknat", "--steps", "1", "--logs", "logs"]
    assert sebre(["train", "ibsr", *asked, *words]) == 0
    (weights,) = tmp_path.glob("logs/*/quicknat_ibsr.h5")
    options = ["ibsr", "--raw", scans, "--dataset", prepared, "--out", "scores.json", "--views"]
    assert main([*options, f"horizontal={weights}", f"coronal={weights}"]) == 0
    record = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert record["network"] == "QuickNAT, 2 planes" and record["n_subjects"] == 1
    assert "--views horizontal=" in record["command"]
    assert record["weights"] == "horizontal: quicknat_ibsr.h5, coronal: quicknat_ibsr.h5"
    with pytest.raises(UserError, match="slicemap"):
        main([*options, "horizontal=slicemap"])
    table = prepared / "sections.csv"
    rows = table.read_text(encoding="utf-8")
    table.write_text(rows.replace(",a,", ",b,"), encoding="utf-8")
    with pytest.raises(UserError, match="b are in training and test, so slices of other planes"):
        main([*options, f"horizontal={weights}"])
    table.write_text(rows, encoding="utf-8")
    with pytest.raises(UserError, match=r"1003_SS\.nii\.gz: no such file"):
        main(["ibsr", "--raw", tmp_path / "no", *options[3:], f"coronal={weights}"])
