"""The files that `sebre evaluate` and `sebre register` wrote, read back and checked.

Six folders: results of networks; below it `registration`, methods on the same sections; `splits`,
networks trained on the paper's kind of split; `confidence_0.9`, the same networks with the paper's
cut-off on scores; `paper_network`, the paper's network, schedule and split, with both cut-offs; and
`further`, what else was tried to meet targets: other networks, several together, and folds.
`sebre.report.page` reads them, every other module here takes them.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrcnn.errors import MissingFileError
from sebre.data.listing import visible
from sebre.data.regions import ANY_SECTION
from sebre.evaluation.scores import (
    MASK_RCNN,
    U_NET,
    Evaluation,
    Interval,
    Registration,
    Scores,
    SectionScore,
)
from sebre.evaluation.stored import RecordFault
from sebre.experiments import EXPERIMENTS
from sebre.networks.weights_store import NO_REGIONS, read_manifest

TRUST_FILE = "trust.json"  # of `sebre models calibrate --results`; see `sebre.report.doubt`
METHODS_FOLDER, SPLITS_FOLDER, CONFIDENT_FOLDER = "registration", "splits", "confidence_0.9"
PAPER_NETWORK_FOLDER, FURTHER_FOLDER = "paper_network", "further"
CUT_OFF = 0.9  # the paper's, of detections
CURVES_FOLDER = "curves"  # of `sebre.evaluation.learning_curve`
LEFT_OUT_FOLDER = "leave_one_out"  # of `sebre.evaluation.leave_one_out`

# Methods that are no network, in words, by the name that `sebre register` has for them.
METHOD_NAMES = {
    "elastix": "elastix (affine, B-spline)",
    "dipy": "SyN (dipy)",
    "lddmm": "LDDMM",
    "none": "no registration",
}

# Data sets, by experiment, that are the paper's own: the same images with the same labels. All
# others stand in for them.
PAPER_DATA = {"ibsr": ("ibsr",)}
PAPER_DATA_KIND, STAND_IN_KIND = "ours, on the paper's data", "ours, on stand-in data"

# Data sets that methods are compared on: experiment, and options of `sebre register`. On a
# few of the many slices of volumes only: registration takes seconds per section.
_COMPARED = {
    "ara_nissl": ("hippocampus", ""),
    "malc2012": ("ibsr", " --limit 16"),
    "slicemap": ("slicemap", ""),
    "mouse_mri": ("extended_mouse", " --limit 8"),
}
# Networks whose weights are not shipped: all commands, by name of the file.
_UNSHIPPED = {
    "p14_mouse": "sebre prepare sebre-figures --raw RAW --out DIR/sebre_figures; "
    "sebre train p14_mouse --small --dataset DIR/sebre_figures --weights slicemap --steps 600 "
    "--logs LOGS; sebre evaluate p14_mouse --dataset DIR/sebre_figures --weights FILE --angles "
    "--out OUT"
}
_SPLITS = {
    "ibsr_by_section": "sebre prepare malc2012 --raw RAW --out DIR/malc2012 --split section:1/3; "
    "sebre train ibsr --small --dataset DIR/malc2012 --weights slicemap --logs LOGS; "
    "sebre evaluate ibsr --dataset DIR/malc2012 --weights FILE --out OUT"
}
# The paper's network, schedule and split: parts of the commands.
_SETTINGS = "--set BACKBONE=resnet50 --set BACKBONE_WIDTH=1 --set PRECISION=bfloat16"
_PAPER_SETS = {
    "ara_nissl": ("hippocampus", "sebre prepare ara-nissl --split section:7 --rotations"),
    "malc2012": ("ibsr", "sebre prepare malc2012 --split section:1/3"),
}
_CUT_OFFS = {"": " --set DETECTION_MIN_CONFIDENCE=0.3 --set BEST_PER_CLASS=True", "_0.9": ""}
_PAPER_NETWORK = {
    f"{experiment}_resnet50{cut_off}": f"{prepared} --raw RAW --out DIR/{data}; "
    f"sebre train {experiment} --dataset DIR/{data} --weights resnet50_sections {_SETTINGS} "
    f"--logs LOGS; sebre evaluate {experiment} --dataset DIR/{data} --weights FILE --draws 0{more} "
    "--out OUT"
    for data, (experiment, prepared) in _PAPER_SETS.items()
    for cut_off, more in _CUT_OFFS.items()
}


@dataclass(frozen=True)
class Result:
    """A file of `sebre evaluate` or `sebre register`: its name, without .json, and its content."""

    name: str
    record: Evaluation | Registration

    @property
    def experiment(self) -> str:
        """Its name on the command line."""
        return self.record.experiment

    @property
    def network(self) -> str:
        """The kind of network, in words; empty for another method."""
        return self.record.network or ""

    @property
    def method_name(self) -> str:
        """The method in words: the kind of network, or what `sebre register` did."""
        return self.network or METHOD_NAMES.get(self.record.method, self.record.method)

    @property
    def on_paper_data(self) -> bool:
        """Whether the data are the paper's own, and no stand-in."""
        return self.record.dataset in PAPER_DATA.get(self.experiment, ())

    @property
    def kind(self) -> str:
        """Which of the two kinds of our numbers these are."""
        return PAPER_DATA_KIND if self.on_paper_data else STAND_IN_KIND

    @property
    def regions(self) -> list[str]:
        """Names of the regions looked for, in the order of their ids."""
        return list(self.record.scores.regions)

    def at(self, turned: bool = False) -> Scores:
        """The scores as the sections lie, or turned; all None where there are none."""
        return self.record.at(turned)

    def value(self, measure: str, region: str | None = None, turned: bool = False) -> float | None:
        """A field of the scores, or of the means of a region, for what draws one after another."""
        scores = self.at(turned)
        return getattr(scores.region(region) if region else scores, measure)


def shipped_results() -> dict[str, str]:
    """Results of the shipped weights: the command that makes each, without --out, by name.

    That of any section has no test part of its own; its card has its scores. Neurites are no
    regions; `sebre.report.systems` has their scores. A backbone finds none.
    """
    return {
        name: f"sebre evaluate {entry.get('experiment')} "
        f"--dataset datasets/{entry.get('dataset')} --weights {name}"
        for name, entry in read_manifest().items()
        if name != ANY_SECTION.name and entry.get("network") not in NO_REGIONS
    }


def expected_results() -> dict[str, str]:
    """`shipped_results`, and those of networks whose weights are not shipped."""
    return {**shipped_results(), **_UNSHIPPED}


def commands_of(result: Result) -> str:
    """All commands from raw data to a result whose weights are not shipped; empty for others."""
    return (_UNSHIPPED | _SPLITS | _PAPER_NETWORK).get(result.name, "")


def shipped_methods() -> dict[str, str]:
    """Results of methods: the command that makes each, without --out, by name of the file.

    On each data set all methods, and the shipped networks that were trained on it.
    """
    weights = read_manifest().items()
    commands = {}
    for dataset, (experiment, options) in _COMPARED.items():
        start = f"sebre register {experiment} --dataset datasets/{dataset} --method"
        for method in METHOD_NAMES:
            commands[f"{dataset}_{method}"] = f"{start} {method} --rotate 20{options}"
        for name in (name for name, entry in weights if entry.get("dataset") == dataset):
            commands[f"{dataset}_{name}"] = f"{start} network --weights {name} --rotate 20{options}"
    return commands


def read_results(
    folder: str | Path, expected: Mapping[str, str] | None = None
) -> tuple[tuple[Result, ...], tuple[str, ...]]:
    """Every `*.json` of a folder, not of its subfolders, that `sebre evaluate` wrote.

    Args:
        folder: to look in.
        expected: results that should be there: the command that makes each, without --out, by
            name of the file. None for `expected_results`.

    Returns:
        The results, in the order of the experiments, then by data set and name; and for each
        file that is missing, damaged or not of `sebre evaluate` what is wrong and what to do.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFileError(
            f"{folder}: no such folder. Give the folder that `sebre evaluate` wrote results to."
        )
    expected = expected_results() if expected is None else expected
    records, problems = _read(folder, expected, "sebre evaluate", Evaluation)
    results = [Result(name, record) for name, record in records.items()]
    return tuple(sorted(results, key=lambda r: (*_place(r), r.name))), problems


def read_methods(
    folder: str | Path, expected: Mapping[str, str] | None = None
) -> tuple[tuple[Result, ...], tuple[str, ...]]:
    """Every `*.json` of a folder that `sebre register` wrote, as `read_results`.

    Without such a folder there is nothing, and no problem. Of a data set networks come first, then
    the methods in the order of METHOD_NAMES.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return (), ()
    expected = shipped_methods() if expected is None else expected
    records, problems = _read(folder, expected, "sebre register", Registration)
    order = {name: i for i, name in enumerate((MASK_RCNN, U_NET, *METHOD_NAMES.values()))}
    results = [Result(name, record) for name, record in records.items()]

    def place(result: Result) -> tuple:
        return *_place(result), order.get(result.method_name, len(order)), result.name

    return tuple(sorted(results, key=place)), problems


def read_splits(
    folder: str | Path, expected: Mapping[str, str] | None = None
) -> tuple[tuple[Result, ...], tuple[str, ...]]:
    """Results of networks trained on the paper's kind of split, as `read_results`.

    Without such a folder there is nothing, and no problem.
    """
    if not Path(folder).is_dir():
        return (), ()
    return read_results(folder, _SPLITS if expected is None else expected)


def read_others(folder: str | Path) -> tuple[tuple[Result, ...], tuple[str, ...]]:
    """Results of a folder of which none has to be there, as `read_results`."""
    return read_results(folder, {}) if Path(folder).is_dir() else ((), ())


def at_cut_off(results: Iterable[Result], strict: bool = True) -> tuple[Result, ...]:
    """Those whose detections count from the paper's score on; the others if not `strict`."""
    lowest = ((result, result.record.detection_min_confidence or 0) for result in results)
    return tuple(result for result, score in lowest if (score >= CUT_OFF) == strict)


def with_labels(results: Iterable[Result]) -> list[tuple[str, Result]]:
    """Each result with its data set; with the weights or the file too where that is not enough."""
    results = list(results)
    labels = [result.record.dataset for result in results]
    for more in (
        [f"weights {result.record.weights}" for result in results],
        [f"{result.name}.json" for result in results],
    ):
        count = Counter(labels)
        labels = [
            f"{text}, {extra}" if count[text] > 1 else text
            for text, extra in zip(labels, more, strict=True)
        ]
    return list(zip(labels, results, strict=True))


def interval_of(
    result: Result, measure: str, region: str | None = None, turned: bool = False
) -> Interval | None:
    """The 95 % interval of a score such as "map_paper", or of a region's such as "dice"."""
    found = getattr(result.at(turned).intervals, measure, None)
    return (found or {}).get(region) if region else found


def score_of(sections: Iterable[SectionScore], key: str) -> float | None:
    """A score of some sections, made as that of a test part: mAP ("ap") or mean Dice ("dice")."""
    sections = list(sections)
    if key == "ap":
        values = [section.ap for section in sections if section.ap is not None]
    else:
        by_region: dict[str, list[float]] = {}
        for section in sections:
            for name, region in section.regions.items():
                by_region.setdefault(name, []).append(region.dice)
        values = [float(np.mean(dices)) for dices in by_region.values()]
    return float(np.mean(values)) if values else None


def of_network(results: Iterable[Result], network: str = MASK_RCNN) -> tuple[Result, ...]:
    """The results of one kind of network."""
    return tuple(result for result in results if result.network == network)


def of_experiment(
    results: Iterable[Result], experiment: str, network: str = MASK_RCNN
) -> list[tuple[str, Result]]:
    """`with_labels` of the results of one experiment and one kind of network."""
    return with_labels(r for r in of_network(results, network) if r.experiment == experiment)


def _read(
    folder: Path, expected: Mapping[str, str], command: str, kind: type[Evaluation | Registration]
) -> tuple[dict[str, Evaluation | Registration], tuple[str, ...]]:
    """Whole records of a folder by name, and what is wrong with the others and with `expected`."""
    records, problems = {}, []
    paths = {path.stem: path for path in visible(folder, "*.json") if path.name != TRUST_FILE}
    for name, path in paths.items():
        fault = ""
        try:
            record = kind.from_json(json.loads(path.read_text(encoding="utf-8")))
        except RecordFault as error:
            fault = str(error)
        except (OSError, ValueError, RecursionError) as error:
            fault = f"it cannot be read as JSON ({error})"
        if fault:
            cure = f"Make it again with `{command}`, or move it out of the folder."
            if name in expected:
                cure = f"Make it again: {expected[name]} --out {path}"
            problems.append(f"{path}: not a whole result of `{command}`: {fault}. {cure}")
        else:
            records[name] = record
    for name in expected.keys() - paths.keys():
        path = folder / f"{name}.json"
        problems.append(f"{path}: is not there. Make it: {expected[name]} --out {path}")
    return records, tuple(sorted(problems))


def _place(result: Result) -> tuple:
    """Results are in the order of the experiments, then by data set."""
    order = list(EXPERIMENTS)
    known = result.experiment in order
    at = order.index(result.experiment) if known else len(order)
    return at, result.experiment, result.record.dataset
