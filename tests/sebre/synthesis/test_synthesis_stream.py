import dataclasses
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from sebre.networks.any_section import normalized
from sebre.synthesis.appearance import damage, intensity
from sebre.synthesis.appearance.deform import grow
from sebre.synthesis.appearance.fields import monotone_curve, smooth_field, spline_matrix
from sebre.synthesis.appearance.intensity import put_on_background
from sebre.synthesis.curriculum import EASY, HARD, Recipe, recipe_at
from sebre.synthesis.planes import CANONICAL, random_plane
from sebre.synthesis.stream import batches, make_section, sections

SIZE = 64
STILL = dataclasses.replace(
    EASY,
    tilt_deg=0,
    any_angle=0,
    turn_deg=0,
    scale=0,
    bend=0,
    growth=0,
    partial=0,
    damage=0,
    coronal=0,
)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def disk(size=SIZE):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.where(y**2 + x**2 < (0.4 * size) ** 2, 1 + (x > 0), 0).astype(np.uint16)


def test_splines_are_weights():
    matrix = spline_matrix(31, 6)
    assert matrix.sum(axis=1) == pytest.approx(np.ones(31))
    assert matrix.min() >= 0
    assert not matrix.flags.writeable


def test_fields_are_smooth(rng):
    fields = smooth_field(rng, 96, 4, 50)
    assert fields.shape == (50, 96, 96)
    assert 0.6 < fields.std() < 1.4
    assert np.abs(np.diff(fields)).max() < 0.3


def test_growth_is_monotone(rng):
    curve = monotone_curve(rng, 65, 6, 0.5)
    assert (curve[0], curve[-1]) == (0, 1)
    assert (np.diff(curve) > 0).all()
    assert monotone_curve(rng, 65, 6, 0) == pytest.approx(np.linspace(0, 1, 65), abs=1e-6)


def test_without_growth_places_stay(volume, rng):
    places = [np.array([0.0, 1.0], np.float32)] * 3
    voxels = grow(volume, places, rng, dataclasses.replace(HARD, growth=0))
    for values, size in zip(voxels, volume.labels.shape, strict=True):
        assert values == pytest.approx([size / 2 - 0.5, size / 2 + 3.5], abs=0.01)


@pytest.mark.parametrize("name", CANONICAL)
def test_frames_are_right_angled(name):
    frame = CANONICAL[name]
    assert frame @ frame.T == pytest.approx(np.eye(3))


@pytest.mark.parametrize("recipe", [EASY, HARD], ids=["easy", "hard"])
def test_planes_meet_the_tissue(volume, rng, recipe):
    for _ in range(20):
        plane = random_plane(volume, rng, recipe)
        assert plane.frame @ plane.frame.T == pytest.approx(np.eye(3), abs=1e-9)
        places = plane.grid(SIZE)
        assert places[0].shape == (SIZE, SIZE)
        voxels = [(places[k] + volume.half_size_mm[k]) / volume.voxel_mm - 0.5 for k in range(3)]
        assert (volume.labels.reshape(-1)[volume.at(tuple(voxels))] > 0).mean() > 0.01


def test_an_easy_plane_is_canonical_with_its_longest_axis_level(volume, rng):
    for _ in range(10):
        plane = random_plane(volume, rng, STILL)
        assert np.abs(plane.frame[2]) == pytest.approx(CANONICAL[plane.name][2], abs=1e-9)
        assert np.sort(np.abs(plane.frame)) == pytest.approx(np.eye(3)[[2, 2, 2]], abs=1e-9)
        places = plane.grid(SIZE)
        voxels = [(places[k] + volume.half_size_mm[k]) / volume.voxel_mm - 0.5 for k in range(3)]
        tissue = np.argwhere(volume.labels.reshape(-1)[volume.at(tuple(voxels))] > 0)
        down, right = np.ptp(tissue, axis=0)
        assert right >= down


def test_most_planes_are_canonical(volume, rng):
    names = [random_plane(volume, rng, HARD).name for _ in range(200)]
    shares = {name: names.count(name) / 200 for name in (*CANONICAL, "oblique")}
    assert shares["oblique"] == pytest.approx(1 - HARD.canonical, abs=0.12)
    assert min(shares.values()) > 0.03


def test_a_section_is_always_the_same(volumes):
    first = list(islice(sections(volumes, 3, size=SIZE), 6))
    again = list(islice(sections(volumes, 3, start=1, step=2, size=SIZE), 3))
    for one, other in zip(first[1::2], again, strict=True):
        assert np.array_equal(one.picture, other.picture)
        assert np.array_equal(one.labels, other.labels)
    other_seed = next(sections(volumes, 4, size=SIZE))
    assert not np.array_equal(first[0].picture, other_seed.picture)


@pytest.mark.parametrize("recipe", [EASY, HARD], ids=["easy", "hard"])
def test_sections_are_whole(volumes, recipe):
    seen, names = set(), set()
    for section in islice(sections(volumes, 0, recipe=recipe, size=SIZE), 60):
        assert section.picture.dtype == np.float32
        assert section.labels.dtype == np.uint8
        assert section.picture.shape == section.labels.shape == (SIZE, SIZE)
        assert np.isfinite(section.picture).all()
        assert 0 <= section.picture.min() < section.picture.max() <= 1
        seen |= set(np.unique(section.labels))
        names.add(section.volume)
    assert seen == {*range(10), 255}
    assert names == {"phantom", "bare"}


def test_the_picture_shows_the_labels(volume):
    plain = dataclasses.replace(STILL, painted=1, noise=0, blur_px=0, texture=0, background=0)
    found = []
    for number in range(8):
        section = make_section([volume], np.random.default_rng(number), plain, 96)
        if len(np.unique(section.labels)) < 4:
            continue
        spreads = [
            section.picture[section.labels == i].std()
            for i in range(1, 10)
            if (section.labels == i).sum() > 50
        ]
        found.append(np.mean(spreads) / section.picture.std())
    assert np.mean(found) < 0.6


def test_a_rim_lies_between_tissue_and_ground(rng):
    tissue = np.zeros((96, 96), bool)
    tissue[30:60, 30:70] = True
    recipe = replace(HARD, halo=1.0, background=0.0)
    for _ in range(10):
        picture = put_on_background(np.full(tissue.shape, 9, np.float32), tissue, rng, recipe)
        ground, rim = picture[0, 0], picture[29, 50]
        assert ground < 1.2 and ground + 0.2 < rim < 9


def test_batches(volumes):
    pictures, labels = next(batches(sections(volumes, 0, size=SIZE), 3, label_step=2))
    assert pictures.shape == (3, SIZE, SIZE, 1)
    assert labels.shape == (3, SIZE // 2, SIZE // 2)


def test_the_curriculum_goes_from_easy_to_hard():
    assert recipe_at(0) == recipe_at(0.1) == EASY
    assert recipe_at(0.6) == recipe_at(1) == HARD
    middle = recipe_at(0.35)
    assert middle.any_angle == pytest.approx((EASY.any_angle + HARD.any_angle) / 2)
    assert isinstance(middle, Recipe)


@pytest.mark.parametrize("kind", [damage.tear, damage.holes, damage.missing_piece])
def test_damage_takes_tissue_away(rng, kind):
    fine = disk()
    lost = []
    for _ in range(30):
        left, _ = kind(fine, np.zeros(fine.shape, np.float32), rng)
        assert left.dtype == np.uint16
        assert ((left == fine) | (left == 0)).all()
        lost.append((left != fine).sum() / (fine > 0).sum())
    assert 0.002 < np.mean(lost) < 0.4


def test_a_fold_moves_tissue(rng):
    fine = disk()
    picture = (fine > 0).astype(np.float32)
    left, folded = damage.fold(fine, picture, rng)
    assert set(np.unique(left)) <= {0, 1, 2}
    assert 0 < (left != fine).mean() < 0.3
    assert not np.array_equal(folded, picture)


def test_a_cut_leaves_enough(rng):
    fine = disk()
    middle = np.broadcast_to(np.linspace(-1, 1, SIZE, dtype=np.float32), fine.shape)
    for way in (middle, None):
        shares = [(damage.cut(fine, way, rng) > 0).sum() / (fine > 0).sum() for _ in range(40)]
        assert min(shares) >= 0.19
        assert min(shares) < 0.7


def test_dirt_leaves_the_tissue_to_be_seen(rng):
    tissue = disk() > 0
    picture = tissue.astype(np.float32)
    for kind in (damage.bubbles, damage.glass_edge, damage.neighbors):
        assert any(not np.array_equal(kind(picture, tissue, rng), picture) for _ in range(10))
    moved = damage.neighbors(0.5 * picture, tissue, rng)
    assert np.array_equal(moved[tissue], 0.5 * picture[tissue])


def test_paint_depends_on_the_structure(volume, rng):
    fine = disk()
    picture = intensity.paint(fine, volume.table, rng, dataclasses.replace(HARD, texture=0))
    assert len(np.unique(picture[fine == 1])) == 1
    assert picture[fine == 1][0] != picture[fine == 2][0]


def test_own_values_are_remapped(rng):
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16)
    curves = [intensity.recolor(picture, rng, HARD).reshape(-1) for _ in range(40)]
    growing = [bool((np.diff(curve) >= 0).all()) for curve in curves]
    assert 8 < sum(growing) < 36
    assert min(curve.min() for curve in curves) >= 0


def test_normalized_is_free_of_range(rng):
    picture = rng.random((80, 90))
    assert normalized(picture) == pytest.approx(normalized(1000 * picture - 5), abs=1e-4)
    assert normalized(np.ones((8, 8))).max() == 0
