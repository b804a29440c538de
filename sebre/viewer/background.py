"""Networks run in a process of their own, beside the window; what the two say to each other.

Not in a thread: TensorFlow and Mesa, which draws windows on many machines, both bring LLVM, and a
process that loads the two crashes. So nothing that a window imports may import Keras;
`sebre.viewer.serving` and `tasks` are imported by the process alone. It also leaves the window its
memory and its patience. Neither Qt nor napari is imported here.
"""

import contextlib
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from sebre.viewer.network_choices import NetworkChoice

logger = logging.getLogger(__name__)

# What the process says: kind, and content.
REPORT, WARNED, DONE, FAILED, ENDED = "report", "warned", "done", "failed", "ended"
STOP = "stop"  # what it is told beside (task, arguments)
_COMMAND = (sys.executable, "-c", "from sebre.viewer.serving import serve; serve()")

Report = Callable[[Any], None]


# --- What is asked and answered --------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """A picture to predict.

    Attributes:
        name: of the layer.
        values: [H, W] gray of any depth, or [H, W, 3 or 4] colors.
        pixel_um: (rows, columns) um from one pixel to the next; None if not known.
        file: that it was opened from; empty if there is none.
    """

    name: str
    values: np.ndarray
    pixel_um: tuple[float, float] | None = None
    file: str = ""


@dataclass(frozen=True)
class Training:
    """A training on corrected sections.

    Attributes:
        dataset: folder of the prepared data set.
        logs: folder of all runs.
        start: network to start from.
        steps: of the optimizer.
        resume: go on with the last run in `logs`, that was begun with the same.
        settings: that differ from those of the kind.
        seed: of order and augmentation.
    """

    dataset: Path
    logs: Path
    start: NetworkChoice
    steps: int
    resume: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class Progress:
    """How far a task is: `done` of `total` parts, and what comes now."""

    done: int
    total: int
    text: str


@dataclass(frozen=True)
class Loss:
    """The mean loss of an epoch so far, after a step counted from the beginning of the run; at the
    end of an epoch also the mean Dice of held-out sections, if there are any."""

    step: int
    steps: int  # of the whole run
    loss: float
    val_dice: float | None = None


@dataclass(frozen=True)
class TrainedRun:
    """What a training left.

    Attributes:
        network: of the run; None where it was stopped before there was anything to keep.
        finished: False where it was stopped, and can be resumed.
    """

    network: NetworkChoice | None
    finished: bool


# --- The side of the window ------------------------------------------------------------------


class WorkerProcess:
    """The process that predicts and trains, one task after the other.

    Args:
        heard: called with all that it says, (kind, content), in a thread of its own.
        command: that starts it; None for the usual one.
    """

    def __init__(self, heard: Callable[[str, Any], None], command: Sequence[str] | None = None):
        self._heard, self._command = heard, list(command or _COMMAND)
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it, if it does not run; it then gets its packages ready by itself."""
        if self._process is not None and self._process.poll() is None:
            return
        settings = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}
        # It finds the same packages as this one.
        paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=settings | dict(os.environ) | paths,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # of Windows alone
        )
        threading.Thread(target=self._listen, args=[self._process], daemon=True).start()

    def ask(self, task: str, *arguments: Any) -> None:
        """Have a task done: the name of a function of `sebre.viewer.tasks.TASKS`."""
        self.start()
        self._tell((task, arguments))

    def stop(self) -> None:
        """Ask the task that runs to end soon."""
        self._tell(STOP)

    def close(self) -> None:
        """End the process, when what runs has ended; a training keeps a checkpoint."""
        if self._process is not None:
            _close(self._process)

    def wait(self, seconds: float) -> int:
        """Wait for its end, and give its exit code."""
        return self._process.wait(seconds)

    def _tell(self, message: Any) -> None:
        try:
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()
        except (OSError, ValueError):  # it has ended, which `_listen` says
            logger.debug("The process of networks does not listen.", exc_info=True)

    def _listen(self, process: subprocess.Popen) -> None:
        with process.stdout:
            while True:
                try:
                    kind, content = pickle.load(process.stdout)
                except (EOFError, pickle.UnpicklingError):
                    break
                self._heard(kind, content)
        _close(process)
        code = process.wait()
        if process is self._process:  # not one that was replaced meanwhile
            self._heard(ENDED, code)


def _close(process: subprocess.Popen) -> None:
    with contextlib.suppress(OSError):  # what it was not told yet, and will not hear
        process.stdin.close()


def in_words(error: BaseException) -> str:
    """What to say of an error; the traceback of a fault of the program goes to the log."""
    if isinstance(error, UserError):
        return str(error)
    logger.error("A fault of the program.", exc_info=error)
    return f"A fault of the program ({type(error).__name__}: {error}). The log has its traceback."
