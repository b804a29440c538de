"""Bad sections are found, and made up from those around them."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from sebre.neurites.bad_runs import LONGEST, MadeUpSections, find_bad_sections
from sebre.neurites.scoring.bad_sections import FAULTS, degraded

BAD = [9, 10, 20]


@pytest.fixture(scope="module")
def smooth():
    """Gray values of cells that change slowly from section to section."""
    noise = np.random.default_rng(0).standard_normal((32, 120, 136))
    field = gaussian_filter(noise, (2.0, 1.5, 1.5), mode="wrap")
    return np.clip(128 + 40 * field / field.std(), 0, 255).astype(np.uint8)


def test_good_sections_are_left_alone(smooth, volume):
    assert find_bad_sections(smooth) == []
    assert find_bad_sections(smooth[:4]) == []
    assert find_bad_sections(np.full((9, 20, 20), 7, np.uint8)) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda part: gaussian_filter(part.astype(float), (0, 3, 3)),
        lambda part: part * 0.5,
        lambda part: part * 0.0,
        lambda part: np.stack(
            [np.roll(p, n, axis=0) for n, p in zip((5, -5, 5), part, strict=True)]
        ),
        lambda part: part + np.random.default_rng(1).normal(0, 60, part.shape),
    ],
    ids=["blurred", "dark", "missing", "displaced", "noisy"],
)
def test_bad_sections_are_found(smooth, change):
    raw = smooth.copy()
    raw[BAD] = np.clip(change(raw[BAD]), 0, 255).astype(np.uint8)
    assert find_bad_sections(raw) == BAD


@pytest.mark.parametrize("faults", FAULTS)
def test_most_of_the_faults_of_the_tests_are_found(smooth, faults):
    raw, bad = degraded(smooth, 0, faults=faults)
    found = set(find_bad_sections(raw))
    assert len(found & set(bad)) >= 0.6 * len(bad) and len(found - set(bad)) <= 2


def test_made_up_sections_are_between_those_around_them(smooth):
    made = MadeUpSections(smooth, [0, 9, 10, 31])
    assert made.made == [0, 9, 10, 31] and made.shape == smooth.shape
    whole = made[:]
    np.testing.assert_array_equal(whole[0], smooth[1])
    np.testing.assert_array_equal(whole[31], smooth[30])
    wanted = np.rint((2 * smooth[8].astype(float) + smooth[11]) / 3)
    np.testing.assert_array_equal(whole[9], wanted)
    untouched = [n for n in range(32) if n not in made.made]
    np.testing.assert_array_equal(whole[untouched], smooth[untouched])


def test_parts_are_those_of_the_whole(smooth):
    made = MadeUpSections(smooth, BAD)
    part = (slice(10, 21), slice(5, 30), slice(70, 80))
    np.testing.assert_array_equal(made[part], made[:][part])


def test_long_runs_stay(smooth):
    assert MadeUpSections(smooth, range(5, 5 + LONGEST)).made == list(range(5, 5 + LONGEST))
    assert MadeUpSections(smooth, range(5, 6 + LONGEST)).made == []
    assert MadeUpSections(smooth, [0, 1, 2]).made == []
    assert MadeUpSections(smooth, range(32)).made == []
