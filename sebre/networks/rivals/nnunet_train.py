"""Training of nnU-Net on the training part of a prepared data set, by its own package.

A run keeps its files in a folder:

    <logs>/nnunet_<experiment><YYYYMMDD>T<HHMMSS>/
        config.json, training.json   settings, as of every run
        log.csv                      one row an epoch
        nnunet.log                   all that nnU-Net says
        nnunet/                      the sections, and nnU-Net's own files
        nnunet_<experiment>.pth      the trained network
"""

import json
import logging
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image

from mrcnn.config import Config
from mrcnn.errors import DivergedError, TrainingStopped, UserError
from mrcnn.imageio.reading import read_header
from mrcnn.io.files import file_sha256
from mrcnn.training.loop import EpochLog
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import recorded_contrast
from sebre.drawing.overlay import drawn_labels
from sebre.experiments.base import Experiment, with_settings
from sebre.networks.epoch_reports import EpochReport, mean_dice
from sebre.networks.rivals.nnunet import (
    NNUNET,
    USED,
    NnUNetSegmenter,
    demand_package,
    demand_precision,
)
from sebre.networks.rivals.nnunet_program import DIVERGED, PROGRESS
from sebre.networks.train import steps_per_epoch, training_sets
from sebre.networks.training_run import (
    CONFIG_FILE,
    LOG_FILE,
    demand_same_run,
    training_facts,
    write_run,
)
from sebre.networks.unet_train import last_run, nothing_to_resume
from sebre.networks.weights_store import WeightsFile

logger = logging.getLogger(__name__)

_PROGRAM = Path(__file__).with_name("nnunet_program.py")
# Its further processes import nothing of ours again, as they would with a file as the program.
_RUN = "import runpy, sys; runpy.run_path(sys.argv[1])['main'](sys.argv[2])"
_DATASET = "Dataset001_sections"  # the form of name that nnU-Net asks for
_FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
_LAST_LINES = 15  # of what nnU-Net said, where it failed
_MOST_CLASSES = 256  # that a label picture of 8 bits tells apart


def train_nnunet(
    experiment: Experiment,
    dataset: str | Path,
    logs: str | Path,
    steps: int | None = None,
    seed: int = 0,
    inner_validation: float = 0.0,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> NnUNetSegmenter:
    """Train on the training part of a prepared data set, from random weights.

    The test part is not looked at. nnU-Net plans everything by the training sections, those that
    are held out among them, but the number of steps; its rate falls over these as it does over
    its usual 250,000. On a GPU where PyTorch finds one.

    Args:
        experiment: what to look for.
        dataset: folder of the prepared data set.
        logs: folder of all runs.
        steps: of the optimizer; None for those of the experiment's small variant.
        seed: of weights, order and augmentation, and of the inner split.
        inner_validation: share of the training sections to hold out; their Dice is said at the end.
        settings: that differ, of `sebre.networks.rivals.nnunet.USED`.
        resume: go on with the last run of the experiment in `logs`, from its last whole epoch;
            all other arguments must be those of that run.

    Raises:
        UserError: nnU-Net is not installed, settings that it does not use, nothing to resume, or a
            run to resume that was begun in another way.
        TrainingStopped: by Ctrl-C, behind the first checkpoint.
        RuntimeError: nnU-Net failed.
    """
    demand_package()
    variant = experiment.variant("small")
    usual = sum(stage.steps for stage in variant.schedule)
    steps = usual if steps is None else steps
    config = _configured(experiment, dataset, steps, seed, settings or {})
    sets = training_sets(experiment, dataset, inner_validation, seed)
    for sections in sets:
        if sections is not None:
            sections.contrast = config.CONTRAST
    # What pictures are read for, where they are large; nnU-Net itself asks for no size.
    config.IMAGE_MIN_DIM = config.IMAGE_MAX_DIM = _usual_side(sets[0])
    facts = training_facts(variant, [steps], dataset, inner_validation)
    facts |= {"augmentation": "nnU-Net's own"}
    name = f"{NNUNET.name}_{experiment.name}"
    if resume:
        folder = last_run(logs, name)
        demand_same_run(folder, config, facts)
        if not _checkpoints(folder) and not _weights_of(folder, name).is_file():
            raise nothing_to_resume(folder)
    else:
        folder = Path(logs) / f"{name}{time.strftime('%Y%m%dT%H%M%S')}"
        folder.mkdir(parents=True)
        write_run(folder, config, facts)
    weights = _weights_of(folder, name)
    if not weights.is_file():
        job = {
            "epochs": steps // config.STEPS_PER_EPOCH,
            "steps_per_epoch": config.STEPS_PER_EPOCH,
            "batch": config.NNUNET_BATCH,
            "seed": seed,
            "mirrors": experiment.turn.flip and not config.SIDE_PAIRS,
            "bfloat16": config.PRECISION == "bfloat16",
            "usual_side": config.IMAGE_MAX_DIM,
        }
        _run(folder, sets, {**job, "resume": resume, "out": str(weights.absolute())})
    stored = WeightsFile(weights, file_sha256(weights), config=folder / CONFIG_FILE)
    segmenter = NNUNET.load(stored, config, experiment.regions)
    if sets[1] is not None:
        logger.info("%s is complete; scoring the held-out sections.", weights)
        logger.info("Mean Dice of held-out sections: %.3f", mean_dice(segmenter, sets[1]))
    return segmenter


def _weights_of(folder: Path, name: str) -> Path:
    return folder / f"{name}.pth"


def _configured(
    experiment: Experiment,
    dataset: str | Path,
    steps: int,
    seed: int,
    settings: Mapping[str, Any],
) -> Config:
    """The settings of a training that can work."""
    if unused := [name for name in settings if name not in USED]:
        raise UserError(
            f"{', '.join(unused)} would change nothing: nnU-Net plans its network, pictures and "
            f"optimizer itself. Of the settings it takes {', '.join(USED)}."
        )
    if steps < 1:
        raise UserError(f"steps is {steps}; at least 1 is needed.")
    if len(experiment.regions) >= _MOST_CLASSES:
        raise UserError(
            f"{len(experiment.regions)} regions; nnU-Net is given {_MOST_CLASSES - 1} at most."
        )
    config = NNUNET.config(experiment)()
    config.STEPS_PER_EPOCH = steps_per_epoch([steps], config.STEPS_PER_EPOCH)
    own = {"SEED": seed, "CLASS_NAMES": experiment.regions.names}
    with_settings(config, **own, **{"CONTRAST": recorded_contrast(dataset), **settings})
    demand_precision(config)
    if (
        not isinstance(config.NNUNET_BATCH, int)
        or config.NNUNET_BATCH < 0
        or steps % config.STEPS_PER_EPOCH
    ):
        raise UserError(
            f"NNUNET_BATCH is {config.NNUNET_BATCH} and STEPS_PER_EPOCH {config.STEPS_PER_EPOCH}, "
            f"with {steps} steps; the first must be a whole number (0: as nnU-Net plans), "
            "the second divide the steps."
        )
    return config


def _run(
    folder: Path, sets: tuple[SectionDataset, SectionDataset | None], job: dict[str, Any]
) -> None:
    """Let nnU-Net train in a process of its own, and report its progress."""
    places = {
        name: folder.absolute() / "nnunet" / name.removeprefix("nnUNet_") for name in _FOLDERS
    }
    if not job["resume"]:
        names = _write_sections(places["nnUNet_raw"] / _DATASET, sets)
        job |= dict(zip(("train", "held_out"), names, strict=True))
    job_file = folder / "nnunet" / "job.json"
    job_file.write_text(json.dumps({"dataset": _DATASET, **job}), encoding="utf-8")
    with (
        (folder / "nnunet.log").open("a", encoding="utf-8") as kept,
        subprocess.Popen(
            [sys.executable, "-c", _RUN, str(_PROGRAM), str(job_file.absolute())],
            env={**os.environ, **{name: str(place) for name, place in places.items()}},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        follow = _Follower(EpochLog(folder / LOG_FILE), job["epochs"], kept)
        try:
            follow.to_the_end(process.stdout)
        except KeyboardInterrupt:
            process.terminate()
            follow.to_the_end(process.stdout)
            if _checkpoints(folder):
                raise TrainingStopped(f"stopped; {folder} has its last whole epoch.") from None
            raise
        code = process.wait()
    if code == DIVERGED:
        raise DivergedError(f"{folder}: the loss of nnU-Net became NaN or infinite.")
    if code:
        end = "\n".join(follow.last)
        raise RuntimeError(f"nnU-Net failed ({code}); {folder / 'nnunet.log'} ends:\n{end}")


class _Follower:
    """Keeps what the program says, and reports each epoch as it ends.

    Args:
        log: of the run.
        epochs: of the whole training.
        kept: file for all that is said.
    """

    def __init__(self, log: EpochLog, epochs: int, kept: TextIO):
        self._log, self._kept, self._report = log, kept, EpochReport(epochs)
        self._report.on_epoch_begin(len(log.rows))
        self._begun = time.monotonic()
        self.last: deque[str] = deque(maxlen=_LAST_LINES)

    def to_the_end(self, lines: Iterable[str]) -> None:
        """Follow the lines until there are no more."""
        for line in lines:
            self._kept.write(line)
            self.last.append(line.rstrip())
            if line.startswith(PROGRESS):
                self._note(json.loads(line.removeprefix(PROGRESS)))

    def _note(self, row: dict[str, Any]) -> None:
        now = time.monotonic()
        self._log.truncate(row["epoch"] - 1)
        self._log.append({**row, "seconds": round(now - self._begun, 1)})
        self._report.on_epoch_end(row["epoch"] - 1, row)
        self._report.on_epoch_begin(row["epoch"])
        self._begun = now


def _usual_side(sections: SectionDataset) -> int:
    """Median of the longer sides of sections, px."""
    # Of their headers: the pictures themselves are read once, when they are written for nnU-Net.
    headers = (read_header(info["path"]) for info in sections.image_info)
    return round(float(np.median([max(header.shape) for header in headers])))


def _checkpoints(folder: Path) -> list[Path]:
    found = folder.glob("nnunet/results/**/checkpoint_*.pth")
    return [path for path in found if path.stem in ("checkpoint_latest", "checkpoint_final")]


def _write_sections(
    root: Path, sets: tuple[SectionDataset, SectionDataset | None]
) -> tuple[list[str], list[str]]:
    """Sections and labels as nnU-Net reads them; the names of those to train on and held out."""
    train, held_out = sets
    for part in ("imagesTr", "labelsTr"):
        (root / part).mkdir(parents=True)
    names: tuple[list[str], list[str]] = ([], [])
    for part, sections, found in zip(("train", "held"), sets, names, strict=True):
        for image_id in sections.image_ids if sections is not None else ():
            name = f"{part}_{image_id:05d}"
            Image.fromarray(sections.load_image(image_id)).save(
                root / "imagesTr" / f"{name}_0000.png"
            )
            masks, class_ids = sections.load_mask(image_id)
            labels = drawn_labels(class_ids, masks).astype(np.uint8)
            Image.fromarray(labels).save(root / "labelsTr" / f"{name}.png")
            found.append(name)
    described = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        # Names of ours: some, such as "ignore", are commands to nnU-Net.
        "labels": {"background": 0, **{f"region{one.id}": one.id for one in train.regions}},
        "numTraining": len(names[0]) + len(names[1]),
        "file_ending": ".png",
    }
    (root / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
    return names
