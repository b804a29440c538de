"""Which sections to correct first: those that stand for many regions that are likely to be bad.

What is to be learned are the regions of all sections. A region that was found counts by its size,
beside what is usual of it, and by its expected Dice: the lower that is, the less likely is it there
at all. What of it is in doubt, 1 minus its expected Dice, is to be taken; all regions together
count alike, large or small. A section that is corrected takes the doubt of the regions that it
shows from the sections that are like it in what they show and how they lie, the more the more they
are. The first section is that
which takes the most doubt from all, and each following one that which takes the most of what is
left. So two sections that are alike are not both among the first; one that shows little, or is like
no other, comes late, however bad it is. (Facility location, by the greedy rule of Nemhauser et al.
1978.)
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import MissingFileError, UserError
from mrcnn.io.own_files import is_own
from sebre.corrections.candidates import Candidate, FoundPart
from sebre.data.listing import one_form, some, visible
from sebre.prepare.drawn_outlines import ENDINGS
from sebre.prepare.outline_files import read_outlines

_NEAR = 1.0  # of the median distance: at this distance, sections are alike by 1 / e
_ALIKE = 0.5  # from here on a section is named as one that another stands for
# That is there of what was found, and in doubt of it, so that nothing counts as none.
_LEAST = 0.05

COLUMNS = ("order", "image", "expected_dice", "stands_for", "takes", "reasons", "picture")
_DOUBTFUL = 3  # regions that are named


@dataclass(frozen=True)
class Pick:
    """A section to correct.

    Attributes:
        section: which.
        place: among the sections by their expected Dice, from the worst, 1.
        stands_for: names of other sections that are like it, the likest first.
        taken: share of the doubt of all sections that it takes, 0..1.
        count: how many sections there are.
    """

    section: Candidate
    place: int
    stands_for: tuple[str, ...]
    taken: float
    count: int

    def reasons(self) -> list[str]:
        """Why it was chosen, in words."""
        one = self.section
        said = [f"expected Dice {one.expected_dice:.2f}, place {self.place} of {self.count}"]
        if not one.regions:
            return [*said, "none of the regions was found", *one.warnings]
        worst = sorted(one.regions, key=lambda name: one.regions[name].expected_dice)
        named = [f"{n} {one.regions[n].expected_dice:.2f}" for n in worst[:_DOUBTFUL]]
        count = len(one.regions)
        said.append(f"shows {count} region{'s' * (count > 1)}, of which likely the worst: ")
        said[-1] += ", ".join(named)
        others = some(self.stands_for)
        said.append(f"stands for {others}" if others else "no other is like it")
        return [*said, *one.warnings]

    def row(self, order: int) -> dict[str, Any]:
        """Its cells of COLUMNS."""
        return {
            "order": order,
            "image": self.section.name,
            "expected_dice": round(self.section.expected_dice, 4),
            "stands_for": " ".join(self.stands_for),
            "takes": round(self.taken, 4),
            "reasons": "; ".join(self.reasons()),
            "picture": self.section.picture,
        }


def likeness(sections: Sequence[Candidate]) -> np.ndarray:
    """How alike sections are, 0..1, float [N, N]; 1 on the diagonal."""
    looks = np.stack([section.looks for section in sections])
    away = np.sqrt(np.square(looks[:, None] - looks[None]).sum(-1))
    usual = np.median(away[~np.eye(len(away), dtype=bool)]) if len(away) > 1 else 0.0
    return np.exp(-np.square(away / max(_NEAR * float(usual), 1e-6)))


def shown(sections: Sequence[Candidate]) -> np.ndarray:
    """How much of each region the sections show, 0..1, float [N, R]: of its usual area on those
    that show it, at most 1, times its expected Dice. A section without a region shows one of its
    own, a little."""
    names = _names(sections)
    areas = np.array([[_part(s, name).area for name in names] for s in sections])
    areas = areas.reshape(len(sections), len(names))
    usual = np.array([np.median(column[column > 0]) for column in areas.T])
    sure = np.maximum(_expected(sections), _LEAST)
    nothing = np.array([[_LEAST * (not section.regions)] for section in sections])
    return np.hstack([np.minimum(areas / usual, 1) * sure, nothing])


def doubts(sections: Sequence[Candidate]) -> np.ndarray:
    """Doubt of each region of each section, float [N, R] as of `shown`; of all sections together it
    is the mean doubt of the region."""
    there = shown(sections)
    found = np.hstack([1 - _expected(sections), np.ones((len(sections), 1))])
    total = there.sum(axis=0)
    return np.maximum(found, _LEAST) * there / np.where(total > 0, total, 1)


def _names(sections: Sequence[Candidate]) -> list[str]:
    return sorted({name for section in sections for name in section.regions})


def _part(section: Candidate, name: str) -> FoundPart:
    return section.regions.get(name, FoundPart(0.0, 0.0))


def _expected(sections: Sequence[Candidate]) -> np.ndarray:
    names = _names(sections)
    found = [[_part(section, name).expected_dice for name in names] for section in sections]
    return np.array(found).reshape(len(sections), len(names))


def pick_order(
    alike: np.ndarray, there: np.ndarray, weights: np.ndarray, count: int, done: Sequence[int] = ()
) -> list[tuple[int, float]]:
    """Sections in the order in which they take most of the weights of all.

    Args:
        alike: of `likeness`, [N, N].
        there: of `shown`, [N, R].
        weights: of the regions of the sections, [N, R].
        count: how many are wanted.
        done: rows of sections that are corrected already; they are not picked.

    Returns:
        Row and share of all weights that it takes, of each.
    """
    taken = np.zeros_like(weights)
    for row in done:
        taken = np.maximum(taken, alike[row][:, None] * there[row])
    left, picked = [row for row in range(len(alike)) if row not in set(done)], []
    while left and len(picked) < count:
        gains = [
            float((np.maximum(alike[row][:, None] * there[row] - taken, 0) * weights).sum())
            for row in left
        ]
        best = int(np.argmax(gains))
        picked.append((left[best], gains[best] / float(weights.sum())))
        row = left.pop(best)
        taken = np.maximum(taken, alike[row][:, None] * there[row])
    return picked


def choose(sections: Sequence[Candidate], count: int, done: Collection[str] = ()) -> list[Pick]:
    """The sections to correct first, in their order.

    Args:
        sections: of `read_candidates`.
        count: how many, at most.
        done: names of sections that are corrected already.

    Raises:
        UserError: names that no section has, or nothing is left.
    """
    names = [section.name for section in sections]
    if unknown := sorted(set(done) - set(names)):
        raise UserError(f"No section of the predictions is called {some(unknown)}.")
    rows = [names.index(name) for name in done]
    alike, there, weights = likeness(sections), shown(sections), doubts(sections)
    ranks = np.argsort(np.argsort([section.expected_dice for section in sections], kind="stable"))
    picks = []
    for row, taken in pick_order(alike, there, weights, count, rows):
        near = [k for k in np.argsort(-alike[row], kind="stable") if alike[row, k] >= _ALIKE]
        others = tuple(names[k] for k in near if k != row)
        picks.append(Pick(sections[row], int(ranks[row]) + 1, others, taken, len(sections)))
    if not picks:
        raise UserError("All sections of the predictions are corrected already.")
    return picks


def corrected_in(folder: Path, sections: Sequence[Candidate]) -> list[str]:
    """Names of the sections that a folder has files of outlines of, not as they were predicted.

    Raises:
        UserError: there is no such folder, or it has files of no section.
    """
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: no such folder of corrected regions.")
    files = [path for path in visible(folder) if path.suffix.lower() in ENDINGS]
    drawn = {one_form(path.stem).removesuffix("_rois") for path in files if not _is_predicted(path)}
    done = [s.name for name in sorted(drawn) for s in _section_of(name, folder, sections)]
    if not done:
        raise UserError(
            f"{folder}: holds no corrected regions of a section of the predictions. Wanted files "
            f"with the names of the pictures ({', '.join(ENDINGS)})."
        )
    return done


def _section_of(name: str, folder: Path, sections: Sequence[Candidate]) -> list[Candidate]:
    """The section that a file of outlines is of, by its name without the ending; none, or one.

    Raises:
        UserError: the folder of several sections of that name does not tell which it is.
    """
    fitting = [
        section
        for section in sections
        if name
        in map(one_form, (Path(section.name).name, *_names_of_picture(Path(section.picture))))
    ]
    if len(fitting) > 1:
        beside = {folder.resolve(), folder.resolve().parent, folder.resolve().parent / "images"}
        near = [s for s in fitting if Path(s.picture).resolve().parent in beside]
        if len(near) != 1:
            raise UserError(
                f"{folder}: {name} may be of {some([s.name for s in fitting])}. Let the corrected "
                "regions of a brain lie beside its pictures."
            )
        return near
    return fitting


def _is_predicted(path: Path) -> bool:
    """Whether a file of outlines is as `sebre predict` wrote it, or its outlines are."""
    if is_own(path) or path.suffix.lower() != ".geojson":
        return is_own(path)
    return all(one.predicted for one in read_outlines(path))


def _names_of_picture(picture: Path) -> tuple[str, str]:
    return picture.name, picture.stem
