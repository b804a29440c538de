"""The claims ledger: every number of the paper and the statements on results, with verdicts.

Verdicts: "reproduced", "partly", "not", "not run" and, of settings, "available", always with the
reason. A score counts as run only on the paper's own data. What was measured on stand-in data
stands beside it in a column of its own, with a verdict of its own: "consistent", "not" or "open",
by `sebre.report.trials.stand_in_rule`. `sebre.report.page` shows the ledger.
"""

from collections.abc import Iterable, Mapping, Sequence

from mrcnn.modeling.rpn_targets import POSITIVE_IOU
from sebre.data.rotation import ANGLES
from sebre.data.split import assign
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import PAPER_SCHEDULE, SeBReConfig
from sebre.report.markdown import NONE, Table, notes, with_interval
from sebre.report.published import PAPER_NAMES, PublishedScore, find_scores
from sebre.report.records import (
    MASK_RCNN,
    METHOD_NAMES,
    PAPER_DATA_KIND,
    STAND_IN_KIND,
    Result,
    at_cut_off,
    interval_of,
    of_experiment,
)
from sebre.report.statements import (
    AVAILABLE,
    FACT,
    NEEDS_NITRC,
    NOT_RUN,
    NOTEBOOK,
    PARTLY,
    REPRODUCED,
    RIVAL,
    SCORE,
    SETTING,
    STATEMENT,
    Claim,
    not_public,
    statements,
)
from sebre.report.systems.rival_tables import Contest, most_wins, printed_name
from sebre.report.trials.stand_in_rule import (
    CLOSE,
    CONSISTENT,
    NOT,
    OPEN,
    combined,
    excuse,
    judged,
    rule,
)
from sebre.report.trials.trial_records import Trials
from sebre.report.trials.trial_statements import trial_statements

_SCORE_KEYS = {
    "mAP": "map_paper",
    "dice_mean": "dice",
    "hausdorff_distance_mean": "hausdorff_mm",
    "contour_mean_distance_mean": "cmd_mm",
}


def _images(sections: int, versions: int, rule: str, part: str = "train") -> int:
    """Images of a part when a number of sections have some versions each and are then divided."""
    rows = [{"section": section} for section in range(sections) for _ in range(versions)]
    return assign(rows, rule).count(part)


def _share(sections: int, versions: int, rule: str) -> float:
    """The share of the images that train."""
    return _images(sections, versions, rule) / (sections * versions)


# What this package does by itself, without anybody's data: our value by experiment and metric,
# in the words of the published scores.
_TURNED, _MIRRORED = len(ANGLES), 2 * len(ANGLES)  # versions of a section
# Sections of the paper, versions of each, and how it divides them.
_P14, _CA = (30, _TURNED, "section:1/3"), (27, _MIRRORED, "section:7")
_HUMAN = (557, 1, "image:1/3")
_TURNS = {
    "rotation_step": ANGLES[1] - ANGLES[0],
    "rotation_min": ANGLES[0],
    "rotation_max": ANGLES[-1],
}
_SETTINGS: dict[str, dict[str, float]] = {
    "mouse P14": {
        **_TURNS,
        "rotated_versions_per_section": _TURNED,
        "augmented_total": _P14[0] * _TURNED,
        "train_images": _images(*_P14),
        "test_images": _images(*_P14, "val"),
        "train_share": _share(*_P14),
        "classes": len(EXPERIMENTS["p14_mouse"].regions),
    },
    "mouse extended": _TURNS,
    "hippocampus": {
        "rotated_versions_per_section": _TURNED,
        "train_images": _images(*_CA),
        "test_images": _images(*_CA, "val"),
        "train_fraction": _share(*_CA),
        "classes": len(EXPERIMENTS["hippocampus"].regions),
    },
    "IBSR": {
        "train_images": _images(*_HUMAN),
        "test_images": _images(*_HUMAN, "val"),
        "train_share": _share(*_HUMAN),
        "classes": len(EXPERIMENTS["ibsr"].regions),
    },
    "training": {
        "stage1_heads_iterations": PAPER_SCHEDULE[0].steps,
        "stage2_all_iterations": PAPER_SCHEDULE[1].steps,
        "stage1_learning_rate": SeBReConfig.LEARNING_RATE,
        "stage2_learning_rate": SeBReConfig.LEARNING_RATE * PAPER_SCHEDULE[1].rate,
        "momentum": SeBReConfig.LEARNING_MOMENTUM,
        "images_per_gpu": SeBReConfig.IMAGES_PER_GPU,
    },
    "inference": {
        "max_detections": SeBReConfig.DETECTION_MAX_INSTANCES,
        "max_gt_instances": SeBReConfig.MAX_GT_INSTANCES,
        "min_confidence": SeBReConfig.DETECTION_MIN_CONFIDENCE,
    },
    "RPN": {"anchor_positive_iou": POSITIVE_IOU},
    "architecture": {
        "roi_pool": SeBReConfig.POOL_SIZE,
        "classes_incl_background": SeBReConfig.NUM_CLASSES,
        "box_outputs_per_proposal": 4 * SeBReConfig.NUM_CLASSES,
        "mask_outputs_in_m_squared": SeBReConfig.NUM_CLASSES,
    },
}

# Metrics of those that scores here were made with.
_MADE_WITH = (
    "classes",
    "max_detections",
    "max_gt_instances",
    "min_confidence",
    "roi_pool",
    "classes_incl_background",
)

# Why a setting of ours is not that of the paper.
_DIFFERS = {
    "rotation_max": "20 versions of a section, as the paper counts them, end at +18",
    "train_fraction": "20 of 27 sections, which gives the paper's 800 and 280 images",
    **dict.fromkeys(
        ("box_outputs_per_proposal", "mask_outputs_in_m_squared"), *notes("background")
    ),
    "anchor_positive_iou": "the released code has 0.7 (and 0.3 for background), and is followed",
}


def ledger(
    results: Sequence[Result],
    published: Sequence[PublishedScore],
    methods: Sequence[Result] = (),
    splits: Sequence[Result] = (),
    confident: Sequence[Result] = (),
    trials: Trials | None = None,
    paper_network: Sequence[Result] = (),
    live: Sequence[Contest] = (),
) -> tuple[Claim, ...]:
    """A claim for each number of the paper, in their order, then the statements it tests.

    `confident` are the results at the paper's cut-off on scores, which are held against its own;
    `paper_network` those of its own network, with both cut-offs, which count for scores alone;
    `live` are rivals that were run here.
    """
    trials = trials or Trials()
    *stated, leakage = statements(results, methods, splits, published, trials.copied, live)
    confident = (*confident, *at_cut_off(paper_network))
    strict = {(r.record.weights, r.record.dataset): r for r in confident}
    scored = (*results, *at_cut_off(paper_network, strict=False))
    return (
        *(_number(score, scored, published, methods, strict, trials, live) for score in published),
        *stated,
        *trial_statements(results, strict, trials),
        leakage,
    )


def ledger_table(claims: Iterable[Claim]) -> Table:
    """The ledger as a table: the numbers."""
    header = ("where", "claim", "published", "", "", "on the stand-in", "as", "verdict", "why")
    groups = ("", "", "", f"{PAPER_DATA_KIND}, or setting", STAND_IN_KIND, "", "", "", "")
    rows = tuple(
        (
            *(c.where, c.what, c.published, c.on_paper_data, c.on_stand_in),
            *(c.stand_in, c.stand_in_says, c.verdict, c.why),
        )
        for c in claims
        if c.kind != STATEMENT
    )
    return Table("Claims: numbers", header, rows, groups)


def statements_table(claims: Iterable[Claim]) -> Table:
    """The statements of the ledger as a table, with what stand-in data say of them."""
    header = ("where", "claim", "published", "", "", "on the stand-in", "as", "verdict", "why")
    groups = ("", "", "", PAPER_DATA_KIND, STAND_IN_KIND, "", "", "", "")
    rows = tuple(
        (
            *(c.where, c.what, c.published, c.on_paper_data, c.on_stand_in),
            *(c.stand_in, c.stand_in_says or NONE, c.verdict, c.why),
        )
        for c in claims
        if c.kind == STATEMENT
    )
    below = notes("statements")
    return Table("Claims: statements", header, rows, groups, below)


def tested_table(claims: Iterable[Claim]) -> Table:
    """The statements in few columns: what stand-in data say of each."""
    rows = tuple(
        (claim.where, claim.what, claim.stand_in, claim.stand_in_says or "not tested")
        for claim in claims
        if claim.kind == STATEMENT
    )
    header = ("where", "statement", "verdict", "as")
    return Table("What stand-in data say", header, rows, notes=notes("tested"))


def verdicts_table(claims: Iterable[Claim]) -> Table:
    """How many claims of each kind have which verdict."""
    claims = list(claims)
    verdicts = (REPRODUCED, AVAILABLE, PARTLY, NOT, NOT_RUN)
    rows = tuple(
        (kind, *(str(sum((c.kind, c.verdict) == (kind, v) for c in claims)) for v in verdicts))
        for kind in (SETTING, SCORE, NOTEBOOK, RIVAL, FACT, STATEMENT)
    )
    return Table("Verdicts", ("claims", *verdicts), rows)


def stand_in_counts(claims: Iterable[Claim], kind: str) -> tuple[int, ...]:
    """How many claims of a kind are CONSISTENT, NOT and OPEN on stand-in data."""
    found = [claim.stand_in for claim in claims if claim.kind == kind]
    return tuple(found.count(verdict) for verdict in (CONSISTENT, NOT, OPEN))


def stand_in_table(claims: Iterable[Claim]) -> Table:
    """How many claims of each kind have which verdict on stand-in data, and by what rule."""
    claims = list(claims)
    rows = tuple(
        (kind, *map(str, stand_in_counts(claims, kind)))
        for kind in (SETTING, SCORE, NOTEBOOK, RIVAL, FACT, STATEMENT)
    )
    header = ("claims", CONSISTENT, NOT, OPEN)
    return Table("Verdicts on stand-in data", header, rows, notes=rule())


def _number(
    score: PublishedScore,
    results: Sequence[Result],
    published: Sequence[PublishedScore],
    methods: Sequence[Result],
    strict: Mapping[tuple[str, str], Result],
    trials: Trials,
    live: Sequence[Contest],
) -> Claim:
    words = [score.experiment, score.method, score.region, score.metric.replace("_", " ")]
    if score.method == "SeBRe":
        words.remove("SeBRe")
    what = ", ".join(word for word in words if word and word != "all")
    paper = _text(score.value)
    ours = _SETTINGS.get(score.experiment, {}).get(score.metric)
    if ours is not None:
        same = score.value is not None and abs(ours - score.value) < 5e-3 * abs(score.value)
        same = same and score.metric not in _DIFFERS
        verdict, why = PARTLY, _DIFFERS.get(score.metric, "differs")
        if same:
            used = score.metric in _MADE_WITH
            verdict, why = (REPRODUCED, "made_with") if used else (AVAILABLE, "available")
            (why,) = notes(why)
        agrees = (CONSISTENT, "equal") if same else (NOT, "differs")
        return Claim(SETTING, score.where, what, paper, _text(ours), NONE, verdict, why, *agrees)
    if score.metric == "table1_dice_wins":
        return _wins(score, what, published, live, trials.copied)
    if score.metric == "MSE_mean":
        return _error(score, what, methods)
    if score.method != "SeBRe":
        return _rival(score, what, live, trials.copied)
    if score.metric in _SCORE_KEYS:
        return _score(score, what, results, strict, trials)
    kind, whys = FACT, notes("fact", "no_fact")
    if score.metric == "graphics_card_GTX":
        whys = notes("machine", "no_machine")
    if score.metric == "detection_score":
        kind, whys = NOTEBOOK, notes("not_public", "one_section")
    return Claim(kind, score.where, what, paper, NONE, NONE, NOT_RUN, whys[0], OPEN, whys[1])


def _score(
    score: PublishedScore,
    what: str,
    results: Sequence[Result],
    strict: Mapping[tuple[str, str], Result],
    trials: Trials,
) -> Claim:
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
    why = NEEDS_NITRC if experiment == "ibsr" else not_public()
    verdict = NOT_RUN
    if values:
        verdict, why = _judged(score, values)
    ours, stand_in = ("; ".join(shown[kind]) or NONE for kind in (True, False))
    says = _on_stand_ins(score, results, strict, trials)
    return Claim(SCORE, score.where, what, _text(score.value), ours, stand_in, verdict, why, *says)


def _on_stand_ins(
    score: PublishedScore,
    results: Sequence[Result],
    strict: Mapping[tuple[str, str], Result],
    trials: Trials,
) -> tuple[str, str]:
    """Verdict on a score of all stand-ins, at the paper's cut-off, and that of each in words."""
    if "distance" in score.metric:
        return OPEN, *notes("no_unit")
    experiment = next(name for name, words in PAPER_NAMES.items() if words == score.experiment)
    region = None if score.region == "all" else score.region_name
    key = _SCORE_KEYS[score.metric]
    verdicts, told = [], []
    for label, result in of_experiment(results, experiment):
        if result.on_paper_data or result.value(key, region) is None:
            continue
        at = strict.get((result.record.weights, result.record.dataset))
        excused = excuse(result, trials.copied) or ("" if at else notes("no_cut_off")[0])
        verdict, text = OPEN, excused
        if at and not excused:
            value, ends = at.value(key, region), interval_of(at, key, region)
            verdict, text = judged(value, ends, score.value), with_interval(value, ends)
        verdicts.append(verdict)
        told.append(f"{label}: {verdict} ({text})")
    return combined(verdicts), "; ".join(told) or notes("no_stand_in")[0]


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
    name = {"SeBRe": MASK_RCNN, "ndreg": METHOD_NAMES["lddmm"]}.get(
        score.method, METHOD_NAMES.get(score.method)
    )
    shown = "; ".join(
        f"{method.record.dataset} {method.at().mse:.4f}, turned {method.at(True).mse:.4f}"
        for method in methods
        if method.method_name == name
    )
    (why,) = notes("plotted")
    if score.method == "ndreg":
        why += f"; ndreg can no longer be installed, and {name} as made here takes its place"
    kind = SCORE if score.method == "SeBRe" else RIVAL
    cells = (_text(score.value), NONE, shown or NONE, NOT_RUN, why)
    return Claim(kind, score.where, what, *cells, OPEN, *notes("no_number"))


def _rival(
    score: PublishedScore, what: str, live: Sequence[Contest], copied: Mapping[str, Result]
) -> Claim:
    """A number of a rival in Table 1, beside that of the same method as it was run here."""
    key, shown, told, verdicts = _SCORE_KEYS[score.metric], [], [], []
    for one in live:
        if PAPER_NAMES.get(one.experiment) != score.experiment:
            continue
        runs = (
            run for name in one.runs if printed_name(name) == score.method for run in one.runs[name]
        )
        for run in runs:
            value = run.value(key, score.region_name)
            if value is None:
                continue
            shown.append(f"{run.name} {value:.3f}")
            if key == "dice":
                ends = interval_of(run, key, score.region_name)
                excused = excuse(run, copied)
                verdicts.append(OPEN if excused else judged(value, ends, score.value))
                text = excused or with_interval(value, ends)
                told.append(f"{run.name}: {verdicts[-1]} ({text})")
    (why,) = notes("rival_run" if shown else "rival_not_run", reason=NEEDS_NITRC)
    said = "; ".join(told) or notes("no_unit" if shown else "not_this_rival")[0]
    cells = (_text(score.value), NONE, "; ".join(shown) or NONE, NOT_RUN, why)
    return Claim(RIVAL, score.where, what, *cells, combined(verdicts), said)


def _wins(
    score: PublishedScore,
    what: str,
    published: Sequence[PublishedScore],
    live: Sequence[Contest],
    copied: Mapping[str, Result],
) -> Claim:
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
    (why,) = notes("counted", wins=wins, pairs=8, reason=NEEDS_NITRC)
    found = most_wins(live, copied)
    said = [(where, OPEN if excused else v, excused or how) for where, v, how, excused in found]
    told = "; ".join(f"{where}: {verdict} ({text})" for where, verdict, text in said)
    counts = "; ".join(how for _, _, how, _ in found if how)
    cells = (_text(score.value), NONE, counts or NONE, NOT_RUN, why)
    verdict = combined(verdict for _, verdict, _ in said)
    return Claim(STATEMENT, score.where, what, *cells, verdict, told or notes("no_rival")[0])


def _text(value: float | None) -> str:
    return "plotted" if value is None else f"{value:.4g}"
