"""`keras.Model.fit` on `mrcnn.data.batches.Batches`, without its pauses between epochs.

Under TensorFlow, Keras reads a `PyDataset` through one tf.data iterator an epoch, whose tuning
thread sleeps ever longer, up to a minute; about every third iterator waits for it at its end
(TensorFlow 2.21). Here one iterator that is not tuned serves all epochs.
"""

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import keras

from mrcnn.backend import backend
from mrcnn.data.batches import Batches

_AHEAD = 2  # batches that wait ready as tensors; the threads of `Batches` prepare more


def fit(
    model: keras.Model,
    batches: Batches,
    checks: Batches | None = None,
    step: int = 0,
    **arguments: Any,
) -> keras.callbacks.History:
    """Train a compiled model on batches from their `epoch` on, and validate on `checks` after each
    epoch; the first one begins with its batch number `step`. Further arguments are those of
    `keras.Model.fit`. An error of reading a batch is raised as it was. Afterwards no thread
    reads."""
    if not step:
        return _fit(model, batches, checks, **arguments)
    # All epochs of a call have one length, so what is left of one is a call of its own.
    second = arguments["initial_epoch"] + 1
    rest = _Rest(batches, step)
    history = _fit(model, rest, checks, **{**arguments, "epochs": second})
    if second < arguments["epochs"]:
        batches.epoch = rest.epoch
        others = _fit(model, batches, checks, **{**arguments, "initial_epoch": second})
        history.epoch += others.epoch
        for name, values in others.history.items():
            history.history[name] += values
    return history


class _Rest(keras.utils.PyDataset):
    """The batches of an epoch from one on, read as `Batches` are."""

    training = True

    def __init__(self, batches: Batches, step: int):
        super().__init__(workers=1, use_multiprocessing=False)
        self.batches, self.step, self.epoch = batches, step, batches.epoch

    @property
    def error(self) -> Exception | None:
        """See `Batches`."""
        return self.batches.error

    def __len__(self) -> int:
        return len(self.batches) - self.step

    def __getitem__(self, index: int) -> Any:
        return self.read(self.epoch, index)

    def read(self, epoch: int, index: int) -> Any:
        """See `Batches.read`."""
        return self.batches.read(epoch, self.step + index)

    def rest(self) -> None:
        """See `Batches`."""
        self.batches.rest()


def _fit(
    model: keras.Model, batches: Batches | _Rest, checks: Batches | None, **arguments: Any
) -> keras.callbacks.History:
    parts = [part for part in (batches, checks) if part is not None]
    feeds = [Feed(part) for part in parts]
    inputs, validation = batches, checks
    if backend() == "tensorflow":
        inputs, *rest = (feed.dataset() for feed in feeds)
        arguments["steps_per_epoch"] = len(batches)
        if rest:
            (validation,) = rest
            arguments["validation_steps"] = len(checks)
    begun = batches.epoch
    try:
        # The batches shuffle by themselves; Keras would draw from Python's own state.
        history = model.fit(inputs, validation_data=validation, shuffle=False, **arguments)
    except Exception:
        for part in parts:
            if part.error is not None:
                raise part.error from None
        raise
    finally:
        for feed in feeds:
            feed.stop()
    batches.epoch = begun + len(history.epoch)
    return history


class Feed:
    """Batches without end: all epochs from the present one on, or the present one again and again
    if they are not for training."""

    def __init__(self, batches: Batches | _Rest):
        self.batches, self._begun = batches, batches.epoch
        self._turn, self._stopped = threading.Lock(), False

    def __call__(self) -> Iterator[Any]:
        for epoch in itertools.count(self._begun, int(self.batches.training)):
            for index in range(len(self.batches)):
                with self._turn:
                    if self._stopped:
                        return
                    batch = self.batches.read(epoch, index)
                yield batch

    def dataset(self) -> Any:
        """The same as a `tf.data.Dataset`."""
        import tensorflow as tf

        # The number of pictures is left open, as Keras does.
        signature = keras.tree.map_structure(
            lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), self.batches[0]
        )
        options = tf.data.Options()
        options.autotune.enabled = False
        dataset = tf.data.Dataset.from_generator(self, output_signature=signature)
        return dataset.prefetch(_AHEAD).with_options(options)

    def stop(self) -> None:
        """End it, and wait until nothing is read any more."""
        with self._turn:
            self._stopped = True
        self.batches.rest()
