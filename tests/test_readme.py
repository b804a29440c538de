"""README, docs and model cards: their examples run, their numbers are stored, their links lead
somewhere."""

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from paths import ROOT

import sebre
from mrcnn.model import MaskRCNN

MRCNN_LOSSES = ("mrcnn_class", "mrcnn_bbox", "mrcnn_mask")

DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "notebooks" / "README.md", *DOCS]
CARDS = sorted((ROOT / "weights").glob("*.md"))
# Record of each row of the README's table, by the name of its data.
RECORDS = {
    "sebre_figures": "p14_mouse",
    "mouse_mri": "extended_mouse_mri",
    "demba": "extended_mouse_demba",
    "ccf": "extended_mouse_demba_ccf",
    "ara_nissl": "hippocampus",
    "malc2012": "ibsr",
    "slicemap": "slicemap",
}


def _examples(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def _run(code, page, **space):
    exec(compile(code, page, "exec"), space)
    return space


def _small_dataset(folder):
    """Two training sections and a validation section of the embedded data set."""
    source = ROOT / "datasets" / "slicemap"
    for subset, numbers in (("train", (0, 1)), ("val", (0,))):
        for kind in ("images", "masks"):
            (folder / f"mrcnn_{subset}_dataset_{kind}").mkdir(parents=True)
        for n in numbers:
            image = f"mrcnn_{subset}_dataset_images/section_img_{n}.png"
            masks = f"mrcnn_{subset}_dataset_masks/section_masks_{n}"
            shutil.copy(source / image, folder / image)
            shutil.copytree(source / masks, folder / masks)


def _assert_trained(values, model, checkpoint, logs):
    """Two steps lower no loss yet; they show that all five losses train all of the network."""
    parts = [f"{name}_loss" for name in ("rpn_class", "rpn_bbox", *MRCNN_LOSSES)]
    for prefix in ("", "val_"):
        found = [values[prefix + name] for name in parts]
        assert min(found) > 0 and values[prefix + "loss"] == pytest.approx(sum(found), rel=0.01)
    # Of a network that knows nothing: all classes, and both values of a mask, are as likely.
    assert values["mrcnn_class_loss"] == pytest.approx(np.log(model.config.NUM_CLASSES), abs=0.2)
    assert values["mrcnn_mask_loss"] == pytest.approx(np.log(2), abs=0.2)
    start = MaskRCNN("inference", model.config, logs)
    network = start.keras_model
    before = network.get_weights()
    assert not start.load_weights(checkpoint).missing
    pairs = zip(network.weights, before, network.get_weights(), strict=True)
    assert [w.path for w, old, new in pairs if np.array_equal(old, new)] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.usefixtures("op_by_op")
def test_example_of_the_readme(tmp_path, monkeypatch, capsys):
    (tmp_path / "datasets").symlink_to(ROOT / "datasets")
    monkeypatch.chdir(tmp_path)
    (code,) = _examples("README.md")
    assert len([line for line in code.splitlines() if line.strip()]) == 5
    _run(code, "README.md")
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("cortex", "hippocampus", "thalamus", "cerebellum"))
    assert len(list((tmp_path / "found").glob("section_img_0*"))) == 4


@pytest.mark.usefixtures("op_by_op")
def test_examples_of_training_detecting_and_loading(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _small_dataset(tmp_path / "my_dataset")
    names = ("cortex", "hippocampus", "thalamus", "midbrain", "brainstem", "cerebellum")
    rows = [f"{i},{name},{40 * i},0,0" for i, name in enumerate(names, start=1)]
    (tmp_path / "my_regions.csv").write_text("\n".join(["id,name,r,g,b", *rows]) + "\n")
    training, detecting = _examples("docs/own_data.md")
    short = training.replace("epochs=12", "epochs=1").replace(
        'NAME="mine",', 'NAME="mine", STEPS_PER_EPOCH=2,'
    )
    assert short.count("epochs=1,") == 1 and "STEPS_PER_EPOCH=2" in short
    space = _run(short, "own_data.md")
    checkpoint = Path(space["model"].find_last())
    assert checkpoint.name == "mask_rcnn_mine_0001.h5"
    header, row = (checkpoint.parent / "log.csv").read_text().splitlines()
    values = dict(zip(header.split(","), map(float, row.split(",")), strict=True))
    _assert_trained(values, space["model"], checkpoint, tmp_path)
    assert len([line for line in training.splitlines() if line.strip()]) <= 12

    found = _run(detecting, "own_data.md", **space)["found"]
    assert set(found) >= {"rois", "class_ids", "scores", "masks"}

    shutil.copy(checkpoint, tmp_path / "mask_rcnn_coco.h5")
    (loading,) = _examples("docs/old_weights.md")
    report = _run(loading, "old_weights.md", model=space["model"])["report"]
    assert {"mrcnn_class_logits", "mrcnn_mask"} <= set(report.excluded)
    assert "conv1" in report.loaded


def _average_precision(regions, cut_off):
    """AP of one section from its stored regions: the paper's, mask IoU 0.5, all pooled."""
    found = [r for r in regions.values() if r["score"] and r["score"] >= cut_off]
    hits = np.cumsum([r["iou"] >= 0.5 for r in sorted(found, key=lambda r: -r["score"])])
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    gained = np.diff(hits, prepend=0)
    return float(np.sum(gained * precision)) / len(regions)


def _stored(name, cut_off):
    """mAP and mean Dice of a stored record at a higher cut-off than it was made with.

    Regions that were found but are not drawn are in no record; they change the third digit.
    """
    record = json.loads((ROOT / "results" / f"{name}.json").read_text())
    assert record["detection_min_confidence"] <= cut_off and record["best_per_class"]
    sections = [section["regions"] for section in record["sections"]]
    dice = {}
    for name, region in (item for regions in sections for item in regions.items()):
        dice.setdefault(name, []).append(region["dice"] if region["score"] >= cut_off else 0)
    return (
        np.mean([_average_precision(regions, cut_off) for regions in sections]),
        np.mean([np.mean(values) for values in dice.values()]),
    )


def test_scores_of_the_readme_are_stored():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]*?: `(\w+)`.*\|$", text, re.MULTILINE)
    assert rows == list(RECORDS)
    for data, name in RECORDS.items():
        line = next(line for line in text.splitlines() if f": `{data}`" in line)
        at_03, at_09, dice = (float(cell) for cell in line.split("|")[2:5])
        record = json.loads((ROOT / "results" / f"{name}.json").read_text())
        assert record["dataset"] == data
        assert (at_03, dice) == (round(record["map_paper"], 3), round(record["dice_mean"], 3))
        assert at_09 == pytest.approx(_stored(name, 0.9)[0], abs=2e-3), data


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.stem)
def test_a_card_says_what_the_manifest_says(card):
    manifest = json.loads((ROOT / "weights" / "manifest.json").read_text())
    assert {path.stem for path in CARDS} == set(manifest)
    entry, text = manifest[card.stem], " ".join(card.read_text(encoding="utf-8").split())
    assert f"| License | {entry['licence']} |" in text
    assert entry["licence"] != "MIT", "the terms of the data that it was trained on"
    assert entry["sha256"] in text and entry["command"] in text
    if entry.get("network") == "backbone":
        return  # it finds nothing that could be scored
    if entry.get("network") == "neurites":
        for value in entry["scores"].values():
            assert f"| {value:.3f} |" in text
        return
    if entry["dataset"] == "synthetic":  # its test sections are real ones of several sources
        for value in entry["scores"]["dice_per_source"].values():
            assert f"| {value:.3f} |" in text
        return
    for scores in (entry["scores"], entry["scores"]["turned"]):
        assert f"| {scores['map_paper']:.3f} | {scores['dice_mean']:.3f} |" in text
    if "_unet" not in card.stem:
        at_09, dice = _stored(card.stem, 0.9)
        given = re.search(r"as they lie: mAP (0\.\d+), mean Dice (0\.\d+) \(from", text)
        assert [*map(float, given.groups())] == pytest.approx([at_09, dice], abs=6e-4)


@pytest.mark.parametrize("page", [*PAGES, *CARDS], ids=lambda path: path.stem)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    missing = [
        link
        for link in links
        if not re.match(r"[a-z]+:", link) and not (page.parent / unquote(link)).exists()
    ]
    assert missing == []


def test_one_version_everywhere():
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {sebre.__version__}\n" in cited
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\d+\.\d+\.\d+)", changes, re.MULTILINE)
    assert newest.group(1) == sebre.__version__


def test_files_of_the_house_are_there():
    text = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:mrcnn|sebre|samples|tests|notebooks|results)/[\w/.-]+)`", text)
    assert len(named) > 60
    assert [name for name in named if not (ROOT / name).exists()] == []
