"""The affinity graph of a volume: which voxels belong to one neurite with their neighbors.

An edge joins a voxel and the one that an offset leads to; its affinity is 1 where both are of
one neurite. Offsets lead back, so that the edge of a voxel is to the one before it: with
(-1, 0, 0) to the section before. The first three are always those to the nearest voxels along
z, y and x; what follows are long ones, which are easier to be sure of (Lee et al. 2017).
"""

from collections.abc import Sequence

import numpy as np

Offset = tuple[int, int, int]

NEAREST: tuple[Offset, ...] = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
UNKNOWN = 255  # in the place of an affinity: an edge that nothing is known of
_COARSE = 2.0  # times the voxel size of the other axes: sections that are far apart


def is_coarse(voxel_nm: Sequence[float]) -> bool:
    """Whether sections are at least twice as far apart as the pixels in them."""
    return voxel_nm[0] >= _COARSE * min(voxel_nm[1:])


def graph_offsets(long_range: int = 0, voxel_nm: Sequence[float] = (1, 1, 1)) -> tuple[Offset, ...]:
    """Offsets of the edges: the nearest three and, if wanted, three long ones.

    Args:
        long_range: length of the long edges, in voxels of the finest axis; 0 for none.
        voxel_nm: voxel size along z, y, x. Where it is larger, long edges have fewer voxels.
    """
    if not long_range:
        return NEAREST
    steps = [max(2, round(long_range * min(voxel_nm) / size)) for size in voxel_nm]
    return (*NEAREST, (-steps[0], 0, 0), (0, -steps[1], 0), (0, 0, -steps[2]))


def edge_ends(shape: Sequence[int], offset: Offset) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where both ends of the edges of an offset are, among those inside a volume.

    Args:
        shape: of the volume.
        offset: of the edges.

    Returns:
        Index of the voxels that have such an edge, and of those at their other ends.
    """
    own, other = [], []
    for size, step in zip(shape, offset, strict=True):
        low, high = max(0, -step), min(size, size - step)
        high = max(low, high)  # no voxel has an edge that is longer than the volume
        own.append(slice(low, high))
        other.append(slice(low + step, high + step))
    return tuple(own), tuple(other)


def eroded(labels: np.ndarray, in_plane: bool = False) -> np.ndarray:
    """Labels without the voxels that touch another label.

    Borders become two voxels wide, so that a component does not leak through one weak edge.

    Args:
        labels: integers [z, y, x].
        in_plane: only neighbors within a section count, as where sections are far apart.

    Returns:
        A copy with 0 where a neighbor has another label.
    """
    border = np.zeros(labels.shape, bool)
    for offset in NEAREST[1:] if in_plane else NEAREST:
        own, other = edge_ends(labels.shape, offset)
        different = labels[own] != labels[other]
        border[own] |= different
        border[other] |= different
    return np.where(border, 0, labels)


def affinities_of(
    labels: np.ndarray,
    offsets: Sequence[Offset] = NEAREST,
    *,
    erode: bool = False,
    in_plane: bool = False,
    zero_is_border: bool = False,
) -> np.ndarray:
    """Affinities of labeled neurites.

    Args:
        labels: integers [z, y, x]; 0 is no neurite.
        offsets: of the edges.
        erode: take the voxels at borders for no neurite (`eroded`).
        in_plane: of `eroded`.
        zero_is_border: label 0 is membrane, and its edges are 0; otherwise nothing is known of
            it.

    Returns:
        uint8 [offsets, z, y, x]: 1 where both ends are of one neurite, 0 where not, 255
        (`UNKNOWN`) where an edge leaves the volume or an end is unlabeled.
    """
    inner = eroded(labels, in_plane) if erode else labels
    known = np.ones(labels.shape, bool) if zero_is_border else labels != 0
    found = np.full((len(offsets), *labels.shape), UNKNOWN, np.uint8)
    for edges, offset in zip(found, offsets, strict=True):
        own, other = edge_ends(labels.shape, offset)
        joined = (inner[own] == inner[other]) & (inner[own] != 0)
        edges[own] = np.where(known[own] & known[other], joined, UNKNOWN)
    return found
