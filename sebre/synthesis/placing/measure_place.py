"""Error bars, scores and the file of the network that says where a section lies.

    python -m sebre.synthesis.placing.measure_place --run DIR --data DIR --store DIR --results DIR

The error bars are fitted on synthetic sections of some brains that the network did not learn from.
It is scored on those of others, and on real sections with known planes, which nothing is chosen by.
"""

import argparse
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mrcnn.io.files import file_sha256, replace_text
from mrcnn.io.own_files import replace_own, replace_own_text
from sebre.data.csv_tables import read_table
from sebre.data.regions import ANY_SECTION
from sebre.networks.environment import environment
from sebre.networks.segmenter import load_segmenter
from sebre.networks.weights_store import add_to_entry, find_weights
from sebre.place.brain_atlas import make_atlas
from sebre.place.error_bars import SIGNS, ErrorBar, fit_error_bar, signs_of
from sebre.place.place_network import WIDTH
from sebre.place.placer import Placer, age_of_views
from sebre.program import run_module
from sebre.synthesis.curriculum import EASY, HARD
from sebre.synthesis.labeled_volume import Volume
from sebre.synthesis.placing.common_frame import CommonFrame, Reference
from sebre.synthesis.placing.known_places import KnownPlace, known_place, real_places
from sebre.synthesis.placing.placed_sections import PlacedSection, placed_sections
from sebre.synthesis.sources import read_volumes

logger = logging.getLogger(__name__)

# Brains that the network does not learn from: the error bars are of these, the scores of others.
FITTED_ON = (
    "demba_P28",
    "tg4510_tp3_4_20130521_WT",
    "tg4510_tp3_5_20130521_UT",
    "tg4510_tp3_14_20130524_UT",
)
_SECTIONS = 100  # of each recipe
_SEEDS = {"fit": 2_000_003, "test": 3_000_017}
_RECIPES = {"easy": EASY, "hard": HARD}
_LEAST_DEG, _LEAST_MM = 2.0, 0.1  # smallest error bars
_CARD_BEGINS = "## Where a section lies"
_NEAR_DEG = 30.0  # from a named plane: for the share of those named rightly


def measured(
    placer: Placer,
    volumes: Sequence[Volume],
    frames: Mapping[str, CommonFrame],
    seed: int,
    count: int = _SECTIONS,
) -> Iterator[dict[str, Any]]:
    """Errors and their signs on synthetic sections.

    Args:
        placer: to measure; of its error bars nothing is asked.
        volumes: to cut.
        frames: of each, by name.
        seed: of the stream.
        count: of sections of each recipe.
    """
    for recipe, how in _RECIPES.items():
        for placed in islice(placed_sections(volumes, frames, seed, recipe=how), count):
            row = _row(placer, 255 * placed.section.picture, known_place(placed))
            if row is not None:
                yield row | {"recipe": recipe, "age": np.log(placed.age_days), **_about(placed)}


def _about(placed: PlacedSection) -> dict[str, Any]:
    return {"source": placed.section.volume, "cut": placed.section.plane.name}


def _row(placer: Placer, picture: np.ndarray, known: KnownPlace) -> dict[str, Any] | None:
    """One section; None where no plane was found."""
    cells = placer.cells(picture)
    plane = cells.plane()
    if plane is None:
        return None
    found = placer.tell(cells, plane, picture.shape)
    center = (np.linalg.inv(cells.frame.to_square()) @ [*plane.center, 1])[:2]
    said, spread = age_of_views(cells)
    return {
        "plane": known.plane,
        "tilt": float(np.degrees(np.arccos(min(1.0, np.abs(known.normal).max())))),
        "found": found.plane,
        "sure": found.sure,
        "angle": known.angle_error(found),
        "position": known.position_error(found, center),
        "turn": known.turn_error(found),
        "angle_bar": found.angle_error_deg,
        "position_bar": found.position_error_mm,
        "signs": signs_of(cells, plane),
        "said_age": said,
        "age_spread": spread,
        "text": found.text(),
    }


def fit_bars(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Arrays of the error bars for the file, from rows of `measured`."""
    signs = np.array([row["signs"] for row in rows])
    angles, positions = (np.array([row[key] for row in rows]) for key in ("angle", "position"))
    ages = [abs(row["said_age"] - row["age"]) / row["age_spread"] for row in rows]
    return {
        "angle_bar": fit_error_bar(signs, angles, _LEAST_DEG).to_array(),
        "position_bar": fit_error_bar(signs, positions, _LEAST_MM).to_array(),
        "age_bar": np.array(np.quantile(ages, 0.9)),
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Errors, shares within the bars, and shares named rightly, as plain JSON."""
    record: dict[str, Any] = {"n": len(rows)}
    near = [row for row in rows if row["tilt"] <= _NEAR_DEG]
    record["n_near_a_named_plane"] = len(near)
    if near:
        right = float(np.mean([row["plane"] == row["found"] for row in near]))
        record["named_rightly"] = round(right, 4)
    record["sure"] = round(float(np.mean([row["sure"] for row in rows])), 4)
    for key, unit in (("angle", "deg"), ("position", "mm")):
        pairs = np.array([(r[key], r[f"{key}_bar"]) for r in rows if r[key] is not None])
        if len(pairs):
            record[f"{key}_{unit}"] = {
                "n": len(pairs),
                "median": round(float(np.median(pairs[:, 0])), 3),
                "within_90_percent": round(float(np.quantile(pairs[:, 0], 0.9)), 3),
                "median_bar": round(float(np.median(pairs[:, 1])), 3),
                "inside_bar": round(float(np.mean(pairs[:, 0] <= pairs[:, 1])), 3),
            }
    turns = [row["turn"] for row in rows if row["turn"] is not None]
    if turns:
        record["turn_deg_median"] = round(float(np.median(turns)), 2)
    return record


def _ages(rows: Sequence[Mapping[str, Any]], bar: float) -> dict[str, Any]:
    """Errors of the age, by brain."""
    record = {}
    for source in sorted({row["source"] for row in rows}):
        own = [row for row in rows if row["source"] == source]
        said = [float(np.exp(row["said_age"])) for row in own]
        inside = [abs(r["said_age"] - r["age"]) <= bar * r["age_spread"] for r in own]
        record[source] = {
            "n": len(own),
            "true_days": round(float(np.exp(own[0]["age"])), 1),
            "median_days": round(float(np.median(said)), 1),
            "inside_bar": round(float(np.mean(inside)), 3),
        }
    return record


def score(
    placer: Placer, data: Path, volumes: Sequence[Volume], frames: Mapping[str, CommonFrame]
) -> dict[str, Any]:
    """Scores on synthetic sections of volumes that nothing was fitted on, and on real sections."""
    rows = list(measured(placer, volumes, frames, _SEEDS["test"]))
    record: dict[str, Any] = {"synthetic": {"all": summary(rows)}}
    for key in ("recipe", "plane", "source"):
        for value in sorted({row[key] for row in rows}):
            part = [row for row in rows if row[key] == value]
            record["synthetic"][f"{key} {value}"] = summary(part)
    record["age"] = _ages(rows, placer.age_bar)
    real = []
    for section in real_places(data):
        row = _row(placer, section.picture, section.known)
        if row is not None:
            real.append(row | {"source": section.source, "image": section.image})
    record["real"] = {
        source: summary([row for row in real if row["source"] == source])
        for source in sorted({row["source"] for row in real})
    }
    anchored = [row for row in real if row["turn"] is not None]
    record["real"]["all with a registered plane"] = summary(anchored)
    keys = ("image", "plane", "found", "angle", "angle_bar", "position", "position_bar", "text")
    record["sections"] = [
        {k: round(row[k], 2) if isinstance(row[k], float) else row[k] for k in keys} for row in real
    ]
    return record


def make_arrays(reference: Reference, head: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of a place file, with error bars that say nothing yet."""
    paths = {number: one.path for number, one in reference.tree.items()}
    atlas = make_atlas(reference.labels, reference.voxel_mm, paths)
    nothing = ErrorBar(np.zeros(len(SIGNS) + 1), 1.0, 0.0).to_array()
    weights = find_weights(ANY_SECTION.name)
    return {
        **head,
        **atlas.to_arrays(),
        "width": np.array(WIDTH),
        "weights_sha256": np.array(weights.sha256),
        "angle_bar": nothing,
        "position_bar": nothing,
        "age_bar": np.array(1.0),
    }


def release(run: Path, data: Path, store: Path, results: Path) -> dict[str, Any]:
    """Fit the error bars, score, and write the place file, its entry and the record.

    Args:
        run: folder that `sebre.synthesis.placing.learn_place` wrote to.
        data: folder of the collections.
        store: folder of the manifest, with the network of any section.
        results: folder of stored scores.
    """
    settings = json.loads((run / "settings.json").read_text("utf-8"))
    reference = Reference.read(data)
    held_out = set(settings["held_out"])
    volumes = [v for v in read_volumes(data) if v.name in held_out]
    frames = {volume.name: reference.frame_of(volume) for volume in volumes}
    segmenter = load_segmenter(ANY_SECTION.name)
    with np.load(run / "last.npz") as file:
        arrays = make_arrays(reference, dict(file))
    fitted = [volume for volume in volumes if volume.name in FITTED_ON]
    rows = list(measured(Placer(segmenter, arrays), fitted, frames, _SEEDS["fit"]))
    arrays |= fit_bars(rows)
    placer = Placer(segmenter, arrays)
    file_name = f"{ANY_SECTION.name}.place.npz"
    write_place_file(store / file_name, arrays)
    others = [volume for volume in volumes if volume.name not in FITTED_ON]
    record = {
        "command": "python -m sebre.synthesis.placing.measure_place --run DIR --data DATA "
        "--store weights --results results/synthesis",
        "weights_sha256": segmenter.weights.sha256,
        "place_sha256": file_sha256(store / file_name),
        "training": settings | {"sections_seen": _seen(run)},
        "seeds": _SEEDS,
        "fitted_on": {"brains": [v.name for v in fitted], "n": len(rows)},
        "scored_on": [v.name for v in others],
        "misfit_of_landmarks_mm": {n: round(f.misfit_mm, 3) for n, f in frames.items()},
        **score(placer, data, others, frames),
        "environment": environment(),
    }
    text = json.dumps(record, indent=1) + "\n"
    replace_own_text(results / "place.json", text, known=lambda _: True)
    place = {"file": file_name, "sha256": record["place_sha256"]}
    add_to_entry(ANY_SECTION.name, store, place=place)
    path = store / f"{ANY_SECTION.name}.md"
    kept = path.read_text("utf-8").partition(_CARD_BEGINS)[0].rstrip()
    weights = sum(int(array.size) for name, array in arrays.items() if "." in name)
    text = card_part(record, store / file_name, weights)
    replace_text(path, f"{kept}\n\n{text}")
    return record


def write_place_file(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays of a place file, in the place of an earlier one."""

    def write(part: Path) -> None:
        with part.open("wb") as file:  # a name without .npz would be given one
            np.savez_compressed(file, **arrays)

    replace_own(path, write, known=lambda _: True)


def card_part(record: Mapping[str, Any], file: Path, weights: int) -> str:
    """What the card of the network of any section says of the place file.

    Args:
        record: of `release`.
        file: the place file.
        weights: of the head, how many.
    """
    rows = ["| | n | angle, degrees | n | position, mm |", "|---|---|---|---|---|"]
    for kind, names in (("synthetic", ("recipe easy", "recipe hard")), ("real", record["real"])):
        for name in names:
            part = record[kind][name]
            cells = []
            for key in ("angle_deg", "position_mm"):
                one = part.get(key)
                cells += (
                    ["0", "-"]
                    if one is None
                    else [
                        str(one["n"]),
                        f"{one['median']:.2f} ({one['inside_bar']:.2f})",
                    ]
                )
            rows.append(f"| {kind}, {name.removeprefix('recipe ')} | {' | '.join(cells)} |")
    text = files("sebre.synthesis.placing").joinpath("place_card.md").read_text(encoding="utf-8")
    return text.format(
        file=file.name,
        megabytes=file.stat().st_size / 1e6,
        sha256=record["place_sha256"],
        parameters=weights,
        sections=int(record["training"]["sections_seen"]),
        before=", from an earlier head on" if record["training"].get("began_with") else "",
        held_out=", ".join(record["training"]["held_out"]),
        n_fitted=record["fitted_on"]["n"],
        fitted_on=", ".join(record["fitted_on"]["brains"]),
        table="\n".join(rows),
    )


def _seen(run: Path) -> int:
    """New sections of the training, by its log."""
    return int(read_table(run / "log.csv", ("sections",))[-1]["sections"])


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line and release."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the training")
    parser.add_argument("--data", type=Path, required=True, help="folder of the collections")
    parser.add_argument("--store", type=Path, required=True, help="folder of the manifest")
    parser.add_argument("--results", type=Path, required=True, help="folder of stored scores")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    cv2.setNumThreads(1)
    record = release(args.run, args.data, args.store, args.results)
    logger.info("%s", json.dumps({k: record[k] for k in ("synthetic", "real")}, indent=1))


if __name__ == "__main__":
    run_module(main)
