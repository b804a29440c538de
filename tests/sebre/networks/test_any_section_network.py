"""The network of any section as a segmenter: from a file, for pictures of any size and angle."""

import tracemalloc

import cv2
import keras
import numpy as np
import pytest
from paths import ROOT
from PIL import Image

import sebre
from mrcnn.imageio.reduced import ReducedPicture
from mrcnn.structures.mask_formats import mask_areas
from mrcnn.weights.loading import save_weights
from sebre.data.regions import ANY_SECTION
from sebre.networks.any_section import (
    AnySectionConfig,
    AnySectionSegmenter,
    any_section_segmenter,
    build_network,
    frame_of,
    prepared,
)
from sebre.networks.segmenter import best_labels, load_segmenter


@pytest.fixture(scope="module")
def segmenter() -> AnySectionSegmenter:
    keras.utils.set_random_seed(0)
    return any_section_segmenter(build_network(32, (8, 16)))


def picture(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    gray = 60 + 120 * (np.hypot(rows - height / 3, columns - width / 2) < height / 4)
    return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=-1)


@pytest.mark.parametrize("shape", [(40, 90), (333, 100), (32, 32), (5, 7)])
def test_a_result_has_the_size_of_the_picture(segmenter, shape):
    (result,) = segmenter.detect([picture(*shape)])
    assert result["masks"].shape == (*shape, len(result["class_ids"]))
    assert result["masks"].sum(axis=-1).max() <= 1  # they do not overlap
    labels = best_labels(result, shape)
    assert set(np.unique(labels)) <= set(range(10))
    assert all(0.1 <= score <= 1 for score in result["scores"])


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_what_is_found_turns_with_the_picture(segmenter, turns):
    gray = picture(64, 64)[..., 0].astype(np.float32)
    found, turned = segmenter.labels(gray), segmenter.labels(np.rot90(gray, turns))
    assert (np.rot90(found, turns) == turned).mean() > 0.995
    assert (segmenter.labels(gray[:, ::-1])[:, ::-1] == found).mean() > 0.995


class Bright:
    """A network that finds what is bright."""

    input_shape = (None, 64, 64, 1)

    def predict_on_batch(self, pictures):
        bright = pictures[:, 1::2, 1::2, 0] > 0.5
        return 20.0 * np.stack([~bright, bright], axis=-1)


def test_labels_lie_where_the_picture_is():
    for shape in ((300, 180), (90, 256)):
        gray = picture(*shape)[..., 0].astype(np.float32)
        wanted = gray > 100
        found = any_section_segmenter(Bright()).labels(gray) == 1
        assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.93
        rows, columns = np.nonzero(found)
        assert rows.mean() == pytest.approx(np.nonzero(wanted)[0].mean(), abs=1.5)
        assert columns.mean() == pytest.approx(np.nonzero(wanted)[1].mean(), abs=1.5)


def test_a_slide_takes_little_memory():
    small = picture(1000, 1500)
    slide = ReducedPicture(small, (20_000, 30_000, 3), (20.0, 20.0), (9.5, 9.5))
    tracemalloc.start()
    (result,) = any_section_segmenter(Bright(), turns=1).detect([slide], masks="rle")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000 * 30_000 * 1.5  # bytes
    wanted = 400 * (small[..., 0] > 100).sum()
    assert mask_areas(result["masks"]) == pytest.approx([wanted], rel=0.02)
    assert result["masks"][0]["size"] == [20_000, 30_000]


def test_a_picture_is_padded_with_the_color_of_its_border():
    gray = 200 - picture(40, 90)[..., 0].astype(np.float32)
    square = prepared(gray, 64, frame_of(gray, 0))
    assert square.shape == (64, 64) and square[0, 0] == square[32, 0] == square.max()


@pytest.mark.parametrize("shape", [(200, 300), (400, 260)])
def test_the_network_sees_the_tissue_however_much_is_around_it(segmenter, shape):
    gray = np.zeros(shape, np.float32)
    gray[60:140, 90:150] = 40 + picture(80, 60)[..., 0]
    frame = frame_of(gray, 0.8)
    assert frame.side == pytest.approx(100, rel=0.08)
    assert frame.middle == pytest.approx((100, 120), abs=3)
    alone, whole = segmenter.labels(gray[40:160, 60:180]), segmenter.labels(gray)
    assert (whole[40:160, 60:180] == alone).mean() > 0.97
    assert frame_of(np.zeros(shape, np.float32), 0.8).side == max(shape)


@pytest.mark.parametrize("angle", [0, 20, 60, -75])
def test_the_square_turns_with_the_tissue(angle):
    gray = np.zeros((400, 400), np.float32)
    cv2.ellipse(gray, (180, 210), (90, 50), angle, 0, 360, 200.0, -1)
    frame = frame_of(gray, 0.9)
    assert np.degrees(frame.turn) == pytest.approx(angle if angle > -45 else angle + 180, abs=1.5)
    assert frame.middle == pytest.approx((210, 180), abs=2)
    assert frame.side == pytest.approx(181 / 0.9, rel=0.03)
    tissue = prepared(gray, 128, frame) > 0.5
    across, along = np.ptp(np.argwhere(tissue), axis=0) + 1
    assert along == pytest.approx(0.9 * 128, abs=3) and across == pytest.approx(64, abs=3)


@pytest.mark.parametrize("angle", [86, 90, 94])
def test_what_stands_upright_is_not_turned_upside_down(angle):
    gray = np.zeros((400, 400), np.float32)
    cv2.ellipse(gray, (180, 210), (90, 50), angle, 0, 360, 200.0, -1)
    assert np.degrees(frame_of(gray, 0.9).turn) == pytest.approx(angle, abs=1.5)


class Exact:
    """A network that answers with the pixels that it was trained on, and never fails."""

    def __init__(self, wanted):
        self.wanted = wanted  # class ids [n, n] of a square [n, n]

    def predict_on_batch(self, views):
        classes = np.stack([self.wanted(view[..., 0]) for view in views])[:, 1::2, 1::2]
        return 40.0 * np.eye(10, dtype=np.float32)[classes]


@pytest.mark.parametrize("turns", [1, 4, 8])
def test_an_answer_lies_where_its_pixels_are(turns):
    rows, columns = np.mgrid[:160, :160] - 79.5
    gray = 200.0 * (np.hypot(rows, columns) < 20)
    config = AnySectionConfig().update(SECTION_TURNS=turns, SECTION_SHARE=0.0)
    network = AnySectionSegmenter(Exact(lambda v: (v > 0.5).astype(int)), config, ANY_SECTION, None)
    found = network.labels(gray.astype(np.float32)) == 1
    assert np.argwhere(found).mean(axis=0) == pytest.approx((79.5, 79.5), abs=0.1)
    both = (found & (gray > 0)).sum()
    assert 2 * both / (found.sum() + (gray > 0).sum()) > 0.97


def test_mirrored_views_trade_left_and_right():
    config = AnySectionConfig().update(SECTION_TURNS=4, SIDE_PAIRS=((1, 2),))

    def sided(view):  # of what is bright: 1 on the left, 2 on the right of what it sees
        ids = np.where(np.arange(view.shape[1]) < view.shape[1] / 2, 1, 2)
        return np.where(view > 0.5, ids, 0)

    network = AnySectionSegmenter(Exact(sided), config, ANY_SECTION, None)
    square = np.zeros((160, 160), np.float32)
    square[40:120, 30:130] = 1
    lying, _, mirrored, _ = network.answers(square)
    labels = lying.argmax(-1)
    assert set(np.unique(labels)) == {0, 1, 2}
    assert (labels == mirrored.argmax(-1)).mean() > 0.97


def test_weights_are_stored_and_loaded_by_path(segmenter, tmp_path):
    config = AnySectionConfig().update(IMAGE_MIN_DIM=32, IMAGE_MAX_DIM=32, SECTION_WIDTHS=(8, 16))
    config.save(tmp_path / "config.json")
    path = tmp_path / "mine.h5"
    save_weights(segmenter.keras_model, path, class_names=ANY_SECTION.names)
    loaded = load_segmenter(path)
    assert isinstance(loaded, AnySectionSegmenter) and loaded.regions is ANY_SECTION
    gray = picture(50, 70)[..., 0].astype(np.float32)
    np.testing.assert_array_equal(loaded.labels(gray), segmenter.labels(gray))
    found = sebre.load(path).predict(picture(50, 70))
    assert list(found.regions.index) == ANY_SECTION.names


def test_the_shipped_network_on_real_sections_of_two_planes(data_dir):
    """Sections that no training saw, as they lie and turned; half the score that was measured."""
    network = sebre.load("any_section")
    assert network.regions is ANY_SECTION
    folder = data_dir / "zeroshot"
    for name, least in (("abba_quicknii/abba_s004", 0.6), ("deepslice_glta/glta_s074", 0.5)):
        picture = np.asarray(Image.open(folder / f"{name}.jpg").convert("RGB"))
        drawn = np.asarray(Image.open(folder / f"{name}_labels.png"))
        for turns in (0, 1):
            found = np.rot90(network.predict(np.rot90(picture, turns)).label_map, -turns)
            dices = []
            for region_id in np.unique(drawn[(drawn > 0) & (drawn < 255)]):
                own, wanted = (found == region_id) & (drawn != 255), drawn == region_id
                dices.append(2 * (own & wanted).sum() / (own.sum() + wanted.sum()))
            assert np.mean(dices) > least
    sagittal = ROOT / "datasets" / "slicemap" / "mrcnn_val_dataset_images" / "section_img_4.png"
    shown = network.predict(sagittal).regions
    assert set(shown.index[shown.found == "yes"]) >= {"isocortex", "cerebellum", "hindbrain"}
