"""Means of the scores of sections, and their 95 % intervals by bootstrap.

A draw takes as many units as there are, with replacement. A unit is a section with all its
versions; where sections are slices of volumes it is a subject with all its sections, because
neighboring slices resemble each other. The interval is that of the percentiles of the draws
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sebre.data.regions import RegionSet

if TYPE_CHECKING:  # it loads networks, which who reads stored scores does not need
    from sebre.evaluation.section import Section

DRAWS = 2000
PERCENTILES = (2.5, 97.5)


class Tally:
    """Sums of scores by unit; sections come one by one, and none is kept.

    Args:
        regions: the region set.
        unit_of: name of the unit that a section of some name belongs to; None makes each
            section its own.
    """

    def __init__(self, regions: RegionSet, unit_of: Callable[[str], str] | None = None):
        self.regions = regions
        self.n_sections = 0
        self._unit_of = unit_of or str
        # By unit: sums and counts [2] of the AP, and of Dice and IoU of each region [1 + 2 R].
        self._sums: dict[str, np.ndarray] = {}

    def add(self, section: "Section") -> None:
        """Add the AP, and the Dice and IoU of each region, of a section."""
        self.n_sections += 1
        sums = self._sums.setdefault(
            self._unit_of(section.name), np.zeros((2, 1 + 2 * len(self.regions)))
        )
        if section.ap is not None:
            sums[:, 0] += section.ap, 1
        for start, values in ((0, section.dices), (len(self.regions), section.ious)):
            for class_id, value in values.items():
                sums[:, start + class_id] += value, 1

    @property
    def n_units(self) -> int:
        """Units so far."""
        return len(self._sums)

    def means(self) -> dict[str, Any]:
        """The scores of all units, each counted once; None where there is none."""
        once = self._scores(np.ones((1, self.n_units)))
        return {
            "map_paper": _number(once["map_paper"]),
            "dice_mean": _number(once["dice_mean"]),
            "dice_per_region": dict(
                zip(self.regions.names, map(_number, once["dice_per_region"].T), strict=True)
            ),
        }

    def intervals(self, seed: int = 0) -> dict[str, Any]:
        """95 % intervals [low, high] by name of the score; None with fewer than two units.

        A draw without any section that shows a region does not count for that region.

        Args:
            seed: of the draws.
        """
        n = self.n_units
        draws = None
        if n > 1:
            rng = np.random.default_rng(seed)
            draws = self._scores(rng.multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(float))

        def per_region(key: str) -> dict[str, list[float] | None]:
            columns = draws[key].T if draws else [None] * len(self.regions)
            return dict(zip(self.regions.names, map(_interval, columns), strict=True))

        return {
            "map_paper": _interval(draws and draws["map_paper"]),
            "dice_mean": _interval(draws and draws["dice_mean"]),
            "dice_per_region": per_region("dice_per_region"),
            "iou_per_region": per_region("iou_per_region"),
        }

    def _scores(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Scores of some draws; NaN where a draw has no value.

        Args:
            weights: how often each draw takes each unit, float [draws, units].
        """
        table = np.array(list(self._sums.values())).reshape(-1, 2, 1 + 2 * len(self.regions))
        sums, counts = weights @ table[:, 0], weights @ table[:, 1]
        means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
        dices, ious = np.split(means[:, 1:], 2, axis=1)
        known = np.isfinite(dices)
        n = known.sum(axis=1)
        total = np.where(known, dices, 0).sum(axis=1)
        return {
            "map_paper": means[:, 0],
            "dice_mean": np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0),
            "dice_per_region": dices,
            "iou_per_region": ious,
        }


def _interval(draws: np.ndarray | None) -> list[float] | None:
    known = [] if draws is None else draws[np.isfinite(draws)]
    return [float(v) for v in np.percentile(known, PERCENTILES)] if len(known) else None


def _number(values: Iterable[float]) -> float | None:
    (value,) = values
    return float(value) if np.isfinite(value) else None


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
            `sebre.evaluation.summary` does; or "ap" or "mse", averaged over sections.
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
