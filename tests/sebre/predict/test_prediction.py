"""One picture from Python: any kind of array, a table, a plot, files."""

import dataclasses
import json
import logging

import numpy as np
import pytest
from fixed_segmenter import RESULT, SIDE, Fixed, result_of
from paths import ROOT
from PIL import Image
from section_folders import save_picture

import sebre
from mrcnn.errors import UserError
from mrcnn.structures.mask_formats import mask_to_rle
from sebre.data.regions import SLICEMAP
from sebre.experiments.slicemap import SlicemapConfig
from sebre.networks.segmenter import best_labels, demand_mask_rcnn
from sebre.networks.tissue import tissue_mask
from sebre.predict.name_claims import claim
from sebre.predict.prediction import NOT_TOLD, Network, predict_picture


def test_a_file_becomes_a_table_a_plot_and_files(tmp_path):
    found = Network(Fixed(RESULT)).predict(save_picture(tmp_path / "s.png"), pixel_um=10)
    np.testing.assert_array_equal(found.label_map, best_labels(RESULT, (SIDE, SIDE)))
    table = found.regions
    assert list(table.index) == SLICEMAP.names
    assert table.loc["cortex", "area_mm2"] == pytest.approx(0.01)
    assert table.loc["midbrain", "found"] == "no"
    assert found.mask("cortex").sum() == table.loc["cortex", "area_px"]
    with pytest.raises(UserError, match="No region 'tail'; the network looks for cortex, "):
        found.mask("tail")
    figure = found.plot()
    assert len(figure.axes) == 2
    paths = found.save(tmp_path / "out", formats=["geojson"])
    assert [path.name for path in paths] == ["s_labels.png", "s_overlay.png", "s.geojson"]
    with Image.open(paths[0]) as image:
        assert image.info["dpi"] == pytest.approx((2540, 2540), rel=1e-3)
        assert '"1": "cortex"' in image.info["regions"]
        np.testing.assert_array_equal(np.asarray(image), found.label_map)
        color = np.asarray(image.convert("RGB"))[10, 10]
        assert tuple(color) == SLICEMAP[1].color
    (tmp_path / "out" / "s.geojson").write_text("mine")
    with pytest.raises(UserError, match=r"s\.geojson"):
        found.save(tmp_path / "out", formats=["geojson"])


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.int32])
@pytest.mark.parametrize("channels", [None, 1, 3, 4])
def test_arrays_of_any_depth_and_color(kind, channels):
    full = 1 if kind is np.float32 else 255 if kind is np.uint8 else 4095
    gray = np.linspace(0, full, SIDE * SIDE).reshape(SIDE, SIDE).astype(kind)
    picture = gray if channels is None else np.repeat(gray[..., None], channels, axis=-1)
    if channels == 4:
        picture[..., 3] = full
    segmenter = Fixed(RESULT)
    found = predict_picture(segmenter, picture)
    (shown,) = segmenter.shown
    assert shown.dtype == np.uint8 and shown.shape == (SIDE, SIDE, 3)
    assert shown[0, 0].max() == 0 and shown[-1, -1].min() >= 250
    assert found.name == "picture" and found.pixel_um is None
    assert "area_mm2" not in found.rows[0]


@pytest.mark.parametrize(
    ("channels", "options", "said"),
    [
        (2, {}, r"shape \(16, 16, 2\) has two channels.*array\[\.\.\., 0\]"),
        (3, {"channel": 2}, "channel=2, z=None: these are of files; an array is one picture"),
        (3, {"z": 3}, "z=3: these are of files"),
        (3, {"z": "max"}, "z=max: these are of files"),
        (3, {"overlap": 4}, "An overlap is that of tiles: give their side too \\(tile, --tile"),
    ],
)
def test_what_would_be_lost_or_change_nothing_is_refused(channels, options, said):
    segmenter = Fixed(RESULT)
    with pytest.raises(UserError, match=said):
        predict_picture(segmenter, np.zeros((16, 16, channels), np.uint8), **options)
    assert segmenter.shown == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"picture": Image.new("L", (16, 16))}, "The picture is a Image; wanted the path of a f"),
        ({"picture": [[0, 1]]}, r"The picture is a list.*numpy\.asarray"),
        ({"channel": "1"}, "channel is '1'; wanted a whole number"),
        ({"z": 1.5}, "z is 1.5; wanted 'max'"),
        ({"z": True}, "z is True; wanted 'max'"),
        *(({"pixel_um": um}, "pixel_um is .*; wanted one number above 0") for um in (-2, 0, "2")),
        *(({"pixel_um": um}, "pixel_um is .*; wanted one") for um in ((2, 3), np.nan, np.inf)),
        ({"tile": 0}, "tile is 0; wanted a whole number of px, at least 1"),
        ({"tile": "9"}, "tile is '9'; wanted"),
        ({"tile": 8, "overlap": 8}, "Tiles of 8 px with an overlap of 8 px"),
        ({"preview_px": 0}, "preview_px is 0; wanted"),
        *(({"name": name}, "The name is .*; wanted") for name in ("../b", "/a/b", "a/../../b")),
        *(({"name": name}, "The name is .*; wanted") for name in ("", "a/", "..\\b", "./b", 3)),
    ],
)
def test_mistakes_of_a_program_are_refused_before_anything_is_done(options, said):
    segmenter = Fixed(RESULT)
    given = {"picture": np.zeros((16, 16), np.uint8)} | options
    with pytest.raises(UserError, match=said):
        predict_picture(segmenter, **given)
    assert segmenter.shown == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"formats": "geojson"}, r"formats is 'geojson'; wanted a list.*\['geojson'\]"),
        ({"formats": ["svg", "geojsn"]}, "formats is .*'geojsn'.*; wanted a list of some of geo"),
        ({"formats": None}, "formats is None; wanted a list"),
        ({"shapes": "poly"}, "shapes is 'poly'; wanted 'rle' or 'contours'"),
        ({"overlay_px": 0}, "overlay_px is 0; wanted"),
    ],
)
def test_outputs_that_cannot_be_are_refused_before_anything_is_written(tmp_path, options, said):
    found = predict_picture(Fixed(RESULT), save_picture(tmp_path / "s.png"))
    with pytest.raises(UserError, match=said):
        found.save(tmp_path / "out", **options)
    with pytest.raises(UserError, match="The name is '../s'; wanted"):
        dataclasses.replace(found, name="../s").save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_size_of_a_pixel_that_is_given_is_used_with_a_warning(tmp_path, caplog):
    path = tmp_path / "s.tif"
    Image.fromarray(np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE)).save(
        path, dpi=(2540, 2540)
    )
    found = predict_picture(Fixed(RESULT), path)
    assert found.rows[0]["area_um2"] == pytest.approx(1e4, rel=1e-3)
    assert "its pixels are 10 x 10 um by a resolution of 2540 dpi" in found.notes
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    found = predict_picture(Fixed(RESULT), path, pixel_um=2.5)
    assert found.rows[0]["area_um2"] == 625 and not any("dpi" in note for note in found.notes)
    assert "pixels of 10 x 10 um by the file; 2.5 um, as given, is used" in caplog.text


def test_what_load_gives_is_still_a_segmenter():
    network = sebre.load("slicemap")
    assert network.regions is SLICEMAP and network.weights.name == "slicemap"
    assert demand_mask_rcnn(network) is network.segmenter
    picture = ROOT / "datasets" / "slicemap" / "mrcnn_val_dataset_images" / "section_img_0.png"
    found = network.predict(picture)
    with Image.open(picture) as image:
        assert found.label_map.shape == image.size[::-1]
    assert set(found.regions.index[found.regions.found == "yes"]) > {"cortex"}


def test_a_name_is_one_picture_in_a_folder(tmp_path):
    one, other = (save_picture(tmp_path / folder / "s.png") for folder in ("m1", "m2"))
    network, out = Network(Fixed(RESULT)), tmp_path / "out"
    network.predict(one).save(out)
    network.predict(one).save(out)  # the same picture again
    before = (out / "s_labels.png").read_bytes()
    with pytest.raises(UserError, match=r"m1.s\.png have this name. Give another one"):
        network.predict(other).save(out)
    with pytest.raises(UserError, match="have this name"):
        network.predict(np.zeros((SIDE, SIDE), np.uint8), name="s").save(out)
    assert (out / "s_labels.png").read_bytes() == before
    network.predict(other, name="m2_s").save(out)


def test_files_for_other_programs_say_whose_they_are(tmp_path):
    path = save_picture(tmp_path / "m2" / "s.png")
    found = Network(Fixed(RESULT)).predict(path, name="s-2")
    found.save(tmp_path / "out", formats=["geojson"])
    said = json.loads((tmp_path / "out" / "s-2.geojson").read_text())["picture"]
    assert said == {"file": "m2/s.png", "width": SIDE, "height": SIDE}


def test_arrays_of_one_name_do_not_replace_each_other(tmp_path):
    rng = np.random.default_rng(0)
    dark, light = (rng.integers(0, 256, (SIDE, SIDE), np.uint8) for _ in range(2))
    network, out = Network(Fixed(RESULT)), tmp_path / "out"
    network.predict(dark).save(out)
    network.predict(dark).save(out)  # the same pixels again
    with pytest.raises(UserError, match=r"outputs of an array, SHA-256 \w+ have this name"):
        network.predict(light).save(out)
    network.predict(light, name="light").save(out)
    # A file of the name takes another one.
    assert claim(out, "picture", save_picture(tmp_path / "picture.png")) == "picture-2"


# --- Glass -------------------------------------------------------------------------------


def _half_tissue():
    """A picture of SIDE px that shows tissue in columns 2 to 11 alone."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[2:18, 2:12] = 150
    return picture


_SPREAD = result_of((1, 0.9, (4, 4, 15, 18)), (2, 0.8, (5, 14, 9, 20)))  # 2 is on glass alone


def test_nothing_lies_on_glass_in_any_output(tmp_path):
    picture = _half_tissue()
    tissue = tissue_mask(picture)
    found = predict_picture(Fixed(_SPREAD), picture, "s")
    whole = best_labels(_SPREAD, (SIDE, SIDE))
    np.testing.assert_array_equal(found.label_map, np.where(tissue, whole, 0))
    assert not found.label_map[:, 14:].any() and not found.warnings and not found.notes
    rows = found.regions
    assert rows.loc["cortex", "area_px"] == (found.label_map == 1).sum() > 80
    assert rows.loc["cortex", "x2"] <= 13
    assert rows.loc["hippocampus", "found"] == "no"
    assert rows.loc["hippocampus", "reason"] == "left out: all its pixels were on glass"
    found.save(tmp_path, formats=["geojson", "coco", "tiff"], shapes="contours")
    features = json.loads((tmp_path / "s.geojson").read_text())["features"]
    assert [one["properties"]["classification"]["name"] for one in features] == ["cortex"]
    (coco,) = json.loads((tmp_path / "s_coco.json").read_text())["annotations"]
    assert coco["area"] == rows.loc["cortex", "area_px"]
    for name in ("s_labels.png", "s_labels.tif"):
        with Image.open(tmp_path / name) as image:
            np.testing.assert_array_equal(np.asarray(image), found.label_map)
    (shape,) = json.loads((tmp_path / "s_regions.json").read_text())
    assert shape["region"] == "cortex"

    class Everywhere(Fixed):
        config = SlicemapConfig(ONLY_ON_TISSUE=False)

    free = predict_picture(Everywhere(_SPREAD), picture)
    np.testing.assert_array_equal(free.label_map, whole)


def test_where_glass_cannot_be_told_it_is_said(tmp_path):
    blank = predict_picture(Fixed(RESULT), np.full((SIDE, SIDE), 90, np.uint8))
    np.testing.assert_array_equal(blank.label_map, best_labels(RESULT, (SIDE, SIDE)))
    assert blank.warnings[0].startswith("no tissue is to be seen")
    assert blank.notes == (NOT_TOLD,)


def test_tiles_say_what_they_lack_and_leave_out_glass_too():
    picture = np.repeat(np.repeat(_half_tissue(), 4, axis=0), 4, axis=1)
    found = predict_picture(Everything(), picture, tile=40)
    np.testing.assert_array_equal(found.label_map > 0, tissue_mask(picture))
    assert "segmented in tiles" in found.notes[0] and len(found.notes) == 1


class Everything(Fixed):
    """Finds one region all over any picture."""

    def __init__(self):
        super().__init__(None)

    def detect(self, images, masks="full"):
        shape = images[0].shape[:2]
        return [
            {
                "rois": np.array([[0, 0, *shape]], np.int32),
                "class_ids": np.array([1], np.int32),
                "scores": np.array([0.9], np.float32),
                "masks": mask_form(np.ones(shape, bool), masks),
            }
        ] * len(images)


def mask_form(mask, form):
    return mask[..., None] if form == "full" else [mask_to_rle(mask)]
