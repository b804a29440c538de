import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from paths import ROOT

from sebre.data.dataset import SectionDataset
from sebre.data.regions import SLICEMAP
from sebre.data.rotation import rotated_versions
from sebre.drawing.overlay import label_map
from sebre.evaluation.mask_metrics import dice
from sebre.registration import atlas_choice as registration_atlas
from sebre.registration import lddmm
from sebre.registration import methods as registration_methods
from sebre.registration import transform as registration
from sebre.registration.atlas_choice import (
    choose_atlas,
    near,
    normalized_mutual_information,
    positions,
)
from sebre.registration.methods import RegistrationError
from sebre.registration.transform import register, settings

SECTIONS = ROOT / "datasets" / "slicemap"
LIVE = ("elastix", "dipy", "lddmm")


@pytest.fixture(scope="module")
def sections() -> SectionDataset:
    dataset = SectionDataset(SLICEMAP).load(SECTIONS, "train")
    dataset.prepare()
    return dataset


@pytest.fixture(scope="module")
def atlas(sections) -> tuple[np.ndarray, np.ndarray]:
    """A training section and its label map."""
    masks, class_ids = sections.load_mask(0)
    labels = label_map(class_ids, np.zeros(len(class_ids)), masks, masks.shape)
    return sections.load_image(0), labels


@pytest.fixture
def few_iterations(monkeypatch):
    for stage in (registration_methods.AFFINE, registration_methods.B_SPLINE):
        monkeypatch.setitem(stage, "MaximumNumberOfIterations", "20")
    monkeypatch.setitem(registration_methods.SYN["syn_iterations"], "level_iters", [5, 3])
    monkeypatch.setitem(registration_methods.SYN["affine"], "level_iters", [5, 3, 2])
    monkeypatch.setitem(registration_methods.SYN["start"], "turns", [0])
    monkeypatch.setitem(lddmm.SETTINGS, "iterations", [5, 3, 2])
    monkeypatch.setattr(registration, "WORKING_PX", 64)


def warped(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sheared, moved, enlarged and bent smoothly by up to 2 px."""
    rows, columns = np.indices(labels.shape, np.float32)
    y, x = rows - 42, columns - 42
    at_row = 42 + 0.92 * y + 0.10 * x - 3 + 2 * np.sin(columns / 12)
    at_column = 42 - 0.05 * y + 0.95 * x + 4 + 2 * np.cos(rows / 14)
    maps = at_column.astype(np.float32), at_row.astype(np.float32)
    return (
        cv2.remap(image, *maps, cv2.INTER_LINEAR),
        cv2.remap(labels, *maps, cv2.INTER_NEAREST),
    )


def turned(image: np.ndarray, labels: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    masks = {int(i): labels == i for i in np.unique(labels) if i}
    _, _, image, masks = next(rotated_versions(image, masks, enlarge=True, angles=(angle,)))
    carried = np.zeros(image.shape[:2], labels.dtype)
    for class_id, mask in masks.items():
        carried[mask] = class_id
    return image, carried


def mean_dice(labels: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([dice(labels == i, truth == i) for i in np.unique(truth) if i]))


@pytest.mark.parametrize("method", LIVE)
def test_a_known_warp_is_found(atlas, monkeypatch, method):
    monkeypatch.setattr(registration, "WORKING_PX", 96)
    image, labels = atlas
    fixed, truth = turned(*warped(image, labels), 20)
    before = mean_dice(register("none", image, fixed).labels(labels), truth)
    found = register(method, image, fixed)
    carried = found.labels(labels)
    assert carried.shape == truth.shape and carried.dtype == labels.dtype
    assert set(np.unique(carried)) == set(np.unique(labels))
    assert before < 0.75
    assert mean_dice(carried, truth) > 0.9
    assert found.seconds > 0 and found.threads == 1
    assert found.parameters["package"].split()[0] in ("itk-elastix", "dipy")
    assert settings(method) == (json.loads(json.dumps(found.parameters)), found.threads)


def test_dipy_finds_a_turn_beyond_the_nearest_optimum(monkeypatch):
    # Spokes that are 24 degrees apart: from 0, those turned by 20 look like turned by -4.
    rows, columns = np.indices((96, 96)) - 47.5
    angle, inside = np.arctan2(rows, columns), np.hypot(rows, columns) < 40
    spokes = 120 + 60 * np.cos(15 * angle) + 50 * np.cos(angle)
    image = np.where(inside, spokes, 0).astype(np.uint8)[..., None].repeat(3, axis=-1)
    labels = np.where(inside, 1 + (angle > 0) + 2 * (np.abs(angle) > np.pi / 2), 0)
    fixed, truth = turned(image, labels.astype(np.uint8), 20)
    monkeypatch.setattr(registration, "WORKING_PX", 96)
    monkeypatch.setitem(registration_methods.SYN["syn_iterations"], "level_iters", [1])
    found = register("dipy", image, fixed)
    assert found.parameters["start"]["turns"] == [-30, -20, -10, 0, 10, 20, 30]
    assert mean_dice(found.labels(labels), truth) > 0.95
    monkeypatch.setitem(registration_methods.SYN["start"], "turns", [0])
    assert mean_dice(register("dipy", image, fixed).labels(labels), truth) < 0.8


@pytest.mark.parametrize("method", LIVE)
def test_runs_with_one_seed_are_identical(atlas, few_iterations, method):
    image, labels = atlas
    fixed, _ = warped(image, labels)
    one, same = (register(method, image, fixed, seed=3).points for _ in range(2))
    np.testing.assert_array_equal(one, same)
    if method == "elastix":
        other = register(method, image, fixed, seed=4).points
        assert np.abs(one - other).max() > 1e-3
        assert register(method, image, fixed, threads=2).threads == 2


def test_elastix_writes_nothing(atlas, few_iterations, capfd, tmp_path, monkeypatch):
    image, labels = atlas
    monkeypatch.chdir(tmp_path)
    register("elastix", image, warped(image, labels)[0])
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", LIVE)
def test_a_section_without_a_picture_is_refused(atlas, method):
    nothing = np.full((50, 60), 9, np.uint8)
    with pytest.raises(RegistrationError, match=f"fixed section has one gray.*{method}"):
        register(method, atlas[0], nothing)
    with pytest.raises(RegistrationError, match="moving section has one gray"):
        register(method, nothing, atlas[0])


def test_no_registration_stretches_the_atlas(atlas):
    image, labels = atlas
    large = np.zeros((2 * labels.shape[0], 3 * labels.shape[1]), np.uint8)
    found = register("none", image, large)
    np.testing.assert_array_equal(found.labels(labels), labels.repeat(2, 0).repeat(3, 1))
    np.testing.assert_array_equal(register("none", image, image).labels(labels), labels)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int64])
def test_labels_are_never_mixed(dtype):
    labels = np.zeros((40, 50), dtype)
    labels[5:20, 5:25], labels[20:35, 10:40] = 1, 1 if dtype is bool else 9
    points = np.moveaxis(np.indices((60, 70)), 0, -1) * 0.9 - 3.3
    found = registration.Transform("none", points, (40, 50), {}, 0.0, 1).labels(labels)
    assert found.dtype == dtype and set(np.unique(found)) == set(np.unique(labels))
    assert not found[:3].any()
    assert found[20, 20] == labels[round(20 * 0.9 - 3.3), round(20 * 0.9 - 3.3)]


def test_labels_must_be_of_the_atlas(atlas):
    image, labels = atlas
    found = register("none", image, image)
    with pytest.raises(ValueError, match=r"shape \(10, 84\).*registered \(84, 84\)"):
        found.labels(labels[:10])


@pytest.mark.parametrize("shape", [(100, 130), (600, 333)])
def test_working_size_leaves_a_known_map_as_it_is(monkeypatch, shape):
    # Half of the size and a shift, as points between the resized pictures.
    def points(moving, fixed):
        at = (np.moveaxis(np.indices(fixed.shape), 0, -1) + 0.5) / fixed.shape
        return at * 0.5 * moving.shape + 7 * moving.shape[0] / 200 - 0.5

    method = registration_methods.Method(points, {}, 1)
    monkeypatch.setattr(registration, "_METHODS", {"dipy": lambda seed, threads: method})
    moving, fixed = (np.eye(*size, dtype=np.uint8) for size in ((200, 200), shape))
    found = register("dipy", moving, fixed).points
    at = (np.moveaxis(np.indices(shape), 0, -1) + 0.5) / shape
    np.testing.assert_allclose(found, at * 100 + 7 - 0.5, atol=1e-3)


@pytest.mark.parametrize(("method", "module"), [("elastix", "itk"), ("dipy", "dipy")])
def test_a_missing_package_is_named(atlas, monkeypatch, method, module):
    for name in [n for n in sys.modules if n.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "sebre\[registration\]"'):
        register(method, atlas[0], atlas[0])


def test_the_packages_are_loaded_when_used():
    code = "import sys, sebre.registration.atlas_choice; print({'itk', 'dipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "ndreg"}, "ndreg.*none, elastix, dipy"),
        ({"threads": 0}, "threads is 0"),
        ({"seed": -1}, "seed -1"),
        ({"fixed": np.zeros((20, 20))}, "float64"),
        ({"fixed": np.zeros((1, 20), np.uint8)}, "1 x 20 px"),
    ],
)
def test_wrong_arguments_are_told(atlas, change, message):
    with pytest.raises(ValueError, match=message):
        register(**{"method": "none", "moving": atlas[0], "fixed": atlas[0], **change})


def test_a_bright_background_is_made_dark(atlas):
    image = atlas[0]
    np.testing.assert_allclose(registration.gray(255 - image), registration.gray(image), atol=1e-6)


def test_mutual_information_of_known_pictures():
    half = np.zeros((8, 8), np.float32)
    half[:4] = 1
    assert normalized_mutual_information(half, half) == pytest.approx(2)
    assert normalized_mutual_information(half, 1 - half) == pytest.approx(2)
    assert normalized_mutual_information(half, half.T) == pytest.approx(1)
    assert normalized_mutual_information(half * 0, half * 0) == 1


def test_the_atlas_is_the_most_similar_section(sections):
    pictures = [sections.load_image(i) for i in sections.image_ids[:8]]
    shifted = np.roll(pictures[5], (4, -5), (0, 1))
    for angle in (0, 20):
        section, _ = turned(shifted, np.zeros(shifted.shape[:2], np.uint8), angle)
        found = choose_atlas(section, pictures)
        assert found.index == 5
        assert found.similarity > 1.3
        # Another one where it is not among the candidates.
        other = choose_atlas(section, pictures, [0, 1, 2, 3])
        assert other.index in (0, 1, 2, 3) and other.similarity < found.similarity
    with pytest.raises(ValueError, match="no sections"):
        choose_atlas(section, [])


def test_candidates_are_near_in_the_brain(tmp_path, monkeypatch):
    monkeypatch.setattr(registration_atlas, "NEAREST", 2)
    table = "subset,section,slice,plate\nval,0,12,\ntrain,0,,3\ntrain,1,10,\ntrain,2,13,\n"
    (tmp_path / "sections.csv").write_text(table, encoding="utf-8")
    places = positions(tmp_path)
    assert places == {"val/0": 12, "train/0": 3, "train/1": 10, "train/2": 13}
    assert near("val/0", ["train/0", "train/1", "train/2"], places) == [1, 2]
    # Not known: all of them.
    assert near("val/9", ["train/0", "train/1", "train/2"], places) == [0, 1, 2]
    assert near("val/0", ["train/0", "train/1", "train/9"], places) == [0, 1, 2]
    assert positions(tmp_path / "nowhere") == {}
