"""Scores against the angle that sections are turned by (paper, Fig. 4)."""

from collections.abc import Sequence

import numpy as np

from sebre.data.dataset import SectionDataset
from sebre.data.metadata import SetFacts
from sebre.data.region_masks import RegionMasks
from sebre.data.rotation import rotated_versions
from sebre.evaluation.bootstrap import Tally
from sebre.evaluation.scores import Angles, AngleScores, Intervals
from sebre.evaluation.section import score_section
from sebre.experiments.base import Turn
from sebre.networks.segmenter import Segmenter

STEP, WIDE_STEP = 5, 30  # degrees


def default_angles(turn: Turn) -> tuple[int, ...]:
    """Angles in the range of an experiment: in steps of 5 degrees up to the largest to either side.

    For any angle (180): in steps of 30 from -150 to 180; -180 is the same.
    """
    if turn.max_angle >= 180:
        return tuple(range(-180 + WIDE_STEP, 180 + WIDE_STEP, WIDE_STEP))
    most = int(turn.max_angle // STEP) * STEP
    return tuple(range(-most, most + STEP, STEP))


def score_angles(
    segmenter: Segmenter,
    dataset: SectionDataset,
    angles: Sequence[float],
    facts: SetFacts | None = None,
    most: int | None = None,
    seed: int = 0,
    enlarge: bool = False,
) -> Angles:
    """Turn sections by each of some angles, from how they lie in the data set, and score them.

    The canvas keeps its size (`sebre.data.rotation.rotated_versions`), as in the paper; what
    the section does not cover has the median color of its border, and regions count as far as
    they are still in the picture. A wider canvas would cut nothing off, but it also makes
    the section smaller in the picture that the network sees: the scores would mix both.

    Args:
        segmenter: the network.
        dataset: prepared.
        angles: degrees, positive counter-clockwise as seen.
        facts: of the data set, for the units of the intervals.
        most: sections to use, evenly over the data set; None for all.
        seed: of the bootstrap.
        enlarge: widen the canvas of each angle so that nothing is cut off.
    """
    facts = facts or SetFacts()
    angles = tuple(dict.fromkeys(angles))
    tallies = {angle: Tally(dataset.regions, facts.unit_of) for angle in angles}
    ids = dataset.image_ids
    if most is not None and most < len(ids):
        ids = ids[np.linspace(0, len(ids) - 1, most).round().astype(int)]
    for image_id in ids:
        image = dataset.load_image(image_id)
        masks = RegionMasks(*dataset.load_mask(image_id)).by_class
        for angle, _, picture, drawn in rotated_versions(
            image, masks, enlarge=enlarge, angles=angles
        ):
            result = segmenter.detect([picture])[0]
            name, turned = dataset.image_reference(image_id), RegionMasks.of(drawn, picture.shape)
            tallies[angle].add(score_section(name, picture, turned, result, contours=False))
    curve = []
    for angle, tally in tallies.items():
        ap, dice, by_region = tally.means()
        all_ = tally.intervals(seed)
        shown = Intervals(map_paper=all_.map_paper, dice_mean=all_.dice_mean)
        curve.append(
            AngleScores(angle=angle, map_paper=ap, dice_mean=dice, dice=by_region, intervals=shown)
        )
    n_units = next(iter(tallies.values())).n_units if tallies else 0
    return Angles(n_sections=len(ids), enlarged=enlarge, n_interval_units=n_units, curve=curve)
