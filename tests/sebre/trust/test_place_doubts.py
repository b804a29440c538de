import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from section_places import coronal_place

from sebre.data.regions import ANY_SECTION, MOUSE, SLICEMAP
from sebre.place.brain_atlas import BrainAtlas
from sebre.place.section_place import SectionPlace
from sebre.predict.measures import place_cells, region_rows
from sebre.trust import place_doubts, place_scores
from sebre.trust.place_doubts import NOT_IN_PLANE, PlaceDoubts, doubts_at, find_place, with_place
from sebre.trust.remarks import Remark
from sebre.trust.trust_model import RegionTrust, SectionTrust

CORTEX, CEREBELLUM = 315, 512


class Known:
    """Stands for a segmenter of which the manifest knows something."""

    def __init__(self, plane="sagittal", species="mouse", regions=ANY_SECTION):
        self.weights = dataclasses.make_dataclass("Weights", ["entry"])(
            {"plane": plane, "species": species}
        )
        self.regions = regions


@pytest.fixture
def front() -> SectionPlace:
    """A coronal section through the front, where there is cortex but no cerebellum."""
    rows = np.ones((66, 40, 29), np.uint16)
    rows[40:] = 2
    atlas = BrainAtlas(rows, np.array([[0, 0], [997, CORTEX], [997, CEREBELLUM]]))
    return coronal_place(
        atlas,
        anchoring=np.array([[0, 0, 3.0], [0, 0.2, 0], [-0.2, 0, 2.0]]),
        shape=(40, 20),
        age_range=(50.0, 56.0),
    )


def test_another_plane_is_a_warning(front):
    doubts = doubts_at(front, Known("sagittal"))
    assert len(doubts.warnings) == 1
    assert doubts.warnings[0].startswith(f"{NOT_IN_PLANE}: it looks coronal")
    assert "sagittal" in doubts.warnings[0]
    assert doubts_at(front, Known("coronal")).warnings == ()
    assert doubts_at(front, Known("any")).warnings == ()


def test_regions_that_do_not_occur_there_are_known(front):
    # Only the two of the atlas are known to be somewhere.
    assert doubts_at(front, Known()).lacking == {8}
    assert doubts_at(front, Known(regions=MOUSE)).lacking == {7}
    assert doubts_at(front, Known(regions=SLICEMAP)).lacking == frozenset()


def test_of_other_species_and_unknown_places_nothing_is_said(front):
    assert doubts_at(front, Known(species="human")) == PlaceDoubts()
    assert doubts_at(None, Known()) == PlaceDoubts()
    assert doubts_at(front, object()) == PlaceDoubts()


def test_it_is_looked_for_in_mice_or_when_asked(front, monkeypatch):
    class Placer:
        def place(self, picture, shape):
            assert picture.shape == (10, 5, 3) and tuple(shape[:2]) == (10, 5)
            return front

    monkeypatch.setattr(place_doubts, "load_placer", Placer)
    picture = np.zeros((10, 5, 3), np.uint8)
    assert find_place(Known(), picture) is front
    assert find_place(Known(species="human"), picture) is None
    assert find_place(object(), picture) is None
    assert find_place(object(), picture, wanted=True) is front
    assert find_place(Known(), picture, wanted=False) is None
    monkeypatch.setattr(place_doubts, "load_placer", lambda: None)
    assert find_place(Known(), picture) is None


def test_the_table_says_so(front):
    labels = np.zeros((40, 20), np.uint8)
    labels[5:15, 5:15], labels[20:30, 5:15] = 1, 8
    masks = labels[..., None] == np.array([1, 8])
    result = {"class_ids": np.array([1, 8]), "scores": np.array([0.9, 0.8]), "masks": masks}
    trust = {8: RegionTrust(0.5, ("expected Dice 0.50, below 0.70",))}
    rows = region_rows("s", result, ANY_SECTION, labels, trust=trust, lacking={4, 8})
    by_id = {row["region_id"]: row for row in rows}
    assert "flags" not in by_id[1]
    assert by_id[8]["flags"] == f"expected Dice 0.50, below 0.70; {NOT_IN_PLANE}"
    assert by_id[8]["expected_dice"] == 0.5
    assert by_id[4]["reason"] == NOT_IN_PLANE
    assert by_id[5]["reason"] == "not found"
    cells = place_cells(front, by_id[1])
    assert cells == {
        **{"plane": "coronal", "position_mm": 3.0, "position_error_mm": 0.4},
        **{"ap_mm": 3.0, "dv_mm": 2.0, "ml_mm": 0.0},
    }
    assert "ap_mm" not in place_cells(front, by_id[4])
    assert place_cells(None, by_id[1]) == {}
    assert place_cells(dataclasses.replace(front, angle_error_deg=80.0), by_id[1]) == {}


def test_what_it_adds_to_trust_is_counted(front, monkeypatch):
    labels = np.zeros((40, 20), np.uint8)
    labels[5:15], labels[20:30] = 1, 8
    masks = labels[..., None] == np.array([1, 8])

    class Finds(Known):
        config = dataclasses.make_dataclass("Config", ["CONTRAST"])("bits")

        def detect(self, images):
            ids = {"class_ids": np.array([1, 8]), "scores": np.array([0.9, 0.8])}
            return [{**ids, "masks": masks}] * len(images)

    class Sections:
        image_ids = (0, 1)

        def load_image(self, image_id):
            return np.zeros((40, 20, 3), np.uint8)

        def load_mask(self, image_id):  # of the first section the second region is not drawn
            return masks[..., : 1 + image_id], np.array([1, 8])[: 1 + image_id]

    class Model:
        def assess(self, *args):
            return SectionTrust(
                True, regions={1: RegionTrust(0.9, ("small",)), 8: RegionTrust(0.8)}
            )

    monkeypatch.setattr(place_scores, "find_place", lambda *args: front)
    record = place_scores.score_places(Model(), Finds(), Sections())
    assert (record["n_sections"], record["n_warned"], record["n_warned_with_place"]) == (2, 0, 2)
    assert (record["n_regions"], record["flagged"], record["flagged_with_place"]) == (4, 2, 4)
    assert record["found"] == {"n": 2, "dice": 0.5}
    assert record["not_found"] == {"n": 0, "drawn": 0}
    assert json.loads(json.dumps(record)) == record


def test_a_plane_speaks_for_a_section_that_the_network_is_unsure_of():
    network, coronal = (
        SimpleNamespace(weights=SimpleNamespace(entry={"species": "mouse", "plane": plane}))
        for plane in ("any", "coronal")
    )
    told, untold = SimpleNamespace(angle_error_deg=44.0), SimpleNamespace(angle_error_deg=46.0)
    unsure, other = Remark("unsure", "unsure"), Remark("no_tissue", "none")
    assert with_place([unsure, other], told, network) == (other,)
    (said,) = with_place([], untold, network)
    assert said.kind == "unsure" and "within 45 degrees" in str(said)
    assert len(with_place([unsure], untold, network)) == 1
    assert with_place([unsure], None, network) == with_place([unsure], told, coronal) == (unsure,)
