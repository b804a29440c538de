"""Pictures of one or many brains in, label maps, overlays and one table out.

A run that was stopped goes on where it stopped: see `sebre.predict.job.finished`.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sebre.networks.segmenter import Segmenter
from sebre.predict.job import Job, SectionOutcome, demand_free, finished, segment_file
from sebre.predict.pictures import SectionFile, find_inputs
from sebre.predict.section_records import write_table_of_all

logger = logging.getLogger(__name__)

RETRIES = 2


def detect_files(
    segmenter: Segmenter, inputs: Sequence[str | Path], out: str | Path
) -> tuple[list[dict[str, Any]], list[str]]:
    """Segment pictures with a network that is loaded; see `detect_folders` for the rest.

    A file that cannot be read does not stop the others. `inputs` are those of `find_inputs`.

    Returns:
        The rows of the regions that were found in these pictures, and a message for each file
        that failed.
    """
    out = Path(out).absolute()
    found = find_inputs(inputs, out)
    demand_free(found.sections, out, run=False)
    out.mkdir(parents=True, exist_ok=True)
    outcomes = [segment_file(segmenter, section, out) for section in found.sections]
    write_table_of_all(out)
    if line := found.closing_line():
        logger.warning("%s", line)
    rows = [row for outcome in outcomes for row in outcome.found]
    return rows, [outcome.error for outcome in outcomes if outcome.error]


def detect_folders(
    job: Job,
    sections: Sequence[SectionFile],
    workers: int | None = None,
    scheduler: str | None = None,
    restart: bool = False,
    retries: int = RETRIES,
) -> list[SectionOutcome]:
    """Segment pictures and volumes; write label maps, overlays, `regions.csv` and `report.html`.

    Sections that an earlier run finished with the same network and settings are left as they
    are. The table has the rows of all sections that were ever segmented to this folder
    (`sebre.predict.section_records`).

    Args:
        job: of `sebre.predict.job.plan_job`.
        sections: of `find_sections`.
        workers: processes of a local Dask cluster; None for this process alone.
        scheduler: address of a Dask cluster, as tcp://host:8786.
        restart: do all sections again.
        retries: how often a section that failed is tried again, if it can be by another worker.

    Returns:
        One outcome per section, in their order; those that failed have an `error`.

    Raises:
        ValueError: the network cannot be loaded, or outputs would replace files of other origin.
        OSError: the cluster cannot be reached or was lost, or the folder cannot be written.
        ModuleNotFoundError: Dask is needed and is not installed.
    """
    outcomes: dict[Path, SectionOutcome] = {}
    if not restart:
        earlier = (finished(job, section) for section in sections)
        outcomes = {outcome.section.path: outcome for outcome in earlier if outcome}
    waiting = [section for section in sections if section.path not in outcomes]
    demand_free(waiting, job.out, job.options["shapes"], formats=job.options["formats"])
    if outcomes:
        logger.info("%d of %d sections were finished before.", len(outcomes), len(sections))
    begun, done = time.monotonic(), 0
    with contextlib.closing(_run(job, waiting, workers, scheduler, retries)) as results:
        for outcome in results:
            outcomes[outcome.section.path] = outcome
            done += 1
            found = "failed" if outcome.error else f"{len(outcome.found)} regions"
            left = (time.monotonic() - begun) / done * (len(waiting) - done)
            logger.info(
                "%d of %d  %s  %s%s",
                *(len(outcomes), len(sections), outcome.name, found),
                f"  about {_duration(left)} left" if len(waiting) > done else "",
            )
    write_table_of_all(job.out, job.fingerprint)
    return [outcomes[section.path] for section in sections]


def _duration(seconds: float) -> str:
    """A duration in one word or two: 45 s, 12 min, 3 h 20 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


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
