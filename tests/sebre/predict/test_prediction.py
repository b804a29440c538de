"""One picture from Python: any kind of array, a table, a plot, files."""

import logging

import numpy as np
import pytest
from fixed_segmenter import RESULT, SIDE, Fixed
from paths import ROOT
from PIL import Image
from section_folders import save_picture

import sebre
from mrcnn.errors import UserError
from sebre.data.regions import SLICEMAP
from sebre.networks.segmenter import best_labels, demand_mask_rcnn
from sebre.predict.prediction import Network, predict_picture


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


def test_the_size_of_a_pixel_that_is_given_is_used_with_a_warning(tmp_path, caplog):
    path = tmp_path / "s.tif"
    Image.fromarray(np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE)).save(
        path, dpi=(2540, 2540)
    )
    assert predict_picture(Fixed(RESULT), path).rows[0]["area_um2"] == pytest.approx(1e4, rel=1e-3)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert predict_picture(Fixed(RESULT), path, pixel_um=2.5).rows[0]["area_um2"] == 625
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
