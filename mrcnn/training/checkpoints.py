"""Where a training run keeps its files: log directories, checkpoints, resume state.

The folder `<name><YYYYMMDD>T<HHMM>` of a run in model_dir (with seconds, where another run of that
minute has the name) holds:
- mask_rcnn_<name>_<epoch:04d>.h5    weights after each epoch, 1-based
- best_mask_rcnn_<name>.h5           those of the best epoch so far, not taken for the last
- training_state_<epoch:04d>.npz     optimizer and random state of the last epoch
- log.csv                            one row an epoch
and, of a run that was stopped within an epoch, `_step_<step:04d>` added to the names of the weights
and the state: so many batches after the epoch that the names begin with.
"""

import datetime
import errno
import glob
import json
import logging
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mrcnn.errors import MissingFileError, UserError
from mrcnn.io.files import replace_file

logger = logging.getLogger(__name__)

_RUN_DATE = r"\d{8}T\d{4}(?:\d{2})?"
_PLACE = r"(?P<epoch>\d{4,})(?:_step_(?P<step>\d{4,}))?\.h5"
_CHECKPOINT = re.compile(
    rf"(?P<root>.*[/\\])?[^/\\]+?(?P<date>{_RUN_DATE})[/\\]mask_rcnn_[^/\\]+?{_PLACE}"
)
_STATE_FORMAT = 1


def log_dir_for(model_dir: str | Path, name: str, now: datetime.datetime) -> str:
    """Directory of a run that starts at `now`: `<model_dir>/<name><YYYYMMDD>T<HHMM>`.

    Where that is another run's already, its name has seconds, the first that are free.
    """
    folder = Path(model_dir) / f"{name.lower()}{now:%Y%m%dT%H%M}"
    while folder.is_dir() and any(folder.iterdir()):
        folder = folder.with_name(f"{name.lower()}{now:%Y%m%dT%H%M%S}")
        now += datetime.timedelta(seconds=1)
    return str(folder)


def make_log_dir(model_dir: str | Path, name: str, now: datetime.datetime) -> str:
    """Make the directory of a run that starts at `now`, as of `log_dir_for`, and return it.

    Of runs that start together each gets one of its own.
    """
    folder = Path(log_dir_for(model_dir, name, now))
    while True:
        try:
            folder.mkdir(parents=True)
            return str(folder)
        except FileExistsError:
            folder = folder.with_name(f"{name.lower()}{now:%Y%m%dT%H%M%S}")
            now += datetime.timedelta(seconds=1)


def checkpoint_path_for(log_dir: str | Path, name: str) -> str:
    """Path of the checkpoints of a run, with `{epoch:04d}` left to fill in."""
    return str(Path(log_dir) / f"mask_rcnn_{name.lower()}_{{epoch:04d}}.h5")


def parse_checkpoint_path(path: str | Path, name: str) -> tuple[str, int] | None:
    r"""(directory, epoch) of a checkpoint `.../<any name><YYYYMMDD>T<HHMM>/mask_rcnn_*_<epoch>.h5`
    for a run of Config.NAME `name`; None for another path. Separators may be `/` or `\`; the
    directory is the file's own when the names agree. Source: Matterport's `set_log_dir`."""
    match = _CHECKPOINT.fullmatch(str(path))
    if match is None:
        return None
    return f"{match['root'] or ''}{name.lower()}{match['date']}", int(match["epoch"])


def place_of(path: str | Path) -> tuple[int, int]:
    """(epochs, batches of the next one) behind a checkpoint, by its name; (0, 0) of others."""
    match = re.fullmatch(rf".*?{_PLACE}", Path(path).name)
    return (int(match["epoch"]), int(match["step"] or 0)) if match else (0, 0)


def newest_of(folder: str | Path, weights_name: str) -> Path | None:
    """The last checkpoint in a folder, whose names have `{epoch:04d}` left to fill in."""
    # The suffix leaves out a file that was being written when a run was killed.
    return max(Path(folder).glob(weights_name.replace("{epoch:04d}", "*")), default=None)


def runs_of(model_dir: str | Path, name: str, date: str = _RUN_DATE) -> list[Path]:
    """Folders `<name><date>` in `model_dir`, if it exists, oldest first; `date` is a pattern."""
    run_name, folder = re.compile(re.escape(name) + date), Path(model_dir)
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(p for p in found if p.is_dir() and run_name.fullmatch(p.name))


class LastCheckpoint(str):
    """Path of a checkpoint, which is also the pair (log directory, checkpoint) that `find_last`
    gave before Matterport's v2.1: `[0]`, `[1]`, and what is unpacked from it."""

    def _pair(self) -> tuple[str, str]:
        logger.warning("find_last() gives the path of a checkpoint, no longer a pair.")
        return str(Path(self).parent), str(self)

    def __getitem__(self, key: Any) -> str:
        return self._pair()[key] if key in (0, 1) else super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._pair())


def find_last(model_dir: str | Path, name: str) -> LastCheckpoint:
    """Path of the last checkpoint of the last run of a Config.NAME: by name the last folder
    `<name>...` that is called like a run, or has checkpoints of this name.

    Raises FileNotFoundError if there is none. Source: Matterport's `MaskRCNN.find_last`.
    """
    prefix = name.lower()
    runs = runs_of(model_dir, prefix)
    # Folders that were renamed; not those of experiments whose names only begin alike.
    own = re.compile(rf"mask_rcnn_{re.escape(prefix)}_\d+\.h5")
    found = Path(model_dir).glob(f"{glob.escape(prefix)}*/mask_rcnn*.h5")
    runs += [path.parent for path in found if own.fullmatch(path.name)]
    if not runs:
        raise MissingFileError(
            errno.ENOENT,
            f"No run of {name!r} found; wanted a folder {prefix}<YYYYMMDD>T<HHMM>. "
            "Train first, or check model_dir and NAME",
            str(model_dir),
        )
    run = max(runs)
    # The suffix leaves out a file that was being written when a run was killed.
    files = sorted(p.name for p in run.glob("mask_rcnn*.h5"))
    if not files:
        raise MissingFileError(
            errno.ENOENT,
            "The newest run has no checkpoint mask_rcnn*.h5; it stopped before the end of its "
            "first epoch. Delete the folder to use an older run, or start again",
            str(run),
        )
    return LastCheckpoint(run / files[-1])


def with_step(name: str, step: int) -> str:
    """The name of a file of an epoch, for `step` batches after it."""
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}_step_{step:04d}{dot}{suffix}" if step else name


def state_path(log_dir: str | Path, epoch: int, step: int = 0) -> Path:
    """Path of the resume state that belongs to the checkpoint of `epoch`, or `step` batches
    after it."""
    return Path(log_dir) / with_step(f"training_state_{epoch:04d}.npz", step)


def random_state_variables(keras_model: keras.Model) -> list:
    """States of all random generators owned by the layers of a model, in fixed order."""
    weights = {id(v) for v in keras_model.weights}
    return [v for v in keras_model.variables if id(v) not in weights]


def save_state(path: str | Path, keras_model: keras.Model, facts: dict[str, Any]) -> None:
    """Write the optimizer's variables, the random states and `facts` (JSON types), atomically."""
    optimizer = keras_model.optimizer.variables
    seeds = random_state_variables(keras_model)
    arrays = {f"optimizer_{i}": np.asarray(v) for i, v in enumerate(optimizer)}
    arrays |= {f"seed_{i}": np.asarray(v) for i, v in enumerate(seeds)}
    header = {
        **facts,
        "format": _STATE_FORMAT,
        "optimizer_paths": [v.path for v in optimizer],
        "seed_count": len(seeds),
    }

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.savez(file, header=np.array(json.dumps(header)), **arrays)

    replace_file(path, write)


def load_state(path: str | Path) -> dict[str, Any]:
    """What `save_state` wrote: its facts, with `optimizer` and `seeds` (lists of arrays) and
    `optimizer_paths` added. Raises FileNotFoundError, or ValueError for another file."""
    path = Path(path)
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            state = json.loads(str(file["header"]))
            if state["format"] != _STATE_FORMAT:
                raise UserError(f"format {state['format']}, wanted {_STATE_FORMAT}")
            count = len(state["optimizer_paths"])
            state["optimizer"] = [file[f"optimizer_{i}"] for i in range(count)]
            state["seeds"] = [file[f"seed_{i}"] for i in range(state["seed_count"])]
    except FileNotFoundError:
        raise MissingFileError(
            errno.ENOENT,
            "There is no training state for this checkpoint, so the run cannot be resumed "
            "exactly. Load the last checkpoint (find_last), or train without resume",
            str(path),
        ) from None
    except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: not a readable training state ({error}). Train without resume."
        ) from error
    return state


def restore_optimizer(keras_model: keras.Model, state: dict[str, Any], path: Path) -> None:
    """Assign a saved state to the built optimizer of a model; ValueError if it does not fit."""
    variables = keras_model.optimizer.variables
    ours = [(v.path, tuple(v.shape)) for v in variables]
    saved = [
        (p, a.shape) for p, a in zip(state["optimizer_paths"], state["optimizer"], strict=True)
    ]
    if ours != saved:
        differ = [pair for pair in zip(saved, ours, strict=False) if pair[0] != pair[1]]
        first = f"; first difference: {differ[0][0]} saved, {differ[0][1]} now" if differ else ""
        raise UserError(
            f"{path}: the saved optimizer state ({len(saved)} variables) does not fit this run "
            f"({len(ours)} variables){first}. It belongs to layers={state.get('layers')!r}: "
            "resume with the same layers, OPTIMIZER and PRECISION, or train without resume."
        )
    for variable, value in zip(variables, state["optimizer"], strict=True):
        variable.assign(value)


def restore_random_states(keras_model: keras.Model, state: dict[str, Any], path: Path) -> None:
    """Assign saved random states to the layers of a model; ValueError if the count differs."""
    variables = random_state_variables(keras_model)
    if len(variables) != len(state["seeds"]):
        raise UserError(
            f"{path}: holds {len(state['seeds'])} random states, the model has {len(variables)}. "
            "The model was built in another way; train without resume."
        )
    for variable, value in zip(variables, state["seeds"], strict=True):
        variable.assign(value.astype(keras.backend.standardize_dtype(variable.dtype)))
