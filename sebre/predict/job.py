"""One section of many: what to do with it, and its outcome.

`segment_file` does a section in the same way wherever it runs, so a cluster
(`sebre.predict.cluster`) gives the files that one process (`sebre.predict.folders`) gives.
"""

import dataclasses
import functools
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrcnn.config import Config
from mrcnn.errors import UserError
from mrcnn.imageio.header import Choice, UnknownPictureError
from mrcnn.io.files import file_sha256
from mrcnn.io.own_files import demand_own, is_own, replace_own_text
from sebre import __version__
from sebre.data.listing import some
from sebre.data.regions import RegionSet
from sebre.experiments.base import Experiment
from sebre.networks.environment import packages
from sebre.networks.segmenter import Segmenter, find_network, load_segmenter
from sebre.networks.weights_store import WeightsFile
from sebre.place.placer import placer_sha256
from sebre.predict.arguments import (
    demand_count,
    demand_outputs,
    demand_pixel_size,
    demand_tiles,
)
from sebre.predict.exchange import FORMATS
from sebre.predict.measures import is_found
from sebre.predict.name_claims import RECORDS, claim, disown, forget, read_record, stamp
from sebre.predict.outputs import OVERLAY_PX, output_paths
from sebre.predict.overview import PAGE, SUMMARY, about
from sebre.predict.pictures import SectionFile
from sebre.predict.prediction import Prediction, predict_picture
from sebre.predict.scans import ScanPrediction, predict_scan, scan_paths
from sebre.predict.section_records import TABLE, write_record
from sebre.prepare.volume_header import VOLUME_TYPES
from sebre.trust.trust_files import load_trust, trust_path
from sebre.trust.trust_model import TrustModel

logger = logging.getLogger(__name__)

# Raise it with every change that gives other outputs for the same picture, weights and settings:
# what an earlier version finished is then done again.
RESULTS = 8
_RUN_FILE = "run.json"


@dataclass(frozen=True)
class SectionOutcome:
    """The outcome of a section."""

    section: SectionFile  # under the name that its outputs have
    # One for each region that was looked for: `sebre.predict.measures.TABLE_COLUMNS`.
    rows: list[dict[str, Any]] = field(default_factory=list)
    warnings: tuple[str, ...] = ()  # of the section as a whole
    error: str = ""  # why it failed; empty where it did not
    earlier: bool = False  # it was finished in an earlier run

    @property
    def name(self) -> str:
        """Of the section."""
        return self.section.name

    @property
    def found(self) -> list[dict[str, Any]]:
        """The rows of regions that were found."""
        return [row for row in self.rows if is_found(row)]


@dataclass(frozen=True)
class Job:
    """What all sections of a run have in common; it can be sent to another machine."""

    weights: str  # a name in the manifest, or an absolute path
    experiment: Experiment
    settings: Mapping[str, Any]  # that differ from those of the weights
    out: Path  # folder of the outputs, absolute
    options: Mapping[str, Any]  # of `segment_section`
    facts: Mapping[str, Any]  # all that the outputs depend on but the pictures: `run_facts`

    @functools.cached_property
    def fingerprint(self) -> str:
        """Checksum of the facts, SHA-256 in hexadecimal."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()

    def begin(self) -> None:
        """Make the folder of the outputs, with a file that says what they are made with."""
        self.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"fingerprint": self.fingerprint, **self.facts}, indent=1)
        replace_own_text(self.out / _RUN_FILE, text + "\n")
        self._mark.parent.mkdir(exist_ok=True)
        self._mark.touch()

    def begun(self) -> bool:
        """Whether the folder of the outputs is the one that `begin` wrote to, seen from here."""
        return self._mark.is_file()

    @property
    def _mark(self) -> Path:
        # Of this job alone: others may write to the folder at the same time.
        return self.out / RECORDS / f"{self.fingerprint}.begun"

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
    formats: Sequence[str] = (),
    channel: int | None = None,
    z: int | str | None = None,
    pixel_um: float | None = None,
    plane: str | None = None,
    orientation: str | None = None,
    tta: bool = False,
    place: bool | None = None,
) -> Job:
    """A job, checked without building the network.

    `weights` is a name in the manifest or a path; `settings` differ from those of the weights;
    for `tile` and what follows see `segment_section`.

    Raises:
        FileNotFoundError: no such weights.
        ValueError: damaged weights, or settings that cannot work.
    """
    settings = dict(settings or {})
    demand_tiles(tile, overlap)
    demand_pixel_size(pixel_um)
    demand_outputs(formats, shapes)
    demand_count("overlay_px", overlay_px)
    Choice(channel, z)  # may refuse
    options = {"tile": tile, "overlap": overlap, "overlay_px": overlay_px, "shapes": shapes}
    options |= {"formats": sorted(set(formats)), "channel": channel, "z": z}
    plane = plane or experiment.plane or None
    options |= {"pixel_um": pixel_um, "plane": plane, "orientation": orientation, "tta": tta}
    options["place"] = place
    found, _, config = find_network(weights, experiment, **settings)
    _say_what_is_judged(found, tta)
    return Job(
        weights=found.name or str(found.path.absolute()),
        experiment=experiment,
        settings=settings,
        out=Path(out).absolute(),
        options=options,
        facts=run_facts(found, config, experiment.regions, options),
    )


def _say_what_is_judged(found: WeightsFile, tta: bool) -> None:
    """Warn where nothing is known of what to doubt; raise a UserError for a look at turned pictures
    that would change nothing."""
    trust = load_trust(found)
    if trust is None:
        logger.warning(
            "%s has no trust file: nothing is said of pictures and regions that should be doubted "
            "(`sebre models calibrate` makes one).",
            found.name or found.path,
        )
    if tta and not isinstance(trust, TrustModel):
        raise UserError(
            f"--tta: would change nothing, as {found.name or found.path} has no trust file that "
            "judges turned pictures. Leave it out."
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
        "trust": file_sha256(trust) if (trust := trust_path(weights)).is_file() else None,
        "place": placer_sha256(),
        "packages": packages(),
        "version": __version__,
        "results": RESULTS,
    }


def demand_free(
    sections: Sequence[SectionFile],
    out: Path,
    shapes: str | None = None,
    run: bool = True,
    formats: Sequence[str] = (),
) -> None:
    """Raise a UserError if outputs of sections, or of the run, would replace what is not ours."""
    paths = [path for one in sections for path in paths_of(one, out, shapes, formats)]
    paths += [out / TABLE, *([out / _RUN_FILE, out / PAGE, out / SUMMARY] if run else [])]
    demand_own(paths, [section.path for section in sections])


def paths_of(
    section: SectionFile, out: Path, shapes: str | None = None, formats: Sequence[str] = ()
) -> list[Path]:
    """Where the outputs of a section go."""
    if section.is_volume:
        return scan_paths(section.name, out)
    return output_paths(section.name, out, shapes, formats)


def segment_section(
    segmenter: Segmenter,
    section: SectionFile,
    overlay_px: int = OVERLAY_PX,
    tile: int | None = None,
    overlap: int | None = None,
    channel: int | None = None,
    z: int | str | None = None,
    pixel_um: float | None = None,
    plane: str | None = None,
    orientation: str | None = None,
    tta: bool = False,
    place: bool | None = None,
    shapes: str | None = None,
    formats: Sequence[str] = (),
) -> Prediction | ScanPrediction:
    """Find the regions of a picture or a volume.

    For the options see `sebre.predict.prediction.predict_picture`; `plane` and `orientation` are
    those of `sebre.predict.scans.predict_scan`; of a volume the others do not count, which is said.

    Raises:
        UserError: a pixel size for a volume, whose header has that of its voxels.
    """
    if section.is_volume:
        if pixel_um is not None:
            raise UserError(
                f"{section.path}: --pixel-um {pixel_um:g} is of pictures; a volume has the voxel "
                "size of its header. Correct that, or leave --pixel-um out."
            )
        given = {"--tile": tile, "--channel": channel, "--z": z, "--tta": tta or None}
        given |= {"--masks": shapes, "--format": formats or None, "--place": place}
        if unused := [name for name, value in given.items() if value is not None]:
            logger.warning("%s: a volume; %s does not count.", section.path, ", ".join(unused))
        return predict_scan(segmenter, section.path, section.name, plane, orientation)
    how = (tile, overlap, channel, z, pixel_um, overlay_px, tta, place)
    try:
        return predict_picture(segmenter, section.path, section.name, *how)
    except UnknownPictureError as error:
        raise UserError(f"{error} Or a volume: {', '.join(VOLUME_TYPES)}.") from error


def segment_file(
    segmenter: Segmenter,
    section: SectionFile,
    out: Path,
    fingerprint: str | None = None,
    shapes: str | None = None,
    formats: Sequence[str] = (),
    **options: Any,
) -> SectionOutcome:
    """Segment a picture or volume and write its label map, its overlay and last its record.

    Nothing is raised: the outcome says what went wrong. The folder `out` exists.

    Args:
        segmenter: the network.
        section: what to segment.
        out: folder.
        fingerprint: of the job; what has none is never taken for finished.
        shapes: also write the regions to `<name>_regions.json`, see `save_shapes`.
        formats: also write them for other programs, see `sebre.predict.exchange`.
        **options: of `segment_section`.
    """
    try:
        # The name may have been given to another picture meanwhile.
        section = dataclasses.replace(section, name=claim(out, section.name, section.path))
        seen = stamp(section.path)  # before it is read: a change meanwhile is found later
        try:
            asked = {"shapes": shapes, "formats": formats, **options}
            found = segment_section(segmenter, section, **asked)
        except BaseException:
            # What was made of the same picture before is as good as it was.
            same = read_record(out, section.name).get("picture") == seen
            (disown if same else forget)(out, section.name)
            raise
        # While outputs are replaced, and if that stops halfway, no run may take them for its own.
        forget(out, section.name)
        _remove_others(out, section, shapes, formats)
        if isinstance(found, Prediction):
            found.save(out, formats, options.get("overlay_px", OVERLAY_PX), shapes)
        else:
            found.save(out)
        write_record(out, section.name, seen, found.rows, fingerprint, about(found))
    except Exception as error:  # whatever a picture leads to, the others go on
        logger.debug("%s failed", section.path, exc_info=True)
        return SectionOutcome(section, error=describe(error, section.path))
    return SectionOutcome(section, found.rows, found.warnings)


def _remove_others(
    out: Path, section: SectionFile, shapes: str | None, formats: Sequence[str]
) -> None:
    """Files of an earlier call that this one does not write again would show other regions than
    its label map; those that somebody changed since stay, and are named."""
    every = output_paths(section.name, out, "rle", [*FORMATS])
    kept = paths_of(section, out, shapes, formats)
    stale = [path for path in every if path not in kept and path.is_file()]
    if removed := [path for path in stale if is_own(path)]:
        for path in removed:
            path.unlink()
        names = some([path.name for path in removed])
        logger.warning("%s: of an earlier call, and removed: ask for them again.", names)
    if changed := [path.name for path in stale if path not in removed]:
        logger.warning(
            "%s: of an earlier call, and changed since; left as they are.", some(changed)
        )


def finished(job: Job, section: SectionFile) -> SectionOutcome | None:
    """The outcome of an earlier run; None unless that was with the same facts, the picture is
    unchanged and the outputs are there."""
    record = read_record(job.out, section.name)
    if "rows" not in record or record["fingerprint"] != job.fingerprint:
        return None
    outputs = paths_of(section, job.out, job.options["shapes"], job.options["formats"])
    if not all(path.is_file() for path in (section.path, *outputs)):
        return None
    if record["picture"] != stamp(section.path):
        return None
    warnings = tuple(record.get("about", {}).get("warnings", ()))
    return SectionOutcome(section, record["rows"], warnings, earlier=True)


def describe(error: BaseException, path: Path) -> str:
    """An error as one line that names the picture."""
    text = " ".join(str(error).split())
    if not isinstance(error, ValueError | OSError):
        text = f"{type(error).__name__}: {text}"
    return text if str(path) in text else f"{path}: {text}"
