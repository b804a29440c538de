"""Detection tile by tile gives what the whole picture holds, also across the borders."""

import numpy as np
import pytest
import scipy.ndimage
import tifffile

from mrcnn.imageio.reading import open_source
from mrcnn.imageio.tiles import detect_tiled, merge_tiles, tile_boxes
from mrcnn.structures.mask_formats import FORMATS, to_rles
from mrcnn.structures.masks import extract_bboxes

RADIUS = 20
# y, x, gray: across a border of two tiles, of four, inside one, at the end; two that touch
# the same tiles; a class of its own.
DISCS = [(30, 100, 200), (100, 190, 200), (180, 40, 200), (228, 278, 200), (60, 240, 200),
         (130, 60, 120), (190, 130, 200), (190, 175, 200)]  # fmt: skip


class Discs:
    """Finds connected parts of one gray level; its classes are the levels."""

    def __init__(self):
        self.shapes = set()

    def detect(self, images):
        self.shapes |= {image.shape for image in images}
        return [self.result(image[..., 0]) for image in images]

    def result(self, gray):
        masks, class_ids = [], []
        for class_id, level in ((1, 120), (2, 200)):
            parts, count = scipy.ndimage.label(gray == level)
            masks += [parts == i + 1 for i in range(count)]
            class_ids += [class_id] * count
        stack = np.stack(masks, axis=-1) if masks else np.zeros((*gray.shape, 0), bool)
        return {
            "rois": extract_bboxes(stack),
            "class_ids": np.array(class_ids, np.int32),
            "scores": np.linspace(0.9, 0.8, len(class_ids), dtype=np.float32),
            "masks": stack,
        }


@pytest.fixture(scope="module")
def picture():
    y, x = np.mgrid[:250, :300]
    gray = np.zeros((250, 300), np.uint8)
    for cy, cx, level in DISCS:
        gray[(y - cy) ** 2 + (x - cx) ** 2 <= RADIUS**2] = level
    return gray


@pytest.mark.parametrize(
    ("shape", "tile", "overlap"),
    [((250, 300), 100, 50), ((100, 100), 100, 99), ((99, 301), 100, 0), ((7, 5), 64, 16)],
)
def test_tiles_cover_the_picture(shape, tile, overlap):
    boxes = tile_boxes(shape, tile, overlap)
    covered = np.zeros(shape, int)
    for y1, x1, y2, x2 in boxes:
        assert y2 - y1 == min(tile, shape[0]) and x2 - x1 == min(tile, shape[1])
        covered[y1:y2, x1:x2] += 1
    assert covered.min() == 1 and len(set(boxes)) == len(boxes)
    starts = sorted({box[1] for box in boxes})
    assert all(b - a <= tile - overlap for a, b in zip(starts, starts[1:], strict=False))


@pytest.mark.parametrize("masks", FORMATS)
def test_discs_across_borders_are_whole(picture, masks):
    segmenter = Discs()
    found = detect_tiled(segmenter, picture, tile=100, overlap=50, masks=masks)
    assert segmenter.shapes == {(100, 100, 3)}
    whole = segmenter.result(picture)
    assert len(found["class_ids"]) == len(whole["class_ids"]) == len(DISCS)

    def described(result):
        rles = to_rles(result["masks"])
        return {
            (int(class_id), tuple(box), rle["counts"])
            for class_id, box, rle in zip(
                result["class_ids"], result["rois"].tolist(), rles, strict=True
            )
        }

    assert described(found) == described(whole)
    assert (np.diff(found["scores"]) <= 0).all()
    assert found["scores"].dtype == np.float32 and found["rois"].dtype == np.int32


def test_without_agreement_parts_stay_apart(picture):
    half = np.zeros((100, 60, 1), bool)
    half[10:40, 40:60] = True  # in the overlap, columns 40 to 60 of the picture
    other = np.zeros((100, 60, 1), bool)
    other[30:60, 0:20] = True
    pieces = [
        {"masks": mask, "class_ids": np.array([class_id]), "scores": np.array([score])}
        for mask, class_id, score in ((half, 1, 0.5), (other, 1, 0.8))
    ]
    boxes = [(0, 0, 100, 60), (0, 40, 100, 100)]
    # They share 10 of 50 rows: an IoU of 0.2.
    assert len(merge_tiles(pieces, boxes, (100, 100))["scores"]) == 2
    joined = merge_tiles(pieces, boxes, (100, 100), masks="full", agreement=0.2)
    assert joined["rois"].tolist() == [[10, 40, 60, 60]]
    assert joined["masks"].sum() == 1000
    assert joined["scores"] == pytest.approx([0.65])  # both have 600 px
    pieces[1]["class_ids"] = np.array([2])
    assert len(merge_tiles(pieces, boxes, (100, 100), agreement=0.2)["scores"]) == 2


def test_a_tiled_file_is_read_in_windows(tmp_path, picture, monkeypatch):
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, picture, tile=(32, 32), compression="zlib")
    monkeypatch.setattr(tifffile.TiffFile, "asarray", None)  # would decode the whole
    monkeypatch.setattr("mrcnn.imageio.tiff_files._KEPT_BYTES", 8 * 32 * 32)
    expected = detect_tiled(Discs(), picture, tile=100)
    assert detect_tiled(Discs(), path, tile=100)["masks"] == expected["masks"]
    with open_source(path) as source:
        assert detect_tiled(Discs(), source, tile=100)["masks"] == expected["masks"]
        assert source.read(0, 0, 1, 1).shape == (1, 1, 3)  # it was left open
    mapped = np.memmap(tmp_path / "raw", np.uint8, "w+", shape=picture.shape)
    mapped[:] = picture
    assert detect_tiled(Discs(), mapped, tile=100)["masks"] == expected["masks"]


def test_nothing_found():
    for masks, empty in (("full", (40, 50, 0)), ("rle", [])):
        found = detect_tiled(Discs(), np.zeros((40, 50, 3), np.uint8), tile=16, masks=masks)
        assert found["rois"].shape == (0, 4) and len(found["scores"]) == 0
        assert getattr(found["masks"], "shape", found["masks"]) == empty


def test_user_errors(tmp_path):
    with pytest.raises(ValueError, match="Tiles of 64 px with an overlap of 64 px"):
        tile_boxes((100, 100), 64, 64)
    with pytest.raises(ValueError, match="masks is 'box'"):
        detect_tiled(Discs(), np.zeros((4, 4), np.uint8), masks="box")
    with (
        open_source(np.zeros((4, 4), np.uint8)) as source,
        pytest.raises(ValueError, match="window .* of a picture of 4 x 4 px"),
    ):
        source.read(0, 0, 5, 4)
    with pytest.raises(FileNotFoundError):
        detect_tiled(Discs(), tmp_path / "none.png")
