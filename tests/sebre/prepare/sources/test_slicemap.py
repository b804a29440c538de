"""From the raw arrays to datasets/slicemap."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

from sebre.cli import commands as cli
from sebre.data.dataset import SectionDataset
from sebre.data.regions import SLICEMAP
from sebre.prepare.build import build
from sebre.prepare.sources.slicemap import read_source, to_8_bit

COMMITTED = ROOT / "datasets" / "slicemap"
CODES = ("cx", "hp", "th", "mb", "bs", "cb")


def prepare(raw: Path, out: Path, seed: int = 0) -> None:
    build(read_source(raw), out, seed=seed)


@pytest.fixture
def raw(tmp_path) -> Path:
    """Ten made-up sections; the last region is torn off the fourth."""
    folder = tmp_path / "raw"
    folder.mkdir()
    rng = np.random.default_rng(0)
    np.save(folder / "features.npy", rng.random((10, 16, 16)) * 0.2)
    for i, code in enumerate(CODES):
        labels = np.zeros((10, 16, 16), np.int64)
        labels[:, i : i + 6, 2:8] = 1
        if code == "cb":
            labels[3] = 0
            labels[3, 0, :7] = 1
        np.save(folder / f"labels_{code}.npy", labels)
    (folder / "LICENSE").write_text("A license\n")
    return folder


def sections(root: Path) -> list[dict[str, str]]:
    with (root / "sections.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_committed_set_is_what_the_raw_arrays_give(data_dir, tmp_path):
    command = ["prepare", "slicemap", "--raw", data_dir / "sagittal59", "--out", tmp_path / "out"]
    assert cli.main(command) == cli.DONE
    made = {p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*") if p.is_file()}
    kept = {p.relative_to(COMMITTED) for p in COMMITTED.rglob("*") if p.is_file()}
    assert made == kept
    for name in made - {Path("SHA256SUMS")}:  # another zlib may pack the same pixels otherwise
        if name.name == "contact_sheet.png":  # fonts may be drawn otherwise
            continue
        if name.suffix == ".png":
            a, b = (np.asarray(Image.open(root / name)) for root in (tmp_path / "out", COMMITTED))
            np.testing.assert_array_equal(a, b, err_msg=str(name))
        else:
            assert (tmp_path / "out" / name).read_text() == (COMMITTED / name).read_text(), name


def test_committed_files_have_their_checksums():
    lines = (COMMITTED / "SHA256SUMS").read_text().splitlines()
    assert len(lines) > 340
    for line in lines:
        checksum, name = line.split("  ")
        assert hashlib.sha256((COMMITTED / name).read_bytes()).hexdigest() == checksum, name


def test_committed_set_loads_and_its_parts_share_no_section():
    counts, rows = {}, {}
    for subset in ("train", "val"):
        dataset = SectionDataset(SLICEMAP).load(COMMITTED, subset)
        dataset.prepare()
        loaded = [dataset.load_mask(i) for i in dataset.image_ids]
        assert min(masks.sum(axis=(0, 1)).min() for masks, _ in loaded) >= 20
        ids = np.concatenate([ids for _, ids in loaded])
        counts[subset] = (dataset.num_images, np.bincount(ids, minlength=7)[1:].tolist())
        table = [r for r in sections(COMMITTED) if r["subset"] == subset]
        rows[subset] = {r["source_row"] for r in table}
    assert counts == {"train": (38, [38] * 5 + [36]), "val": (12, [12] * 6)}
    assert not rows["train"] & rows["val"]
    assert "Apache License" in (COMMITTED / "LICENSE").read_text()


def test_images_and_masks_of_a_row(data_dir):
    row = next(r for r in sections(COMMITTED) if r["subset"] == "val" and r["section"] == "3")
    raw, index = data_dir / "sagittal59", int(row["source_row"])
    dataset = SectionDataset(SLICEMAP).load(COMMITTED, "val")
    dataset.prepare()
    masks, class_ids = dataset.load_mask(3)
    for i, code in enumerate(CODES):
        labels = np.load(raw / f"labels_{code}.npy")[index]
        np.testing.assert_array_equal(masks[..., class_ids.tolist().index(i + 1)], labels > 0)
    image = dataset.load_image(3)[..., 0].astype(float)
    root = np.sqrt(np.load(raw / "features.npy")[index])
    inside = (image > 0) & (image < 255)
    ratio = image[inside] / root[inside]
    assert np.ptp(ratio * root[inside] - np.median(ratio) * root[inside]) < 1.5


def test_torn_region_is_left_out(raw, tmp_path):
    prepare(raw, tmp_path / "out")
    missing = [r for r in sections(tmp_path / "out") if "cerebellum" not in r["regions"]]
    assert [r["source_row"] for r in missing] == ["3"]
    row = missing[0]
    folder = tmp_path / "out" / f"mrcnn_{row['subset']}_dataset_masks"
    folder /= f"section_masks_{row['section']}"
    assert len(list(folder.iterdir())) == 5


def test_seed_fixes_the_split(raw, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        prepare(raw, tmp_path / name, seed=seed)
    a, b, c = (sections(tmp_path / name) for name in "abc")
    assert a == b
    assert a != c
    assert json.loads((tmp_path / "c" / "dataset.json").read_text())["split"]["seed"] == 1


def test_eight_bit_is_monotone_and_uses_the_range():
    image = np.linspace(0, 0.3, 10000).reshape(100, 100)
    values = to_8_bit(image).ravel()
    assert values[0] == 0
    assert values[-1] == 255
    assert (np.diff(values.astype(int)) >= 0).all()
    assert values[2500] == pytest.approx(255 * np.sqrt(0.25 / 0.99), abs=1)
    assert to_8_bit(np.zeros((4, 4))).max() == 0


def test_output_in_use_is_not_touched(raw, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="not an empty folder"):
        prepare(raw, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]


def break_missing(raw):
    (raw / "labels_th.npy").unlink()


def break_shape(raw):
    np.save(raw / "labels_th.npy", np.zeros((10, 16, 15), int))


def break_values(raw):
    np.save(raw / "labels_th.npy", np.full((10, 16, 16), 2))


def break_nan(raw):
    np.save(raw / "features.npy", np.full((10, 16, 16), np.nan))


def break_file(raw):
    (raw / "labels_th.npy").write_bytes(b"PK")


def break_rows(raw):
    (raw / "rows.csv").write_text("row,upstream_row\n0,1\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_missing, "labels_th.npy: no such file"),
        (break_shape, r"labels_th.npy: int64 \(10, 16, 15\); wanted 0 and 1"),
        (break_values, "labels_th.npy"),
        (break_nan, "features.npy: values must be finite"),
        (break_file, "labels_th.npy: not a NumPy array"),
        (break_rows, "rows.csv: 1 rows for 10 sections"),
    ],
)
def test_damaged_raw_data_is_named_and_leaves_nothing(raw, tmp_path, damage, message):
    damage(raw)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        prepare(raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.part").exists()


def test_without_row_table_nothing_was_selected(data_dir, raw, tmp_path):
    prepare(raw, tmp_path / "out")
    assert all(r["source_row"] == r["upstream_row"] for r in sections(tmp_path / "out"))
    shutil.copy(data_dir / "sagittal59" / "rows.csv", raw / "rows.csv")
    with pytest.raises(ValueError, match="50 rows for 10 sections"):
        prepare(raw, tmp_path / "out2")
