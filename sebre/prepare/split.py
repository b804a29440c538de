"""Splits that keep what belongs together in one part."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def split_groups(groups: Sequence[Any], held_out: float, seed: int) -> tuple[list, list]:
    """Divide groups (sections, subjects, ...) at random into two parts.

    Args:
        groups: what must not be divided, each once.
        held_out: share of the second part, above 0 and below 1; at least one group each.
        seed: of NumPy's default generator.

    Returns:
        (kept, held out), each in the order given.

    Raises:
        ValueError: a share out of range, or fewer than two groups.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out is {held_out}; it must be above 0 and below 1.")
    if len(groups) < 2:
        raise ValueError(f"{len(groups)} group(s) cannot be divided into two parts.")
    count = min(max(round(held_out * len(groups)), 1), len(groups) - 1)
    order = np.random.default_rng(seed).permutation(len(groups))
    second = set(order[:count].tolist())
    return (
        [group for i, group in enumerate(groups) if i not in second],
        [group for i, group in enumerate(groups) if i in second],
    )
