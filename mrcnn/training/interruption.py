"""Ctrl-C while a network trains: it stops between two steps, with a checkpoint to go on from."""

import logging
import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

import keras

from mrcnn.errors import TrainingStopped

logger = logging.getLogger(__name__)


class Files(Protocol):
    """What keeps the checkpoints of a training: `mrcnn.training.loop.EpochFiles`."""

    def save_step(self) -> None:
        """Write a checkpoint of the epoch that is not complete."""
        ...

    def newest(self) -> Path | None:
        """The checkpoint to go on from."""
        ...


class StopBetweenSteps(keras.callbacks.Callback):
    """Raises KeyboardInterrupt between two steps, as Ctrl-C does, once it is `asked` to."""

    asked: bool = False

    def on_epoch_begin(self, epoch, logs=None):
        """Stop between two epochs: the files of the one before are complete."""
        if self.asked:
            raise KeyboardInterrupt

    def on_train_batch_end(self, batch, logs=None):
        """Stop between two steps; behind the last one the epoch is completed first."""
        if self.asked and batch + 1 < self.params["steps"]:
            raise KeyboardInterrupt


class StopOnInterrupt(StopBetweenSteps):
    """A context around `fit`, which has it as a callback; raises `TrainingStopped` on Ctrl-C.

    A step is never cut in two: weights and optimizer belong together at its end alone. So the first
    Ctrl-C waits for it; the second one stops at once, without a checkpoint of its own.
    """

    def __init__(self, files: Files):
        super().__init__()
        self.files = files
        self.asked = self.at_once = False
        self._before: Any = None

    def __enter__(self) -> Self:
        # Only the main thread gets signals. A program that handles them itself keeps its way.
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if not (kind is KeyboardInterrupt or (kind is None and self.asked)):
            return
        if not self.at_once:
            self.files.save_step()
        if path := self.files.newest():
            raise TrainingStopped(f"stopped, with the checkpoint {path}.") from error
        if kind is None:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self.at_once = True
            raise KeyboardInterrupt
        self.asked = True
        logger.warning("Stopping after this step; Ctrl-C again to stop at once.")
