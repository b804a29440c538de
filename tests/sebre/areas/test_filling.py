"""Training on annotated sections, and filling those between."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from mrcnn.errors import UserError
from sebre.areas.alignment import Alignment
from sebre.areas.area_prediction import load_area_network
from sebre.areas.area_samples import Augmentation
from sebre.areas.area_scores import mean_dice, score_areas
from sebre.areas.area_training import AreaSettings, train_areas
from sebre.areas.atlas_prior import Neighbors, PriorDraw
from sebre.areas.filled_files import (
    as_obj,
    enclosed,
    mesh,
    open_edges,
    regular,
    write_filled,
)
from sebre.areas.filling import FillSettings, between, expected_dice, fill
from sebre.areas.stacks import Stack, open_stack
from sebre.viewer.layer_files import read_layers

TINY = AreaSettings(
    steps=60,
    batch=4,
    patch=32,
    detail_widths=(8, 8, 12),
    context_widths=(8, 8),
    learning_rate=1e-2,
    prior=PriorDraw(absent=0.2, wrong=0.0, own=0.4, furthest=9),
    augmentation=Augmentation(elastic_um=20, prior_um=50),
)


def dice(labels, stack, numbers):
    scores = [score_areas(labels[n], stack.labels[n], stack.areas, stack.names[n]) for n in numbers]
    return mean_dice(scores)


@pytest.fixture(scope="module")
def run(stack, neighbors, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "network"
    return train_areas(stack, [0, 6], out, TINY, neighbors), out


def test_the_network_learns_to_see_areas(run, stack):
    network, _ = run
    found = np.stack([network.predict(image).argmax(-1) for image in stack.images])
    assert dice(found, stack, [2, 3, 4]) > 0.75  # without a prior: by their gray


def test_a_run_is_loaded_as_it_was_and_goes_on(run, stack, neighbors):
    network, out = run
    loaded = load_area_network(out)
    image = stack.images[3]
    assert np.array_equal(network.predict(image), loaded.predict(image))
    again = train_areas(stack, [0, 6], out, TINY, neighbors)  # done: nothing is trained
    assert np.array_equal(network.predict(image), again.predict(image))
    # Of several runs the mean of the probabilities counts; they must be of one kind.
    other = train_areas(stack, [0, 6], out.with_name("other"), replace(TINY, seed=1), neighbors)
    both = load_area_network(out, out.with_name("other"))
    mean = (network.predict(image) + other.predict(image)) / 2
    assert np.allclose(both.predict(image), mean, atol=1e-6)
    with pytest.raises(UserError, match="seed was 0, is 1"):
        train_areas(stack, [0, 6], out, replace(TINY, seed=1), neighbors)


def test_settings_and_sections_that_cannot_work(stack, tmp_path):
    with pytest.raises(UserError, match="multiple of 16"):
        train_areas(stack, [0], tmp_path / "a", replace(TINY, patch=40))
    empty = replace(stack, labels=np.zeros_like(stack.labels))
    with pytest.raises(UserError, match="Nothing is drawn on section 60"):
        train_areas(empty, [0], tmp_path / "b", TINY)
    with pytest.raises(UserError, match="two or more"):
        between(stack, [2, 3])
    with pytest.raises(UserError, match="No method"):
        FillSettings(method="guess")


def test_labels_between_annotated_sections_are_not_looked_at(stack):
    part, annotated = between(stack, [5, 1])
    assert part.names == ("61", "62", "63", "64", "65") and annotated == [0, 4]
    assert not part.labels[1:4].any()
    assert np.array_equal(part.labels[0], stack.labels[1])


@pytest.mark.parametrize(("method", "least"), [("shapes", 0.95), ("carried", 0.75)])
def test_a_gap_is_filled_without_a_network(stack, tmp_path, method, least):
    settings = FillSettings(method=method, registration="none", smooth=0.0)
    filled = fill(stack, [0, 6], tmp_path / "out", settings)
    assert dice(filled.stack.labels, stack, [1, 2, 3, 4, 5]) > least
    assert np.array_equal(filled.stack.labels[6], stack.labels[6])
    assert filled.confidence[[0, 6]].tolist() == [1, 1]
    assert filled.confidence[3] < filled.confidence[2] < filled.confidence[1] < 1
    assert filled.next_section == 3


def test_a_network_helps_where_areas_moved(stack, run, tmp_path):
    network, _ = run
    settings = FillSettings("combined", registration="none")
    filled = fill(stack, [0, 6], tmp_path / "out", settings, lambda: network)
    carried = fill(
        stack, [0, 6], tmp_path / "out", replace(settings, method="carried"), lambda: network
    )
    inside = [2, 3, 4]
    assert dice(filled.stack.labels, stack, inside) > dice(carried.stack.labels, stack, inside)


def test_what_was_done_is_not_done_again(stack, run, tmp_path, monkeypatch):
    network, out = run
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "network").symlink_to(out)
    monkeypatch.setattr("keras.Model.train_on_batch", lambda *args: pytest.fail("trained again"))
    settings = FillSettings("network", registration="none", training=TINY)
    filled = fill(stack, [0, 6], tmp_path / "out", settings)
    same = fill(stack, [0, 6], tmp_path / "out", settings, lambda: network)
    assert np.array_equal(filled.stack.labels, same.stack.labels)


@pytest.fixture(scope="module")
def filled(stack, tmp_path_factory):
    out = tmp_path_factory.mktemp("filled")
    found = fill(stack, [0, 3, 6], out, FillSettings(method="shapes", registration="none"))
    write_filled(found, out)
    return found, out


def test_volumes_open_at_the_right_scale(filled, stack):
    zarr = pytest.importorskip("zarr")
    found, out = filled
    image = nib.load(out / "labels.nii.gz")
    assert image.header.get_zooms() == pytest.approx((0.05, 0.05, 0.1))
    assert image.header.get_xyzt_units()[0] == "mm"
    assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), found.stack.labels)
    assert nib.load(out / "images.nii.gz").shape == image.shape
    group = zarr.open_group(out / "labels.zarr", mode="r")
    scales = group.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scales[0]["scale"] == pytest.approx([1e5, 5e4, 5e4])  # nm
    assert np.array_equal(group["0"][:], found.stack.labels)
    (values, attributes, kind), (_, image, _) = read_layers(
        [str(out / f"{name}.nii.gz") for name in ("labels", "images")]
    )
    assert kind == "labels" and np.array_equal(values, found.stack.labels)
    assert attributes["scale"] == image["scale"] == pytest.approx((100, 50, 50))
    assert attributes["features"]["region"].tolist() == ["none", "A", "B", "C"]


_BY_ITK = """
import json, sys, itk
images = [itk.imread(path) for path in sys.argv[1:3]]
itk.array_from_image(images[0]).tofile(sys.argv[3])
print(json.dumps([[list(image.GetSpacing()), list(image.GetOrigin())] for image in images]))
"""


def test_the_library_of_itk_snap_reads_the_volumes(filled, tmp_path):
    if importlib.util.find_spec("itk") is None:
        pytest.skip("itk is not installed")
    found, out = filled
    # In a process of its own: ITK and TensorFlow do not stand each other.
    paths = [out / "labels.nii.gz", out / "images.nii.gz", tmp_path / "labels.raw"]
    run = subprocess.run(
        [sys.executable, "-c", _BY_ITK, *map(str, paths)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    labels, image = json.loads(run.stdout)
    assert labels == image and labels[0] == pytest.approx([0.05, 0.05, 0.1])
    values = np.fromfile(paths[2], found.stack.labels.dtype).reshape(found.stack.labels.shape)
    assert np.array_equal(values, found.stack.labels)


def test_a_scan_is_written_on_its_own_grid(stack, tmp_path):
    affine = np.diag([0.05, 0.1, -0.05, 1.0])
    scan = replace(stack, affine=affine, axis=1)
    found = fill(scan, [1, 5], tmp_path, FillSettings(method="shapes", registration="none"))
    write_filled(found, tmp_path)
    image = nib.load(tmp_path / "labels.nii.gz")
    assert image.shape == (96, 5, 80)
    assert image.affine[:3, 3] == pytest.approx((0, 0.1, 0))  # from the first annotated section on


def test_the_mesh_is_closed_and_as_large_as_the_areas(filled):
    found, out = filled
    surfaces = mesh(found.stack.labels, found.stack.areas, 0.1, 0.05)
    assert surfaces.keys() == {"A", "B", "C"}
    for number, (corners, triangles) in enumerate(surfaces.values(), start=1):
        assert open_edges(triangles) == 0
        volume = (found.stack.labels == number).sum() * 2.5e-4
        assert enclosed(corners, triangles) == pytest.approx(volume, rel=0.03)
    assert open_edges(triangles[1:]) == 3
    # One section of a stack lies about its own place, however thick it is.
    single = np.zeros((5, 40, 40), np.uint8)
    single[3, 10:30, 10:30] = 1
    ((corners, _),) = mesh(single, ("A",), 0.5, 0.05).values()
    middle = (corners.min(0) + corners.max(0)) / 2
    assert middle == pytest.approx((3 * 0.5, 19.5 * 0.05, 19.5 * 0.05), abs=0.01)
    text = (out / "areas.obj").read_text("utf-8")
    lines = [line.split()[0] for line in as_obj(surfaces, found.stack).splitlines()]
    assert [line.split()[0] for line in text.splitlines()] == lines and lines.count("o") == 3


def test_labels_can_be_corrected_and_given_again(filled, stack, tmp_path):
    _, out = filled
    assert open_stack(out / "labels.npz").areas == stack.areas
    rows = (out / "sections.csv").read_text("utf-8").splitlines()
    assert rows[1].startswith("60,6.0000,1,1.000") and sum(r.endswith(",1") for r in rows) == 1
    assert (out / "labels" / "63.png").is_file()


def test_a_missing_section_is_made_of_its_neighbors(stack):
    part = stack.sections([0, 1, 3])
    labels, spacing = regular(part, part.labels)
    assert labels.shape[0] == 4 and spacing == pytest.approx(0.1)
    scores = score_areas(labels[2], stack.labels[2], stack.areas, "62")
    assert min(scores.dice.values()) > 0.95


@pytest.mark.parametrize("pixel_mm", [0.017, 0.05])
def test_thin_strips_that_move_keep_their_volume(pixel_mm):
    """As layers do: from section to section by more than they are wide."""
    labels = np.zeros((6, 90, 120), np.uint8)
    for n in range(6):
        labels[n, 20 + 5 * n : 23 + 5 * n, 10:110] = 1
        labels[n, 23 + 5 * n : 60, 10:110] = 2
    for number, surface in enumerate(mesh(labels, ("thin", "rest"), 0.1, pixel_mm).values(), 1):
        assert open_edges(surface[1]) == 0
        wanted = (labels == number).sum() * 0.1 * pixel_mm**2
        assert enclosed(*surface) == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", [0.05, -0.05])
def test_the_mesh_of_a_scan_lies_on_its_labels(stack, tmp_path, axis, side):
    affine = np.diag([side, 0.05, 0.05, 1.0])
    affine[axis, axis] = 0.1 * np.sign(affine[axis, axis])
    affine[:3, 3] = (4, -5, 6)
    scan = replace(stack, affine=affine, axis=axis)
    found = fill(scan, [1, 5], tmp_path, FillSettings(method="shapes", registration="none"))
    write_filled(found, tmp_path)
    image = nib.load(tmp_path / "labels.nii.gz")
    voxels = np.argwhere(np.asarray(image.dataobj) == 2)
    lies = nib.affines.apply_affine(image.affine, voxels)
    objects = (tmp_path / "areas.obj").read_text("utf-8").split("o ")
    (text,) = (part for part in objects if part.startswith("B\n"))
    lines = [line.split() for line in text.splitlines()]
    corners = np.array([line[1:] for line in lines if line[0] == "v"], float)
    faces = np.array([line[1:] for line in lines if line[0] == "f"], int)
    assert corners.min(0) == pytest.approx(lies.min(0), abs=0.08)
    assert corners.max(0) == pytest.approx(lies.max(0), abs=0.08)
    a, b, c = (corners[faces[:, n] - faces.min()] for n in range(3))
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6  # positive: seen from outside
    assert volume == pytest.approx(len(voxels) * 2.5e-4, rel=0.05)


def test_confidence_is_the_same_from_either_end():
    labels = np.zeros((3, 20, 40), np.uint8)
    labels[0, 5:15, 5:20], labels[0, 5:15, 20:35], labels[2, 5:15, 5:20] = 1, 2, 1
    found = []
    for order in (1, -1):
        one = Stack(
            tuple("abc"), np.zeros_like(labels), np.arange(3.0), 50.0, labels[::order], ("A", "B")
        )
        there = Neighbors(one, Alignment(one.images, method="none"))
        found.append(expected_dice(there, [0, 2])[1])
    assert found == [0.5, 0.5]  # A as it is, B on one of both alone
