"""A section of a prepared data set, with a network that knows its regions, ready to be shown."""

import os
from dataclasses import replace
from pathlib import Path

from mrcnn.errors import UserError
from sebre.data.dataset import SectionDataset
from sebre.data.region_names import recorded_regions
from sebre.data.section_files import part_folder
from sebre.experiments import EXPERIMENTS
from sebre.experiments.base import Experiment
from sebre.inspect.trace import PAPER_NUMBERS, Walk, walk_section
from sebre.networks.segmenter import MaskRCNNSegmenter, demand_mask_rcnn, load_segmenter
from sebre.networks.weights_store import stored_settings

_LOOKED_AT = 30  # sections of which the best to show is taken

DATASETS = Path(__file__).resolve().parents[2] / "datasets"

# Prepared data sets and shipped networks that find their regions at the paper's 384 px, by
# experiment. The last is embedded; of others whose license allows it, one section is.
_EMBEDDED = ("slicemap", "slicemap_384")
_SHOWN = "shown"  # folder of single sections
_AT_PAPER_SIZE = {
    "extended_mouse": ("mouse_mri", "extended_mouse_384"),
    "hippocampus": ("ara_nissl", "hippocampus"),
    "ibsr": ("malc2012", "ibsr"),
    "slicemap": _EMBEDDED,
}


def open_walk(
    experiment: str,
    dataset: str | Path | None = None,
    weights: str | Path | None = None,
    section: str | None = None,
    features: bool = False,
) -> Walk:
    """Take one section of a prepared data set through a network (paper, Fig. 2).

    A shipped network runs with the numbers of the released code: 384 px, 6,000 anchors before
    non-maximum suppression, 1,000 proposals, 8 detections. Other weights keep their own.

    Args:
        experiment: its name.
        dataset: prepared folder; None takes the experiment's stand-in in `datasets/`, and where
            that is not there, or SEBRE_EMBEDDED_ONLY is set, the section of it that is embedded, or
            else those of `slicemap`.
        weights: name or path; None takes the shipped network that knows the data set's regions.
        section: such as "val/3"; None takes one of the test part with most regions.
        features: keep the feature maps too.
    """
    if experiment not in EXPERIMENTS:
        raise UserError(f"{experiment!r} is not one of {', '.join(EXPERIMENTS)}.")
    note = ""
    if dataset is None:
        wanted = _AT_PAPER_SIZE.get(experiment, _EMBEDDED)[0]
        dataset = DATASETS / wanted
        only = os.environ.get("SEBRE_EMBEDDED_ONLY") and wanted != _EMBEDDED[0]
        if only or not dataset.is_dir():
            if not only:
                note = f"datasets/{wanted} is not here (`sebre prepare` makes it). "
            one = DATASETS / _SHOWN / wanted
            dataset = one if one.is_dir() else DATASETS / _EMBEDDED[0]
    root = Path(dataset)
    chosen, segmenter = _network(experiment, root, weights)
    sections = _load(root, chosen, section)
    image_id = _richest(sections) if section is None else 0
    name = sections.image_reference(image_id)
    note += (
        f"Section {name} of {root.name}; network {segmenter.weights.name or weights}, which looks "
        f"for {', '.join(chosen.regions.names)}."
    )
    trained, shown = _sides(segmenter)
    if trained != shown:
        note += f" It was trained at {trained} px and is shown at {shown} px."
    masks, class_ids = sections.load_mask(image_id)
    return walk_section(
        segmenter, sections.load_image(image_id), masks, class_ids, name, note, features
    )


def _network(
    experiment: str, root: Path, weights: str | Path | None
) -> tuple[Experiment, MaskRCNNSegmenter]:
    """The experiment that has the data set's regions, and a network for it."""
    drawn = recorded_regions(root)
    known = [EXPERIMENTS[experiment], *EXPERIMENTS.values()]
    fitting = [e for e in known if drawn is None or e.regions.names == drawn.names]
    if weights is not None:
        chosen = fitting[0] if fitting else replace(EXPERIMENTS[experiment], regions=drawn)
        return chosen, demand_mask_rcnn(load_segmenter(weights, chosen))
    chosen = next((e for e in fitting if e.name in _AT_PAPER_SIZE), None)
    if chosen is None:
        regions = ", ".join((drawn or EXPERIMENTS[experiment].regions).names)
        raise UserError(
            f"{root}: no network is shipped for its regions ({regions}). Train one with "
            "`sebre train`, and give its weights."
        )
    return chosen, load_segmenter(_AT_PAPER_SIZE[chosen.name][1], chosen, **PAPER_NUMBERS)


def _sides(segmenter: MaskRCNNSegmenter) -> tuple[int, int]:
    """Size of the pictures that a network was trained on, and of those that it gets here."""
    shown = segmenter.model.config.IMAGE_MAX_DIM
    return stored_settings(segmenter.weights).get("IMAGE_MAX_DIM", shown), shown


def _load(root: Path, experiment: Experiment, section: str | None) -> SectionDataset:
    """The section asked for, or the whole test part (the training part where there is none)."""
    subset, numbers = "val", None
    if section is not None:
        subset, _, number = section.partition("/")
        if not number.isdecimal():
            raise UserError(f"section is {section!r}; give part and number, such as 'val/3'.")
        numbers = [int(number)]
    elif not part_folder(root, "val", "images").is_dir():
        subset = "train"
    sections = SectionDataset(experiment.regions).load(root, subset, numbers)
    sections.prepare()
    return sections


def _richest(sections: SectionDataset) -> int:
    """Of the sections with most regions, the one whose smallest region is largest."""
    counts = [len(info["masks"]) for info in sections.image_info]
    rich = [i for i, count in enumerate(counts) if count == max(counts)]
    rich = rich[:: max(1, len(rich) // _LOOKED_AT)]

    def smallest(image_id: int) -> int:
        masks, _ = sections.load_mask(image_id)
        return int(min(masks.sum(axis=(0, 1)), default=0))

    return max(rich, key=smallest)
