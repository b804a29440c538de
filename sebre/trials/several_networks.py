"""Several networks, or one that looks at a section at several angles, whose agreement counts.

    python -m sebre.trials.several_networks EXPERIMENT --dataset DIR --weights NAME [NAME ...]
        [--turns DEGREES [DEGREES ...]] [--mirrored] --out FILE.json

Each pixel goes to a region where the mean of its masks, weighed by their scores, is one half or
more. The score of a region is the mean over all looks, 0 for those that did not find it. Results
are records as of `sebre evaluate`.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.errors import UserError
from mrcnn.structures.mask_formats import demand_format, mask_to_contours, mask_to_rle
from mrcnn.structures.masks import extract_bboxes
from sebre.evaluation.angles import default_angles
from sebre.evaluation.evaluate import demand_result_path, evaluate
from sebre.experiments import EXPERIMENTS
from sebre.networks.segmenter import Segmenter, best_per_region, count_parameters, load_segmenter
from sebre.program import run_module
from sebre.trials.trial_files import joined_weights, save_scores
from sebre.trust.turned import View

_MODULE = "sebre.trials.several_networks"
_LEAST_SCORE = 0.3  # of a region that counts; that of the small networks


class Agreement:
    """Networks that look at a section in several ways, as one `sebre.networks.segmenter.Segmenter`.

    Args:
        segmenters: of the same regions.
        views: in which each of them looks at a section.
        least_score: of a region that counts.
    """

    def __init__(
        self,
        segmenters: Sequence[Segmenter],
        views: Sequence[View] = (View(),),
        least_score: float = _LEAST_SCORE,
    ):
        names = [list(segmenter.regions.names) for segmenter in segmenters]
        if any(own != names[0] for own in names):
            raise UserError(
                f"The networks find different regions ({' | '.join(map(', '.join, names))}); give "
                "networks of the same."
            )
        self.segmenters, self.views, self.least_score = segmenters, tuple(views), least_score
        self.config, self.regions = segmenters[0].config, segmenters[0].regions
        files = [segmenter.weights for segmenter in segmenters]
        self.weights = files[0] if len(files) == 1 else joined_weights(files)
        kinds = dict.fromkeys(segmenter.network for segmenter in segmenters)
        self.network = f"{' and '.join(kinds)}, {len(segmenters) * len(self.views)} looks"
        sizes = [count_parameters(segmenter) for segmenter in segmenters]
        self.parameters = None if None in sizes else sum(sizes)

    def detect(self, images: Sequence[np.ndarray], masks: str = "full") -> list[dict[str, Any]]:
        """As `MaskRCNN.detect`, of images uint8 [H, W, 3]: one row for each region that is found,
        the surest first."""
        demand_format(masks)
        return [self._detect(np.asarray(image), masks) for image in images]

    def _detect(self, image: np.ndarray, form: str) -> dict[str, Any]:
        votes: dict[int, _Votes] = {}
        for view in self.views:
            seen = view.of(image)
            for segmenter in self.segmenters:
                result = segmenter.detect([seen])[0]
                for class_id, row in best_per_region(result).items():
                    own = votes.setdefault(class_id, _Votes(np.zeros(image.shape[:2], np.float32)))
                    mask = result["masks"][..., row].astype(np.float32)
                    own.add(view.back(mask, image.shape), float(result["scores"][row]))
        looks = len(self.views) * len(self.segmenters)
        found = [(own.score / looks, i, own.mask) for i, own in votes.items()]
        found = [one for one in found if one[0] >= self.least_score and one[2].any()]
        found.sort(key=lambda one: (-one[0], one[1]))
        shapes = [mask for _, _, mask in found]
        stack = np.stack(shapes, axis=-1) if shapes else np.zeros((*image.shape[:2], 0), bool)
        other = {"rle": mask_to_rle, "contours": mask_to_contours}
        return {
            "rois": extract_bboxes(stack),
            "class_ids": np.array([class_id for _, class_id, _ in found], np.int32),
            "scores": np.array([score for score, _, _ in found], np.float32),
            "masks": stack if form == "full" else [other[form](mask) for mask in shapes],
        }


@dataclass
class _Votes:
    """What was said of one region: masks weighed by scores, float32 [H, W], and their sum."""

    weighed: np.ndarray
    score: float = 0.0

    def add(self, mask: np.ndarray, score: float) -> None:
        """Count the mask of one look, 0..1."""
        self.weighed += score * mask
        self.score += score

    @property
    def mask(self) -> np.ndarray:
        """Where half of those that found it agree, bool [H, W]."""
        return self.weighed >= self.score / 2


def views_of(turns: Sequence[float], mirrored: bool = False) -> list[View]:
    """Views at some angles in degrees, and at the same again mirrored."""
    sides = (False, True) if mirrored else (False,)
    return [View(angle, side) for side in sides for angle in turns]


def main(argv: Sequence[str] | None = None) -> int:
    """Read the arguments of the command line and score; returns the exit code."""
    argv = sys.argv[1:] if argv is None else [str(word) for word in argv]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--dataset", type=Path, required=True, help="prepared folder")
    parser.add_argument("--weights", nargs="+", required=True, help="names or files")
    parser.add_argument("--turns", type=float, nargs="+", default=[0.0], help="degrees")
    parser.add_argument("--mirrored", action="store_true", help="look at it mirrored as well")
    parser.add_argument("--angles", action="store_true", help="score turned sections as well")
    parser.add_argument("--angle-sections", type=int, help="of these, at most")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(argv)
    demand_result_path(args.out)
    experiment = EXPERIMENTS[args.experiment]
    if args.mirrored and not experiment.turn.flip:
        raise UserError(
            f"--mirrored: the regions of {experiment.name} tell left from right, and a mirrored "
            "section has them the other way round. Leave it out."
        )
    dataset = experiment.load(args.dataset, "val")
    segmenters = [load_segmenter(weights, experiment) for weights in args.weights]
    record = evaluate(
        Agreement(segmenters, views_of(args.turns, args.mirrored)),
        dataset,
        experiment.name,
        args.dataset,
        facts={"command": f"python -m {_MODULE} {shlex.join(argv)}"},
        draws=0,
        angles=default_angles(experiment.turn) if args.angles else None,
        angle_sections=args.angle_sections,
    )
    return save_scores(record, args.out)


if __name__ == "__main__":
    run_module(main)
