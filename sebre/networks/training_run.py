"""What a training run was begun with, and whether it is resumed with the same.

The folder of a run holds config.json, its settings, and training.json, what these do not say:
start, schedule, augmentation, data. Both are written once, when the run begins.
`sebre.networks.train` and `sebre.networks.unet_train` begin and resume their runs here.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mrcnn.config import Config
from mrcnn.errors import MissingFileError, UserError
from mrcnn.io.files import file_sha256, replace_text
from mrcnn.weights.layer_match import listed
from sebre.data.csv_tables import read_rows
from sebre.data.metadata import origins
from sebre.data.section_files import list_subset
from sebre.experiments.base import Variant
from sebre.networks.weights_store import WeightsFile

logger = logging.getLogger(__name__)

CONFIG_FILE = "config.json"  # of a run: its settings
SETTINGS_FILE = "settings.json"  # of a run that `begin_or_go_on` keeps
LOG_FILE = "log.csv"  # of a run: losses and scores, a row an epoch
TRAINING_FILE = "training.json"  # of a run: what its settings do not say

# What may change when a run is resumed, as nothing that is learned depends on it. Of the data set
# its content counts, not its name.
MAY_CHANGE = ("CACHE_DIR", "CACHE_MEMORY_MB", "ONLY_ON_TISSUE", "WORKERS", "dataset.name")
SECONDS = "seconds"  # column of the log: wall time of an epoch
START = "start"  # a resumed run starts from its own last checkpoint


def training_facts(
    variant: Variant,
    steps: Sequence[int],
    dataset: str | Path,
    inner_validation: float,
    start: str = "none",
) -> dict[str, Any]:
    """What the settings of a run do not say, in JSON types.

    Args:
        variant: of the experiment.
        steps: of each part of the schedule.
        dataset: folder of the prepared data set; its training part is read.
        inner_validation: share that is held out.
        start: weights that the training starts from, as the user names them.
    """
    parts = zip(variant.schedule, steps, strict=True)
    augmentation = variant.augmentation()
    facts = {
        START: start,
        "variant": variant.config.__name__,
        "schedule": [asdict(replace(stage, steps=count)) for stage, count in parts],
        "augmentation": augmentation
        and {"class": type(augmentation).__name__, **vars(augmentation)},
        "dataset": dataset_facts(Path(dataset)),
        "inner_validation": inner_validation,
    }
    if inner_validation:  # which sections are held out follows from it
        table = json.dumps(origins(dataset, "train"), sort_keys=True)
        facts["origins_sha256"] = hashlib.sha256(table.encode()).hexdigest()
    return json.loads(json.dumps(facts, default=lambda thing: type(thing).__name__))


def dataset_facts(root: Path, part: str = "train") -> dict[str, Any]:
    """Name and size of a part of a data set, and a checksum of all pictures and masks in it."""
    sections, _ = list_subset(root, part)
    content = [
        [number, file_sha256(files.image), {i: file_sha256(p) for i, p in files.masks.items()}]
        for number, files in sections.items()
    ]
    checksum = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return {"name": root.resolve().name, "sections": len(sections), "sha256": checksum}


def write_run(folder: str | Path, config: Config, facts: Mapping[str, Any]) -> None:
    """Write what a run is begun with into its folder, which is made if it is not there."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config.save(folder / CONFIG_FILE)
    replace_text(folder / TRAINING_FILE, json.dumps(facts, indent=1) + "\n")


def read_run(folder: str | Path, name: str = "") -> dict[str, Any]:
    """What `write_run` wrote, as one mapping; less of a run that was begun before it did.

    With `name` it is that of a network in a store, whose files begin with its name.
    """
    found: dict[str, Any] = {}
    start = f"{name}." if name else ""
    for path in (Path(folder) / f"{start}{file}" for file in (CONFIG_FILE, TRAINING_FILE)):
        if not path.is_file():
            continue
        try:
            found |= json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{path}: not a record of a training ({error}). Train without --resume."
            ) from error
    return found


def weights_of_run(path: str | Path) -> str | Path:
    """The weights of the folder of a run: the best by its held-out sections, else the last.

    Anything else, such as a file or a name, is given back as it is.

    Raises:
        MissingFileError: the run has no weights yet.
    """
    folder = Path(path)
    if not (folder / CONFIG_FILE).is_file():
        return path
    best = sorted(folder.glob("best_*.h5")) if _is_validated(folder / LOG_FILE) else []
    # Of a U-Net the finished network has no number; names of epochs rise.
    files = [*folder.glob("*.h5"), *folder.glob("*.pth")]  # the latter of nnU-Net
    others = sorted(file for file in files if not file.name.startswith("best_"))
    finished = [file for file in others if not file.stem[-4:].isdecimal()]
    for files in (best, finished, others):
        if files:
            logger.info("%s: takes %s.", folder, files[-1].name)
            return files[-1]
    raise MissingFileError(f"{folder}: a run without weights. Wait for its first epoch.")


def _is_validated(log: Path) -> bool:
    """Whether the log of a run has scores of held-out sections."""
    return log.is_file() and any(name.startswith("val_") for name in read_rows(log)[0])


def training_seconds(weights: WeightsFile) -> float | None:
    """Wall time of the training of weights in the folder of their run; None where it is not
    known: of other weights, and of runs from before their log had it."""
    path = weights.path.with_name(LOG_FILE)
    rows = read_rows(path)[1] if path.is_file() and weights.name is None else []
    cells = [row.get(SECONDS) for row in rows]
    return round(sum(map(float, cells)), 1) if cells and all(cells) else None


def demand_same_run(folder: str | Path, config: Config, facts: Mapping[str, Any]) -> None:
    """Raise UserError unless a run was begun with these settings and facts.

    What differs and may is logged, and so is what the run did not write down.
    """
    before = dict(_flat(read_run(folder)))
    now = dict(_flat({**config.to_dict(), **facts}))
    unknown = [name for name in now if name not in before and name != START]
    changed = {
        name: f"{name} {before[name]}, now {value}"
        for name, value in now.items()
        if name in before and name != START and before[name] != value
    }
    changed |= {
        name: f"{name} {value}, now none"
        for name, value in before.items()
        if name not in now and name != START
    }
    refused = [text for name, text in changed.items() if name not in MAY_CHANGE]
    if refused:
        raise UserError(
            f"{folder}: the run was begun with other arguments ({listed(refused, '; ')}). Resume "
            "it with the same; or train without --resume, from --weights FILE of this run to go "
            "on from what it has learned."
        )
    if changed:
        text = "%s: goes on with %s, on which nothing depends that is learned."
        logger.info(text, folder, listed(list(changed.values()), "; "))
    if unknown:
        text = "%s: an earlier version began this run and did not write down %s; taken as now."
        logger.warning(text, folder, listed(unknown))


def begin_or_go_on(
    folder: Path,
    settings: Mapping[str, Any],
    goes_on: bool = True,
    may_change: Sequence[str] = (),
) -> None:
    """Write the settings of a run that is a folder of its own, or hold them against those there.

    Runs of areas, neurites and synthetic sections are such: named by who starts them, with all
    their settings in SETTINGS_FILE. What an earlier version did not write down is taken as now.

    Args:
        folder: of the run; it is made.
        settings: of JSON types.
        goes_on: whether what is there may be gone on with; False where it has learned nothing yet.
        may_change: settings that may differ.

    Raises:
        UserError: the folder holds a run of other settings, or something else.
    """
    path, now = folder / SETTINGS_FILE, json.loads(json.dumps(settings))
    if path.is_file() and goes_on:
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [
            f"{name} was {before[name]}, is {value}"
            for name, value in now.items()
            if name not in may_change and before.get(name, value) != value
        ]
        if changed:
            raise UserError(
                f"{folder}: holds a run of other settings: {'; '.join(changed)}. Give the settings "
                "of that run to go on with it, or another folder."
            )
    elif not path.is_file() and folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: is not empty, and no run to go on with. Give a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(now, indent=1) + "\n")


def _flat(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Entries of nested records under names such as "schedule.0.steps", others as they are."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _flat(value, f"{name}.{key}" if name else key)
    elif isinstance(values, list) and any(isinstance(value, Mapping) for value in values):
        for number, value in enumerate(values):
            yield from _flat(value, f"{name}.{number}")
    else:
        yield name, values
