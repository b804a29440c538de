"""Rotated versions of sections."""

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from sebre.data.rotation import ANGLES, rotated_versions


def picture(height: int = 61, width: int = 80, channels: int = 3) -> np.ndarray:
    """A smooth picture, so that ways of interpolation agree."""
    y, x = np.mgrid[:height, :width].astype(float)
    planes = [127 + 100 * np.sin(x / (7 + c) + c) * np.cos(y / (9 - c)) for c in range(channels)]
    return np.dstack(planes).round().astype(np.uint8)


def disc(shape: tuple[int, int], y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(rows - y, columns - x) <= radius


def by_angle(*args, **kwargs) -> dict:
    return {(a, f): (image, masks) for a, f, image, masks in rotated_versions(*args, **kwargs)}


def test_twenty_angles_in_order_mirrored_ones_last():
    assert len(ANGLES) == 20
    assert ANGLES[0] == -20 and ANGLES[-1] == 18 and ANGLES[10] == 0
    assert set(np.diff(ANGLES)) == {2}
    image = picture()
    assert [v[:2] for v in rotated_versions(image, {})] == [(a, False) for a in ANGLES]
    both = [v[:2] for v in rotated_versions(image, {}, flips=True)]
    assert both == [(a, False) for a in ANGLES] + [(a, True) for a in ANGLES]


def test_angle_0_is_the_input_and_its_mirror_image():
    image = picture()
    masks = {3: disc(image.shape[:2], 20, 30, 9)}
    versions = by_angle(image, masks, flips=True)
    np.testing.assert_array_equal(versions[0, False][0], image)
    np.testing.assert_array_equal(versions[0, False][1][3], masks[3])
    np.testing.assert_array_equal(versions[0, True][0], image[:, ::-1])
    np.testing.assert_array_equal(versions[0, True][1][3], masks[3][:, ::-1])


def test_positive_angles_turn_counter_clockwise():
    image = np.zeros((101, 101), np.uint8)
    image[48:53, 88:93] = 255  # right of the middle
    turned = by_angle(image, {1: image > 0}, background=0)
    for angle, down in ((18, -1), (-18, 1)):
        got, masks = turned[angle, False]
        for array in (got, masks[1]):
            y, x = scipy.ndimage.center_of_mass(array)
            np.testing.assert_allclose(
                (y, x),
                (50 + down * 40 * np.sin(np.radians(18)), 50 + 40 * np.cos(np.radians(18))),
                atol=0.1,
            )


@pytest.mark.parametrize("shape", [(61, 80, 3), (60, 81, 1)])
def test_images_agree_with_scipy(shape):
    image = picture(*shape)
    image = image[..., 0] if shape[2] == 1 else image
    for angle in (-20, -2, 14):
        got, _ = by_angle(image, {}, background=0)[angle, False]
        wanted = scipy.ndimage.rotate(image.astype(float), angle, reshape=False, order=1, cval=0)
        # At the border one fades to the background and the other cuts.
        whole = scipy.ndimage.rotate(np.ones(shape[:2]), angle, reshape=False, order=1) > 0.999
        whole = scipy.ndimage.binary_erosion(whole, iterations=2)
        assert whole.mean() > 0.5
        difference = np.abs(got - wanted)[whole]
        assert difference.max() <= 2
        assert difference.mean() < 0.4


def test_images_and_masks_agree_with_pillow():
    """On odd sides, where Pillow's middle is ours."""
    image = picture(81, 61, 1)[..., 0]
    mask = disc(image.shape, 30, 35, 15)
    got, masks = by_angle(image, {1: mask}, background=255)[18, False]
    wanted = Image.fromarray(image).rotate(18, Image.Resampling.BILINEAR, fillcolor=255)
    inner = disc(image.shape, 40, 30, 25)
    assert np.abs(got.astype(int) - np.asarray(wanted))[inner].max() <= 3
    drawn = Image.fromarray(mask.astype(np.uint8)).rotate(18, Image.Resampling.NEAREST)
    assert np.count_nonzero(masks[1] != np.asarray(drawn).astype(bool)) <= 0.02 * mask.sum()


@pytest.mark.parametrize("enlarge", [False, True])
def test_image_and_masks_stay_together(enlarge):
    mask = disc((70, 90), 30, 55, 14) & ~disc((70, 90), 26, 50, 5)
    image = np.where(mask, 200, 20).astype(np.uint8)
    versions = list(rotated_versions(image, {4: mask}, flips=True, enlarge=enlarge))
    assert len(versions) == 40
    for angle, _, turned, masks in versions:
        assert turned.shape == masks[4].shape
        assert masks[4].dtype == bool
        # Inside and outside differ from the image only along the border.
        wrong = (turned > 110) != masks[4]
        border = masks[4] ^ scipy.ndimage.binary_erosion(masks[4])
        border |= masks[4] ^ scipy.ndimage.binary_dilation(masks[4])
        assert not (wrong & ~border).any(), angle
        assert wrong.sum() < 0.05 * mask.sum()
        assert abs(int(masks[4].sum()) - int(mask.sum())) < 0.03 * mask.sum()


def test_canvas_is_kept_or_holds_everything():
    image = np.full((40, 100), 9, np.uint8)
    corners = np.zeros(image.shape, bool)
    corners[:4, :4] = corners[-4:, -4:] = corners[:4, -4:] = corners[-4:, :4] = True
    for angle, (kept, cut) in ((k[0], v) for k, v in by_angle(image, {1: corners}).items()):
        assert kept.shape == (40, 100)
        assert angle in (0, -2, 2) or cut.get(1, corners[:0]).sum() < corners.sum()
    for (angle, _), (whole, masks) in by_angle(image, {1: corners}, enlarge=True).items():
        sin, cos = np.abs((np.sin(np.radians(angle)), np.cos(np.radians(angle))))
        np.testing.assert_allclose(
            whole.shape, (100 * sin + 40 * cos, 100 * cos + 40 * sin), atol=1
        )
        assert abs(int(masks[1].sum()) - int(corners.sum())) <= 6


def test_corners_take_the_background():
    image = np.full((50, 60, 3), (200, 210, 220), np.uint8)
    image[10:40, 10:50] = 30
    image[0, :5] = 0  # a few dark pixels do not move the median
    for turned, _ in by_angle(image, {}).values():
        np.testing.assert_array_equal(turned[-1, -1], (200, 210, 220))
    turned, _ = by_angle(image, {}, background=(1, 2, 3))[-20, False]
    np.testing.assert_array_equal(turned[-1, -1], (1, 2, 3))
    turned, _ = by_angle(image, {}, background=7)[-20, False]
    np.testing.assert_array_equal(turned[0, 0], (7, 7, 7))
    turned, _ = by_angle(image[..., 0], {}, background=255)[-20, False]
    assert turned[0, 0] == 255


def test_masks_that_vanish_are_dropped():
    image = np.zeros((40, 100), np.uint8)
    corner, middle = np.zeros((2, 40, 100), bool)
    corner[:2, :2] = True
    middle[15:25, 40:60] = True
    versions = by_angle(image, {1: corner, 2: middle, 3: np.zeros((40, 100), bool)})
    assert sorted(versions[0, False][1]) == [1, 2]
    assert sorted(versions[18, False][1]) == [2]


@pytest.mark.parametrize(
    ("image", "masks", "background", "message"),
    [
        (np.zeros((4, 4)), {}, None, "image is float64"),
        (np.zeros((4, 4, 4), np.uint8), {}, None, "rotation wants uint8"),
        (np.zeros((0, 4), np.uint8), {}, None, "0 x 4 px"),
        (np.zeros((4, 5), np.uint8), {2: np.zeros((5, 4), bool)}, None, "mask of class 2"),
        (np.zeros((4, 4), np.uint8), {2: np.zeros((4, 4), np.uint8)}, None, "uint8"),
        (np.zeros((4, 4), np.uint8), {}, (1, 2, 3), "one per channel of the image .1."),
        (np.zeros((4, 4), np.uint8), {}, 300, "from 0 to 255"),
    ],
)
def test_what_does_not_fit_is_named(image, masks, background, message):
    with pytest.raises(ValueError, match=message):
        next(rotated_versions(image, masks, background=background))
