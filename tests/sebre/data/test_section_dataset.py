"""Reading prepared data sets, and folders made for the released SeBRe code."""

import functools
from pathlib import Path

import numpy as np
import pytest
import section_cases
import tifffile
from raw_samples import write as save

from sebre.data.regions import HIPPOCAMPUS, MOUSE, SUBCORTICAL, Region, RegionSet
from sebre.dataset import (
    ExtendedMouseDataset,
    HippocampusDataset,
    IBSRDataset,
    P14MouseDataset,
    SectionDataset,
)

SIDE = 12
square = functools.partial(section_cases.square, SIDE)


@pytest.fixture
def root(tmp_path) -> Path:
    images, masks = "mrcnn_train_dataset_images", "mrcnn_train_dataset_masks"
    for k in (2, 10, 0):
        save(tmp_path / images / f"section_img_{k}.png", np.full((SIDE, SIDE), k, np.uint8))
        folder = tmp_path / masks / f"section_masks_{k}"
        save(folder / f"section_masks_{k}_cortex_m1.png", square(0, 4))
    return tmp_path


def masks_dir(root: Path, k: int) -> Path:
    return root / "mrcnn_train_dataset_masks" / f"section_masks_{k}"


def load(root: Path, regions: RegionSet = MOUSE) -> SectionDataset:
    dataset = SectionDataset(regions).load(root, "train")
    dataset.prepare()
    return dataset


def test_sections_come_in_the_order_of_their_numbers(root):
    dataset = load(root)
    assert [dataset.image_reference(i) for i in dataset.image_ids] == [
        "train/0",
        "train/2",
        "train/10",
    ]
    assert [dataset.load_image(i)[0, 0, 0] for i in dataset.image_ids] == [0, 2, 10]
    assert dataset.class_names == ["BG", *MOUSE.names]


@pytest.mark.parametrize(
    "name",
    ["x_midbrain_m6.png", "x_m_6.png", "section_masks_0_6.png", "6.png", "x_m06.png", "x_m6.PNG"],
)
def test_class_id_is_the_number_at_the_end_of_the_name(root, name):
    (masks_dir(root, 0) / "section_masks_0_cortex_m1.png").unlink()
    save(masks_dir(root, 0) / name, square(2, 5))
    masks, class_ids = load(root).load_mask(0)
    assert class_ids.tolist() == [6]
    assert class_ids.dtype == np.int32
    np.testing.assert_array_equal(masks[..., 0], square(2, 5) > 0)


def test_ids_of_several_digits(root):
    names = ["cortex", *(f"r{i}" for i in range(2, 126))]
    regions = (Region(i, name, "", (i, 0, 0)) for i, name in enumerate(names, start=1))
    regions = RegionSet("many", tuple(regions))
    save(masks_dir(root, 0) / "section_masks_0_r12_m12.png", square(1, 3))
    save(masks_dir(root, 0) / "section_masks_0_r125_m125.png", square(1, 4))
    masks, class_ids = load(root, regions).load_mask(0)
    assert class_ids.tolist() == [1, 12, 125]
    assert masks.shape == (SIDE, SIDE, 3)


def test_sixteen_bit_masks_are_inside_where_not_zero(root):
    save(masks_dir(root, 0) / "x_m2.png", square(3, 6).astype(np.uint16) * 257)
    save(masks_dir(root, 0) / "x_m3.png", square(3, 7, 1))
    masks, _ = load(root).load_mask(0)
    assert masks.sum(axis=(0, 1)).tolist() == [16, 9, 16]


def test_transparent_and_colored_masks(root):
    color = np.dstack([square(3, 6), square(0, 0), square(0, 0), np.full((SIDE, SIDE), 255)])
    save(masks_dir(root, 0) / "x_m2.png", color.astype(np.uint8))
    assert load(root).load_mask(0)[0].sum(axis=(0, 1)).tolist() == [16, 9]


def test_jpeg_images_and_masks(root):
    (root / "mrcnn_train_dataset_images" / "section_img_2.png").unlink()
    gray = np.full((SIDE, SIDE, 3), 77, np.uint8)
    save(root / "mrcnn_train_dataset_images" / "section_img_2.jpg", gray)
    save(masks_dir(root, 2) / "x_m5.jpg", square(4, 12))
    dataset = load(root)
    np.testing.assert_allclose(dataset.load_image(1), 77, atol=1)
    masks, class_ids = dataset.load_mask(1)
    assert class_ids.tolist() == [1, 5]
    np.testing.assert_array_equal(masks[..., 1], square(4, 12) > 0)


def test_empty_masks_are_left_out(root):
    save(masks_dir(root, 0) / "x_m2.png", square(0, 0))
    assert load(root).load_mask(0)[1].tolist() == [1]


def test_section_without_regions(root):
    (masks_dir(root, 0) / "section_masks_0_cortex_m1.png").unlink()
    masks, class_ids = load(root).load_mask(0)
    assert masks.shape == (SIDE, SIDE, 0)
    assert class_ids.shape == (0,)


def test_files_that_systems_leave_are_ignored(root):
    (masks_dir(root, 0) / ".DS_Store").write_bytes(b"x")
    (root / "mrcnn_train_dataset_images" / "Thumbs.db").write_bytes(b"x")
    assert load(root).num_images == 3


def test_a_choice_of_numbers(root):
    dataset = SectionDataset().load(root, "train", numbers=[10, 0])
    dataset.prepare()
    assert [info["number"] for info in dataset.image_info] == [0, 10]
    with pytest.raises(ValueError, match="no image ends in _7"):
        SectionDataset().load(root, "train", numbers=[7])


def test_missing_subset_names_folder_and_cure(root):
    with pytest.raises(ValueError, match="mrcnn_val_dataset_images: no such folder.*prepare"):
        SectionDataset().load(root, "val")


def test_unknown_class_id_names_the_file(root):
    save(masks_dir(root, 0) / "section_masks_0_m_12.png", square(1, 3))
    with pytest.raises(ValueError, match=r"section_masks_0_m_12.png: class id 12 .*\(1-8\)"):
        load(root)


def test_name_without_number(root):
    save(masks_dir(root, 0) / "cortex.png", square(1, 3))
    with pytest.raises(ValueError, match="cortex.png: only images named"):
        load(root)


def test_foreign_file(root):
    (masks_dir(root, 0) / "notes_1.txt").write_text("x")
    with pytest.raises(ValueError, match="notes_1.txt: only images named"):
        load(root)


def test_two_files_of_one_region(root):
    save(masks_dir(root, 0) / "x_m_1.png", square(1, 3))
    with pytest.raises(ValueError, match="has the number 1 too"):
        load(root)


def test_image_without_mask_folder_and_the_reverse(root):
    save(root / "mrcnn_train_dataset_images" / "section_img_5.png", square(0, 2))
    with pytest.raises(ValueError, match="section_img_5.png: no folder .* ends in _5"):
        load(root)
    (root / "mrcnn_train_dataset_images" / "section_img_5.png").unlink()
    masks_dir(root, 6).mkdir()
    with pytest.raises(ValueError, match="section_masks_6: no image"):
        load(root)


def test_mask_of_another_size(root):
    save(masks_dir(root, 0) / "x_m2.png", np.ones((SIDE, SIDE + 1), np.uint8))
    with pytest.raises(ValueError, match=r"x_m2.png: the mask has 12 x 13 px.*12 x 12"):
        load(root).load_mask(0)


def test_broken_files_are_named(root):
    (masks_dir(root, 0) / "x_m2.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match="x_m2.png: cannot read this picture"):
        load(root).load_mask(0)
    (root / "mrcnn_train_dataset_images" / "section_img_0.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="section_img_0.png: cannot read"):
        load(root).load_mask(0)


def test_a_folder_made_for_the_released_code(tmp_path):
    """JPEG images; float masks saved with 16 bits; an absent region is an all-zero mask."""
    images, masks = "mrcnn_val_dataset_images", "mrcnn_val_dataset_masks"
    for k in (0, 1):
        gray = np.full((SIDE, SIDE), 40 + k, np.uint8)
        save(tmp_path / images / f"section_img_{k}.jpg", gray)
    first, second = (tmp_path / masks / f"section_masks_{k}" for k in (0, 1))
    save(first / "section_masks_0_cortex_m1.png", square(0, 4, 1).astype(np.uint16) * 65535)
    save(first / "section_masks_0_hippocampus_m2.png", square(0, 0).astype(np.uint16))
    save(first / "section_masks_0_m_7.png", square(5, 8).astype(np.uint16) * 256)
    save(second / "section_masks_1_3.png", square(1, 2))
    dataset = P14MouseDataset().load(tmp_path, "val")
    dataset.prepare()
    np.testing.assert_allclose(dataset.load_image(1), 41, atol=1)
    assert dataset.load_image(0).shape == (SIDE, SIDE, 3)
    found, class_ids = dataset.load_mask(0)
    assert class_ids.tolist() == [1, 7]
    assert found.sum(axis=(0, 1)).tolist() == [16, 9]
    assert dataset.load_mask(1)[1].tolist() == [3]


def test_sixteen_bit_gray_images(root):
    path = root / "mrcnn_train_dataset_images" / "section_img_0.png"
    save(path, square(0, 6).astype(np.uint16) * 257)
    image = load(root).load_image(0)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.dstack([square(0, 6)] * 3))


@pytest.mark.parametrize("planes_first", [False, True])
def test_tiff_masks(root, planes_first):
    color = np.dstack([square(3, 6), square(0, 0), square(0, 0)])
    if planes_first:
        color = np.ascontiguousarray(np.moveaxis(color, -1, 0))
    path = masks_dir(root, 0) / "x_m2.tif"
    kind = "separate" if planes_first else "contig"
    tifffile.imwrite(path, color, photometric="rgb", planarconfig=kind)
    assert load(root).load_mask(0)[0].sum(axis=(0, 1)).tolist() == [16, 9]
    tifffile.imwrite(path, np.zeros((9, SIDE, SIDE), np.uint8))
    with pytest.raises(ValueError, match="x_m2.tif: holds 9 pages"):
        load(root).load_mask(0)


@pytest.mark.parametrize(
    ("kind", "regions"),
    [
        (P14MouseDataset, MOUSE),
        (ExtendedMouseDataset, MOUSE),
        (HippocampusDataset, HIPPOCAMPUS),
        (IBSRDataset, SUBCORTICAL),
    ],
)
def test_each_experiment_has_its_regions(kind, regions):
    dataset = kind()
    dataset.prepare()
    assert dataset.class_names == ["BG", *regions.names]
    assert dataset.map_source_class_id("brain.4") == 4
