import dataclasses

import numpy as np
import pytest
from section_places import coronal_place

from sebre.place.brain_atlas import BrainAtlas, make_atlas
from sebre.place.section_place import SectionPlace
from sebre.synthesis.placing.known_places import KnownPlace, anchoring_of

FRONT, BACK, DEEP = 10, 20, 21


@pytest.fixture(scope="module")
def atlas() -> BrainAtlas:
    """A brain of two halves, front and back, the lower part of the back being a part of its own."""
    labels = np.zeros((264, 160, 228), np.int64)
    labels[20:140, 20:140, 20:208] = FRONT
    labels[140:250, 20:140, 20:208] = BACK
    labels[140:250, 100:140, 20:208] = DEEP
    return make_atlas(labels, 0.05, {FRONT: (1, 10), BACK: (1, 20), DEEP: (1, 20, 21)})


@pytest.fixture
def coronal(atlas) -> SectionPlace:
    """An upright coronal section 3 mm from the front, 0.05 mm to the px."""
    return coronal_place(
        atlas,
        anchoring=np.array([[0, 0, 3.0], [0, 0.05, 0], [-0.05, 0, 5.0]]),
        shape=(160, 200),
        age_range=(40.0, 56.0),
    )


def test_the_atlas_is_small_and_the_same_on_both_sides(atlas):
    assert atlas.rows.shape == (66, 40, 29)
    places = np.array([[3.0, 4, 2], [3, 4, -2], [10, 2, 1], [10, 6.5, 1], [3, 0.2, 0], [99, 4, 0]])
    found = atlas.paths[atlas.at(places)]
    assert [row.max() for row in found] == [FRONT, FRONT, BACK, DEEP, 0, 0]
    assert list(atlas.rows_of([20])) == [False, False, True, True]
    again = BrainAtlas.from_arrays(atlas.to_arrays())
    assert (again.rows == atlas.rows).all()


def test_what_a_plane_shows(atlas):
    shares = atlas.shares(np.array([1.0, 0, 0]), np.array([10.0, 4, 0]))
    assert shares[atlas.rows_of([DEEP])].sum() == pytest.approx(1 / 3, abs=0.03)
    assert shares[atlas.rows_of([FRONT])].sum() == 0
    assert shares.sum() == pytest.approx(1)
    sagittal = atlas.shares(np.array([0, 0, 1.0]), np.array([6.0, 4, 1]))
    assert sagittal[atlas.rows_of([FRONT])].sum() == pytest.approx(120 / 230, abs=0.02)


def test_regions_that_do_not_occur_there(coronal):
    assert coronal.lacks([BACK]) and coronal.lacks([DEEP])
    assert not coronal.lacks([FRONT])
    assert not coronal.lacks([999]) and not coronal.lacks([])  # not of this atlas
    near = dataclasses.replace(coronal, center_mm=(6.5, 4.0, 0.0))
    assert not near.lacks([BACK])  # half a millimeter behind, which is within the error
    tilted = dataclasses.replace(coronal, center_mm=(4.5, 4.0, 0.0), angle_error_deg=34.0)
    assert not tilted.lacks([BACK])
    unknown = dataclasses.replace(coronal, angle_error_deg=60.0)
    assert not unknown.lacks([BACK])


def test_another_plane_is_told_only_when_it_is_clear(coronal):
    assert coronal.differs_from("sagittal") and coronal.differs_from("horizontal")
    assert not coronal.differs_from("coronal")
    assert not coronal.differs_from("any") and not coronal.differs_from("")
    slanted = (np.cos(np.radians(32)), 0.0, np.sin(np.radians(32)))
    oblique = dataclasses.replace(coronal, normal=slanted, tilt_deg=32.0)
    assert not oblique.differs_from("coronal")
    assert oblique.differs_from("horizontal")
    assert not dataclasses.replace(coronal, angle_error_deg=60.0).differs_from("sagittal")


def test_quicknii_takes_the_anchoring(coronal):
    again = anchoring_of(coronal.quicknii, coronal.shape)
    assert again == pytest.approx(coronal.anchoring, abs=1e-3)
    known = KnownPlace("coronal", again)
    assert known.angle_error(coronal) == pytest.approx(0, abs=1e-3)
    assert known.position_error(coronal, np.array([100.0, 80.0])) == pytest.approx(0, abs=1e-3)
    moved = dataclasses.replace(coronal, center_mm=(3.7, 4.0, 0.0))
    assert known.position_error(moved, np.array([100.0, 80.0])) == pytest.approx(0.7, abs=1e-3)
    assert known.turn_error(coronal) == pytest.approx(0, abs=1e-3)


def test_it_is_told_in_words_and_numbers(coronal):
    assert coronal.at(60, 20) == pytest.approx((3.0, 1.0, 2.0))
    text = coronal.text()
    assert "coronal" in text and "3.0 mm" in text and "P40 to adult" in text
    turned = dataclasses.replace(coronal, turn_deg=-90.0)
    assert "by 90 degrees clockwise" in turned.text()
    facts = coronal.to_json()
    assert facts["plane"] == "coronal" and facts["position_mm"] == 3.0
    unknown = dataclasses.replace(coronal, angle_error_deg=80.0)
    assert unknown.text() == "plane not known" and unknown.to_json()["plane"] is None
