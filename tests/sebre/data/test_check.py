"""Looking through prepared data sets, and through folders made for the released SeBRe code."""

import csv
import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import section_cases
from paths import ROOT
from PIL import Image
from raw_samples import write as save

from sebre.data.check import Finding, check, render
from sebre.data.regions import HIPPOCAMPUS, MOUSE, SLICEMAP, Region, RegionSet
from sebre.prepare.layout import new_data_set

SIDE = 40
square = functools.partial(section_cases.square, SIDE)
REGIONS = RegionSet(
    "three",
    (Region(1, "cortex", "C", (1, 0, 0)), Region(2, "basal_ganglia", "B", (2, 0, 0)))
    + (Region(3, "CA3", "A", (3, 0, 0)),),
)


@pytest.fixture
def root(tmp_path) -> Path:
    """A healthy data set: two sections to train, one to test, three regions in each."""
    rng = np.random.default_rng(0)
    with new_data_set(tmp_path / "set", REGIONS) as writer:
        for row, (subset, number) in enumerate([("train", 0), ("train", 1), ("val", 0)]):
            masks = {i: square(10 * i - 10, 10 * i) > 0 for i in (1, 2, 3)}
            image = rng.integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
            facts = {"subject": f"{subset}-brain", "plate": row, "source_row": row}
            writer.add(subset, number, image, masks, **facts)
        writer.write_text("README.md", "# A set\n")
        writer.write_facts(name="set")
    return tmp_path / "set"


def image(root: Path, subset: str = "train", k: int = 0) -> Path:
    return root / f"mrcnn_{subset}_dataset_images" / f"section_img_{k}.png"


def mask(root: Path, name: str, k: int = 0) -> Path:
    return root / "mrcnn_train_dataset_masks" / f"section_masks_{k}" / name


def cortex(root: Path, k: int = 0) -> Path:
    return mask(root, f"section_masks_{k}_cortex_m1.png", k)


def found(root: Path, *kinds: str, **kwargs) -> list[Finding]:
    """Findings of some kinds (or all that are no notes) beside the changed checksums."""
    findings = [f for f in check(root, **kwargs) if f.kind != "checksum"]
    return [f for f in findings if (f.kind in kinds if kinds else f.severity != "note")]


def one(root: Path, kind: str, severity: str, **kwargs) -> Finding:
    """The only finding beside notes, or the only one of a kind of notes."""
    findings = found(root, *([kind] if severity == "note" else []), **kwargs)
    assert [(f.kind, f.severity) for f in findings] == [(kind, severity)]
    return findings[0]


def test_a_healthy_set_has_notes_only(root):
    findings = check(root)
    assert {(f.severity, f.kind) for f in findings} == {("note", "contents"), ("note", "leaks")}
    text = render(findings, root)
    assert "2 images in train, 1 images in val; masks by class id: 1: 3, 2: 3, 3: 3." in text
    assert "no subject and no section is in both parts" in text
    assert text.endswith("0 error(s), 0 warning(s), 2 note(s)")


def test_the_committed_set_is_healthy():
    findings = check(ROOT / "datasets" / "slicemap", SLICEMAP)
    assert {f.severity for f in findings} == {"note"}
    assert {f.kind for f in findings} == {"contents", "leaks", "overlap"}


def test_missing_folder_and_folder_without_a_data_set(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        check(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    [finding] = check(tmp_path / "empty")
    assert (finding.severity, finding.kind) == ("error", "layout")
    assert "mrcnn_train_dataset_images" in finding.cure
    [finding] = check(tmp_path)
    assert str(root) in finding.cure


def test_missing_half_of_a_subset_and_no_images(root):
    for path in (root / "mrcnn_val_dataset_masks").rglob("*.png"):
        path.unlink()
    (root / "mrcnn_val_dataset_masks" / "section_masks_0").rmdir()
    assert [f.kind for f in found(root)][0] == "no mask folder"
    (root / "mrcnn_val_dataset_masks").rmdir()
    findings = found(root)
    assert findings[0].kind == "layout"
    assert findings[0].path.name == "mrcnn_val_dataset_masks"
    image(root, "val").unlink()
    (root / "mrcnn_val_dataset_masks").mkdir()
    assert "no images" in found(root, "layout")[0].problem


def test_mask_of_another_size(root):
    save(cortex(root), np.pad(square(0, 10), ((0, 0), (0, 3))))
    finding = one(root, "size", "error")
    assert finding.path == cortex(root)
    assert finding.problem == "the mask has 40 x 43 px, its image section_img_0.png has 40 x 40."


def test_unknown_class_id(root):
    path = mask(root, "section_masks_0_m_12.png")
    save(path, square(36, 40))
    finding = one(root, "class id", "error")
    assert finding.path == path
    assert "12 is not in the region set 'three' (1-3)" in finding.problem


def test_another_region_set(root):
    findings = found(root, "region set", regions=HIPPOCAMPUS)
    assert "made for the regions cortex, basal_ganglia, CA3" in findings[0].problem
    assert findings[0].severity == "error"


@pytest.mark.parametrize("target", [cortex, image])
@pytest.mark.parametrize("content", [b"", b"not a picture", None])
def test_unreadable_files(root, target, content):
    path = target(root)
    content = path.read_bytes()[:50] if content is None else content
    path.write_bytes(content)
    [finding] = found(root, "unreadable")
    assert (finding.severity, finding.path) == ("error", path)
    assert finding.problem.startswith("cannot read this picture")


def test_names_that_the_reader_refuses(root):
    (root / "mrcnn_train_dataset_images" / "notes.txt").write_text("x")
    save(mask(root, "cortex.png"), square(0, 3))
    save(mask(root, "again_1.png"), square(0, 9))
    mask(root, "inner_4").mkdir()
    save(image(root).with_name("other_1.png"), square(0, 3))
    findings = found(root)
    assert {(f.severity, f.kind) for f in findings} == {("error", "file name")}
    names = {f.path.name: f.problem for f in findings}
    assert names.keys() == {
        "notes.txt",
        "cortex.png",
        "section_masks_0_cortex_m1.png",
        "inner_4",
        "section_img_1.png",
    }
    assert "again_1.png has the number 1 too" in names["section_masks_0_cortex_m1.png"]


def test_masks_without_image_and_image_without_masks(root):
    image(root).rename(image(root, k=4))
    findings = {f.kind: f for f in found(root) if f.kind != "sections.csv"}
    assert findings["no image"].path.name == "section_masks_0"
    assert findings["no mask folder"].path == image(root, k=4)
    [gap] = found(root, "numbering")
    assert gap.severity == "note"
    assert "numbers without an image: 0, 2, 3." in gap.problem


def test_empty_masks_and_sections_without_a_region_are_noted(root):
    for path in mask(root, "").iterdir():
        save(path, square(0, 0))
    findings = found(root, "empty mask", "no region")
    assert [f.kind for f in findings] == ["empty mask"] * 3 + ["no region"]
    assert {f.severity for f in findings} == {"note"}
    assert "its row in sections.csv lists" in one(root, "listed regions", "warning").problem


def test_a_set_that_shows_nothing_is_an_error(root):
    masks = [path for path in root.rglob("*_m?.png")]
    for path in masks[1:]:
        path.unlink()
    assert not found(root, "nothing drawn")
    masks[0].unlink()
    (finding,) = found(root, "nothing drawn")
    assert finding.severity == "error" and "no section shows any region" in finding.problem


def test_what_systems_leave_is_no_part_of_the_set(root):
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        for name in ("._section_img_0.png", ".DS_Store", "Thumbs.db", "@eaDir/s_7.png"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"x")
    (root / "__MACOSX").mkdir()
    findings = check(root)
    assert {(f.severity, f.kind) for f in findings} == {("note", "contents"), ("note", "leaks")}


def test_tiny_and_inverted_masks(root):
    save(cortex(root), square(0, 3))
    assert one(root, "tiny mask", "warning").problem == "9 px."
    save(cortex(root), 255 - square(0, 8))
    findings = {f.kind: f for f in found(root)}
    assert findings.keys() == {"inverted mask", "overlap"}
    assert findings["inverted mask"].problem.startswith("96% of the image")


def test_values_of_masks(root):
    for high, bits in ((255, np.uint8), (1, np.uint8), (65535, np.uint16), (256, np.uint16)):
        save(cortex(root), (square(0, 10) > 0).astype(bits) * bits(high))
        assert found(root) == []
        assert len(found(root, "16-bit mask")) == (bits == np.uint16)
    smooth = square(0, 10)
    smooth[9] //= 2
    save(cortex(root), smooth)
    assert "has 3 different values, up to 255" in one(root, "gray mask", "warning").problem
    cortex(root).unlink()
    save(cortex(root).with_suffix(".jpg"), square(0, 10))
    assert one(root, "JPEG mask", "warning").path.suffix == ".jpg"


def test_kinds_of_images(root):
    rng = np.random.default_rng(1)
    save(image(root), rng.integers(0, 4096, (SIDE, SIDE), dtype=np.uint16))
    assert one(root, "16-bit image", "note").problem == "uint16 values; divided by 16."
    save(image(root), rng.integers(0, 255, (SIDE, SIDE, 4), dtype=np.uint8))
    assert one(root, "transparency", "note").path == image(root)
    save(image(root), np.full((SIDE, SIDE, 3), 7, np.uint8))
    assert one(root, "blank image", "warning").problem == "all pixels are 7."
    image(root).unlink()
    path = image(root).with_suffix(".tif")
    pages = [Image.fromarray(page) for page in rng.integers(0, 255, (7, SIDE, SIDE), np.uint8)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert "holds 7 pages" in one(root, "unreadable", "error").problem
    Image.fromarray(np.full((SIDE, SIDE), np.nan, np.float32)).save(path)
    assert "not numbers" in one(root, "unreadable", "error").problem


def test_overlap_along_a_border_is_noted_and_more_is_a_warning(root):
    save(cortex(root), square(0, 11))
    finding = one(root, "overlap", "note")
    assert finding.problem.startswith("0.3% of the drawn pixels lie in more than one mask; most: ")
    assert "1.0% of section_masks_0_basal_ganglia_m2.png lies in" in finding.problem
    save(cortex(root), square(0, 16))
    assert "Let each pixel" not in one(root, "overlap", "note").cure
    save(cortex(root), square(0, 17))
    assert "Let each pixel" in one(root, "overlap", "warning").cure
    save(cortex(root), square(10, 20))
    assert "saved twice" in one(root, "overlap", "warning").cure


def test_a_region_that_no_section_shows(root):
    for k in (0, 1):
        cortex(root, k).unlink()
    findings = found(root, "absent region")
    assert [f.problem for f in findings] == ["no section shows cortex (class id 1)."]
    assert findings[0].cure == "It cannot be learned."
    assert findings[0].path == root / "mrcnn_train_dataset_masks"


def test_names_against_numbers(root):
    cortex(root).rename(mask(root, "section_masks_0_Basal-Ganglia_m1.png"))
    finding = one(root, "region name", "error")
    assert "class id 1 is cortex in the region set 'three', not Basal-Ganglia" in finding.problem
    mask(root, "section_masks_0_basal_ganglia_m2.png").rename(
        mask(root, "section_masks_0_basal ganglia_m2.png")
    )
    assert len(found(root)) == 1
    mask(root, "section_masks_0_CA3_m3.png").rename(mask(root, "section_masks_0_CA3.png"))
    assert [f.problem for f in found(root, "mask name")] == [
        "class id 3 is read from the end of a word."
    ]


def edit_table(root: Path, change: Callable[[list[dict]], list[dict]]) -> None:
    path = root / "sections.csv"
    with path.open(newline="") as file:
        rows = change(list(csv.DictReader(file)))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_table_and_files_that_do_not_fit(root):
    edit_table(root, lambda rows: [rows[0], rows[0], *rows[2:], {**rows[1], "section": 9}])
    findings = found(root)
    assert sorted((f.severity, f.problem) for f in findings) == [
        ("error", "2 rows for section 0 of train."),
        ("error", "section 9 of train has a row but no image."),
        ("warning", "has no row in sections.csv."),
    ]
    edit_table(root, lambda rows: [{**row, "section": "x"} for row in rows])
    assert one(root, "sections.csv", "error").problem.startswith("cannot be read (invalid literal")
    edit_table(root, lambda rows: [{"section": row["section"]} for row in rows])
    assert "column subset is missing" in one(root, "sections.csv", "error").problem
    (root / "sections.csv").write_bytes(b"section,subset\n\xff\xfe")
    assert one(root, "sections.csv", "error").cure.startswith("It wants the columns")


def test_leaks(root):
    edit_table(root, lambda rows: [{**row, "subject": "a"} for row in rows])
    finding = one(root, "leaks", "warning")
    assert "1 of 1 test subjects are in training too (a)" in finding.problem
    assert "1 test plates lie next to a plate in training" in finding.problem
    edit_table(root, lambda rows: [{**row, "source_row": 0} for row in rows])
    assert "test sections have versions in training" in one(root, "leaks", "warning").problem


def test_one_picture_in_both_parts(root):
    save(image(root, "val"), np.asarray(Image.open(image(root))))
    finding = one(root, "same picture", "warning")
    assert finding.path == image(root, "val")
    assert "mrcnn_train_dataset_images/section_img_0.png, in another part" in finding.problem


def test_checksums(root):
    (root / "README.md").write_text("changed")
    (root / "dataset.json").unlink()
    (root / "more.txt").write_text("x")
    findings = {f.path.name: f for f in check(root) if f.kind == "checksum"}
    assert findings["README.md"].problem == "differs from its checksum in SHA256SUMS."
    assert findings["dataset.json"].problem == "listed in SHA256SUMS, but not there."
    assert findings["more.txt"].severity == "note"
    assert len(findings) == 3
    (root / "SHA256SUMS").write_text("nonsense\n")
    assert "line 1 is not a checksum" in render(check(root), root)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"regions": [{"id": 2, "name": "a"}]}'])
def test_damaged_facts(root, text):
    (root / "dataset.json").write_text(text)
    finding = one(root, "dataset.json", "error")
    assert "its regions cannot be read" in finding.problem


@pytest.fixture
def released(tmp_path) -> Path:
    """As the released notebook and its users write it: no tables, JPEG images, 16-bit masks."""
    rng = np.random.default_rng(2)
    for subset in ("train", "val"):
        for k in range(3):
            folder = tmp_path / f"mrcnn_{subset}_dataset_masks" / f"section_masks_{k}"
            names = ("cortex_m1", "m_2", "thalamus_m4") if k else ("cortex_m1", "2", "BS_m12")
            for i, name in enumerate(names):
                array = square(10 * i, 10 * i + 10).astype(np.uint16) * 257
                save(folder / f"section_masks_{k}_{name}.png", array)
            save(folder / f"section_masks_{k}_midbrain_m6.png", square(0, 0).astype(np.uint16))
            pixels = rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
            images = tmp_path / f"mrcnn_{subset}_dataset_images"
            save(images / f"section_img_{k}.jpg", pixels)
    return tmp_path


def test_folders_of_the_released_code_have_no_errors(released):
    findings = check(released)
    assert {f.severity for f in findings} == {"note"}
    assert {f.kind for f in findings} == {
        "16-bit mask",
        "contents",
        "dataset.json",
        "empty mask",
        "sections.csv",
    }
    text = render(findings, released)
    assert "masks by class id: 1: 6, 2: 6, 4: 4, 6: 6, 12: 2." in text
    assert "note: 16-bit mask (24)" in text
    assert "  ... and 19 more" in text


def test_folders_of_the_released_code_against_a_region_set(released):
    errors = [f for f in check(released, MOUSE) if f.severity == "error"]
    assert [f.path.name for f in errors] == ["section_masks_0_BS_m12.png"] * 2
    folder = released / "mrcnn_val_dataset_masks" / "section_masks_1"
    (folder / "section_masks_1_thalamus_m4.png").rename(
        folder / "section_masks_1_cerebellum_m4.png"
    )
    [finding] = [f for f in check(released) if f.severity == "warning"]
    assert "class id 4 is thalamus in other sections, not cerebellum" in finding.problem


def test_render_tells_errors_first_and_paths_from_the_root(tmp_path):
    findings = [
        Finding("note", "b", tmp_path, "all is well."),
        Finding("error", "z", tmp_path / "in" / "x.png", "is broken.", "Mend it."),
    ]
    assert render(findings, tmp_path).splitlines() == [
        "error: z (1)",
        "  in/x.png: is broken. Mend it.",
        "note: b (1)",
        f"  {tmp_path.as_posix()}: all is well.",
        "1 error(s), 0 warning(s), 1 note(s)",
    ]


def test_preparing_and_checking_do_not_load_the_network():
    code = (
        "import sys, sebre.data.check, sebre.data.rotation, sebre.data.split; "
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
