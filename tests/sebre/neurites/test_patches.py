"""Training patches and the defects of their sections."""

import numpy as np
import pytest

from mrcnn.errors import UserError
from sebre.neurites.affinity_graph import NEAREST, UNKNOWN, affinities_of
from sebre.neurites.learning.patches import Labeled, PatchRecipe, bend, make_patch, patches
from sebre.neurites.learning.section_defects import DEFECTS, SEVERITIES, damage_sections

SHAPE = (16, 24, 24)


@pytest.fixture(scope="module")
def labeled(volume):
    return Labeled(volume.raw.astype(np.float32) / 50 - 2, volume.labels)


def test_a_patch_follows_from_its_number_alone(labeled):
    recipe = PatchRecipe(SHAPE, NEAREST)
    stream = patches([labeled], recipe, seed=3)
    several = [next(stream) for _ in range(4)]
    later = next(patches([labeled], recipe, seed=3, start=3))
    np.testing.assert_array_equal(several[3][0], later[0])
    np.testing.assert_array_equal(several[3][1], later[1])
    assert later[0].shape == (1, *SHAPE, 1) and later[1].shape == (1, *SHAPE, 3)
    assert (several[0][0] != several[1][0]).any()


def test_without_augmentation_a_patch_is_a_part_of_the_volume(labeled):
    recipe = PatchRecipe(labeled.labels.shape, NEAREST, frozenset())
    gray, affinities = make_patch(labeled, np.random.default_rng(0), recipe)
    np.testing.assert_array_equal(gray, labeled.gray)
    np.testing.assert_array_equal(affinities, affinities_of(labeled.labels, erode=True))


@pytest.mark.parametrize("name", ["flip", "transpose", "rotate", "elastic"])
def test_labels_move_with_the_gray_values(labeled, name):
    # Gray values that are the labels: dark borders have to stay where labels change.
    same = Labeled(labeled.labels.astype(np.float32), labeled.labels)
    recipe = PatchRecipe(SHAPE, NEAREST, frozenset({name}))
    moved = 0
    for seed in range(6):
        gray, affinities = make_patch(same, np.random.default_rng(seed), recipe)
        known = affinities[2] != UNKNOWN
        inside = known & (affinities[2] == 1)
        steps = np.abs(np.diff(gray, axis=2, prepend=gray[..., :1]))
        assert (steps[inside] < 0.05).mean() > 0.95
        plain, _ = make_patch(
            same, np.random.default_rng(seed), PatchRecipe(SHAPE, NEAREST, frozenset())
        )
        moved += (plain != gray).any()
    assert moved > 0


def test_a_bent_patch_has_the_labels_it_had(labeled):
    cut = labeled.labels[:8]
    _, labels = bend(labeled.gray[:8].copy(), cut, np.random.default_rng(0), True, True)
    assert labels.shape == cut.shape and set(np.unique(labels)) <= set(np.unique(cut))


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_changes_a_few_sections_alone(labeled, name, severity):
    how = SEVERITIES[severity]
    for seed in range(8):
        patch = labeled.gray[:, :24, :24].copy()
        DEFECTS[name](patch, np.random.default_rng(seed), how)
        changed = (patch != labeled.gray[:, :24, :24]).any(axis=(1, 2))
        numbers = np.flatnonzero(changed)
        assert len(numbers) <= how.longest and (len(numbers) or name == "shift")
        assert not len(numbers) or np.ptp(numbers) == len(numbers) - 1


def test_sections_made_up_are_between_those_around_them(labeled):
    patch = labeled.gray.copy()
    DEFECTS["interpolate"](patch, np.random.default_rng(0), SEVERITIES["mild"])
    numbers = np.flatnonzero((patch != labeled.gray).any(axis=(1, 2)))
    before, after = patch[numbers[0] - 1], patch[numbers[-1] + 1]
    middle = patch[numbers].mean(axis=0)
    np.testing.assert_allclose(middle, (before + after) / 2, atol=1e-5)


def test_harsh_defects_leave_some_patches_whole(labeled):
    changed = []
    for seed in range(40):
        patch = labeled.gray[:, :24, :24].copy()
        damage_sections(patch, np.random.default_rng(seed), frozenset(DEFECTS), "harsh")
        changed.append((patch != labeled.gray[:, :24, :24]).any())
    assert 20 <= sum(changed) <= 38


def test_defects_that_are_off_do_not_happen(labeled):
    patch = labeled.gray.copy()
    for seed in range(20):
        damage_sections(patch, np.random.default_rng(seed), frozenset())
    np.testing.assert_array_equal(patch, labeled.gray)


def test_a_volume_smaller_than_a_patch_is_the_users_mistake(labeled):
    recipe = PatchRecipe((48, 80, 80), NEAREST)
    with pytest.raises(UserError, match="smaller than a patch"):
        make_patch(labeled, np.random.default_rng(0), recipe)
