"""An experiment from raw data to regions: prepare, train, kill, resume, evaluate, detect."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

from sebre import cli
from sebre.experiments import EXPERIMENTS

ROOT = Path(__file__).parents[1]
STEPS = 200
# A twelfth of the work of the small variants.
TINY = ["--set", "IMAGE_MIN_DIM=128", "--set", "IMAGE_MAX_DIM=128", "--set", "IMAGES_PER_GPU=1"]


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
    assert cli.main([str(a) for a in arguments], experiment=script) == cli.DONE


def _command(script: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", f"samples/{script}.py", *map(str, arguments)]


def _losses(logs: Path) -> list[float]:
    (log,) = logs.glob("*/log.csv")
    with log.open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def _checkpoints(logs: Path) -> list[Path]:
    return sorted(logs.glob("*/mask_rcnn_*.h5"))


def run_experiment(name: str, data_dir: Path, tmp_path: Path) -> None:
    """Run every command of a script on a few sections, and look at what it leaves.

    Training runs as a program of its own, and is killed; the other commands run here, as
    starting the network again takes longer than they do.
    """
    raw, data, logs = (tmp_path / part for part in ("raw", "data", "logs"))
    raw.mkdir()
    _run(name, "prepare", "--raw", raw, "--out", data, *RAW[name](data_dir, raw))
    assert (data / "contact_sheet.png").is_file()
    assert cli.main(["check", str(data)]) == cli.DONE

    train = ["train", "--small", "--dataset", data, "--logs", logs, "--steps", STEPS, *TINY]
    with (tmp_path / "train.log").open("wb") as log:
        process = subprocess.Popen(
            _command(name, *train, "--weights", "slicemap"), cwd=ROOT, stdout=log, stderr=log
        )
    try:
        # Killed in the second epoch, as a session that ends.
        while not _checkpoints(logs) and process.poll() is None:
            time.sleep(0.2)
        assert process.poll() is None, (tmp_path / "train.log").read_text()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert len(_checkpoints(logs)) == 1

    _run(name, *train, "--weights", "last", "--resume")
    weights = _checkpoints(logs)[-1]
    assert weights.stem.endswith("0002")
    first, second = _losses(logs)
    assert second < 0.9 * first

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
    _run(name, "detect", picture, "--weights", weights, "--out", found)
    assert (found / "regions.csv").is_file()
    with Image.open(picture) as image, Image.open(found / f"{picture.stem}_labels.png") as labels:
        assert labels.size == image.size
