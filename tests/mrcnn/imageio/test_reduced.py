"""Pictures and masks read at reduced scale: the same place, brightness and masks."""

import tracemalloc

import numpy as np
import pytest
import tifffile
from PIL import Image

from mrcnn.config import Config
from mrcnn.data.dataset import Dataset
from mrcnn.data.molding import mold_inputs
from mrcnn.data.resizing import read_for
from mrcnn.data.samples import UnreadableImageError, load_image_gt, load_sample
from mrcnn.imageio.reading import open_source, read_picture
from mrcnn.imageio.reduced import read_reduced
from sebre.data.dataset import SectionDataset

HEIGHT, WIDTH = 501, 702
CENTER = 200.0, 430.0  # of the bright spot, px
Y, X = np.mgrid[:HEIGHT, :WIDTH]
SPOT = np.exp(-((Y - CENTER[0]) ** 2 + (X - CENTER[1]) ** 2) / (2 * 40**2)) * 250
GRAY = SPOT.astype(np.uint8)
RGB = np.stack([GRAY, X * 250 // WIDTH, Y * 250 // HEIGHT], axis=-1).astype(np.uint8)
GRAY12 = (SPOT * 16).astype(np.uint16)
PLANES = np.moveaxis(RGB, -1, 0)
RGBA = np.concatenate([RGB, np.full_like(RGB[..., :1], 255)], axis=-1)
ZLIB = {"compression": "zlib"}
TIFFS = {
    "plain": (RGB, {"photometric": "rgb"}),
    "strips": (RGB, {"photometric": "rgb", "rowsperstrip": 33, "predictor": 2, **ZLIB}),
    "tiles": (RGB, {"photometric": "rgb", "tile": (64, 96), **ZLIB}),
    "planes": (PLANES, {"photometric": "rgb", "planarconfig": "separate"}),
    "tiled planes": (
        PLANES,
        {"photometric": "rgb", "planarconfig": "separate", "tile": (64, 96), **ZLIB},
    ),
    "three channels": (PLANES, {"photometric": "minisblack", "metadata": {"axes": "CYX"}, **ZLIB}),
    "alpha": (RGBA, {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "on its side": (RGB.swapaxes(0, 1), {"photometric": "rgb", "extratags": [(274, 3, 1, 5)]}),
    "gray 16": (GRAY12, {"rowsperstrip": 10, **ZLIB}),
    "big endian": (GRAY12, {"byteorder": ">"}),
    "float": (GRAY / np.float32(255), {"tile": (128, 128)}),
}
OTHERS = {
    "rgb.png": (RGB, {}),
    "alpha.png": (RGBA, {}),
    "gray.png": (GRAY, {}),
    "gray16.png": (GRAY12, {}),
    "lzw.tif": (RGB, {"compression": "tiff_lzw"}),
    "jpeg.tif": (RGB, {"compression": "jpeg", "quality": 95}),
    "rgb.jpg": (RGB, {"quality": 95}),
    "gray.jpg": (GRAY, {"quality": 95}),
    "rgb.jp2": (RGB, {}),
    "gray16.jp2": (GRAY12, {}),
}


def write(folder, name):
    if name in TIFFS:
        path = folder / f"{name}.tif"
        array, options = TIFFS[name]
        tifffile.imwrite(path, array, **options)
    else:
        path = folder / name
        array, options = OTHERS[name]
        Image.fromarray(array).save(path, **options)
    return path


def load_image(path):
    dataset = Dataset()
    dataset.add_image("x", 0, path)
    return dataset.load_image(0)


@pytest.mark.parametrize("name", [*TIFFS, *OTHERS])
def test_every_kind_of_file(tmp_path, name):
    path = write(tmp_path, name)
    picture = load_image(path)
    np.testing.assert_array_equal(read_picture(path), picture)
    rng = np.random.default_rng(0)
    with open_source(path) as source:
        whole = source.read_raw(0, 0, HEIGHT, WIDTH)
        for _ in range(8):
            y1, x1 = rng.integers(0, HEIGHT - 1), rng.integers(0, WIDTH - 1)
            y2, x2 = rng.integers(y1 + 1, HEIGHT + 1), rng.integers(x1 + 1, WIDTH + 1)
            window = source.read_raw(y1, x1, y2, x2)
            np.testing.assert_array_equal(window, whole[y1:y2, x1:x2])
            np.testing.assert_array_equal(source.read(y1, x1, y2, x2), picture[y1:y2, x1:x2])
        np.testing.assert_array_equal(source.read(3, 5, 90, 70), picture[3:90, 5:70])

    reduced = read_reduced(path, 64)
    assert reduced.shape == picture.shape and reduced.dtype == np.uint8
    assert 64 <= max(reduced.pixels.shape) < 128
    # Level and place of the spot at 45 x 63 px; the reference truncates, and so does this.
    small = reduced.resized((45, 63)).astype(float)
    assert small.mean() == pytest.approx(picture.mean(), abs=0.6)
    weight = np.where(small[..., 0] > 20, small[..., 0], 0)
    rows, columns = np.mgrid[:45, :63]
    place = [(weight * axis).sum() / weight.sum() for axis in (rows, columns)]
    expected = [
        (c + 0.5) * n / m - 0.5 for c, n, m in zip(CENTER, (45, 63), (501, 702), strict=True)
    ]
    np.testing.assert_allclose(place, expected, atol=0.05)

    # Where nothing is to be gained, nothing is changed.
    for max_side in (None, 400):
        same = read_reduced(path, max_side)
        assert same.step == (1, 1)
        np.testing.assert_array_equal(same.pixels, picture)


def test_as_many_halvings_as_a_jpeg_2000_file_holds(tmp_path):
    path = tmp_path / "one.jp2"
    Image.fromarray(RGB).save(path, num_resolutions=2)
    reduced = read_reduced(path, 60)  # would take three
    assert reduced.step == (10, 10) and reduced.pixels.shape == (51, 71, 3)


def test_a_level_of_a_pyramid_is_read(tmp_path):
    path = tmp_path / "pyramid.tif"
    options = {"photometric": "rgb", "tile": (64, 64)}
    with tifffile.TiffWriter(path) as file:
        file.write(np.full_like(RGB, 10), subifds=2, **options)
        file.write(np.full((251, 351, 3), 20, np.uint8), subfiletype=1, **options)
        file.write(np.full((126, 176, 3), 30, np.uint8), subfiletype=1, **options)
    for max_side, level, step in ((80, 30, 8), (176, 30, 4), (177, 20, 2), (700, 10, 1)):
        reduced = read_reduced(path, max_side)
        assert (reduced.pixels == level).all()
        assert reduced.step == (step, step) and reduced.first == ((step - 1) / 2,) * 2
        assert reduced.shape == (HEIGHT, WIDTH, 3)


def test_brightness_does_not_depend_on_the_scale(tmp_path):
    # One bright pixel makes these 12-bit data; its block has 11 bits.
    array = np.full((300, 300), 1000, np.uint16)
    array[100, 100] = 4000
    for name, options in (("a.tif", {"rowsperstrip": 7, **ZLIB}), ("b.tif", {})):
        tifffile.imwrite(tmp_path / name, array, **options)
        assert load_image(tmp_path / name)[0, 0, 0] == 1000 // 16
        assert read_reduced(tmp_path / name, 20).pixels[0, 0, 0] == 1000 // 16
        with open_source(tmp_path / name) as source:
            assert source.read(0, 0, 9, 9)[0, 0, 0] == 1000 // 16


def test_a_large_tiff_is_never_whole_in_memory(tmp_path, monkeypatch):
    path = tmp_path / "large.tif"
    array = np.zeros((3000, 3000, 3), np.uint8)
    array[:, 1500:] = 200
    tifffile.imwrite(path, array, photometric="rgb", tile=(256, 256), **ZLIB)
    monkeypatch.setattr("mrcnn.imageio.windows._BAND_BYTES", 2**20)
    monkeypatch.setattr("mrcnn.imageio.tiff_files._KEPT_BYTES", 3 * 2**20)
    tracemalloc.start()
    reduced = read_reduced(path, 300)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(reduced.pixels, array[:3000:10, ::10])
    assert peak < array.nbytes / 2


def test_pictures_that_pillow_takes_for_attacks(tmp_path, monkeypatch):
    path = write(tmp_path, "rgb.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000)
    assert load_image(path).shape == read_reduced(path, 64).shape == RGB.shape
    assert Image.MAX_IMAGE_PIXELS == 50_000


def test_unreadable_files(tmp_path):
    for name in ("rgb.jpg", "rgb.jp2", "tiles", "rgb.png"):
        path = write(tmp_path, name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ValueError, match=f"{path}: .*[Rr]eplace"):
            read_reduced(path, 64)
    with pytest.raises(ValueError, match="none.png: cannot read"):
        read_reduced(tmp_path / "none.png", 64)
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((7, 90, 90), np.uint8))
    with pytest.raises(ValueError, match=r"stack.tif: holds 7 pages.* --z max .* --z 1 to --z 7"):
        read_reduced(tmp_path / "stack.tif", 20)


class Settings(Config):
    NAME = "reduced"
    NUM_CLASSES = 9
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 64


@pytest.fixture
def sections(tmp_path):
    images = tmp_path / "mrcnn_train_dataset_images"
    images.mkdir()
    for number, (name, options) in enumerate(((".png", {}), (".jpg", {"quality": 95}))):
        Image.fromarray(RGB).save(images / f"s_{number}{name}", **options)
        masks = tmp_path / "mrcnn_train_dataset_masks" / f"s_{number}"
        masks.mkdir(parents=True)
        Image.fromarray((SPOT > 90).astype(np.uint8) * 255).save(masks / "s_m1.png")
        Image.fromarray((X < 99 + Y).astype(np.uint8)).convert("RGB").save(masks / "s_m2.png")
        tifffile.imwrite(masks / "s_m4.tif", (Y % 50 < 20).astype(np.uint8), tile=(32, 32), **ZLIB)
        Image.fromarray(np.zeros_like(GRAY)).save(masks / "s_m5.png")
    dataset = SectionDataset().load(tmp_path, "train")
    dataset.prepare()
    return dataset


def test_training_reads_at_reduced_scale(sections, monkeypatch):
    for image_id in (0, 1):
        full = load_sample(sections, Settings(), image_id)
        with monkeypatch.context() as patch:
            patch.setattr("sebre.data.dataset.read_mask", None)  # would read them whole
            reduced = load_sample(sections, Settings(REDUCED_DECODE=True), image_id)
        for name in ("class_ids", "original_shape", "window", "scale"):
            np.testing.assert_array_equal(getattr(reduced, name), getattr(full, name))
        np.testing.assert_array_equal(reduced.masks, full.masks)
        assert reduced.masks.shape == (64, 64, 3) and reduced.masks.dtype == bool
        assert not np.array_equal(reduced.image, full.image), "it was decoded whole"
        difference = reduced.image.astype(float) - full.image
        assert abs(difference.mean()) < 0.5 and np.abs(difference).mean() < 1.5
    a, b = (load_image_gt(sections, Settings(REDUCED_DECODE=on), 0) for on in (False, True))
    for one, other in zip(a[1:], b[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_data_sets_are_taken_as_they_are(monkeypatch):
    class Own(Dataset):
        def load_image(self, image_id):
            return RGB

        def load_mask(self, image_id):
            return np.stack([SPOT > 90, X < 99], axis=-1), np.array([1, 1])

    dataset = Own()
    dataset.add_class("own", 1, "spot")
    dataset.add_image("own", 0, None)
    dataset.prepare()
    full, reduced = (load_sample(dataset, Settings(REDUCED_DECODE=on), 0) for on in (False, True))
    np.testing.assert_array_equal(reduced.image, full.image)
    np.testing.assert_array_equal(reduced.masks, full.masks)
    monkeypatch.setattr(Own, "load_mask", lambda *_: (np.zeros((9, 9, 1), bool), np.array([1])))
    for on in (False, True):
        with pytest.raises(UnreadableImageError, match=r"its masks \(9, 9, 1\)"):
            load_sample(dataset, Settings(REDUCED_DECODE=on), 0)


class MirroredMasks(SectionDataset):
    def load_mask(self, image_id):
        masks, class_ids = super().load_mask(image_id)
        return masks[:, ::-1], class_ids


def test_masks_that_a_subclass_changes(sections):
    sections.__class__ = MirroredMasks
    full, reduced = (load_sample(sections, Settings(REDUCED_DECODE=on), 0) for on in (False, True))
    np.testing.assert_array_equal(reduced.masks, full.masks)


def test_a_mask_of_another_size(sections):
    path = sections.image_info[0]["masks"][2]
    Image.fromarray(GRAY[:100]).save(path)
    for on in (False, True):
        with pytest.raises(UnreadableImageError, match="100 x 702 px, its image .* has 501 x 702"):
            load_sample(sections, Settings(REDUCED_DECODE=on), 0)


@pytest.mark.parametrize("mode", ["square", "fit64", "pad64", "none"])
def test_prediction_answers_in_px_of_the_original(tmp_path, mode):
    config = Settings(IMAGE_RESIZE_MODE=mode)
    path = write(tmp_path, "rgb.jpg")
    reduced, full = read_for(path, config), load_image(path)
    assert (reduced.step == (1, 1)) == (mode not in ("square", "fit64"))
    (image, meta, window), expected = (mold_inputs([p], config) for p in (reduced, full))
    np.testing.assert_array_equal(meta, expected[1])
    np.testing.assert_array_equal(window, expected[2])
    assert np.abs(image - expected[0]).mean() < 1.5
    assert (reduced.size, reduced.max()) == (reduced.pixels.size, reduced.pixels.max())
