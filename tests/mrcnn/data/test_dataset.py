"""`Dataset`, and the functions that live in `mrcnn.utils` itself."""

import http.server
import logging
import threading

import imageio.v3
import numpy as np
import pytest
import tifffile
from keras import ops
from PIL import Image

from mrcnn import utils
from mrcnn.data.dataset import Dataset


@pytest.fixture
def dataset():
    data = Dataset()
    data.add_class("coco", 7, "cat, house cat")
    data.add_class("coco", 3, "dog")
    data.add_class("shapes", 1, "square")
    data.add_image("coco", "a", path="a.png", width=4)
    data.add_image("shapes", 12, path=None)
    data.prepare()
    return data


# --- Dataset ----------------------------------------------------------------------


def test_prepare_numbers_classes_and_images(dataset):
    assert dataset.num_classes == 4
    assert dataset.class_ids.tolist() == [0, 1, 2, 3]
    assert dataset.class_names == ["BG", "cat", "dog", "square"]
    assert dataset.num_images == 2
    assert dataset.image_ids.tolist() == [0, 1]
    assert dataset.class_from_source_map == {".0": 0, "coco.7": 1, "coco.3": 2, "shapes.1": 3}
    assert dataset.image_from_source_map == {"coco.a": 0, "shapes.12": 1}
    assert dataset.sources == ["", "coco", "shapes"]
    assert dataset.source_class_ids == {"": [0], "coco": [0, 1, 2], "shapes": [0, 3]}
    assert dataset.image_info[0] == {"id": "a", "source": "coco", "path": "a.png", "width": 4}


def test_class_ids_map_to_their_source_and_back(dataset):
    assert dataset.map_source_class_id("coco.3") == 2
    assert dataset.get_source_class_id(2, "coco") == 3
    with pytest.raises(KeyError):
        dataset.map_source_class_id("coco.99")
    with pytest.raises(ValueError, match="'dog'.*'coco'.*'shapes'"):
        dataset.get_source_class_id(2, "shapes")


def test_a_class_is_added_once(dataset):
    dataset.add_class("coco", 3, "wolf")
    dataset.add_class("shapes", 3, "circle")
    assert [c["name"] for c in dataset.class_info][2:] == ["dog", "square", "circle"]


def test_a_source_with_a_full_stop_is_refused(dataset):
    with pytest.raises(ValueError, match="'my.source'"):
        dataset.add_class("my.source", 1, "x")


def test_references_and_links(dataset):
    assert dataset.image_reference(0) == ""
    assert dataset.source_image_link(0) == "a.png"


def test_image_ids_are_empty_before_prepare():
    assert len(Dataset().image_ids) == 0


def test_load_mask_of_the_base_class_warns_and_is_empty(dataset, caplog):
    with caplog.at_level(logging.WARNING):
        masks, class_ids = dataset.load_mask(0)
    assert masks.shape == (0, 0, 0) and masks.dtype == bool
    assert class_ids.shape == (0,) and class_ids.dtype == np.int32
    assert "load_mask" in caplog.text


# --- load_image -------------------------------------------------------------------


def read(path):
    data = Dataset()
    data.add_image("test", 0, path)
    data.prepare()
    return data.load_image(0)


def saved(folder, image, name="image.png"):
    if name.endswith(".tif"):
        tifffile.imwrite(folder / name, image, photometric="minisblack")
    else:
        imageio.v3.imwrite(folder / name, image)
    return folder / name


def test_rgb_is_read_as_it_is(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    path = saved(tmp_path, image)
    for form in (path, str(path)):
        found = read(form)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("channels", [None, 2, 4])
def test_gray_becomes_rgb_and_alpha_is_dropped(tmp_path, channels):
    shape = (6, 8) if channels is None else (6, 8, channels)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    found = read(saved(tmp_path, image))
    colors = image[..., :3] if channels == 4 else image.reshape(6, 8, -1)[..., :1]
    assert found.shape == (6, 8, 3) and found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.broadcast_to(colors, (6, 8, 3)))


def test_palettes_and_planar_files_become_rgb(tmp_path):
    image = np.zeros((6, 8, 3), np.uint8)
    image[:3], image[3:] = (250, 10, 10), (10, 10, 250)
    paletted = Image.fromarray(image).quantize(4)
    paletted.save(tmp_path / "p.png")
    paletted.save(tmp_path / "p.gif")
    planar = tmp_path / "planar.tif"
    planes = np.ascontiguousarray(np.moveaxis(image, -1, 0))
    tifffile.imwrite(planar, planes, photometric="rgb", planarconfig="separate")
    for path in (tmp_path / "p.png", tmp_path / "p.gif", planar):
        np.testing.assert_array_equal(read(path), image)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([0, 256, 65535, 32768], [0, 1, 255, 128]),  # 16 bits in use
        ([0, 16, 4095, 2048], [0, 1, 255, 128]),  # 12 bits
        ([0, 1, 255, 100], [0, 1, 255, 100]),  # 8 bits
        ([0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_16_bit_pictures_are_scaled_by_the_bits_in_use(tmp_path, values, wanted):
    found = read(saved(tmp_path, np.array(values, np.uint16).reshape(2, 2)))
    assert found.dtype == np.uint8 and found.shape == (2, 2, 3)
    assert found[..., 1].ravel().tolist() == wanted


def test_scaling_of_16_bits_is_said_once_a_data_set(tmp_path, caplog):
    data = Dataset()
    for name, dtype in (("a.png", np.uint8), ("b.png", np.uint16), ("c.png", np.uint16)):
        values = (np.arange(16).reshape(4, 4) * (4000 if dtype == np.uint16 else 17)).astype(dtype)
        data.add_image("test", name, saved(tmp_path, values, name))
    data.prepare()
    for image_id in (0, 1, 2):
        data.load_image(image_id)
    (record,) = caplog.records
    assert "b.png: uint16 values are scaled" in record.getMessage()


def test_float_and_bool_pictures_are_scaled_to_255(tmp_path):
    floats = np.array([[0, 0.5], [0.25, 1]], np.float32)
    found = read(saved(tmp_path, floats, "floats.tif"))
    assert found[..., 0].ravel().tolist() == [0, 128, 64, 255]
    bilevel = np.array([[True, False], [False, True]])
    found = read(saved(tmp_path, bilevel, "bilevel.tif"))
    assert found[..., 2].ravel().tolist() == [255, 0, 0, 255]


@pytest.mark.parametrize(
    "image",
    [
        np.full((4, 4), np.nan, np.float32),
        np.zeros((9, 16, 16), np.uint8),  # a stack of pages
        np.ones((4, 4), np.complex64),
    ],
)
def test_pictures_of_unclear_meaning_are_refused_by_name(tmp_path, image):
    path = saved(tmp_path, image, "odd.tif")
    with pytest.raises(ValueError, match=r"odd.tif: .*(Replace|Choose|Convert)"):
        read(path)


def test_damaged_and_missing_files_are_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = saved(tmp_path, noise).read_bytes()
    for name, content in (
        ("cut.png", whole[: len(whole) // 2]),
        ("empty.png", b""),
        ("text.jpg", b"not a picture"),
        ("text.tif", b"not a picture"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: cannot read this picture"):
            read(tmp_path / name)
    with pytest.raises(ValueError, match="absent.png: cannot read this picture"):
        read(tmp_path / "absent.png")
    with pytest.raises(ValueError, match="Image 0 has no path"):
        read(None)


# --- boxes ------------------------------------------------------------------------


def test_suppression_keeps_boxes_at_the_threshold_and_answers_best_first():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [20, 20, 30, 30]])
    scores = np.array([0.5, 0.9, 0.7])
    # The first two have an IoU of exactly 0.5.
    assert utils.non_max_suppression(boxes, scores, 0.5).tolist() == [1, 2, 0]
    assert utils.non_max_suppression(boxes, scores, 0.49).tolist() == [1, 2]


def test_suppression_of_nothing_and_of_points():
    nothing = utils.non_max_suppression(np.zeros((0, 4)), np.zeros(0), 0.5)
    assert nothing.shape == (0,) and nothing.dtype == np.int32
    points = utils.non_max_suppression(np.ones((2, 4)), np.array([0.1, 0.2]), 0.5)
    assert points.tolist() == [1, 0]


def test_overlaps_of_no_boxes_have_the_right_shape():
    assert utils.compute_overlaps([], np.ones((3, 4))).shape == (0, 3)
    assert utils.compute_overlaps(np.ones((3, 4)), np.zeros((0, 4))).shape == (3, 0)


def test_trim_zeros_wants_a_matrix():
    assert utils.trim_zeros([[0, 0], [0, 1]]).tolist() == [[0, 1]]
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        utils.trim_zeros(np.zeros(3))


def test_batch_slice_stacks_one_or_several_outputs():
    a, b = np.arange(6.0).reshape(3, 2), np.ones((3, 2))
    total = utils.batch_slice([a, b], lambda x, y: x + y, 3)
    np.testing.assert_array_equal(ops.convert_to_numpy(total), a + b)
    pair = utils.batch_slice(a, lambda x: (x, x * 2), 2, names=["one", "two"])
    assert [tuple(p.shape) for p in pair] == [(2, 2), (2, 2)]
    np.testing.assert_array_equal(ops.convert_to_numpy(pair[1]), a[:2] * 2)


def test_every_name_of_the_reference_module_is_there():
    assert all(hasattr(utils, name) for name in utils.__all__)
    assert utils.COCO_MODEL_URL.endswith("/v2.0/mask_rcnn_coco.h5")


# --- download ---------------------------------------------------------------------


def test_weights_are_downloaded_once(tmp_path, monkeypatch):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path == "/absent.h5":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"weights")

        def log_message(self, *args):
            pass

    asked: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            monkeypatch.setattr(utils, "COCO_MODEL_URL", f"{address}/whole.h5")
            utils.download_trained_weights(str(tmp_path / "w.h5"))
            utils.download_trained_weights(tmp_path / "w.h5", verbose=0)
            monkeypatch.setattr(utils, "COCO_MODEL_URL", f"{address}/absent.h5")
            with pytest.raises(OSError, match="absent.h5: download failed.*404.*v.h5"):
                utils.download_trained_weights(tmp_path / "v.h5")
        finally:
            server.shutdown()
            thread.join()
    assert asked == ["/whole.h5", "/absent.h5"]
    files = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.name != ".written.jsonl"}
    assert files == {"w.h5": b"weights"}
