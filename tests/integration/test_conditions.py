"""What people really have: the right answer, or one clear refusal; never a wrong one in silence."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from paths import ROOT
from picture_forms import FORMS, exif, turned
from PIL import Image
from raw_samples import drawn_labels

from mrcnn.imageio.reading import read_picture
from sebre.cli import commands as cli
from sebre.networks.segmenter import load_segmenter

SECTION = ROOT / "datasets" / "slicemap" / "mrcnn_val_dataset_images" / "section_img_0.png"
with Image.open(SECTION) as _image:
    GRAY = np.asarray(_image.convert("L"))[:, :70]
SAME = 0.98  # IoU
JPEG_SAME = 0.95
REGIONS = "id,name,r,g,b\n1,cortex,255,0,0\n2,hippocampus,0,0,255\n"


def run(*arguments, experiment: str | None = None) -> int:
    return cli.main([str(argument) for argument in arguments], experiment=experiment)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the pixels labeled in either that have one label."""
    assert a.shape == b.shape
    either = (a > 0) | (b > 0)
    return float((a == b)[either].mean())


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Path:
    """The outputs of one run over the section in every form, and as a plain PNG."""
    folder = tmp_path_factory.mktemp("forms")
    Image.fromarray(GRAY).save(folder / "plain.png")
    for name, (ending, write) in FORMS.items():
        write(GRAY, folder / f"{name}.{ending}")
    out = folder.parent / "out"
    assert run("detect", "slicemap", folder, "--out", out) == cli.DONE
    return out


def labels(out: Path, name: str) -> np.ndarray:
    with Image.open(out / f"{name}_labels.png") as image:
        return np.asarray(image)


@pytest.mark.parametrize("name", FORMS)
def test_one_section_in_any_file_gives_the_same_regions(found, name):
    stem = name + (".ome" if FORMS[name][0].startswith("ome") else "")
    plain = labels(found, "plain")
    assert plain.any()
    lossy = name.startswith(("jpeg", "cmyk_jpeg"))
    assert iou(plain, labels(found, stem)) >= (JPEG_SAME if lossy else SAME)
    with (found / "regions.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["image"] == stem]
    expected = [row for row in _rows(found) if row["image"] == "plain"]
    assert {row["region"] for row in rows} == {row["region"] for row in expected}


def _rows(out: Path) -> list[dict[str, str]]:
    with (out / "regions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_was_assumed_of_a_picture_is_said(tmp_path, caplog):
    caplog.set_level("INFO")
    for name in ("ome_channels", "jpeg_6", "cmyk_tiff"):
        FORMS[name][1](GRAY, tmp_path / f"{name}.{FORMS[name][0]}")
    assert run("detect", "slicemap", tmp_path, "--out", tmp_path / "out") == cli.DONE
    for text in (
        "ome_channels.ome.tif: three channels are taken as red, green and blue.",
        "jpeg_6.jpg: turned upright by its EXIF orientation.",
        "cmyk_tiff.tif: converted from cmyk.",
    ):
        assert text in caplog.text


# --- What is refused ----------------------------------------------------------------------


def _stack(axes: str | None, count: int = 4):
    def write(path: Path) -> None:
        pages = np.stack([GRAY // (i + 1) for i in range(count)])
        metadata = {} if axes is None else {"metadata": {"axes": axes}}
        tifffile.imwrite(path, pages, photometric="minisblack", **metadata)

    return write


REFUSED = {
    "channels.ome.tif": (_stack("CYX"), "--channel 1 to --channel 4"),
    "two_channels.ome.tif": (_stack("CYX", 2), "--channel 1 to --channel 2"),
    "planes.ome.tif": (_stack("ZYX"), "--z max"),
    "times.ome.tif": (_stack("TYX"), "--z 1 to --z 4"),
    "pages.tif": (_stack(None), "holds 4 pages"),
    "three_pages.tif": (_stack(None, 3), "holds 3 pages"),
    "nan.tif": (
        lambda path: tifffile.imwrite(path, np.full(GRAY.shape, np.nan, np.float32)),
        "not numbers",
    ),
    "complex.tif": (
        lambda path: tifffile.imwrite(path, GRAY.astype(np.complex64)),
        "complex64 values",
    ),
    "cut.tif": (
        lambda path: (
            tifffile.imwrite(path, GRAY, compression="lzw", rowsperstrip=7),
            path.write_bytes(path.read_bytes()[:-500]),
        ),
        "cannot read this picture",
    ),
    "notes.png": (lambda path: path.write_text("notes"), "of no known kind"),
    "animation.gif": (
        lambda path: Image.fromarray(GRAY).save(
            path, save_all=True, append_images=[Image.fromarray(255 - GRAY)]
        ),
        "holds 2 pages",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_meant_otherwise_is_refused_with_the_cure(tmp_path, name):
    write, cure = REFUSED[name]
    write(tmp_path / name)
    with pytest.raises(ValueError, match=cure) as caught:
        read_picture(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_refused_picture_does_not_stop_the_others(tmp_path, capsys):
    REFUSED["channels.ome.tif"][0](tmp_path / "a.ome.tif")
    Image.fromarray(GRAY).save(tmp_path / "b.png")
    out = tmp_path / "out"
    assert run("detect", "slicemap", tmp_path, "--out", out, "--retries", 0) == cli.SOME_FAILED
    assert "a.ome.tif: holds 4 channels" in capsys.readouterr().err
    assert {row["image"] for row in _rows(out)} == {"b"}
    out = tmp_path / "chosen"
    inputs = [tmp_path / "a.ome.tif"]
    options = ["--channel", 1]
    assert run("detect", "slicemap", *inputs, "--out", out, *options) == cli.DONE
    assert {row["image"] for row in _rows(out)} == {"a.ome"}


# --- Arrays -------------------------------------------------------------------------------


def test_arrays_of_other_ranges_are_refused():
    segmenter = load_segmenter("slicemap")
    image = np.stack([GRAY] * 3, axis=-1)
    for same in (image, image.astype(np.int64), image.astype(np.float32)):
        assert len(segmenter.detect([same])[0]["class_ids"])
    for wrong, word in (
        (image / np.float32(255), "multiply by 255"),
        (image > 99, "multiply by 255"),
        (image.astype(np.uint16) * 257, "from 0 to 255"),
        (image.astype(np.int16) - 128, "from 0 to 255"),
        (np.full(image.shape, np.nan), "NaN"),
        (np.where(image > 9, np.inf, 0.0), "infinite"),
        (image.astype(np.complex64), "numbers"),
    ):
        with pytest.raises(ValueError, match=word):
            segmenter.detect([wrong])


# --- Preparation --------------------------------------------------------------------------


def raw_set(raw: Path, image, drawing, drawings: str = "labels") -> Path:
    for k in range(1, 4):
        for folder, write in (("images", image), (drawings, drawing)):
            (raw / folder).mkdir(parents=True, exist_ok=True)
            write(raw / folder / f"s_{k}")
    (raw / "regions.csv").write_text(REGIONS)
    return raw


LABELS = drawn_labels()
PICTURE = (np.add.outer(np.arange(60) * 2, np.arange(80)) % 256).astype(np.uint8)
IMAGES = {
    "jpeg_180": lambda p: Image.fromarray(turned(PICTURE, 3)).save(
        f"{p}.jpg", quality=98, exif=exif(3)
    ),
    "tiff_on_its_side": lambda p: tifffile.imwrite(
        f"{p}.tif", turned(PICTURE, 6), extratags=[(274, "H", 1, 6, True)]
    ),
    "twelve_bits": lambda p: tifffile.imwrite(f"{p}.tif", PICTURE.astype(np.uint16) * 16),
    "float": lambda p: tifffile.imwrite(f"{p}.tif", PICTURE / np.float32(255)),
    "white_is_zero": lambda p: tifffile.imwrite(
        f"{p}.tif", 255 - PICTURE, photometric="miniswhite"
    ),
    "lzw": lambda p: tifffile.imwrite(f"{p}.tif", PICTURE, compression="lzw"),
}
_EITHER = np.stack([np.where(LABELS == 1, 1, 0), np.where(LABELS == 2, 2, 0)])
DRAWINGS = {
    "uint8": lambda p: Image.fromarray(LABELS).save(f"{p}.png"),
    "int32": lambda p: tifffile.imwrite(f"{p}.tif", LABELS.astype(np.int32)),
    "uint64": lambda p: tifffile.imwrite(f"{p}.tif", LABELS.astype(np.uint64)),
    "whole floats": lambda p: tifffile.imwrite(f"{p}.tif", LABELS.astype(np.float64)),
    "a page a region": lambda p: tifffile.imwrite(
        f"{p}.tif", _EITHER.astype(np.uint8), photometric="minisblack"
    ),
    "a page a region, all 255": lambda p: tifffile.imwrite(
        f"{p}.tif", (_EITHER > 0).astype(np.uint8) * 255, photometric="minisblack"
    ),
    "ImageJ stack": lambda p: tifffile.imwrite(
        f"{p}.tif", _EITHER.astype(np.uint8)[:, None], imagej=True
    ),
    "white is zero": lambda p: tifffile.imwrite(f"{p}.tif", LABELS, photometric="miniswhite"),
    "equal channels": lambda p: Image.fromarray(np.stack([LABELS] * 3, -1)).save(f"{p}.png"),
    "on its side": lambda p: tifffile.imwrite(
        f"{p}.tif", turned(LABELS, 6), compression="lzw", extratags=[(274, "H", 1, 6, True)]
    ),
}


def prepared(out: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    with Image.open(out / "mrcnn_train_dataset_images" / "section_img_0.png") as image:
        picture = np.asarray(image.convert("L"))
    masks = {}
    for path in (out / "mrcnn_train_dataset_masks" / "section_masks_0").iterdir():
        with Image.open(path) as mask:
            masks[path.stem.split("_")[3]] = np.asarray(mask) > 0
    return picture, masks


@pytest.mark.parametrize("kind", IMAGES)
def test_pictures_lie_as_their_masks_do(tmp_path, kind):
    raw = raw_set(tmp_path / "raw", IMAGES[kind], DRAWINGS["uint8"])
    assert run("prepare", "labels", "--raw", raw, "--out", tmp_path / "set") == cli.DONE
    picture, masks = prepared(tmp_path / "set")
    assert np.abs(picture.astype(int) - PICTURE).mean() < (3 if "jpeg" in kind else 0.5)
    assert np.array_equal(masks["cortex"], LABELS == 1)


@pytest.mark.parametrize("kind", DRAWINGS)
def test_label_maps_of_any_kind(tmp_path, kind):
    raw = raw_set(tmp_path / "raw", IMAGES["lzw"], DRAWINGS[kind])
    assert run("prepare", "labels", "--raw", raw, "--out", tmp_path / "set") == cli.DONE
    _, masks = prepared(tmp_path / "set")
    assert np.array_equal(masks["cortex"], LABELS == 1)
    assert np.array_equal(masks["hippocampus"], LABELS == 2)


@pytest.mark.parametrize(
    ("drawing", "word"),
    [
        (lambda p: tifffile.imwrite(f"{p}.tif", LABELS / np.float32(3)), "whole numbers"),
        (lambda p: tifffile.imwrite(f"{p}.tif", LABELS.astype(np.int8) - 1), "not negative"),
        (
            lambda p: tifffile.imwrite(
                f"{p}.tif", np.stack([LABELS, LABELS]), photometric="minisblack"
            ),
            "one page a region",
        ),
        (
            lambda p: tifffile.imwrite(
                f"{p}.tif",
                np.stack([LABELS > 0, LABELS == 2]).astype(np.uint8),
                photometric="minisblack",
            ),
            "more than one page",
        ),
        (lambda p: Image.fromarray(LABELS).save(f"{p}.jpg"), "JPEG does not keep exact values"),
    ],
)
def test_label_maps_that_cannot_be_meant(tmp_path, capsys, drawing, word):
    raw = raw_set(tmp_path / "raw", IMAGES["lzw"], drawing)
    assert run("prepare", "labels", "--raw", raw, "--out", tmp_path / "set") == cli.USER_ERROR
    error = capsys.readouterr().err
    assert word in error and error.count("\n") == 1
    assert not (tmp_path / "set").exists()


# --- Files of other programs --------------------------------------------------------------


def test_detection_writes_the_formats_that_are_asked_for(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", GRAY, resolution=(1000, 1000), resolutionunit="CENTIMETER")
    out = tmp_path / "out"
    inputs = ["detect", "slicemap", tmp_path / "s.tif", "--out", out]
    assert run(*inputs, "--format", "geojson", "coco") == cli.DONE
    rows, found = _rows(out), labels(out, "s")
    features = json.loads((out / "s.geojson").read_text())["features"]
    assert [f["properties"]["name"] for f in features] == [row["region"] for row in rows]
    for feature, row in zip(features, rows, strict=True):
        measured = feature["properties"]["measurements"]
        area = int((found == int(row["region_id"])).sum())
        assert measured["Area px^2"] == int(row["area_px"]) == area
        assert measured["Area mm^2"] == pytest.approx(area * 1e-4)
    assert len(json.loads((out / "s_coco.json").read_text())["annotations"]) == len(rows)
    assert not (out / "s.svg").exists()
