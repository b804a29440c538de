"""ROIs that ImageJ itself saved, against the masks that it made of them; and what it cannot say."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile

from mrcnn.errors import UserError
from sebre.prepare.imagej_rois import path_lines, read_rois
from sebre.prepare.outline_files import read_outlines

SAMPLE = Path(__file__).parents[2] / "data" / "imagej"
SQUARE = np.array([(10, 5), (30, 5), (30, 25), (10, 25)], float)
# Px whose center lies on the line itself, where programs differ.
ON_THE_LINE = {"freehand": 1}


def roi(name: str, points: np.ndarray = SQUARE, **more) -> bytes:
    one = roifile.ImagejRoi.frompoints(points, name=name)
    one.roitype = roifile.ROI_TYPE.POLYGON
    for key, value in more.items():
        setattr(one, key, value)
    return one.tobytes()


def archive(folder: Path, *rois: bytes) -> Path:
    path = folder / "s_rois.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for number, content in enumerate(rois):
            packed.writestr(f"{number}.roi", content)
    return path


def test_every_area_has_the_pixels_that_imagej_gives_it():
    masks = np.load(SAMPLE / "masks.npz")
    found = read_rois(SAMPLE / "p_rois.zip")
    assert found.ignored == 2 and found.image == "p" and not found.notes  # a point and a line
    assert {outline.region for outline in found.outlines} == set(masks)
    for outline in found.outlines:
        wanted = masks[outline.region]
        differing = int((outline.mask(wanted.shape) ^ wanted).sum())
        assert differing == ON_THE_LINE.get(outline.region, 0), outline.region


def test_curves_of_a_path():
    quarter = 0.5522847498 * 10  # a circle of radius 10 around (20, 20) by four curves
    path = [0, 30, 20]
    for (x1, y1), (x2, y2) in (((1, 0), (0, 1)), ((0, 1), (-1, 0)), ((-1, 0), (0, -1))):
        path += [3, 20 + 10 * x1 - y1 * quarter, 20 + 10 * y1 + x1 * quarter]
        path += [20 + 10 * x2 + y2 * quarter, 20 + 10 * y2 - x2 * quarter]
        path += [20 + 10 * x2, 20 + 10 * y2]
    path += [3, 20 + quarter, 10, 30, 20 - quarter, 30, 20, 4]
    (line,) = path_lines(path)
    np.testing.assert_allclose(np.hypot(*(line - 20).T), 10, atol=0.01)
    (bent,) = path_lines([0, 0, 0, 2, 10, 0, 10, 10, 1, 0, 10, 4])
    assert bent[16] == pytest.approx([7.5, 2.5])  # the middle of the curve


@pytest.mark.parametrize("path", [[7, 1, 2], [1, 1, 2], [0, 1]])
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(ValueError, match="no path of ImageJ"):
        list(path_lines(path))


def test_further_rois_of_a_name_are_of_the_same_region(tmp_path):
    path = archive(tmp_path, *map(roi, ("CA1", "CA1-1", "CA1-2", "layer_2", "layer_2-3")))
    found = read_rois(path)
    assert [o.region for o in found.outlines] == ["CA1", "CA1", "CA1", "layer_2", "layer_2-3"]
    assert found.notes == ("layer_2-3 is taken as a region of its own, not as another layer_2",)


def test_pages_and_rounded_corners(tmp_path):
    one_page = archive(tmp_path, roi("a", z_position=2), roi("b", z_position=2), roi("c"))
    assert len(read_rois(one_page).outlines) == 3
    two = archive(tmp_path, roi("a", z_position=2), roi("b", z_position=3))
    with pytest.raises(UserError, match="its outlines are on 2 pages of a stack; wanted"):
        read_outlines(two)
    box = roifile.ImagejRoi(name="a", roitype=roifile.ROI_TYPE.RECT, rounded_rect_arc_size=5)
    box.top, box.left, box.bottom, box.right = 1, 2, 5, 9
    found = read_rois(archive(tmp_path, box.tobytes()))
    assert found.notes == ("the rounded corners of a are read as square ones",)
    assert found.outlines[0].mask((10, 10)).sum() == 4 * 7


def test_texts_and_damaged_files(tmp_path):
    text = roifile.ImagejRoi(name="a", roitype=roifile.ROI_TYPE.RECT)
    text.subtype = roifile.ROI_SUBTYPE.TEXT
    assert read_rois(archive(tmp_path, text.tobytes())).ignored == 1
    (tmp_path / "t.roi").write_bytes(io.BytesIO(b"Iout" + bytes(8)).getvalue())
    with pytest.raises(UserError, match="cannot read these annotations"):
        read_outlines(tmp_path / "t.roi")
