"""Ships a network that `sebre.synthesis.learn` trained: weights, settings, manifest entry, card.

    python -m sebre.synthesis.release --run DIR --data DATA --store weights --results DIR --views 4

Scores are those of real sections (`sebre.synthesis.zeroshot`), in every variant, and of prepared
data sets (`--prepared`). They are written to `<results>/any_section.json`, beside those of an atlas
alone (`sebre.synthesis.baselines.measure`) where `<results>/baselines.json` has them. Without
`--run`, the network that the store has is scored again.
"""

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mrcnn.io.files import replace_text
from mrcnn.io.own_files import replace_own, replace_own_text
from mrcnn.weights.loading import save_weights
from sebre.data.regions import ANY_SECTION
from sebre.drawing.overlay import overlay
from sebre.networks.any_section import (
    AnySectionConfig,
    AnySectionSegmenter,
    any_section_segmenter,
    load_any_section,
)
from sebre.networks.environment import environment
from sebre.networks.weights_store import (
    add_to_entry,
    find_weights,
    read_manifest,
    write_entry,
)
from sebre.program import run_module
from sebre.synthesis import zeroshot
from sebre.synthesis.baselines.measure import FILE, MOST
from sebre.synthesis.classes import LICENSE
from sebre.trust.thumbnails import save_small
from sebre.trust.trust_files import load_trust, trust_path, with_trust

logger = logging.getLogger(__name__)

_COMPLETION = 0.1  # see docs/any_section.md
NAME = ANY_SECTION.name
_SAGITTAL = "sagittal59"
_BESIDE = (
    "| source (sections) | network | copied labels | difference | elastix (sections; copied labels "
    "on these) |"
)
_NOT_MEASURED = "What an atlas alone gives was not measured."
_SHOWN = "abba_quicknii"  # under the MIT license


def release(
    run: Path,
    data: Path,
    store: Path,
    results: Path,
    prepared: Sequence[Path] = (),
    views: int = 8,
    start: Path | None = None,
) -> dict[str, Any]:
    """Write the files of the network, score it, and return its manifest entry.

    Args:
        run: folder that `sebre.synthesis.learn` wrote to.
        data: folder of the collections of real sections.
        store: folder of the manifest.
        results: folder of stored scores.
        prepared: folders of prepared data sets to score too.
        views: of a picture that are looked at.
        start: training settings of the weights that the run started from.
    """
    settings = json.loads((run / "settings.json").read_text("utf-8"))
    seen = json.loads((run / "state.json").read_text("utf-8"))["sections"]
    # The loss is a class of the package, and is not needed to predict.
    model = keras.models.load_model(run / "last.keras", compile=False)
    config = any_section_segmenter(model, views).config
    config.update(SECTION_WIDTHS=tuple(settings["widths"]), CLASS_NAMES=ANY_SECTION.names)
    config.update(SECTION_COMPLETION=_COMPLETION)
    replace_own(
        store / f"{NAME}.h5",
        lambda part: save_weights(model, part, "float16", ANY_SECTION.names, config.to_dict()),
    )
    replace_own(store / f"{NAME}.config.json", config.save)
    training = {**settings, "sections_seen": seen}
    if start is not None:
        training["started_from"] = json.loads(start.read_text("utf-8"))
    replace_own_text(store / f"{NAME}.training.json", json.dumps(training, indent=1) + "\n")
    replace_own_text(store / f"{NAME}.log.csv", (run / "log.csv").read_text("utf-8"))
    facts = {
        "file": f"{NAME}.h5",
        "url": "",
        "network": NAME,
        "experiment": NAME,
        "regions": ANY_SECTION.names,
        "species": "mouse",
        "plane": "any",
        "stain": "any (it learned from pictures of random contrast)",
        "age": "P4 to adult",
        "pixel_um": None,
        "variant": "",
        "config": f"{NAME}.config.json",
        "dataset": "synthetic",
        "licence": LICENSE,
        "command": _commands(training),
    }
    write_entry(NAME, store, **facts)
    return rescore(data, store, results, prepared)


def rescore(
    data: Path, store: Path, results: Path, prepared: Sequence[Path] = ()
) -> dict[str, Any]:
    """Score the network of a store; write scores, picture and card, and return its manifest entry.

    Arguments are those of `release`.
    """
    found = find_weights(NAME, store)
    shipped = load_any_section(found, AnySectionConfig.load(found.config))
    training = json.loads((store / f"{NAME}.training.json").read_text("utf-8"))
    record = score(shipped, data) | {"training": training}
    record["prepared"] = {}
    for root in prepared:
        sections = zeroshot.prepared_sections(root, MOST)
        scores = zeroshot.score_sections(shipped.labels, sections)
        record["prepared"] |= {name: asdict(score) for name, score in scores.items()}
    record["beside"] = beside(record, results)
    text = json.dumps(record, indent=1) + "\n"
    replace_own_text(results / f"{NAME}.json", text, known=lambda _: True)
    picture = _picture(shipped, data)
    replace_own(store / f"{NAME}.png", lambda part: save_small(picture, part), known=lambda _: True)
    lying = record["scores"][zeroshot.VARIANTS[0]]
    scores = {
        "dataset": "real sections of five sources that it never saw (mean of their means)",
        "n_sections": sum(n for name, n in record["n_by_source"].items() if name != _SAGITTAL),
        "dice_mean": labeled_mean(lying),
        "dice_per_source": lying,
    }
    add_to_entry(NAME, store, thumbnail=f"{NAME}.png", scores=scores)
    entry = read_manifest(store)[NAME]
    path = store / f"{NAME}.md"
    # What else stands on the network has chapters of its own in its card.
    _, begins, others = path.read_text("utf-8").partition("\n## ") if path.is_file() else [""] * 3
    text = card(entry, record, shipped)
    if (trust := load_trust(found)) is not None:
        text = with_trust(text, trust_path(found).name, trust)
    text = text.rstrip() + "\n" + begins + others
    replace_text(path, text)  # in the repository; others write to it as well
    return entry


def beside(record: Mapping[str, Any], results: Path) -> dict[str, Any]:
    """Scores of an atlas alone beside those of the network, by source, as plain JSON values.

    `over_copied` is how much the network is above the labels of the nearest template plane as they
    lie, on the same sections. Empty where they were not measured.
    """
    path = results / FILE
    if not path.is_file():
        return {}
    atlas = json.loads(path.read_text("utf-8"))["scores"]
    lying = record["scores"][zeroshot.VARIANTS[0]]
    own = {
        **{name: {"dice": dice, "n": record["n_by_source"][name]} for name, dice in lying.items()},
        **record["prepared"],
    }
    return {
        name: {
            "network": score,
            **atlas[name],
            "over_copied": score["dice"] - atlas[name]["copied"]["dice"],
        }
        for name, score in own.items()
        if name in atlas
    }


def _picture(network: AnySectionSegmenter, data: Path) -> np.ndarray:
    """A real section with its regions, uint8 [H, W, 3]."""
    section = next(s for s in zeroshot.real_sections(data) if s.source == _SHOWN)
    gray = np.clip(section.picture, 0, 255).astype(np.uint8)
    labels = network.labels(section.picture)
    return overlay(np.repeat(gray[..., None], 3, axis=-1), labels, ANY_SECTION)


def score(network: AnySectionSegmenter, data: Path) -> dict[str, Any]:
    """Mean Dice of each source of real sections in every variant, as a record."""
    sections = list(zeroshot.real_sections(data))
    counts: dict[str, int] = {}
    for section in sections:
        counts[section.source] = counts.get(section.source, 0) + 1
    scores = {}
    for variant in zeroshot.VARIANTS:
        scores[variant] = zeroshot.evaluate(network.labels, data, variant)
        logger.info("%s: %s", variant, {k: round(v, 3) for k, v in scores[variant].items()})
    return {
        "command": "python -m sebre.synthesis.release --run DIR --data DATA --store weights",
        "weights_sha256": network.weights.sha256,
        "n_sections": len(sections),
        "n_by_source": counts,
        "scores": scores,
        "environment": environment(),
    }


def labeled_mean(scores: Mapping[str, float]) -> float:
    """Mean over the sources of the collection `zeroshot`."""
    return float(np.mean([value for source, value in scores.items() if source != _SAGITTAL]))


def card(entry: Mapping[str, Any], record: Mapping[str, Any], network: AnySectionSegmenter) -> str:
    """The model card."""
    sources = list(record["n_by_source"])
    header = " | ".join(f"{name} ({record['n_by_source'][name]})" for name in sources)
    lines = [
        f"| | mean of the first {len(sources) - 1} | {header} |",
        "|---" * (len(sources) + 2) + "|",
    ]
    for variant, scores in record["scores"].items():
        cells = " | ".join(f"{scores[name]:.3f}" for name in sources)
        lines.append(f"| {variant} | {labeled_mean(scores):.3f} | {cells} |")
    settings, other = record["training"], [_NOT_MEASURED]
    if record.get("beside"):
        other = [_BESIDE, "|---" * 5 + "|"]
        for name, row in record["beside"].items():
            cells = (row["network"], row["copied"], row["copied_same"], row["elastix"])
            network_, copied, same, elastix = (f"{one['dice']:.3f}" for one in cells)
            other.append(
                f"| {name} ({row['copied']['n']}) | {network_} | {copied} | "
                f"{row['over_copied']:+.3f} | {elastix} ({row['elastix']['n']}; {same}) |"
            )
    text = files("sebre.synthesis").joinpath("model_card.md").read_text(encoding="utf-8")
    return text.format(
        **{key: entry[key] for key in ("file", "sha256", "config", "command", "licence")},
        megabytes=entry["bytes"] / 1e6,
        parameters=network.keras_model.count_params(),
        size=settings["size"],
        sections=settings["sections_seen"],
        before=_before(settings),
        views=network.config.SECTION_TURNS,
        held_out=", ".join(settings["held_out"]),
        table="\n".join(lines),
        beside="\n".join(other),
    )


def _before(training: Mapping[str, Any]) -> str:
    """What was learned before, in words."""
    first = training.get("started_from")
    if not first:
        return ""
    return f", after {first['sections_seen']:,} at {first['size']} px"


def _commands(training: Mapping[str, Any]) -> str:
    """The command of the training, after that of the weights that it started from."""
    before = training.get("started_from")
    options = {
        "held-out": " ".join(training["held_out"]),
        "size": training["size"],
        "batch-size": training["batch_size"],
        "sections": training["sections"],
        "learning-rate": training["learning_rate"],
        "seed": training["seed"],
        "start": training.get("start", ""),
        "precision": training.get("precision", ""),
        "ramp": " ".join(map(str, training.get("ramp", ()))),
    }
    words = " ".join(f"--{name} {value}" for name, value in options.items() if value != "")
    own = f"python -m sebre.synthesis.learn --data DATA --out DIR {words}"
    return f"{_commands(before)}; then {own}" if before else own


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line and release."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, help="folder of the training (default: score again)")
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--store", type=Path, required=True, help="folder of the manifest")
    parser.add_argument("--results", type=Path, required=True, help="folder of stored scores")
    parser.add_argument("--prepared", type=Path, nargs="*", default=[], help="data sets")
    parser.add_argument("--views", type=int, default=8, help="of a picture, 1 to 8")
    parser.add_argument("--start", type=Path, help="training.json of the weights it started from")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    where = (args.data, args.store, args.results, args.prepared)
    if args.run is None:
        rescore(*where)
    else:
        release(args.run, *where, args.views, args.start)


if __name__ == "__main__":
    run_module(main)
