"""What takes its time: predicting and training. Only the process of `sebre.viewer.background`
imports this.

Each task takes a `report`, which it calls with what there is to show, and a `stop`, which may be
set from another thread.
"""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import TrainingStopped, UserError
from mrcnn.training.interruption import StopBetweenSteps
from sebre.data.section_files import list_subset
from sebre.experiments import custom
from sebre.networks.epoch_reports import VAL_DICE
from sebre.networks.section_train import NAME as SECTION
from sebre.networks.section_train import train_section
from sebre.networks.segmenter import Segmenter, load_segmenter
from sebre.networks.train import TrainingOptions, run_training
from sebre.networks.training_run import CONFIG_FILE, weights_of_run
from sebre.networks.weights_store import find_weights, network_of, stored_settings
from sebre.predict.measures import is_found
from sebre.predict.prediction import Prediction, predict_picture
from sebre.viewer.background import Loss, Picture, Progress, Report, TrainedRun, Training
from sebre.viewer.label_layers import LayerData, labels_layer
from sebre.viewer.network_choices import NetworkChoice

FEWEST_SECTIONS = 2  # to learn from


# --- Predict -----------------------------------------------------------------------------


class Predictor:
    """Predicts pictures; keeps the network that it loaded last."""

    def __init__(self) -> None:
        self._last: tuple[str, Segmenter] | None = None

    def predict(
        self,
        choice: NetworkChoice,
        pictures: Sequence[Picture],
        report: Report,
        stop: threading.Event,
    ) -> list[LayerData]:
        """A layer of labels for each picture; those that are done when it is stopped.

        A network is not stopped while it looks at one picture.

        Args:
            choice: the network.
            pictures: to predict.
            report: gets `Progress` before each part of the work.
            stop: asked between two parts.

        Raises:
            FileNotFoundError: no such weights.
            UserError: a picture that is no picture of a section.
        """
        for picture in pictures:
            _demand_section(picture)
        layers: list[LayerData] = []
        total = len(pictures) + 1
        report(Progress(0, total, f"loading {choice.name}"))
        segmenter = self.load(choice)
        for number, picture in enumerate(pictures, start=1):
            if stop.is_set():
                break
            report(Progress(number, total, f"{choice.name} looks at {picture.name}"))
            layers.append(_predicted(segmenter, choice, picture))
        return layers

    def load(self, choice: NetworkChoice) -> Segmenter:
        """The network of a choice."""
        # A run that went on has other weights under the same name.
        checksum = find_weights(weights_of_run(choice.weights)).sha256
        if self._last is None or self._last[0] != checksum:
            self._last = None  # the memory of the one before is free first
            self._last = checksum, load_segmenter(choice.weights)
        return self._last[1]


def _demand_section(picture: Picture) -> None:
    shape = picture.values.shape
    if picture.values.ndim == 2 or (picture.values.ndim == 3 and shape[-1] in (3, 4)):
        return
    raise UserError(
        f"{picture.name}: an array of the shape {shape}; wanted one section, [rows, columns] or "
        "with colors. Split a stack first (Layer > Convert > Split Stack)."
    )


def _predicted(segmenter: Segmenter, choice: NetworkChoice, picture: Picture) -> LayerData:
    size = picture.pixel_um
    # Areas need the product of both sides alone.
    um = None if size is None else float(np.sqrt(size[0] * size[1]))
    found = predict_picture(segmenter, picture.values, picture.name, pixel_um=um)
    return labels_layer(
        found.label_map,
        found.region_set,
        f"{picture.name}, {choice.name}",
        size,
        found=found.label_map.copy(),
        said=_said_of_regions(found.rows),
        remarks=_remarks(found),
        doubted=bool(found.warnings),
        network=choice.name,
        weights_sha256=segmenter.weights.sha256,
        contrast=segmenter.config.CONTRAST,
        plane=choice.plane,
    )


def _said_of_regions(rows: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """By class id; of a section that was cut at its midline the worse of both sides counts, and
    doubts say which side they are of."""
    said: dict[int, dict[str, Any]] = {}
    for row in rows:
        cells, side = _said(row), row.get("hemisphere")
        if side and cells["doubts"]:
            cells["doubts"] = f"{side}: {cells['doubts']}"
        before = said.setdefault(row["region_id"], cells)
        if before is cells:
            continue
        for key in ("score", "expected_dice"):
            known = [value for value in (before.get(key), cells.get(key)) if value is not None]
            if known:
                before[key] = min(known)
        doubts = (before["doubts"], cells["doubts"])
        before["doubts"] = "; ".join(text for text in doubts if text)
    return said


def _said(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the table says of a region, as cells of `label_layers.AREA_COLUMNS`."""
    if not is_found(row):
        return {"doubts": row.get("reason", "")}
    cells = {"score": row.get("score"), "expected_dice": row.get("expected_dice")}
    return {**cells, "doubts": row.get("flags", "")}


def _remarks(found: Prediction) -> list[str]:
    """What is said of a section as a whole."""
    remarks = [f"Doubt: {text}" for text in found.warnings]
    remarks += [text[:1].upper() + text[1:] for text in found.notes]
    return remarks + ([f"It lies: {found.place.text()}"] if found.place else [])


# --- Train -------------------------------------------------------------------------------


def train(training: Training, report: Report, stop: threading.Event) -> TrainedRun:
    """Train as `sebre train custom --weights START` does.

    Args:
        training: what to train.
        report: gets a `Loss` after every step.
        stop: ends the training behind the step it is in, with a checkpoint.

    Raises:
        FileNotFoundError: no such weights, or nothing to resume.
        UserError: too few sections, or what the training refuses.
    """
    sections, refused = list_subset(training.dataset, "train")
    if refused:
        raise UserError(str(refused[0]))
    if len(sections) < FEWEST_SECTIONS:
        raise UserError(
            f"{training.dataset}: has {len(sections)} section(s) to learn from; wanted "
            f"{FEWEST_SECTIONS} or more. Correct and save others first."
        )
    watch = _Watch(training.steps, report, stop)
    before = _runs(training.logs)
    try:
        folder = _train(training, watch)
    except TrainingStopped:
        new = _runs(training.logs) - before
        folder = max(new or before, key=lambda run: run.stat().st_mtime_ns)
        return TrainedRun(look_at_run(folder, report, stop), False)
    except KeyboardInterrupt:
        return TrainedRun(None, False)
    return TrainedRun(look_at_run(folder, report, stop), True)


def _train(training: Training, watch: "_Watch") -> Path:
    experiment = custom.experiment_of_dataset(training.dataset)
    options: dict[str, Any] = {
        "seed": training.seed,
        "inner_validation": custom.held_out_share(training.dataset, experiment.regions),
        "settings": dict(training.settings),
        "resume": training.resume,
        "verbose": 0,
        "callbacks": [watch],
    }
    dataset, logs = training.dataset, training.logs
    start = str(weights_of_run(training.start.weights))
    if training.start.kind == SECTION:
        trained = train_section(experiment, dataset, logs, start, steps=training.steps, **options)
        return trained.weights.path.parent
    start, variant = ("last", None) if training.resume else (start, "small")
    more = TrainingOptions(dataset, logs, start, variant, [training.steps], **options)
    return Path(run_training(experiment, more).log_dir)


def _runs(logs: Path) -> set[Path]:
    return {path for path in logs.glob("*") if path.is_dir()} if logs.is_dir() else set()


class _Watch(StopBetweenSteps):
    """Reports the loss of every step, and stops a training between two steps."""

    def __init__(self, steps: int, report: Report, stop: threading.Event):
        super().__init__()
        self.steps, self.report, self.stop = steps, report, stop
        self._step, self._loss = 0, float("nan")

    @property
    def asked(self) -> bool:
        """Whether the training is to be stopped."""
        return self.stop.is_set()

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Note the steps that were done before, of a run that is resumed."""
        self._step = int(np.asarray(self.model.optimizer.iterations))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Report the loss so far, and stop if that is asked for."""
        self._step, self._loss = self._step + 1, float((logs or {})["loss"])
        self.report(Loss(self._step, self.steps, self._loss))
        super().on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Report the Dice of what is held out."""
        if VAL_DICE in (logs or {}):
            self.report(Loss(self._step, self.steps, self._loss, float(logs[VAL_DICE])))


def look_at_run(folder: str | Path, report: Report, stop: threading.Event) -> NetworkChoice:
    """The network of a training run, by its folder.

    Raises:
        FileNotFoundError: no such weights, or none yet.
        UserError: no folder of a run.
    """
    folder = Path(folder)
    if not (folder / CONFIG_FILE).is_file():
        raise UserError(
            f"{folder}: is not the folder of a training run (it has no {CONFIG_FILE}). Choose the "
            "folder that a training made."
        )
    found = find_weights(weights_of_run(folder))
    settings = stored_settings(found)
    names = settings.get("CLASS_NAMES") or ()
    lines = [("trained in", str(found.path.parent)), ("weights", found.path.name)]
    lines += [("regions", ", ".join(names))] if names else []
    lines.append(("sees", f"{settings['IMAGE_MAX_DIM']} px"))
    return NetworkChoice(folder.name, str(folder), network_of(found), tuple(lines))


# What the process can be asked for; each is also given `report` and `stop`.
TASKS = {"predict": Predictor().predict, "train": train, "look": look_at_run}
