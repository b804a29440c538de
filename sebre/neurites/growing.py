"""Segments grown into what is left between them."""

import numpy as np

REACH = 12  # steps


def grow(
    labels: np.ndarray, near: np.ndarray, steps: int = REACH, flat: bool = False
) -> np.ndarray:
    """Give voxels without a segment to the neighbor that they have most affinity with.

    All voxels of a step change at once, so that a voxel depends on what is `steps` around it and
    on nothing else: parts of a volume agree with the whole.

    Args:
        labels: integers [z, y, x]; 0 is no segment.
        near: uint8 [3, z, y, x]. Nearest affinities.
        steps: voxels to grow by, at most.
        flat: grow within sections only.

    Returns:
        Labels of the same type; 0 where no segment is within reach.
    """
    grown = np.pad(labels, 1)
    edges = [np.pad(part, 1).ravel() for part in near]
    strides = [step // grown.itemsize for step in grown.strides]
    empty = np.pad(labels == 0, 1).ravel().nonzero()[0]
    grown = grown.ravel()
    for _ in range(steps):
        best = np.full(len(empty), -1, np.int16)
        chosen = np.zeros(len(empty), labels.dtype)
        for axis in range(flat, 3):
            for other, edge in (
                (empty - strides[axis], edges[axis][empty]),
                (empty + strides[axis], edges[axis][empty + strides[axis]]),
            ):
                label = grown[other]
                better = (label > 0) & (edge > best)
                best[better], chosen[better] = edge[better], label[better]
        done = chosen > 0
        if not done.any():
            break
        grown[empty[done]] = chosen[done]
        empty = empty[~done]
    shape = tuple(size + 2 for size in labels.shape)
    return grown.reshape(shape)[1:-1, 1:-1, 1:-1].copy()
