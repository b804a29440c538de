"""What a process computes on: its cores, its memory, its random numbers, and devices for data
parallelism.

TensorFlow mirrors the model: each device computes the losses of its own share of the batch, and the
gradients are averaged, as with the towers of the original package. JAX shards the batch and
computes every loss over the whole of it. They differ only in that a mean over ROIs is taken for
each device first on TensorFlow.
"""

import contextlib
import ctypes
import functools
import os
import random
import sys
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from mrcnn.errors import UserError

_M_ARENA_MAX = -8  # of malloc.h


def usable_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_memory_together() -> None:
    """Let all threads of this process take memory from one place; without glibc, no effect.

    With a place for each thread, large tensors are given back to the system and fetched again: that
    took 5 % of a bfloat16 step on two cores. Call it before the first tensor is made.
    Source: mallopt(3), M_ARENA_MAX.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


@contextlib.contextmanager
def numbers_kept() -> Iterator[None]:
    """Context after which `random` and `numpy.random` go on as if nothing had been drawn or seeded
    in it."""
    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def available_devices() -> list[str]:
    """Names of the devices that a model can be distributed over; CPUs only without others."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return [device.name for device in found]
    if backend == "jax":
        return keras.distribution.list_devices()
    raise UserError(
        f"Training on several devices needs the TensorFlow or the JAX backend; this is "
        f"{backend!r}. Set GPU_COUNT = 1, or another KERAS_BACKEND."
    )


def count_devices(wanted: int | str) -> int:
    """GPU_COUNT for a wish of the user: a number, or "all"."""
    if wanted == 1:
        return 1
    found = available_devices()
    if wanted == "all":
        return len(found)
    if len(found) < wanted:
        raise UserError(
            f"{wanted} devices are wanted, but there are {len(found)}: {', '.join(found)}. Take "
            'so many, or "all".'
        )
    return wanted


@contextlib.contextmanager
def distribution_scope(count: int) -> Iterator[None]:
    """Inside, models are built, compiled and trained on `count` devices; 1 changes nothing."""
    if count == 1:
        yield
        return
    found = available_devices()
    if len(found) < count:
        raise UserError(
            f"GPU_COUNT is {count}, but there are {len(found)} devices: {', '.join(found)}. "
            "Set GPU_COUNT to what there is."
        )
    distribution = _distribution(tuple(found[:count]))
    with distribution.scope():
        yield


@functools.cache
def _distribution(names: tuple[str, ...]) -> Any:
    # Cached, because a model must be trained under the very strategy it was built under.
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.MirroredStrategy(list(names))
    return keras.distribution.DataParallel(devices=list(names), auto_shard_dataset=False)


def replica_count() -> int:
    """Replicas whose gradients are summed for one step: above 1 only in a TensorFlow scope."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def scale_loss(loss: Any) -> Any:
    """A replica's scalar loss, divided so that the sum over replicas is the mean.

    `Model.compute_loss` must give its total through this.
    """
    count = replica_count()
    return loss if count == 1 else loss / count


def backend() -> str:
    """Name of the running Keras backend: "tensorflow", "jax" or "torch"."""
    return keras.backend.backend()
