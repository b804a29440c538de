"""Regions in the files of other programs: independent readers give back the label map."""

import json
import struct
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import roifile
import tifffile
from other_readers import geojson_rings, imagej_rings, pixels, svg_rings
from paths import ROOT
from pycocotools.coco import COCO

from mrcnn.imageio.label_files import read_labels
from mrcnn.imageio.reading import read_header
from sebre.cli.parser import EXCHANGE_FORMATS
from sebre.data.regions import Region, RegionSet
from sebre.predict.exchange import FORMATS, found_section, write_formats

REGIONS = RegionSet(
    "three",
    (
        Region(1, "cortex", "Ctx", (250, 10, 20), (315,)),
        Region(2, "hippocampus_&_co", "Hip", (10, 250, 20)),
        Region(3, "not_there", "No", (10, 20, 250)),
    ),
)
Y, X = np.mgrid[:90, :120]
LABELS = np.zeros((90, 120), np.uint8)
LABELS[5:70, 8:100] = 1
LABELS[np.hypot(Y - 30, X - 40) < 12] = 0  # a hole, with an island in it
LABELS[28:33, 38:43] = 1
LABELS[np.hypot(Y - 60, X - 85) < 17.3] = 2
LABELS[0, 0], LABELS[89, 119] = 2, 2  # single pixels at the corners
LABELS[80:82, 5:7], LABELS[82:84, 7:9] = 1, 1  # two squares that touch at a corner


@pytest.fixture
def written(tmp_path):
    section = found_section("s 1", LABELS, {1: 0.9, 2: 0.5}, REGIONS, (2.0, 4.0))
    paths = write_formats(section, tmp_path, list(FORMATS), "s 1.tif")
    assert all(path.is_file() for path in paths) and len(paths) == 7
    return {path.name.removeprefix("s 1"): path for path in paths}


def drawn(rings):
    return pixels(rings, LABELS.shape)


def test_geojson(written):
    lines = geojson_rings(written[".geojson"])
    assert list(lines) == ["cortex", "hippocampus_&_co"]
    features = json.loads(written[".geojson"].read_text())["features"]
    for feature, region in zip(features, REGIONS, strict=False):
        np.testing.assert_array_equal(drawn(lines[region.name]), region.id == LABELS)
        properties = feature["properties"]
        assert properties["classification"] == {"name": region.name, "color": list(region.color)}
        area = int((region.id == LABELS).sum())
        assert properties["measurements"]["Area px^2"] == area
        assert properties["measurements"]["Area mm^2"] == pytest.approx(area * 8e-6)
    assert features[0]["properties"]["metadata"]["atlas_ids"] == "315"


def test_imagej(written):
    lines = imagej_rings(written["_rois.zip"])
    assert list(lines) == ["cortex", "hippocampus_&_co"]
    for roi, region in zip(roifile.roiread(written["_rois.zip"]), REGIONS, strict=False):
        np.testing.assert_array_equal(drawn(lines[region.name]), region.id == LABELS)
        rows, columns = np.nonzero(region.id == LABELS)
        box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        assert (roi.top, roi.left, roi.bottom, roi.right) == box


def test_files_that_scripts_load_name_their_picture(tmp_path):
    picture = "mäuse\\1 \U0001f42d/s 1.tif"
    section = found_section("s-2", LABELS, {1: 0.9, 2: 0.5}, REGIONS, picture=picture)
    geojson, rois = write_formats(section, tmp_path, ["geojson", "imagej"], "s 1.tif")
    said = json.loads(geojson.read_text())["picture"]
    assert said == {"file": picture, "width": 120, "height": 90}
    for roi in roifile.roiread(rois):
        lines = roi.props.splitlines()
        assert lines[1] == "picture_size: 120x90"
        key, _, text = lines[0].partition(": ")
        # As Java reads properties.
        units = text.encode("ascii").decode("unicode_escape").encode("utf-16", "surrogatepass")
        assert (key, units.decode("utf-16")) == ("picture", picture)


@pytest.mark.parametrize("script", ["sebre_qupath.groovy", "sebre_fiji.ijm"])
def test_scripts_look_for_the_picture_in_files_of_a_number(script):
    text = (ROOT / "docs/scripts" / script).read_text()
    assert "picture" in text and "(-[0-9]+)?" in text
    assert "nothing loaded" in text.lower()


def test_svg(written):
    root = ElementTree.parse(written[".svg"]).getroot()
    assert root.attrib["viewBox"] == "0 0 120 90"
    paths = root.findall("{http://www.w3.org/2000/svg}path")
    assert [path.attrib["id"] for path in paths] == ["cortex", "hippocampus_&_co"]
    lines = svg_rings(written[".svg"])
    for path, region in zip(paths, REGIONS, strict=False):
        assert path.attrib["fill"] == "#{:02x}{:02x}{:02x}".format(*region.color)
        np.testing.assert_array_equal(drawn(lines[region.name]), region.id == LABELS)


def test_coco(written, capsys):
    data = COCO(str(written["_coco.json"]))
    for annotation in data.loadAnns(data.getAnnIds()):
        mask = data.annToMask(annotation) > 0
        wanted = annotation["category_id"] == LABELS
        np.testing.assert_array_equal(mask, wanted)
        x, y, width, height = annotation["bbox"]
        assert mask[y : y + height, x : x + width].sum() == annotation["area"] == wanted.sum()
    assert [c["name"] for c in data.loadCats(data.getCatIds())] == REGIONS.names
    assert data.loadImgs(1)[0]["file_name"] == "s 1.tif"


def test_the_command_line_offers_all():
    assert set(EXCHANGE_FORMATS) == set(FORMATS)


def test_flat(written):
    content = written[".flat"].read_bytes()
    size, width, height = struct.unpack(">BII", content[:9])
    assert (size, width, height) == (1, 120, 90)
    np.testing.assert_array_equal(np.frombuffer(content[9:], np.uint8).reshape(90, 120), LABELS)
    names = json.loads(written["_flat.json"].read_text())
    assert [n["name"] for n in names] == ["Clear Label", *REGIONS.names]
    assert names[1] == {"index": 1, "name": "cortex", "red": 250, "green": 10, "blue": 20}


def test_the_same_regions_give_the_same_files(tmp_path, written):
    section = found_section("s 1", LABELS, {1: 0.9, 2: 0.5}, REGIONS, (2.0, 4.0))
    again = tmp_path / "again"
    again.mkdir()
    for path in write_formats(section, again, list(FORMATS), "s 1.tif"):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_tiff(written):
    with tifffile.TiffFile(written["_labels.tif"]) as file:
        page = file.pages[0]
        np.testing.assert_array_equal(page.asarray(), LABELS)
        names = json.loads(page.description)["regions"]
        assert names == {str(region.id): region.name for region in REGIONS}
        for region in REGIONS:
            assert tuple(page.colormap[:, region.id] // 257) == region.color
    assert read_header(written["_labels.tif"]).pixel_um == pytest.approx((2.0, 4.0))
    np.testing.assert_array_equal(read_labels(written["_labels.tif"]), LABELS)
