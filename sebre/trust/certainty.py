"""What not to trust of the network of any section, which may be shown sections of any kind: whether
it is sure of what it says.

Its score of a region is the mean probability in it. Probabilities were learned from synthetic
sections of every contrast, and how good regions of a score are is measured on sections that it did
not learn from (`sebre models calibrate`): the trust file holds two rising curves, from the score of
a region to its expected Dice, and from the certainty of a section, the mean of the scores over
the pixels of its regions, to the mean Dice of its regions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.optimize

from mrcnn.errors import UserError
from mrcnn.structures.mask_formats import mask_areas
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import read_facts
from sebre.experiments.base import Turn
from sebre.networks.segmenter import Segmenter
from sebre.networks.tissue import find_tissue
from sebre.trust.remarks import Remark
from sebre.trust.trust_fitting import disturb, found_dices, group_sections, load_reduced, spread
from sebre.trust.trust_model import NO_TISSUE, RegionTrust, SectionTrust

VERSION = 1
UNSURE = "unsure"  # kind of a warning
KIND = "certainty"  # tells its files from those of `TrustModel`
DICE_LIMIT = 0.5  # expected, of regions and of sections
VERSIONS = 2  # of each section that are disturbed
_STEPS = 12  # of a curve, with equal numbers of regions
_LEAST = 50  # regions


@dataclass(frozen=True)
class Curve:
    """Dice as a rising function of a mean probability."""

    probability: np.ndarray  # [s], rising
    dice: np.ndarray  # [s], not falling

    def __call__(self, probability: float) -> float:
        """Expected Dice; beyond its ends that of the ends."""
        return float(np.interp(probability, self.probability, self.dice))

    def reaches(self, dice: float) -> float:
        """The lowest probability with so much Dice; that of its end, where there is none."""
        fine = np.linspace(self.probability[0], self.probability[-1], 1001)
        enough = np.interp(fine, self.probability, self.dice) >= dice
        return float(fine[enough.argmax()] if enough.any() else fine[-1])


@dataclass(frozen=True)
class CertaintyModel:
    """How good regions and sections are of which a network is so sure.

    `fit_certainty` makes one.
    """

    holds: ClassVar[str] = (  # what stands in its file
        "expected Dice of regions and of sections, by how sure the network is of them"
    )
    weights_sha256: str  # of the weights that it belongs to
    regions: Curve  # from the score of a region
    sections: Curve  # from the certainty of a section, to the mean Dice of its regions
    dice_limit: float  # below which a region or a section is told
    facts: dict[str, Any] = field(default_factory=dict)  # how it was made

    def assess(
        self,
        segmenter: Segmenter,
        picture: np.ndarray,
        result: Mapping[str, Any],
        labels: np.ndarray,
        tta: Sequence[Mapping[str, Any]] | None = None,
        tissue: np.ndarray | None = None,
    ) -> SectionTrust:
        """How far to trust what was found on a picture; arguments as of `TrustModel.assess`.

        The distance is 1 where a section is just certain enough, and above with less certainty.
        """
        if tissue is None:
            tissue = find_tissue(picture).mask
        share, limit = float(tissue.mean()), self.sections.reaches(self.dice_limit)
        certain = certainty(result)
        regions = {}
        for class_id, score in zip(result["class_ids"], result["scores"], strict=True):
            numbers = {"expected": self.regions(score), "limit": self.dice_limit}
            low = Remark("low_dice", "expected Dice {expected:.2f}, below {limit:.2f}", numbers)
            flags = (low,) if numbers["expected"] < self.dice_limit else ()
            regions[int(class_id)] = RegionTrust(round(numbers["expected"], 4), flags)
        warnings = ()
        if not share:
            warnings = (NO_TISSUE,)
        elif not regions:
            warnings = (Remark("none_found", "none of the regions was found"),)
        elif certain < limit:
            text = (
                "the network is not sure of what it sees (mean probability {certainty:.2f}, below "
                "{limit:.2f}): perhaps no section of a mouse brain, a small piece of one, or a "
                "damaged one"
            )
            warnings = (Remark(UNSURE, text, {"certainty": certain, "limit": limit}),)
        distance = (1 - certain) / (1 - limit)
        return SectionTrust(True, warnings, round(distance, 3), round(share, 4), regions)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        curves = {
            name: [[round(float(v), 4) for v in values] for values in (one.probability, one.dice)]
            for name, one in (("regions", self.regions), ("sections", self.sections))
        }
        kept = {"weights_sha256": self.weights_sha256, "dice_limit": self.dice_limit}
        return {"version": VERSION, "kind": KIND, **kept, **curves, "facts": self.facts}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "CertaintyModel":
        """Of what `to_json` gave.

        Raises:
            ValueError, KeyError, TypeError: it is nothing of the kind.
        """
        if record["version"] != VERSION:
            raise ValueError(f"version {record['version']}, wanted {VERSION}")
        curves = (Curve(*np.array(record[name], float)) for name in ("regions", "sections"))
        sha256, limit = str(record["weights_sha256"]), float(record["dice_limit"])
        return cls(sha256, *curves, limit, dict(record["facts"]))


def certainty(result: Mapping[str, Any]) -> float:
    """Mean probability over the pixels of all regions found; 0 where there are none."""
    areas = mask_areas(result["masks"])
    return float(np.average(result["scores"], weights=areas)) if areas.sum() else 0.0


def fit_certainty(
    segmenter: Segmenter,
    sections: SectionDataset,
    root: str | Path,
    turn: Turn,
    seed: int = 0,
    command: str = "",
    limit: int = 100,
) -> CertaintyModel:
    """Measure how good regions and sections are of which a network is so sure.

    Args:
        segmenter: the network of any section, or one that goes on from it.
        sections: that it was not trained on, better than those that it was.
        root: folder of their data set.
        turn: orientations in which sections may lie.
        seed: of the disturbances: each section counts as it lies, and twice disturbed.
        command: that was given, for the file.
        limit: how many sections take part.

    Raises:
        UserError: it finds too little to tell good from bad.
    """
    rng = np.random.default_rng(seed)
    picked = spread([int(i) for i in sections.image_ids], limit)
    groups, unit = group_sections(sections, read_facts(root), picked)
    sections.contrast = segmenter.config.CONTRAST
    regions: list[tuple[float, float]] = []
    whole: list[tuple[float, float]] = []
    for image_id in picked:
        picture, masks, ids = load_reduced(sections, image_id, segmenter.config)
        for version in range(1 + VERSIONS):
            shown = picture, masks
            if version:
                shown = disturb(picture, masks, turn, (version - 0.5) / VERSIONS, rng)
            result = segmenter.detect([shown[0]])[0]
            dices = [*found_dices(result, shown[1], ids).values()]
            regions += zip(result["scores"].tolist(), dices, strict=True)
            if dices:
                whole.append((certainty(result), float(np.mean(dices))))
    if len(regions) < _LEAST:
        raise UserError(
            f"The network found {len(regions)} region(s) on these sections and their disturbed "
            f"versions; {_LEAST} are needed to tell good from bad ones."
        )
    facts = {
        "dataset": Path(root).name,
        "command": command,
        "seed": seed,
        "sections": len(picked),
        "groups": [unit, len(set(groups))],
        "pictures": len(picked),
        "disturbed": len(picked) * VERSIONS,
        "regions": [region.name for region in segmenter.regions],
    }
    sha256 = segmenter.weights.sha256
    return CertaintyModel(sha256, fit_curve(regions), fit_curve(whole), DICE_LIMIT, facts)


def fit_curve(pairs: Sequence[tuple[float, float]]) -> Curve:
    """The rising curve through pairs of a probability and a Dice, nearest in least squares; its
    steps join equal numbers of them."""
    ordered = np.array(sorted(pairs), float)
    parts = np.array_split(ordered, min(_STEPS, len(ordered)))
    means = np.array([part.mean(axis=0) for part in parts])
    weights = np.array([len(part) for part in parts], float)
    rising = scipy.optimize.isotonic_regression(means[:, 1], weights=weights).x
    return Curve(means[:, 0], rising)
