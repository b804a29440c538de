"""Loading, the generator, and seeded batches."""

import collections
import logging
import threading
import time

import keras
import numpy as np
import pytest
import skimage.io

from mrcnn.compat.imgaug import prepare_imgaug
from mrcnn.config import Config
from mrcnn.data.augment import RandomRotateFlip, SideFlipError
from mrcnn.data.batches import Batches
from mrcnn.data.cache import Sample, SampleCache
from mrcnn.data.dataset import Dataset
from mrcnn.data.generator import data_generator
from mrcnn.data.molding import compose_image_meta, parse_image_meta
from mrcnn.data.resizing import resize_image, resize_mask
from mrcnn.data.samples import UnreadableImageError, load_image_gt
from mrcnn.structures.masks import extract_bboxes, minimize_mask
from mrcnn.training.fitting import Feed, fit

iaa = prepare_imgaug().augmenters

SMALL = {
    "NAME": "data",
    "NUM_CLASSES": 4,
    "IMAGES_PER_GPU": 2,
    "IMAGE_MIN_DIM": 64,
    "IMAGE_MAX_DIM": 64,
    "RPN_ANCHOR_SCALES": (8, 16, 32, 64, 128),
    "RPN_TRAIN_ANCHORS_PER_IMAGE": 16,
    "MINI_MASK_SHAPE": (14, 14),
    "MAX_GT_INSTANCES": 5,
    "TRAIN_ROIS_PER_IMAGE": 12,
    "POST_NMS_ROIS_TRAINING": 20,
    "WORKERS": 0,
}


def _config(**overrides):
    return Config(**{**SMALL, **overrides})


class Rectangles(Dataset):
    """Bright rectangles on noise; counts how often each image is decoded."""

    thread_safe = cacheable = True

    def __init__(self, counts=(2, 1, 3, 2, 1), height=48, width=60):
        super().__init__()
        self.reads = collections.Counter()
        self.size = height, width
        for class_id in (1, 2, 3):
            self.add_class("toy", class_id, f"class {class_id}")
        for i, count in enumerate(counts):
            self.add_image("toy", i, f"toy_{i}.png", count=count)
        self.prepare()

    def load_image(self, image_id):
        self.reads[image_id] += 1
        rng = np.random.default_rng(image_id)
        image = rng.integers(0, 60, (*self.size, 3), dtype=np.uint8)
        image[Rectangles.load_mask(self, image_id)[0].any(axis=-1)] += 100
        return image

    def load_mask(self, image_id):
        count = self.image_info[image_id]["count"]
        masks = np.zeros((*self.size, count), bool)
        for i in range(count):
            top, left = 3 + (7 * i + 3 * image_id) % 20, 4 + (11 * i) % 30
            masks[top : top + 15, left : left + 20, i] = True
        return masks, np.arange(count, dtype=np.int32) % 3 + 1


def _equal(first, second):
    (first,), (second,) = first, second
    return all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(first, second, strict=True)
    )


def _epoch(batches, epoch=0):
    batches.epoch = epoch
    return [batches[i] for i in range(len(batches))]


def _ids(batches, epoch=0):
    return [int(i) for (inputs,) in _epoch(batches, epoch) for i in inputs[1][:, 0]]


# --- load_image_gt ---------------------------------------------------------------------


@pytest.mark.parametrize("mini", [False, True])
def test_load_image_gt_is_resize_boxes_meta(mini):
    dataset, config = Rectangles(), _config()
    image, meta, class_ids, boxes, masks = load_image_gt(dataset, config, 2, use_mini_mask=mini)
    resized, window, scale, padding, crop = resize_image(dataset.load_image(2), 64, 64, 0)
    np.testing.assert_array_equal(image, resized)
    full = resize_mask(dataset.load_mask(2)[0], scale, padding, crop)
    np.testing.assert_array_equal(boxes, extract_bboxes(full))
    np.testing.assert_array_equal(masks, minimize_mask(boxes, full, (14, 14)) if mini else full)
    np.testing.assert_array_equal(class_ids, [1, 2, 3])
    wanted = compose_image_meta(2, (48, 60, 3), (64, 64, 3), window, scale, np.ones(4))
    np.testing.assert_array_equal(meta, wanted)
    assert masks.dtype == bool and boxes.dtype == np.int32 and class_ids.dtype == np.int32


def test_active_classes_are_those_of_the_source():
    dataset = Rectangles()
    dataset.add_class("other", 1, "foreign")
    dataset.prepare()
    _, meta, _, _, _ = load_image_gt(dataset, _config(), 0)
    active = parse_image_meta(meta[None])["active_class_ids"][0]
    np.testing.assert_array_equal(active, [1, 1, 1, 1, 0])


def test_instances_without_a_pixel_are_dropped():
    class OneEmpty(Rectangles):
        def load_mask(self, image_id):
            masks, class_ids = super().load_mask(image_id)
            masks[..., 1] = False
            return masks, class_ids

    _, _, class_ids, boxes, masks = load_image_gt(OneEmpty((3,)), _config(), 0, use_mini_mask=True)
    np.testing.assert_array_equal(class_ids, [1, 3])
    assert boxes.shape == (2, 4) and masks.shape == (14, 14, 2)


def test_instances_pushed_out_of_the_image_are_dropped():
    shift = iaa.Affine(translate_px={"y": 40})
    _, _, class_ids, boxes, masks = load_image_gt(
        Rectangles((3,)), _config(), 0, augmentation=shift
    )
    assert 0 < len(class_ids) < 3 or masks.shape == (64, 64, 0)
    assert len(class_ids) == len(boxes) == masks.shape[-1]
    assert masks.any(axis=(0, 1)).all()


def test_an_image_without_regions_gives_empty_arrays(caplog):
    class NoMasks(Rectangles):
        load_mask = Dataset.load_mask

        def load_image(self, image_id):
            return np.zeros((30, 40, 3), np.uint8)

    for dataset in (Rectangles((0,)), NoMasks((1,))):
        _, _, class_ids, boxes, masks = load_image_gt(dataset, _config(), 0, use_mini_mask=True)
        assert class_ids.shape == (0,) and boxes.shape == (0, 4) and masks.shape == (14, 14, 0)
    assert "does not define load_mask" in caplog.text


def test_deprecated_flip_mirrors_half_of_the_time_and_obeys_the_rule_for_sides(caplog):
    dataset = Rectangles((2,))
    plain, _, plain_ids, _, plain_masks = load_image_gt(dataset, _config(), 0)
    flips = 0
    swap = _config(SIDE_PAIRS=((1, 2),), ON_SIDE_FLIP="swap")
    for _ in range(20):
        image, _, class_ids, _, masks = load_image_gt(dataset, swap, 0, augment=True)
        if (image == plain).all():
            np.testing.assert_array_equal(class_ids, plain_ids)
        else:
            flips += 1
            np.testing.assert_array_equal(image, plain[:, ::-1])
            np.testing.assert_array_equal(masks, plain_masks[:, ::-1])
            np.testing.assert_array_equal(class_ids, [2, 1])
    assert 4 < flips < 16
    assert "deprecated" in caplog.text
    with pytest.raises(SideFlipError, match="ON_SIDE_FLIP"):
        load_image_gt(dataset, _config(SIDE_PAIRS=((1, 2),)), 0, augment=True)


def test_crop_mode_crops_image_and_masks_alike():
    config = _config(IMAGE_RESIZE_MODE="crop", IMAGE_MIN_SCALE=2.0)
    dataset = Rectangles((1,))
    image, meta, _, boxes, masks = load_image_gt(dataset, config, 0)
    assert image.shape == (64, 64, 3) and masks.shape[:2] == (64, 64)
    np.testing.assert_array_equal(parse_image_meta(meta[None])["window"][0], [0, 0, 64, 64])
    assert parse_image_meta(meta[None])["scale"][0] == 2
    y1, x1, y2, x2 = boxes[0]
    assert image[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].min() > 90


def test_masks_that_do_not_fit_the_image_name_the_file():
    class Odd(Rectangles):
        def load_mask(self, image_id):
            return np.ones((5, 5, 1), bool), np.array([1])

    with pytest.raises(ValueError, match=r"toy_0\.png.*\(5, 5, 1\)"):
        load_image_gt(Odd((1,)), _config(), 0)


# --- data_generator --------------------------------------------------------------------


@pytest.mark.parametrize("mini", [True, False])
def test_generator_layout(mini):
    config = _config(USE_MINI_MASK=mini)
    inputs, outputs = next(data_generator(Rectangles(), config, batch_size=3))
    mask_shape = (14, 14) if mini else (64, 64)
    wanted = [
        ((3, 64, 64, 3), np.float32),
        ((3, 16), np.float64),
        ((3, 1023, 1), np.int32),
        ((3, 16, 4), np.float64),
        ((3, 5), np.int32),
        ((3, 5, 4), np.int32),
        ((3, *mask_shape, 5), bool),
    ]
    assert isinstance(inputs, list) and outputs == []
    assert [(a.shape, a.dtype) for a in inputs] == [(s, np.dtype(t)) for s, t in wanted]


def test_generator_content_without_shuffle():
    dataset, config = Rectangles(), _config()
    generator = data_generator(dataset, config, shuffle=False, batch_size=2)
    inputs, _ = next(generator)
    np.testing.assert_array_equal(inputs[1][:, 0], [0, 1])
    image, _, class_ids, boxes, _ = load_image_gt(dataset, config, 0)
    np.testing.assert_allclose(inputs[0][0] + config.MEAN_PIXEL, image, atol=1e-4)
    np.testing.assert_array_equal(inputs[4][0], [*class_ids, 0, 0, 0])
    np.testing.assert_array_equal(inputs[5][0, :2], boxes)
    following = [next(generator)[0][1][:, 0].tolist() for _ in range(4)]
    assert following == [[2, 3], [4, 0], [1, 2], [3, 4]]  # endless, wraps around


def test_generator_random_rois_and_detection_targets():
    inputs, outputs = next(
        data_generator(
            Rectangles(), _config(), random_rois=200, batch_size=2, detection_targets=True
        )
    )
    assert [a.shape for a in inputs[7:]] == [(2, 200, 4), (2, 12, 4)]
    assert inputs[7].dtype == inputs[8].dtype == np.int32
    assert [a.shape for a in outputs] == [(2, 12, 1), (2, 12, 4, 4), (2, 12, 28, 28, 4)]
    assert (outputs[0] > 0).any()
    inputs, outputs = next(data_generator(Rectangles(), _config(), random_rois=10))
    assert len(inputs) == 8 and outputs == []


def test_generator_leaves_out_images_without_objects():
    generator = data_generator(Rectangles((1, 0, 2, 0)), _config())
    assert {int(next(generator)[0][1][0, 0]) for _ in range(8)} == {0, 2}
    with pytest.raises(ValueError, match="positive class id"):
        next(data_generator(Rectangles((0, 0)), _config()))
    all_of_them = data_generator(Rectangles((1, 0)), _config(SKIP_EMPTY_IMAGES=False))
    assert {int(next(all_of_them)[0][1][0, 0]) for _ in range(2)} == {0, 1}


def test_generator_skips_five_errors_then_raises(caplog):
    class Broken(Rectangles):
        def load_image(self, image_id):
            if image_id == 1:
                raise RuntimeError("broken on purpose")
            return super().load_image(image_id)

    generator = data_generator(Broken((1, 1)), _config(), shuffle=False)
    for _ in range(6):
        assert next(generator)[0][1][0, 0] == 0
    with pytest.raises(RuntimeError, match="on purpose"):
        next(generator)
    assert sum(r.levelno == logging.ERROR for r in caplog.records) == 6


def test_generator_raises_a_refused_mirroring_at_once():
    config = _config(SIDE_PAIRS=((1, 2),))
    with pytest.raises(SideFlipError):
        next(data_generator(Rectangles(), config, augmentation=iaa.Fliplr(1.0)))


def test_sources_can_be_kept_from_augmentation():
    def dark(image, masks):
        return np.zeros_like(image), masks

    dataset = Rectangles((1, 1))
    dataset.image_info[1]["source"] = "plain"
    dataset.source_class_ids["plain"] = [0]
    config = _config(WORKERS=0)
    options = {"augmentation": dark, "no_augmentation_sources": ["plain"], "shuffle": False}
    dark_value = -config.MEAN_PIXEL.astype(np.float32)
    for images in (
        next(data_generator(dataset, config, batch_size=2, **options))[0][0],
        Batches(dataset, config, **options)[0][0][0],
    ):
        assert (images[0] == dark_value).all() and not (images[1] == dark_value).all()


# --- Batches ---------------------------------------------------------------------------


def test_batch_layout_is_that_of_the_training_model():
    batches = Batches(Rectangles(), _config(USE_RPN_ROIS=False))
    (inputs,) = batches[0]
    wanted = [
        ((2, 64, 64, 3), "float32"),
        ((2, 16), "float32"),
        ((2, 1023, 1), "int32"),
        ((2, 16, 4), "float32"),
        ((2, 5), "int32"),
        ((2, 5, 4), "float32"),
        ((2, 14, 14, 5), "bool"),
        ((2, 20, 4), "int32"),
    ]
    assert [(a.shape, str(a.dtype)) for a in inputs] == wanted
    assert len(Batches(Rectangles(), _config())[0][0]) == 7


@pytest.mark.parametrize(
    "augmentation", [RandomRotateFlip(), iaa.Affine(rotate=(-90, 90))], ids=["own", "imgaug"]
)
def test_content_does_not_depend_on_threads_or_order_of_asking(augmentation):
    reference = None
    for workers in (0, 1, 3):
        batches = Batches(
            Rectangles(), _config(WORKERS=workers), augmentation=augmentation, steps=7
        )
        content = [batch for epoch in (0, 1) for batch in _epoch(batches, epoch)]
        reference = reference or content
        assert all(map(_equal, reference, content))
    # Asked for backwards, by four threads at once.
    batches.epoch, found = 1, {}

    def read(numbers):
        for number in numbers:
            found[number] = batches[number]

    threads = [threading.Thread(target=read, args=([6 - i, 3 - i],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(7))
    assert all(_equal(found[i], reference[7 + i]) for i in range(7))


def test_seed_and_epoch_change_the_content():
    def first(seed, epoch):
        batches = Batches(Rectangles(), _config(), augmentation=RandomRotateFlip(), seed=seed)
        batches.epoch = epoch
        return batches[0]

    assert _equal(first(1, 0), first(1, 0))
    assert not _equal(first(1, 0), first(2, 0))
    assert not _equal(first(1, 0), first(1, 1))
    assert _equal(first(None, 0), first(0, 0))  # config.SEED
    unseeded = [Batches(Rectangles(), _config(SEED=None)).seed for _ in range(2)]
    assert unseeded[0] != unseeded[1]


def test_a_pass_takes_every_image_once_and_fills_up_the_last_batch():
    batches = Batches(Rectangles(), _config())
    assert len(batches) == 3
    for epoch in (0, 1):
        ids = _ids(batches, epoch)
        assert sorted(ids[:5]) == [0, 1, 2, 3, 4] and len(ids) == 6
    assert _ids(batches, 0) != _ids(batches, 1)
    assert _ids(Batches(Rectangles(), _config(), shuffle=False)) == [0, 1, 2, 3, 4, 0]


def test_steps_go_on_where_the_epoch_before_ended():
    """However few or many steps an epoch has, all images are used equally often."""
    few = Batches(Rectangles(), _config(), steps=1)
    ids = [i for epoch in range(5) for i in _ids(few, epoch)]
    assert sorted(ids[:5]) == sorted(ids[5:]) == [0, 1, 2, 3, 4]
    many = Batches(Rectangles(), _config(), steps=10)
    assert collections.Counter(_ids(many)) == dict.fromkeys(range(5), 4)


def test_images_without_objects_give_their_place_to_the_next_of_the_pass():
    dataset = Rectangles((0, 1, 0, 0, 2))
    assert _ids(Batches(dataset, _config(), shuffle=False)) == [1, 1, 4, 4, 4, 1]
    found = [_epoch(Batches(dataset, _config(WORKERS=n), steps=9)) for n in (0, 3)]
    assert all(map(_equal, *found))
    for (inputs,) in found[0]:
        assert (inputs[4] > 0).any(axis=1).all()

    class Crowd(Rectangles):
        def load_mask(self, image_id):
            masks, class_ids = super().load_mask(image_id)
            return masks, class_ids * (-1 if image_id == 0 else 1)

    assert _ids(Batches(Crowd((1, 1)), _config())) == [1, 1]
    with pytest.raises(ValueError, match="positive class id.*SKIP_EMPTY_IMAGES = False"):
        Batches(Rectangles((0, 0)), _config())[0]


def test_an_image_that_augmentation_empties_gives_its_place_away_too():
    def some(image, masks):
        return image, masks & (masks.shape[-1] != 1)

    batches = Batches(Rectangles((1, 2, 1)), _config(), augmentation=some)
    assert set(_ids(batches)) == {1}


def test_images_without_objects_may_train_on_negatives():
    batches = Batches(Rectangles((0, 0)), _config(SKIP_EMPTY_IMAGES=False))
    (inputs,) = batches[0]
    assert not any(inputs[i].any() for i in (3, 4, 5, 6))
    assert (inputs[2] == -1).sum() == 2 * 16 and not (inputs[2] == 1).any()


def test_more_instances_than_room_give_a_random_subset():
    dataset = Rectangles((9,))
    batches = Batches(dataset, _config(IMAGES_PER_GPU=1, USE_MINI_MASK=False), steps=8)
    _, _, _, all_boxes, _ = load_image_gt(dataset, _config(), 0)
    subsets = set()
    for (inputs,) in _epoch(batches):
        class_ids, boxes, masks = (inputs[i][0] for i in (4, 5, 6))
        assert (class_ids > 0).all()
        np.testing.assert_array_equal(extract_bboxes(masks), boxes)
        rows = [np.flatnonzero((all_boxes == box).all(axis=1))[0] for box in boxes]
        assert len(set(rows)) == 5
        np.testing.assert_array_equal(class_ids, np.array(rows) % 3 + 1)
        subsets.add(tuple(sorted(rows)))
    assert len(subsets) > 1


@pytest.mark.parametrize("memory_mb", [100, 0.02, 0], ids=["memory", "both", "disk"])
def test_each_image_is_decoded_once(memory_mb, tmp_path):
    dataset = Rectangles()
    config = _config(WORKERS=3, CACHE_MEMORY_MB=memory_mb, CACHE_DIR=str(tmp_path / "cache"))
    batches = Batches(dataset, config, steps=12, augmentation=RandomRotateFlip())
    reference = Batches(Rectangles(), _config(), steps=12, augmentation=RandomRotateFlip())
    assert all(map(_equal, _epoch(batches), _epoch(reference)))
    assert dataset.reads == dict.fromkeys(range(5), 1)
    files = list(tmp_path.rglob("*.npz"))
    assert len(files) == {100: 0, 0.02: 4, 0: 5}[memory_mb]
    batches._pool.shutdown()
    del batches
    assert not list(tmp_path.rglob("*.npz"))


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_are_prepared_while_the_step_runs(workers):
    made = threading.Semaphore(0)

    def augmentation(image, masks):
        made.release()
        return image, masks

    config = _config(WORKERS=workers, IMAGES_PER_GPU=1)
    batches = Batches(Rectangles(), config, augmentation=augmentation, steps=20)
    # Nothing is asked for while a step runs, yet two batches a thread get ready.
    for index in range(3):
        batches[index]
        wanted = 1 + 2 * workers if index == 0 else 1
        assert all(made.acquire(timeout=30) for _ in range(wanted))
    assert not made.acquire(timeout=0.1)


def test_generator_decodes_each_image_once():
    dataset = Rectangles()
    generator = data_generator(dataset, _config(), batch_size=2)
    for _ in range(10):
        next(generator)
    assert dataset.reads == dict.fromkeys(range(5), 1)


def test_cache_keeps_arrays_exactly_and_loads_once_for_many_threads():
    rng = np.random.default_rng(0)
    sample = Sample(
        rng.integers(0, 255, (7, 13, 3), dtype=np.uint8),
        rng.random((7, 13, 5)) > 0.5,
        np.arange(5, dtype=np.int32),
        np.array([7, 13, 3]),
        np.array([0, 0, 7, 13]),
        np.array(0.3),
    )
    for memory in (1, 0):
        loads, started = [], threading.Barrier(4)

        def load(key, loads=loads):
            loads.append(key)
            return sample

        cache = SampleCache(load, memory)

        def read(cache=cache, started=started):
            started.wait()
            cache.get(0)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert loads == [0]
        kept = cache.get(0)
        for name in ("image", "masks", "class_ids", "original_shape", "window", "scale"):
            wanted, got = getattr(sample, name), getattr(kept, name)
            np.testing.assert_array_equal(got, wanted)
            assert got.dtype == wanted.dtype


def test_crops_vary_though_the_image_is_decoded_once():
    dataset = Rectangles((1,))
    config = _config(IMAGE_RESIZE_MODE="crop", IMAGE_MIN_SCALE=3.0, IMAGES_PER_GPU=1)
    content = _epoch(Batches(dataset, config, steps=4))
    assert dataset.reads == {0: 1}
    assert not any(_equal(content[0], other) for other in content[1:])
    assert all((inputs[4] > 0).any() for (inputs,) in content), "a crop without an object is drawn"
    assert all(map(_equal, content, _epoch(Batches(dataset, config, steps=4))))


class OnDisk(Rectangles):
    """Image 2 is a truncated PNG, image 4 is missing."""

    def __init__(self, folder):
        super().__init__((1, 2, 1, 1, 2, 1))
        for i, info in enumerate(self.image_info):
            info["path"] = folder / f"image_{i}.png"
            skimage.io.imsave(info["path"], super().load_image(i), check_contrast=False)
        broken = folder / "image_2.png"
        broken.write_bytes(broken.read_bytes()[:200])
        (folder / "image_4.png").unlink()
        self.reads.clear()

    def load_image(self, image_id):
        self.reads[image_id] += 1
        return Dataset.load_image(self, image_id)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_image_stops_and_names_the_file(tmp_path, workers):
    batches = Batches(OnDisk(tmp_path), _config(WORKERS=workers), shuffle=False)
    assert batches[0][0][0].shape == (2, 64, 64, 3)
    with pytest.raises(ValueError, match=r"image_2\.png[\s\S]*SKIP_CORRUPT_IMAGES"):
        batches[1]
    assert isinstance(batches.error, UnreadableImageError)
    with pytest.raises(UnreadableImageError, match=r"image_4\.png"):
        load_image_gt(batches.dataset, batches.config, 4)


def test_corrupt_images_are_skipped_counted_and_replaced_deterministically(tmp_path, caplog):
    results = []
    dataset = OnDisk(tmp_path)
    for workers in (0, 3):
        config = _config(WORKERS=workers, SKIP_CORRUPT_IMAGES=True)
        batches = Batches(dataset, config, steps=9)
        results.append(_epoch(batches))
        assert batches.skipped == 2
    assert all(map(_equal, *results))
    ids = {int(i) for (inputs,) in results[0] for i in inputs[1][:, 0]}
    assert ids == {0, 1, 3, 5}
    assert "image_2.png" in caplog.text and "image_4.png" in caplog.text


def test_only_corrupt_images_is_an_error(tmp_path):
    dataset = OnDisk(tmp_path)
    dataset._image_ids = np.array([2, 4])
    batches = Batches(dataset, _config(SKIP_CORRUPT_IMAGES=True))
    with pytest.raises(ValueError, match="None of the 2 images"):
        batches[0]


def test_a_mistake_in_the_dataset_class_is_never_skipped():
    class Mistaken(Rectangles):
        def load_mask(self, image_id):
            return self.no_such_attribute

        def load_image(self, image_id):
            return np.zeros((8, 8, 3), np.uint8)

    batches = Batches(Mistaken(), _config(SKIP_CORRUPT_IMAGES=True))
    with pytest.raises(AttributeError, match="no_such_attribute"):
        batches[0]


def test_settings_that_do_not_fit_the_dataset_are_named():
    with pytest.raises(ValueError, match="NUM_CLASSES is 3"):
        Batches(Rectangles(), _config(NUM_CLASSES=3))
    with pytest.raises(ValueError, match="prepare"):
        Batches(Dataset(), _config())
    with pytest.raises(ValueError, match="IMAGE_CHANNEL_COUNT is 1"):
        Batches(Rectangles(), _config(IMAGE_CHANNEL_COUNT=1, MEAN_PIXEL=np.array([9.0])))[0]

    class HighId(Rectangles):
        def load_mask(self, image_id):
            masks, class_ids = super().load_mask(image_id)
            return masks, class_ids + 3

    with pytest.raises(ValueError, match=r"toy_.*between 1 and 3"):
        Batches(HighId(), _config())[0]

    class Growing(Rectangles):
        def load_image(self, image_id):
            return np.zeros((64, 64 * (1 + image_id), 3), np.uint8)

        def load_mask(self, image_id):
            return np.zeros((0, 0, 0), bool), np.zeros(0, int)

    with pytest.raises(ValueError, match="different shapes"):
        Batches(Growing(), _config(IMAGE_RESIZE_MODE="none", SKIP_EMPTY_IMAGES=False))[0]


def _fit(batches, epochs, initial_epoch=0):
    """Train a small model whose loss tells batches apart; the losses of all steps."""
    shapes = [array.shape[1:] for array in batches[0][0]]
    kinds = [str(array.dtype) for array in batches[0][0]]
    inputs = [keras.Input(s, dtype=k) for s, k in zip(shapes, kinds, strict=True)]

    class Total(keras.layers.Layer):
        def build(self, shapes):
            self.unused = self.add_weight(shape=(), initializer="zeros")

        def call(self, arrays):
            total = keras.ops.mean(arrays[0])
            for array in arrays[1:]:
                total = total + keras.ops.mean(keras.ops.cast(array, "float32"))
            self.add_loss(total + 0 * self.unused)
            return keras.ops.mean(arrays[0], axis=(1, 2, 3))

    model = keras.Model(inputs, Total()(inputs))
    losses = []

    class Collect(keras.callbacks.Callback):
        before = 0.0

        def on_train_batch_end(self, batch, logs=None):
            total = logs["loss"] * (batch + 1)  # Keras gives the mean since the epoch began
            self.before = 0.0 if batch == 0 else self.before
            losses.append(total - self.before)
            self.before = total

    model.compile(optimizer="sgd")
    fit(
        model,
        batches,
        Batches(Rectangles((1, 2)), batches.config, training=False),
        epochs=epochs,
        initial_epoch=initial_epoch,
        verbose=0,
        callbacks=[Collect()],
    )
    return np.array(losses)


def _training(workers):
    return Batches(Rectangles(), _config(WORKERS=workers), augmentation=RandomRotateFlip(), steps=4)


def test_fit_sees_the_batches_in_order_and_resumes():
    direct = _training(0)
    wanted = [
        sum(array.astype(np.float64).mean() for array in batch[0])
        for epoch in range(3)
        for batch in _epoch(direct, epoch)
    ]
    for workers in (0, 2):
        batches = _training(workers)
        np.testing.assert_allclose(_fit(batches, epochs=3), wanted, rtol=1e-3, atol=1e-3)
        assert batches.epoch == 3
    resumed = _training(2)
    resumed.epoch = 1
    np.testing.assert_allclose(
        _fit(resumed, epochs=3, initial_epoch=1), wanted[4:], rtol=1e-3, atol=1e-3
    )


def test_one_iterator_that_is_not_tuned_reads_each_batch_once(monkeypatch):
    # An iterator an epoch, as Keras makes them, may be closed only after a minute.
    batches, keys = _training(0), []
    assert Feed(batches).dataset().options().autotune.enabled is False

    def read(epoch, index):
        keys.append((epoch, index))
        return Batches.read(batches, epoch, index)

    monkeypatch.setattr(batches, "read", read)
    _fit(batches, epochs=3)
    shapes, keys = keys[:3], keys[3:]
    assert shapes == [(0, 0)] * 3
    # Some are ready for a fourth epoch.
    wanted = [(epoch, index) for epoch in range(4) for index in range(4)]
    assert keys == wanted[: len(keys)] and 12 <= len(keys) < 16


@pytest.mark.parametrize("workers", [0, 2])
def test_what_reading_raised_ends_the_training(tmp_path, workers):
    batches = Batches(OnDisk(tmp_path), _config(WORKERS=workers), shuffle=False)
    with pytest.raises(UnreadableImageError, match=r"image_2\.png"):
        _fit(batches, epochs=1)


def test_nothing_is_read_any_more_once_the_training_has_ended():
    dataset = Rectangles()
    dataset.cacheable = False
    batches = Batches(dataset, _config(WORKERS=2), steps=4)
    _fit(batches, epochs=1)
    reads = dataset.reads.copy()
    time.sleep(0.2)
    assert dataset.reads == reads and batches._pool is None
    assert _equal(batches.read(0, 1), Batches(Rectangles(), _config(), steps=4).read(0, 1))


def test_validation_batches_stay_the_same():
    batches = Batches(Rectangles(), _config(WORKERS=1), training=False)
    first = _epoch(batches)
    batches.on_epoch_begin()
    batches.on_epoch_end()
    assert batches.epoch == 0
    assert all(map(_equal, first, [batches[i] for i in range(len(batches))]))
