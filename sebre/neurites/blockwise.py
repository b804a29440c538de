"""A volume in a file to segments in a file, by one process or on a Dask cluster.

What is made lies in a folder beside the output, `<output>.unfinished`, until all is done: the same
command goes on from there. Tasks may be done twice, by whomever, with the same result; so the death
of a worker loses the cell that it worked on. On a cluster of several machines, the volume, the
network and the output must lie on a disk that all see under the same path.
"""

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrcnn.errors import UnavailableError, UserError
from mrcnn.io.files import replace_text
from sebre.neurites.affinity_prediction import AffinityNetwork, GrayValues, load_network
from sebre.neurites.bad_runs import MadeUpSections
from sebre.neurites.cells import FolderStore, Lattice, Place
from sebre.neurites.segment_files import Segments, demand_output, write_segments
from sebre.neurites.volume_files import VoxelSize, demand_like, identity_of, open_volume
from sebre.neurites.whole_volumes import (
    STAGES,
    Decoding,
    ForEach,
    Workshop,
    as_facts,
    bad_sections_of,
    count_segments,
    read_segments,
    run_here,
    run_stages,
)
from sebre.predict.cluster import connect

logger = logging.getLogger(__name__)

BLOCK = (128, 192, 192)  # voxels of a task
_JOB = "job.json"
_RETRIES = 3  # of a task whose worker died

# Of a worker process: the network and the volume that it used last, by what names them.
_kept: dict[str, tuple[Any, Any]] = {}


@dataclass(frozen=True)
class _Task:
    """A stage for the cells of a block, for a worker to do."""

    stage: str
    places: tuple[Place, ...]
    folder: Path
    lattice: Lattice
    decoding: Decoding
    gray: GrayValues
    volume: Path
    identity: str  # of the volume
    bad: tuple[int, ...]
    network: str
    sha256: str


def segment_file(
    path: Path,
    out: Path,
    network: AffinityNetwork,
    given: str,
    decoding: Decoding,
    *,
    voxel_nm: VoxelSize | None = None,
    block: Sequence[int] = BLOCK,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Segments:
    """Segment a volume of any size.

    Args:
        path: what `sebre.neurites.volume_files.open_volume` reads.
        out: file or folder to write; its ending says how (`sebre.neurites.segment_files`).
        network: of the affinities.
        given: what `load_network` was given for it, for the workers.
        decoding: how segments are made.
        voxel_nm: along z, y, x; None takes what the file says.
        block: voxels of a task along z, y, x; the result does not depend on it.
        workers: processes on this machine; None for this process alone.
        scheduler: address of a Dask cluster, without `workers`.

    Returns:
        What was written.

    Raises:
        UserError: a volume that cannot be used, or work of other settings that is there.
        OSError: no cluster, or it was lost.
    """
    demand_output(out)
    volume = open_volume(path, voxel_nm)
    demand_like(network.voxel_nm, volume.voxel_nm, path)
    bad = bad_sections_of(volume.raw, network, decoding)
    seen = MadeUpSections(volume.raw, bad)
    _tell(bad, seen.made)
    gray, lattice = GrayValues.of(seen), network.lattice(seen.shape)
    folder = out.with_name(out.name + ".unfinished")
    identity = identity_of(path)
    job = {"gray": [gray.mean, gray.sd], "shape": list(lattice.shape), "made_up": seen.made}
    job["volume"] = identity
    _begin(folder, job, network, decoding)
    shop = Workshop(lattice, FolderStore(folder), decoding, seen, network, gray)
    if workers is None and scheduler is None:
        run_stages(shop, run_here(shop))
    else:
        blocks = [tuple(places) for places in lattice.blocks(block)]
        facts = (folder, lattice, decoding, gray, path.resolve(), identity, tuple(bad))
        facts += (given, network.sha256)
        with connect(workers, scheduler) as client:
            run_stages(shop, _on_cluster(client, blocks, facts))
    rows, columns = (slice(0, size) for size in lattice.shape[1:])
    segments = Segments(
        lattice.shape,
        lambda first, last: read_segments(shop, (slice(first, last), rows, columns)),
        count_segments(shop),
        volume.voxel_nm,
        volume.raw,
        volume.first or (0, 0, 0),
    )
    write_segments(out, segments)
    shutil.rmtree(folder)
    return segments


def _tell(bad: Sequence[int], made: Sequence[int]) -> None:
    if made:
        logger.warning("Made up from those around them, bad sections: %s", _listed(made))
    left = sorted(set(bad) - set(made))
    if left:
        logger.warning("Too many in a row to be made up, bad sections: %s", _listed(left))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _begin(
    folder: Path, facts: dict[str, Any], network: AffinityNetwork, decoding: Decoding
) -> None:
    """The folder of the work, new or that of an earlier call with the same job."""
    job = facts | {"network": network.sha256, "decoding": as_facts(decoding)}
    path = folder / _JOB
    if path.is_file():
        if json.loads(path.read_text("utf-8")) != json.loads(json.dumps(job)):
            raise UserError(
                f"{folder}: holds the unfinished work of another volume, network or settings. "
                "Remove it, or choose another output."
            )
        logger.info("Going on with %s", folder)
        return
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder}: is in the way of the work. Move it, or choose another output.")
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(job, indent=1) + "\n")


def _on_cluster(client: Any, blocks: Sequence[tuple[Place, ...]], facts: tuple) -> ForEach:
    """Stages whose blocks are tasks of a cluster."""

    def for_each(stage: str) -> None:
        from distributed import wait
        from distributed.scheduler import KilledWorker

        waiting = {places: _RETRIES for places in blocks}
        while waiting:
            tasks = {p: _Task(stage, p, *facts) for p in waiting}
            futures = {p: client.submit(_work, task, pure=False) for p, task in tasks.items()}
            wait(list(futures.values()))
            for places, future in futures.items():
                try:
                    future.result()
                    del waiting[places]
                except KilledWorker as error:
                    waiting[places] -= 1
                    if not waiting[places]:
                        raise UnavailableError(
                            f"Workers died {_RETRIES} times over the {stage} of one block (out of "
                            "memory?). Give smaller blocks or fewer workers; the same command "
                            "goes on from here."
                        ) from error
        logger.info("%s: done", stage)

    return for_each


def _work(task: _Task) -> None:
    """On a worker: one stage of the cells of a block."""
    if not (task.folder / _JOB).is_file() or not task.volume.exists():
        missing = task.folder if task.volume.exists() else task.volume
        raise UnavailableError(
            f"{missing}: not to be seen by a worker. Volume and output must lie on a disk that "
            "all workers share, under the same path."
        )
    shop = Workshop(task.lattice, FolderStore(task.folder), task.decoding, gray=task.gray)
    if task.stage == "affinities":
        shop.network = _keep("network", task.sha256, lambda: load_network(task.network))
        if shop.network.sha256 != task.sha256:
            raise UnavailableError(
                f"{task.network}: has changed since the segmentation was begun. Give it a copy of "
                "the network that no training writes to."
            )
        known = task.volume, task.identity
        raw = _keep("volume", known, lambda: open_volume(task.volume).raw)
        shop.raw = MadeUpSections(raw, task.bad)
    for place in task.places:
        STAGES[task.stage](shop, place)


def _keep(kind: str, name: Any, make: Any) -> Any:
    if kind not in _kept or _kept[kind][0] != name:
        _kept[kind] = (name, make())
    return _kept[kind][1]
