"""Regions of one's own: the experiment of a data set, trained, loaded by its path, used."""

import csv
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from op_by_op import run_op_by_op
from paths import ROOT

import sebre
from sebre.cli import commands as cli
from sebre.data.csv_tables import read_rows, write_table
from sebre.data.region_names import side_pairs, sides_of
from sebre.data.regions import SLICEMAP as SIX
from sebre.data.regions import Region, RegionSet
from sebre.evaluation.learning_curve import part_of_set
from sebre.experiments.custom import (
    custom_experiment,
    distinct_colors,
    experiment_of_dataset,
    experiment_of_settings,
    held_out_share,
)
from sebre.networks.epoch_reports import mean_dice, spoken_time
from sebre.networks.segmenter import find_network, load_segmenter, read_image
from sebre.networks.train import training_sets
from sebre.networks.training_run import weights_of_run
from sebre.prepare.layout import new_data_set

pytestmark = pytest.mark.usefixtures("op_by_op")  # networks of a few steps

SLICEMAP = ROOT / "datasets" / "slicemap"
NAMES = ["cortex", "hippocampus", "thalamus"]
TINY = {
    **{"IMAGE_MIN_DIM": 64, "IMAGE_MAX_DIM": 64, "STEPS_PER_EPOCH": 1, "IMAGES_PER_GPU": 1},
    **{"BACKBONE_WIDTH": 0.125, "TOP_DOWN_PYRAMID_SIZE": 16, "RPN_CONV_FILTERS": 16},
    **{"FPN_CLASSIF_FC_LAYERS_SIZE": 32, "MASK_CONV_FILTERS": 8, "WORKERS": 0},
}
SETTINGS = {
    "mask_rcnn": {**TINY, "POST_NMS_ROIS_INFERENCE": 50, "DETECTION_MIN_CONFIDENCE": 0.0},
    "unet": {**TINY, "UNET_WIDTH": 4, "UNET_LEVELS": 2, "UNET_SPECK": 0},
}


def run(*words: object) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> Path:
    """Three regions of the embedded sections, four for training and two for the test."""
    raw, out = tmp_path_factory.mktemp("raw") / "few", tmp_path_factory.mktemp("set") / "three"
    for part, numbers in (("train", range(4)), ("val", range(2))):
        for number in numbers:
            image = f"mrcnn_{part}_dataset_images/section_img_{number}.png"
            (raw / image).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SLICEMAP / image, raw / image)
            masks = f"mrcnn_{part}_dataset_masks/section_masks_{number}"
            shutil.copytree(SLICEMAP / masks, raw / masks)
    for name in ("dataset.json", "sections.csv", "LICENSE"):
        shutil.copy(SLICEMAP / name, raw / name)
    kept = {("train", str(i)) for i in range(4)} | {("val", str(i)) for i in range(2)}
    header, rows = read_rows(raw / "sections.csv")
    rows = [row for row in rows if (row["subset"], row["section"]) in kept]
    write_table(raw / "sections.csv", header, rows)
    dropped = "midbrain=none,brainstem=none,cerebellum=none"
    assert run("prepare", "prepared", "--raw", raw, "--map", dropped, "--out", out) == cli.DONE
    return out


@pytest.fixture(scope="module", params=SETTINGS)
def trained(request, three, tmp_path_factory) -> tuple[str, Path]:
    """Network, and the folder of its run of two steps."""
    logs = tmp_path_factory.mktemp("logs")
    words = [f"--set={name}={value}" for name, value in SETTINGS[request.param].items()]
    with run_op_by_op():
        code = run(
            *("train", "custom", "--dataset", three, "--logs", logs, "--steps", 2),
            *("--network", request.param, "--inner-validation", 0.25, *words),
        )
    assert code == cli.DONE
    (folder,) = logs.iterdir()
    return request.param, folder


# --- The experiment -----------------------------------------------------------------------------


def test_the_experiment_of_a_data_set(three):
    experiment = experiment_of_dataset(three)
    assert experiment.regions.names == NAMES
    small = experiment.variant("small").config()
    assert small.NUM_CLASSES == 4 and small.CLASS_NAMES == NAMES
    assert small.MAX_GT_INSTANCES == small.DETECTION_MAX_INSTANCES == 3
    assert small.IMAGE_MAX_DIM == 128  # of sections of 84 px
    sections = experiment.load(three, "train")
    means = [sections.load_image(i).reshape(-1, 3).mean(axis=0) for i in sections.image_ids]
    np.testing.assert_allclose(small.MEAN_PIXEL, np.mean(means, axis=0), atol=0.06)
    assert experiment.variant("paper").config().BACKBONE == "resnet101"
    assert held_out_share(three, experiment.regions) == 0.0  # of four sections
    assert held_out_share(SLICEMAP, SIX) == 0.2


def test_turned_versions_of_a_section_count_once(tmp_path):
    root = part_of_set(SLICEMAP, range(12), tmp_path / "twelve")
    assert held_out_share(root, SIX) == 0.2
    rows = [f"train,{n},{n // 4}" for n in range(12)]  # of three sections
    (root / "sections.csv").write_text("\n".join(["subset,section,source_row", *rows]))
    assert held_out_share(root, SIX) == 0.0


def test_regions_of_a_table(three, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(three, bare, ignore=shutil.ignore_patterns("dataset.json"))
    with pytest.raises(ValueError, match="has no dataset.json that names its regions"):
        experiment_of_dataset(bare)
    table = tmp_path / "mine.csv"
    rows = (f"{i},{name},{i},0,0" for i, name in enumerate(NAMES, start=1))
    table.write_text("\n".join(["id,name,r,g,b", *rows]))
    experiment = experiment_of_dataset(bare, table)
    assert [(r.name, r.color) for r in experiment.regions][2] == ("thalamus", (3, 0, 0))
    table.write_text("id,name,r,g,b\n1,cortex,1,0,0\n2,thalamus,2,0,0\n3,hippocampus,3,0,0\n")
    with pytest.raises(ValueError, match="named for the region hippocampus, but class id 2 is"):
        experiment_of_dataset(bare, table)


def test_whole_animals_are_held_out_where_five_are_named(tmp_path):
    root, regions = tmp_path / "set", RegionSet("one", (Region(1, "a", "a", (1, 2, 3)),))
    image, mask = np.zeros((8, 8), np.uint8), np.zeros((8, 8), bool)
    mask[2:5, 2:5] = True
    with new_data_set(root, regions) as writer:
        for number in range(15):
            writer.add("train", number, image, {1: mask}, subject=f"m{number % 5}")
        writer.write_facts(name="set")
    experiment = experiment_of_dataset(root)

    def numbers():
        sections = training_sets(experiment, root, 0.2)
        return [{info["number"] for info in part.image_info} for part in sections]

    kept, held_out = numbers()
    assert len({number % 5 for number in held_out}) == 1 and len(held_out) == 3
    assert kept == set(range(15)) - held_out
    # Of four animals, neighbors are held out.
    table = root / "sections.csv"
    table.write_text(table.read_text().replace("m4", "m0"))
    kept, held_out = numbers()
    assert len(held_out) == 3 and kept == set(range(15)) - held_out


def test_many_regions():
    colors = distinct_colors(300)
    assert len(set(colors)) == 300
    assert all(0 <= value <= 255 for color in colors for value in color)
    regions = RegionSet(
        "many", tuple(Region(i, f"r{i}", f"r{i}", c) for i, c in enumerate(colors, start=1))
    )
    config = custom_experiment(regions).variant("paper").config()
    assert (config.NUM_CLASSES, config.TRAIN_ROIS_PER_IMAGE) == (301, 1200)


@pytest.mark.parametrize(
    "names, pairs, flip",
    [
        (["left_CA1", "right_CA1", "DG"], ((1, 2),), False),
        (["CA1 right", "DG", "CA1 Left"], ((3, 1),), False),
        (["left_CA1", "right_CA2", "leftover", "layer"], (), False),
        (["caudate_l", "DG"], (), False),  # mirrored, it would be the other one
        (["leftover", "layer_L1", "layer_R1", "dLGN", "dR", "RT", "LT"], (), True),
        (["CA1.L", "CA1.R"], ((1, 2),), False),
        (["CA1_(R)", "CA1_(L)"], ((2, 1),), False),
        (["Left-_CA1", "right CA1"], ((1, 2),), False),
        (["leftCA1", "rightCA1", "caudateL"], ((1, 2),), False),
        (["CA1L", "CA1R", "DG"], ((1, 2),), False),
        (["RCA1", "LCA1", "LCA3", "DG"], ((2, 1),), False),
        (["ca1right", "ca1left"], ((2, 1),), False),
        (["caudate_l", "caudate_r", "lh_ctx", "rh_ctx"], ((1, 2), (3, 4)), False),
        (["IC_l", "ic_l", "ic_r", "IC_r"], ((1, 4), (2, 3)), False),
    ],
)
def test_left_and_right_are_found_in_names(names, pairs, flip):
    assert side_pairs(names) == pairs
    sides = sides_of(names)
    assert all((sides[left - 1], sides[right - 1]) == ("left", "right") for left, right in pairs)
    experiment = experiment_of_settings(names, {})
    assert experiment.turn.flip is flip
    assert experiment.variant("small").config().SIDE_PAIRS == pairs


# --- What a training leaves -----------------------------------------------------------------------


def test_weights_load_by_the_path_of_their_run(trained, three):
    network, folder = trained
    segmenter = load_segmenter(folder)
    assert segmenter.network == {"mask_rcnn": "Mask R-CNN", "unet": "U-Net"}[network]
    assert segmenter.regions.names == segmenter.config.CLASS_NAMES == NAMES
    colors = json.loads((three / "dataset.json").read_text())["regions"]
    assert [list(r.color) for r in segmenter.regions] == [r["color"] for r in colors]
    image = read_image(three / "mrcnn_val_dataset_images" / "section_img_0.png")
    result = segmenter.detect([image])[0]
    assert set(result["class_ids"]) <= {1, 2, 3}
    assert segmenter.weights.path == weights_of_run(folder)
    assert segmenter.weights.path.name.startswith("best_")
    # By the file itself; the folder may have another name, as what is needed lies beside it.
    assert sebre.load(str(segmenter.weights.path)).regions == segmenter.regions


@pytest.mark.parametrize(
    "header, files, taken",
    [
        ("epoch,loss,val_loss", ["best_mask_rcnn_a", "mask_rcnn_a_0002"], "best_mask_rcnn_a"),
        ("epoch,loss", ["best_mask_rcnn_a", "mask_rcnn_a_0009", "mask_rcnn_a_0010"], None),
        ("epoch,loss", ["unet_a", "unet_a_0002"], "unet_a"),
        ("epoch,loss", ["unet_a_0002"], "unet_a_0002"),  # not finished
    ],
)
def test_which_weights_of_a_run_are_taken(tmp_path, header, files, taken):
    for name in files:
        (tmp_path / f"{name}.h5").touch()
    (tmp_path / "log.csv").write_text(f"{header}\n1,0.5,0.4\n")
    assert weights_of_run(tmp_path) == tmp_path  # no run: it has no settings
    (tmp_path / "config.json").write_text("{}")
    assert weights_of_run(tmp_path) == tmp_path / f"{taken or files[-1]}.h5"
    assert weights_of_run("slicemap") == "slicemap"


def test_each_epoch_has_a_loss_and_a_score_of_sections_held_out(trained, three):
    network, folder = trained
    with (folder / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(np.isfinite(float(row["val_loss"])) for row in rows)
    # The score of the last epoch is what its weights score on the section that was held out.
    held_out = {"mask_rcnn": "mask_rcnn_custom_0002.h5", "unet": "unet_custom_0002.h5"}
    segmenter = load_segmenter(folder / held_out[network])
    _, sections = training_sets(experiment_of_dataset(three), three, 0.25)
    assert sections.num_images == 1
    score = mean_dice(segmenter, sections)
    assert float(rows[-1]["val_dice"]) == pytest.approx(score, abs=1e-4)
    best = max(rows, key=lambda row: float(row["val_dice"]))
    kept = load_segmenter(weights_of_run(folder))
    assert mean_dice(kept, sections) == pytest.approx(float(best["val_dice"]), abs=0.01)


def test_a_run_is_resumed(trained, three, caplog):
    network, folder = trained
    caplog.set_level(logging.INFO, "sebre")
    words = [f"--set={name}={value}" for name, value in SETTINGS[network].items()]
    words += [*([] if network == "unet" else ["--weights", "last"]), "--resume"]
    code = run(
        *("train", "custom", "--dataset", three, "--logs", folder.parent, "--steps", 2),
        *("--network", network, "--inner-validation", 0.25, *words),
    )
    assert code == cli.DONE
    assert "nothing is left to train; all 2 epochs are done" in caplog.text


def test_evaluate_takes_the_regions_of_the_weights(trained, three, tmp_path, capsys):
    _, folder = trained
    out = tmp_path / "scores.json"
    words = ["evaluate", "custom", "--dataset", three, "--weights", folder, "--draws", 0]
    assert run(*words, "--out", out) == cli.DONE
    record = json.loads(out.read_text())
    assert (record["experiment"], record["n_sections"]) == ("custom", 2)
    assert list(record["dice_per_region"]) == NAMES
    words[3] = SLICEMAP
    assert run(*words, "--out", tmp_path / "other.json") == cli.USER_ERROR
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "wanted are those of custom: 1 cortex, 2 hippocampus, 3 thalamus" in line


def test_inspect_export_or_publish(trained, three, tmp_path, monkeypatch):
    network, folder = trained
    if network == "mask_rcnn":
        image, out = three / "mrcnn_val_dataset_images" / "section_img_0.png", tmp_path / "panels"
        assert run("inspect", "custom", image, "--weights", folder, "--out", out) == cli.DONE
        onnx = tmp_path / "mine.onnx"
        assert run("export", "custom", "--weights", folder, "--out", onnx) == cli.DONE
        _, experiment, config = find_network(onnx)
        assert experiment.regions == find_network(folder)[1].regions
        assert config.CLASS_COLORS == [list(region.color) for region in experiment.regions]
        return
    store = tmp_path / "store"
    store.mkdir()
    monkeypatch.setenv("SEBRE_WEIGHTS", str(store))
    words = ["--dataset", three, "--command", "c", "--name", "mine", "--license", "MIT"]
    code = run("publish", "custom", "--weights", folder, *words, "--results", tmp_path / "r.json")
    assert code == cli.DONE
    assert sebre.load("mine").regions == load_segmenter(folder).regions
    assert "cortex | hippocampus | thalamus" in (store / "mine.md").read_text()


def test_what_is_missing_is_one_line(three, tmp_path, capsys):
    table = tmp_path / "t.csv"
    cases = {
        "has its own regions": ["train", "slicemap", "--regions", table, "--logs", tmp_path],
        "custom has no weights of its own": ["evaluate", "custom", "--out", tmp_path / "r.json"],
    }
    for text, words in cases.items():
        assert run(*words, "--dataset", three) == cli.USER_ERROR
        assert text in capsys.readouterr().err
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="a run without weights"):
        load_segmenter(tmp_path)


# --- What is said of each epoch -------------------------------------------------------------------


def test_the_time_left_and_what_best_means(caplog, monkeypatch):
    from sebre.networks import epoch_reports

    now = iter(range(0, 6000, 300))
    monkeypatch.setattr(epoch_reports.time, "monotonic", lambda: next(now))
    caplog.set_level(logging.INFO, "sebre")
    report = epoch_reports.report_of(4, "val_dice")
    assert "the highest val_dice, the mean Dice of up to 32 held-out" in caplog.text
    for epoch in range(2):
        report.on_epoch_begin(epoch)
        report.on_epoch_end(epoch, {"loss": 1.0, "val_loss": 2.0, "val_dice": 0.5, "other": 3})
    report.on_train_end()
    line = caplog.messages[-1]
    assert line.startswith(
        "Epoch 2 of 4: loss 1.000, val_loss 2.000, val_dice 0.500; 300 s, about 10 min left (until"
    )
    epoch_reports.report_of(4, "loss")
    assert "the smallest loss on the training sections themselves" in caplog.messages[-1]
    assert [spoken_time(s) for s in (40, 720, 11100)] == ["40 s", "12 min", "3 h 5 min"]
