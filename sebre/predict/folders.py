"""Pictures of one or many brains in, label maps, overlays and one table out.

A run that was stopped goes on where it stopped: see `sebre.predict.job.finished`.
"""

import contextlib
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mrcnn.errors import MissingFileError
from sebre.networks.segmenter import Segmenter
from sebre.predict.job import Job, SectionFile, SectionOutcome, finished, segment_file
from sebre.predict.outputs import save_table

logger = logging.getLogger(__name__)

RETRIES = 2
_IMAGE_TYPES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def find_sections(inputs: Sequence[str | Path], out: str | Path | None = None) -> list[SectionFile]:
    """The pictures among files, folders and folders of brains.

    A folder gives the pictures in it. One without pictures is a folder of brains: each of its
    sub-folders gives its pictures, whose outputs go to a sub-folder of the same name. Two
    pictures, or two brains, of one name get different names: "s" and "s-2".

    Args:
        inputs: in their order; within a folder the natural order of names counts (s_2, s_10).
        out: folder of the outputs, which is no brain.

    Raises:
        FileNotFoundError: an input does not exist, or a folder has no image.
    """
    sections: list[SectionFile] = []
    used: set[str] = set()
    for entry in map(Path, inputs):
        if entry.is_dir():
            files = _pictures(entry)
            if files:
                sections += _named(files, "", used)
                continue
            brains = _brains(entry, out)
            if not brains:
                raise MissingFileError(
                    f"{entry}: no image in it or its sub-folders ({', '.join(_IMAGE_TYPES)})."
                )
            for folder, files in brains.items():
                sections += _named(files, _free(folder.name, used) + "/", set())
        elif entry.is_file():
            sections += _named([entry], "", used)
        else:
            raise MissingFileError(f"{entry}: no such file or folder.")
    return sections


def detect_files(
    segmenter: Segmenter, inputs: Sequence[str | Path], out: str | Path
) -> tuple[list[dict[str, Any]], list[str]]:
    """Segment pictures with a network that is loaded; see `detect_folders` for the rest.

    A file that cannot be read does not stop the others.

    Args:
        segmenter: the network.
        inputs: of `find_sections`.
        out: folder to write label maps, overlays and `regions.csv` to.

    Returns:
        The rows of regions.csv, and a message for each file that failed.
    """
    out = Path(out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    outcomes = [segment_file(segmenter, section, out) for section in find_sections(inputs, out)]
    rows = [row for outcome in outcomes for row in outcome.rows]
    save_table(rows, out / "regions.csv")
    return rows, [outcome.error for outcome in outcomes if outcome.error]


def detect_folders(
    job: Job,
    sections: Sequence[SectionFile],
    workers: int | None = None,
    scheduler: str | None = None,
    restart: bool = False,
    retries: int = RETRIES,
) -> list[SectionOutcome]:
    """Segment pictures; write label maps, overlays, a record of each, and `regions.csv`.

    Sections that an earlier run finished with the same network and settings are left as they
    are. The table has the order of the sections, whatever the order in which they are finished.

    Args:
        job: of `sebre.predict.job.plan_job`.
        sections: of `find_sections`.
        workers: processes of a local Dask cluster; None for this process alone.
        scheduler: address of a Dask cluster, as tcp://host:8786.
        restart: do all sections again.
        retries: how often a section that failed is tried again, by another worker if there is
            one.

    Returns:
        One outcome a section, in their order; those that failed have an `error`.

    Raises:
        ValueError: the network cannot be loaded.
        OSError: the cluster cannot be reached or was lost, or the folder cannot be written.
        ModuleNotFoundError: Dask is needed and is not installed.
    """
    outcomes: dict[str, SectionOutcome] = {}
    if not restart:
        earlier = (finished(job, section) for section in sections)
        outcomes = {outcome.name: outcome for outcome in earlier if outcome}
    waiting = [section for section in sections if section.name not in outcomes]
    if outcomes:
        logger.info("%d of %d sections were finished before.", len(outcomes), len(sections))
    with contextlib.closing(_run(job, waiting, workers, scheduler, retries)) as results:
        for outcome in results:
            outcomes[outcome.name] = outcome
            found = "failed" if outcome.error else f"{len(outcome.rows)} regions"
            logger.info("%d of %d  %s  %s", len(outcomes), len(sections), outcome.name, found)
    ordered = [outcomes[section.name] for section in sections]
    save_table([row for outcome in ordered for row in outcome.rows], job.out / "regions.csv")
    return ordered


def _run(
    job: Job,
    sections: Sequence[SectionFile],
    workers: int | None,
    scheduler: str | None,
    retries: int,
) -> Iterator[SectionOutcome]:
    if not sections:
        return
    if workers is not None or scheduler is not None:
        from sebre.predict.cluster import run_on_cluster

        yield from run_on_cluster(job, sections, retries, workers, scheduler)
        return
    segmenter = job.load()
    job.begin()
    for section in sections:
        for left in range(retries, -1, -1):
            outcome = segment_file(segmenter, section, job.out, job.fingerprint, **job.options)
            if not outcome.error:
                break
            if left:
                logger.info("%s; trying again", outcome.error)
        yield outcome


def _pictures(folder: Path) -> list[Path]:
    found = [p for p in folder.iterdir() if p.suffix.lower() in _IMAGE_TYPES and p.is_file()]
    return sorted(found, key=_natural)


def _brains(folder: Path, out: str | Path | None) -> dict[Path, list[Path]]:
    """Pictures of each sub-folder that has any."""
    outputs = None if out is None else Path(out).resolve()
    folders = sorted((p for p in folder.iterdir() if p.is_dir()), key=_natural)
    found = {p: _pictures(p) for p in folders if p.resolve() != outputs}
    for empty in (p for p, files in found.items() if not files):
        logger.warning("%s: no image in it; left out.", empty)
    return {p: files for p, files in found.items() if files}


def _named(files: Sequence[Path], prefix: str, used: set[str]) -> list[SectionFile]:
    return [SectionFile(path.absolute(), prefix + _free(path.stem, used)) for path in files]


def _free(name: str, used: set[str]) -> str:
    """The name, or with a number that makes it different from all used; it is used then."""
    free, copy = name, 2
    while free in used:
        free, copy = f"{name}-{copy}", copy + 1
    used.add(free)
    return free


def _natural(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]
