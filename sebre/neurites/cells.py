"""The cells of a volume, and where their parts are kept.

A volume is predicted and cut into fragments cell by cell. Where the cells are depends on the volume
and the network alone; a block is any number of cells that one task takes. So the result does not
depend on the blocks, nor on who does them in which order.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from mrcnn.io.files import replace_file

Box = tuple[slice, slice, slice]
Place = tuple[int, int, int]


@dataclass(frozen=True)
class Lattice:
    """How a volume is divided.

    Attributes:
        shape: of the volume, voxels along z, y, x.
        cell: of a cell; the last ones along an axis may be smaller.
    """

    shape: tuple[int, int, int]
    cell: tuple[int, int, int]

    @property
    def counts(self) -> Place:
        """Cells along each axis."""
        return tuple(-(-size // step) for size, step in zip(self.shape, self.cell, strict=True))

    def places(self) -> list[Place]:
        """Of all cells, in their order."""
        return list(itertools.product(*map(range, self.counts)))

    def box(self, place: Place, halo: int = 0) -> Box:
        """Where a cell is, with what is around it inside the volume."""
        bounds = zip(place, self.cell, self.shape, strict=True)
        return tuple(
            slice(max(0, n * step - halo), min(size, (n + 1) * step + halo))
            for n, step, size in bounds
        )

    def touching(self, box: Box) -> Iterator[tuple[Place, Box, Box]]:
        """The cells that share voxels with a box: place, which of its voxels, where in the box."""
        ranges = [
            range(part.start // step, -(-part.stop // step))
            for part, step in zip(box, self.cell, strict=True)
        ]
        for place in itertools.product(*ranges):
            own, inside = [], []
            for part, there in zip(box, self.box(place), strict=True):
                low, high = max(part.start, there.start), min(part.stop, there.stop)
                own.append(slice(low - there.start, high - there.start))
                inside.append(slice(low - part.start, high - part.start))
            yield place, tuple(own), tuple(inside)

    def blocks(self, size: Sequence[int]) -> list[list[Place]]:
        """All cells in blocks.

        Args:
            size: of a block, voxels along z, y, x, rounded up to cells.
        """
        steps = [-(-want // have) for want, have in zip(size, self.cell, strict=True)]
        starts = [range(0, n, step) for n, step in zip(self.counts, steps, strict=True)]
        blocks = []
        for first in itertools.product(*starts):
            bounds = zip(first, steps, self.counts, strict=True)
            ranges = [range(low, min(low + step, count)) for low, step, count in bounds]
            blocks.append(list(itertools.product(*ranges)))
        return blocks


class CellStore(Protocol):
    """Arrays of cells, by kind and place."""

    def has(self, kind: str, place: Place) -> bool:
        """Whether an array was put."""

    def put(self, kind: str, place: Place, array: np.ndarray) -> None:
        """Keep an array."""

    def get(self, kind: str, place: Place) -> np.ndarray:
        """An array that was put; it is not to be changed."""


class MemoryStore:
    """Cells in memory, for volumes that fit."""

    def __init__(self):
        self._kinds: dict[str, dict[Place, np.ndarray]] = {}

    def has(self, kind: str, place: Place) -> bool:
        """Whether an array was put."""
        return place in self._kinds.get(kind, {})

    def put(self, kind: str, place: Place, array: np.ndarray) -> None:
        """Keep an array."""
        self._kinds.setdefault(kind, {})[place] = array

    def get(self, kind: str, place: Place) -> np.ndarray:
        """An array that was put."""
        return self._kinds[kind][place]

    def sharing(self, kind: str) -> "MemoryStore":
        """A store of its own, but for one kind of arrays that both have, now and later."""
        store = MemoryStore()
        store._kinds[kind] = self._kinds.setdefault(kind, {})
        return store


class FolderStore:
    """Cells in files, each there as a whole or not at all; any number of processes may write.

    Args:
        folder: of the files.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def _path(self, kind: str, place: Place) -> Path:
        return self.folder / f"{kind}_{'_'.join(map(str, place))}.npy"

    def has(self, kind: str, place: Place) -> bool:
        """Whether an array was put."""
        return self._path(kind, place).is_file()

    def put(self, kind: str, place: Place, array: np.ndarray) -> None:
        """Keep an array."""
        replace_file(self._path(kind, place), lambda part: np.save(part, array), suffix=".npy")

    def get(self, kind: str, place: Place) -> np.ndarray:
        """An array that was put, of which only what is looked at is read."""
        return np.load(self._path(kind, place), mmap_mode="r")


def read_box(store: CellStore, kind: str, lattice: Lattice, box: Box) -> np.ndarray:
    """A box of what the cells of one kind hold, [..., z, y, x]."""
    shape = tuple(part.stop - part.start for part in box)
    whole = None
    for place, own, inside in lattice.touching(box):
        cell = store.get(kind, place)
        if whole is None:
            whole = np.empty((*cell.shape[:-3], *shape), cell.dtype)
        whole[(..., *inside)] = cell[(..., *own)]
    return whole
