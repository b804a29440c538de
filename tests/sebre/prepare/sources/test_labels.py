"""Users' own folders: sections beside overlays or label maps, in all their layouts."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from raw_samples import BLUE, GREEN, RED, drawn_labels, painted, raw_folder, section, write

from mrcnn.errors import UserError
from mrcnn.imageio.label_files import read_labels
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import read_facts
from sebre.data.regions import MOUSE, read_regions
from sebre.prepare.build import build
from sebre.prepare.color_matching import downsample_labels
from sebre.prepare.sources import read_source

KINDS = {"colour-code": "overlays", "labels": "labels"}


def drawing(source: str, labels: np.ndarray | None = None) -> np.ndarray:
    labels = drawn_labels() if labels is None else labels
    return painted(labels) if source == "colour-code" else labels


@pytest.fixture(params=KINDS)
def source(request) -> str:
    return request.param


@pytest.fixture
def raw(source, tmp_path) -> Path:
    return raw_folder(tmp_path / "raw", KINDS[source], drawing(source))


@pytest.mark.parametrize("options", [{}, {"exact": True}])
def test_regions_that_shrinking_leaves_nothing_of_are_named(source, tmp_path, caplog, options):
    if options and source == "labels":
        return  # is of overlays
    thin = np.zeros((60, 80), np.uint8)
    thin[2:5, 2:78], thin[16:48, 16:64] = 2, 1
    raw_folder(tmp_path / "raw", KINDS[source], drawing(source, thin), count=1)
    for factor, lost in ((1, False), (8, True)):
        raw_set = read_source(source, tmp_path / "raw", {"downsample": factor, **options})
        assert list(raw_set.sections[0].read()[1]) == ([1] if lost else [1, 2])
        text = "drawn_1.png: 1 region(s) (inner) have no pixel left once it is divided by 8"
        assert (text in caplog.text) == lost


def test_sections_are_read(source, raw):
    raw_set = read_source(source, raw, {})
    assert raw_set.name == source
    assert raw_set.regions.names == ["outer", "inner"]
    assert (raw_set.split, raw_set.plane, raw_set.background) == ("section:1/3", "mixed", None)
    assert len(raw_set.sections) == 3
    for k, row in enumerate(raw_set.sections, start=1):
        image, masks = row.read()
        np.testing.assert_array_equal(image, section(k))
        assert list(masks) == [1, 2]
        for class_id, mask in masks.items():
            assert mask.dtype == bool
            np.testing.assert_array_equal(mask, drawn_labels() == class_id)
        assert row.facts == {"source_row": str(k), "source_image": f"slide_{k}.png"}
    assert sorted(path.name for path in raw_set.files) == sorted(
        [f"slide_{k}.png" for k in (1, 2, 3)]
        + [f"drawn_{k}.png" for k in (1, 2, 3)]
        + ["regions.csv"]
    )


def test_from_raw_to_a_data_set_that_loads(source, raw, tmp_path):
    (raw / "sections.csv").write_text(
        "number,Brain,marker,age,plane,Image\n1,a,Nissl,P14,coronal,one\n2,b,GAD1,P14,coronal,\n"
        "3,b,GAD1,P28,coronal,\n9,c,GAD1,P28,coronal,\n"
    )
    raw_set = read_source(source, raw, {"downsample": 2})
    assert raw_set.plane == "coronal"
    build(raw_set, tmp_path / "out", split="subject:1")
    loaded = {}
    for subset in ("train", "val"):
        dataset = SectionDataset(raw_set.regions).load(tmp_path / "out", subset)
        dataset.prepare()
        loaded[subset] = dataset.num_images
        masks, class_ids = dataset.load_mask(0)
        for i, class_id in enumerate(class_ids):
            wanted = downsample_labels(drawn_labels(), 2) == class_id
            np.testing.assert_array_equal(masks[..., i], wanted)
        assert dataset.load_image(0).shape == (30, 40, 3)
    assert sorted(loaded.values()) == [1, 2]
    table = (tmp_path / "out" / "sections.csv").read_text()
    assert "P28" in table
    assert "GAD1" in table
    facts = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert facts["processing"]["downsample"] == 2
    # Scores vary over the animals that were named, also in a set made of this one.
    assert sorted(read_facts(tmp_path / "out").units.values()) == ["a", "b", "b"]
    build(read_source("prepared", tmp_path / "out", {}), tmp_path / "again")
    assert read_facts(tmp_path / "again").unit == "subject"


def test_label_maps_in_all_formats(tmp_path):
    """16 bits, palette, TIFF, 4 bits; atlas numbers in the column value."""
    raw = raw_folder(tmp_path, "labels", drawn_labels(), count=1)
    (raw / "regions.csv").write_text(
        "id,name,r,g,b,value\n1,outer,200,30,40,315 1089\n\n2,inner,20,60,220,40000\n"
    )
    atlas = np.array([0, 315, 40000], np.uint16)[drawn_labels()]
    atlas[:30][atlas[:30] == 315] = 1089
    path = raw / "labels" / "drawn_1.png"
    tif = path.with_suffix(".tif")

    def check() -> None:
        _, masks = read_source("labels", raw, {}).sections[0].read()
        for class_id in (1, 2):
            np.testing.assert_array_equal(masks[class_id], drawn_labels() == class_id)

    write(path, atlas)
    check()
    path.unlink()
    for options in ({}, {"byteorder": ">"}, {"tile": (16, 16), "compression": "zlib"}):
        tifffile.imwrite(tif, atlas, **options)
        check()
    tif.unlink()

    (raw / "regions.csv").write_text("id,name,r,g,b\n1,outer,200,30,40\n2,inner,20,60,220\n")
    palette = Image.fromarray(drawn_labels())
    palette.putpalette([255, 255, 255, *RED, *BLUE])  # makes the picture one with a palette
    for bits in (8, 2):
        palette.save(path, bits=bits)
        with Image.open(path) as image:
            assert image.mode == "P"
        check()
    path.write_bytes(four_bit_gray(drawn_labels()))
    check()


def test_one_drawn_page_of_several_may_mean_two_things(tmp_path):
    pages = np.zeros((3, 8, 8), np.uint8)
    pages[2, 2:5, 2:5] = 1
    path = tmp_path / "pages.tif"
    tifffile.imwrite(path, pages, photometric="minisblack")
    with pytest.raises(UserError, match="page 3, with the value 1: the id of the region may be"):
        read_labels(path)
    tifffile.imwrite(path, 3 * pages, photometric="minisblack")  # both say 3
    assert set(np.unique(read_labels(path))) == {0, 3}


def four_bit_gray(values: np.ndarray) -> bytes:
    """A gray PNG of 4 bits a pixel, as some label editors write."""
    packed = (values[:, ::2] << 4 | values[:, 1::2]).astype(np.uint8)
    lines = b"".join(b"\0" + line.tobytes() for line in packed)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 4, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def notebook_folder(raw: Path) -> Path:
    labels = drawn_labels((64, 96))
    colors = [(255, 255, 255), MOUSE[1].code, MOUSE[2].code]
    for part, word, count in (("train", "training", 2), ("val", "validation", 1)):
        for k in range(count):
            images = raw / f"mrcnn_{part}_dataset_images"
            write(images / f"section_img_{k}.jpg", section(k, (64, 96)))
            overlays = raw / f"{word}_images_masked" / f"masked_section_{k}"
            write(overlays / "export.png", painted(labels, colors))
    return raw


def test_folders_of_the_released_notebook(tmp_path):
    raw = notebook_folder(tmp_path / "raw")
    (raw / "training_images_masked" / ".DS_Store").write_text("")
    raw_set = read_source("colour-code", raw, {})
    assert raw_set.regions is MOUSE
    assert raw_set.split == "source"
    assert [row.part for row in raw_set.sections] == ["train", "train", "val"]
    _, masks = raw_set.sections[2].read()
    np.testing.assert_array_equal(masks[1], drawn_labels((64, 96)) == 1)
    build(raw_set, tmp_path / "out")
    assert len(list((tmp_path / "out" / "mrcnn_val_dataset_images").iterdir())) == 1

    # Both parts count from 0; that makes them no versions of one section.
    assert not read_facts(tmp_path / "out").has_versions
    leaks = json.loads((tmp_path / "out" / "dataset.json").read_text())["split"]["leaks"]
    assert "versions in training" not in leaks

    (raw / "sections.csv").write_text("section,subset,brain\n0,train,a\n1,train,a\n0,val,b\n")
    rows = read_source("colour-code", raw, {}).sections
    assert [row.facts["subject"] for row in rows] == ["a", "a", "b"]
    (raw / "training_images_masked" / "masked_section_1" / "second.png").write_text("")
    with pytest.raises(ValueError, match="masked_section_1: holds export.png, second.png; wanted"):
        read_source("colour-code", raw, {})


def test_the_way_of_the_notebook_shrinks_and_loses_borders(tmp_path):
    raw = notebook_folder(tmp_path)
    exact = read_source("colour-code", raw, {"exact": True, "downsample": 4})
    ours = read_source("colour-code", raw, {"downsample": 4})
    (image, lossy), (same, full) = (raw_set.sections[0].read() for raw_set in (exact, ours))
    assert image.shape == (16, 24, 3)
    np.testing.assert_array_equal(image, same)
    assert lossy[1].sum() < full[1].sum()
    assert not (lossy[1] & ~full[1]).any()
    image, _ = read_source("colour-code", raw, {"exact": True}).sections[0].read()
    assert image.shape == (4, 6, 3)
    assert exact.processing["mask"] != ours.processing["mask"]


def test_options(source, raw, tmp_path):
    table = tmp_path / "other.csv"
    table.write_text("id,region,R,G,B\n1,a,200,30,40\n2,b,20,60,221\n3,c,1,2,3\n")
    raw_set = read_source(source, raw, {"regions": table, "plane": "horizontal"})
    assert (raw_set.regions.name, raw_set.plane) == ("other", "horizontal")
    assert list(raw_set.sections[0].read()[1]) == [1, 2]
    with pytest.raises(ValueError, match="The plane is 'oblique'; it must be one of sagittal"):
        read_source(source, raw, {"plane": "oblique"})
    with pytest.raises(ValueError, match="--downsample is 0"):
        read_source(source, raw, {"downsample": 0})
    with pytest.raises(FileNotFoundError, match="none.csv"):
        read_source(source, raw, {"regions": tmp_path / "none.csv"})


def test_tolerance_is_an_option(tmp_path):
    raw = raw_folder(tmp_path, "overlays", painted(drawn_labels()) - np.uint8(20), count=1)
    with pytest.raises(ValueError, match=r"drawn_1.png: no pixel has the color .*\(180, 10, 20\)"):
        read_source("colour-code", raw, {}).sections[0].read()
    _, masks = read_source("colour-code", raw, {"tolerance": 20}).sections[0].read()
    np.testing.assert_array_equal(masks[2], drawn_labels() == 2)
    with pytest.raises(ValueError, match="--tolerance is -1"):
        read_source("colour-code", raw, {"tolerance": -1})


def no_overlay(raw: Path, drawings: Path) -> None:
    (drawings / "drawn_2.png").unlink()


def no_image(raw: Path, drawings: Path) -> None:
    (raw / "images" / "slide_3.png").unlink()


def two_of_a_number(raw: Path, drawings: Path) -> None:
    write(raw / "images" / "other_2.png", section(2))


def no_number(raw: Path, drawings: Path) -> None:
    write(raw / "images" / "overview.png", section(2))


def not_an_image(raw: Path, drawings: Path) -> None:
    (drawings / "notes_4.docx").write_text("x")


def text_as_image(raw: Path, drawings: Path) -> None:
    (drawings / "drawn_2.png").write_text("x")


def other_size(raw: Path, drawings: Path) -> None:
    Image.open(drawings / "drawn_2.png").crop((0, 0, 70, 60)).save(drawings / "drawn_2.png")


def no_folder(raw: Path, drawings: Path) -> None:
    (raw / "images").rename(raw / "pictures")


def nothing_there(raw: Path, drawings: Path) -> None:
    for path in (raw / "images").iterdir():
        path.unlink()


def table_without_a_row(raw: Path, drawings: Path) -> None:
    (raw / "sections.csv").write_text("section,age\n1,P4\n3,P4\n")


def table_without_numbers(raw: Path, drawings: Path) -> None:
    (raw / "sections.csv").write_text("slide,age\n1,P4\n")


def table_with_a_name(raw: Path, drawings: Path) -> None:
    (raw / "sections.csv").write_text("section,age\nfirst,P4\n")


def table_with_a_number_twice(raw: Path, drawings: Path) -> None:
    (raw / "sections.csv").write_text("section,age\n1,P4\n1,P14\n")


def table_with_two_brains(raw: Path, drawings: Path) -> None:
    (raw / "sections.csv").write_text("section,brain,subject\n1,a,b\n")


def table_of_another_program(raw: Path, drawings: Path) -> None:
    (raw / "sections.csv").write_bytes(b"\xff\xfe\x00a")


def regions_without_colors(raw: Path, drawings: Path) -> None:
    (raw / "regions.csv").write_text("id,region\n1,a\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_overlay, r"slide_2.png: nothing in .* has its number 2"),
        (no_image, r"drawn_3.png: nothing in .*images has its number 3"),
        (two_of_a_number, "slide_2.png: other_2.png has the number 2 too. Keep one"),
        (no_number, "overview.png: only images named <anything>_<number>"),
        (not_an_image, "notes_4.docx: only images named"),
        (text_as_image, "drawn_2.png: cannot read this picture"),
        (other_size, r"drawn_2.png: 60 x 70 px .*slide_2.png has 60 x 80. Both must have the same"),
        (no_folder, "images: no such folder. The raw folder must hold images/ and"),
        (nothing_there, "images: holds no pictures"),
        (table_without_a_row, "sections.csv: no row for section 2"),
        (table_without_numbers, "sections.csv: found the columns slide, age; wanted one column"),
        (table_with_a_name, "sections.csv, line 2: section is 'first'"),
        (table_with_a_number_twice, "sections.csv, line 3: section 1 has a row already"),
        (table_with_two_brains, "two columns mean 'subject'"),
        (table_of_another_program, "sections.csv: not a UTF-8 CSV file"),
        (regions_without_colors, "regions.csv: column r, g, b is missing"),
    ],
)
def test_what_does_not_fit_is_named_at_once(source, raw, damage, message):
    damage(raw, raw / KINDS[source])
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_source(source, raw, {})


def test_a_truncated_section_is_named_and_leaves_nothing(source, raw, tmp_path):
    path = write(raw / "images" / "slide_2.jpg", section(2))
    path.with_suffix(".png").unlink()
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ValueError, match="slide_2.jpg: cannot read this picture .*truncated"):
        build(read_source(source, raw, {}), tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]


def label_map(values: np.ndarray, tmp_path: Path, suffix: str = ".png") -> None:
    raw = raw_folder(tmp_path, "labels", drawn_labels(), count=1)
    (raw / "labels" / "drawn_1.png").unlink()
    if values.dtype == np.float32:
        tifffile.imwrite(raw / "labels" / f"drawn_1{suffix}", values)
    else:
        write(raw / "labels" / f"drawn_1{suffix}", values)
    read_source("labels", raw, {}).sections[0].read()


def test_label_maps_that_do_not_fit(tmp_path):
    unknown = drawn_labels() * 7
    with pytest.raises(ValueError, match=r"drawn_1.png: the id 7 \(and 1 more\) is not in .*1, 2"):
        label_map(unknown, tmp_path / "a")
    with pytest.raises(ValueError, match="has colors; wanted a label map.*colour-code"):
        label_map(painted(drawn_labels()), tmp_path / "b")
    with pytest.raises(ValueError, match="JPEG does not keep exact values"):
        label_map(drawn_labels(), tmp_path / "c", ".jpg")
    label_map(drawn_labels().astype(np.float32), tmp_path / "d", ".tif")  # whole numbers
    with pytest.raises(ValueError, match=r"has values such as 0.5; ids are whole numbers"):
        label_map(drawn_labels() / np.float32(2), tmp_path / "e", ".tif")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("region,R,G,B\na,1,2,3\n", "found the columns region, r, g, b; wanted one more, id"),
        ("region,R,G,B,value\na,1,2,3,0\n", "the value '0' of a does not fit"),
        ("region,R,G,B,value\na,1,2,3,x\n", "the value 'x' of a does not fit"),
        ("region,R,G,B,value\na,1,2,3,5\nb,1,2,4,5\n", "the value '5' of b does not fit"),
        ("region,R,G,B,value\na,1,2,3,3000000000\n", "the value '3000000000' of a"),
    ],
)
def test_tables_of_ids_that_do_not_fit(tmp_path, text, message):
    raw = raw_folder(tmp_path, "labels", drawn_labels(), count=1)
    (raw / "regions.csv").write_text(text)
    with pytest.raises(ValueError, match=f"regions.csv: {message}"):
        read_source("labels", raw, {})
    (raw / "regions.csv").unlink()
    with pytest.raises(FileNotFoundError, match="regions.csv: no such file. It must say which"):
        read_source("labels", raw, {})


def test_colors_of_no_region_are_reported(tmp_path, caplog):
    image = painted(drawn_labels())
    image[22:30, 32:40] = GREEN
    raw = raw_folder(tmp_path, "overlays", image, count=1)
    with caplog.at_level("INFO"):
        read_source("colour-code", raw, {}).sections[0].read()
    assert f"drawn_1.png: colors of no region: {GREEN}: 64 px" in caplog.text
    assert len(read_regions(raw / "regions.csv")) == 2
