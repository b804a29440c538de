"""Augmentation of images with masks: geometry, seeds, sides, and imgaug on NumPy 2."""

import subprocess
import sys
import time

import numpy as np
import pytest

from mrcnn.compat.imgaug import prepare_imgaug
from mrcnn.compat.imgaug_hook import install
from mrcnn.config import Config
from mrcnn.data.augment import (
    RandomRotateFlip,
    SideFlipError,
    augment_image_and_masks,
    flip_left_right,
)

iaa = prepare_imgaug().augmenters

PLAIN = Config(NAME="plain", NUM_CLASSES=5)
REFUSE = Config(NAME="sides", NUM_CLASSES=5, SIDE_PAIRS=((1, 2),))
SWAP = Config(NAME="sides", NUM_CLASSES=5, SIDE_PAIRS=((1, 2),), ON_SIDE_FLIP="swap")
IDS = np.array([1, 2, 3, -1], np.int32)
SWAPPED = np.array([2, 1, 3, -2], np.int32)


def _scene(height=96, width=128, count=4):
    """An image and masks of a few overlapping rectangles, off center."""
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    masks = np.zeros((height, width, count), bool)
    for i in range(count):
        masks[8 + 5 * i % 40 : 40 + 3 * i % 50, 10 + 7 * i % 60 : 60 + 2 * i % 60, i] = True
    return image, masks


def _apply(augmentation, config=PLAIN, seed=0):
    image, masks = _scene()
    return augment_image_and_masks(
        image, masks, IDS, augmentation, config, np.random.default_rng(seed)
    )


GEOMETRY = {
    "Fliplr": iaa.Fliplr(1.0),
    "Flipud": iaa.Flipud(1.0),
    "Affine": iaa.Affine(rotate=(20, 40), scale=(0.8, 1.2), translate_percent=0.05),
    "CropAndPad": iaa.CropAndPad(percent=(0.05, 0.1)),
    "PiecewiseAffine": iaa.PiecewiseAffine(scale=0.04),
    "Rotate": iaa.Rotate((10, 30)),
    "ShearX": iaa.ShearX(15),
    "PerspectiveTransform": iaa.PerspectiveTransform(scale=(0.08, 0.1)),
    "ElasticTransformation": iaa.ElasticTransformation(alpha=40, sigma=5),
    "Rot90": iaa.Rot90(1),
    "SomeOf": iaa.SomeOf((1, 2), [iaa.Fliplr(1.0), iaa.Affine(rotate=30)]),
    "OneOf": iaa.OneOf([iaa.Affine(rotate=90), iaa.Affine(rotate=180)]),
    "Sometimes": iaa.Sometimes(0.99, iaa.Affine(rotate=25)),
    "Sequential": iaa.Sequential([iaa.Fliplr(0.5), iaa.Affine(rotate=(20, 40)), iaa.Add(0)]),
}
PHOTOMETRY = {
    "Multiply": iaa.Multiply(0.5),
    "Add": iaa.Add(20),
    "GaussianBlur": iaa.GaussianBlur(2.0),
    "AdditiveGaussianNoise": iaa.AdditiveGaussianNoise(scale=20),
    "LinearContrast": iaa.LinearContrast(0.5),
    "GammaContrast": iaa.GammaContrast(2.0),
    "CoarseDropout": iaa.CoarseDropout(0.3, size_percent=0.1),
    "JpegCompression": iaa.JpegCompression(90),
    "Sharpen": iaa.Sharpen(1.0),
    "CLAHE": iaa.CLAHE(),
    "MedianBlur": iaa.MedianBlur(3),
}


@pytest.mark.parametrize("name", GEOMETRY)
def test_imgaug_geometry_moves_masks_with_the_image(name):
    """A mask painted into the image must come out where the mask does."""
    _, masks = _scene()
    painted = np.repeat(masks[..., :1], 3, axis=-1).astype(np.uint8) * 255
    image, moved, _ = augment_image_and_masks(
        painted, masks, IDS, GEOMETRY[name], PLAIN, np.random.default_rng(3)
    )
    assert moved.dtype == bool and moved.shape == masks.shape
    union = (moved[..., 0] | (image[..., 0] > 127)).sum()
    assert (moved[..., 0] & (image[..., 0] > 127)).sum() > 0.93 * union
    assert (moved[..., 0] != masks[..., 0]).sum() > 50


@pytest.mark.parametrize("name", PHOTOMETRY)
def test_imgaug_photometry_leaves_masks_alone(name):
    image, masks = _scene()
    new_image, new_masks, _ = _apply(PHOTOMETRY[name])
    np.testing.assert_array_equal(new_masks, masks)
    assert (new_image != image).any() and new_image.dtype == np.uint8


def test_many_masks_move_alike():
    """More masks than go through imgaug in one pass."""
    image, masks = _scene(count=37)
    masks[:] = masks[..., :1]
    augmentation = iaa.Sequential(
        [iaa.Affine(rotate=(-40, 40)), iaa.PiecewiseAffine(0.03)], random_order=True
    )
    _, moved, _ = augment_image_and_masks(
        image, masks, np.ones(37), augmentation, PLAIN, np.random.default_rng(0)
    )
    assert (moved == moved[..., :1]).all() and (moved[..., 0] != masks[..., 0]).any()


def test_no_masks_at_all():
    image, masks = _scene(count=0)
    for augmentation in (iaa.Fliplr(1.0), RandomRotateFlip()):
        new_image, moved, ids = augment_image_and_masks(
            image, masks, np.zeros(0, int), augmentation, SWAP, np.random.default_rng(0)
        )
        assert moved.shape == masks.shape and len(ids) == 0 and (new_image != image).any()


@pytest.mark.parametrize(
    "augmentation",
    [
        iaa.Sequential(
            [
                iaa.SomeOf((0, 2), [iaa.Fliplr(0.5), iaa.Affine(rotate=(-90, 90))]),
                iaa.Multiply((0.5, 1.5)),
            ]
        ),
        RandomRotateFlip(),
    ],
    ids=["imgaug", "callable"],
)
def test_same_generator_state_same_result(augmentation):
    images = [_apply(augmentation, seed=seed) for seed in (1, 1, 2)]
    for first, second in zip(images[0], images[1], strict=True):
        np.testing.assert_array_equal(first, second)
    assert (images[0][0] != images[2][0]).any()


def test_global_seed_rules_without_a_generator():
    image, masks = _scene()
    results = []
    for _ in range(2):
        np.random.seed(7)
        results.append(augment_image_and_masks(image, masks, IDS, RandomRotateFlip(), PLAIN)[0])
    np.testing.assert_array_equal(*results)


def test_a_deterministic_augmenter_stays_so():
    augmentation = iaa.Affine(rotate=(-180, 180)).to_deterministic()
    np.testing.assert_array_equal(_apply(augmentation, seed=1)[0], _apply(augmentation, seed=2)[0])


def test_callable_may_work_in_place_without_touching_what_was_given():
    image, masks = _scene()
    kept = image.copy(), masks.copy()

    def blank(image, masks):
        image[:] = 0
        masks[:] = False
        return image, masks

    new_image, new_masks, _ = augment_image_and_masks(image, masks, IDS, blank, PLAIN)
    assert not new_image.any() and not new_masks.any()
    np.testing.assert_array_equal(image, kept[0])
    np.testing.assert_array_equal(masks, kept[1])


@pytest.mark.parametrize(
    "augmentation",
    [
        iaa.Resize(64),
        lambda image, masks: (image[:50], masks[:50]),
        lambda image, masks: (image, masks[..., :1]),
    ],
    ids=["imgaug", "size", "count"],
)
def test_changed_shapes_are_refused(augmentation):
    with pytest.raises(ValueError, match="Shapes must not change"):
        _apply(augmentation)


def _blurry_rotation(angle):
    """Masks interpolated bilinearly, as a careless callable does."""
    import skimage.transform

    def augment(image, masks):
        turned = [skimage.transform.rotate(array.astype(float), angle) for array in (image, masks)]
        return turned[0].astype(np.uint8), turned[1] > 0.5

    return augment


MIRRORING = {
    "Fliplr": iaa.Fliplr(1.0),
    "Flipud": iaa.Flipud(1.0),
    "flip and turn": iaa.Sequential([iaa.Flipud(1.0), iaa.Affine(rotate=133, scale=0.7)]),
    "flip and warp": iaa.Sequential([iaa.Fliplr(1.0), iaa.PiecewiseAffine(0.03)]),
    "flip and crop": iaa.Sequential([iaa.Fliplr(1.0), iaa.CropAndPad(percent=-0.3)]),
    "callable": lambda image, masks: (image[:, ::-1], masks[:, ::-1]),
    "callable upside down": lambda image, masks: (image[::-1], masks[::-1]),
    "callable, reflected and shifted": lambda image, masks: (
        np.roll(image[:, ::-1], 20, axis=1),
        np.roll(masks[:, ::-1], 20, axis=1),
    ),
}
KEEPING = {
    "rotate": iaa.Affine(rotate=77),
    "half turn": iaa.Sequential([iaa.Fliplr(1.0), iaa.Flipud(1.0)]),
    "rotate 180": iaa.Affine(rotate=180),
    "Rot90": iaa.Rot90(3),
    "shear": iaa.Affine(shear=30),
    "elastic": iaa.ElasticTransformation(alpha=40, sigma=5),
    "warp": iaa.PiecewiseAffine(0.05),
    "crop": iaa.CropAndPad(percent=-0.35),
    "reflecting border": iaa.Affine(translate_percent=0.3, mode="reflect"),
    "tone": iaa.Multiply(0.3),
    "blurry callable": _blurry_rotation(40),
    "callable half turn": lambda image, masks: (image[::-1, ::-1], masks[::-1, ::-1]),
    "own": RandomRotateFlip(flip=False, shift=0.2, scale=(0.5, 2.0)),
}


@pytest.mark.parametrize("name", MIRRORING)
def test_mirroring_with_sides_is_refused_by_default(name):
    with pytest.raises(SideFlipError, match="ON_SIDE_FLIP"):
        _apply(MIRRORING[name], REFUSE)


@pytest.mark.parametrize("name", MIRRORING)
def test_mirroring_with_sides_swaps_when_told_to(name):
    _, masks, ids = _apply(MIRRORING[name], SWAP)
    np.testing.assert_array_equal(ids, SWAPPED)
    assert masks.shape[-1] == 4
    np.testing.assert_array_equal(IDS, [1, 2, 3, -1])


@pytest.mark.parametrize("name", KEEPING)
def test_what_does_not_mirror_is_neither_refused_nor_swapped(name):
    _, _, ids = _apply(KEEPING[name], REFUSE)
    np.testing.assert_array_equal(ids, IDS)


def test_random_flips_swap_exactly_when_they_mirror():
    image, masks = _scene()
    swaps = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        new_image, _, ids = augment_image_and_masks(image, masks, IDS, iaa.Fliplr(0.5), SWAP, rng)
        mirrored = (new_image == image[:, ::-1]).all()
        np.testing.assert_array_equal(ids, SWAPPED if mirrored else IDS)
        swaps += mirrored
    assert 0 < swaps < 20


def test_watching_for_sides_does_not_change_the_result():
    for augmentation in (iaa.Affine(rotate=(-90, 90)), RandomRotateFlip()):
        watched, plain = _apply(augmentation, SWAP, 5), _apply(augmentation, PLAIN, 5)
        np.testing.assert_array_equal(watched[0], plain[0])
        np.testing.assert_array_equal(watched[1], plain[1])


def test_an_image_lost_altogether_cannot_be_judged():
    with pytest.raises(ValueError, match="SIDE_PAIRS"):
        _apply(lambda image, masks: (image, np.zeros_like(masks)), SWAP)


def test_plain_flip_obeys_the_rule_for_sides():
    image, masks = _scene()
    with pytest.raises(SideFlipError):
        flip_left_right(image, masks, IDS, REFUSE)
    np.testing.assert_array_equal(flip_left_right(image, masks, IDS, SWAP)[2], SWAPPED)
    np.testing.assert_array_equal(flip_left_right(image, masks, IDS, PLAIN)[2], IDS)


@pytest.mark.parametrize("seed", range(4))
def test_rotate_flip_moves_masks_with_the_image(seed):
    _, masks = _scene()
    painted = masks[..., :1].astype(np.uint8) * 255
    augment = RandomRotateFlip(shift=0.1, gamma=(1.0, 1.0))
    image, moved = augment(painted, masks, rng=np.random.default_rng(seed))
    overlap = (moved[..., 0] & (image[..., 0] > 127)).sum()
    assert overlap > 0.97 * (moved[..., 0] | (image[..., 0] > 127)).sum()
    assert image.dtype == np.uint8 and moved.dtype == bool


def test_rotate_flip_with_nothing_to_do_returns_the_same():
    image, masks = _scene()
    augment = RandomRotateFlip(0, flip=False, scale=(1, 1), gamma=(1, 1))
    new_image, new_masks = augment(image, masks)
    np.testing.assert_array_equal(new_image, image)
    np.testing.assert_array_equal(new_masks, masks)


def test_rotate_flip_fill_and_magnification():
    image = np.full((64, 64, 3), 200, np.uint8)
    masks = np.zeros((64, 64, 1), bool)
    masks[24:40, 24:40] = True
    for fill, corner in (("zero", 0), ("edge", 200)):
        augment = RandomRotateFlip(0, False, scale=(0.5, 0.5), gamma=(1, 1), fill=fill)
        new_image, moved = augment(image, masks)
        assert (new_image[0, 0] == corner).all() and not moved[0, 0, 0]
        assert 7 <= np.sqrt(moved.sum()) <= 9


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_rotate_flip_tone_keeps_dtype_black_and_white(dtype):
    top = 255 if dtype is np.float32 else np.iinfo(dtype).max
    image = np.zeros((16, 16, 1), dtype)
    image[:8] = top
    image[8, 8] = top / 4
    augment = RandomRotateFlip(0, False, scale=(1, 1), gamma=(0.5, 0.5))
    toned, _ = augment(image, np.zeros((16, 16, 0), bool))
    assert toned.dtype == dtype
    assert (toned[:8] == top).all() and not toned[9:].any()
    assert abs(float(toned[8, 8, 0]) / top - 0.5) < 0.01
    darker, _ = RandomRotateFlip(0, False, (1, 1), gamma=(1, 1), brightness=(0.5, 0.5))(
        image, np.zeros((16, 16, 0), bool)
    )
    assert abs(float(darker[0, 0, 0]) / top - 0.5) < 0.01


def test_rotate_flip_refuses_bad_arguments():
    with pytest.raises(ValueError, match="fill"):
        RandomRotateFlip(fill="wrap")
    with pytest.raises(ValueError, match="scale"):
        RandomRotateFlip(scale=(1.1, 0.9))


def test_rotate_flip_is_fast_enough_for_training():
    image, masks = _scene(128, 128, 6)
    rng, spent = np.random.default_rng(0), []
    for _ in range(8):
        start = time.process_time()
        RandomRotateFlip()(image, masks, rng=rng)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.02


def test_the_hook_lets_a_program_import_imgaug_first(tmp_path):
    install(tmp_path)
    code = (
        "import site, sys; site.addsitedir(sys.argv[1]); import imgaug; "
        "from imgaug import augmenters; assert 'mrcnn.compat.imgaug' in sys.modules; "
        "print(imgaug.__version__)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "0.4.0", done.stderr
