"""From a volume of any size to its segments, block by block.

Four stages, each with all cells before the next begins: affinities, fragments, edges of the region
graph, and, when all fragments have been merged at once, segments, of which small ones are dropped
at the end. What a stage makes is stored by cell, so that a run goes on where it stopped, and the
memory does not grow with the volume but for the region graph.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mrcnn.errors import MissingPackageError, UserError
from sebre.neurites.affinity_graph import is_coarse
from sebre.neurites.affinity_prediction import AffinityNetwork, GrayValues
from sebre.neurites.bad_runs import MadeUpSections, find_bad_sections
from sebre.neurites.cells import CellStore, Lattice, Place, read_box
from sebre.neurites.fragments import (
    as_level,
    component_fragments,
    region_edges,
    sum_edges,
    watershed_fragments,
)
from sebre.neurites.growing import REACH, grow
from sebre.neurites.merging import join_all, merge_by_mean

logger = logging.getLogger(__name__)

METHODS = ("watershed", "components", "mutex")
_USUAL = {"components": 0.9, "watershed": 0.35, "mutex": 0.5}  # thresholds of a new network
_MUTEX_VOXELS = 60_000_000  # above which the mutex watershed would need too much memory
_SPECK = 10  # voxels of a component that is too small to grow
_ONE = (0, 0, 0)  # place of what is there once


@dataclass(frozen=True)
class Decoding:
    """How segments are made of affinities.

    Attributes:
        method: of `METHODS`: basins of a watershed merged by mean affinity, components of the
            affinity graph as in the article, or the mutex watershed (Wolf et al. 2018).
        threshold: affinity at which it joins, 0..1.
        min_voxels: smaller pieces are dropped.
        flat: each section on its own, for stacks that are badly aligned.
        reach: voxels that segments are grown by.
        make_up: bad sections are made up from those around them before prediction, where sections
            are as close as pixels (`sebre.neurites.bad_runs`); not with `flat`.
    """

    method: str = METHODS[0]
    threshold: float = _USUAL[METHODS[0]]
    min_voxels: int = 100
    flat: bool = False
    reach: int = REACH
    make_up: bool = True

    @classmethod
    def of(
        cls, network: AffinityNetwork, method: str, threshold: float | None = None, **how: Any
    ) -> "Decoding":
        """With the threshold given, or that of the network for the method."""
        if threshold is None:
            threshold = network.thresholds.get(method, _USUAL[method])
        return cls(method, threshold, **how)


@dataclass
class Workshop:
    """What every stage needs.

    Attributes:
        lattice: the cells of the volume.
        store: of what is made.
        decoding: how segments are made.
        raw: uint8 [z, y, x], or what gives a part of it for an index. For the first stage.
        network: for the first stage.
        gray: of the volume.
    """

    lattice: Lattice
    store: CellStore
    decoding: Decoding
    raw: Any = field(repr=False, default=None)
    network: AffinityNetwork | None = field(repr=False, default=None)
    gray: GrayValues | None = None


def make_affinities(shop: Workshop, place: Place) -> None:
    """First stage, for a cell."""
    if not shop.store.has("affinities", place):
        found = shop.network.predict_cell(shop.raw, shop.lattice, place, shop.gray)
        shop.store.put("affinities", place, found)


def make_fragments(shop: Workshop, place: Place) -> None:
    """Second stage, for a cell: its fragments, and how many voxels each has."""
    store, decoding = shop.store, shop.decoding
    if store.has("sizes", place):
        return
    near = np.asarray(store.get("affinities", place)[:3])
    if decoding.method == "components":
        level = as_level(decoding.threshold)
        following = _following(shop, place)
        found = component_fragments(near, following, level, decoding.flat)
    else:
        found = watershed_fragments(near, decoding.flat)
    store.put("fragments", place, found)
    store.put("sizes", place, np.bincount(found.ravel(), minlength=1))


def _following(shop: Workshop, place: Place) -> list[np.ndarray]:
    """The first planes of the affinities of the cells behind, along each axis."""
    planes = []
    for axis in range(3):
        behind = tuple(n + (k == axis) for k, n in enumerate(place))
        if behind[axis] == shop.lattice.counts[axis]:
            planes.append(np.empty((0, 0), np.uint8))
        else:
            edges = shop.store.get("affinities", behind)[axis]
            planes.append(np.asarray(edges.take(0, axis)))
    return planes


def make_edges(shop: Workshop, place: Place) -> None:
    """Third stage, for a cell: edges among its fragments, and to those of the cells before it.

    Rows of what is stored: 0 within the cell, or 1 + the axis along which the other cell lies
    before it; fragment of this cell; fragment at the other end; sum of affinities; how many.
    """
    store, decoding = shop.store, shop.decoding
    if store.has("edges", place):
        return
    near, own = store.get("affinities", place), np.asarray(store.get("fragments", place))
    inside, rows = [], []
    for axis in range(decoding.flat, 3):
        edges = np.asarray(near[axis])
        if decoding.method != "components":  # whose cells hold whole components
            high, low = edges.swapaxes(0, axis)[1:], own.swapaxes(0, axis)
            ends, others, *sums = region_edges(high, low[1:], low[:-1], axis)
            inside.append((np.minimum(ends, others), np.maximum(ends, others), *sums))
        if place[axis]:
            front = tuple(n - (k == axis) for k, n in enumerate(place))
            before = np.asarray(store.get("fragments", front).take(-1, axis))
            face = _face_edges(edges.take(0, axis), own.take(0, axis), before, decoding)
            rows.append(np.stack([np.full(len(face[0]), 1 + axis), *face]))
    if inside:
        summed = sum_edges(*(np.concatenate(part) for part in zip(*inside, strict=True)))
        rows.append(np.stack([np.zeros(len(summed[0]), np.int64), *summed]))
    store.put("edges", place, np.concatenate(rows, axis=1) if rows else np.zeros((5, 0), np.int64))


def _face_edges(
    near: np.ndarray, own: np.ndarray, before: np.ndarray, decoding: Decoding
) -> tuple[np.ndarray, ...]:
    """As `region_edges`, but fragments of two cells, in which the same number is not the same."""
    joined = (own > 0) & (before > 0)
    if decoding.method == "components":
        joined &= near >= as_level(decoding.threshold)
    return sum_edges(own[joined], before[joined], near[joined], np.ones(joined.sum(), int))


def merge_fragments(shop: Workshop) -> None:
    """Between the stages: which segment each fragment is of.

    Stores a table, segment by the number of a fragment in the volume, and for each cell the number
    before that of its first fragment.
    """
    if shop.store.has("table", _ONE):
        return
    if shop.decoding.method == "mutex":
        _merge_mutex(shop)
        return
    store, places = shop.store, shop.lattice.places()
    sizes = [np.array(store.get("sizes", place)) for place in places]
    starts = np.cumsum([0, *(len(part) - 1 for part in sizes)])
    start = dict(zip(places, starts.tolist(), strict=False))
    count = int(starts[-1])
    parts = [_global_edges(np.asarray(store.get("edges", p)), p, start) for p in places]
    ends, others, sums, counts = np.concatenate(parts, axis=1)
    if shop.decoding.method == "components":
        roots = join_all(count, ends, others)
    else:
        limits = [shop.decoding.threshold]
        (roots,) = merge_by_mean(count, ends, others, sums, counts, limits)
    voxels = np.concatenate([part[1:] for part in sizes]) if count else np.zeros(0, np.int64)
    least = _SPECK if shop.decoding.method == "components" else 1
    store.put("starts", _ONE, starts[:-1])
    store.put("table", _ONE, number_segments(roots, voxels, least))


def _global_edges(edges: np.ndarray, place: Place, start: dict[Place, int]) -> np.ndarray:
    """Ends as numbers in the volume from 0, sum and count, [4, edges]."""
    fronts = [place] + [tuple(n - (k == a) for k, n in enumerate(place)) for a in range(3)]
    begins = np.array([start.get(front, 0) for front in fronts], np.int64)
    ends = edges[1] - 1 + start[place]
    return np.stack([ends, edges[2] - 1 + begins[edges[0]], edges[3], edges[4]])


def number_segments(roots: np.ndarray, voxels: np.ndarray, least: int) -> np.ndarray:
    """Segments from 1 in the order of their first fragments, uint32 [1 + fragments].

    Args:
        roots: integers [fragments]. What stands for the segment of each fragment.
        voxels: integers [fragments].
        least: voxels of a segment; smaller ones get 0.
    """
    kept, first, which = np.unique(roots, return_index=True, return_inverse=True)
    large = np.bincount(which, voxels, len(kept)) >= least
    numbers = np.zeros(len(kept), np.uint32)
    order = np.argsort(first)
    order = order[large[order]]
    numbers[order] = np.arange(1, len(order) + 1)
    return np.concatenate([np.zeros(1, np.uint32), numbers[which]])


def _merge_mutex(shop: Workshop) -> None:
    """The mutex watershed takes the whole volume at once."""
    shape, store, decoding = shop.lattice.shape, shop.store, shop.decoding
    if np.prod(shape) > _MUTEX_VOXELS:
        raise UserError(
            f"The mutex watershed of {shape} voxels would need too much memory; at most "
            f"{_MUTEX_VOXELS:,} voxels. Choose another method (--method watershed)."
        )
    whole = read_box(store, "affinities", shop.lattice, tuple(slice(0, n) for n in shape))
    found = mutex_watershed(whole, shop.network.offsets, decoding.threshold, decoding.flat)
    table = np.arange(found.max() + 1, dtype=np.uint32)
    for place in shop.lattice.places():
        store.put("fragments", place, found[shop.lattice.box(place)])
    store.put("starts", _ONE, np.zeros(len(shop.lattice.places()), np.int64))
    store.put("table", _ONE, table)


def mutex_watershed(
    affinities: np.ndarray,
    offsets: Sequence[tuple[int, int, int]],
    threshold: float,
    flat: bool = False,
) -> np.ndarray:
    """Mutex watershed: the strongest edges first, to join or to keep apart (Wolf et al. 2018).

    Args:
        affinities: uint8 [edges, z, y, x].
        offsets: of the edges; long ones make it work well.
        threshold: 0..1, above which an edge joins, and below which it keeps apart.
        flat: only edges within sections.

    Returns:
        int32 [z, y, x]: segments from 1.

    Raises:
        ModuleNotFoundError: the package mwatershed is not installed.
    """
    try:
        import mwatershed
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"The mutex watershed needs the package mwatershed ({error}). Install it: "
            'pip install "sebre[neurites]"',
            name=error.name,
        ) from error
    used = [k for k, offset in enumerate(offsets) if not (flat and offset[0])]
    pull = affinities[used] / 255.0 - threshold
    found = mwatershed.agglom(pull, [offsets[k] for k in used])
    _, numbers = np.unique(found, return_inverse=True)
    return (numbers.reshape(found.shape) + 1).astype(np.int32)


def make_segments(shop: Workshop, place: Place) -> None:
    """Last stage, for a cell: its segments, grown into what is left; uint32 [z, y, x]."""
    store, lattice, decoding = shop.store, shop.lattice, shop.decoding
    if store.has("segments", place):
        return
    box, core = lattice.box(place, decoding.reach), lattice.box(place)
    table = store.get("table", _ONE)
    starts = dict(zip(lattice.places(), store.get("starts", _ONE).tolist(), strict=True))
    labels = np.zeros([part.stop - part.start for part in box], np.uint32)
    for other, own, inside in lattice.touching(box):
        found = np.asarray(store.get("fragments", other)[own]).astype(np.int64)
        labels[inside] = table[np.where(found > 0, found + starts[other], 0)]
    near = np.stack([_near(shop, axis, box) for axis in range(3)])
    grown = grow(labels, near, decoding.reach, decoding.flat)
    inner = tuple(
        slice(c.start - b.start, c.stop - b.start) for c, b in zip(core, box, strict=True)
    )
    grown = grown[inner].copy()
    store.put("voxels", place, np.stack(np.unique(grown, return_counts=True)).astype(np.int64))
    store.put("segments", place, grown)


def _near(shop: Workshop, axis: int, box: tuple[slice, ...]) -> np.ndarray:
    """The nearest affinities of a box along one axis."""
    values = np.empty([part.stop - part.start for part in box], np.uint8)
    for place, own, inside in shop.lattice.touching(box):
        values[inside] = shop.store.get("affinities", place)[(axis, *own)]
    return values


def drop_small(shop: Workshop) -> None:
    """After the stages: the table from segments to those that are large enough, from 1."""
    store = shop.store
    if store.has("numbers", _ONE):
        return
    count = int(store.get("table", _ONE).max(initial=0)) + 1
    voxels = np.zeros(count, np.int64)
    for place in shop.lattice.places():
        found, sizes = store.get("voxels", place)
        voxels[found] += sizes
    numbers = number_segments(np.arange(count - 1), voxels[1:], shop.decoding.min_voxels)
    store.put("numbers", _ONE, numbers)


def read_segments(shop: Workshop, box: tuple[slice, slice, slice]) -> np.ndarray:
    """A box of the result, uint32 [z, y, x]."""
    numbers = shop.store.get("numbers", _ONE)
    return numbers[read_box(shop.store, "segments", shop.lattice, box)]


def count_segments(shop: Workshop) -> int:
    """Segments of the result; the largest is this one."""
    return int(shop.store.get("numbers", _ONE).max(initial=0))


STAGES: dict[str, Callable[[Workshop, Place], None]] = {
    "affinities": make_affinities,
    "fragments": make_fragments,
    "edges": make_edges,
    "segments": make_segments,
}
ForEach = Callable[[str], None]  # carries out a stage for all cells


def run_stages(shop: Workshop, for_each: ForEach) -> None:
    """All stages, in their order; `for_each` carries out one of `STAGES` for all cells."""
    for_each("affinities")
    if shop.decoding.method != "mutex":
        for_each("fragments")
        for_each("edges")
    merge_fragments(shop)
    for_each("segments")
    drop_small(shop)


def run_here(shop: Workshop) -> ForEach:
    """Cells one after the other, in this process."""

    def for_each(stage: str) -> None:
        for place in shop.lattice.places():
            STAGES[stage](shop, place)
        logger.info("%s: done", stage)

    return for_each


def bad_sections_of(raw: Any, network: AffinityNetwork, decoding: Decoding) -> list[int]:
    """Numbers of the sections of a volume that are to be made up."""
    if not decoding.make_up or decoding.flat or is_coarse(network.voxel_nm):
        return []
    return find_bad_sections(raw)


def segment(
    network: AffinityNetwork, raw: np.ndarray, decoding: Decoding, store: CellStore
) -> np.ndarray:
    """Segments of a volume that fits into the memory, uint32 [z, y, x].

    Args:
        network: of the affinities.
        raw: uint8 [z, y, x].
        decoding: how.
        store: for the stages; one that has affinities of this volume is not predicted again.
    """
    seen = MadeUpSections(raw, bad_sections_of(raw, network, decoding))
    shop = Workshop(network.lattice(raw.shape), store, decoding, seen, network, GrayValues.of(seen))
    run_stages(shop, run_here(shop))
    return read_segments(shop, tuple(slice(0, n) for n in raw.shape))


def as_facts(decoding: Decoding) -> dict[str, Any]:
    """The settings, in JSON types."""
    return asdict(decoding)
