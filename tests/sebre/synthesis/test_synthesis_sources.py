from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from sebre.synthesis.classes import (
    ANCESTORS,
    COLORS,
    IGNORE,
    NAMES,
    Structure,
    plain_table,
    read_tree,
    structure_table,
)
from sebre.synthesis.labeled_volume import finer_labels, make_volume, resized_image
from sebre.synthesis.sources import READERS, read_files, read_volumes

TREE = """id,acronym,name,structure_id_path
997,root,root,/997/
567,CH,Cerebrum,/997/567/
315,Isocortex,Isocortex,/997/567/315/
320,MOp1,"Primary motor area, Layer 1",/997/567/315/985/320/
943,MOp2/3,"Primary motor area, Layer 2/3",/997/567/315/985/943/
1,SSp2/3,"Somatosensory area layer 2/3",/997/567/315/322/1/
1009,fiber tracts,fiber tracts,/997/1009/
728,arb,arbor vitae,/997/1009/960/728/
776,cc,corpus callosum,/997/1009/983/776/
"""


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree.csv").write_text(TREE)
    return read_tree(tmp_path / "tree.csv")


def test_there_is_a_color_of_every_class():
    assert len(COLORS) == len(NAMES) + 1 == 10
    assert set(ANCESTORS.values()) == set(range(1, 10))


def test_classes_follow_the_tree(tree):
    table = structure_table([0, 320, 728, 776, 997, 424242], tree)
    assert table.classes.tolist() == [0, 1, 8, IGNORE, IGNORE, IGNORE]
    assert len(table) == 6


def test_layers_look_alike_across_areas(tree):
    table = structure_table([0, 320, 943, 1, 776, 1009], tree)
    classes, divisions, layers = table.groups.T
    assert layers[2] == layers[3] != layers[1]
    assert layers[4] == layers[5], "fiber tracts are one"
    assert classes[1] == classes[2] == classes[3] != classes[0]
    assert divisions[1] != divisions[3]


def test_a_structure_without_layer_keeps_its_acronym():
    assert Structure(5, "CP", "Caudoputamen", (997, 477, 5)).layer == "CP"


def test_a_volume_is_cut_to_the_tissue(volume):
    faces = [volume.labels.take(i, axis) for axis in range(3) for i in (0, -1)]
    assert not any(face.any() for face in faces)
    assert volume.labels.shape == (47, 32, 38)
    assert volume.images[0].max() == 255
    assert volume.images[0].dtype == np.uint8
    shown = volume.labels[tuple(volume.points.T)]
    counts = np.bincount(volume.table.classes[shown], minlength=10)
    assert counts[0] == 0
    assert (counts[1:10] > 200).all(), "the ends of the brain are as likely as its middle"


def test_places_beyond_a_volume_are_outside(volume):
    places = tuple(np.array([-50.0, size / 2, 1e4], np.float32) for size in volume.labels.shape)
    found = volume.labels.reshape(-1)[volume.at(places)]
    assert found[0] == found[2] == 0
    assert found[1] > 0


def test_finer_labels_keep_shape_and_volume():
    labels = np.zeros((12, 12, 12), np.uint16)
    labels[3:9, 3:9, 3:9] = 1
    labels[3:9, 3:9, 6:9] = 2
    fine = finer_labels(labels, 3)
    assert fine.shape == (36, 36, 36)
    counts = np.bincount(fine.reshape(-1)) / 27
    assert counts[1:] == pytest.approx(np.bincount(labels.reshape(-1))[1:], rel=0.12)
    assert (fine[13:23, 13:23, 13:17] == 1).all()


def test_an_image_is_resized_linearly():
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32)[:, None, None], (8, 4, 4))
    fine = resized_image(ramp, (16, 4, 8))
    assert fine.shape == (16, 4, 8)
    assert fine[4:8, 0, 0] == pytest.approx([1.75, 2.25, 2.75, 3.25])


def test_arrays_must_fit():
    labels, table = np.ones((4, 4, 4), int), plain_table([0, 1])
    with pytest.raises(ValueError, match="differ in shape"):
        make_volume("v", "s", labels, table, (np.ones((3, 4, 4)),), 1.0)
    with pytest.raises(ValueError, match="no labeled voxel"):
        make_volume("v", "s", 0 * labels, table, (), 1.0)


def test_sources_can_be_left_out(monkeypatch, volumes, tmp_path):
    monkeypatch.setattr(
        "sebre.synthesis.sources.READERS",
        {"phantoms": lambda data: iter(volumes[:1]), "others": lambda data: iter(volumes[1:])},
    )
    assert [v.name for v in read_volumes(tmp_path)] == ["phantom", "bare"]
    assert [v.name for v in read_volumes(tmp_path, without=["others"])] == ["phantom"]
    assert [v.name for v in read_volumes(tmp_path, without=["phantom"])] == ["bare"]
    assert [v.name for v in read_volumes(tmp_path, ["others"])] == ["bare"]
    with pytest.raises(ValueError, match="No source brains"):
        read_volumes(tmp_path, ["brains"])
    with pytest.raises(ValueError, match="Nothing is named P99"):
        read_volumes(tmp_path, without=["P99"])
    with pytest.raises(ValueError, match="no volume is left"):
        read_volumes(tmp_path, ["others"], without=["others"])


@pytest.fixture
def own(tmp_path):
    """Files of a volume whose axes run across, forward and up."""
    labels = np.zeros((12, 20, 10), np.int16)
    labels[2:10, 2:18, 2:8] = 5
    labels[2:10, 10:18, 2:8] = 7
    affine = np.diag([0.3, 0.3, 0.3, 1])
    nib.save(nib.Nifti1Image(labels, affine), tmp_path / "brain.nii.gz")
    nib.save(nib.Nifti1Image(labels.astype(np.float32), affine), tmp_path / "image.nii.gz")
    (tmp_path / "classes.csv").write_text("label,class\n5,cerebellum\n7,\n")
    return tmp_path


def test_a_volume_of_ones_own(own):
    files = (own / "brain.nii.gz", own / "classes.csv", [own / "image.nii.gz"])
    volume = read_files(*files, finer=2)
    assert (volume.name, volume.source) == ("brain", "own")
    assert volume.voxel_mm == pytest.approx(0.15)
    assert volume.table.classes.tolist() == [0, 8, IGNORE]
    assert volume.labels.shape == (2 * 20, 2 * 10, 2 * 12)
    front, back = volume.labels[10, 10, 12], volume.labels[30, 10, 12]
    assert (front, back) == (2, 1)


def test_faults_of_a_volume_of_ones_own(own):
    labels, classes = own / "brain.nii.gz", own / "classes.csv"
    moved = nib.load(own / "image.nii.gz")
    moved.affine[0, 3] += 5
    nib.save(nib.Nifti1Image(np.asarray(moved.dataobj), moved.affine), own / "moved.nii.gz")
    with pytest.raises(ValueError, match="not on the same grid: places 5.0 mm apart"):
        read_files(labels, classes, [own / "moved.nii.gz"])
    classes.write_text("label,class\n5,cerebelum\n")
    with pytest.raises(ValueError, match="no class 'cerebelum'"):
        read_files(labels, classes)
    stretched = nib.Nifti1Image(np.ones((4, 4, 4), np.int16), np.diag([0.3, 0.3, 1, 1]))
    nib.save(stretched, labels)
    with pytest.raises(ValueError, match="wanted cubes"):
        read_files(labels, classes)
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.int16), np.eye(4)), labels)
    classes.write_text("label,class\n1,cerebellum\n")
    with pytest.raises(ValueError, match="wanted 0 outside"):
        read_files(labels, classes)


def test_the_sources():
    assert set(READERS) == {"ccf", "civm", "demba", "mouse_mri", "princeton"}


def test_the_regions_of_the_atlas(data_dir):
    """Sizes and places of the regions, whatever the axes of the file."""
    (volume,) = read_volumes(data_dir, ["ccf"])
    shown = volume.table.classes[volume.labels[::2, ::2, ::2]]
    sizes = np.bincount(shown.reshape(-1), minlength=256)[1:10] * (2 * volume.voxel_mm) ** 3
    # Cubic millimeters, of the annotation at full resolution.
    wanted = [123.3, 42.6, 54.3, 20.3, 15.2, 36.7, 47.7, 60.7, 46.7]
    assert sizes == pytest.approx(wanted, rel=0.02)
    cortex, hindbrain, cerebellum, olfactory = (
        np.argwhere(shown == i).mean(axis=0) for i in (1, 7, 8, 9)
    )
    assert olfactory[0] < cerebellum[0], "front to back"
    assert cortex[1] < hindbrain[1], "top to bottom"


def test_the_other_collections(data_dir, monkeypatch):
    monkeypatch.setattr("pathlib.Path.glob", first_one(Path.glob))
    for source in ("civm", "demba", "mouse_mri", "princeton"):
        for volume in read_volumes(data_dir, [source]):
            labels, image = (a[::2, ::2, ::2] for a in (volume.labels, volume.images[0]))
            assert set(range(10)) <= set(np.unique(volume.table.classes[labels])), volume.name
            tissue = labels > 0
            assert image[tissue].mean() > 5 * image[~tissue].mean(), "image and labels fit"


def first_one(glob):
    return lambda folder, pattern: sorted(glob(folder, pattern))[:1]
