"""Scores of areas found on sections: Dice of each area, right area within the cortex.

Dice of an area counts on the sections on which it is drawn. A mean over areas takes the mean of
each area over its sections first, so that large and common areas do not count for more.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sebre.evaluation.bootstrap import interval_of

LEAST_PX = 20  # pixels of an area below which it is not counted on a section
_DRAWS = 2000


@dataclass(frozen=True)
class AreaScore:
    """Scores of a section.

    Attributes:
        section: its name.
        dice: by name of area, of those that are drawn.
        accuracy: share of the drawn cortex with the right area; areas that have no name of their
            own ("other") count.
        cortex: Dice of the cortex.
        distance_mm: to the nearest annotated section.
    """

    section: str
    dice: Mapping[str, float] = field(default_factory=dict)
    accuracy: float = float("nan")
    cortex: float = float("nan")
    distance_mm: float = float("nan")


def score_areas(
    found: np.ndarray,
    drawn: np.ndarray,
    areas: Sequence[str],
    section: str,
    distance_mm: float = float("nan"),
    counted: Collection[str] | None = None,
) -> AreaScore:
    """Score labels [y, x] by the drawn ones.

    Args:
        found: labels.
        drawn: labels.
        areas: names of labels 1, 2, ...
        section: name of the section.
        distance_mm: to the nearest annotated section.
        counted: names of the areas that have a Dice; None for all.
    """
    dice = {}
    for number, name in enumerate(areas, start=1):
        truth = drawn == number
        if truth.sum() >= LEAST_PX and (counted is None or name in counted):
            there = found == number
            dice[name] = float(2 * (truth & there).sum() / (truth.sum() + there.sum()))
    cortex, other = drawn > 0, found > 0
    both = cortex.sum() + other.sum()
    return AreaScore(
        section,
        dice,
        float((found[cortex] == drawn[cortex]).mean()) if cortex.any() else float("nan"),
        float(2 * (cortex & other).sum() / both) if both else float("nan"),
        distance_mm,
    )


def mean_dice(scores: Sequence[AreaScore]) -> float:
    """Mean over areas of their mean over sections."""
    by_area = dice_by_area(scores)
    return float(np.mean(list(by_area.values()))) if by_area else float("nan")


def dice_by_area(scores: Sequence[AreaScore]) -> dict[str, float]:
    """Mean of each area over the sections on which it is drawn."""
    values: dict[str, list[float]] = {}
    for score in scores:
        for name, value in score.dice.items():
            values.setdefault(name, []).append(value)
    return {name: float(np.mean(found)) for name, found in values.items()}


def mean_accuracy(scores: Sequence[AreaScore]) -> float:
    """Mean over sections of the share of cortex with the right area."""
    return float(np.nanmean([score.accuracy for score in scores]))


def interval(
    scores: Sequence[AreaScore],
    value: Callable[[Sequence[AreaScore]], float],
    less: Sequence[AreaScore] | None = None,
    seed: int = 0,
) -> tuple[float, float] | None:
    """95 % interval by drawing sections; of the difference from `less`, of the same sections."""
    if len(scores) < 2:
        return None
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(_DRAWS):
        chosen = rng.integers(len(scores), size=len(scores))
        drawn = value([scores[n] for n in chosen])
        draws.append(drawn - (value([less[n] for n in chosen]) if less is not None else 0.0))
    return interval_of(np.array(draws))


def summary(
    scores: Sequence[AreaScore], beside: Sequence[AreaScore] | None = None
) -> dict[str, object]:
    """Means and intervals as results store them; with differences from another method."""
    found: dict[str, object] = {
        "sections": len(scores),
        "dice": mean_dice(scores),
        "dice_interval": interval(scores, mean_dice),
        "accuracy": mean_accuracy(scores),
        "accuracy_interval": interval(scores, mean_accuracy),
        "cortex_dice": float(np.nanmean([score.cortex for score in scores])),
        "by_area": dice_by_area(scores),
        "by_section": {
            score.section: {
                "dice": mean_dice([score]),
                "accuracy": score.accuracy,
                "distance_mm": score.distance_mm if score.distance_mm >= 0 else None,
            }
            for score in scores
        },
    }
    if beside is not None:
        found["more_dice"] = mean_dice(scores) - mean_dice(beside)
        found["more_dice_interval"] = interval(scores, mean_dice, beside)
        found["more_accuracy"] = mean_accuracy(scores) - mean_accuracy(beside)
        found["more_accuracy_interval"] = interval(scores, mean_accuracy, beside)
    return found


def short(row: Mapping[str, object]) -> dict[str, object]:
    """Of a `summary` the two scores alone."""
    return {key: row[key] for key in ("dice", "accuracy")}
