"""What not to trust: whether an input is of the kind that a network knows, and how good each region
is likely to be.

Beside weights lies a small file, `<name>.trust.json`, that `sebre.trust.trust_fitting` made of
the training part of the data set (`sebre models calibrate`). From it follow

* the distance of a picture from the training pictures, by features of the network itself; at 1 it
  is as far away as 95 % of the training pictures are from those of other animals;
* for each region an expected Dice, from its score, size, place and form, and a flag with its
  reason where that is low, or where no training section shows such a region.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from sebre.networks.segmenter import Segmenter
from sebre.networks.tissue import find_tissue
from sebre.trust.remarks import Remark
from sebre.trust.trust_features import (
    MEASURES,
    FoundRegions,
    PictureFeatures,
    describe_regions,
    measure_looks,
    side_pairs,
)

VERSION = 1
# What the expected Dice follows from; the last only where turned pictures were segmented, too.
EVIDENCE = ("score", "size", "place", "form", "kept", "distance", "sides", "found", "turned")

_MANY = 3  # doubtful regions; fewer may be those at the end of a brain
_FARTHEST = 6.0  # deviations that a measure is away at most, as evidence


@dataclass(frozen=True)
class RegionTrust:
    """How far to trust one region."""

    expected_dice: float  # with a mask drawn by those who drew the training set
    flags: tuple[Remark, ...] = ()  # why to doubt it; empty if there is no reason


@dataclass(frozen=True)
class SectionTrust:
    """How far to trust what was found on a section."""

    known: bool  # False: the weights have no trust file, and all else is empty
    warnings: tuple[Remark, ...] = ()  # empty: it is of the kind that the network knows
    distance: float = 0.0  # from the training pictures; 1 is the limit
    tissue_share: float = 0.0  # of the picture
    regions: dict[int, RegionTrust] = field(default_factory=dict)  # by class id, of those found


def of_half(told: SectionTrust) -> SectionTrust:
    """What is said of a half, whose midline is at the left of what the network sees, also where it
    was mirrored for it: no region lies "farther left" then."""
    words = {
        "across_low": f"nearer the midline {_ANY}",
        "across_high": f"farther from the midline {_ANY}",
    }
    regions = {
        class_id: replace(
            one,
            flags=tuple(replace(flag, text=words.get(flag.kind, flag.text)) for flag in one.flags),
        )
        for class_id, one in told.regions.items()
    }
    return replace(told, regions=regions)


@dataclass(frozen=True)
class InputModel:
    """How far a picture is from those of the training part, by its features.

    Features are brought to one scale and to their principal axes; the distance joins that to the
    nearest training pictures along the axes and what the axes leave over.
    """

    mean: np.ndarray  # [n]
    scale: np.ndarray  # [n]
    axes: np.ndarray  # [k, n]
    variances: np.ndarray  # [k]
    rest: float  # mean square of what the axes leave over
    points: np.ndarray  # [m, k], training pictures along the axes, with variance 1
    neighbors: int
    limit: float  # distance that counts as 1

    def raw(self, features: np.ndarray) -> np.ndarray:
        """Distances [N] of features [N, n], without the limit."""
        scaled = (features - self.mean) / self.scale
        along = scaled @ self.axes.T
        left = np.square(scaled - along @ self.axes).sum(-1) / max(
            1, scaled.shape[-1] - len(self.axes)
        )
        away = (along / np.sqrt(self.variances))[:, None, :] - self.points[None]
        near = np.sort(np.sqrt(np.square(away).mean(-1)), axis=-1)[:, : self.neighbors].mean(-1)
        return np.sqrt(np.square(near) + left / self.rest)

    def distance(self, features: np.ndarray) -> float:
        """Distance of the features [n] of one picture; 1 is the limit."""
        return float(self.raw(features[None])[0] / self.limit)


@dataclass(frozen=True)
class RegionRange:
    """Measures of a region in the training part (`trust_features.MEASURES`)."""

    mean: np.ndarray  # [5]
    deviation: np.ndarray  # [5]
    low: np.ndarray  # [5], the smallest seen
    high: np.ndarray  # [5]
    sides: tuple[float, float] | None = None  # of the logarithm of its size over its partner's

    def away(self, measures: np.ndarray) -> np.ndarray:
        """How many deviations measures [5] are from the mean, at most 6."""
        return np.clip(np.abs(measures - self.mean) / self.deviation, 0, _FARTHEST)


@dataclass(frozen=True)
class DiceModel:
    """Expected Dice of a region from its evidence: a logistic curve, then steps that were fitted
    on animals or blocks left out of it."""

    mean: np.ndarray  # [e]
    scale: np.ndarray  # [e]
    weights: np.ndarray  # [e]
    constants: dict[int, float]  # by class id
    steps: np.ndarray  # [2, s]: what the curve says, and what was measured then

    def curve(self, class_ids: Sequence[int], evidence: np.ndarray) -> np.ndarray:
        """What the curve says, [N] of evidence [N, e]."""
        usual = float(np.mean([*self.constants.values()]))
        start = np.array([self.constants.get(int(i), usual) for i in class_ids])
        linear = start + ((evidence - self.mean) / self.scale) @ self.weights
        return 1 / (1 + np.exp(-np.clip(linear, -30, 30)))

    def expect(self, class_ids: Sequence[int], evidence: np.ndarray) -> np.ndarray:
        """Expected Dice [N], 0 to 1."""
        return np.interp(self.curve(class_ids, evidence), *self.steps)


@dataclass
class TrustModel:
    """What is known of the training part of a network: see the module.

    `sebre.trust.trust_fitting.calibrate` makes one.
    """

    holds: ClassVar[str] = (  # what stands in its file
        "distance from the training pictures, expected Dice and usual sizes and places of regions"
    )
    weights_sha256: str  # of the weights that it belongs to
    inputs: InputModel
    looks: np.ndarray  # [2, 3], least and most of LOOKS in the training part
    tissue: tuple[float, float]  # smallest and largest share of tissue in it
    ranges: dict[int, RegionRange]  # by class id
    dice: DiceModel
    dice_turned: DiceModel | None  # with the agreement of turned pictures
    dice_limit: float  # below which a region is flagged
    facts: dict[str, Any] = field(default_factory=dict)  # how it was made
    _features: PictureFeatures | None = field(default=None, repr=False, compare=False)
    _of: Any = field(default=None, repr=False, compare=False)

    def features_of(self, segmenter: Segmenter) -> PictureFeatures:
        """The part of the network that gives features, built once."""
        if self._of is not segmenter:
            self._features, self._of = PictureFeatures(segmenter), segmenter
        return self._features

    def assess(
        self,
        segmenter: Segmenter,
        picture: np.ndarray,
        result: Mapping[str, Any],
        labels: np.ndarray,
        tta: Sequence[Mapping[str, Any]] | None = None,
        tissue: np.ndarray | None = None,
    ) -> SectionTrust:
        """How far to trust what was found on a picture.

        Args:
            segmenter: that found it.
            picture: uint8 [H, W, 3].
            result: of `segmenter.detect`; the best detection of each region counts.
            labels: label map of it, uint8 or uint16 [H, W].
            tta: results of the same picture turned by some degrees, turned back.
            tissue: `small_tissue` of the picture, where that is known already.
        """
        if tissue is None:
            tissue = find_tissue(picture).mask
        distance = self.inputs.distance(self.features_of(segmenter)(picture, tissue))
        found = describe_regions(result, labels, tissue, tta)
        ids, pairs = list(found.measures), side_pairs(segmenter.regions)
        model = self.dice_turned if tta and self.dice_turned else self.dice
        evidence = region_evidence(self.ranges, found, distance, pairs, len(segmenter.regions))
        expected = model.expect(ids, evidence[:, : len(model.weights)])
        flags = region_flags(self.ranges, found.measures, pairs)
        regions = {}
        for class_id, value in zip(ids, expected, strict=True):
            numbers = {"expected": float(value), "limit": self.dice_limit}
            low = Remark("low_dice", "expected Dice {expected:.2f}, below {limit:.2f}", numbers)
            reasons = [*([low] if value < self.dice_limit else []), *flags[class_id]]
            regions[class_id] = RegionTrust(round(float(value), 4), tuple(reasons))
        share, looks = float(tissue.mean()), measure_looks(picture, tissue)
        warnings = tuple(self.input_warnings(distance, looks, share))
        if share:
            warnings += tuple(_doubtful(regions))
        return SectionTrust(True, warnings, round(distance, 3), round(share, 4), regions)

    def input_warnings(self, distance: float, looks: np.ndarray, share: float) -> Iterator[Remark]:
        """Why a picture is not of the kind that the network knows; nothing if it is.

        Args:
            distance: from the training pictures.
            looks: `measure_looks`, [3].
            share: of tissue in the picture.
        """
        if not share:
            yield NO_TISSUE
            return
        yield from _odd_looks(looks, *self.looks)
        if distance > 1:
            yield Remark(
                "far_away",
                "not of the kind that the network knows ({distance:.2f} times as far from the "
                "training pictures as the limit): another plane, stain or species, or no section",
                {"distance": distance},
            )
        low, high = self.tissue
        if not low / 2 <= share <= min(1.0, high * 1.5):
            much = "little" if share < low else "much"
            yield Remark(
                f"{much}_tissue",
                f"{{share:.0%}} of the picture is tissue, {much} beside the {{low:.0%}} to "
                "{high:.0%} of the training pictures: cut or pad it likewise",
                {"share": share, "low": low, "high": high},
            )

    # --- The file ---------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        kept = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        kept["dice_turned"] = self.dice_turned and asdict(self.dice_turned)
        for name in ("inputs", "dice"):
            kept[name] = asdict(kept[name])
        kept["ranges"] = {str(i): asdict(found) for i, found in self.ranges.items()}
        return {"version": VERSION, **_plain(kept)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "TrustModel":
        """Of what `to_json` gave.

        Raises:
            ValueError, KeyError, TypeError: it is nothing of the kind.
        """
        if record["version"] != VERSION:
            raise ValueError(f"version {record['version']}, wanted {VERSION}")
        return cls(
            weights_sha256=str(record["weights_sha256"]),
            inputs=InputModel(**_arrays(record["inputs"])),
            looks=np.array(record["looks"], float).reshape(2, 3),
            tissue=(float(record["tissue"][0]), float(record["tissue"][1])),
            ranges={int(i): RegionRange(**_arrays(r)) for i, r in record["ranges"].items()},
            dice=_dice_model(record["dice"]),
            dice_turned=_dice_model(record["dice_turned"]) if record["dice_turned"] else None,
            dice_limit=float(record["dice_limit"]),
            facts=dict(record["facts"]),
        )


NO_TISSUE = Remark(
    "no_tissue", "no tissue is to be seen: the picture is of one color, or of noise alone"
)


def _doubtful(regions: Mapping[int, RegionTrust]) -> Iterator[Remark]:
    """What the regions together say against a picture."""
    doubted = sum(bool(region.flags) for region in regions.values())
    if not regions:
        yield Remark("none_found", "none of the regions was found")
    elif doubted >= _MANY and 2 * doubted > len(regions):
        yield Remark(
            "doubtful_regions",
            "{doubted:.0f} of the {found:.0f} regions found are doubtful: perhaps another plane, "
            "or a damaged section",
            {"doubted": doubted, "found": len(regions)},
        )


def _odd_looks(looks: np.ndarray, least: np.ndarray, most: np.ndarray) -> Iterator[Remark]:
    """What is otherwise than in the training pictures."""
    for index, (kind, below, above) in enumerate(_LOOKS):
        if looks[index] < least[index] - _SLACK[index]:
            yield Remark(f"{kind}_low", below)
        elif looks[index] > most[index] + _SLACK[index]:
            yield Remark(f"{kind}_high", above)


_LOOKS = (
    (
        "background",
        "the background is darker than in the training pictures",
        "the background is brighter than in the training pictures: if it is white and theirs "
        "black, invert the picture",
    ),
    (
        "contrast",
        "the tissue is darker beside the background than in the training pictures, or the "
        "contrast is upside down",
        "the tissue is brighter beside the background than in the training pictures",
    ),
    (
        "color",
        "the picture has less color than the training pictures",
        "the picture has more color than the training pictures",
    ),
)
_SLACK = (40.0, 30.0, 15.0)  # gray values beyond what the training part has


def region_evidence(
    ranges: Mapping[int, RegionRange],
    found: FoundRegions,
    distance: float,
    pairs: Mapping[int, int],
    n_regions: int,
) -> np.ndarray:
    """What the expected Dice follows from, float [N, 9] of N regions found, see EVIDENCE.

    Args:
        ranges: of the training part.
        found: what was found on the picture.
        distance: of the picture from the training part.
        pairs: class id of the other side, of regions that have two.
        n_regions: that the network knows.
    """
    rows = []
    for class_id, values in found.measures.items():
        seen = ranges.get(class_id)
        away = seen.away(values) if seen else np.full(len(values), _FARTHEST)
        score = float(np.clip(found.scores[class_id], 1e-3, 1 - 1e-4))
        rows.append(
            [
                np.log(score / (1 - score)),
                away[0],
                float(np.sqrt(np.mean(np.square(away[1:4])))),
                away[4],
                np.log(max(found.kept[class_id], 0.05)),
                np.log(max(distance, 0.05)),
                _side_difference(class_id, found.measures, pairs),
                len(found.measures) / n_regions,
                found.agreed.get(class_id, 0.0),
            ]
        )
    return np.array(rows, float).reshape(len(rows), len(EVIDENCE))


def _side_difference(
    class_id: int, measures: Mapping[int, np.ndarray], pairs: Mapping[int, int]
) -> float:
    """How the size of a region differs from that of the other side, as a logarithm, at most 2."""
    if class_id not in pairs:
        return 0.0
    other = measures.get(pairs[class_id])
    return 2.0 if other is None else float(min(2.0, abs(measures[class_id][0] - other[0])))


def region_flags(
    ranges: Mapping[int, RegionRange],
    measures: Mapping[int, np.ndarray],
    pairs: Mapping[int, int],
) -> dict[int, list[Remark]]:
    """Why regions are like none of the training part, by class id; arguments as of
    `region_evidence`, `measures` of the regions found."""
    flags: dict[int, list[Remark]] = {}
    for class_id, values in measures.items():
        seen, said = ranges.get(class_id), flags.setdefault(class_id, [])
        if seen is None:
            said.append(Remark("never_shown", "no training section shows this region"))
            continue
        for index, below, above in _WORDS:
            if values[index] < seen.low[index]:
                said.append(Remark(f"{MEASURES[index]}_low", below))
            elif values[index] > seen.high[index]:
                said.append(Remark(f"{MEASURES[index]}_high", above))
        other = measures.get(pairs.get(class_id, 0))
        if seen.sides and other is not None:
            ratio = values[0] - other[0]
            if not seen.sides[0] <= ratio <= seen.sides[1]:
                size = "larger" if ratio > 0 else "smaller"
                text = f"{size} beside the other side than in any training section"
                said.append(Remark(f"{size}_than_other_side", text))
    return flags


_ANY = "than in any training section"
_WORDS = (
    (0, f"smaller {_ANY}", f"larger {_ANY}"),
    (1, f"farther up {_ANY}", f"farther down {_ANY}"),
    (2, f"farther left {_ANY}", f"farther right {_ANY}"),
    (3, f"nearer the center of the tissue {_ANY}", f"farther from the center {_ANY}"),
    (4, f"more ragged {_ANY}", f"rounder {_ANY}"),
)


def _dice_model(record: Mapping[str, Any]) -> DiceModel:
    constants = {int(i): float(v) for i, v in record["constants"].items()}
    return DiceModel(constants=constants, **_arrays({**record, "constants": None}, "constants"))


def _arrays(record: Mapping[str, Any], without: str = "") -> dict[str, Any]:
    """Lists as arrays; what else there is, as it is."""
    return {
        name: np.asarray(value, float) if isinstance(value, list) and name != "sides" else value
        for name, value in record.items()
        if name != without
    }


def _plain(value: Any) -> Any:
    """Arrays as lists of numbers of four digits."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, float | np.floating):
        return float(f"{value:.4g}")
    return int(value) if isinstance(value, np.integer) else value
