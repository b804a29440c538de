"""`Stages`: every intermediate of one detection, named."""

from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from mrcnn.errors import UserError
from mrcnn.io.files import replace_file

_FEATURE_PREFIX = "feature_maps."


@dataclass(frozen=True)
class Stages:
    """What the network computed for one image, stage by stage (paper, Fig. 2).

    Boxes are (y1, x1, y2, x2), normalized by the molded image's shape. A anchors, K of
    them before non-maximum suppression, N kept, P proposals, C classes, D detections.
    """

    image: np.ndarray  # [H, W, 3] input
    molded_image: np.ndarray  # [h, w, 3] resized, padded, mean subtracted
    window: np.ndarray  # int32 [4] px, the image inside the molded image
    anchors: np.ndarray  # [A, 4]
    rpn_class: np.ndarray  # [A, 2] probabilities: background, foreground
    rpn_bbox: np.ndarray  # [A, 4] deltas
    pre_nms_scores: np.ndarray  # [K] foreground, best first
    pre_nms_anchors: np.ndarray  # [K, 4]
    refined_anchors: np.ndarray  # [K, 4] after the deltas
    refined_anchors_clipped: np.ndarray  # [K, 4]
    post_nms_indices: np.ndarray  # int32 [N] rows of the K kept, best first
    proposals: np.ndarray  # [P, 4] zero padded
    mrcnn_class: np.ndarray  # [P, C] probabilities
    mrcnn_bbox: np.ndarray  # [P, C, 4] deltas
    refined_proposals: np.ndarray  # [P, 4] class-specific deltas, clipped to the window
    detections: np.ndarray  # [D, 6] box, class, score; zero padded
    mrcnn_mask: np.ndarray  # [D, 28, 28, C] probabilities
    feature_maps: dict[str, np.ndarray] = field(default_factory=dict)  # C2..C5, P2..P6

    def save(self, path: str | Path) -> None:
        """Write all stages to one compressed `.npz`, atomically."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in arrays.pop("feature_maps").items():
            arrays[_FEATURE_PREFIX + name] = value

        def write(part: Path) -> None:
            with part.open("wb") as file:
                np.savez_compressed(file, **arrays)

        replace_file(path, write)

    @classmethod
    def load(cls, path: str | Path) -> "Stages":
        """Read what `save` wrote."""
        try:
            # NumPy would leave a damaged file that it opened itself to the garbage collector.
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            maps = {
                name.removeprefix(_FEATURE_PREFIX): arrays.pop(name)
                for name in list(arrays)
                if name.startswith(_FEATURE_PREFIX)
            }
            return cls(**arrays, feature_maps=maps)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise UserError(f"{path}: not a stages file ({error}).") from error
