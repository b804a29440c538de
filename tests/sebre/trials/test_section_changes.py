"""Changes of sections change picture and masks alike."""

import numpy as np
import pytest
from section_cases import SIDE, box_mask

from sebre.data.region_masks import RegionMasks
from sebre.trials.section_changes import KINDS

GROUND = 10


def a_section() -> tuple[np.ndarray, RegionMasks]:
    """A bright brain on a dark ground, taller than wide, with two regions that overlap."""
    image = np.full((SIDE + 8, SIDE, 3), GROUND, np.uint8)
    image[6:-6, 4:-4] = (120, 140, 160)
    masks = {1: box_mask(8, 8, 20, 20), 3: box_mask(16, 16, 26, 26)}
    masks = {i: np.pad(mask, ((0, 8), (0, 0))) for i, mask in masks.items()}
    return image, RegionMasks.of(masks, image.shape)


@pytest.mark.parametrize("title", KINDS)
def test_every_change_keeps_size_and_says_its_chance(title):
    image, drawn = a_section()
    before = image.copy(), drawn.stack.copy()
    made = [KINDS[title].change(image, drawn, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    for picture, masks in made:
        assert picture.shape == image.shape and picture.dtype == np.uint8
        assert masks.stack.shape[:2] == image.shape[:2] and masks.stack.dtype == bool
        assert set(masks.class_ids) == {1, 3}
    np.testing.assert_array_equal(made[0][0], made[1][0])
    np.testing.assert_array_equal(made[0][1].stack, made[1][1].stack)
    # Nothing that was handed in is changed, and something is in what comes back.
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(drawn.stack, before[1])
    by_chance = any(
        not np.array_equal(
            KINDS[title].change(image, drawn, np.random.default_rng(seed))[0], made[0][0]
        )
        for seed in range(3, 8)
    )
    assert by_chance == KINDS[title].by_chance


@pytest.mark.parametrize("title", ["tear", "holes", "missing piece"])
def test_what_is_gone_shows_the_ground_and_is_in_no_mask(title):
    image, drawn = a_section()
    lost = 0
    for seed in range(8):
        picture, masks = KINDS[title].change(image, drawn, np.random.default_rng(seed))
        gone = (picture == GROUND).all(axis=-1)
        assert not masks.stack[gone].any()
        # What is left has its color, in every channel, and its region.
        left = ~gone & (image[..., 0] > GROUND)
        np.testing.assert_array_equal(picture[left], image[left])
        np.testing.assert_array_equal(masks.stack[left], drawn.stack[left])
        lost += int((drawn.stack[gone]).sum())
    assert lost > 0


def test_a_smaller_section_lies_in_the_middle_of_the_same_canvas():
    image, drawn = a_section()
    picture, masks = KINDS["scale 0.7"].change(image, drawn, np.random.default_rng(0))
    share = masks.by_class[1].sum() / drawn.by_class[1].sum()
    assert share == pytest.approx(0.49, abs=0.1)
    assert (picture[:8] == GROUND).all() and (picture[20, 16] == (120, 140, 160)).all()
    picture, masks = KINDS["scale 1.3"].change(image, drawn, np.random.default_rng(0))
    assert masks.by_class[1].sum() / drawn.by_class[1].sum() == pytest.approx(1.69, abs=0.2)


def test_inverted_contrast_of_the_picture_and_of_the_tissue():
    image, drawn = a_section()
    rng = np.random.default_rng(0)
    whole, _ = KINDS["inverted"].change(image, drawn, rng)
    np.testing.assert_array_equal(whole, 255 - image)
    tissue, masks = KINDS["inverted tissue"].change(image, drawn, rng)
    assert (tissue[0] == GROUND).all() and (tissue[20, 16] == (135, 115, 95)).all()
    np.testing.assert_array_equal(masks.stack, drawn.stack)
