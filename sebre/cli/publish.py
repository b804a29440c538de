"""Ship a trained network: `sebre publish EXPERIMENT --weights FILE --dataset DIR`.

Writes `weights/<name>.h5` (float16), its settings, how it was trained, the losses of its run, its
model card and its manifest entry, with scores on the test part that were taken from the shipped
file itself.
"""

import json
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import MissingFileError, UserError
from mrcnn.io.files import file_sha256
from mrcnn.io.own_files import demand_own, replace_own, replace_own_text
from mrcnn.weights.loading import save_weights
from sebre.data.dataset import SectionDataset
from sebre.data.metadata import read_facts
from sebre.drawing.overlay import drawn_labels
from sebre.evaluation.evaluate import demand_result_path, evaluate, save_json
from sebre.evaluation.mask_metrics import dice
from sebre.experiments.base import Experiment
from sebre.networks.network_facts import facts_of_data
from sebre.networks.rivals import PIXEL_KINDS
from sebre.networks.segmenter import Segmenter, load_segmenter
from sebre.networks.training_run import TRAINING_FILE
from sebre.networks.weights_store import find_weights, network_of, read_manifest, write_entry
from sebre.trust.thumbnails import drawing_of, save_small

_FILES = _WEIGHTS, _CONFIG, _TRAINING, _LOG, _CARD, _PICTURE = (
    ".h5",
    ".config.json",
    ".training.json",
    ".log.csv",
    ".md",
    ".png",
)  # endings of the files of a network

_CONV_BEFORE_NORM = (
    ("conv1", "bn_conv1"),
    ("mrcnn_class_conv1", "mrcnn_class_bn1"),
    ("mrcnn_mask_conv1", "mrcnn_mask_bn1"),
)
_LARGEST_VARIANCE = 10_000.0

_LIMITS = (
    "Limits: it knows pictures of the kind it was trained on, and no others. {own} {note} Not for "
    "diagnosis."
)
_TORN = "A region that is torn off may still be reported with a low score."
_OVERLAP = "Its masks cannot overlap"
_BEST_DICE = (
    ", but drawn ones do: even without errors it would reach a mean Dice of {:.3f} on the "
    "training part"
)


@dataclass(frozen=True)
class Release:
    """What ships, and what its manifest entry and model card say of it."""

    name: str  # in the manifest
    weights: str | Path  # trained, with `config.json` and `log.csv` beside them
    experiment: Experiment  # that they were trained for
    dataset: str | Path  # prepared, for the scores
    command: str  # that trained them
    start: str  # what training started from, in words
    license: str | None = None  # of the weights; None for MIT and that of the data set
    note: str = ""  # what else limits them, for the card


def publish(release: Release, folder: Path, results: Path) -> dict[str, Any]:
    """Write the files of a network that ships, and its scores; returns its manifest entry.

    Raises:
        UserError: no license is known, or a file of the run is missing or damaged.
    """
    name, experiment = release.name, release.experiment
    facts = _facts(release)
    known = _demand_free(release, folder, results)
    # Before anything is written: an earlier network of the name stays where this cannot be scored.
    sections = experiment.load(release.dataset, "val")
    _write_network(release, facts["network"], folder, known)
    write_entry(name, folder, **facts)

    shipped = load_segmenter(name, experiment, folder=folder)
    line = f"sebre evaluate {experiment.name} --dataset datasets/{facts['dataset']}"
    line += f" --weights {name} --out results/{name}.json"
    how = {"facts": {"command": line}}
    record = evaluate(shipped, sections, experiment.name, release.dataset, experiment.turn, **how)
    save_json(record, results)
    keys = ("n_sections", "map_paper", "dice_mean", "dice_per_region")
    stored = record.to_json()
    scores = {key: stored[key] for key in keys}
    scores |= score_facts(stored)
    scores["turned"] = {key: stored["turned"][key] for key in keys}
    picture = drawing_of(experiment, release.dataset)
    replace_own(folder / f"{name}{_PICTURE}", lambda part: save_small(picture, part), known=known)
    facts["thumbnail"] = f"{name}{_PICTURE}"
    entry = write_entry(name, folder, **facts, scores=scores)
    card = _card(release, shipped, entry, stored)
    replace_own_text(folder / f"{name}{_CARD}", card, known)
    return entry


def score_facts(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What a score holds for, of a stored result: cut-off, interval, and what it varies over."""
    return {
        "min_confidence": stored["detection_min_confidence"],
        "unit": stored["interval_unit"],
        "n_units": stored["n_interval_units"],
        "dice_interval": stored["intervals"]["dice_mean"],
    }


def _demand_free(release: Release, folder: Path, results: Path) -> Callable[[Path], bool]:
    """Raise a UserError if a file of another origin would be replaced.

    Returns:
        Whether a file belongs to what the manifest has under this name, as it was shipped.
    """
    name, manifest = release.name, read_manifest(folder)
    if twin := next((n for n in manifest if n != name and n.lower() == name.lower()), None):
        raise UserError(
            f"{folder}: has {twin!r}, which is {name!r} but for capitals; some disks take both for "
            "one. Choose another --name."
        )

    def known(path: Path) -> bool:
        entry = manifest.get(name)
        is_weights = entry is not None and path.name == entry["file"]
        return entry is not None and (
            not is_weights or path.is_file() and file_sha256(path) == entry.get("sha256")
        )

    weights = Path(release.weights)
    inputs = [weights, *(weights.with_name(file) for file in ("log.csv", "config.json"))]
    demand_own((folder / f"{name}{ending}" for ending in _FILES), inputs, known)
    demand_result_path(results)
    return known


def license_of(release: Release) -> str:
    """License of the weights: what was given, or MIT for the code and that of the data."""
    if release.license:
        return release.license
    stated = read_facts(release.dataset).record.get("licence")
    if not stated or not isinstance(stated, str):
        raise UserError(
            f"{release.dataset}: its dataset.json states no licence. Say with --licence under "
            "which terms the weights may be used."
        )
    return f"MIT for the code; trained on data under {stated}"


def _facts(release: Release) -> dict[str, Any]:
    """Of the manifest entry, without the scores."""
    return {
        "file": f"{release.name}{_WEIGHTS}",
        "url": "",
        "network": network_of(find_weights(release.weights)),
        "experiment": release.experiment.name,
        "regions": release.experiment.regions.names,
        "variant": "small",
        "config": f"{release.name}{_CONFIG}",
        "dataset": Path(release.dataset).name,
        "licence": license_of(release),
        "command": release.command,
        **facts_of_data(release.dataset),
    }


def _write_network(
    release: Release, network: str, folder: Path, known: Callable[[Path], bool]
) -> None:
    """Weights in float16, settings of detection, settings of training, losses."""
    training = _training(Path(release.weights).parent)
    log = Path(release.weights).with_name("log.csv")
    if not log.is_file():
        raise MissingFileError(
            f"{log}: no such file. Publish weights from the folder of their run."
        )
    trained = load_segmenter(release.weights, release.experiment)
    if network == "mask_rcnn":  # the others scale their input
        tame_statistics(trained.keras_model)
    path = folder / f"{release.name}{_WEIGHTS}"
    inside = {"class_names": trained.regions.names, "settings": trained.config.to_dict()}

    def write(part: Path) -> None:
        save_weights(trained.keras_model, part, dtype="float16", **inside)

    replace_own(path, write, known=known)
    replace_own(folder / f"{release.name}{_CONFIG}", trained.config.save, known=known)
    text = json.dumps(training, indent=1) + "\n"
    replace_own_text(folder / f"{release.name}{_TRAINING}", text, known)
    replace_own_text(folder / f"{release.name}{_LOG}", log.read_text(encoding="utf-8"), known)


def _training(run: Path) -> dict[str, Any]:
    """Start, schedule, augmentation and settings of a run; the first three may be unknown."""
    found: dict[str, Any] = {}
    for name, key in ((TRAINING_FILE, None), ("config.json", "settings")):
        path = run / name
        if not path.is_file():
            continue
        try:
            values = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}: not a record of a training ({error}).") from error
        found |= values if key is None else {key: values}
    return found


def _card(
    release: Release, shipped: Segmenter, entry: Mapping[str, Any], stored: Mapping[str, Any]
) -> str:
    """The model card, of the segmenter that ships, its manifest entry and its scores as JSON."""
    experiment, rival = release.experiment, entry["network"] in PIXEL_KINDS
    own = _TORN
    if entry["network"] != "mask_rcnn":
        best = best_dice(experiment.load(release.dataset, "train"))
        own = f"{_OVERLAP}{_BEST_DICE.format(best) if best < 0.9995 else ''}."
    limits = _LIMITS.format(own=own, note=release.note)
    card = files("sebre.cli").joinpath("model_card.md").read_text(encoding="utf-8")
    return card.format(
        name=release.name,
        summary=experiment.summary[0].upper() + experiment.summary[1:],
        role=f" by {shipped.network}, to compare Mask R-CNN with" if rival else "",
        **{key: entry[key] for key in ("file", "sha256", "config", "dataset", "command")},
        license=entry["licence"],
        experiment=experiment.name,
        megabytes=entry["bytes"] / 1e6,
        network=f"{shipped.network}, {_shape(shipped.config, entry['network'])}",
        side=shipped.config.IMAGE_MAX_DIM,
        classes=shipped.config.NUM_CLASSES,
        parameters=shipped.keras_model.count_params(),
        start=release.start,
        n_sections=stored["n_sections"],
        region_names=" | ".join(experiment.regions.names),
        rule="---|" * len(experiment.regions),
        lying=_cells(stored),
        turned=_cells(stored["turned"]),
        orientations=f"up to {experiment.turn.max_angle:g} degrees to either side"
        + (", mirrored" if experiment.turn.flip else ""),
        limits=textwrap.fill(" ".join(limits.split()), 100),
    )


def best_dice(dataset: SectionDataset) -> float:
    """Mean Dice of a network that labels every pixel as drawn, and each with one region.

    It is below 1 where drawn masks overlap: as in its training, the smaller one takes the pixel.
    Mean over regions of the mean over the sections that show them.
    """
    found: dict[int, list[float]] = {}
    for image_id in dataset.image_ids:
        masks, class_ids = dataset.load_mask(image_id)
        labels = drawn_labels(class_ids, masks)
        for row, class_id in enumerate(class_ids):
            if masks[..., row].any():
                found.setdefault(class_id, []).append(dice(labels == class_id, masks[..., row]))
    return float(np.mean([np.mean(values) for values in found.values()]))


def _shape(config: Any, network: str) -> str:
    if network in PIXEL_KINDS:
        return PIXEL_KINDS[network].words(config)
    if network == "any_section":
        return (
            f"{len(config.SECTION_WIDTHS)} levels, {config.SECTION_WIDTHS[0]} filters at the first"
        )
    return f"{config.BACKBONE} (width {config.BACKBONE_WIDTH:g})"


def tame_statistics(keras_model: Any) -> None:
    """Keep batch statistics within the range of float16, without changing the function.

    The input of the first convolution is in gray values, so that the variance behind it may
    come near 65,504. A kernel divided by s gives a mean divided by s and a variance by s * s,
    and the normalization takes s out again (up to its epsilon, 0.001).
    """
    for conv_name, norm_name in _CONV_BEFORE_NORM:
        conv, norm = keras_model.get_layer(conv_name), keras_model.get_layer(norm_name)
        largest = float(np.max(norm.moving_variance))
        if largest < _LARGEST_VARIANCE:
            continue
        scale = (largest / _LARGEST_VARIANCE) ** 0.5
        for variable in (*conv.weights, norm.moving_mean):
            variable.assign(variable / scale)
        norm.moving_variance.assign(norm.moving_variance / scale**2)


def _cells(scores: Mapping[str, Any]) -> str:
    values = [scores["map_paper"], scores["dice_mean"], *scores["dice_per_region"].values()]
    return " | ".join("-" if value is None else f"{value:.3f}" for value in values)
