"""Regions of a source under the names and ids of another set."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from PIL import Image
from raw_samples import drawn_labels, raw_folder
from whole_folders import WHOLE

from mrcnn.errors import UserError
from sebre.cli import commands as cli
from sebre.data.dataset import SectionDataset
from sebre.data.regions import MOUSE, SLICEMAP, RegionSet
from sebre.experiments import EXPERIMENTS
from sebre.prepare.region_map import LEFT_OUT, map_regions
from sebre.prepare.sources import read_source

JOINED = "cerebellum=hindbrain,brainstem=hindbrain"


@pytest.fixture
def slicemap(tmp_path) -> Path:
    WHOLE["slicemap"](tmp_path / "raw")
    return tmp_path / "raw"


def prepare(*arguments: object, experiment: str | None = None) -> int:
    return cli.main(["prepare", *map(str, arguments)], experiment=experiment)


def test_a_stand_in_gets_the_regions_and_ids_of_an_experiment(slicemap, tmp_path):
    out = tmp_path / "set"
    code = prepare(
        "slicemap", "--raw", slicemap, "--out", out, "--map", JOINED, "--regions-of", "p14_mouse"
    )
    assert code == cli.DONE
    sections = EXPERIMENTS["p14_mouse"].load(out, "train")
    masks, ids = sections.load_mask(0)
    assert [MOUSE[i].name for i in ids] == [
        "cortex", "hippocampus", "thalamus", "midbrain", "hindbrain",
    ]  # fmt: skip
    row = sections.image_info[0]["number"]
    with (out / "sections.csv").open(newline="") as file:
        rows = [
            r for r in csv.DictReader(file) if (r["subset"], r["section"]) == ("train", str(row))
        ]
    parts = [
        np.load(slicemap / f"labels_{n}.npy")[int(rows[0]["source_row"])] for n in ("bs", "cb")
    ]
    np.testing.assert_array_equal(masks[..., -1], (parts[0] | parts[1]) > 0)
    assert rows[0]["regions"] == "cortex hippocampus thalamus midbrain hindbrain"
    record = json.loads((out / "dataset.json").read_text())
    assert record["region_map"] == {
        "cortex": "cortex", "hippocampus": "hippocampus", "thalamus": "thalamus",
        "midbrain": "midbrain", "brainstem": "hindbrain", "cerebellum": "hindbrain",
    }  # fmt: skip
    assert [region["name"] for region in record["regions"]] == MOUSE.names
    page = (out / "README.md").read_text()
    assert "- **Regions of the source**: cortex -> cortex; " in page
    assert "brainstem + cerebellum -> hindbrain." in page
    assert "--map cerebellum=hindbrain --map brainstem=hindbrain --regions-of p14_mouse" in page
    with pytest.raises(ValueError, match="wanted are those of slicemap"):
        SectionDataset(SLICEMAP).load(out, "train")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (
            ["--regions-of", "p14_mouse"],
            ["brainstem, cerebellum is not among them", "brainstem=no"],
        ),
        (
            ["--regions-of", "p14_mouse", "--map", "cerebellum=hindbrain"],
            ["1 cortex, 2 hippocampus, 3 thalamus", "3 basal_ganglia", "and brainstem is not"],
        ),
        (["--regions-of", "p14_mouse", "--map", JOINED + ",cortex=ctx"], ["cortex (ctx) is not"]),
        (["--map", "cerebelum=hindbrain"], ["no region 'cerebelum'; it has cortex, hippocampus"]),
    ],
)
def test_names_that_there_are_not_are_listed(slicemap, tmp_path, capsys, options, parts):
    out = tmp_path / "set"
    assert prepare("slicemap", "--raw", slicemap, "--out", out, *options) == cli.USER_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert [part for part in parts if part not in line] == []
    assert not out.exists()


@pytest.mark.parametrize("text", ["cortex", "cortex=", "=a", "a=b=c", "a=b,c"])
def test_what_is_no_map(text, tmp_path, capsys):
    with pytest.raises(SystemExit):
        prepare("slicemap", "--raw", tmp_path, "--out", "x", "--map", text)
    assert "is not NAME=NAME" in capsys.readouterr().err


def test_a_map_alone_makes_a_set_of_its_names(slicemap):
    raw_set = read_source("slicemap", slicemap, {})
    given = {"Cerebellum": "hindbrain", "brainstem": "hindbrain", "thalamus": LEFT_OUT}
    mapped = map_regions(raw_set, given)
    assert mapped.regions.names == ["cortex", "hippocampus", "midbrain", "hindbrain"]
    assert mapped.regions[4].color == SLICEMAP[5].color
    image, masks = mapped.sections[0].read()
    np.testing.assert_array_equal(image, raw_set.sections[0].read()[0])
    before = raw_set.sections[0].read()[1]
    assert list(masks) == [1, 2, 3, 4]
    np.testing.assert_array_equal(masks[3], before[4])
    np.testing.assert_array_equal(masks[4], before[5] | before[6])
    with pytest.raises(ValueError, match="leaves out every region"):
        map_regions(raw_set, dict.fromkeys(SLICEMAP.names, LEFT_OUT))
    assert map_regions(raw_set, {}, SLICEMAP) is raw_set


def test_a_script_of_an_experiment_prepares_for_it(tmp_path):
    """Regions in another order, as a table of one's own may have them, get the ids of the
    experiment."""
    raw = raw_folder(tmp_path / "raw", "labels", drawn_labels())
    (raw / "regions.csv").write_text("id;region;R;G;B\n1;Hippocampus;9;9;9\n2;cortex;8;8;8\n")
    (raw / "labels").rename(raw / "overlays")
    for path in (raw / "overlays").iterdir():
        labels = np.asarray(Image.open(path))
        Image.fromarray(np.array([(255,) * 3, (9,) * 3, (8,) * 3], np.uint8)[labels]).save(path)
    out = tmp_path / "set"
    how = ("--raw", raw, "--out", out, "--source", "colour-code", "--tolerance", "0")
    assert prepare(*how, experiment="p14_mouse") == cli.DONE
    masks, ids = EXPERIMENTS["p14_mouse"].load(out, "train").load_mask(0)
    assert ids.tolist() == [1, 2]
    np.testing.assert_array_equal(masks[..., 0], drawn_labels() == 2)
    np.testing.assert_array_equal(masks[..., 1], drawn_labels() == 1)


def test_a_prepared_set_is_a_source_itself(tmp_path):
    """The embedded sections for the mouse experiment of the paper, as docs/experiments.md says."""
    source, out = ROOT / "datasets" / "slicemap", tmp_path / "set"
    how = ("prepared", "--raw", source, "--map", JOINED)
    assert prepare(*how, "--out", out, "--regions-of", "p14_mouse") == cli.DONE
    facts = [json.loads((root / "dataset.json").read_text()) for root in (source, out)]
    for key in ("name", "plane", "pixel_size_um", "licence", "processing"):
        assert facts[0][key] == facts[1][key]
    for part in ("train", "val"):
        old = EXPERIMENTS["slicemap"].load(source, part)
        new = EXPERIMENTS["p14_mouse"].load(out, part)
        assert new.num_images == old.num_images
        for image_id in (0, 7):
            np.testing.assert_array_equal(new.load_image(image_id), old.load_image(image_id))
            (drawn, ids), (masks, new_ids) = old.load_mask(image_id), new.load_mask(image_id)
            assert new_ids.tolist() == [1, 2, 4, 6, 7] and ids.tolist() == [1, 2, 3, 4, 5, 6]
            np.testing.assert_array_equal(masks[..., :4], drawn[..., :4])
            np.testing.assert_array_equal(masks[..., 4], drawn[..., 4:].any(axis=-1))
    assert (out / "LICENSE").read_bytes() == (source / "LICENSE").read_bytes()
    picture = "mrcnn_val_dataset_images/section_img_0.png"
    with Image.open(out / picture) as new, Image.open(source / picture) as old:
        assert new.mode == old.mode == "L"


def test_prepared_sets_that_are_no_source(tmp_path, capsys):
    raw, turned = tmp_path / "raw", tmp_path / "turned"
    WHOLE["prepared"](raw)
    assert prepare("prepared", "--raw", raw, "--out", turned, "--rotations") == cli.DONE
    assert prepare("prepared", "--raw", turned, "--out", tmp_path / "x") == cli.USER_ERROR
    assert "sections.csv: the data set holds turned versions" in capsys.readouterr().err
    (raw / "dataset.json").unlink()
    assert prepare("prepared", "--raw", raw, "--out", tmp_path / "x") == cli.USER_ERROR
    assert "no dataset.json that says which regions" in capsys.readouterr().err


def test_capitals_join_a_name_with_the_one_that_it_may_be(slicemap, caplog):
    raw = read_source("slicemap", slicemap, {})
    joined = map_regions(raw, {"midbrain": "Cortex", "thalamus": "new"})
    assert joined.regions.names == ["cortex", "hippocampus", "new", "brainstem", "cerebellum"]
    assert joined.region_map["midbrain"] == "cortex" and caplog.text == ""
    two = map_regions(raw, {"thalamus": "IC", "cerebellum": "ic"})
    assert two.regions.names == ["cortex", "hippocampus", "IC", "midbrain", "brainstem", "ic"]
    assert "IC, ic: names that only spelling tells apart" in caplog.text


def test_a_map_leaves_names_that_capitals_tell_apart_alone(slicemap, caplog):
    raw = read_source("slicemap", slicemap, {})
    raw = map_regions(raw, {"cortex": "IC", "hippocampus": "ic"})
    caplog.clear()
    before = raw.sections[0].read()[1]
    for given, kept in (({"thalamus": LEFT_OUT}, ["IC", "ic"]), ({"IC": LEFT_OUT}, ["ic"])):
        mapped = map_regions(raw, given)
        assert mapped.regions.names[: len(kept)] == kept
        masks = mapped.sections[0].read()[1]
        for place, name in enumerate(kept, start=1):
            np.testing.assert_array_equal(masks[place], before[1 + (name == "ic")])
    swapped = RegionSet("mine", (replace(SLICEMAP[1], name="ic"), replace(SLICEMAP[2], name="IC")))
    mapped = map_regions(raw, dict.fromkeys(SLICEMAP.names[2:], LEFT_OUT), swapped)
    np.testing.assert_array_equal(mapped.sections[0].read()[1][1], before[2])
    assert caplog.text == ""
    with pytest.raises(UserError, match="no region 'Ic'"):
        map_regions(raw, {"Ic": LEFT_OUT})
