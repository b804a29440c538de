"""Scans seen by networks of three planes, whose mean counts: view aggregation, as QuickNAT has it.

    python -m sebre.trials.plane_views ibsr --raw RAW --dataset DIR --out FILE.json
        --views horizontal=W1 coronal=W2 sagittal=W3

The networks are of `sebre train ... --network quicknat` (or another that labels pixels), each on
the same scans, prepared in its plane. Test sections are those of DIR; they are told apart by their
pixels, and each gets what the planes say of its scan together. Source of the weights of the planes:
Roy et al. 2019, "view aggregation". A sagittal slice does not tell left from right, so what its
network says of either side counts for both, as in the authors' code.
"""

import argparse
import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import MissingFileError, UserError
from mrcnn.structures.resampling import resize
from sebre.data.csv_tables import read_table
from sebre.data.dataset import SectionDataset
from sebre.data.listing import some
from sebre.data.metadata import read_facts
from sebre.evaluation.evaluate import demand_result_path, evaluate
from sebre.experiments import EXPERIMENTS
from sebre.networks.segmenter import load_segmenter
from sebre.networks.unet import UNetSegmenter, result_of_labels
from sebre.networks.weights_store import WeightsFile
from sebre.predict.scans import LEAST_SHARE, on_slice
from sebre.prepare.volume import PLANES, Volume, read_volume, section, to_8_bit
from sebre.program import run_module
from sebre.trials.known_sections import names_by_pixels, pixel_digest
from sebre.trials.trial_files import joined_weights, save_scores

_ONE_SIDED = "sagittal"
SHARES = {"horizontal": 0.4, "coronal": 0.4, _ONE_SIDED: 0.2}
_MODULE = "sebre.trials.plane_views"
_TESTED = "val"
_PATTERN = "{scan}_SS.nii.gz"  # of malc2012

logger = logging.getLogger(__name__)


class ViewsSegmenter:
    """Networks of several planes as one, for the sections of a prepared data set.

    Args:
        views: by plane.
        dataset: prepared; its sections are slices of the scans.
        root: its folder; sections.csv says of which scan each is, and which slice.
        scans: files by the name of the scan.
    """

    def __init__(
        self,
        views: Mapping[str, UNetSegmenter],
        dataset: SectionDataset,
        root: Path,
        scans: Mapping[str, Path],
    ):
        self.views, self.scans = views, scans
        first = next(iter(views.values()))
        self.config, self.weights, self.regions = first.config, _weights_of(views), dataset.regions
        self.network = f"{first.network}, {len(views)} planes"
        self.plane = read_facts(root).record["plane"]
        rows = {
            f"{row['subset']}/{row['section']}": (row["scan"], int(row["slice"]))
            for row in read_table(
                root / "sections.csv",
                ("subset", "section", "scan", "slice"),
                "Prepare the data set again, of volumes.",
            )
        }
        self._places = {pixels: rows[name] for pixels, name in names_by_pixels(dataset).items()}
        self._last: tuple[str, np.ndarray, Volume] | None = None

    def detect(self, images: Sequence[Any], masks: str = "full") -> list[dict[str, Any]]:
        """As `UNetSegmenter.detect`, of sections of the data set.

        Raises:
            UserError: a picture that is none of its sections.
        """
        return [self._detect(np.asarray(image), masks) for image in images]

    def _detect(self, image: np.ndarray, form: str) -> dict[str, Any]:
        place = self._places.get(pixel_digest(image))
        if place is None:
            raise UserError(
                "A picture that is no section of the data set, as it was prepared; several planes "
                "can only be asked about whole scans."
            )
        scan, index = place
        if self._last is None or self._last[0] != scan:
            volume = read_volume(self.scans[scan])
            shown = replace(volume, data=to_8_bit(volume.data.astype(np.float32)))
            logger.info("%s: seen in %s slices.", scan, ", ".join(self.views))
            self._last = scan, mean_views(self.views, shown), shown
        _, found, volume = self._last
        planes = [
            section(replace(volume, data=of_class), self.plane, index, order=1)
            for of_class in found
        ]
        stack = np.stack(planes, axis=-1)
        if stack.shape[:2] != image.shape[:2]:
            raise UserError(
                f"{self.scans[scan]}: slices of {stack.shape[0]} x {stack.shape[1]} px, but the "
                f"sections of the data set have {image.shape[0]} x {image.shape[1]}. Give the "
                "scans that they were cut from."
            )
        labels = stack.argmax(-1).astype(np.uint16)
        first = next(iter(self.views.values()))
        speck = getattr(first.config, first.speck)
        classes = len(self.regions) + 1
        return result_of_labels(labels, stack.max(-1), image.shape, classes, form, speck)


def mean_views(views: Mapping[str, UNetSegmenter], volume: Volume) -> np.ndarray:
    """What networks of several planes say of a scan, weighed by `SHARES`.

    Args:
        views: by plane.
        volume: of 8 bits, [X, Y, Z].

    Returns:
        float32 [classes, X, Y, Z], which sum to 1; the background where no slice was looked at. The
        regions that a network calls a pair of sides (SIDE_PAIRS) get what it says of both of them
        in sagittal slices.
    """
    classes = next(iter(views.values())).config.NUM_CLASSES
    total = np.zeros((classes, *volume.data.shape), np.float32)
    for plane, segmenter in views.items():
        axis = PLANES[plane]
        for index in range(volume.data.shape[axis]):
            place: list[Any] = [slice(None)] * 3
            place[axis] = index
            voxels = volume.data[tuple(place)]
            where = (slice(None), *place)
            if np.count_nonzero(voxels) <= LEAST_SHARE * voxels.size:
                total[(0, *place)] += SHARES[plane]
                continue
            picture = np.ascontiguousarray(section(volume, plane, index, order=1))
            seen = segmenter.probabilities(np.repeat(picture[..., None], 3, axis=-1))
            if plane == _ONE_SIDED:
                seen = _of_both_sides(seen, segmenter)
            total[where] += SHARES[plane] * np.stack(
                [
                    on_slice(resize(seen[..., k], picture.shape, mode="edge"), voxels.shape)
                    for k in range(classes)
                ]
            )
    return total / total.sum(axis=0)


def _of_both_sides(seen: np.ndarray, segmenter: UNetSegmenter) -> np.ndarray:
    """Probabilities [H, W, classes] in which both regions of a pair have the sum of the two."""
    seen = seen.copy()
    for pair in getattr(segmenter.config, "SIDE_PAIRS", None) or ():
        seen[..., list(pair)] = seen[..., list(pair)].sum(axis=-1, keepdims=True)
    return seen


def _weights_of(views: Mapping[str, UNetSegmenter]) -> WeightsFile | None:
    """The weights of all planes as one entry of a record."""
    files = [segmenter.weights for segmenter in views.values()]
    return None if None in files else joined_weights(files, list(views))


def score_views(
    experiment: str,
    raw: str | Path,
    root: str | Path,
    views: Mapping[str, str | Path],
    out: str | Path,
    command: str = "",
    pattern: str = _PATTERN,
) -> int:
    """Score networks of several planes together on the test sections of a prepared data set.

    Returns the exit code.

    Args:
        experiment: its name.
        raw: folder of the scans.
        root: folder of the data set.
        views: weights by plane.
        out: JSON file to write.
        command: for the record.
        pattern: of the files of the scans; {scan} stands for the name in sections.csv.
    """
    known, root = EXPERIMENTS[experiment], Path(root)
    demand_result_path(out)
    dataset = known.load(root, _TESTED)
    _demand_other_people(root)
    segmenters = {}
    for plane, weights in views.items():
        if plane not in SHARES:
            raise UserError(f"{plane}: no plane; wanted {', '.join(SHARES)}.")
        segmenter = load_segmenter(weights, known)
        if not isinstance(segmenter, UNetSegmenter):
            raise UserError(f"{weights}: a {segmenter.network}; wanted a network of pixels.")
        segmenters[plane] = segmenter
    segmenter = ViewsSegmenter(segmenters, dataset, root, _scans(root, Path(raw), pattern))
    facts = {"command": command} if command else {}
    record = evaluate(segmenter, dataset, experiment, root, facts=facts, draws=0)
    return save_scores(record, out)


def _demand_other_people(root: Path) -> None:
    """That no subject is in both parts: slices of the other planes hold voxels of all of them."""
    rows = read_table(root / "sections.csv", ("subset", "subject"), "Prepare the data set again.")
    tested, trained = (
        {row["subject"] for row in rows if (row["subset"] == _TESTED) == test}
        for test in (True, False)
    )
    if both := sorted(tested & trained):
        raise UserError(
            f"{root}: {some(both)} are in training and test, so slices of other planes show what "
            "is tested. Divide by subject (`sebre prepare ... --split subject`)."
        )


def _scans(root: Path, raw: Path, pattern: str) -> dict[str, Path]:
    rows = read_table(root / "sections.csv", ("subset", "scan"), "Prepare the data set again.")
    names = sorted({row["scan"] for row in rows if row["subset"] == _TESTED})
    found = {name: raw / pattern.format(scan=name) for name in names}
    if missing := next((path for path in found.values() if not path.is_file()), None):
        raise MissingFileError(f"{missing}: no such file. Give the folder of the scans (--raw).")
    return found


def _view(text: str) -> tuple[str, str]:
    plane, sign, weights = text.partition("=")
    if not sign or plane not in SHARES:
        raise argparse.ArgumentTypeError(f"{text!r}; wanted PLANE=WEIGHTS, of {', '.join(SHARES)}")
    return plane, weights


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments of the command line and score; returns the exit code."""
    argv = sys.argv[1:] if argv is None else [str(word) for word in argv]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--raw", type=Path, required=True, help="folder of the scans")
    parser.add_argument("--dataset", type=Path, required=True, help="prepared folder")
    parser.add_argument("--views", type=_view, nargs="+", required=True, metavar="PLANE=WEIGHTS")
    parser.add_argument("--pattern", default=_PATTERN, help=f"of their files ({_PATTERN})")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(argv)
    command = f"python -m {_MODULE} {shlex.join(argv)}"
    if len(dict(args.views)) < len(args.views):
        raise UserError("--views: a plane is given twice. Give one network for each.")
    asked = (args.experiment, args.raw, args.dataset, dict(args.views), args.out)
    return score_views(*asked, command, args.pattern)


if __name__ == "__main__":
    run_module(main)
