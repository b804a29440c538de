"""How the loaders of data sets are called: in turn, anew or once, with whose random numbers."""

import os
import random
import threading
import time

import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.data.batches import Batches
from mrcnn.data.dataset import Dataset, promised
from mrcnn.data.generator import data_generator
from mrcnn.data.samples import UnreadableImageError, load_image_gt
from sebre.data.dataset import SectionDataset

PROMISES = ("thread_safe", "cacheable")


def _config(**overrides):
    small = {
        "NUM_CLASSES": 2,
        "IMAGES_PER_GPU": 1,
        "IMAGE_MIN_DIM": 64,
        "IMAGE_MAX_DIM": 64,
        "RPN_ANCHOR_SCALES": (8, 16, 32, 64, 128),
        "RPN_TRAIN_ANCHORS_PER_IMAGE": 16,
        "MINI_MASK_SHAPE": (14, 14),
        "MAX_GT_INSTANCES": 2,
    }
    return Config(**{**small, **overrides})


class Plain(Dataset):
    """Images of one value, with one square; as programs write it, without any promise."""

    def __init__(self, count=4):
        super().__init__()
        self.reads = []
        self.add_class("toy", 1, "square")
        for i in range(count):
            self.add_image("toy", i, f"toy_{i}.png")
        self.prepare()

    def load_image(self, image_id):
        self.reads.append(int(image_id))
        return np.full((48, 60, 3), 10 * image_id, np.uint8)

    def load_mask(self, image_id):
        masks = np.zeros((48, 60, 1), bool)
        masks[10:30, 5 + image_id : 40] = True
        return masks, np.array([1])


def _contents(dataset, epochs=1, **settings):
    batches = Batches(dataset, _config(**settings), steps=6)
    return [batches.read(epoch, i)[0] for epoch in range(epochs) for i in range(6)]


def _equal(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


# --- Promises ----------------------------------------------------------------------------


class Declared(Plain):
    thread_safe = cacheable = True


class OnlyNames(Declared):
    def image_reference(self, image_id):
        return f"{image_id}"


class OwnMasks(Declared):
    def load_mask(self, image_id):
        return super().load_mask(image_id)


class OwnMasksDeclared(OwnMasks):
    thread_safe = cacheable = True


class OwnSections(SectionDataset):
    def load_image(self, image_id):
        return super().load_image(image_id)


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        (Dataset, True),
        (SectionDataset, True),
        (Plain, False),
        (Declared, True),
        (OnlyNames, True),
        (OwnMasks, False),
        (OwnMasksDeclared, True),
        (OwnSections, False),
    ],
)
def test_a_promise_holds_for_the_loaders_of_its_class(kind, kept):
    dataset = kind()
    assert [promised(dataset, name) for name in PROMISES] == [kept] * 2
    dataset.load_mask = lambda image_id: None
    assert [promised(dataset, name) for name in PROMISES] == [False] * 2
    dataset.thread_safe = dataset.cacheable = True
    assert [promised(dataset, name) for name in PROMISES] == [True] * 2


# --- In turn -----------------------------------------------------------------------------


class Wandering(Plain):
    """Goes into the folder of an image for its mask, as the data set of SeBRe does."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        for i in self.image_ids:
            (folder / f"masks_{i}").mkdir()
            np.save(folder / f"masks_{i}" / "mask.npy", super().load_mask(i)[0])

    def load_mask(self, image_id):
        os.chdir(self.folder / f"masks_{image_id}")
        time.sleep(0.002)  # enough for other threads to go elsewhere
        return np.load("mask.npy"), np.array([1])


def test_loaders_that_change_the_working_directory_are_read_by_threads(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.chdir(tmp_path)
    dataset = Wandering(tmp_path)
    assert all(map(_equal, _contents(dataset, 2, WORKERS=4), _contents(Plain(), 2, WORKERS=0)))
    # Programs that write to relative paths hear of it, once.
    (record,) = caplog.records
    assert "Wandering leaves the working directory changed" in record.getMessage()


class Counting(Plain):
    inside = most = 0

    def load_mask(self, image_id):
        Counting.inside += 1
        Counting.most = max(Counting.most, Counting.inside)
        time.sleep(0.002)
        Counting.inside -= 1
        return super().load_mask(image_id)


def test_one_loader_of_all_data_sets_runs_at_a_time():
    """That for training and that for validation share a process."""
    batches = [Batches(Counting(), _config(WORKERS=2), steps=6) for _ in range(2)]
    for index in range(6):
        for each in batches:
            each.read(0, index)
    load_image_gt(Counting(), _config(), 0)
    assert Counting.most == 1


class Remembering(Plain):
    """The mask depends on what was drawn for the image before it."""

    def load_image(self, image_id):
        self.shift = 2 * image_id
        time.sleep(0.002)
        return super().load_image(image_id)

    def load_mask(self, image_id):
        masks, class_ids = super().load_mask(image_id)
        return np.roll(masks, self.shift, axis=1), class_ids


def test_an_image_and_its_masks_are_read_in_a_row():
    found = (_contents(Remembering(), WORKERS=n) for n in (4, 0))
    assert all(map(_equal, *found))


def test_promised_loaders_run_side_by_side():
    meeting = threading.Barrier(2, timeout=30)

    class Meeting(Plain):
        thread_safe = cacheable = True

        def load_mask(self, image_id):
            if image_id in (1, 2):  # those that two threads prepare ahead
                meeting.wait()
            return super().load_mask(image_id)

    batches = Batches(Meeting(), _config(WORKERS=2), shuffle=False)
    assert [int(batches[i][0][1][0, 0]) for i in range(3)] == [0, 1, 2]


# --- Once or anew ------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "times"), [(Plain, 2), (Declared, 1)])
def test_what_is_not_promised_to_stay_the_same_is_read_for_every_batch(kind, times):
    dataset = kind()
    batches = Batches(dataset, _config(WORKERS=0))
    for epoch in range(2):
        for index in range(4):
            batches.read(epoch, index)
    assert sorted(dataset.reads) == sorted([0, 1, 2, 3] * times)
    dataset = kind()
    generator = data_generator(dataset, _config())
    for _ in range(8):
        next(generator)
    assert sorted(dataset.reads) == sorted([0, 1, 2, 3] * times)


class Drawing(Plain):
    """Draws with both of Python's generators, as programs do for augmentation of their own."""

    def load_image(self, image_id):
        noise = np.random.randint(100, size=(48, 60, 3)) + random.randrange(100)
        return super().load_image(image_id) + noise.astype(np.uint8)


def test_loaders_that_draw_give_other_pictures_every_time_and_the_same_ones_to_any_threads():
    wanted = _contents(Drawing(), 3, WORKERS=0)
    assert len({inputs[0].tobytes() for inputs in wanted}) == len(wanted)
    assert all(map(_equal, wanted, _contents(Drawing(), 3, WORKERS=4)))
    # An image of its own seed for every place: a run that is resumed sees the same ones.
    batches = Batches(Drawing(), _config(WORKERS=0), steps=6)
    assert _equal(batches.read(2, 5)[0], wanted[17])
    other = _contents(Drawing(), SEED=1, WORKERS=0)
    assert not any(map(_equal, wanted[:6], other))


def test_numbers_of_the_program_are_as_if_no_batch_had_been_read():
    def numbers(read):
        random.seed(5)
        np.random.seed(5)
        read()
        return random.random(), np.random.random()

    batches = Batches(Drawing(), _config(WORKERS=0))
    assert numbers(lambda: batches.read(0, 0)) == numbers(lambda: None)


def test_the_generator_draws_with_the_numbers_of_the_program():
    def pictures():
        np.random.seed(5)
        random.seed(5)
        generator = data_generator(Drawing(), _config())
        return [next(generator)[0][0] for _ in range(8)]

    first = pictures()
    assert len({picture.tobytes() for picture in first}) == 8
    assert _equal(first, pictures())


# --- Errors ------------------------------------------------------------------------------


def test_an_error_says_which_loader_of_which_image_failed_and_where(tmp_path, monkeypatch):
    class Lost(Plain):
        def load_mask(self, image_id):
            return np.load("masks_of_nobody.npy"), np.array([1])

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnreadableImageError) as error:
        load_image_gt(Lost(), _config(), 2)
    message = str(error.value)
    assert message.startswith("Cannot load image 2 (toy_2.png): Lost.load_mask raised FileNotFound")
    assert f"'masks_of_nobody.npy'. The working directory was {tmp_path}." in message


def test_a_mistake_in_a_loader_is_shown_as_it_is_with_the_image_as_a_note():
    class Mistaken(Plain):
        def load_mask(self, image_id):
            return [][image_id]

    with pytest.raises(IndexError, match="list index") as error:
        Batches(Mistaken(), _config(WORKERS=0, SKIP_CORRUPT_IMAGES=True), shuffle=False)[1]
    assert error.value.__notes__ == ["Raised by Mistaken.load_mask for image 1 (toy_1.png)."]
