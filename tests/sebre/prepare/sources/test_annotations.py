"""Outlines of other programs become masks: each form against pixels that are known."""

import base64
import io
import json
import re
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import other_readers
import pytest
import roifile
import tifffile
from paths import ROOT
from PIL import Image
from pycocotools import mask as coco_masks

from mrcnn.errors import UserError
from sebre.cli import commands as cli
from sebre.data.csv_tables import read_rows
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import read_facts
from sebre.data.region_names import recorded_regions
from sebre.data.regions import SLICEMAP, safe_name
from sebre.predict.exchange import coco, found_section, geojson, imagej, write_formats
from sebre.prepare.outline_files import read_outlines
from sebre.prepare.sources import read_source
from sebre.prepare.subjects import name_subjects

SIZE = (40, 60)
# A square with a hole, and a square; px from the corner of the picture: x from 10 to 30.
SQUARE = [(10, 5), (30, 5), (30, 25), (10, 25)]
HOLE = [(15, 10), (15, 20), (25, 20), (25, 10)]
OTHER = [(40, 10), (50, 10), (50, 30), (40, 30)]


def square(hole: bool = True) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[5:25, 10:30] = True
    mask[10:20, 15:25] = not hole
    return mask


def other() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[10:30, 40:50] = True
    return mask


def closed(ring):
    return [*ring, ring[0]]


def feature(name, kind, coordinates, **properties):
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"objectType": "annotation", "classification": {"name": name}, **properties},
    }


def qupath(folder: Path) -> Path:
    features = [
        feature("Layer 2/3", "Polygon", [closed(SQUARE), closed(HOLE)]),
        feature("CA1", "MultiPolygon", [[closed(OTHER)]]),
        feature("CA1", "Point", [3, 4]),
    ]
    path = folder / "m1_a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def coco_file(folder: Path) -> Path:
    packed = coco_masks.encode(np.asfortranarray(square().astype(np.uint8)))
    flat = [float(v) for point in OTHER for v in point]
    record = {
        "images": [{"id": 7, "file_name": "x/m1_a.tif", "height": SIZE[0], "width": SIZE[1]}],
        "categories": [{"id": 1, "name": "Layer 2/3"}, {"id": 9, "name": "CA1"}],
        "annotations": [
            {
                "image_id": 7,
                "category_id": 1,
                "segmentation": {**packed, "counts": packed["counts"].decode()},
            },
            {"image_id": 7, "category_id": 9, "segmentation": [flat]},
        ],
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(record))
    return path


def labelme(folder: Path) -> Path:
    shapes = [
        {"label": "Layer 2/3", "shape_type": "polygon", "points": SQUARE},
        {"label": "CA1", "shape_type": "rectangle", "points": [OTHER[0], OTHER[2]]},
        {"label": "CA1", "shape_type": "line", "points": [(0, 0), (5, 5)]},
    ]
    record = {"shapes": shapes, "imagePath": "..\\m1_a.jpg"}
    record |= {"imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    path = folder / "m1_a.json"
    path.write_text(json.dumps(record))
    return path


def rois(folder: Path) -> Path:
    path = folder / "m1_a_rois.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, ring in (("Layer 2-3", SQUARE), ("CA1", OTHER), ("CA1-1", OTHER)):
            roi = roifile.ImagejRoi.frompoints(np.array(ring, float), name=name)
            roi.roitype = roifile.ROI_TYPE.POLYGON
            archive.writestr(f"{name}.roi", roi.tobytes())
    return path


FORMS = {"qupath": (qupath, True), "coco": (coco_file, True), "labelme": (labelme, False)}
FORMS["imagej"] = (rois, False)


@pytest.fixture
def raw(tmp_path) -> Path:
    """One picture of 2 um a pixel."""
    for name in ("images", "annotations"):
        (tmp_path / "raw" / name).mkdir(parents=True)
    picture = np.full(SIZE, 90, np.uint8)
    per_cm = {"resolution": (5000, 5000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "raw" / "images" / "m1_a.tif", picture, **per_cm)
    return tmp_path / "raw"


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_same_masks(raw, form, caplog):
    caplog.set_level("INFO", "sebre")
    write, has_hole = FORMS[form]
    write(raw / "annotations")
    raw_set = read_source("annotations", raw, {})
    assert raw_set.regions.names == ["CA1", "Layer_2-3"]
    (section,) = raw_set.sections
    image, masks = section.read()
    assert image.shape == (*SIZE, 3) and image.max() == 90
    np.testing.assert_array_equal(masks[1], other())
    np.testing.assert_array_equal(masks[2], square(has_hole))
    assert raw_set.pixel_size_um == 2.0
    assert ("1 annotation(s) that are no areas" in caplog.text) == (form in ("qupath", "labelme"))


def test_shrunk(raw, caplog):
    qupath(raw / "annotations")
    raw_set = read_source("annotations", raw, {"downsample": 5})
    image, masks = raw_set.sections[0].read()
    assert image.shape == (8, 12, 3) and raw_set.pixel_size_um == 10.0
    np.testing.assert_array_equal(masks[2], square()[2::5, 2::5])
    assert caplog.text == ""
    thin = feature("CA2", "Polygon", [[[0, 0], [60, 0], [60, 2], [0, 2], [0, 0]]])
    whole = feature("CA1", "Polygon", [closed(OTHER)])
    (raw / "annotations" / "m1_a.geojson").write_text(json.dumps([thin, whole]))
    _, masks = read_source("annotations", raw, {"downsample": 5}).sections[0].read()
    assert list(masks) == [1]
    assert "m1_a.geojson: 1 region(s) (CA2) have no pixel left once it is divided" in caplog.text


def test_names_that_capitals_tell_apart_are_two_regions(raw, caplog):
    drawn = raw / "annotations" / "m1_a.geojson"

    def masks() -> tuple[list[str], dict[int, np.ndarray]]:
        raw_set = read_source("annotations", raw, {})
        return raw_set.regions.names, raw_set.sections[0].read()[1]

    shapes = [("ic", SQUARE), ("IC", OTHER)]
    drawn.write_text(json.dumps([feature(n, "Polygon", [closed(s)]) for n, s in shapes]))
    names, found = masks()
    assert names == ["IC", "ic"] and "IC, ic: names that only spelling tells" in caplog.text
    np.testing.assert_array_equal(found[1], other())
    np.testing.assert_array_equal(found[2], square(hole=False))
    (raw / "regions.csv").write_text("name,r,g,b\nic,1,2,3\nIC,4,5,6\n")
    np.testing.assert_array_equal(masks()[1][1], square(hole=False))
    (raw / "regions.csv").write_text("name,r,g,b\nic,1,2,3\n")
    with pytest.raises(UserError, match="'IC' is not in .* If it is the same as ic, spell it so"):
        masks()
    drawn.write_text(json.dumps(feature("IC", "Polygon", [closed(OTHER)])))
    np.testing.assert_array_equal(masks()[1][1], other())


def labelme_shapes(folder: Path, *shapes: dict) -> Path:
    path = folder / "m1_a.json"
    shapes = [{"label": "CA1", **shape} for shape in shapes]
    path.write_text(json.dumps({"shapes": shapes, "imagePath": "m1_a.tif"}))
    return path


def test_a_rectangle_of_four_corners(raw, caplog):
    """X-AnyLabeling writes all of them, from whichever."""
    for corners in (OTHER, [*OTHER[1:], OTHER[0]], OTHER[::-1], [OTHER[3], OTHER[1]]):
        labelme_shapes(raw / "annotations", {"shape_type": "rectangle", "points": corners})
        masks = read_source("annotations", raw, {}).sections[0].read()[1]
        np.testing.assert_array_equal(masks[1], other())
    assert caplog.text == ""


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_coordinates_that_are_no_numbers_are_refused(raw, value):
    path = raw / "annotations" / "m1_a.geojson"
    odd = feature("CA1", "Polygon", [closed([(value, 5), *SQUARE[1:]])])
    path.write_text(json.dumps([odd, feature("DG", "Polygon", [closed(OTHER)])]))
    with pytest.raises(UserError, match="m1_a.geojson: an outline of CA1 has coordinates that are"):
        read_source("annotations", raw, {})


def test_outlines_of_no_pixel_are_said(raw, caplog):
    flat = [feature(name, "Polygon", [[[5, 5], [9, 5], [5, 5]]]) for name in ("CA1", "CA2")]
    whole = feature("CA1", "Polygon", [closed(OTHER)])
    (raw / "annotations" / "m1_a.geojson").write_text(json.dumps([*flat, whole]))
    masks = read_source("annotations", raw, {}).sections[0].read()[1]
    assert list(masks) == [1]
    assert "m1_a.geojson: 2 outline(s) (CA1, CA2) cover no pixel" in caplog.text


def test_masks_and_turned_rectangles_of_labelme(raw):
    """Its tools with a model write masks; X-AnyLabeling, turned rectangles of four corners."""
    packed = io.BytesIO()
    Image.fromarray(square()[5:25, 10:30].astype(np.uint8)).save(packed, "PNG")
    text = base64.b64encode(packed.getvalue()).decode()
    painted = {"shape_type": "mask", "points": [[10.0, 5.0], [29.0, 24.0]], "mask": text}
    turned = {"label": "turned", "shape_type": "rotation", "points": OTHER}
    path = labelme_shapes(raw / "annotations", painted, turned)
    masks = read_source("annotations", raw, {}).sections[0].read()[1]
    np.testing.assert_array_equal(masks[1], square())
    np.testing.assert_array_equal(masks[2], other())
    for odd, problem in (
        ({**painted, "points": [[10, 5], [30, 25]]}, "a mask of 20 x 20 px in a box of 21 x 21"),
        ({**painted, "mask": None}, "cannot read these annotations"),
        ({**turned, "shape_type": "cuboid"}, "shape 1 (turned) is of the kind 'cuboid'"),
    ):
        labelme_shapes(path.parent, odd)
        with pytest.raises(UserError, match=f"m1_a.json: .*{re.escape(problem)}"):
            read_outlines(path)


def test_coco_of_other_programs(raw, caplog):
    """Ids as text, pictures without a size, boxes without an outline, one flat polygon, colors as
    text."""
    caplog.set_level("INFO", "sebre")
    path = coco_file(raw / "annotations")
    record = json.loads(path.read_text())
    del record["images"][0]["height"]
    record["categories"][0]["color"], record["categories"][1]["color"] = "#0a0b0c", "red"
    first, second = record["annotations"]
    first["image_id"], second["category_id"] = "7", "9"
    (second["segmentation"],) = second["segmentation"]
    record["annotations"].append({"image_id": 7, "category_id": 1, "bbox": [1, 1, 5, 5]})
    path.write_text(json.dumps(record))
    (drawn,) = read_outlines(path)
    assert (drawn.size, drawn.ignored) == (None, 1)
    assert [outline.color for outline in drawn.outlines] == [(10, 11, 12), None]
    masks = read_source("annotations", raw, {}).sections[0].read()[1]
    np.testing.assert_array_equal(masks[1], other())
    np.testing.assert_array_equal(masks[2], square())
    assert "1 annotation(s) that are no areas (points, lines, bare boxes) are left" in caplog.text


def no_image(record: dict) -> None:
    record["annotations"][0]["image_id"] = 8


def no_category(record: dict) -> None:
    record["annotations"][1]["category_id"] = "2"


def no_size(record: dict) -> None:
    del record["annotations"][0]["segmentation"]["size"]


def one_id(record: dict) -> None:
    record["images"].append({**record["images"][0], "id": "7"})


@pytest.mark.parametrize(
    "change, text",
    [
        (no_image, "annotation 1 is of the image 8, which"),
        (no_category, "annotation 2 is of the category 2, which"),
        (no_size, "run lengths of Layer 2/3 lack size"),
        (one_id, "2 images have 1 different ids"),
    ],
)
def test_coco_that_does_not_hold_together(raw, change, text):
    path = coco_file(raw / "annotations")
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=f"instances.json: {text}"):
        read_outlines(path)


def test_what_macos_packs_beside_rois_is_passed_over(raw):
    with zipfile.ZipFile(rois(raw / "annotations"), "a") as archive:
        archive.writestr("__MACOSX/", b"")
        archive.writestr("__MACOSX/._CA1.roi", b"\0\5\x16\7" + bytes(100))
        archive.writestr("._CA1.roi", b"\0\5\x16\7" + bytes(100))
        archive.writestr(".DS_Store", bytes(10))
    masks = read_source("annotations", raw, {}).sections[0].read()[1]
    np.testing.assert_array_equal(masks[1], other())
    np.testing.assert_array_equal(masks[2], square(hole=False))


def test_a_classification_that_is_a_text(raw):
    drawn = feature("", "Polygon", [closed(OTHER)], classification="CA1", color="#0a0b0c")
    (raw / "annotations" / "m1_a.geojson").write_text(json.dumps(drawn))
    raw_set = read_source("qupath", raw, {})
    assert [(r.name, r.color) for r in raw_set.regions] == [("CA1", (10, 11, 12))]
    np.testing.assert_array_equal(raw_set.sections[0].read()[1][1], other())


def test_accents_in_two_forms(raw):
    """Names of regions, pictures and animals, as macOS and other systems write them."""
    two = {form: unicodedata.normalize(form, "préfrontal") for form in ("NFC", "NFD")}
    folder = raw / "images"
    (folder / "m1_a.tif").rename(folder / f"{two['NFD']}_1.tif")
    Image.new("L", SIZE[::-1], 90).save(folder / f"{two['NFC']}_2.png")
    shapes = [(two["NFC"], SQUARE), (two["NFD"], OTHER)]
    text = json.dumps([feature(n, "Polygon", [closed(s)]) for n, s in shapes])
    (raw / "annotations" / f"{two['NFC']}_1.geojson").write_text(text)
    (raw / "annotations" / f"{two['NFD']}_2.geojson").write_text(text)
    raw_set = read_source("annotations", raw, {})
    assert raw_set.regions.names == [two["NFC"]]
    np.testing.assert_array_equal(raw_set.sections[0].read()[1][1], square(False) | other())
    table = raw / "animals.csv"
    table.write_text(f"image,subject\n{two['NFC']}_1,{two['NFC']}\n{two['NFD']}_2,{two['NFD']}\n")
    for named in (name_subjects(raw_set, table), name_subjects(raw_set, None, "^(.*)_")):
        assert {section.facts["subject"] for section in named.sections} == {two["NFC"]}


@pytest.mark.parametrize("form", ["geojson", "imagej", "coco"])
def test_what_detection_writes_is_read_again(tmp_path, form):
    """Predictions that were corrected by hand go back into training."""
    labels = np.zeros((84, 84), np.uint8)
    masks = ROOT / "datasets" / "slicemap" / "mrcnn_val_dataset_masks" / "section_masks_0"
    for path in sorted(masks.glob("*.png")):
        labels[np.asarray(Image.open(path)) > 0] = int(path.stem.rpartition("_m")[2])
    found = found_section("s", labels, dict.fromkeys(range(1, 7), 0.5), SLICEMAP)
    made = {
        "geojson": ("s.geojson", lambda: json.dumps(geojson(found)).encode()),
        "imagej": ("s_rois.zip", lambda: imagej(found)),
        "coco": ("s_coco.json", lambda: json.dumps(coco(found, "s.png")).encode()),
    }
    name, content = made[form]
    (tmp_path / name).write_bytes(content())
    (drawn,) = read_outlines(tmp_path / name)
    assert Path(drawn.image).stem == "s" and len(drawn.outlines) >= 6
    for region in SLICEMAP:
        shapes = [o.mask(labels.shape) for o in drawn.outlines if o.region == region.name]
        mask = np.any(shapes, axis=0)
        np.testing.assert_array_equal(mask, labels == region.id)
    if form == "geojson":
        assert {o.color for o in drawn.outlines} == {region.color for region in SLICEMAP}


def test_a_worked_example_from_outlines_to_a_set_split_by_animal(raw, tmp_path):
    outline = json.loads(qupath(raw / "annotations").read_text())
    for name in ("m1_b", "m2_a", "m3_a", "m4_a"):
        Image.new("L", SIZE[::-1], 90).save(raw / "images" / f"{name}.png")
        (raw / "annotations" / f"{name}.geojson").write_text(json.dumps(outline))
    Image.new("L", (8, 8)).save(raw / "images" / "not_drawn.png")
    out, words = tmp_path / "set", ["prepare", "annotations", "--raw", str(raw)]
    assert cli.main([*words, "--subject-pattern", r"^(m\d+)_", "--out", str(out)]) == cli.DONE
    _, rows = read_rows(out / "sections.csv")
    part_of = {}
    for row in rows:
        part_of.setdefault(row["subject"], set()).add(row["subset"])
    assert sorted(part_of) == ["m1", "m2", "m3", "m4"]
    assert all(len(parts) == 1 for parts in part_of.values())  # no animal is in both parts
    assert set.union(*part_of.values()) == {"train", "val"}
    assert recorded_regions(out).names == ["CA1", "Layer_2-3"]
    sections = SectionDataset(recorded_regions(out)).load(out, "train")
    sections.prepare()
    masks, class_ids = sections.load_mask(0)
    assert class_ids.tolist() == [1, 2]
    np.testing.assert_array_equal(masks[..., 1], square())
    assert "subject-pattern" in (out / "README.md").read_text()
    facts = read_facts(out)
    assert facts.unit == "subject" and facts.unit_of("train/0") in part_of  # of intervals
    # The same by a table, with further facts.
    table = tmp_path / "animals.csv"
    table.write_text(
        "image,subject,age\nm1_a,x,P4\nm1_b.png,x,P4\nm2_a,y,P5\nm3_a,z,P6\nm4_a,u,P7\n"
    )
    words += ["--subjects", str(table), "--split", "age=P7"]
    assert cli.main([*words, "--out", str(tmp_path / "by_table")]) == cli.DONE
    _, rows = read_rows(tmp_path / "by_table" / "sections.csv")
    assert {(row["subject"], row["age"], row["subset"]) for row in rows} == {
        *[("x", "P4", "train"), ("y", "P5", "train"), ("z", "P6", "train"), ("u", "P7", "val")]
    }


def test_what_does_not_fit_is_one_line(raw, tmp_path, capsys):
    folder = raw / "annotations"

    def refused(text: str, *options: str) -> None:
        words = ["prepare", "annotations", "--raw", str(raw), "--out", str(tmp_path / "out")]
        assert cli.main([*words, *options]) == cli.USER_ERROR
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert text in line
        for path in folder.iterdir():
            path.unlink()

    (raw / "sections.csv").write_text("number,subject\n1,a\n")
    qupath(folder)
    refused("is not read with annotations")
    (raw / "sections.csv").unlink()
    refused("holds no annotations")
    (folder / "m1_a.json").write_text("{")
    refused("cannot read these annotations")
    (folder / "m1_a.json").write_text('{"a": 1}')
    refused("neither GeoJSON (features), COCO")
    qupath(folder).rename(folder / "stray.geojson")
    refused("no picture(s) in")
    qupath(folder), labelme(folder)
    refused("m1_a.tif has annotations in")
    unnamed = feature(None, "Polygon", [closed(SQUARE)])
    (folder / "m1_a.geojson").write_text(json.dumps(unnamed))
    refused("annotation 1 has no name of a region")
    roi = roifile.ImagejRoi.frompoints(np.array(SQUARE, float), name="0001-0023")
    roi.tofile(folder / "m1_a.roi")
    refused("'0001-0023' is not named for a region")
    path = labelme(folder)
    path.write_text(path.read_text().replace('"imageWidth": 60', '"imageWidth": 61'))
    refused("drawn on a picture of 40 x 61 px (height x width), but")
    path = coco_file(folder)
    path.write_text(path.read_text().replace('"size": [40, 60]', '"size": [60, 40]'))
    refused("run lengths of Layer 2/3 are of 60 x 40 px (height x width), but")
    path = coco_file(folder)
    record = json.loads(path.read_text())
    record["annotations"][0]["segmentation"] = {"size": SIZE, "counts": [5, 9]}
    path.write_text(json.dumps(record))
    refused(
        "cannot read the outline of Layer 2/3 (ValueError: the run lengths do not fill 40 x 60 px)",
        "--split",
        "train",
    )
    qupath(folder)
    (raw / "regions.csv").write_text("name,r,g,b\nCA1,1,2,3\n")
    refused("the region 'Layer 2/3' is not in")
    (raw / "regions.csv").unlink()
    qupath(folder)
    refused("no animal for 1 of 1 sections (m1_a.tif)", "--subject-pattern", r"^x")
    qupath(folder)
    refused("not a regular expression", "--subject-pattern", "(")


# --- QuPath and Fiji alone --------------------------------------------------------------------


def hard_labels() -> np.ndarray:
    """Real regions with everything that is hard: holes, islands, regions of one pixel, pixels that
    touch at corners, and the border of the picture."""
    labels = np.zeros((84, 84), np.uint8)
    masks = ROOT / "datasets" / "slicemap" / "mrcnn_val_dataset_masks" / "section_masks_0"
    for path in sorted(masks.glob("*.png")):
        labels[np.asarray(Image.open(path)) > 0] = int(path.stem.rpartition("_m")[2])
    rng = np.random.default_rng(3)
    labels[:24, :24] = np.where(rng.random((24, 24)) < 0.5, rng.integers(1, 7, (24, 24)), 0)
    labels[60:, 70:] = 5  # to the corner of the picture
    labels[64:70, 74:80], labels[66:68, 76:78] = 0, 5  # a hole, an island in it
    labels[40, 0] = labels[0, 50] = labels[83, 40] = 2
    return labels


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder of pictures, and of what was predicted of them."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("m1_a", "m2_a"):
        Image.fromarray(np.full((84, 84), 90, np.uint8)).save(folder / f"{name}.png")
        labels = hard_labels() if name == "m1_a" else np.fliplr(hard_labels())
        found = found_section(name, labels, dict.fromkeys(range(1, 7), 0.5), SLICEMAP)
        write_formats(found, tmp_path, ["geojson", "imagej"], f"{name}.png")
    return folder


PROGRAMS = {"qupath": ".geojson", "fiji": "_rois.zip"}
READERS = {"qupath": other_readers.geojson_rings, "fiji": other_readers.imagej_rings}


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("program", PROGRAMS)
def test_predictions_come_back_to_the_pixel(pictures, tmp_path, program, beside, capsys):
    drawn = pictures if beside else pictures / "annotations"
    drawn.mkdir(exist_ok=True)
    for name in ("m1_a", "m2_a"):
        file = f"{name}{PROGRAMS[program]}"
        (drawn / file).write_bytes((tmp_path / file).read_bytes())
    words = ["prepare", program, "--raw", str(pictures), "--out", str(tmp_path / "set")]
    assert cli.main([*words, "--split", "train", "--subject-pattern", "^(m.)_"]) == cli.DONE
    regions = recorded_regions(tmp_path / "set")
    assert set(regions.names) == set(SLICEMAP.names)
    _, rows = read_rows(tmp_path / "set" / "sections.csv")
    known = [(row["subject"], row["source_image"], row["source_masks"]) for row in rows]
    assert known == [(n[:2], f"{n}.png", f"{n}{PROGRAMS[program]}") for n in ("m1_a", "m2_a")]
    facts = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert len(facts["raw_sha256"]) == 4 and facts["name"] == program
    sections = SectionDataset(regions).load(tmp_path / "set", "train")
    sections.prepare()
    for row, wanted in enumerate((hard_labels(), np.fliplr(hard_labels()))):
        masks, class_ids = sections.load_mask(row)
        for index, class_id in enumerate(class_ids):
            name = regions[int(class_id)].name
            true = wanted == SLICEMAP.names.index(name) + 1
            np.testing.assert_array_equal(masks[..., index], true)
        assert len(class_ids) == 6
    # The same by a reader that is not ours.
    rings = READERS[program](tmp_path / f"m1_a{PROGRAMS[program]}")
    for region in SLICEMAP:
        found = other_readers.pixels(rings[region.name], (84, 84))
        np.testing.assert_array_equal(found, hard_labels() == region.id)


def test_what_nobody_corrected_is_said(pictures, tmp_path, caplog):
    for path in pictures.iterdir():
        path.rename(tmp_path / path.name)  # beside what was predicted
    corrected = tmp_path / "m2_a.geojson"
    features = json.loads(corrected.read_text())
    for feature in features["features"]:  # as QuPath does with a new class
        feature["properties"]["classification"]["name"] = "isocortex"
    corrected.write_text(json.dumps(features))
    read_source("qupath", tmp_path, {})
    said = "1 file(s) are as `sebre predict` wrote them, not corrected: m1_a.geojson"
    assert said in caplog.text


def test_forms_of_qupath(raw, caplog):
    """What several versions write: lists, classes of classes, colors as a number, cells, ellipses,
    and regions that overlap."""
    caplog.set_level("INFO", "sebre")
    ellipse = feature("x", "Polygon", [closed(SQUARE)], classification={"names": ["CTX", "L1"]})
    ellipse["geometry"] |= {"isEllipse": True, "plane": {"c": -1, "z": 0, "t": 0}}
    named = feature("x", "Polygon", [closed(OTHER)])
    named["properties"] = {"name": "CA1", "color": [1, 2, 3]}
    islands = feature("CA1", "MultiPolygon", [[closed(SQUARE), closed(HOLE)], [closed(OTHER)]])
    cell = feature("Positive", "Polygon", [closed(OTHER)], objectType="cell")
    path = raw / "annotations" / "m1_a.geojson"
    path.write_text(json.dumps([ellipse, named, islands, cell]))
    raw_set = read_source("qupath", raw, {})
    assert raw_set.regions.names == ["CA1", safe_name("CTX: L1")]
    _, masks = raw_set.sections[0].read()
    np.testing.assert_array_equal(masks[1], square() | other())
    np.testing.assert_array_equal(masks[2], square(hole=False))
    assert "1 annotation(s) that are no areas" in caplog.text
    assert f"{int(square().sum())} px are of more than one region" in caplog.text


def test_what_qupath_and_fiji_cannot_mean_is_refused(raw, tmp_path, capsys):
    folder = raw / "annotations"

    def refused(program: str, text: str) -> None:
        words = ["prepare", program, "--raw", str(raw), "--out", str(tmp_path / "out")]
        assert cli.main(words) == cli.USER_ERROR
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert text in line
        for path in folder.iterdir():
            path.unlink()

    rois(folder)
    refused("qupath", "holds no annotations (.geojson, .json)")
    qupath(folder)
    refused("fiji", "holds no annotations (.zip, .roi)")
    pages = [feature("CA1", "Polygon", [closed(SQUARE)]) for _ in range(2)]
    for z, page in enumerate(pages):
        page["geometry"]["plane"] = {"z": z, "t": 0}
    (folder / "m1_a.geojson").write_text(json.dumps(pages))
    refused("qupath", "its outlines are on 2 pages of a stack; wanted those of one")
    away = [[(x + 60, y) for x, y in closed(SQUARE)]]
    (folder / "m1_a.geojson").write_text(json.dumps(feature("CA1", "Polygon", away)))
    refused("qupath", "1 outline(s) (CA1) lie outside of")


def test_outlines_of_another_page_than_the_one_read_are_refused(raw):
    image = raw / "images" / "m1_a.tif"
    tifffile.imwrite(image, np.full((7, *SIZE), 90, np.uint8), metadata={"axes": "ZYX"})
    drawn = feature("CA1", "Polygon", [closed(SQUARE)])
    drawn["geometry"]["plane"] = {"z": 6, "t": 0}
    path = raw / "annotations" / "m1_a.geojson"
    path.write_text(json.dumps(drawn))
    assert len(read_source("qupath", raw, {"z": 7}).sections) == 1
    with pytest.raises(UserError, match="drawn on page 7 of the stack .* but page 5 is read"):
        read_source("qupath", raw, {"z": 5})
    path.unlink()
    roi = roifile.ImagejRoi.frompoints(np.array(SQUARE, float), name="CA1")
    roi.roitype, roi.position = roifile.ROI_TYPE.POLYGON, 7
    roi.tofile(raw / "annotations" / "m1_a.roi")
    assert len(read_source("fiji", raw, {"z": 7}).sections) == 1
    with pytest.raises(UserError, match="drawn on page 7 of the stack .* but page 1 is read"):
        read_source("fiji", raw, {"z": 1})


def test_outlines_that_reach_beyond_the_picture_are_said(raw, caplog):
    height, width = SIZE
    over = [(2, 2), (width + 30, 2), (width + 30, height - 2), (2, height - 2)]
    path = raw / "annotations" / "m1_a.geojson"
    path.write_text(json.dumps(feature("CA1", "Polygon", [closed(over)])))
    _, masks = read_source("qupath", raw, {}).sections[0].read()
    assert masks[1][5, width - 1]
    assert "1 outline(s) (CA1) reach beyond" in caplog.text


def test_a_table_of_predictions_is_no_table_of_regions(raw):
    qupath(raw / "annotations")
    names = read_source("qupath", raw, {}).regions.names
    (raw / "regions.csv").write_text("image,region_id,region,found,area_px\nm1_a,1,x,yes,12\n")
    raw_set = read_source("qupath", raw, {})
    assert raw_set.regions.names == names
    assert raw / "regions.csv" not in raw_set.files
