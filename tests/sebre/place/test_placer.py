"""The place file that ships, on real sections of known planes; and damaged ones."""

import json
import shutil

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

from mrcnn.errors import UserError
from mrcnn.io.files import file_sha256
from sebre.networks.weights_store import read_manifest, shipped_store
from sebre.place.placer import load_placer, placer_sha256
from sebre.predict.overview import about, summary
from sebre.predict.prediction import predict_picture

PICTURES = ROOT / "datasets" / "any_section" / "images"
SAGITTAL = ROOT / "datasets" / "slicemap" / "mrcnn_val_dataset_images" / "section_img_4.png"


@pytest.fixture(scope="module")
def placer():
    return load_placer()


def picture(name):
    with Image.open(PICTURES / name) as image:
        return np.asarray(image.convert("RGB"))


# AP by DeepSlice, mm from the front end of the atlas.
@pytest.mark.parametrize(("name", "ap"), [("glta_s074.jpg", 5.8), ("abba_s004.jpg", 8.3)])
def test_a_coronal_section_lies_where_deepslice_says(placer, name, ap):
    found = placer.place(picture(name))
    assert found.plane == "coronal" and found.sure
    assert found.tilt_deg < 12
    assert found.position_mm == pytest.approx(ap, abs=1.0)
    assert abs(found.turn_deg) < 10
    assert found.differs_from("sagittal")
    assert 0.05 < found.position_error_mm < 3


def test_a_turned_section_is_the_same_section(placer):
    upright = placer.place(picture("glta_s074.jpg"))
    turned = placer.place(np.rot90(picture("glta_s074.jpg")).copy())  # counterclockwise
    assert turned.plane == upright.plane
    assert turned.position_mm == pytest.approx(upright.position_mm, abs=0.2)
    assert turned.turn_deg == pytest.approx(upright.turn_deg - 90, abs=3)
    # A point of the tissue, in both pictures.
    height, width = upright.shape
    assert turned.at(300, width - 500) == pytest.approx(upright.at(500, 300), abs=0.3)
    assert turned.shape == (width, height)


def test_the_front_of_a_sagittal_section(placer):
    gray = np.asarray(Image.open(SAGITTAL).convert("L"), np.float32)
    one, other = placer.place(gray), placer.place(gray[:, ::-1].copy())
    assert one.plane == other.plane == "sagittal"
    assert {one.front, other.front} == {"left", "right"}


def test_px_are_those_of_the_whole_picture(placer):
    pixels = picture("abba_s004.jpg")
    own = placer.place(pixels)
    whole = placer.place(pixels, (10 * pixels.shape[0], 10 * pixels.shape[1], 3))
    assert whole.at(1500, 900) == pytest.approx(own.at(150, 90))


def test_without_tissue_there_is_no_place(placer):
    assert placer.place(np.full((60, 80, 3), 7, np.uint8)) is None


def test_a_prediction_has_its_place(placer):
    from sebre.networks.segmenter import load_segmenter

    network = load_segmenter("any_section")
    found = predict_picture(network, PICTURES / "glta_s124.jpg")
    assert found.place.plane == "coronal"
    table = found.regions
    assert set(table["plane"]) == {"coronal"}
    cortex = table.loc["isocortex"]
    assert 5 < cortex["ap_mm"] < 11 and 0 < cortex["dv_mm"] < 8
    told = about(found)
    assert told["place"] == json.loads(json.dumps(found.place.to_json()))
    places = summary({"s": {"rows": found.rows, "about": told}})["places"]
    assert places["s"]["plane"] == "coronal"
    assert predict_picture(network, PICTURES / "glta_s124.jpg", place=False).place is None


def test_it_belongs_to_the_weights_that_ship():
    entry = read_manifest(shipped_store())["any_section"]
    path = shipped_store() / entry["place"]["file"]
    assert file_sha256(path) == entry["place"]["sha256"] == placer_sha256()
    assert path.stat().st_size < 5e6
    with np.load(path) as file:
        assert str(file["weights_sha256"]) == entry["sha256"]


@pytest.fixture
def own_store(tmp_path, monkeypatch):
    """A store of one's own with the network of any section."""
    entry = read_manifest(shipped_store())["any_section"]
    for file in (entry["file"], entry["config"], entry["place"]["file"]):
        shutil.copy(shipped_store() / file, tmp_path / file)
    monkeypatch.setenv("SEBRE_WEIGHTS", str(tmp_path))

    def write(arrays=None, checksum=None):
        path = tmp_path / entry["place"]["file"]
        if arrays is not None:
            np.savez(path, **arrays)
        place = {"file": path.name, "sha256": checksum or file_sha256(path)}
        manifest = {"any_section": {**entry, "place": place}}
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        with np.load(path) as file:
            return dict(file)

    return write


def test_of_other_weights_it_is_not_used(own_store, caplog):
    arrays = own_store()
    own_store({**arrays, "weights_sha256": np.array("0" * 64)})
    assert load_placer() is None
    assert "was made for other weights" in caplog.text


def test_a_damaged_file_is_refused(own_store):
    arrays = own_store(checksum="0" * 64)
    with pytest.raises(UserError, match="SHA-256 differs"):
        load_placer()
    own_store({name: arrays[name] for name in arrays if name != "age_bar"})
    with pytest.raises(UserError, match="not a place file.*age_bar"):
        load_placer()


def test_a_store_without_it_has_no_places(own_store, tmp_path, monkeypatch):
    own_store()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["any_section"]["place"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert load_placer() is None and placer_sha256() is None
