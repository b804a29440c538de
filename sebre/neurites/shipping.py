"""Ships a network of neurites: weights, settings with thresholds, manifest entry, card, picture.

    python -m sebre.neurites.shipping --run DIR --store weights
    python -m sebre.neurites.scoring.measure_neurites --data DIR --network neurites \
        --out results/neurites/neurites.json
    python -m sebre.neurites.shipping --run DIR --store weights --data DIR \
        --scores results/neurites/neurites.json

What is measured is what is stored: the first call stores the network in half precision.
"""

import argparse
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.io.files import file_sha256
from mrcnn.io.own_files import replace_own, replace_own_text
from mrcnn.weights.loading import save_weights
from sebre.networks.training_run import SETTINGS_FILE
from sebre.networks.weights_store import read_manifest, write_entry
from sebre.neurites.affinity_prediction import NAME, load_network
from sebre.neurites.cells import MemoryStore
from sebre.neurites.graph_picture import tinted
from sebre.neurites.learning.patches import AUGMENTATIONS
from sebre.neurites.scoring.measure_neurites import KEPT
from sebre.neurites.volume_files import open_volume
from sebre.neurites.whole_volumes import Decoding, segment
from sebre.program import run_module
from sebre.trust.thumbnails import save_small

_LICENSE = (
    "MIT for the code; trained on FIB-25 training sample 2 (FlyEM, Janelia) under CC BY 3.0, with "
    "attribution"
)
_SHOWN = (170, 186)  # sections of the picture
_SIDE_PX = 160


def store_network(run: Path, store: Path) -> dict[str, Any]:
    """Store the network of a run under its name, and return its manifest entry.

    Args:
        run: folder of `sebre neurites train`.
        store: folder of the manifest.
    """
    model = load_network(run).model
    first = _begun_with(run, store)
    known = _shipped(store)
    save = {"write": lambda part: save_weights(model, part, dtype="float16"), "known": known}
    replace_own(store / f"{NAME}.h5", **save)
    replace_own_text(store / f"{NAME}.log.csv", (run / "log.csv").read_text("utf-8"), known)
    return _write(run, store, {}, {}, first, known)


def add_scores(run: Path, store: Path, scores: Path, data: Path) -> dict[str, Any]:
    """Add thresholds, scores, card and picture to the stored network; returns its manifest entry.

    Args:
        run: folder of `sebre neurites train`.
        store: folder of the manifest.
        scores: of `sebre.neurites.scoring.measure_neurites`, of the stored network.
        data: folder of the volume that it was tested on, for the picture.

    Raises:
        UserError: scores of another network.
    """
    record = json.loads(scores.read_text("utf-8"))
    chosen = {method: found["threshold"] for method, found in record["chosen"].items()}
    known = _shipped(store)
    stored = store / f"{NAME}.h5"
    if record["network"] != file_sha256(stored):
        raise UserError(f"{scores}: are not the scores of {stored}. Measure it.")
    first = json.loads((store / f"{NAME}.config.json").read_text("utf-8")).get("first", {})
    entry = _write(run, store, chosen, _test_scores(record), first, known)
    network = load_network(NAME)
    picture = draw(network, data)
    replace_own(store / f"{NAME}.png", lambda part: save_small(picture, part), known=known)
    settings = json.loads((store / entry["config"]).read_text("utf-8"))
    text = card(entry, record, settings, network.model.count_params())
    replace_own_text(store / f"{NAME}.md", text, known)
    return entry


def _shipped(store: Path) -> Callable[[Path], bool]:
    """Whether a file may be replaced that no record of `mrcnn.io.own_files` names: all beside a
    network that is the one in the manifest, as in a fresh copy of the repository."""
    entry, file = read_manifest(store).get(NAME, {}), store / f"{NAME}.h5"
    same = file.is_file() and file_sha256(file) == entry.get("sha256")
    return lambda path: same


def _write(
    run: Path,
    store: Path,
    thresholds: Mapping[str, float],
    scores: Mapping[str, float],
    first: Mapping[str, Any],
    known: Callable[[Path], bool],
) -> dict[str, Any]:
    """Settings and manifest entry of the network that is stored; `first` are the settings of the
    network that its training began with, if any; `known` is of `_shipped`."""
    settings = json.loads((run / SETTINGS_FILE).read_text("utf-8"))
    seen = json.loads((run / "state.json").read_text("utf-8"))["step"]
    settings |= {"steps_seen": seen, "thresholds": dict(thresholds)}
    if first:
        settings["first"] = dict(first)
    text = json.dumps(settings, indent=1) + "\n"
    replace_own_text(store / f"{NAME}.config.json", text, known)
    return write_entry(
        NAME,
        store,
        file=f"{NAME}.h5",
        url="",
        network=NAME,
        experiment=NAME,
        regions=[],
        species="fruit fly",
        plane=None,
        stain="electron microscopy (FIB-SEM)",
        age="adult",
        pixel_um=settings["voxel_nm"][1] / 1000,
        variant="",
        config=f"{NAME}.config.json",
        dataset="FIB-25 training sample 2, sections 0-149",
        licence=_LICENSE,
        command=command(settings),
        thumbnail=f"{NAME}.png",
        scores=dict(scores),
    )


def _begun_with(run: Path, store: Path) -> dict[str, Any]:
    """Settings of the stored network, if the run began with it; those that it had before, if it is
    stored again."""
    settings = json.loads((run / SETTINGS_FILE).read_text("utf-8"))
    if not settings.get("begun_with"):
        return {}
    stored = json.loads((store / f"{NAME}.config.json").read_text("utf-8"))
    if file_sha256(store / f"{NAME}.h5") == settings["begun_with"]:
        return stored
    if stored.get("begun_with") == settings["begun_with"] and "first" in stored:
        return stored["first"]
    raise UserError(
        f"{run}: began with a network of SHA-256 {settings['begun_with']}, which is not the one "
        f"in {store}; what trained that one would not be told. Put it there first."
    )


def command(settings: Mapping[str, Any], out: str = "RUN") -> str:
    """The command that trained a network of these settings, or both, if it began with another."""
    patch, widths = (" ".join(map(str, settings[name])) for name in ("patch", "widths"))
    precision = settings["precision"].removeprefix("mixed_")
    severity, names = settings.get("severity", "mild"), settings["augmentations"]
    without = [name for name in AUGMENTATIONS if name not in names]
    words = [
        f"sebre neurites train fib25_sample2.npz --out {out} --sections 0:150 --check 152:168",
        f"--steps {settings['steps']} --stop-at {settings['steps_seen']} --patch {patch} --widths",
        f"{widths} --defects {severity}",
        *([f"--without {' '.join(without)}"] if without else []),
        f"--learning-rate {settings['learning_rate']:g}",
        f"--precision {precision} --seed {settings['seed']}",
    ]
    if "first" not in settings:
        return " ".join(words)
    begun = command(settings["first"], "FIRST")
    return f"{begun}; {' '.join([*words, '--begin-with FIRST'])}"


def _test_scores(record: Mapping[str, Any]) -> dict[str, float]:
    """Variation of information on the test sections, by method."""
    return {
        f"vi_{row['method']}": row["vi"]
        for row in record["rows"]
        if row["volume"] == "sample2 170-209" and row["network"] == NAME
    }


def draw(network: Any, data: Path) -> np.ndarray:
    """A part of a test section with its segments in colors, uint8 [h, w, 3]."""
    volume = open_volume(data / "fib25_sample2.npz").sections(*_SHOWN)
    raw = volume.raw[:, :_SIDE_PX, :_SIDE_PX]
    found = segment(network, raw, Decoding.of(network, "watershed"), MemoryStore())
    middle = len(raw) // 2
    return tinted(raw[middle], found[middle])


def card(
    entry: Mapping[str, Any],
    record: Mapping[str, Any],
    settings: Mapping[str, Any],
    parameters: int,
) -> str:
    """The model card."""
    lines = [
        "| test | method | VI | VI split | VI merge | adapted Rand error |",
        "|---|---|---|---|---|---|",
    ]
    for row in record["rows"]:
        values = (row[key] for key in ("vi", "vi_split", "vi_merge", "rand_error"))
        cells = " | ".join(f"{value:.3f}" for value in values)
        how = ", bad sections kept" if row["network"] == KEPT else ""
        lines.append(f"| {row['volume']} | {row['method']}{how} | {cells} |")
    text = files("sebre.neurites").joinpath("model_card.md").read_text(encoding="utf-8")
    return text.format(
        **{key: entry[key] for key in ("file", "sha256", "config", "command", "licence")},
        megabytes=entry["bytes"] / 1e6,
        parameters=parameters,
        steps=settings["steps_seen"],
        first_steps=settings.get("first", {}).get("steps_seen", 0),
        patch=" x ".join(map(str, settings["patch"])),
        thresholds=", ".join(f"{k} {v:g}" for k, v in settings["thresholds"].items()),
        table="\n".join(lines),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line and release."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the training")
    parser.add_argument("--store", type=Path, required=True, help="folder of the manifest")
    parser.add_argument("--scores", type=Path, help="JSON file of the scores of what is stored")
    parser.add_argument("--data", type=Path, help="folder of the volumes; with --scores")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if (args.scores is None) != (args.data is None):
        parser.error("--scores and --data belong together")
    if args.scores is None:
        store_network(args.run, args.store)
    else:
        add_scores(args.run, args.store, args.scores, args.data)


if __name__ == "__main__":
    run_module(main)
