"""An experiment from raw data to regions: prepare, train, resume, evaluate, detect."""

import csv
import json
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from paths import ROOT
from PIL import Image

from sebre.cli import commands as cli
from sebre.experiments import EXPERIMENTS

STEPS, FEW_STEPS = 60, 8
# A small part of the work of the small variants.
TINY = {"IMAGE_MIN_DIM": 128, "IMAGE_MAX_DIM": 128, "IMAGES_PER_GPU": 1}


def _link(source: Path, names: list[str], raw: Path) -> None:
    for name in names:
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).symlink_to(source / name)


def _malc(data: Path, raw: Path) -> list[str]:
    scans = ["1000", "1001", "1101"]
    files = [f"{scan}_{kind}.nii.gz" for scan in scans for kind in ("SS", "glm")]
    _link(data / "malc2012", ["subjects.csv", *files], raw)
    return []


def _mouse_mri(data: Path, raw: Path) -> list[str]:
    scans = [path.name for path in sorted((data / "mouse_mri" / "label").iterdir())[:3]]
    files = [f"{kind}/{scan}" for scan in scans for kind in ("template", "label")]
    _link(data / "mouse_mri", ["scans.csv", *files], raw)
    return ["--source", "mouse-mri", "--split", "subject:1"]


def _ara(data: Path, raw: Path) -> list[str]:
    with (data / "ara_nissl_hippocampus" / "alignment.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if 72 <= int(row["plate"]) <= 79]
    _link(data / "ara_nissl_hippocampus", [row[key] for row in rows for key in ("jpg", "svg")], raw)
    with (raw / "alignment.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return ["--split", "block:2"]


def _figures(data: Path, raw: Path) -> list[str]:
    _link(data, ["sebre_figures"], raw)
    return ["--raw", str(raw / "sebre_figures")]


RAW = {"p14_mouse": _figures, "extended_mouse": _mouse_mri, "hippocampus": _ara, "ibsr": _malc}


def _run(script: str, *arguments: str | Path) -> None:
    """Run a script of samples/ in this process: to start the network takes longer."""
    path = ROOT / "samples" / f"{script}.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(path), run_name="__main__")
    assert end.value.code == cli.DONE


def _run_and_kill(script: str, arguments: list[str | Path], logs: Path, out: Path) -> None:
    """Run a script as a program of its own, and kill it after the first checkpoint."""
    command = [sys.executable, "-W", "error", f"samples/{script}.py", *map(str, arguments)]
    with out.open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        # In the second epoch, as a session that ends.
        while not _checkpoints(logs) and process.poll() is None:
            time.sleep(0.05)
        assert process.poll() is None, out.read_text()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert len(_checkpoints(logs)) == 1


def _losses(logs: Path) -> list[float]:
    (log,) = logs.glob("*/log.csv")
    with log.open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def _checkpoints(logs: Path) -> list[Path]:
    return sorted(logs.glob("*/mask_rcnn_*.h5"))


def run_experiment(name: str, data_dir: Path, tmp_path: Path, killed: bool = False) -> None:
    """Run every command of a script on a few sections, and look at what it leaves.

    Args:
        name: of the experiment and its script.
        data_dir: folder of the source data.
        tmp_path: where everything is written.
        killed: training is a program of its own, that is killed, resumed, and learns something;
            else it makes a few steps.
    """
    steps = STEPS if killed else FEW_STEPS
    settings = {**TINY, "STEPS_PER_EPOCH": steps // 2}  # two epochs
    raw, data, logs = (tmp_path / part for part in ("raw", "data", "logs"))
    raw.mkdir()
    _run(name, "prepare", "--raw", raw, "--out", data, *RAW[name](data_dir, raw))
    assert (data / "contact_sheet.png").is_file()
    assert cli.main(["check", str(data)]) == cli.DONE

    train = ["train", "--small", "--dataset", data, "--logs", logs, "--steps", steps]
    train += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    if killed:
        _run_and_kill(name, [*train, "--weights", "slicemap"], logs, tmp_path / "train.log")
        _run(name, *train, "--weights", "last", "--resume")
        first, second = _losses(logs)
        assert second < 0.95 * first
    else:
        _run(name, *train, "--weights", "slicemap")
    assert [path.stem[-4:] for path in _checkpoints(logs)] == ["0001", "0002"]

    weights = _checkpoints(logs)[-1]
    out = tmp_path / "scores.json"
    _run(name, "evaluate", "--dataset", data, "--weights", weights, "--out", out, "--draws", "0")
    record = json.loads(out.read_text())
    assert record["experiment"] == name
    assert set(record["dice_per_region"]) == set(EXPERIMENTS[name].regions.names)
    assert record["n_sections"] > 0
    for key in ("map_paper", "ap50_per_region", "coco_ap", "hausdorff_px_per_region"):
        assert key in record
    assert ("dice_per_region_volume" in record) == (name in ("ibsr", "extended_mouse"))

    picture = sorted((data / "mrcnn_val_dataset_images").iterdir())[0]
    found = tmp_path / "found"
    _run(name, "predict", picture, "--weights", weights, "--out", found)
    assert (found / "regions.csv").is_file()
    with Image.open(picture) as image, Image.open(found / f"{picture.stem}_labels.png") as labels:
        assert labels.size == image.size
