"""The fixed reference, interleaved rounds, and ratios of their medians."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mrcnn.errors import UserError

MATRIX = 2048  # rows and columns of the product
SIDE = 384  # px of the reference network's input
# Fields of a record that hold the rate of a matrix product, and what it computes in.
RATES = {"gflops": "float32", "gflops_bfloat16": "bfloat16"}


@dataclass(frozen=True)
class Ratio:
    """How long something takes in units of what was measured around it."""

    ratio: float  # of the medians
    # Quartiles of the rounds' ratios, each to the mean of the reference right before and after
    # it; the range is widened to hold `ratio`.
    q1: float
    q3: float
    n: int  # rounds
    seconds: float  # median of the rounds, for information only
    r_seconds: float  # median of the reference around them


def ratio_of(
    seconds: Sequence[float], before: Sequence[float], after: Sequence[float], items: int = 1
) -> Ratio:
    """Compare n >= 1 rounds in seconds, which did so many items, with those of the reference
    right before and after each; results are for one item."""
    rounds = np.asarray(seconds, float) / items
    around = np.stack([before, after]).astype(float)
    ratio = float(np.median(rounds) / np.median(around))
    q1, q3 = np.quantile(rounds / around.mean(axis=0), [0.25, 0.75])
    q1, q3 = min(float(q1), ratio), max(float(q3), ratio)
    return Ratio(ratio, q1, q3, len(rounds), float(np.median(rounds)), float(np.median(around)))


@dataclass(frozen=True)
class Rounds:
    """What `interleave` measured, by name."""

    seconds: Mapping[str, Sequence[float]]  # of every round
    around: Mapping[str, Sequence[tuple[float, float]]]  # of the reference before and after

    def ratio(self, name: str, items: int = 1) -> Ratio:
        """A task in units of the reference, for one of the items that it does at a time."""
        return ratio_of(self.seconds[name], *zip(*self.around[name], strict=True), items)

    def against(self, name: str, other: str) -> Ratio:
        """A task in units of another one, round by round."""
        return ratio_of(self.seconds[name], self.seconds[other], self.seconds[other])

    def median(self, name: str) -> float:
        """Seconds, of a task or of what else ran."""
        return float(np.median(self.seconds[name]))


def interleave(
    tasks: Mapping[str, Callable[[], object]],
    reference: Callable[[], object],
    rounds: int,
    others: Mapping[str, Callable[[], object]] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Rounds:
    """Time tasks between rounds of a reference: others, R, a, R, b, R; others, R, a, R, b, R...

    Everything should have run before, so that nothing is compiled here.

    Args:
        tasks: what to time, by name.
        reference: runs before and after each task.
        rounds: how often.
        others: also run once a round, before the first reference.
        clock: seconds.
    """

    def timed(function: Callable[[], object]) -> float:
        start = clock()
        function()
        return clock() - start

    others = others or {}
    seconds: dict[str, list[float]] = {name: [] for name in (*tasks, *others)}
    around: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, function in others.items():
            seconds[name].append(timed(function))
        before = timed(reference)
        for name, function in tasks.items():
            seconds[name].append(timed(function))
            after = timed(reference)
            around[name].append((before, after))
            before = after
    return Rounds(seconds, around)


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Exponent p of the least-squares fit cost = c * size**p; 1 is linear."""
    if len(set(sizes)) < 2:
        raise UserError(f"A slope needs two different sizes; got {list(sizes)}.")
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(costs, float))
    x = x - x.mean()
    value = float((x * y).sum() / (x * x).sum())
    if not math.isfinite(value):
        raise UserError(f"Sizes and costs must be above 0; got {list(sizes)}, {list(costs)}.")
    return value


def reference_network(side: int = SIDE) -> Callable[[], object]:
    """R: forward pass of `keras.applications` ResNet101 without its top, float32, one image.

    Compiled with `tf.function`, random weights; it has run once when this returns. Every
    published number has a square input of 384 px.

    Returns:
        Runs it once, and waits for the result.
    """
    import keras
    import tensorflow as tf

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        network = keras.applications.ResNet101(
            include_top=False, weights=None, input_shape=(side, side, 3)
        )
    finally:
        keras.config.set_dtype_policy(policy)
    image = tf.random.stateless_normal((1, side, side, 3), seed=(0, 0))
    forward = tf.function(lambda x: network(x, training=False))

    def run() -> object:
        return forward(image).numpy()

    run()
    return run


def matrix_product(
    size: int = MATRIX, dtype: str = "float32"
) -> tuple[Callable[[], object], float]:
    """A matrix product on all cores; it has run once when this returns.

    Returns:
        Runs it once; and its work in GFLOP.
    """
    import tensorflow as tf

    matrix = tf.cast(tf.random.stateless_normal((size, size), seed=(0, 1)), dtype)
    product = tf.function(tf.linalg.matmul)

    def run() -> object:
        return product(matrix, matrix).numpy()

    run()
    return run, 2 * size**3 / 1e9
