"""Means of the scores of sections, and their 95 % intervals by bootstrap.

A draw takes as many units as there are, with replacement. A unit is a section with all its
versions; where sections are slices of volumes it is a subject with all its sections, because
neighboring slices resemble each other. The interval is that of the percentiles of the draws
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

`Tally` is of one method, for `sebre.evaluation.summary`; `paired_difference` of two, for
`sebre.report`. `scipy.stats.bootstrap` draws other numbers from the same seed, and has no units of
several sections of which some lack a region: stored intervals would change, so ours stays.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sebre.data.regions import RegionSet
from sebre.evaluation.scores import Interval, Intervals, SectionScore

if TYPE_CHECKING:  # it loads networks, which who reads stored scores does not need
    from sebre.evaluation.section import Section

TALLY_DRAWS, DRAWS = 2000, 10_000  # of `Tally`, of `paired_difference`
PERCENTILES = (2.5, 97.5)


class UnitMeans:
    """Sums of values by unit and column; means over all units, or over draws of them."""

    def __init__(self) -> None:
        self._units: dict[str, dict[Hashable, tuple[float, int]]] = {}

    def __len__(self) -> int:
        return len(self._units)

    def add(self, unit: str, values: Mapping[Hashable, float | None]) -> None:
        """Add a value for each column; None does not count."""
        row = self._units.setdefault(unit, {})
        for column, value in values.items():
            if value is not None:
                total, count = row.get(column, (0.0, 0))
                row[column] = total + value, count + 1

    def means(self, columns: Sequence[Hashable], weights: np.ndarray | None = None) -> np.ndarray:
        """Means [draws, columns]; NaN where a draw has no value.

        `weights`, float [draws, units], say how often each draw takes each unit; None takes each
        once.
        """
        rows = [[row.get(column, (0.0, 0)) for column in columns] for row in self._units.values()]
        # Units, sums and counts, columns: stored intervals are of this layout, to the last bit.
        table = np.array(rows, float).reshape(len(rows), len(columns), 2).swapaxes(1, 2).copy()
        weights = np.ones((1, len(rows))) if weights is None else weights
        sums, counts = weights @ table[:, 0], weights @ table[:, 1]
        return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)

    def draws(self, count: int, seed: int) -> np.ndarray | None:
        """`weights` of random draws; None with fewer than two units."""
        n = len(self)
        if n < 2:
            return None
        rng = np.random.default_rng(seed)
        return rng.multinomial(n, np.full(n, 1 / n), size=count).astype(float)


def mean_known(means: np.ndarray) -> np.ndarray:
    """Mean of each row over what is not NaN; NaN for a row without any."""
    known = np.isfinite(means)
    n, total = known.sum(axis=1), np.where(known, means, 0).sum(axis=1)
    return np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)


def interval_of(draws: np.ndarray) -> Interval | None:
    """The interval of draws; NaN does not count."""
    known = draws[np.isfinite(draws)]
    return tuple(float(v) for v in np.percentile(known, PERCENTILES)) if len(known) else None


class Tally:
    """Scores by unit; sections come one by one, and none is kept.

    `unit_of` gives the unit of a section by its name; None makes each section its own.
    """

    def __init__(self, regions: RegionSet, unit_of: Callable[[str], str] | None = None):
        self.regions = regions
        self.n_sections = 0
        self._unit_of = unit_of or str
        self._units = UnitMeans()

    def add(self, section: "Section") -> None:
        """Add the AP, and the Dice and IoU of each region, of a section."""
        self.n_sections += 1
        values: dict[Hashable, float | None] = {"ap": section.ap}
        for class_id, score in section.drawn_scores.items():
            values |= {("dice", class_id): score.dice, ("iou", class_id): score.iou}
        self._units.add(self._unit_of(section.name), values)

    @property
    def n_units(self) -> int:
        """Units so far."""
        return len(self._units)

    def means(self) -> tuple[float | None, float | None, dict[str, float | None]]:
        """mAP, mean Dice, and Dice by region of all units; None where there is none."""
        ap, dices, _ = self._scores()
        by_region = dict(zip(self.regions.names, map(_number, dices.T), strict=True))
        return _number(ap), _number(mean_known(dices)), by_region

    def intervals(self, seed: int = 0) -> Intervals:
        """95 % intervals; None with fewer than two units.

        A draw without any section that shows a region does not count for that region.
        """
        weights = self._units.draws(TALLY_DRAWS, seed)
        if weights is None:
            nothing = dict.fromkeys(self.regions.names)
            return Intervals(dice=nothing, iou=dict(nothing))
        ap, dices, ious = self._scores(weights)
        dice, iou = (
            dict(zip(self.regions.names, map(interval_of, columns.T), strict=True))
            for columns in (dices, ious)
        )
        return Intervals(
            map_paper=interval_of(ap), dice_mean=interval_of(mean_known(dices)), dice=dice, iou=iou
        )

    def _scores(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        """AP [draws], Dice and IoU [draws, regions]."""
        columns = [(key, region.id) for key in ("dice", "iou") for region in self.regions]
        means = self._units.means(["ap", *columns], weights)
        return (means[:, 0], *np.split(means[:, 1:], 2, axis=1))


def _number(values: np.ndarray) -> float | None:
    (value,) = values
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True)
class Difference:
    """A score of one method minus that of another, and its 95 % interval (None below two units).

    The interval varies over `n_units` units, each a `unit`: "section" or "subject".
    """

    value: float
    interval: Interval | None
    unit: str
    n_units: int

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies above or below 0, otherwise 0."""
        if self.interval is None:
            return 0
        low, high = self.interval
        return int(low > 0) - int(high < 0)

    def __neg__(self) -> "Difference":
        """The score of the other method minus that of the one."""
        ends = self.interval and (-self.interval[1], -self.interval[0])
        return Difference(-self.value, ends, self.unit, self.n_units)


def paired_difference(
    sections: Sequence[SectionScore],
    others: Sequence[SectionScore],
    key: str = "dice",
    unit: str | None = None,
    seed: int = 0,
) -> Difference | None:
    """Scores of one method minus those of another, on the same sections.

    Args:
        sections: of one method.
        others: of the other method. Sections that have a unit, such as their subject, in either,
            are drawn by it.
        key: "dice" or "iou", averaged by region over sections and then over regions, as
            `sebre.evaluation.summary` does; a distance, such as "cmd_px", likewise, where both
            found the region; or "ap" or "mse", averaged over sections.
        unit: what the units of the sections are called.
        seed: of the draws.

    Returns:
        The difference; None if the two are not of the same sections with the same regions, at
        the same angles, or have no such score.
    """
    units = UnitMeans()
    columns: dict[str, None] = {}
    named = True
    for one, other in zip(sections, others, strict=False):
        mine, theirs = _values(one, key), _values(other, key)
        same = (one.section, one.angle or 0) == (other.section, other.angle or 0)
        if not same or mine.keys() != theirs.keys():
            return None
        pairs = {name: (mine[name], theirs[name]) for name in mine}
        differences = {name: a - b for name, (a, b) in pairs.items() if None not in (a, b)}
        drawn_by = one.unit if one.unit is not None else other.unit
        named = named and drawn_by is not None
        units.add(one.section if drawn_by is None else drawn_by, differences)
        columns |= dict.fromkeys(differences)
    if not columns or len(sections) != len(others):
        return None
    (value,) = mean_known(units.means([*columns]))
    weights = units.draws(DRAWS, seed)
    interval = None
    if weights is not None:
        interval = interval_of(mean_known(units.means([*columns], weights)))
    name = unit if named and unit else "section"
    return Difference(float(value), interval, name, len(units))


def _values(section: SectionScore, key: str) -> dict[str, float | None]:
    """A score of a section by region, or by "" where it has one for all of them."""
    if key not in ("ap", "mse"):
        return {name: getattr(score, key, None) for name, score in section.regions.items()}
    value = getattr(section, key)
    return {} if value is None else {"": value}
