"""How good segments are, beside drawn neurites.

Variation of information (Meila 2007) and adapted Rand error (SNEMI3D, Arganda-Carreras et al.
2015) are scikit-image's; lower is better. Its names for the parts of the latter mislead: its
"precision" falls with splits and its "recall" with mergers, when the truth comes first, as here.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import scipy.ndimage
from skimage.metrics import adapted_rand_error, variation_of_information

from mrcnn.errors import UserError
from sebre.neurites.affinity_graph import edge_ends, eroded

LEAST_VOXELS = 100  # of a drawn piece that is scored
_DEPTH = 3  # voxels from the border of a body, from which it counts for errors by number
_SUBSTANTIAL = 100  # such voxels of a body in a segment that count as an error
APART = (8, 8, 8)  # voxels between the ends of the pairs along z, y, x


@dataclass(frozen=True)
class SegmentScores:
    """Scores of one volume.

    Attributes:
        vi_split: variation of information by splits, bits.
        vi_merge: by mergers, bits.
        rand_error: adapted Rand error, 0..1.
        merge_errors: bodies that share a segment with another one, less one for each segment. Of
            each at least 100 voxels must be in it that lie 3 or more inside the body, so that a
            border a little beside the drawn one is no error.
        split_errors: segments that hold as much of a body, less one for each body.
        segments: in the scored part.
        bodies: drawn ones that are scored.
        joined: by axis, share of the pairs of voxels of two bodies, `APART` unless another
            distance is given, that one segment holds: mergers in this direction.
        parted: by axis, share of such pairs of one body that no segment holds: splits.
    """

    vi_split: float
    vi_merge: float
    rand_error: float
    merge_errors: int
    split_errors: int
    segments: int
    bodies: int
    joined: dict[str, float]
    parted: dict[str, float]

    @property
    def vi(self) -> float:
        """Variation of information, splits and mergers, bits."""
        return self.vi_split + self.vi_merge

    def facts(self) -> dict:
        """The scores in JSON types."""
        return {**asdict(self), "vi": self.vi}


def scored_bodies(labels: np.ndarray, least: int = LEAST_VOXELS, flat: bool = False) -> np.ndarray:
    """What is scored of a block of drawn neurites: connected pieces that are not too small.

    A body that leaves a block and comes back is two in it.

    Args:
        labels: integers [z, y, x]; 0 is no neurite.
        least: smaller pieces are not scored, voxels.
        flat: pieces are connected within sections only.

    Returns:
        int32 [z, y, x]: pieces from 1; 0 is not scored.
    """
    inner = pieces(labels, flat)
    large = np.bincount(inner.ravel(), minlength=1) >= least
    large[0] = False
    numbers = np.where(large, np.cumsum(large), 0).astype(np.int32)
    return numbers[inner]


def pieces(labels: np.ndarray, flat: bool = False) -> np.ndarray:
    """Connected pieces of a block, int32 [z, y, x] from 1; 0 stays 0.

    Segments of a whole volume are cut so before a block of them is scored, as `scored_bodies` cuts
    what is drawn: else what is joined outside of the block would count as a merger in it.

    Args:
        labels: integers [z, y, x].
        flat: pieces are connected within sections only.
    """
    inner = np.zeros(labels.shape, np.int32)
    count = 0
    structure = scipy.ndimage.generate_binary_structure(3, 1)
    if flat:
        structure[[0, 2]] = False
    drawn = _from_one(labels)
    for number, box in enumerate(scipy.ndimage.find_objects(drawn), start=1):
        if box is None:
            continue
        pieces, n = scipy.ndimage.label(drawn[box] == number, structure)
        inner[box] = np.where(pieces > 0, pieces + count, inner[box])
        count += n
    return inner


def _from_one(labels: np.ndarray) -> np.ndarray:
    ids, numbers = np.unique(labels, return_inverse=True)
    return numbers.reshape(labels.shape).astype(np.int32) + (ids[0] != 0)


def score_segments(
    bodies: np.ndarray, segments: np.ndarray, apart: Sequence[int] = APART
) -> SegmentScores:
    """Scores of segments.

    Args:
        bodies: integers [z, y, x], of `scored_bodies`; 0 is not scored.
        segments: integers, the same shape. 0 is a segment like any other.
        apart: voxels between the ends of the pairs along z, y, x.

    Raises:
        UserError: another shape, or nothing to score.
    """
    if bodies.shape != segments.shape:
        raise UserError(
            f"Segments are {segments.shape}, drawn neurites are {bodies.shape}; wanted the same "
            "shape, z, y, x in this order."
        )
    if not bodies.any():
        raise UserError("No neurite is drawn in what is to be scored; at least one is wanted.")
    error, _, _ = adapted_rand_error(bodies, segments, ignore_labels=(0,))
    split, merge = variation_of_information(bodies, segments, ignore_labels=(0,))
    large = _large_overlaps(bodies, segments)
    merge_errors = large.shape[1] - len(np.unique(large[1]))
    split_errors = large.shape[1] - len(np.unique(large[0]))
    along = {axis: _pairs(bodies, segments, k, apart[k]) for k, axis in enumerate("zyx")}
    return SegmentScores(
        vi_split=float(split),
        vi_merge=float(merge),
        rand_error=float(error),
        merge_errors=merge_errors,
        split_errors=split_errors,
        segments=len(np.unique(segments[bodies > 0])),
        bodies=len(np.unique(bodies[bodies > 0])),
        joined={axis: found[0] for axis, found in along.items()},
        parted={axis: found[1] for axis, found in along.items()},
    )


def _large_overlaps(bodies: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Bodies and segments that share a substantial part, [2, pairs]."""
    inner = bodies
    for _ in range(_DEPTH):
        inner = eroded(inner)
    counted = (inner > 0) & (segments > 0)
    pairs = np.stack([inner[counted], segments[counted]]).astype(np.int64)
    pairs, voxels = np.unique(pairs, axis=1, return_counts=True)
    return pairs[:, voxels >= _SUBSTANTIAL]


def _pairs(bodies: np.ndarray, segments: np.ndarray, axis: int, apart: int) -> tuple[float, float]:
    """Of pairs along an axis, share wrongly joined and share wrongly parted."""
    step = max(1, min(apart, bodies.shape[axis] - 1))
    own, other = edge_ends(bodies.shape, tuple(-step * (k == axis) for k in range(3)))
    counted = (bodies[own] > 0) & (bodies[other] > 0)
    same = (bodies[own] == bodies[other])[counted]
    together = ((segments[own] == segments[other]) & (segments[own] > 0))[counted]
    joined = np.count_nonzero(together & ~same) / max(1, np.count_nonzero(~same))
    parted = np.count_nonzero(~together & same) / max(1, np.count_nonzero(same))
    return float(joined), float(parted)
