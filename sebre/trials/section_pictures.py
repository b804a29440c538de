"""Pictures of single test sections, as the paper shows them, from data whose license allows it.

    python -m sebre.trials.section_pictures --data datasets --out results/pictures

Fig. 3 (drawn and found, upright and turned), Fig. 6 (fields of the hippocampus), Fig. 7 (human T1),
Fig. 8a with Supp. 7 (a network and registration, upright and turned) and Supp. 9 (maps of the mask
head). `sebre compare` shows them. Sections are the middle ones of those that show the most regions,
and not chosen by score; those of Fig. 6 are all that may be shown and have a hippocampus.
"""

import argparse
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mrcnn.io.files import replace_text
from mrcnn.io.own_files import replace_own
from sebre.data.dataset import SectionDataset
from sebre.data.listing import visible
from sebre.data.region_masks import RegionMasks
from sebre.data.rotation import rotated_versions
from sebre.data.section_files import part_folder
from sebre.drawing.contact_sheet import save_sheet
from sebre.drawing.overlay import drawn_labels, overlay
from sebre.evaluation.section import score_section, sheet_row
from sebre.experiments import EXPERIMENTS
from sebre.networks.segmenter import Segmenter, best_labels, demand_mask_rcnn, load_segmenter
from sebre.predict.prediction import Network
from sebre.program import run_module
from sebre.registration.labelers import AtlasLabeler
from sebre.trials.copied_labels import spread

CAPTIONS = "captions.json"
_TURN = 20  # degrees
_COLORS = 256  # of a PNG: each is to stay below 200 kB
_MAP_PX = 224  # side of a map of the mask head, 28 x 28, enlarged
_TESTED = "val"

Row = tuple[str, list[np.ndarray]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plate:
    """A picture to make.

    Attributes:
        file: its name.
        rows: makes the titles and pictures, given the network, the sections and their folder; of
            a folder of pictures without drawn regions the sections are None.
        experiment: its name.
        dataset: folder below the data.
        weights: of the network.
        caption: what is shown, with what the license asks for.
        headings: over the second and later pictures of a row.
        across: rows side by side.
    """

    file: str
    rows: Callable[[Segmenter, SectionDataset | None, Path], Iterator[Row]] = field(repr=False)
    experiment: str
    dataset: str
    weights: str
    caption: str
    headings: tuple[str, ...] = ()
    across: int = 1


def fullest(sections: SectionDataset, most: int) -> list[int]:
    """Sections that show the most regions, some of them, evenly spread over the inner ones."""
    shown = {int(i): len(sections.load_mask(i)[1]) for i in sections.image_ids}
    full = [i for i, count in shown.items() if count == max(shown.values())]
    return spread(full, most + 2)[1:-1] if len(full) > most + 1 else full[:most]


def versions(
    sections: SectionDataset, image_id: int, angles: Sequence[float]
) -> Iterator[tuple[str, np.ndarray, RegionMasks]]:
    """Title, picture and masks of a section at some angles, on canvases that hold all of it."""
    image, masks = sections.load_image(image_id), RegionMasks(*sections.load_mask(image_id))
    name = sections.image_reference(image_id)
    for angle, _, picture, drawn in rotated_versions(
        image, masks.by_class, enlarge=True, angles=tuple(angles)
    ):
        title = f"{name} {angle:+g}°" if angle else name
        yield title, picture, RegionMasks.of(drawn, picture.shape)


def drawn_and_found(most: int, angles: Sequence[float]) -> Callable[..., Iterator[Row]]:
    """Rows of sections, drawn and found, at some angles."""

    def rows(network: Segmenter, sections: SectionDataset, root: Path) -> Iterator[Row]:
        del root
        for image_id in fullest(sections, most):
            for title, picture, drawn in versions(sections, image_id, angles):
                result = network.detect([picture])[0]
                section = score_section(title, picture, drawn, result, contours=False)
                yield sheet_row(section, sections.regions)

    return rows


def by_method(most: int, methods: Sequence[str]) -> Callable[..., Iterator[Row]]:
    """Rows of sections, upright and turned: drawn, found, and labels laid on by registration."""

    def rows(network: Segmenter, sections: SectionDataset, root: Path) -> Iterator[Row]:
        labelers = [AtlasLabeler(root, sections.regions, method) for method in methods]
        for image_id in fullest(sections, most):
            name = sections.image_reference(image_id)
            for title, picture, drawn in versions(sections, image_id, (0, _TURN)):
                labels = [drawn_labels(drawn.class_ids, drawn.stack)]
                found = [network.detect([picture])[0]]
                found += [labeler.label(name, picture).result for labeler in labelers]
                labels += [best_labels(result, picture.shape) for result in found]
                yield (
                    title,
                    [overlay(picture, each, sections.regions) for each in labels],
                )

    return rows


def mask_heads(network: Segmenter, sections: SectionDataset, root: Path) -> Iterator[Row]:
    """A section as found, and for each detection the map of its class of the mask head."""
    del root
    (image_id,) = fullest(sections, 1)
    image = sections.load_image(image_id)
    result = network.detect([image])[0]
    name = sections.image_reference(image_id)
    yield name, [overlay(image, best_labels(result, image.shape), sections.regions)]
    stages = demand_mask_rcnn(network).model.inspect(image)
    for row, detection in enumerate(stages.detections):
        class_id = int(detection[4])
        if class_id == 0:
            continue
        gray = np.rint(stages.mrcnn_mask[row, ..., class_id] * 255).astype(np.uint8)
        gray = cv2.resize(gray, (_MAP_PX, _MAP_PX), interpolation=cv2.INTER_NEAREST)
        shown = cv2.cvtColor(cv2.applyColorMap(gray, cv2.COLORMAP_CIVIDIS), cv2.COLOR_BGR2RGB)
        yield f"{sections.regions[class_id].name.replace('_', ' ')} {detection[5]:.2f}", [shown]


def whole_sections(network: Segmenter, sections: None, root: Path) -> Iterator[Row]:
    """Pictures of a folder, and what is found on both sides of each."""
    del sections
    for path in visible(root, "*.jpg"):
        found = Network(network).predict(path)
        blank = np.zeros_like(found.label_map)
        yield (
            path.stem,
            [overlay(found.pixels, labels, network.regions) for labels in (blank, found.label_map)],
        )


_BARBIER = "sections of Barbier et al. 2018, Apache-2.0"
_MRI = "MRI of dama-lab/mouse-brain-atlas (Ma et al. 2014, 2019), GPL-3"
_MALC = (
    "scans of OASIS, labels provided by Neuromorphometrics, Inc. "
    "(http://Neuromorphometrics.com/) under academic subscription, MICCAI 2012 challenge, "
    "CC BY-NC 3.0, not for commercial use"
)
_METHODS = ("found", "elastix", "SyN (dipy)")
PLATES = (
    Plate(
        "fig3_slicemap.png",
        drawn_and_found(3, (0, -_TURN)),
        *("slicemap", "slicemap", "slicemap"),
        f"As Fig. 3: sagittal test sections, drawn and found, upright and turned ({_BARBIER})",
        ("drawn", "found"),
        2,
    ),
    Plate(
        "fig3_p14.png",
        drawn_and_found(1, (0, -_TURN)),
        *("p14_mouse", "sebre_figures", "p14_mouse_unet"),
        "As Fig. 3: the one in-situ hybridization section held out, drawn by the authors and found "
        "by the U-Net p14_mouse_unet, upright and turned (figure of the released code of SeBRe, "
        "MIT, (c) 2019 Asim Iqbal; material of the Allen Institute)",
        ("drawn", "found"),
        2,
    ),
    Plate(
        "fig3_mouse_mri.png",
        drawn_and_found(3, (0, -_TURN)),
        *("extended_mouse", "mouse_mri", "extended_mouse_mri"),
        f"As Fig. 3: sagittal test sections, drawn and found, upright and turned ({_MRI})",
        ("drawn", "found"),
        2,
    ),
    Plate(
        "fig6_coronal.png",
        whole_sections,
        *("hippocampus", "shown/abba_mouse_project", "hippocampus"),
        "As Fig. 6: fields of the hippocampus found in coronal sections of another laboratory, "
        "nuclear stain, with nothing drawn to score them by (BIOP/ijp-imagetoatlas, MIT)",
        ("found",),
        2,
    ),
    Plate(
        "fig7_malc2012.png",
        drawn_and_found(4, (0,)),
        *("ibsr", "malc2012", "ibsr"),
        f"As Fig. 7: slices of four test scans, drawn and found ({_MALC})",
        ("drawn", "found"),
        2,
    ),
    Plate(
        "fig8a_slicemap.png",
        by_method(1, ("elastix", "dipy")),
        *("slicemap", "slicemap", "slicemap"),
        "As Fig. 8a and Supp. 7: drawn, found, and labels laid on by registration, upright and "
        f"turned ({_BARBIER})",
        _METHODS,
    ),
    Plate(
        "supp9_slicemap.png",
        mask_heads,
        *("slicemap", "slicemap", "slicemap"),
        "As Supp. 9: a test section as found, and the 28 x 28 map of the mask head for each "
        f"detection, with its score ({_BARBIER})",
        (),
        4,
    ),
)


def make(plate: Plate, data: Path, out: Path) -> None:
    """Write one picture."""
    experiment = EXPERIMENTS[plate.experiment]
    network = load_segmenter(plate.weights, experiment)
    root = data / plate.dataset
    sections = None
    if part_folder(root, _TESTED, "images").is_dir():
        sections = experiment.load(root, _TESTED)
        sections.contrast = network.config.CONTRAST
    rows = list(plate.rows(network, sections, root))
    save_sheet(
        rows, plate.headings, experiment.regions, out / plate.file, plate.across, _few_colors
    )


def _few_colors(path: str | Path, draw: Callable[[Path], object]) -> None:
    """Write a PNG with a palette, which is a quarter of the size.

    The palette spans all colors: the median cut would merge those of small regions.
    """

    def write(part: Path) -> None:
        draw(part)
        with Image.open(part) as whole:
            picture = whole.convert("RGB").quantize(
                _COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
            )
        buffer = BytesIO()
        picture.save(buffer, format="PNG", optimize=True)
        part.write_bytes(buffer.getvalue())

    replace_own(path, write)


def captions(plates: Sequence[Plate] = PLATES) -> Mapping[str, str]:
    """Caption by file."""
    return {plate.file: plate.caption for plate in plates}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of prepared data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    names = [plate.file for plate in PLATES]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args.out.mkdir(parents=True, exist_ok=True)
    for plate in PLATES:
        if plate.file in args.only:
            make(plate, args.data, args.out)
            logger.info("%s", args.out / plate.file)
    replace_text(args.out / CAPTIONS, json.dumps(captions(), indent=1) + "\n")


if __name__ == "__main__":
    run_module(main)
