"""What is said of a picture or a region, as records that can be counted over many pictures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Remark:
    """One reason to doubt.

    Attributes:
        kind: the same for the same reason on another picture, such as "far_away".
        text: a sentence, with the names of its numbers in braces, as of `str.format`.
        numbers: by name; they differ from picture to picture.
    """

    kind: str
    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text.format(**self.numbers)


def of_most(said: Sequence[Iterable[Remark]]) -> list[tuple[Remark, int]]:
    """What is said of more than half of some pictures, and of how many of them.

    Args:
        said: the remarks on each picture.

    Returns:
        Each kind once, in the order of their first picture, with the medians of its numbers.
    """
    by_kind: dict[str, list[Remark]] = {}
    for remarks in said:
        for kind, remark in {one.kind: one for one in remarks}.items():
            by_kind.setdefault(kind, []).append(remark)
    found = []
    for same in by_kind.values():
        if 2 * len(same) > len(said):
            medians = {
                name: float(np.median([one.numbers[name] for one in same]))
                for name in same[0].numbers
            }
            found.append((replace(same[0], numbers=medians), len(same)))
    return found
