"""Ship a trained network: `python -m sebre.cli.publish --weights FILE --experiment NAME
--dataset DIR`.

Writes `weights/<name>.h5` (float16), its settings, the losses of its run, its model card and its
manifest entry, with scores on the test part that were taken from the shipped file itself.
"""

import argparse
import logging
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.io.files import replace_text
from sebre.cli.commands import DONE, USER_ERROR, say
from sebre.experiments.base import EXPERIMENTS

_CONV_BEFORE_NORM = (
    ("conv1", "bn_conv1"),
    ("mrcnn_class_conv1", "mrcnn_class_bn1"),
    ("mrcnn_mask_conv1", "mrcnn_mask_bn1"),
)
_LARGEST_VARIANCE = 10_000.0

_CARD = """# {name}

{summary}{role}.

| | |
|---|---|
| File | `{file}`, {megabytes:.1f} MB, float16, SHA-256 `{sha256}` |
| Network | {network}, {side} px, {classes} classes, {parameters:,} parameters |
| Settings | `{config}` |
| Trained on | training part of `{dataset}`, from {start} |
| Command | `{command}` |
| License | {license} |

Scores on the test part ({n_sections} sections that took no part in training):

| | mAP (mask IoU 0.5) | mean Dice | {region_names} |
|---|---|---|{rule}
| as they lie | {lying} |
| at random orientations ({orientations}) | {turned} |

Use: `sebre detect {experiment} IMAGE --weights {name} --out DIR`, or `sebre.load("{name}")`.

{limits}
"""

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


def publish(
    name: str,
    weights: str | Path,
    experiment_name: str,
    dataset: str | Path,
    command: str,
    start: str,
    license: str,
    folder: Path,
    results: Path,
    note: str = "",
) -> dict[str, Any]:
    """Write the files of a network that ships.

    Args:
        name: in the manifest.
        weights: trained weights, with `config.json` and `log.csv` beside them.
        experiment_name: in the table of experiments.
        dataset: prepared data set, for the scores.
        command: that trained it.
        start: what training started from, in words.
        license: of the weights.
        folder: of the manifest.
        results: file for the scores.
        note: what else limits it, for the card.

    Returns:
        The manifest entry.
    """
    from mrcnn.weights.loading import save_weights
    from sebre.data.dataset import SectionDataset
    from sebre.evaluation.evaluate import evaluate, save_json
    from sebre.networks.segmenter import load_segmenter
    from sebre.networks.weights_store import network_of, write_entry

    experiment = EXPERIMENTS[experiment_name]
    folder.mkdir(parents=True, exist_ok=True)
    trained = load_segmenter(weights, experiment)
    network = network_of(trained.weights)
    if network == "mask_rcnn":  # a U-Net scales its input
        tame_statistics(trained.keras_model)
    save_weights(trained.keras_model, folder / f"{name}.h5", dtype="float16")
    config_file = f"{name}.config.json"
    trained.config.save(folder / config_file)
    losses = Path(weights).with_name("log.csv").read_text(encoding="utf-8")
    replace_text(folder / f"{name}.log.csv", losses)
    facts = {
        "file": f"{name}.h5",
        "url": "",
        "network": network,
        "experiment": experiment_name,
        "variant": "small",
        "config": config_file,
        "dataset": Path(dataset).name,
        "licence": license,
        "command": command,
    }
    write_entry(name, folder, **facts)

    shipped = load_segmenter(name, experiment, folder=folder)
    test_part = SectionDataset(experiment.regions).load(dataset, "val")
    test_part.prepare()
    line = f"sebre evaluate {experiment_name} --dataset datasets/{facts['dataset']}"
    line += f" --weights {name} --out results/{name}.json"
    record = evaluate(shipped, test_part, experiment_name, dataset, facts={"command": line})
    save_json(record, results)
    keys = ("n_sections", "map_paper", "dice_mean", "dice_per_region")
    scores = {key: record[key] for key in keys}
    scores["turned"] = {key: record["turned"][key] for key in keys}
    entry = write_entry(name, folder, **facts, scores=scores)

    limits = _LIMITS.format(own=_TORN, note=note)
    if network == "unet":
        training_part = SectionDataset(experiment.regions).load(dataset, "train")
        training_part.prepare()
        best = best_dice(training_part)
        but = _BEST_DICE.format(best) if best < 0.9995 else ""
        limits = _LIMITS.format(own=f"{_OVERLAP}{but}.", note=note)
    card = _CARD.format(
        name=name,
        summary=experiment.summary[0].upper() + experiment.summary[1:],
        role=": a U-Net, to compare Mask R-CNN with" if network == "unet" else "",
        **{key: entry[key] for key in ("file", "sha256", "config", "dataset", "command")},
        license=license,
        experiment=experiment_name,
        megabytes=entry["bytes"] / 1e6,
        network=f"{shipped.network}, {_shape(shipped.config, network)}",
        side=shipped.config.IMAGE_MAX_DIM,
        classes=shipped.config.NUM_CLASSES,
        parameters=shipped.keras_model.count_params(),
        start=start,
        n_sections=record["n_sections"],
        region_names=" | ".join(experiment.regions.names),
        rule="---|" * len(experiment.regions),
        lying=_cells(record),
        turned=_cells(record["turned"]),
        orientations=f"up to {experiment.turn.max_angle:g} degrees to either side"
        + (", mirrored" if experiment.turn.flip else ""),
        limits=textwrap.fill(" ".join(limits.split()), 100),
    )
    replace_text(folder / f"{name}.md", card)
    return entry


def best_dice(dataset: Any) -> float:
    """Mean Dice of a network that labels every pixel as drawn, and each with one region.

    It is below 1 where drawn masks overlap: as in its training, the smaller one takes the pixel.

    Args:
        dataset: prepared `SectionDataset`.

    Returns:
        Mean over regions of the mean over the sections that show them.
    """
    from sebre.drawing.overlay import drawn_labels
    from sebre.evaluation.mask_metrics import dice

    found: dict[int, list[float]] = {}
    for image_id in dataset.image_ids:
        masks, class_ids = dataset.load_mask(image_id)
        labels = drawn_labels(class_ids, masks)
        for row, class_id in enumerate(class_ids):
            if masks[..., row].any():
                found.setdefault(class_id, []).append(dice(labels == class_id, masks[..., row]))
    return float(np.mean([np.mean(values) for values in found.values()]))


def _shape(config: Any, network: str) -> str:
    if network == "unet":
        return f"{config.UNET_LEVELS} levels, {config.UNET_WIDTH} filters at the first"
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


def _cells(scores: dict[str, Any]) -> str:
    values = [scores["map_paper"], scores["dice_mean"], *scores["dice_per_region"].values()]
    return " | ".join("-" if value is None else f"{value:.3f}" for value in values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    from sebre.networks.weights_store import find_weights, network_of, store_dir

    parser = argparse.ArgumentParser(prog="python -m sebre.cli.publish", description=__doc__)
    parser.add_argument("--weights", required=True, type=Path, help="trained weights")
    parser.add_argument("--experiment", required=True, choices=EXPERIMENTS)
    parser.add_argument("--dataset", required=True, type=Path, help="prepared data set")
    parser.add_argument("--command", required=True, help="that trained it")
    parser.add_argument("--name", help="default: that of the experiment; of a U-Net, with _unet")
    parser.add_argument("--start", default="random weights", help="default: %(default)s")
    parser.add_argument("--license", "--licence", default="MIT", help="default: %(default)s")
    parser.add_argument("--note", default="", help="what else limits it, for the card")
    parser.add_argument("--results", type=Path, help="default: results/<name>.json")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        unet = network_of(find_weights(args.weights)) == "unet"
        name = args.name or args.experiment + ("_unet" if unet else "")
        entry = publish(
            name,
            args.weights,
            args.experiment,
            args.dataset,
            args.command,
            args.start,
            args.license,
            store_dir(),
            args.results or store_dir().parent / "results" / f"{name}.json",
            args.note,
        )
    except (ValueError, OSError) as error:
        print(f"sebre.cli.publish: {error}", file=sys.stderr)
        return USER_ERROR
    say(f"{name}: {entry['bytes'] / 1e6:.1f} MB, {entry['scores']}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
