import dataclasses
import json
from itertools import islice

import numpy as np
import pytest

from sebre.networks.any_section import build_network
from sebre.place.atlas_frame import CENTER_MM, UNIT_MM
from sebre.place.place_network import GRID, build_head, feature_model, load_head
from sebre.synthesis.classes import Structure, structure_table
from sebre.synthesis.curriculum import EASY
from sebre.synthesis.labeled_volume import make_volume
from sebre.synthesis.placing import learn_place
from sebre.synthesis.placing.common_frame import Reference
from sebre.synthesis.placing.known_places import known_place, real_places
from sebre.synthesis.placing.learn_place import PlaceSettings, train_place
from sebre.synthesis.placing.placed_sections import age_of, cell_targets, placed_sections

STILL = dataclasses.replace(EASY, bend=0, growth=0, partial=0, damage=0, tilt_deg=0)


def blocks(shape, sizes):
    """An ellipsoid in blocks: Allen numbers 101, 102, ... along all three axes, two sides alike."""
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    a, d, m = (axis / size for axis, size in zip(grid, sizes, strict=True))
    inside = a**2 + d**2 + m**2 < 1
    number = 3 * np.clip(((a + 1) * 2.5).astype(int), 0, 4) + np.clip((d + 1) * 1.5, 0, 2).astype(
        int
    )
    return np.where(inside, 101 + number + 20 * (np.abs(m) > 0.4), 0)


@pytest.fixture(scope="module")
def reference() -> Reference:
    labels = blocks((66, 40, 57), (0.9, 0.9, 0.85))
    numbers = [int(n) for n in np.unique(labels) if n]
    # All of the isocortex, so that they have a class.
    tree = {n: Structure(n, f"s{n}", f"s{n}", (997, 315, n)) for n in numbers}
    return Reference(labels, tree, 0.2)


@pytest.fixture(scope="module")
def volume(reference):
    """The same brain, smaller, at 0.2 mm."""
    labels = blocks((60, 36, 54), (0.8, 0.95, 0.9))
    ids, rows = np.unique(labels, return_inverse=True)
    table = structure_table([int(n) for n in ids], reference.tree)
    image = 100.0 * (labels > 0) + labels
    return make_volume("brain_P14", "brains", rows.reshape(labels.shape), table, (image,), 0.2)


@pytest.fixture(scope="module")
def frame(reference, volume):
    return reference.frame_of(volume)


def test_landmarks_bring_a_brain_into_the_frame_of_the_atlas(reference, volume, frame):
    assert frame.landmarks >= 30 and frame.misfit_mm < 0.2
    # The ends of the ellipsoid in voxels, and where they are in the atlas.
    middle = np.array(volume.labels.shape) / 2 - 0.5
    assert frame.places(middle[None])[0] == pytest.approx([6.6, 4.0, 0.0], abs=0.25)
    front = middle - [0.8 * 60 / 2, 0, 0]
    assert frame.places(front[None])[0] == pytest.approx([6.6 - 0.9 * 6.6, 4, 0], abs=0.3)
    side = middle + [0, 0, 0.9 * 54 / 2]
    assert frame.places(side[None])[0] == pytest.approx([6.6, 4, 0.85 * 5.7], abs=0.3)


def test_a_brain_without_landmarks_is_refused(reference, volume):
    table = dataclasses.replace(volume.table, ids=volume.table.ids + 5000)
    with pytest.raises(ValueError, match="0 landmarks"):
        reference.frame_of(dataclasses.replace(volume, table=table))


def test_the_truth_is_where_the_plane_was_cut(volume, frame):
    for placed in islice(placed_sections([volume], {volume.name: frame}, 3, recipe=STILL), 12):
        plane = placed.section.plane
        known = known_place(placed)
        linear = frame.matrix[:, :3] / volume.voxel_mm
        wanted = np.cross(linear @ plane.frame[1], linear @ plane.frame[0])
        cosine = abs(known.normal @ wanted) / np.linalg.norm(wanted)
        assert np.degrees(np.arccos(min(cosine, 1))) < 2
        assert known.plane == plane.name
        assert placed.age_days == 14


def test_cells_have_the_mean_place_of_their_tissue(volume, frame):
    placed = next(placed_sections([volume], {volume.name: frame}, 5, recipe=STILL))
    cells, share = cell_targets(placed)
    assert cells.shape == (GRID, GRID, 3) and share.shape == (GRID, GRID)
    row, column = np.argwhere(share == share.max())[0]
    part = np.s_[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
    tissue = placed.tissue[part]
    mean = placed.places[part][tissue]
    mean[:, 2] = np.abs(mean[:, 2])
    assert cells[row, column] * UNIT_MM + CENTER_MM == pytest.approx(mean.mean(0), abs=1e-3)
    assert share[row, column] == pytest.approx(tissue.mean())


def test_ages_are_those_of_the_names():
    assert age_of("demba_P14") == 14 and age_of("demba_P56") == 56
    assert age_of("tg4510_tp3_4_20130521_WT") == 56 and age_of("old_P900") == 56


def test_a_head_learns_and_is_kept(volume, frame, tmp_path, monkeypatch):
    monkeypatch.setattr(learn_place, "_WARMUP_STEPS", 2)
    network = build_network(160, (4, 4, 4, 8, 8), 10)
    settings = PlaceSettings(width=8, batch_size=4, sections=12, seed=1)
    head = train_place(network, [volume], {volume.name: frame}, tmp_path, settings)
    with np.load(tmp_path / "last.npz") as file:
        arrays = dict(file)
    again = build_head(feature_model(network), 8)
    load_head(again, arrays)
    inputs = [np.ones((1, *part.shape[1:]), np.float32) for part in head.inputs]
    for one, other in zip(head(inputs), again(inputs), strict=True):
        assert np.asarray(one) == pytest.approx(np.asarray(other), abs=0.05)
    log = (tmp_path / "log.csv").read_text().splitlines()
    assert log[0] == "sections,s,loss" and log[-1].startswith("12,")
    assert json.loads((tmp_path / "settings.json").read_text())["width"] == 8
    with pytest.raises(KeyError):
        load_head(again, {name: arrays[name] for name in list(arrays)[1:]})


def test_real_sections_with_known_places(data_dir):
    found = {section.image: section.known for section in real_places(data_dir)}
    # DeepSlice: 486.4 - 264.2 voxels of 25 um from the back end.
    known = found["deepslice_glta/glta_s089.jpg"]
    assert known.plane == "coronal"
    assert abs(known.normal[0]) > 0.99
    assert known.anchoring @ [448, 293, 1] == pytest.approx([6.6, 4.6, 0.4], abs=0.5)
    assert found["ara_nissl_plates/ara062.jpg"].position_mm == pytest.approx(6.33, abs=0.01)
    assert found["leiras_micro/micro_test_63.jpg"].position_mm == pytest.approx(6.43, abs=0.01)
    assert found["ptm902_nissl/ptm_0222.jpg"].anchoring is None
    assert found["pynutil_brainglobe/bg_horizontal_s221.jpg"].plane == "horizontal"
    assert not any("embryo" in name for name in found)
