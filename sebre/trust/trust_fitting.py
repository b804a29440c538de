"""The trust file of a network, made of the training part of its data set: `calibrate`.

Predictions on sections that a network was trained on are better than those on new ones. The
expected Dice is therefore fitted on the training sections turned, scaled, bent, blurred, noisy, in
another tone, cut off or damaged, more than in any training; and what is left to choose is chosen
by leaving out one animal (or block of neighboring sections) after the other.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.ndimage
import scipy.optimize

from mrcnn.config import Config
from mrcnn.data.augment import RandomRotateFlip
from mrcnn.errors import UserError
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import SetFacts, count_sections, read_facts
from sebre.data.rotation import border_median
from sebre.drawing.overlay import drawn_labels, reduced_labels
from sebre.evaluation.mask_metrics import dice
from sebre.experiments.base import Turn
from sebre.networks.segmenter import Segmenter, best_labels, best_per_region
from sebre.networks.tissue import reduced, small_tissue
from sebre.trust.trust_features import (
    OVERSIZE,
    FoundRegions,
    PictureFeatures,
    describe_regions,
    measure_looks,
    measure_regions,
    side_pairs,
)
from sebre.trust.trust_model import (
    EVIDENCE,
    DiceModel,
    InputModel,
    RegionRange,
    TrustModel,
    region_evidence,
)
from sebre.trust.turned import detect_turned

PICTURES = 240  # that the distance is measured to, and as many as if turned in training
SECTIONS = 100  # that are disturbed
VERSIONS = 4  # of each of them, from slightly to badly disturbed
DICE_LIMIT = 0.7  # an expected Dice below it is flagged

_AXES, _NEIGHBORS, _WITHIN = 32, 3, 0.95
_LEAST = 10  # sections
_FIFTHS = 5  # where animals are not known, or are too few
_MARGIN = 0.2  # of the range of a measure, on both sides
_FLOORS = np.array([0.1, 0.02, 0.02, 0.02, 0.02])  # least deviations of the measures
_STEPS = 12
_PENALTIES = (0.3, 3.0, 30.0, 300.0)
_BRIGHT = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """One picture of the training part, as it lies or disturbed."""

    group: int  # of `group_sections`
    features: np.ndarray  # [n]
    tissue: np.ndarray  # bool [h, w]
    looks: np.ndarray  # [3]
    measures: dict[int, np.ndarray]  # of the drawn regions
    lies: bool = True  # as in the data set, not turned or disturbed


@dataclass(frozen=True)
class Finding:
    """What was found on a disturbed picture."""

    sample: Sample
    found: FoundRegions
    dices: dict[int, float]  # of the regions found; 0 where none is drawn


def calibrate(
    segmenter: Segmenter,
    sections: SectionDataset,
    root: str | Path,
    turn: Turn,
    seed: int = 0,
    command: str = "",
    limit: int = SECTIONS,
) -> TrustModel:
    """Fit the trust model of a network.

    Args:
        segmenter: the network.
        sections: training part of its data set, prepared (`Experiment.load(root, "train")`).
        root: folder of the data set, whose sections.csv names the animals.
        turn: orientations in which its sections may lie.
        seed: of the disturbances.
        command: that was given, for the file.
        limit: how many sections take part.

    Raises:
        UserError: a part with fewer than ten sections, or without regions.
    """
    picked = spread([int(i) for i in sections.image_ids], PICTURES)
    count = count_sections(root, (sections.image_info[i]["number"] for i in picked))
    if count < _LEAST:
        raise UserError(
            f"The training part has {count} section(s); a trust file needs at least "
            f"{_LEAST}. Label more sections, or do without it."
        )
    groups, unit = group_sections(sections, read_facts(root), picked)
    features, rng = PictureFeatures(segmenter), np.random.default_rng(seed)
    sections.contrast = segmenter.config.CONTRAST
    copies = -(-PICTURES // len(picked))
    disturbed = set(spread(picked, limit))
    plain, found = [], []
    for number, (image_id, group) in enumerate(zip(picked, groups, strict=True)):
        if number % 50 == 0:
            _log.info("%d of %d training sections", number, len(picked))
        picture, masks, ids = load_reduced(sections, image_id, segmenter.config)
        for copy in range(1 + copies):
            changed = _mildly(picture, masks, turn, rng) if copy else (picture, masks)
            plain.append(_sample(features, *changed, ids, group, lies=not copy))
        for version in range(VERSIONS if image_id in disturbed else 0):
            worse = disturb(picture, masks, turn, (version + 0.5) / VERSIONS, rng)
            # Every other one turned, too: that takes most of the time.
            found.append(_find(segmenter, features, *worse, ids, group, version % 2 == 1))
    inputs, left_out = fit_inputs(plain)
    shares = [sample.tissue.mean() for sample in plain]
    looks = np.array([sample.looks for sample in plain])
    model = TrustModel(
        weights_sha256=segmenter.weights.sha256,
        inputs=inputs,
        looks=np.array([looks.min(0), looks.max(0)]),
        tissue=(float(min(shares)), float(max(shares))),
        ranges=fit_ranges(plain, side_pairs(segmenter.regions)),
        dice=None,  # of what follows, which needs the ranges
        dice_turned=None,
        dice_limit=DICE_LIMIT,
        facts={
            "dataset": Path(root).name,
            "command": command,
            "seed": seed,
            "sections": len(disturbed),
            "groups": [unit, len(set(groups))],
            "pictures": len(plain),
            "disturbed": len(found),
            "regions": [region.name for region in segmenter.regions],
        },
    )
    rows = _rows(model, segmenter, found, left_out)
    model.dice = fit_dice(rows.without_turned())
    model.dice_turned = fit_dice(rows.some(rows.turned))
    return model


def spread(items: Sequence[int], most: int) -> list[int]:
    """Some of many, at even distances."""
    places = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[place] for place in places]


def load_reduced(
    sections: SectionDataset, image_id: int, config: Config
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture, masks and class ids, reduced to what the network can see of it."""
    picture, (masks, ids) = sections.load_image(image_id), sections.load_mask(image_id)
    small = reduced(picture, OVERSIZE * config.IMAGE_MAX_DIM)
    if small.shape == picture.shape:
        return picture, masks, ids
    stack = np.zeros((*small.shape[:2], len(ids)), bool)
    for row in range(len(ids)):
        stack[..., row] = reduced_labels(masks[..., row], small.shape)
    return small, stack, ids


def group_sections(
    sections: SectionDataset, facts: SetFacts, picked: Sequence[int]
) -> tuple[list[int], str]:
    """Numbers of the groups that sections belong to, and what groups are: the animals where the
    data set names three or more, else fifths of neighboring sections, with all their versions."""
    names = [sections.image_reference(i) for i in picked]
    animals = [facts.unit_of(name) for name in names] if facts.unit == "subject" else []
    if len(set(animals)) >= 3:
        order = {animal: number for number, animal in enumerate(dict.fromkeys(animals))}
        return [order[animal] for animal in animals], "subject"
    origins = [facts.unit_of(name) if facts.has_versions else name for name in names]
    parts = np.array_split(list(dict.fromkeys(origins)), _FIFTHS)
    fifth = {origin: number for number, part in enumerate(parts) for origin in part}
    return [fifth[origin] for origin in origins], "section"


# --- Pictures ----------------------------------------------------------------------------


def _mildly(
    picture: np.ndarray, masks: np.ndarray, turn: Turn, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """As in training: another orientation, size, tone and bending."""
    mild = RandomRotateFlip(
        turn.max_angle, turn.flip, (0.9, 1.1), 0.03, 0.01, (0.8, 1.25), (0.9, 1.1), _fill(picture)
    )
    return mild(picture, masks, rng)


def _fill(picture: np.ndarray) -> str:
    return "edge" if border_median(picture).max() > _BRIGHT else "zero"


def disturb(
    picture: np.ndarray,
    masks: np.ndarray,
    turn: Turn,
    strength: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its masks as a bad section would be.

    Args:
        picture: uint8 [H, W, 3].
        masks: bool [H, W, N].
        turn: orientations that the network knows; it is turned up to 30 degrees further.
        strength: 0, hardly, to 1.
        rng: of chance; each kind of damage befalls about half of the pictures.

    Returns:
        uint8 [H, W, 3] and bool [H, W, N]; where tissue was taken away, masks were too.
    """
    s = strength
    worse = RandomRotateFlip(
        min(180.0, turn.max_angle + 30 * s),
        turn.flip,
        (1 - 0.35 * s, 1 + 0.4 * s),
        0.05 + 0.1 * s,
        0.01 + 0.02 * s,
        (1 / (1 + 1.5 * s), 1 + 1.5 * s),
        (1 / (1 + 0.6 * s), 1 + 0.4 * s),
        _fill(picture),
    )
    picture, masks = worse(picture, masks, rng)
    ground = border_median(picture)
    if rng.random() < 0.4:
        gone = _lost(picture.shape[:2], s, rng)
        picture, masks = picture.copy(), masks & ~gone[..., None]
        picture[gone] = ground
    values = picture.astype(np.float32)
    if rng.random() < 0.5:
        values = cv2.GaussianBlur(values, (0, 0), 0.3 + 0.02 * s * max(picture.shape[:2]))
    if rng.random() < 0.5:
        values = ground + (values - ground) * rng.uniform(1 - 0.7 * s, 1)
    if rng.random() < 0.5:
        values = values + rng.normal(0, 30 * s, picture.shape[:2])[..., None]
    return np.clip(np.rint(values), 0, 255).astype(np.uint8), masks


def _lost(shape: tuple[int, int], strength: float, rng: np.random.Generator) -> np.ndarray:
    """Where tissue is torn off: one side of a line, or a hole."""
    rows, columns = np.indices(shape, np.float32)
    center = np.array(shape) * rng.uniform(0.2, 0.8, 2)
    if rng.random() < 0.5:
        angle, share = rng.uniform(0, 2 * np.pi), 0.5 - 0.4 * strength * rng.random()
        along = np.cos(angle) * (rows / shape[0] - 0.5) + np.sin(angle) * (columns / shape[1] - 0.5)
        return along > share
    radius = (0.05 + 0.2 * strength * rng.random()) * max(shape)
    hole = np.hypot(rows - center[0], columns - center[1]) < radius
    return scipy.ndimage.binary_dilation(hole) if radius < 3 else hole


def _sample(
    features: Any,
    picture: np.ndarray,
    masks: np.ndarray,
    ids: np.ndarray,
    group: int,
    lies: bool = False,
) -> Sample:
    tissue = small_tissue(picture)
    drawn = measure_regions(drawn_labels(ids, masks), tissue)
    looks = measure_looks(picture, tissue)
    return Sample(group, features(picture, tissue), tissue, looks, drawn, lies)


def _find(
    segmenter: Segmenter,
    features: Any,
    picture: np.ndarray,
    masks: np.ndarray,
    ids: np.ndarray,
    group: int,
    with_turned: bool,
) -> Finding:
    result = segmenter.detect([picture])[0]
    labels = best_labels(result, picture.shape)
    turned = detect_turned(segmenter, picture) if with_turned else []
    sample = _sample(features, picture, masks, ids, group)
    found = describe_regions(result, labels, sample.tissue, turned)
    return Finding(sample, found, found_dices(result, masks, ids))


def found_dices(result: dict[str, Any], masks: np.ndarray, ids: Sequence[int]) -> dict[int, float]:
    """Dice of the best mask of each class id found with the one drawn; 0 where none is drawn."""
    drawn = {int(class_id): masks[..., row] for row, class_id in enumerate(ids)}
    nothing = np.zeros(masks.shape[:2], bool)
    return {
        class_id: dice(result["masks"][..., row], drawn.get(class_id, nothing))
        for class_id, row in best_per_region(result).items()
    }


# --- Fits --------------------------------------------------------------------------------


def _axes(features: np.ndarray) -> InputModel:
    """An input model without its limit, of features [N, n]."""
    mean = features.mean(0)
    scale = features.std(0) + 1e-3 * np.abs(features).mean(0) + 1e-6
    scaled = (features - mean) / scale
    _, singular, axes = np.linalg.svd(scaled, full_matrices=False)
    variances = np.square(singular) / max(1, len(features) - 1)
    count = max(1, min(_AXES, len(variances) - 1))
    rest = max(1e-3, variances[count:].sum() / max(1, scaled.shape[1] - count))
    points = scaled @ axes[:count].T / np.sqrt(variances[:count])
    return InputModel(
        mean, scale, axes[:count], variances[:count], float(rest), points, _NEIGHBORS, 1.0
    )


def fit_inputs(plain: Sequence[Sample]) -> tuple[InputModel, dict[int, InputModel]]:
    """The input model, and for each group the one that was fitted without it.

    The limit is what 95 % of the pictures as they lie keep when their own group is left out.
    """
    features = np.array([sample.features for sample in plain])
    groups, lie = (np.array([getattr(s, name) for s in plain]) for name in ("group", "lies"))
    without = {int(g): _axes(features[groups != g]) for g in np.unique(groups)}
    away = np.concatenate([m.raw(features[(groups == g) & lie]) for g, m in without.items()])
    limit = float(np.quantile(away, _WITHIN))
    limited = {g: _limited(model, limit) for g, model in without.items()}
    return _limited(_axes(features), limit), limited


def _limited(model: InputModel, limit: float) -> InputModel:
    return replace(model, limit=limit)


def fit_ranges(plain: Sequence[Sample], pairs: dict[int, int]) -> dict[int, RegionRange]:
    """Mean, deviation and range of the measures of every region that the samples show."""
    ranges = {}
    for class_id in sorted({i for sample in plain for i in sample.measures}):
        shown = [sample.measures for sample in plain if class_id in sample.measures]
        values = np.array([measures[class_id] for measures in shown])
        margin = _MARGIN * np.ptp(values, axis=0) + _FLOORS
        other = pairs.get(class_id)
        ratios = [m[class_id][0] - m[other][0] for m in shown if other in m]
        sides = None
        if ratios:
            wide = _MARGIN * np.ptp(ratios) + _FLOORS[0]
            sides = (float(min(ratios) - wide), float(max(ratios) + wide))
        ranges[class_id] = RegionRange(
            values.mean(0),
            np.maximum(values.std(0), _FLOORS),
            values.min(0) - margin,
            values.max(0) + margin,
            sides,
        )
    return ranges


@dataclass(frozen=True)
class Rows:
    """Regions found on disturbed pictures."""

    class_ids: np.ndarray  # int [N]
    evidence: np.ndarray  # [N, e]
    dices: np.ndarray  # [N]
    groups: np.ndarray  # int [N]
    turned: np.ndarray  # bool [N], whether the last evidence is there

    def without_turned(self) -> "Rows":
        """The same without the agreement of turned pictures."""
        return replace(self, evidence=self.evidence[:, :-1])

    def some(self, chosen: np.ndarray) -> "Rows":
        """Those of a mask [N]."""
        return Rows(**{name: values[chosen] for name, values in vars(self).items()})


def _rows(
    model: TrustModel,
    segmenter: Segmenter,
    findings: Sequence[Finding],
    left_out: dict[int, InputModel],
) -> Rows:
    ids, evidence, dices, groups, turned = [], [], [], [], []
    pairs = side_pairs(segmenter.regions)
    for one in findings:
        distance = left_out[one.sample.group].distance(one.sample.features)
        some = one.found
        evidence.append(
            region_evidence(model.ranges, some, distance, pairs, len(segmenter.regions))
        )
        ids += some.measures
        dices += [one.dices[class_id] for class_id in some.measures]
        groups += [one.sample.group] * len(some.measures)
        turned += [class_id in some.agreed for class_id in some.measures]
    if len(ids) < 2 * len(EVIDENCE):
        raise UserError(
            f"The network found {len(ids)} region(s) on its disturbed training sections, which is "
            "too few to tell good from bad ones. Train it further first."
        )
    return Rows(
        np.array(ids), np.concatenate(evidence), np.array(dices), np.array(groups), np.array(turned)
    )


def fit_dice(rows: Rows) -> DiceModel:
    """The model whose penalty does best on groups left out, with steps of what it said of them."""
    best, said = None, None
    for penalty in _PENALTIES:
        expected = np.zeros(len(rows.dices))
        for group in np.unique(rows.groups):
            out = rows.groups == group
            curve = _fit_curve(rows.some(~out), penalty)
            expected[out] = curve.curve(rows.class_ids[out], rows.evidence[out])
        error = float(np.mean(np.square(expected - rows.dices)))
        if best is None or error < best[0]:
            best, said = (error, penalty), expected
    fitted = _fit_curve(rows, best[1])
    return replace(fitted, steps=_steps(said, rows.dices))


def _fit_curve(rows: Rows, penalty: float) -> DiceModel:
    """Logistic regression of the Dice, a share, with one constant for each region."""
    mean, scale = rows.evidence.mean(0), np.maximum(rows.evidence.std(0), 1e-3)
    inputs = (rows.evidence - mean) / scale
    ids = np.unique(rows.class_ids)
    place = np.searchsorted(ids, rows.class_ids)

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        weights, usual, special = np.split(values, [inputs.shape[1], inputs.shape[1] + 1])
        linear = inputs @ weights + usual + special[place]
        value = np.sum(np.logaddexp(0, linear) - rows.dices * linear)
        away = 1 / (1 + np.exp(-linear)) - rows.dices
        slope = [inputs.T @ away + penalty * weights, [away.sum()]]
        slope.append(np.bincount(place, away, len(ids)) + penalty * special)
        value += penalty / 2 * (weights @ weights + special @ special)
        return value, np.concatenate(slope)

    start = np.zeros(inputs.shape[1] + 1 + len(ids))
    found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B").x
    weights, usual, special = np.split(found, [inputs.shape[1], inputs.shape[1] + 1])
    constants = {int(i): float(usual[0] + c) for i, c in zip(ids, special, strict=True)}
    return DiceModel(mean, scale, weights, constants, np.array([[0.0, 1.0], [0.0, 1.0]]))


def _steps(said: np.ndarray, dices: np.ndarray) -> np.ndarray:
    """What was measured where the curve said something: means of equal shares, rising."""
    order = np.argsort(said)
    parts = [part for part in np.array_split(order, _STEPS) if len(part)]
    means = np.array([dices[part].mean() for part in parts])
    rising = scipy.optimize.isotonic_regression(means, weights=[len(p) for p in parts]).x
    return np.array([[said[part].mean() for part in parts], rising])
