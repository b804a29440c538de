"""The claims ledger: every number of the paper and the statements on results, with verdicts.

Verdicts: "reproduced", "partly", "not", "not run" and, of settings, "available", always with the
reason. A score counts as run only on the paper's own data; what was measured on stand-in data
stands beside it in a column of its own and decides nothing. `sebre.report.page` shows the ledger.
"""

from collections.abc import Callable, Iterable, Sequence

from mrcnn.modeling.rpn_targets import POSITIVE_IOU
from sebre.data.rotation import ANGLES
from sebre.data.split import assign
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import PAPER_SCHEDULE, SeBReConfig
from sebre.report.markdown import NONE, Table
from sebre.report.published import PAPER_NAMES, PublishedScore, find_scores
from sebre.report.records import (
    MASK_RCNN,
    METHOD_NAMES,
    PAPER_DATA_KIND,
    STAND_IN_KIND,
    Result,
    of_experiment,
)
from sebre.report.statements import (
    AVAILABLE,
    CLOSE,
    FACT,
    HOLDS,
    HOLDS_NOT,
    NEEDS_NITRC,
    NOT,
    NOT_PUBLIC,
    NOT_RUN,
    OPEN,
    PARTLY,
    REPRODUCED,
    RIVAL,
    SCORE,
    SETTING,
    STATEMENT,
    Claim,
    statements,
)

_RIVAL = "a rival's number, as the paper prints it; where it is from, the paper does not say"
_USED = "most of the networks whose scores are here were made with it"
_UNUSED = "the package can be set so; no number here was made with it"
_PLOT = "the paper plots it and prints no number"
_FACT = "a fact about the authors' data, not a result"

_SCORE_KEYS = {
    "mAP": "map_paper",
    "dice_mean": "dice",
    "hausdorff_distance_mean": "hausdorff_mm",
    "contour_mean_distance_mean": "cmd_mm",
}


def _images(sections: int, mirrored: bool, rule: str, part: str) -> int:
    """Images of a part when a number of sections are turned (and mirrored) and then divided."""
    versions = len(ANGLES) * (2 if mirrored else 1)
    rows = [{"section": section} for section in range(sections) for _ in range(versions)]
    return assign(rows, rule).count(part)


# What this package does by itself, without anybody's data: (experiment, metric) in the words of
# the published scores -> our value.
_SETTINGS: dict[tuple[str, str], Callable[[], float]] = {
    ("mouse P14", "rotation_step"): lambda: ANGLES[1] - ANGLES[0],
    ("mouse P14", "rotation_min"): lambda: ANGLES[0],
    ("mouse P14", "rotation_max"): lambda: ANGLES[-1],
    ("mouse P14", "rotated_versions_per_section"): lambda: len(ANGLES),
    ("mouse P14", "augmented_total"): lambda: 30 * len(ANGLES),
    ("mouse P14", "train_images"): lambda: _images(30, False, "section:1/3", "train"),
    ("mouse P14", "test_images"): lambda: _images(30, False, "section:1/3", "val"),
    ("mouse P14", "classes"): lambda: len(EXPERIMENTS["p14_mouse"].regions),
    ("mouse extended", "rotation_step"): lambda: ANGLES[1] - ANGLES[0],
    ("mouse extended", "rotation_min"): lambda: ANGLES[0],
    ("mouse extended", "rotation_max"): lambda: ANGLES[-1],
    ("hippocampus", "rotated_versions_per_section"): lambda: len(ANGLES),
    ("hippocampus", "train_images"): lambda: _images(27, True, "section:7", "train"),
    ("hippocampus", "test_images"): lambda: _images(27, True, "section:7", "val"),
    ("hippocampus", "train_fraction"): lambda: (
        _images(27, True, "section:7", "train") / (27 * 2 * len(ANGLES))
    ),
    ("hippocampus", "classes"): lambda: len(EXPERIMENTS["hippocampus"].regions),
    ("IBSR", "classes"): lambda: len(EXPERIMENTS["ibsr"].regions),
    ("training", "stage1_heads_iterations"): lambda: PAPER_SCHEDULE[0].steps,
    ("training", "stage2_all_iterations"): lambda: PAPER_SCHEDULE[1].steps,
    ("training", "stage1_learning_rate"): lambda: SeBReConfig.LEARNING_RATE,
    ("training", "stage2_learning_rate"): lambda: (
        SeBReConfig.LEARNING_RATE * PAPER_SCHEDULE[1].rate
    ),
    ("training", "momentum"): lambda: SeBReConfig.LEARNING_MOMENTUM,
    ("training", "images_per_gpu"): lambda: SeBReConfig.IMAGES_PER_GPU,
    ("inference", "max_detections"): lambda: SeBReConfig.DETECTION_MAX_INSTANCES,
    ("inference", "max_gt_instances"): lambda: SeBReConfig.MAX_GT_INSTANCES,
    ("inference", "min_confidence"): lambda: SeBReConfig.DETECTION_MIN_CONFIDENCE,
    ("RPN", "anchor_positive_iou"): lambda: POSITIVE_IOU,
    ("architecture", "roi_pool"): lambda: SeBReConfig.POOL_SIZE,
    ("architecture", "classes_incl_background"): lambda: SeBReConfig.NUM_CLASSES,
}

# Those that scores here were made with.
_MADE_WITH = {
    ("mouse P14", "classes"),
    ("hippocampus", "classes"),
    ("IBSR", "classes"),
    ("inference", "max_detections"),
    ("inference", "max_gt_instances"),
    ("architecture", "roi_pool"),
    ("architecture", "classes_incl_background"),
}

# Why a setting of ours is not that of the paper.
_DIFFERS = {
    "rotation_max": "20 versions of a section, as the paper counts them, end at +18",
    "train_fraction": "20 of 27 sections, which gives the paper's 800 and 280 images",
    "anchor_positive_iou": "the released code has 0.7 (and 0.3 for background), and is followed",
}


def ledger(
    results: Sequence[Result],
    published: Sequence[PublishedScore],
    methods: Sequence[Result] = (),
    splits: Sequence[Result] = (),
) -> tuple[Claim, ...]:
    """A claim for each number of the paper, in their order, then the statements it tests.

    Args:
        results: ours, of `sebre.report.records.read_results`.
        published: the paper's numbers.
        methods: of `read_methods`.
        splits: of `read_splits`.
    """
    return (
        *(_number(score, results, published, methods) for score in published),
        *statements(results, methods, splits, published),
    )


def ledger_table(claims: Iterable[Claim]) -> Table:
    """The ledger as a table: the numbers."""
    header = ("where", "claim", "published", "", "", "verdict", "why")
    groups = ("", "", "", f"{PAPER_DATA_KIND}, or setting", STAND_IN_KIND, "", "")
    rows = tuple(
        (c.where, c.what, c.published, c.on_paper_data, c.on_stand_in, c.verdict, c.why)
        for c in claims
        if c.kind != STATEMENT
    )
    return Table("Claims: numbers", header, rows, groups)


def statements_table(claims: Iterable[Claim]) -> Table:
    """The statements of the ledger as a table, with what stand-in data say of them."""
    header = ("where", "claim", "published", "", "", "on the stand-in", "verdict", "why")
    groups = ("", "", "", PAPER_DATA_KIND, STAND_IN_KIND, "", "", "")
    rows = tuple(
        (
            *(c.where, c.what, c.published, c.on_paper_data, c.on_stand_in),
            *(c.stand_in_says or NONE, c.verdict, c.why),
        )
        for c in claims
        if c.kind == STATEMENT
    )
    notes = (
        "A verdict is on the paper's own data only. What stand-in data say stands in a column of "
        f'its own and decides nothing: "{HOLDS}", "{HOLDS_NOT}", or "{OPEN}" where the test '
        "sections are too few to tell.",
    )
    return Table("Claims: statements", header, rows, groups, notes)


def tested_table(claims: Iterable[Claim]) -> Table:
    """The statements in few columns: what stand-in data say of each."""
    rows = tuple(
        (claim.where, claim.what, claim.stand_in_says or "not tested")
        for claim in claims
        if claim.kind == STATEMENT
    )
    notes = (
        "Numbers, rules and reasons are in the next table; no verdict is on the paper's data.",
    )
    return Table("What stand-in data say", ("where", "statement", "says"), rows, notes=notes)


def verdicts_table(claims: Iterable[Claim]) -> Table:
    """How many claims of each kind have which verdict."""
    claims = list(claims)
    verdicts = (REPRODUCED, AVAILABLE, PARTLY, NOT, NOT_RUN)
    rows = tuple(
        (kind, *(str(sum((c.kind, c.verdict) == (kind, v) for c in claims)) for v in verdicts))
        for kind in (SETTING, SCORE, RIVAL, FACT, STATEMENT)
    )
    return Table("Verdicts", ("claims", *verdicts), rows)


def _number(
    score: PublishedScore,
    results: Sequence[Result],
    published: Sequence[PublishedScore],
    methods: Sequence[Result],
) -> Claim:
    words = [score.experiment, score.method, score.region, score.metric.replace("_", " ")]
    if score.method == "SeBRe":
        words.remove("SeBRe")
    what = ", ".join(word for word in words if word and word != "all")
    paper = _text(score.value)
    key = (score.experiment, score.metric)
    if key in _SETTINGS:
        ours = _SETTINGS[key]()
        same = score.value is not None and abs(ours - score.value) < 5e-3 * abs(score.value)
        same = same and score.metric not in _DIFFERS
        verdict, why = PARTLY, _DIFFERS.get(score.metric, "differs")
        if same:
            used = key in _MADE_WITH
            verdict, why = (REPRODUCED, _USED) if used else (AVAILABLE, _UNUSED)
        return Claim(SETTING, score.where, what, paper, _text(ours), NONE, verdict, why)
    if score.metric == "table1_dice_wins":
        return _wins(score, what, published)
    if score.metric == "MSE_mean":
        return _error(score, what, methods)
    if score.method != "SeBRe":
        return Claim(RIVAL, score.where, what, paper, NONE, NONE, NOT_RUN, _RIVAL)
    if score.metric in _SCORE_KEYS:
        return _score(score, what, results)
    kind, why = FACT, _FACT
    if score.metric == "detection_score":
        kind, why = SCORE, NOT_PUBLIC
    return Claim(kind, score.where, what, paper, NONE, NONE, NOT_RUN, why)


def _score(score: PublishedScore, what: str, results: Sequence[Result]) -> Claim:
    experiment = next(name for name, words in PAPER_NAMES.items() if words == score.experiment)
    key = _SCORE_KEYS[score.metric]
    region = None if score.region == "all" else score.region_name
    shown: dict[bool, list[str]] = {True: [], False: []}
    values = []
    for label, result in of_experiment(results, experiment):
        value = result.value(key, region)
        if value is None:
            continue
        if result.on_paper_data:
            values.append(value)
        text = f"{label} {value:.3f}"
        in_volumes = result.value(f"{key}_volume", region) if region else None
        if in_volumes is not None:
            text += f", whole volumes {in_volumes:.3f}"
        shown[result.on_paper_data].append(text)
    why = NEEDS_NITRC if experiment == "ibsr" else NOT_PUBLIC
    verdict = NOT_RUN
    if values:
        verdict, why = _judged(score, values)
    ours, stand_in = ("; ".join(shown[kind]) or NONE for kind in (True, False))
    return Claim(SCORE, score.where, what, _text(score.value), ours, stand_in, verdict, why)


def _judged(score: PublishedScore, values: Sequence[float]) -> tuple[str, str]:
    """Verdict on scores on the paper's own data."""
    distance = "distance" in score.metric
    best = min(values) if distance else max(values)
    reached = best <= score.value if distance else best >= score.value
    close = abs(best - score.value) <= CLOSE * score.value
    share = f"{100 * CLOSE:g} %"
    if reached or close:
        return REPRODUCED, f"{best:.3f}, within {share} or better"
    return NOT, f"{best:.3f} is more than {share} away"


def _error(score: PublishedScore, what: str, methods: Sequence[Result]) -> Claim:
    """The mean squared errors of Fig. 8, of which the paper prints no number."""
    name = {"SeBRe": MASK_RCNN, "ndreg": METHOD_NAMES["dipy"]}.get(
        score.method, METHOD_NAMES.get(score.method)
    )
    shown = "; ".join(
        f"{method.record.dataset} {method.at().mse:.4f}, turned {method.at(True).mse:.4f}"
        for method in methods
        if method.method_name == name
    )
    why = _PLOT
    if score.method == "ndreg":
        why += f"; ndreg can no longer be installed, and {name} takes its place"
    kind = SCORE if score.method == "SeBRe" else RIVAL
    published = _text(score.value)
    return Claim(kind, score.where, what, published, NONE, shown or NONE, NOT_RUN, why)


def _wins(score: PublishedScore, what: str, published: Sequence[PublishedScore]) -> Claim:
    """In how many structures of Table 1 SeBRe's Dice is the highest: from its own numbers."""
    dice = find_scores(published, where="Table 1", metric="dice_mean")
    best: dict[str, list[PublishedScore]] = {}
    for entry in dice:
        best.setdefault(entry.region, []).append(entry)
    wins = sum(
        all(own.value > rival.value for rival in row if rival.method != "SeBRe")
        for row in best.values()
        for own in row
        if own.method == "SeBRe"
    )
    why = f"{wins} of 8, counted in the paper's own Table 1: no result of ours"
    return Claim(STATEMENT, score.where, what, _text(score.value), NONE, NONE, NOT_RUN, why)


def _text(value: float | None) -> str:
    return "plotted" if value is None else f"{value:.4g}"
