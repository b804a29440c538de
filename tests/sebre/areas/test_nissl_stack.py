"""Areas in the drawings of the Nissl plates."""

import numpy as np
import pytest
from lacking import without_data
from plates import make

from mrcnn.errors import UserError
from sebre.areas.nissl_stack import nissl_stack
from sebre.prepare.build import build
from sebre.prepare.sources import read_source
from sebre.prepare.sources.ara_areas import AREAS, CORTEX, LAYERS, cortex_classes


def test_layers_of_an_area_are_one_class_and_areas_of_a_layer_too():
    names, areas = cortex_classes("areas")
    assert names == CORTEX and len(AREAS) == 17
    visp = names.index("VISp") + 1
    assert [areas[n] for n in (593, 821, 721, 778, 33, 305)] == [visp] * 6
    assert areas[897] == len(CORTEX)  # VISC1 stands on few plates
    _, layers = cortex_classes("layers")
    assert [LAYERS[layers[n] - 1] for n in (593, 821, 721, 778, 33, 305)] == list(LAYERS)
    assert LAYERS[layers[810] - 1] == "6a"  # "ACAv 6a" lacks the word layer
    with pytest.raises(UserError, match="areas, layers and regions"):
        cortex_classes("nuclei")


def drawn_with(raw, structures):
    """Gives the made-up plates of a folder areas in place of hippocampus."""
    for path in (raw / "svg").glob("*.svg"):
        text = path.read_text()
        for old, new in structures.items():
            text = text.replace(f'structure_id="{old}"', f'structure_id="{new}"')
        path.write_text(text)


def test_plates_are_prepared_with_areas(tmp_path):
    make(tmp_path / "raw", [71, 76, 80])
    drawn_with(tmp_path / "raw", {407: 593, 415: 821, 446: 873})
    raw_set = read_source("ara-nissl", tmp_path / "raw", {"structures": "areas"})
    assert [s.facts["plate"] for s in raw_set.sections] == [62, 71, 76, 80, 94]
    _, masks = raw_set.sections[1].read()
    sizes = {raw_set.regions.names[n - 1]: int(mask.sum()) for n, mask in masks.items()}
    assert sizes == {"VISp": 128, "other": 64}
    build(raw_set, tmp_path / "out", split="section:1")
    assert (tmp_path / "out" / "sections.csv").read_text().count("VISp") == 3
    layers = read_source("ara-nissl", tmp_path / "raw", {"structures": "layers"})
    assert layers.regions.names[1] == "2-3"
    with pytest.raises(UserError, match="nuclei"):
        read_source("ara-nissl", tmp_path / "raw", {"structures": "nuclei"})


def test_the_frame_begins_at_the_midline(tmp_path):
    make(tmp_path / "raw", [71])
    drawn_with(tmp_path / "raw", {407: 593})
    stack = nissl_stack(tmp_path / "raw", pixel_um=8.0)
    assert stack.names == ("62", "71", "94") and stack.z_mm.tolist() == pytest.approx(
        [6.2, 7.1, 9.4]
    )
    # A pixel of the plate is 8 um; the square lies 8 to 16 pixels right of the midline.
    rows, columns = np.nonzero(stack.labels[1] == stack.areas.index("VISp") + 1)
    assert (columns.min(), columns.max()) == (8, 15)
    assert rows.max() - rows.min() == 7
    left = nissl_stack(tmp_path / "raw", 8.0, "left")
    assert left.labels is None and left.images.shape == stack.images.shape


def test_plates_that_are_there(data_dir, tmp_path):
    raw = data_dir / "ara_nissl_hippocampus"
    if not raw.is_dir():
        without_data(f"{raw} is not there.")
    for folder in ("nissl", "svg"):
        (tmp_path / folder).symlink_to(raw / folder)
    lines = (raw / "alignment.csv").read_text("utf-8").splitlines()
    chosen = [line for line in lines if line.split(",")[0] in ("plate", "62", "82", "90")]
    (tmp_path / "alignment.csv").write_text("\n".join(chosen))
    stack = nissl_stack(tmp_path, 34.0)
    there = [{stack.areas[n - 1] for n in np.unique(drawn) if n} for drawn in stack.labels]
    assert "MOp" in there[0] and "VISp" not in there[0]
    assert {"VISp", "RSPv", "AUDp", "PERI"} <= there[1]
    assert ((stack.labels > 0) == (stack.layers > 0)).mean() > 0.999
    # Cortex has cells; what surrounds the brain is dark.
    assert stack.images[stack.labels > 0].mean() > 40
    assert stack.images[:, :2].mean() < 10
