"""Differences of two methods on the same sections, with 95 % intervals by paired bootstrap.

Both methods are scored on the same resampled sections, so that what makes a section hard for
both takes no part in the interval. A draw takes as many units as there are, with replacement;
a unit is a section or, where the records say so, a subject with all its sections.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sebre.bootstrap import PERCENTILES

DRAWS = 10_000


@dataclass(frozen=True)
class Difference:
    """A score of one method minus that of another.

    Attributes:
        value: the difference.
        interval: its 95 % interval (low, high); None with fewer than two units.
        unit: what the interval varies over, "section" or "subject".
        n_units: how many of them.
    """

    value: float
    interval: tuple[float, float] | None
    unit: str
    n_units: int

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies above or below 0, otherwise 0."""
        if self.interval is None:
            return 0
        low, high = self.interval
        return int(low > 0) - int(high < 0)


def paired_difference(
    scores: Mapping[str, Any], others: Mapping[str, Any], key: str = "dice", seed: int = 0
) -> Difference | None:
    """Scores of one method minus those of another.

    Args:
        scores: a record, or what it has under "turned", with "sections" and "interval_unit".
            Sections that have a "unit", such as their subject, are drawn by it.
        others: the same of the other method.
        key: "dice" or "iou", averaged by region over sections and then over regions, as
            `sebre.summary` does; or "ap" or "mse", averaged over sections.
        seed: of the draws.

    Returns:
        The difference; None if the two are not of the same sections with the same regions, at
        the same angles, or have no such score.
    """
    pairs = list(zip(scores["sections"], others["sections"], strict=False))
    columns: dict[str, int] = {}
    units: dict[str, int] = {}
    entries = []
    for one, other in pairs:
        mine, theirs = _values(one, key), _values(other, key)
        if mine.keys() != theirs.keys() or any(
            one.get(fact) != other.get(fact) for fact in ("section", "angle")
        ):
            return None
        unit = units.setdefault(one.get("unit", one["section"]), len(units))
        entries += [
            (unit, columns.setdefault(name, len(columns)), mine[name] - theirs[name])
            for name in mine
        ]
    if not entries or len(scores["sections"]) != len(others["sections"]):
        return None
    sums = np.zeros((2, len(units), len(columns)))  # of differences, and of how many
    for unit, column, value in entries:
        sums[:, unit, column] += value, 1

    def mean(weights: np.ndarray) -> np.ndarray:
        """Of draws [N, units]; a column without a section in a draw does not count in it."""
        total, count = weights @ sums[0], weights @ sums[1]
        means = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
        known = means[np.isfinite(means).any(axis=1)]
        return np.nanmean(known, axis=1)

    n = len(units)
    interval = None
    if n > 1:
        draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=DRAWS)
        low, high = np.percentile(mean(draws.astype(float)), PERCENTILES)
        interval = float(low), float(high)
    known_units = all("unit" in one for one, _ in pairs)
    named = scores.get("interval_unit") if known_units else None
    return Difference(float(mean(np.ones((1, n)))[0]), interval, named or "section", n)


def _values(section: Mapping[str, Any], key: str) -> dict[str, float]:
    """A score of a section by region, or by "" where it has one for all of them."""
    if key in ("dice", "iou"):
        return {name: region[key] for name, region in section["regions"].items()}
    value = section.get(key)
    return {} if value is None else {"": value}
