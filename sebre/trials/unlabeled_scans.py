"""Where predicted caudate and putamen lie in scans of IBSR 18 that have tissue classes only.

    python -m sebre.trials.unlabeled_scans --raw raw/ibsr18_t1 --out ibsr18_t1.json

Both structures are gray matter, so most of what a network finds must be of that class. Scans of
other machines, people and voxel sizes than those that it learned from; nobody drew regions there.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import MissingFileError, UserError
from sebre.data.listing import visible
from sebre.experiments import EXPERIMENTS
from sebre.networks.environment import environment
from sebre.networks.segmenter import Segmenter, best_per_region, load_segmenter
from sebre.prepare.volume import (
    Volume,
    frame_about,
    grid_difference,
    pixel_size_um,
    read_volume,
    section,
    slice_spacing_um,
    to_8_bit,
    to_labels,
)
from sebre.program import run_module
from sebre.trials.trial_files import demand_trial_path, save_trial

GRAY = 2  # the tissue class; 1 is fluid, 3 white matter
PLANE = "horizontal"
FRAME_MM = (160, 197, 164)  # that of the scans of malc2012: brains fill as much of the picture
STEP = 4  # of sections, one is taken
_STRUCTURES = ("caudate", "putamen")  # gray as a whole


def score_scan(
    segmenter: Segmenter, image: Volume, classes: Volume | None, step: int = STEP
) -> dict[str, Any]:
    """What a network finds in the horizontal sections of a scan.

    Args:
        segmenter: of the experiment `ibsr`.
        image: the scan, above 0 in the brain.
        classes: of its tissue, on the same grid; None if there are none.
        step: one of so many sections is taken.

    Returns:
        By region `ml`, its volume; with classes also `gray`, the share of it that is gray matter,
        of caudate and putamen, and `gray_of_brain`, that of all brain in the sections where one of
        them was found.
    """
    frame = [round(mm / side) for mm, side in zip(FRAME_MM, image.voxel_mm, strict=True)]
    kept = frame_about(image.data > 0, frame)
    gray8 = Volume(to_8_bit(image.data.astype(np.float32))[kept], image.voxel_mm)
    tissue = Volume(classes.data[kept], classes.voxel_mm) if classes else None
    names = segmenter.regions.names
    found = dict.fromkeys(names, 0)
    gray, inside, brain = dict.fromkeys(names, 0), dict.fromkeys(names, 0), np.zeros(2, int)
    for index in range(0, gray8.data.shape[2], step):
        picture = np.repeat(section(gray8, PLANE, index, order=1)[..., None], 3, axis=-1)
        result = segmenter.detect([np.ascontiguousarray(picture)])[0]
        best = best_per_region(result)
        drawn = section(tissue, PLANE, index, order=0) if tissue else None
        hit = False
        for class_id, row in best.items():
            name, mask = segmenter.regions[class_id].name, result["masks"][..., row]
            found[name] += int(mask.sum())
            if drawn is not None and name.endswith(_STRUCTURES):
                gray[name] += int((drawn[mask] == GRAY).sum())
                inside[name] += int(mask.sum())
                hit = True
        if hit:
            brain += (int((drawn == GRAY).sum()), int((drawn > 0).sum()))
    area_mm2 = (pixel_size_um(image, PLANE) / 1000) ** 2
    to_ml = area_mm2 * slice_spacing_um(image, PLANE) / 1000 * step / 1000
    record: dict[str, Any] = {"ml": {name: round(found[name] * to_ml, 3) for name in names}}
    if tissue is not None:
        shares = {n: gray[n] / inside[n] for n in names if inside[n]}
        record |= {"gray": shares, "gray_of_brain": float(brain[0] / max(1, brain[1]))}
    return record


def score_scans(segmenter: Segmenter, raw: Path) -> dict[str, Any]:
    """`score_scan` of every scan of a folder, by its name, as plain JSON values."""
    paths = [p for p in visible(raw, "IBSR_*.nii.gz") if not p.name.endswith("_seg.nii.gz")]
    if not paths:
        raise MissingFileError(f"{raw}: no IBSR_<nn>.nii.gz in it. Give the folder of the scans.")
    scans = {}
    for path in paths:
        name = path.name.removesuffix(".nii.gz")
        image, labels = read_volume(path), path.with_name(f"{name}_seg.nii.gz")
        classes = to_labels(read_volume(labels), labels) if labels.is_file() else None
        if classes and (difference := grid_difference(classes, image)):
            raise UserError(f"{labels}: not on the grid of {path.name}: {difference}.")
        scans[name] = score_scan(segmenter, image, classes)
    return scans


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line, score, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--raw", type=Path, required=True, help="folder of the scans")
    parser.add_argument("--weights", default="ibsr", help="of the experiment ibsr")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(argv)
    demand_trial_path(args.out)
    start = time.perf_counter()
    segmenter = load_segmenter(args.weights, EXPERIMENTS["ibsr"])
    command = f"python -m sebre.trials.unlabeled_scans --raw RAW --weights {args.weights}"
    record = {
        "trial": "unlabeled scans",
        "command": f"{command} --out {args.out}",
        "experiment": "ibsr",
        "dataset": "ibsr18_t1",
        "split": "no person is in training; no labels of the regions",
        "weights": segmenter.weights.name or segmenter.weights.path.name,
        "weights_sha256": segmenter.weights.sha256,
        "detection_min_confidence": getattr(segmenter.config, "DETECTION_MIN_CONFIDENCE", None),
        "plane": PLANE,
        "step": STEP,
        "scans": score_scans(segmenter, args.raw),
        "environment": environment(),
        "seconds": round(time.perf_counter() - start, 1),
    }
    save_trial(record, args.out)


if __name__ == "__main__":
    run_module(main)
