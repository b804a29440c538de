"""Scores of registration on a prepared data set: paper, Fig. 8 and Supp. 7.

Each test section gets the labels of one training section, laid on it; the scores are those of
`sebre.evaluate`, at the resolution of the section as stored.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.utils import extract_bboxes
from sebre.dataset import SectionDataset
from sebre.environment import environment
from sebre.evaluate import save_json, section_record
from sebre.experiments import EXPERIMENTS
from sebre.facts import SetFacts, read_facts
from sebre.pictures import drawn_labels
from sebre.prepare.rotation import rotated_versions
from sebre.regions import RegionSet
from sebre.registration import RegistrationError, register
from sebre.registration_atlas import RULE, choose_atlas, near, positions
from sebre.scores import Section, score_section
from sebre.summary import summarize

LABELLED, TESTED = "train", "val"
ROTATE = 20.0  # degrees: the ends of the paper's range


def evaluate_registration(
    root: str | Path,
    regions: RegionSet,
    method: str,
    rotate: float = ROTATE,
    limit: int | None = None,
    seed: int = 0,
    threads: int = 1,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Register an atlas on each test section, upright and rotated, and score its labels.

    Two runs with the same seed and one thread differ in times only.

    Args:
        root: folder of a prepared data set. Atlases are of its training part, sections to
            label of its test part ("val").
        regions: the region set.
        method: one of `sebre.registration.METHODS`.
        rotate: sections are scored upright, and turned by this many degrees, to a side drawn
            at random; the canvas is enlarged so that nothing is cut off. Atlases stay upright.
        limit: take so many sections, evenly spaced among those that show the most regions;
            None for all.
        seed: of the sides, of elastix and of the bootstrap.
        threads: of elastix.
        facts: further entries of the record, such as the command.

    Returns:
        A record as `sebre.evaluate.evaluate` has it, that of the rotated sections under
        "turned". In place of weights there are "method", "parameters", "threads" and "atlas",
        how atlases were chosen. Each section has its "atlas", the "similarity" and the
        "seconds" of its registration; "failed" if the method found no transform, which counts
        as all regions missed. "seconds_per_section" has mean, median and largest, the choice
        of the atlas and the loading of packages left out.

    Raises:
        ValueError: the data set cannot be read, or an option is out of range.
        ModuleNotFoundError: the package of the method is not installed.
    """
    start = time.perf_counter()
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; wanted at least 1 section, or None for all.")
    known = read_facts(root)
    bench = _Bench(root, regions, method, seed, threads, known)
    chosen = _chosen(bench.tested, limit)
    sides = np.random.default_rng(seed).choice([-1, 1], len(chosen))
    upright = bench.scores(chosen, [0.0] * len(chosen), whole=limit is None)
    turned = bench.scores(chosen, (sides * float(rotate)).tolist(), whole=False)
    sections = upright.pop("sections")
    return {
        "experiment": None,
        "method": method,
        "dataset": Path(root).resolve().name,
        "subset": TESTED,
        "split": known.record.get("split"),
        "plane": known.record.get("plane"),
        "pixel_size_um": known.record.get("pixel_size_um"),
        "parameters": bench.parameters,
        "threads": bench.threads,
        "atlas": {"subset": LABELLED, "rule": RULE},
        "limit": limit,
        "seed": seed,
        **(facts or {}),
        **upright,
        "turned": {"rotate": rotate, "enlarged": True, "seed": seed, **turned},
        "environment": environment(),
        "seconds": round(time.perf_counter() - start, 1),
        "sections": sections,
    }


def register_command(
    experiment: str,
    dataset: str | Path,
    method: str,
    out: str | Path,
    rotate: float = ROTATE,
    limit: int | None = None,
    seed: int = 0,
    threads: int = 1,
    command: str | None = None,
) -> dict[str, Any]:
    """What `sebre register` does: `evaluate_registration`, written to a file.

    Args:
        experiment: its name; it gives the regions.
        dataset: folder of a prepared data set.
        method: one of `sebre.registration.METHODS`.
        out: JSON file to write.
        rotate: degrees.
        limit: number of sections.
        seed: of what is random.
        threads: of elastix.
        command: for the record.

    Returns:
        The record.

    Raises:
        ValueError: as `evaluate_registration`, or there is no such experiment.
        ModuleNotFoundError: the package of the method is not installed.
    """
    if experiment not in EXPERIMENTS:
        raise ValueError(f"{experiment!r} is not one of {', '.join(EXPERIMENTS)}.")
    facts = {"experiment": experiment, **({"command": command} if command else {})}
    regions = EXPERIMENTS[experiment].regions
    record = evaluate_registration(dataset, regions, method, rotate, limit, seed, threads, facts)
    save_json(record, out)
    return record


class _Bench:
    """Both parts of a data set, and a method."""

    def __init__(
        self,
        root: str | Path,
        regions: RegionSet,
        method: str,
        seed: int,
        threads: int,
        facts: SetFacts,
    ):
        self.regions, self.method, self.seed, self.facts = regions, method, seed, facts
        self.labelled, self.tested = (
            SectionDataset(regions).load(root, subset) for subset in (LABELLED, TESTED)
        )
        self.labelled.prepare()
        self.tested.prepare()
        self.positions = positions(root)
        self.names = [self.labelled.image_reference(i) for i in self.labelled.image_ids]
        # Small enough to be kept: every test section is compared with many of them.
        self.pictures = [self.labelled.load_image(i) for i in self.labelled.image_ids]
        self.threads = threads
        self.parameters: Mapping[str, Any] = {}

    def scores(
        self, image_ids: Sequence[int], angles: Sequence[float], whole: bool
    ) -> dict[str, Any]:
        """Scores of test sections, each turned by its angle.

        Args:
            image_ids: of the test sections.
            angles: degrees, one a section.
            whole: these are all sections as they lie, so that they make up volumes.
        """
        records: list[dict[str, Any]] = []
        sections = self._run(image_ids, angles, records)
        summary = summarize(sections, self.regions, self.facts, not whole, self.seed)
        return {**summary, "seconds_per_section": _times(records), "sections": records}

    def _run(
        self, image_ids: Sequence[int], angles: Sequence[float], records: list[dict[str, Any]]
    ) -> Iterator[Section]:
        """Score test sections at their angles, one at a time; adds to `records`."""
        for image_id, angle in zip(image_ids, angles, strict=True):
            name = self.tested.image_reference(image_id)
            masks, class_ids = self.tested.load_mask(image_id)
            drawn = {int(c): masks[..., i] for i, c in enumerate(class_ids)}
            _, _, picture, drawn = next(
                rotated_versions(
                    self.tested.load_image(image_id), drawn, enlarge=True, angles=(angle,)
                )
            )
            among = near(name, self.names, self.positions)
            atlas = choose_atlas(picture, self.pictures, among)
            labels, seconds, failed = self._labels(atlas.index, picture)
            section = score_section(
                name,
                picture,
                np.stack([*drawn.values()], axis=-1) if drawn else masks[..., :0],
                np.array([*drawn], np.int32),
                _as_result(labels),
                self.facts.pixel_of(name),
            )
            records.append(
                {
                    **section_record(section, self.regions),
                    "mse": sum(section.errors.values()) / len(self.regions),
                    "angle": angle,
                    "atlas": self.names[atlas.index],
                    "similarity": atlas.similarity,
                    "seconds": seconds,
                    **({"failed": failed} if failed else {}),
                }
            )
            yield section

    def _labels(self, index: int, picture: np.ndarray) -> tuple[np.ndarray, float | None, str]:
        """Labels of an atlas on a section, seconds, and why there are none."""
        try:
            transform = register(
                self.method, self.pictures[index], picture, self.seed, self.threads
            )
        except RegistrationError as error:
            return np.zeros(picture.shape[:2], np.uint8), None, str(error)
        self.parameters, self.threads = transform.parameters, transform.threads
        masks, class_ids = self.labelled.load_mask(self.labelled.image_ids[index])
        return transform.labels(drawn_labels(class_ids, masks)), transform.seconds, ""


def _chosen(tested: SectionDataset, limit: int | None) -> list[int]:
    """Test sections: all, or `limit` evenly spaced of those that show the most regions."""
    image_ids = [int(i) for i in tested.image_ids]
    if limit is None:
        return image_ids
    shown = {i: len(tested.load_mask(i)[1]) for i in image_ids}
    full = [i for i in image_ids if shown[i] == max(shown.values())]
    at = np.linspace(0, len(full) - 1, min(limit, len(full))).round().astype(int)
    return [full[i] for i in at]


def _as_result(labels: np.ndarray) -> dict[str, Any]:
    """A label map as `MaskRCNN.detect` gives it, every region with the score 1."""
    class_ids = np.unique(labels[labels > 0]).astype(np.int32)
    masks = labels[..., None] == class_ids
    return {
        "rois": extract_bboxes(masks),
        "class_ids": class_ids,
        "scores": np.ones(len(class_ids), np.float32),
        "masks": masks,
    }


def _times(records: Sequence[Mapping[str, Any]]) -> dict[str, float] | None:
    """Mean, median and largest of the seconds of the sections that were registered."""
    seconds = [record["seconds"] for record in records if record["seconds"] is not None]
    if not seconds:
        return None
    return {
        "mean": float(np.mean(seconds)),
        "median": float(np.median(seconds)),
        "max": max(seconds),
    }
