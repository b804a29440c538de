"""`sebre models calibrate`: write the trust file of weights, and measure it on the test part."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrcnn.errors import UserError
from mrcnn.io.files import file_sha256
from mrcnn.io.own_files import demand_own, replace_own_text
from sebre.data.dataset import SectionDataset
from sebre.data.listing import is_picture, natural
from sebre.data.section_files import part_folder
from sebre.experiments.base import Experiment
from sebre.networks.any_section import AnySectionSegmenter
from sebre.networks.environment import environment
from sebre.networks.segmenter import Segmenter, find_network, load_segmenter
from sebre.networks.train import training_sets
from sebre.networks.training_run import dataset_facts, read_run
from sebre.networks.weights_store import WeightsFile, add_to_entry
from sebre.trust.certainty import fit_certainty
from sebre.trust.trust_files import AnyTrust, groups_of, trust_path, with_trust
from sebre.trust.trust_fitting import SECTIONS, calibrate
from sebre.trust.trust_model import TrustModel
from sebre.trust.trust_scores import add_record, count_told, score_trust


@dataclass(frozen=True)
class Calibration:
    """What `sebre models calibrate` was asked for."""

    weights: str  # name or path
    dataset: Path  # prepared, that they were trained on
    out: Path | None = None  # trust file; None for beside the weights
    seed: int = 0
    sections: int = SECTIONS
    others: Sequence[Path] = field(default_factory=tuple)  # pictures of other kinds, or folders
    results: Path | None = None
    command: str = ""


def calibrate_weights(asked: Calibration) -> tuple[Path, list[str]]:
    """Make the trust file of weights, and measure it where the data set has a test part.

    Manifest and card learn of the file of weights that have a name, unless it goes elsewhere.

    Returns:
        Where the file is, and lines of what was measured.

    Raises:
        UserError: weights or data set cannot be used, or a file of somebody else is in the way.
    """
    found, experiment, _ = find_network(asked.weights)
    path = asked.out or trust_path(found)
    pictures = list(_pictures(asked.others))
    demand_own([path], known=lambda place: _is_of(place, found))
    sections = experiment.load(asked.dataset, "train")
    segmenter = load_segmenter(asked.weights)
    fit = calibrate
    if isinstance(segmenter, AnySectionSegmenter):
        fit, sections = fit_certainty, _not_learned_from(found, experiment, asked.dataset, sections)
    model = fit(
        segmenter,
        sections,
        asked.dataset,
        experiment.turn,
        asked.seed,
        asked.command,
        asked.sections,
    )
    text = json.dumps(model.to_json(), separators=(",", ":")) + "\n"
    replace_own_text(path, text, known=lambda place: _is_of(place, found))
    if found.name is not None and found.store is not None and asked.out is None:
        trust = {"file": path.name, "sha256": file_sha256(path)}
        add_to_entry(found.name, found.store, trust=trust)
        card = path.with_name(f"{found.name}.md")
        if card.is_file():
            text = with_trust(card.read_text(encoding="utf-8"), path.name, model)
            replace_own_text(card, text, known=lambda _: True)
    record = _measured(asked, experiment, segmenter, model, pictures)
    if asked.results is not None:
        # Files of runs have the same names; their folders tell them apart.
        own = f"{found.path.absolute().parent.name}/{found.path.stem}"
        add_record(asked.results, found.name or own, record)
    return path, list(_lines(record))


def _not_learned_from(
    found: WeightsFile, experiment: Experiment, dataset: Path, sections: SectionDataset
) -> SectionDataset:
    """Of the sections of a data set those that a network of any section did not learn from.

    Raises:
        UserError: it learned from all of them.
    """
    run = {} if found.config is None else read_run(found.config.parent, found.name or "")
    learned, now = run.get("dataset", {}), dataset_facts(dataset)
    if learned.get("sha256") != now["sha256"]:
        if learned.get("name") == now["name"]:
            raise UserError(
                f"{dataset}: has the name of the data set that {found.path} learned from, and "
                "other content, so that what it learned from cannot be left out. Restore it, or "
                "give another data set with --dataset."
            )
        return sections
    if not (share := run.get("inner_validation")):
        raise UserError(
            f"{dataset}: {found.path} learned from all of its training sections, on which it is "
            "surer than on others. Give another data set with --dataset, or train with "
            "--inner-validation, which keeps some apart."
        )
    _, kept_apart = training_sets(experiment, dataset, share, run.get("SEED", 0))
    return kept_apart


def _is_of(path: Path, weights: WeightsFile) -> bool:
    """Whether a file is what the manifest knows as the trust file of these weights."""
    recorded = weights.entry.get("trust", {}).get("sha256")
    return recorded is not None and file_sha256(path) == recorded


def _pictures(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such picture or folder (--others).")
        inside = sorted(path.rglob("*"), key=natural) if path.is_dir() else [path]
        yield from (picture for picture in inside if is_picture(picture))


def _measured(
    asked: Calibration,
    experiment: Experiment,
    segmenter: Segmenter,
    model: AnyTrust,
    pictures: Sequence[Path],
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "command": asked.command,
        "experiment": experiment.name,
        "dataset": asked.dataset.name,
        "weights_sha256": segmenter.weights.sha256,
        "fitted_on": model.facts,
        "dice_limit": model.dice_limit,
    }
    if part_folder(asked.dataset, "val", "images").is_dir():
        sections = experiment.load(asked.dataset, "val")
        turned = isinstance(model, TrustModel)  # others do not look at turned pictures
        record["test_part"] = score_trust(model, segmenter, sections, experiment.turn, turned)
    if pictures:
        record["other_kinds"] = count_told(model, segmenter, pictures)
    return {**record, "environment": environment()}


def _lines(record: dict[str, Any]) -> Iterator[str]:
    fitted = record["fitted_on"]
    yield (
        f"Fitted on {fitted['sections']} training sections {groups_of(fitted)}, "
        f"{fitted['pictures']} pictures as in training and {fitted['disturbed']} disturbed ones"
    )
    titles = {
        "as_they_lie": "test part",
        "with_turned": "with turned pictures",
        "disturbed": "test part, disturbed",
    }
    for key, part in record.get("test_part", {}).items():
        line = f"{titles[key]:22} {part['n_sections']:4d} sections, {part['n_warned']} warned of"
        if part["n_regions"]:
            doubted, others = part["flagged"], part["not_flagged"]
            line += (
                f"; flagged {doubted['n']} of {part['n_regions']} regions, Dice "
                f"{_number(doubted['dice'])}, the others {_number(others['dice'])}"
            )
        yield line
    if "other_kinds" in record:
        other = record["other_kinds"]
        yield f"{'pictures of other kinds':22} {other['n_told']} of {other['n']} told"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
