"""The network of any section, trained on a few sections of one's own, through the commands."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from op_by_op import run_op_by_op
from paths import ROOT
from PIL import Image

from sebre.cli import commands as cli
from sebre.data.regions import SLICEMAP
from sebre.evaluation.learning_curve import part_of_set
from sebre.experiments.custom import experiment_of_dataset
from sebre.networks.any_section import frame_of, prepared, squared
from sebre.networks.section_train import FramedSections, SectionBatches, section_config
from sebre.networks.weights_store import find_weights, network_of, stored_settings

DATASET = ROOT / "datasets" / "slicemap"
IMAGE = DATASET / "mrcnn_val_dataset_images" / "section_img_0.png"
SMALL = ["--set=IMAGE_MIN_DIM=64", "--set=IMAGE_MAX_DIM=64", "--set=IMAGES_PER_GPU=2"]
SMALL += ["--set=WORKERS=0"]


def run(*arguments: object) -> int:
    return cli.main([str(a) for a in arguments])


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """Three annotated sections."""
    return part_of_set(DATASET, [0, 1, 2], tmp_path_factory.mktemp("sets") / "few")


@pytest.fixture(scope="module")
def weights(few, tmp_path_factory) -> Path:
    """What the command says that it wrote, after two steps."""
    text, logs = io.StringIO(), tmp_path_factory.mktemp("logs")
    with contextlib.redirect_stdout(text), run_op_by_op():
        command = ["train", "custom", "--weights", "any_section", "--dataset", few]
        assert run(*command, "--logs", logs, "--steps", 2, *SMALL) == cli.DONE
    return Path(text.getvalue().splitlines()[-1].removeprefix("Weights: "))


def test_a_run_of_its_own_regions_is_predicted_with(weights, tmp_path):
    found = find_weights(weights)
    assert network_of(found) == "any_section"
    settings = stored_settings(found)
    assert settings["CLASS_NAMES"] == SLICEMAP.names
    assert settings["SECTION_TURNS"] == 1, "sections lie as in training"
    assert settings["SECTION_WIDTHS"] == [16, 40, 80, 160, 320], "those of the weights"
    training = json.loads((weights.parent / "training.json").read_text())
    assert training["start"] == "any_section" and training["dataset"]["sections"] == 3
    assert run("predict", IMAGE, "--weights", weights.parent, "--out", tmp_path) == cli.DONE
    labels = np.asarray(Image.open(tmp_path / "section_img_0_labels.png"))
    assert labels.shape == (84, 84) and set(np.unique(labels)) > {0, 1}


def test_regions_begin_as_those_they_overlap(op_by_op, few, tmp_path, caplog):
    command = ["train", "custom", "--weights", "any_section", "--dataset", few, "--logs", tmp_path]
    caplog.set_level("INFO")
    assert run(*command, "--steps", 1, "--set=IMAGES_PER_GPU=2", "--set=WORKERS=0") == cli.DONE
    assert "cortex as isocortex, hippocampus as hippocampal_formation" in caplog.text
    assert "brainstem as hindbrain, cerebellum as cerebellum" in caplog.text
    (folder,) = tmp_path.iterdir()
    header, row = (folder / "log.csv").read_text().splitlines()
    assert header == "epoch,loss,seconds"
    assert float(row.split(",")[1]) < 2.2, "3.7 from random weights of the last layer"


def test_what_it_learns_from_is_what_it_sees(few):
    experiment = experiment_of_dataset(few)
    config = section_config(experiment)()
    sections = experiment.load(few, "train")
    framed = FramedSections(sections, config)
    gray = sections.load_image(0).mean(axis=-1, dtype=np.float32)
    frame = frame_of(gray, config.SECTION_SHARE)
    side = config.IMAGE_MAX_DIM
    wanted = prepared(gray, side, frame)
    seen = framed.load_image(0)
    assert seen.shape == (side, side, 3) and np.abs(seen[..., 0] / 255 - wanted).max() < 0.01
    masks, ids = sections.load_mask(0)
    own, own_ids = framed.load_mask(0)
    np.testing.assert_array_equal(own_ids, ids)
    np.testing.assert_array_equal(own, squared(masks, side, frame))
    scale = (side / frame.side) ** 2
    assert own.sum() == pytest.approx(masks.sum() * scale, rel=0.03)
    config.update(IMAGES_PER_GPU=2, MAX_GT_INSTANCES=6, USE_MINI_MASK=False, SEED=0)
    pictures, labels = SectionBatches(framed, config, shuffle=False).read(0, 0)
    assert pictures.shape == (2, side, side, 1) and labels.shape == (2, side // 2, side // 2)
    assert 0 <= pictures.min() and pictures.max() <= 1
    assert set(np.unique(labels)) == set(range(7))


def test_an_interrupted_run_goes_on_and_a_finished_one_starts_another(
    op_by_op, few, weights, tmp_path
):
    command = ["train", "custom", "--weights", weights.parent, "--dataset", few]
    command += ["--logs", tmp_path, "--steps", 2, *SMALL]
    assert run(*command) == cli.DONE
    (folder,) = tmp_path.iterdir()
    start = json.loads((folder / "training.json").read_text())["start"]
    assert start.endswith("any_section_custom.h5")
    assert run(*command, "--resume") == cli.DONE
    assert [folder] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "no_such"], "no_such: neither a file nor a name"),
        (["--network", "any_section", "--weights", "slicemap"], "another kind of network (mask_r"),
        (["--weights", "any_section", "--steps", "0"], "steps is 0; at least 1 is needed"),
        (["--weights", "any_section", "--set", "IMAGE_MAX_DIM=100"], "cannot be halved 5 times"),
    ],
)
def test_mistakes_are_one_line(few, tmp_path, capsys, options, message):
    logs = tmp_path / "logs"
    assert run("train", "custom", "--dataset", few, "--logs", logs, *options) == cli.USER_ERROR
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("sebre train: ") and message in line
    assert not logs.exists()
