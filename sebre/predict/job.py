"""One section of many: what to do with it, and its outcome.

`segment_file` does a section in the same way wherever it runs, so a cluster
(`sebre.predict.cluster`) gives the files that one process (`sebre.predict.folders`) gives.
"""

import functools
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.imageio.tiles import tile_boxes
from mrcnn.io.files import replace_text
from sebre import __version__
from sebre.data.regions import RegionSet
from sebre.experiments.base import Experiment
from sebre.networks.environment import packages
from sebre.networks.segmenter import Segmenter, find_network, load_segmenter
from sebre.networks.weights_store import WeightsFile
from sebre.predict.outputs import OVERLAY_PX, output_paths, segment_picture
from sebre.predict.pictures import SectionFile

logger = logging.getLogger(__name__)

# Raise it with every change that gives other outputs for the same picture, weights and settings:
# what an earlier version finished is then done again.
RESULTS = 1
_RECORDS = "records"  # folder of the records, beside the outputs
_RUN_FILE = "run.json"


@dataclass(frozen=True)
class SectionOutcome:
    """The outcome of a section."""

    name: str
    rows: list[dict[str, Any]] = field(default_factory=list)  # of `region_rows`
    error: str = ""  # why it failed; empty where it did not
    earlier: bool = False  # it was finished in an earlier run


@dataclass(frozen=True)
class Job:
    """What all sections of a run have in common; it can be sent to another machine."""

    weights: str  # a name in the manifest, or an absolute path
    experiment: Experiment
    settings: Mapping[str, Any]  # that differ from those of the weights
    out: Path  # folder of the outputs, absolute
    options: Mapping[str, Any]  # of `segment_picture`
    facts: Mapping[str, Any]  # all that the outputs depend on but the pictures: `run_facts`

    @functools.cached_property
    def fingerprint(self) -> str:
        """Checksum of the facts, SHA-256 in hexadecimal."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()

    def begin(self) -> None:
        """Make the folder of the outputs, with a file that says what they are made with."""
        self.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"fingerprint": self.fingerprint, **self.facts}, indent=1)
        replace_text(self.out / _RUN_FILE, text + "\n")

    def begun(self) -> bool:
        """Whether the folder of the outputs is the one that `begin` wrote to, seen from here."""
        try:
            text = (self.out / _RUN_FILE).read_text(encoding="utf-8")
            return json.loads(text)["fingerprint"] == self.fingerprint
        except (OSError, ValueError, KeyError):
            return False

    def load(self) -> Segmenter:
        """The network.

        Raises:
            FileNotFoundError: the weights are not on this machine.
            ValueError: weights, settings or packages differ here.
        """
        found, _, config = find_network(self.weights, self.experiment, **self.settings)
        here = run_facts(found, config, self.experiment.regions, self.options)
        differing = [name for name, value in self.facts.items() if here[name] != value]
        if differing:
            raise UserError(
                f"Not the same as where the run was started: {', '.join(differing)}. All machines "
                "need the same weights, packages and version of sebre."
            )
        return load_segmenter(self.weights, self.experiment, **self.settings)


def plan_job(
    weights: str | Path,
    experiment: Experiment,
    out: str | Path,
    settings: Mapping[str, Any] | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    overlay_px: int = OVERLAY_PX,
    shapes: str | None = None,
) -> Job:
    """A job, checked without building the network.

    `weights` is a name in the manifest or a path; `settings` differ from those of the weights;
    for `tile` and what follows see `segment_picture`.

    Raises:
        FileNotFoundError: no such weights.
        ValueError: damaged weights, or settings that cannot work.
    """
    settings = dict(settings or {})
    if overlap is not None and tile is None:
        raise UserError("An overlap is that of tiles: give their side too (--tile).")
    if tile is not None:
        tile_boxes((tile, tile), tile, tile // 4 if overlap is None else overlap)  # may refuse
    options = {"tile": tile, "overlap": overlap, "overlay_px": overlay_px, "shapes": shapes}
    found, _, config = find_network(weights, experiment, **settings)
    return Job(
        weights=found.name or str(found.path.absolute()),
        experiment=experiment,
        settings=settings,
        out=Path(out).absolute(),
        options=options,
        facts=run_facts(found, config, experiment.regions, options),
    )


def run_facts(
    weights: WeightsFile, config: Config, regions: RegionSet, options: Mapping[str, Any]
) -> dict[str, Any]:
    """All that the outputs of a picture depend on but the picture.

    A section that was finished with the same facts need not be done again. All are plain JSON.
    """
    return {
        "weights": weights.sha256,
        "settings": config.to_dict(),
        "regions": [[region.id, region.name, list(region.color)] for region in regions],
        "options": dict(options),
        "packages": packages(),
        "version": __version__,
        "results": RESULTS,
    }


def segment_file(
    segmenter: Segmenter,
    section: SectionFile,
    out: Path,
    fingerprint: str | None = None,
    **options: Any,
) -> SectionOutcome:
    """Segment a picture and write its label map, its overlay and last its record.

    Nothing is raised: the outcome says what went wrong. The folder `out` exists. The fingerprint
    is that of the job; without one there is no record. Options are those of `segment_picture`.
    """
    try:
        record = _record_path(section, out)
        # While outputs are replaced, and if that stops halfway, no run may take them for its own.
        record.unlink(missing_ok=True)
        stamp = _stamp(section)  # before it is read: a change meanwhile is found later
        (out / section.name).parent.mkdir(exist_ok=True)
        rows = segment_picture(segmenter, section.path, section.name, out, **options)
        if fingerprint is not None:
            record.parent.mkdir(parents=True, exist_ok=True)
            facts = {"fingerprint": fingerprint, "picture": stamp, "rows": rows}
            replace_text(record, json.dumps(facts, indent=1) + "\n")
    except Exception as error:  # whatever a picture leads to, the others go on
        logger.debug("%s failed", section.path, exc_info=True)
        return SectionOutcome(section.name, error=describe(error, section.path))
    return SectionOutcome(section.name, rows)


def finished(job: Job, section: SectionFile) -> SectionOutcome | None:
    """The outcome of an earlier run; None unless that was with the same facts, the picture is
    unchanged and the outputs are there."""
    try:
        record = json.loads(_record_path(section, job.out).read_text(encoding="utf-8"))
        same = record["fingerprint"] == job.fingerprint and record["picture"] == _stamp(section)
        rows = list(record["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    outputs = output_paths(section.name, job.out, job.options["shapes"])
    if not same or not all(path.is_file() for path in outputs):
        return None
    return SectionOutcome(section.name, rows, earlier=True)


def describe(error: BaseException, path: Path) -> str:
    """An error as one line that names the picture."""
    text = " ".join(str(error).split())
    if not isinstance(error, ValueError | OSError):
        text = f"{type(error).__name__}: {text}"
    return text if str(path) in text else f"{path}: {text}"


def _stamp(section: SectionFile) -> dict[str, Any]:
    facts = section.path.stat()
    return {"path": str(section.path), "bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns}


def _record_path(section: SectionFile, out: Path) -> Path:
    return out / _RECORDS / f"{section.name}.json"
