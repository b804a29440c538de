"""Ship a trained network: `python -m sebre.publish --weights FILE --experiment NAME --dataset DIR`.

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

from mrcnn.files import replace_text
from sebre.cli import DONE, USER_ERROR, say
from sebre.experiments import EXPERIMENTS

_CONV_BEFORE_NORM = (
    ("conv1", "bn_conv1"),
    ("mrcnn_class_conv1", "mrcnn_class_bn1"),
    ("mrcnn_mask_conv1", "mrcnn_mask_bn1"),
)
_LARGEST_VARIANCE = 10_000.0

_CARD = """# {name}

{summary}.

| | |
|---|---|
| File | `{file}`, {megabytes:.1f} MB, float16, SHA-256 `{sha256}` |
| Network | Mask R-CNN, {backbone} (width {width:g}), {side} px, {classes} classes, {parameters:,} \
parameters |
| Settings | `{config}` |
| Trained on | training part of `{dataset}`, from {start} |
| Command | `{command}` |
| Licence | {licence} |

Scores on the test part ({n_sections} sections that took no part in training):

| | mAP (mask IoU 0.5) | mean Dice | {region_names} |
|---|---|---|{rule}
| as they lie | {lying} |
| at random orientations ({orientations}) | {turned} |

Use: `sebre detect {experiment} IMAGE --weights {name} --out DIR`, or `sebre.load("{name}")`.

{limits}
"""

_LIMITS = (
    "Limits: it knows pictures of the kind it was trained on, and no others. A region that is "
    "torn off may still be reported with a low score. {note} Not for diagnosis."
)


def publish(
    name: str,
    weights: str | Path,
    experiment_name: str,
    dataset: str | Path,
    command: str,
    start: str,
    licence: str,
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
        licence: of the weights.
        folder: of the manifest.
        results: file for the scores.
        note: what else limits it, for the card.

    Returns:
        The manifest entry.
    """
    from sebre.dataset import SectionDataset
    from sebre.evaluate import evaluate, save_json
    from sebre.predict import load_segmenter
    from sebre.weights_store import write_entry

    experiment = EXPERIMENTS[experiment_name]
    folder.mkdir(parents=True, exist_ok=True)
    trained = load_segmenter(weights, experiment)
    tame_statistics(trained.model.keras_model)
    trained.model.save_weights(folder / f"{name}.h5", dtype="float16")
    config_file = f"{name}.config.json"
    trained.model.config.save(folder / config_file)
    losses = Path(weights).with_name("log.csv").read_text(encoding="utf-8")
    replace_text(folder / f"{name}.log.csv", losses)
    facts = {
        "file": f"{name}.h5",
        "url": "",
        "experiment": experiment_name,
        "variant": "small",
        "config": config_file,
        "dataset": Path(dataset).name,
        "licence": licence,
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

    config = shipped.model.config
    card = _CARD.format(
        name=name,
        summary=experiment.summary[0].upper() + experiment.summary[1:],
        **{key: entry[key] for key in ("file", "sha256", "config", "dataset", "command")},
        licence=licence,
        experiment=experiment_name,
        megabytes=entry["bytes"] / 1e6,
        backbone=config.BACKBONE,
        width=config.BACKBONE_WIDTH,
        side=config.IMAGE_MAX_DIM,
        classes=config.NUM_CLASSES,
        parameters=shipped.model.keras_model.count_params(),
        start=start,
        n_sections=record["n_sections"],
        region_names=" | ".join(experiment.regions.names),
        rule="---|" * len(experiment.regions),
        lying=_cells(record),
        turned=_cells(record["turned"]),
        orientations=f"up to {experiment.turn.max_angle:g} degrees to either side"
        + (", mirrored" if experiment.turn.flip else ""),
        limits=textwrap.fill(" ".join(_LIMITS.format(note=note).split()), 100),
    )
    (folder / f"{name}.md").write_text(card, encoding="utf-8")
    return entry


def tame_statistics(keras_model: Any) -> None:
    """Keep batch statistics within the range of float16, without changing the function.

    The input of the first convolution is in grey values, so that the variance behind it may
    come near 65,504. A kernel divided by s gives a mean divided by s and a variance by s * s,
    and the normalisation takes s out again (up to its epsilon, 0.001).
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
    from sebre.weights_store import store_dir

    parser = argparse.ArgumentParser(prog="python -m sebre.publish", description=__doc__)
    parser.add_argument("--weights", required=True, type=Path, help="trained weights")
    parser.add_argument("--experiment", required=True, choices=EXPERIMENTS)
    parser.add_argument("--dataset", required=True, type=Path, help="prepared data set")
    parser.add_argument("--command", required=True, help="that trained it")
    parser.add_argument("--name", help="default: that of the experiment")
    parser.add_argument("--start", default="random weights", help="default: %(default)s")
    parser.add_argument("--licence", default="MIT", help="default: %(default)s")
    parser.add_argument("--note", default="", help="what else limits it, for the card")
    parser.add_argument("--results", type=Path, help="default: results/<name>.json")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    name = args.name or args.experiment
    try:
        entry = publish(
            name,
            args.weights,
            args.experiment,
            args.dataset,
            args.command,
            args.start,
            args.licence,
            store_dir(),
            args.results or store_dir().parent / "results" / f"{name}.json",
            args.note,
        )
    except (ValueError, OSError) as error:
        print(f"sebre.publish: {error}", file=sys.stderr)
        return USER_ERROR
    say(f"{name}: {entry['bytes'] / 1e6:.1f} MB, {entry['scores']}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
