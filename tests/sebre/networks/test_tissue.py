"""Tissue and background."""

import numpy as np
import pytest
from paths import ROOT

from sebre.experiments import EXPERIMENTS
from sebre.networks.tissue import find_tissue, reduced, small_tissue, tissue_mask


def _disk(shape=(200, 300), background=0, tissue=120, noise=0):
    rows, columns = np.indices(shape)
    inside = (rows - shape[0] / 2) ** 2 + (columns - shape[1] / 2) ** 2 < (min(shape) / 3) ** 2
    gray = np.where(inside, tissue, background).astype(float)
    gray += np.random.default_rng(0).normal(0, noise, shape)
    picture = np.clip(gray, 0, 255).astype(np.uint8)
    return np.repeat(picture[..., None], 3, axis=-1), inside


@pytest.mark.parametrize("background, tissue", [(0, 120), (20, 60), (250, 90), (128, 200)])
def test_tissue_on_dark_and_bright_backgrounds(background, tissue):
    picture, inside = _disk(background=background, tissue=tissue, noise=4)
    found = tissue_mask(picture)
    assert found.dtype == bool and found.shape == inside.shape
    assert np.mean(found == inside) > 0.98


def test_holes_are_filled_and_specks_dropped():
    picture, inside = _disk()
    picture[95:105, 145:155] = 0  # a ventricle
    picture[5:8, 5:8] = 255  # dust
    found = tissue_mask(picture)
    assert found[100, 150] and not found[6, 6]


def test_colored_tissue_as_bright_as_the_background():
    picture, inside = _disk(background=150, tissue=150)
    picture[inside] = (220, 80, 150)
    assert np.mean(tissue_mask(picture) == inside) > 0.98


@pytest.mark.parametrize("value", [0, 255, 90])
def test_a_blank_picture_has_none(value):
    assert not tissue_mask(np.full((50, 70, 3), value, np.uint8)).any()
    noise = np.random.default_rng(0).normal(value, 2, (300, 300, 1))
    noisy = np.repeat(np.clip(noise, 0, 255).astype(np.uint8), 3, axis=-1)
    assert not tissue_mask(noisy).any()


def test_large_pictures_are_measured_small():
    picture, inside = _disk((3000, 2000))
    assert max(small_tissue(picture).shape) == 384
    assert np.mean(tissue_mask(picture) == inside) > 0.98
    assert reduced(picture, 5000).shape == picture.shape
    assert tissue_mask(np.zeros((1, 1, 3), np.uint8)).shape == (1, 1)


def test_drawn_regions_lie_on_tissue():
    sections = EXPERIMENTS["slicemap"].load(ROOT / "datasets" / "slicemap", "val")
    for image_id in sections.image_ids:
        drawn = sections.load_mask(image_id)[0].any(-1)
        found = tissue_mask(sections.load_image(image_id))
        assert found[drawn].mean() > 0.97
        assert 0.2 < found.mean() < 0.6


def test_labels_on_glass_are_left_out():
    picture, inside = _disk((900, 1400), background=230, tissue=90, noise=3)
    tissue = find_tissue(picture)
    assert tissue.told and tissue.seen and tissue.share == pytest.approx(inside.mean(), abs=0.01)
    labels = np.ones(inside.shape, np.uint16)
    tissue.clip(labels)
    np.testing.assert_array_equal(labels == 1, tissue.at(inside.shape))
    large = np.ones((7000, 700), np.uint8)  # cut in several bands
    tissue.clip(large)
    np.testing.assert_array_equal(large == 1, tissue.at(large.shape))
    assert large.mean() == pytest.approx(inside.mean(), abs=0.01)


def test_where_glass_cannot_be_told_labels_stay():
    sections = EXPERIMENTS["slicemap"].load(ROOT / "datasets" / "slicemap", "train")
    pieces = []
    for image_id in sections.image_ids:
        picture = sections.load_image(image_id)
        rows, columns = np.nonzero(tissue_mask(picture))
        assert find_tissue(picture).told
        (y, h), (x, w) = ((int(v.mean()), np.ptp(v) // 4) for v in (rows, columns))
        pieces.append(np.ascontiguousarray(picture[y - h : y + h, x - w : x + w]))
    assert np.mean([find_tissue(piece).told for piece in pieces]) <= 0.1
    blank = find_tissue(np.full((50, 70, 3), 9, np.uint8))
    assert not blank.told and not blank.seen
    labels = np.ones((50, 70), np.uint8)
    blank.clip(labels)
    assert labels.all()
