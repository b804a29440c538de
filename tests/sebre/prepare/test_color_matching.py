"""From colour-coded overlays to label maps: the two real plates, the rules, formats, memory."""

import csv
import json
import logging
import subprocess
import sys
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from paths import ROOT
from PIL import Image, ImageDraw
from raw_samples import BLUE, GREEN, RED, drawn_labels, painted, section, write
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.morphology import disk

from mrcnn.errors import UserError
from sebre.data.region_masks import masks_of_labels
from sebre.data.regions import MOUSE, Region, RegionSet
from sebre.prepare import big_pictures
from sebre.prepare.color_matching import (
    BACKGROUND,
    INK,
    downsample_labels,
    fill_gaps,
    match_colors,
    match_exactly,
)

PLATES = ("colour_plate_notebook.png", "colour_plate_16.png")
PAIR = RegionSet("pair", (Region(1, "outer", "o", RED), Region(2, "inner", "i", BLUE)))
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


DIM = RegionSet("dim", (Region(1, "a", "a", (100, 0, 0)), Region(2, "b", "b", (200, 0, 0))))
DEEP = {
    "16 bits": lambda drawn: drawn.astype(np.uint16) * 257,
    "8 bits in 16": lambda drawn: drawn.astype(np.uint16),
    "shares": lambda drawn: drawn.astype(np.float32) / 255,
    "floats": lambda drawn: drawn.astype(np.float32),
}


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("form", DEEP)
def test_deep_overlays_are_values_whatever_else_is_painted(tmp_path, form, exact):
    """Where one region alone is painted, its color must not be stretched to that of another."""
    drawn = np.zeros((24, 24, 3), np.uint8)
    drawn[4:20, 4:20] = (100, 0, 0)
    tifffile.imwrite(tmp_path / "one.tif", DEEP[form](drawn), photometric="rgb")
    how = (lambda p: match_exactly(p, DIM, 1)) if exact else (lambda p: match_colors(p, DIM).labels)
    np.testing.assert_array_equal(how(tmp_path / "one.tif"), drawn[..., 0] // 100)


@pytest.mark.parametrize("full", [255, 65535])
def test_deep_overlays_with_opacity(tmp_path, full):
    drawn = np.zeros((24, 24, 4), np.uint16)
    drawn[4:20, 4:20] = (100 * 257, 0, 0, full)
    drawn[22:, 22:] = (200 * 257, 0, 0, full // 4)  # fainter than half of the usual
    (tmp_path / "one.png").write_bytes(imagecodecs.png_encode(drawn))
    expected = (drawn[..., 3] == full).astype(np.uint8)
    np.testing.assert_array_equal(match_colors(tmp_path / "one.png", DIM).labels, expected)


@pytest.mark.parametrize("value", [-1.0, 300.0, np.nan])
def test_what_are_no_colors_is_refused(tmp_path, value):
    drawn = np.zeros((24, 24, 3), np.float32)
    drawn[3, 3] = value
    tifffile.imwrite(tmp_path / "one.tif", drawn, photometric="rgb")
    with pytest.raises(UserError, match=r"one.tif: float32 values from .* are no colors"):
        match_colors(tmp_path / "one.tif", DIM)


def plate_rows(data_dir: Path, plate: str) -> list[dict[str, str]]:
    with (data_dir / "sebre_figures" / "colours.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["plate"] == plate]


def color(row: dict[str, str]) -> tuple[int, int, int]:
    return tuple(int(row[key]) for key in "rgb")


def independent_labels(
    path: Path, others: list[tuple[int, int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Class ids of MOUSE by another way: a tree of colors, and closing with a disk.

    A pixel is of the nearest color among regions, other structures, white and black; black
    and mixed pixels inside the closing of all regions take the label of the nearest region,
    unless they lie at the background. Also says which pixels are not black or mixed.
    """
    image = np.asarray(Image.open(path).convert("RGBA"))
    colors = [region.code for region in MOUSE] + others + [WHITE, BLACK]
    distance, index = cKDTree(np.array(colors)).query(image[..., :3].reshape(-1, 3))
    distance, index = (a.reshape(image.shape[:2]) for a in (distance, index))
    background = (index == len(colors) - 2) | (image[..., 3] < 128)
    labels = np.where((index < len(MOUSE)) & (distance < 12) & ~background, index + 1, 0)
    colored = (distance < 12) & (index < len(colors) - 1) | background
    radius = 2 if image.shape[1] < 2000 else 4
    closed = ndimage.binary_closing(labels > 0, disk(radius))
    painted_other = (index >= len(MOUSE)) & (index < len(colors) - 2) & (distance < 12)
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=1)
    outer = ndimage.binary_dilation(background, iterations=2)
    fill = closed & (labels == 0) & ~outer & ~painted_other
    labels[fill] = labels[tuple(nearest)][fill]
    return labels, colored


def ious(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    found = {}
    for region in MOUSE:
        one, other = a == region.id, b == region.id
        if one.any():
            found[region.name] = float((one & other).sum() / (one | other).sum())
    return found


@pytest.mark.parametrize("plate", PLATES)
def test_masks_of_real_plates_agree_with_an_independent_labeling(data_dir, plate, record_property):
    path = data_dir / "sebre_figures" / plate
    near = [region.code for region in MOUSE]
    others = [
        color(row)
        for row in plate_rows(data_dir, plate)
        if min(max(np.abs(np.subtract(color(row), c))) for c in near) > 2
    ]
    wanted, colored = independent_labels(path, others)
    found = match_colors(path, MOUSE).labels
    painted_part = ious(wanted * colored, found * colored)
    assert len(painted_part) >= 6
    assert min(painted_part.values()) >= 0.99, painted_part
    # On lines the two ways differ by a pixel, which counts in the smallest regions.
    whole = ious(wanted, found)
    assert min(whole.values()) >= (0.99 if plate == PLATES[1] else 0.98), whole

    # The released notebook's way, at its own size.
    small = downsample_labels(wanted.astype(np.uint8), 16)
    shrunk, exact = (
        ious(small, downsample_labels(found, 16)),
        ious(small, match_exactly(path, MOUSE)),
    )
    for name, values in {
        "painted": painted_part,
        "whole": whole,
        "shrunk": shrunk,
        "notebook": exact,
    }.items():
        record_property(name, values)
        logging.info("%s: %s %s", plate, name, values)
    assert min(shrunk.values()) >= 0.99
    assert all(exact[name] < shrunk[name] - 0.03 for name in exact), exact
    assert np.mean(list(exact.values())) < 0.8


@pytest.mark.parametrize("plate", PLATES)
def test_pixel_counts_of_real_plates(data_dir, plate):
    rows = plate_rows(data_dir, plate)
    regions = RegionSet(
        "plate", tuple(Region(i, f"r{i}", "", color(row)) for i, row in enumerate(rows, start=1))
    )
    for tolerance, column in ((0, "pixels_exact"), (4, "pixels_within_4")):
        labels = match_colors(
            data_dir / "sebre_figures" / plate, regions, tolerance=tolerance, max_gap=0
        ).labels
        counts = np.bincount(labels.ravel(), minlength=len(rows) + 1)[1:]
        assert counts.tolist() == [int(row[column]) for row in rows]


def test_unlisted_colors_of_a_real_plate(data_dir):
    found = match_colors(data_dir / "sebre_figures" / PLATES[1], MOUSE, tolerance=4)
    other = [row for row in plate_rows(data_dir, PLATES[1]) if not row["region"]]
    for row, unlisted in zip(other[:1] + other[2:3] + other[1:2], found.unlisted[:3], strict=True):
        assert np.abs(np.subtract(unlisted.color, color(row))).max() <= 1
        assert unlisted.pixels == pytest.approx(int(row["pixels_within_4"]), rel=0.01)
    pixels = [color.pixels for color in found.unlisted]
    assert pixels == sorted(pixels, reverse=True)
    assert found.unlisted_pixels > sum(pixels)


def test_all_formats_give_the_same_labels(tmp_path):
    """More rows than a strip, and than is filled at once."""
    labels = np.kron(drawn_labels(), np.ones((10, 4), np.uint8))
    image = painted(labels)
    image[:, 100:103] = BLACK
    rng = np.random.default_rng(0)
    image[np.array([255, 256, 257, 511, 512, 513]), :] = BLACK
    wanted = labels.copy()
    alpha = np.full((*labels.shape, 1), 255, np.uint8)
    hidden = image.copy()
    hidden[labels == 0] = RED  # hidden by transparency
    hidden = np.concatenate([hidden, np.where(labels[..., None] > 0, alpha, 0)], axis=-1)
    noisy = np.clip(image.astype(int) + rng.integers(-6, 7, image.shape), 0, 255).astype(np.uint8)

    paths = {
        "png": write(tmp_path / "a.png", image),
        "alpha": write(tmp_path / "b.png", hidden),
        "noise": write(tmp_path / "c.png", noisy),
        "lzw": write(tmp_path / "d.tif", image, compression="tiff_lzw"),
    }
    Image.fromarray(image).quantize(8).save(tmp_path / "e.png")
    Image.fromarray(image).save(tmp_path / "f.jpg", quality=98, subsampling=0)
    paths |= {"palette": tmp_path / "e.png", "jpeg": tmp_path / "f.jpg"}
    for name, options in {
        "tiled": {"tile": (64, 48)},
        "striped": {"rowsperstrip": 7},
        "deflate": {"rowsperstrip": 100, "compression": "zlib", "predictor": True},
        "planes": {"planarconfig": "separate"},
    }.items():
        array = np.moveaxis(image, -1, 0) if name == "planes" else image
        paths[name] = tmp_path / f"{name}.tif"
        tifffile.imwrite(paths[name], array, photometric="rgb", **options)
    tifffile.imwrite(
        tmp_path / "g.tif", hidden, photometric="rgb", extrasamples=["unassalpha"], tile=(32, 32)
    )
    paths["tiled alpha"] = tmp_path / "g.tif"

    assert np.array_equal(match_colors(paths["png"], PAIR).labels > 0, wanted > 0)
    for name, path in paths.items():
        found = match_colors(path, PAIR).labels
        assert found.shape == labels.shape
        # A black row between two regions joins the nearer.
        assert (found != wanted).mean() < (0.002 if name == "jpeg" else 0.0005), name
        np.testing.assert_array_equal(
            np.concatenate([strip for _, strip in big_pictures.strips(path, rows=37)])[..., :3],
            np.asarray(Image.open(path).convert("RGB")),
        )


def test_labels_do_not_depend_on_where_strips_end(data_dir, tmp_path):
    image = np.asarray(Image.open(data_dir / "sebre_figures" / PLATES[1]))[300:1100, 900:1700]
    wanted = match_colors(write(tmp_path / "a.png", image), MOUSE, max_gap=9).labels
    for shift in (1, 100):
        shifted = np.pad(image, ((shift, 0), (0, 0), (0, 0)), mode="edge")
        found = match_colors(write(tmp_path / "b.png", shifted), MOUSE, max_gap=9).labels
        # Repeating the first row changes what is near it.
        np.testing.assert_array_equal(found[shift + 20 :], wanted[20:])


def test_what_is_filled(tmp_path):
    image = np.full((90, 120, 3), 255, np.uint8)
    image[10:80, 10:60] = RED
    image[10:80, 60:110] = BLUE
    image[10:80, 59:61] = BLACK  # outline between the regions
    image[9, 10:110] = BLACK  # outline on the outside
    image[20:70, 20:23] = WHITE  # fissure
    image[20:30, 30:34] = BLACK  # letter
    image[30:32, 30:40] = (100, 15, 20)  # mixed with black
    image[40:60, 30:36] = GREEN  # another structure
    image[40:60, 45:55] = BLACK  # a blot wider than the gap
    path = write(tmp_path / "a.png", image)
    found = match_colors(path, PAIR, max_gap=4)
    wanted = np.zeros((90, 120), np.uint8)
    wanted[10:80, 10:60], wanted[10:80, 60:110] = 1, 2
    wanted[20:70, 20:23] = wanted[40:60, 30:36] = 0
    inner = np.zeros_like(wanted, bool)
    inner[44:56, 49:51] = True
    assert not found.labels[inner].any()  # the middle of the blot
    corners = np.zeros_like(inner)
    corners[40:60, 45:55] = True  # its corners are within short diagonals
    np.testing.assert_array_equal(found.labels[~corners], wanted[~corners])
    assert [c.color for c in found.unlisted] == [GREEN, (100, 15, 20)]
    assert found.unlisted_pixels == 120 + 20

    bare = match_colors(path, PAIR, max_gap=0).labels
    assert not bare[20:30, 30:34].any()
    assert not bare[10:80, 59:61].any()


def test_a_run_joins_its_nearer_end_and_stops_at_background():
    codes = np.full((3, 12), BACKGROUND, np.uint8)
    codes[1] = [1, INK, INK, INK, 2, INK, BACKGROUND, 2, INK, INK, INK, INK]
    assert fill_gaps(codes, 3)[1].tolist() == [1, 1, 1, 2, 2, 0, 0, 2, 0, 0, 0, 0]
    assert fill_gaps(codes, 2)[1].tolist() == [1, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0, 0]
    assert fill_gaps(codes.T.copy(), 3)[:, 1].tolist() == fill_gaps(codes, 3)[1].tolist()
    diagonal = np.where(np.eye(5, dtype=bool), INK, BACKGROUND).astype(np.uint8)
    diagonal[0, 0] = diagonal[4, 4] = 1
    assert np.trace(fill_gaps(diagonal, 3)) == 5
    assert np.trace(fill_gaps(np.fliplr(diagonal), 3)[:, ::-1]) == 5


def test_the_nearest_of_two_colors_wins(tmp_path):
    regions = RegionSet(
        "close", (Region(1, "a", "a", (100, 100, 100)), Region(2, "b", "b", (110, 100, 100)))
    )
    image = np.full((1, 8, 3), 100, np.uint8)
    image[0, :, 0] = [91, 92, 104, 105, 106, 118, 119, 108]
    found = match_colors(write(tmp_path / "a.png", image), regions, tolerance=8, max_gap=0)
    assert found.labels[0].tolist() == [0, 1, 1, 1, 2, 2, 0, 2]


def test_shrinking_takes_the_larger_area():
    labels = np.random.default_rng(0).integers(0, 4, (29, 38)).astype(np.uint8)
    labels[:12, :12] = 3
    for factor in (1, 2, 3, 5):
        found = downsample_labels(labels, factor)
        assert found.shape == (29 // factor, 38 // factor)
        for y, x in np.ndindex(found.shape):
            block = labels[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
            areas = np.bincount(block.ravel(), minlength=4)
            if 2 * areas[1:].sum() < factor**2:
                assert found[y, x] == 0
            else:
                assert areas[found[y, x]] == areas[1:].max()
    assert list(masks_of_labels(downsample_labels(labels, 4))) == [1, 2, 3]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
@pytest.mark.parametrize("factor", [1, 3, 8, 16])
def test_sections_shrink_by_averages_of_areas(tmp_path, name, factor):
    rows, columns = np.mgrid[:530, :301]
    image = np.stack([rows / 2.5, columns / 1.5, (rows + columns) / 4], axis=-1).astype(np.uint8)
    found = big_pictures.read_shrunk(write(tmp_path / name, image), factor)
    height, width = 530 // factor, 301 // factor
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    wanted = blocks.mean(axis=(1, 3))
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= (6 if name == "a.jpg" else 0.51)


def test_half_transparent_paint_counts(tmp_path):
    labels = drawn_labels()
    image = painted(labels)
    for opacity in (40, 102, 255):
        alpha = np.where(labels > 0, opacity, 0).astype(np.uint8)
        path = write(tmp_path / "a.png", np.dstack([image[..., :3], alpha]))
        np.testing.assert_array_equal(match_colors(path, PAIR, max_gap=0).labels, labels)


def test_large_pictures_are_read_up_to_the_limit(tmp_path, monkeypatch):
    path = write(tmp_path / "a.png", painted(drawn_labels()))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow refuses twice as many
    assert (match_colors(path, PAIR).labels == drawn_labels()).all()
    assert Image.MAX_IMAGE_PIXELS == 1000
    monkeypatch.setattr(big_pictures, "MAX_PIXELS", 4000)
    with pytest.raises(ValueError, match=r"a.png: 60 x 80 px are too many; at most 4000"):
        match_colors(path, PAIR)


_MEASURE = """
import json, sys
from pathlib import Path
from sebre.prepare.sources.color_code import read_source
sections = read_source(Path(sys.argv[1])).sections
image, masks = sections[0].read()
lines = Path("/proc/self/status").read_text().splitlines()
peak = [line for line in lines if line.startswith("VmHWM")][0]
print(json.dumps([int(peak.split()[1]), image.shape, {i: int(m.sum()) for i, m in masks.items()}]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_of_a_plate_of_70_million_pixels(tmp_path, record_property):
    size = (10000, 7000)
    plate = Image.new("RGBA", size, (255, 255, 255, 0))
    draw = ImageDraw.Draw(plate)
    for i, region in enumerate(MOUSE):
        box = (200 + 1200 * i, 300, 1300 + 1200 * i, 6500)
        draw.rectangle(box, fill=(*region.code, 255), outline=(0, 0, 0, 255), width=8)
        draw.line((*box[:2], *box[2:]), fill=(0, 0, 0, 255), width=8)
    for folder in ("images", "overlays"):
        (tmp_path / folder).mkdir()
    plate.save(tmp_path / "overlays" / "plate_1.png", compress_level=1)
    plate.convert("RGB").save(tmp_path / "images" / "section_1.jpg", quality=50)
    del plate, draw
    command = [sys.executable, "-W", "error", "-c", _MEASURE, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    peak, shape, areas = json.loads(done.stdout)
    record_property("peak_mb", peak // 1024)
    logging.info("peak %d MB", peak // 1024)
    assert shape == [7000, 10000, 3]
    for area in areas.values():  # the line across is filled, the outline is not
        assert area == pytest.approx((1101 - 16) * (6201 - 16), rel=1e-4)
    assert len(areas) == 8
    assert peak < 3 * 1024**2


def test_deep_overlays_keep_their_colors(tmp_path):
    image = painted(drawn_labels())
    wanted = match_colors(write(tmp_path / "a.png", image), PAIR).labels
    assert wanted.any()
    deep = image[..., :3].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "b.png"), deep[..., ::-1])
    tifffile.imwrite(tmp_path / "b.tif", deep, photometric="rgb")
    for name in ("b.png", "b.tif"):
        np.testing.assert_array_equal(match_colors(tmp_path / name, PAIR).labels, wanted)


def save_truncated_jpeg(path: Path) -> None:
    write(path.with_suffix(".jpg"), section(0)).rename(path)
    path.write_bytes(path.read_bytes()[:2000])


def save_truncated_tiff(path: Path) -> None:
    tifffile.imwrite(path.with_suffix(".tif"), section(0), photometric="rgb", rowsperstrip=8)
    path.with_suffix(".tif").rename(path)
    path.write_bytes(path.read_bytes()[:3000])


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize(
    ("save", "message"),
    [
        (save_truncated_jpeg, "cannot read this picture .*truncated"),
        (save_truncated_tiff, "cannot read this picture"),
        (lambda path: path.write_text("no picture"), "cannot read this picture"),
        (lambda path: path.write_bytes(b""), "cannot read this picture"),
        (lambda path: tifffile.imwrite(path, np.zeros((7, 9, 9), np.uint8)), "holds 7 pages"),
    ],
)
def test_bad_overlays_are_named(tmp_path, save, message):
    path = tmp_path / "a.png"
    save(path)
    with pytest.raises(ValueError, match=message) as caught:
        match_colors(path, PAIR)
    assert str(path) in str(caught.value)


def test_bad_arguments(tmp_path):
    path = write(tmp_path / "a.png", painted(drawn_labels()))
    with pytest.raises(ValueError, match="tolerance is 300; it must be from 0 to 255"):
        match_colors(path, PAIR, tolerance=300)
    with pytest.raises(ValueError, match="divided by 61 nothing is left"):
        match_exactly(path, PAIR, 61)
    with pytest.raises(ValueError, match="divided by 100 nothing is left"):
        big_pictures.read_shrunk(path, 100)
    with pytest.raises(FileNotFoundError, match="b.png: cannot read this picture .no such file"):
        match_colors(tmp_path / "b.png", PAIR)
    many = RegionSet("many", tuple(Region(i, f"r{i}", "", (i, 0, 0)) for i in range(1, 255)))
    with pytest.raises(ValueError, match="254 regions; an overlay can have at most 253"):
        match_colors(path, many)
