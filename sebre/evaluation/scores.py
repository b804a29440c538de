"""Scores of sections and of data sets, typed: the only place that knows their keys in JSON.

`RegionScore` and `SectionScore` are of one section; `RegionMeans`, `Scores`, `Turned` and `Angles`
of many; `Evaluation` is a file of `sebre evaluate`, `Registration` one of `sebre register`.
`sebre.evaluation`, `sebre.registration` make them, `sebre.report` reads them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sebre.evaluation.stored import MEMORY, RecordFault, Stored, is_a, stored

MASK_RCNN, U_NET, NETWORK = "Mask R-CNN", "U-Net", "network"
COPIED_LABELS = "labels copied from the most similar training section"  # in place of a network
Interval = tuple[float, float]  # low, high: of 95 %
_IN_VOLUMES, _BY_REGION = "_volume", "_per_region"


def unless_known() -> Any:
    """A field that files have only where it is known; otherwise None."""
    return stored(omit=True, default=None)


def in_memory(default: Any) -> Any:
    """A field that files do not have."""
    return stored(MEMORY, default=default)


@dataclass(kw_only=True)
class RegionScore(Stored):
    """How well one region of one section was found.

    Attributes:
        score: of its best detection; 0 where it was missed.
        iou, dice: of the best detection with the drawn mask; 0 where it was missed.
        hausdorff_px, hausdorff95_px, cmd_px: distances of the contours in px: the largest, the
            95th percentile, the mean; None where it was missed, or not measured.
        hausdorff_mm, hausdorff95_mm, cmd_mm: in mm; None where the pixel size is not known too.
        error: mean squared error of the mask.
        drawn, found: on the section; a region has scores if it is one of the two.
    """

    score: float = stored(need=True, default=0.0)
    iou: float = stored(need=True, default=0.0)
    dice: float = stored(need=True, default=0.0)
    hausdorff_px: float | None = None
    hausdorff95_px: float | None = None
    cmd_px: float | None = None
    hausdorff_mm: float | None = in_memory(None)
    hausdorff95_mm: float | None = in_memory(None)
    cmd_mm: float | None = in_memory(None)
    error: float = in_memory(0.0)
    drawn: bool = in_memory(True)
    found: bool = in_memory(True)


@dataclass(kw_only=True)
class SectionScore(Stored):
    """One section in a file.

    Attributes:
        section: its name, such as "val/3".
        ap: AP at mask IoU 0.5, all regions pooled; None if nothing is drawn.
        regions: by name, of the regions drawn.
        mse: mean squared error, all regions of the set.
        unit: the subject or section that intervals vary over.
        angle: degrees that it was turned by.
        atlas, similarity: of a registration, see `sebre.registration.atlas_choice`.
        failed: why there are no labels.
    """

    section: str
    ap: float | None = None
    regions: dict[str, RegionScore]
    mse: float | None = unless_known()
    unit: str | None = unless_known()
    angle: float | None = unless_known()
    atlas: str | None = unless_known()
    similarity: float | None = unless_known()
    failed: str | None = unless_known()


@dataclass(kw_only=True)
class LabeledSection(SectionScore):
    """One section of `sebre register`: always with its error and the time that it took."""

    mse: float = stored(need=True, default=0.0)
    seconds: float | None = None


@dataclass(kw_only=True)
class RegionMeans(Stored):
    """One region over many sections; None for a region that no section shows.

    Attributes:
        ap50: average precision over the data set at mask IoU 0.5.
        dice, iou: means over the sections that show the region, 0 where it was missed.
        dice_found and the distances: means over those where it was also found.
        n, missed: sections that show it, and of these, where it was not found.
        extra: sections where it was found but is not drawn.
        mse: mean squared error over all sections.
        dice_volume: mean over the subjects that show it of the Dice of their sections as one
            volume.
        n_volume, missed_volume: volumes without a gap that show it; where it was not found.
        hausdorff_mm_volume, hausdorff95_mm_volume, cmd_mm_volume: between surfaces in space.
        dice_inner: mean over the slices that are not among the first or last two of the region in
            their volume, 0 where it was missed.
        n_inner: these slices.
    """

    ap50: float | None = None
    dice: float | None = None
    iou: float | None = None
    dice_found: float | None = None
    hausdorff_px: float | None = None
    hausdorff95_px: float | None = None
    cmd_px: float | None = None
    hausdorff_mm: float | None = None
    hausdorff95_mm: float | None = None
    cmd_mm: float | None = None
    n: int | None = None
    missed: int | None = None
    extra: int | None = None
    mse: float | None = None
    dice_volume: float | None = None
    n_volume: int | None = None
    missed_volume: int | None = None
    hausdorff_mm_volume: float | None = None
    hausdorff95_mm_volume: float | None = None
    cmd_mm_volume: float | None = None
    dice_inner: float | None = None
    n_inner: int | None = None


# Columns of a file by field of `RegionMeans`, and those that every file has.
_COLUMNS = {
    field.name: f"{field.name.removesuffix(_IN_VOLUMES)}{_BY_REGION}"
    + (_IN_VOLUMES if field.name.endswith(_IN_VOLUMES) else "")
    for field in dataclasses.fields(RegionMeans)
}
_NEEDED = ("n", "missed", "ap50", "dice")
# Columns that a new file has only where something is known.
_WHERE_KNOWN = tuple(
    name for name in _COLUMNS if "_mm" in name or name.endswith((_IN_VOLUMES, "_inner"))
)


@dataclass(kw_only=True)
class Intervals(Stored):
    """95 % intervals of scores; None with fewer than two units."""

    map_paper: Interval | None = None
    dice_mean: Interval | None = None
    dice: dict[str, Interval | None] = stored("dice_per_region", omit=True, default_factory=dict)
    iou: dict[str, Interval | None] = stored("iou_per_region", omit=True, default_factory=dict)


@dataclass(kw_only=True)
class FailureCount(Stored):
    """One kind of failure (`sebre.evaluation.failures`), counted in regions of sections.

    `sections` are those with most of it, with the names of the regions.
    """

    total: int
    by_region: dict[str, int] = stored("per_region")
    sections: dict[str, list[str]] = dataclasses.field(default_factory=dict)


@dataclass(kw_only=True)
class Scores(Stored):
    """Scores over many sections (`sebre.evaluation.summary.summarize`).

    Attributes:
        map_paper: mean over sections of the AP of a section, all regions pooled, at mask IoU 0.5
            (the released code).
        coco_ap50, coco_ap: mean over regions of the AP at IoU 0.5, and at 0.5, 0.55 ... 0.95.
        dice_mean: mean over regions of `RegionMeans.dice`.
        mse: mean squared error over sections and all regions of the set.
        n_subjects, n_volumes, n_volumes_measured: counts, where sections are slices of volumes.
        regions: by name, in the order of their ids.
        interval_unit, n_interval_units: what intervals vary over, "section" or "subject".
        failures: by kind.
    """

    n_sections: int
    n_regions_drawn: int | None = unless_known()
    map_paper: float | None
    coco_ap50: float | None
    coco_ap: float | None
    dice_mean: float | None
    mse: float | None = None
    n_subjects: int | None = unless_known()
    n_volumes: int | None = unless_known()
    n_volumes_measured: int | None = unless_known()
    regions: dict[str, RegionMeans] = stored(MEMORY)
    interval_unit: str | None = unless_known()
    n_interval_units: int | None = unless_known()
    intervals: Intervals = stored(omit=True, default_factory=Intervals)
    failures: dict[str, FailureCount] = stored(omit=True, default_factory=dict)

    def region(self, name: str) -> RegionMeans:
        """The means of a region; all None for one that is not in the record."""
        return self.regions.get(name, RegionMeans())

    @classmethod
    def needs(cls) -> list[str]:
        """Keys that an object must have."""
        return [*super().needs(), *(_COLUMNS[name] for name in _NEEDED)]

    @classmethod
    def _fields(cls, value: dict[str, Any], start: str) -> dict[str, Any]:
        found = super()._fields(value, start)
        columns = {name: value[key] for name, key in _COLUMNS.items() if key in value}
        for name, column in columns.items():
            where = start + _COLUMNS[name]
            if not isinstance(column, dict):
                raise RecordFault(f"{where} is not an object of numbers by region")
            for region, entry in column.items():
                if not (entry is None or is_a(float, entry)):
                    raise RecordFault(f"{where} of {region} is {entry!r}, not a number or null")
            if column.keys() != columns["n"].keys():
                raise RecordFault(f"{where} has other regions than {_COLUMNS['n']}")
        found["regions"] = {
            region: RegionMeans(**{name: column[region] for name, column in columns.items()})
            for region in columns["n"]
        }
        for means in found["regions"].values():
            means._keys = tuple(columns)
        return found

    def _values(self) -> dict[str, Any]:
        values = super()._values()
        columns = {
            key: {region: getattr(means, name) for region, means in self.regions.items()}
            for name, key in _COLUMNS.items()
            if self._has(name)
        }
        at = next((i for i, key in enumerate(values) if key in _AFTER_REGIONS), len(values))
        rows = list(values.items())
        return dict([*rows[:at], *columns.items(), *rows[at:]])

    def _has(self, name: str) -> bool:
        """Whether a column is in the file."""
        read = next((means._keys for means in self.regions.values()), ())
        if read:
            return name in read
        if name == "dice_volume":
            return self.n_subjects is not None
        if name.endswith(_IN_VOLUMES):
            return self.n_volumes is not None
        known = any(getattr(means, name) is not None for means in self.regions.values())
        return known or name not in _WHERE_KNOWN


_AFTER_REGIONS = ("interval_unit", "n_interval_units", "intervals", "failures")


def no_scores() -> Scores:
    """Scores that are all None, of no section."""
    return Scores(
        n_sections=0, map_paper=None, coco_ap50=None, coco_ap=None, dice_mean=None, regions={}
    )


@dataclass(kw_only=True)
class Turned(Stored):
    """Scores at random orientations: how many of each section, and in what range."""

    draws_per_section: int | None = unless_known()
    max_angle: float | None = unless_known()
    flip: bool = False
    seed: int | None = unless_known()
    scores: Scores = stored(inline=True)


@dataclass(kw_only=True)
class AngleScores(Stored):
    """Scores of sections that are all turned by one angle, in degrees."""

    angle: float
    map_paper: float | None
    dice_mean: float | None
    dice: dict[str, float | None] = stored("dice_per_region", omit=True, default_factory=dict)
    intervals: Intervals


@dataclass(kw_only=True)
class Angles(Stored):
    """Scores by the angle that sections are turned by (`sebre.evaluation.angles`)."""

    n_sections: int
    enlarged: bool = False
    n_interval_units: int = 0
    curve: list[AngleScores]


@dataclass(kw_only=True)
class Record(Stored):
    """What the files of both commands say of where scores come from."""

    experiment: str
    dataset: str
    subset: str
    split: Any = None
    plane: str | None = None
    pixel_size_um: Any = None

    def at(self, turned: bool) -> Scores:
        """The scores as the sections lie, or turned; all None where there are none."""
        part = getattr(self, "turned", None) if turned else self
        return part.scores if part is not None else no_scores()

    def sections_at(self, turned: bool) -> list[SectionScore]:
        """The single sections, as they lie or turned."""
        return self.turned.sections if turned else self.sections


@dataclass(kw_only=True)
class Times(Stored):
    """Seconds that the labels of a section took; `seconds_of` says of which clock, "processor" or
    "wall"."""

    mean: float
    median: float
    max: float
    seconds_of: str = stored(omit=True, default="")

    @classmethod
    def of(cls, seconds: Sequence[float], seconds_of: str) -> "Times | None":
        """Of the seconds of each section; None without any."""
        if not seconds:
            return None
        mean, median = float(np.mean(seconds)), float(np.median(seconds))
        return cls(mean=mean, median=median, max=max(seconds), seconds_of=seconds_of)


@dataclass(kw_only=True)
class Evaluation(Record):
    """A file of `sebre evaluate`: scores as sections lie, at random orientations and by angle.

    Attributes:
        network: the kind of network, in words.
        image_px: longer side that the network sees.
        detection_min_confidence: lowest score that counts.
        best_per_class: whether one detection at most is kept for each region.
        parameters: number of weights of the network.
        training_seconds: wall time of its training, where the log beside the weights has it.
        seconds_per_section: wall time of detection, as the sections lie.
        seconds: wall time of all.
        sections: as they lie.
    """

    slice_spacing_um: float | None = None
    network: str = MASK_RCNN
    weights: str
    weights_sha256: str | None = None
    image_px: int | None = None
    detection_min_confidence: float | None = None
    best_per_class: bool | None = None
    seed: int | None = None
    command: str | None = unless_known()
    scores: Scores = stored(inline=True)
    turned: Turned | None
    angles: Angles | None = None
    environment: Any = None
    parameters: int | None = unless_known()
    training_seconds: float | None = unless_known()
    seconds_per_section: Times | None = unless_known()
    seconds: float | None = None
    sections: list[SectionScore]


@dataclass(kw_only=True)
class Rotated(Stored):
    """Scores of sections turned by some degrees to either side, each with its section."""

    rotate: float
    enlarged: bool = True
    seed: int | None = None
    scores: Scores = stored(inline=True)
    n_failed: int | None = unless_known()
    seconds_per_section: Times | None
    sections: list[LabeledSection]

    @classmethod
    def needs(cls) -> list[str]:
        """Keys that an object must have."""
        return [*super().needs(), "mse"]


@dataclass(kw_only=True)
class Registration(Record):
    """A file of `sebre register`: scores of sections upright and turned by some degrees.

    Attributes:
        method: "network", or one of `sebre.registration.transform.METHODS`.
        network, weights, weights_sha256: of a network.
        parameters, threads, atlas: of a registration.
        limit: sections that were taken at most.
        n_failed: sections without labels.
        seconds_per_section: of the others.
    """

    method: str
    network: str | None = unless_known()
    weights: str | None = unless_known()
    weights_sha256: str | None = unless_known()
    parameters: Any = None
    threads: int | None = None
    atlas: Any = None
    limit: int | None = None
    seed: int | None = None
    command: str | None = unless_known()
    scores: Scores = stored(inline=True)
    n_failed: int | None = unless_known()
    seconds_per_section: Times | None
    turned: Rotated
    environment: Any = None
    seconds: float | None = None
    sections: list[LabeledSection]

    @classmethod
    def needs(cls) -> list[str]:
        """Keys that an object must have."""
        return [*super().needs(), "mse"]

    @classmethod
    def from_json(cls, value: Any, where: str = "") -> Self:
        """See `Stored.from_json`; a network has its kind and its weights, all have errors."""
        if isinstance(value, Mapping) and value.get("method") == NETWORK:
            for key in ("network", "weights"):
                if not isinstance(value.get(key), str):
                    raise RecordFault(f"{key} is {value.get(key)!r}, not text")
        record = super().from_json(value, where)
        for start, scores in (("", record.scores), ("turned.", record.turned.scores)):
            if scores.mse is None:
                raise RecordFault(f"{start}mse is None, not a number")
        return record
