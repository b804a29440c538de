"""What a layer of labels keeps, and its table of areas."""

import numpy as np
import pytest

from mrcnn.errors import UserError
from sebre.data.regions import SLICEMAP
from sebre.viewer.label_layers import (
    CHANGED,
    KEY,
    area_rows,
    facts_of,
    labels_layer,
    pixel_of,
    scale_of,
)

LABELS = np.zeros((6, 8), int)
LABELS[:3, :4], LABELS[4:, 2:] = 1, 3


def test_a_layer_has_names_and_colors():
    data, attributes, kind = labels_layer(LABELS, SLICEMAP, "one", (20.0, 10.0), network="mine")
    assert kind == "labels" and data.dtype == np.uint8 and (data == LABELS).all()
    colors = attributes["colormap"]
    assert colors[None][3] == colors[0][3] == 0, "what is no region is clear"
    assert [tuple(np.rint(colors[r.id] * 255)) for r in SLICEMAP] == [
        (*region.color, 255) for region in SLICEMAP
    ]
    assert attributes["features"]["region"].tolist() == ["none", *SLICEMAP.names]
    facts = facts_of(attributes["metadata"], "one")
    assert facts["regions"] is SLICEMAP and facts["network"] == "mine"
    assert pixel_of(attributes["scale"], attributes["units"]) == (20.0, 10.0)


@pytest.mark.parametrize(
    ("scale", "units", "um"),
    [
        ((2, 3), ("micrometer", "micrometer"), (2, 3)),
        ((0.002, 0.003), ("millimeter", "millimeter"), (2, 3)),
        ((5, 500, 250), ("micrometer", "nanometer", "nanometer"), (0.5, 0.25)),
        ((2, 3), ("pixel", "pixel"), None),
        ((2, 3), ("micrometer", "pixel"), None),
        ((2, 3), None, None),
    ],
)
def test_only_lengths_are_pixel_sizes(scale, units, um):
    assert pixel_of(scale, units) == (um and pytest.approx(um))
    assert scale_of(None) == {}


def test_areas_are_of_what_is_drawn_now():
    said = {1: {"score": 0.9, "doubts": ""}, 2: {"doubts": "not found"}, 3: {"score": 0.8}}
    _, attributes, _ = labels_layer(LABELS, SLICEMAP, "one", found=LABELS.copy(), said=said)
    facts = facts_of(attributes["metadata"], "one")
    before = {row["region"]: row for row in area_rows(LABELS, facts, (100.0, 50.0))}
    assert before["cortex"] == {
        **{"region": "cortex", "area_px": 12, "area_mm2": 0.06},
        **{"score": 0.9, "doubts": ""},
    }
    assert before["hippocampus"]["doubts"] == "not found" and before["hippocampus"]["area_px"] == 0
    drawn = LABELS.copy()
    drawn[0, 0], drawn[5, 0] = 0, 1  # as large as before, and elsewhere
    after = {row["region"]: row for row in area_rows(drawn, facts, None)}
    assert after["cortex"] == {"region": "cortex", "area_px": 12, "doubts": CHANGED}
    assert after["thalamus"] == {"region": "thalamus", "area_px": 12, "score": 0.8}


def test_foreign_layers_and_labels_are_refused():
    with pytest.raises(UserError, match="Labels: does not say which regions its numbers are"):
        facts_of({}, "Labels")
    with pytest.raises(UserError, match="1 px have the label 7, which is no region; wanted 0"):
        wrong = LABELS.copy()
        wrong[0, 0] = 7
        area_rows(wrong, {"regions": SLICEMAP}, None)
    with pytest.raises(UserError, match="has 3 dimensions; wanted one section"):
        area_rows(LABELS[None], {"regions": SLICEMAP}, None)
    assert KEY == "sebre"
