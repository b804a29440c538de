"""Labeled scans of other sources as prepared data sets: all of each is a test part.

    python -m sebre.trials.labeled_scans colin27 --raw raw/extra_t1 --out datasets/colin27
    sebre evaluate ibsr --dataset datasets/colin27 --weights ibsr --draws 0 \
        --out results/cross_dataset/colin27.json

Colin27 and Eve are human T1 scans with labels of other definitions, cut as `malc2012` is, in the
same plane. CIVM is a template of diffusion MRI of the mouse with Allen's labels:

    python -m sebre.trials.labeled_scans civm --raw raw/civm_mouse_50um --out datasets/civm
"""

import argparse
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sebre.data.regions import MOUSE, SUBCORTICAL, RegionSet
from sebre.prepare.allen.structure_tree import mouse_classes, structure_table
from sebre.prepare.build import build
from sebre.prepare.raw import RawSet
from sebre.prepare.sources.malc2012 import MIN_MASK_PX
from sebre.prepare.volume_source import Scan, VolumeCutter
from sebre.program import run_module
from sebre.synthesis.classes import read_tree
from sebre.synthesis.sources import CIVM_LABELS, CIVM_NAMES, civm_structures


@dataclass(frozen=True)
class LabeledScan:
    """A scan of the folder: image, labels, their numbers by class id, and what is known of it.

    `numbers` gives the class id of `regions` by number in the label volume, or reads it from the
    raw folder, and a table of structures if one is given.
    """

    image: str
    labels: str
    numbers: Mapping[int, int] | Callable[[Path, Path | None], Mapping[int, int]]
    license: str
    card: str
    regions: RegionSet = SUBCORTICAL
    plane: str = "horizontal"
    marker: str = "T1"


def _numbers(*pairs: tuple[int, int]) -> dict[int, int]:
    """Class ids by number, of (left, right) of caudate, putamen, pallidum and thalamus."""
    flat = [number for pair in pairs for number in pair]
    return {number: region.id for number, region in zip(flat, SUBCORTICAL, strict=True)}


def _civm_numbers(raw: Path, structures: Path | None) -> Mapping[int, int]:
    table = structure_table(raw, structures)
    classes = mouse_classes(table)
    allen = civm_structures(raw / CIVM_NAMES, read_tree(table)).items()
    return {number: classes[structure] for number, structure in allen if structure in classes}


SCANS = {
    "colin27": LabeledScan(
        "colin27/ch2bet.nii.gz",
        "colin27/aal.nii.gz",
        _numbers((71, 72), (73, 74), (75, 76), (77, 78)),
        "distributed with MRIcron; BSD-3 for the package",
        "Colin27, the mean of 27 scans of one person (Holmes et al. 1998), with the labels of AAL "
        "(Tzourio-Mazoyer et al. 2002), which are coarse: the caudate has twice the size of that "
        "of `malc2012`.",
    ),
    "eve": LabeledScan(
        "eve/JHU_MNI_SS_T1_Brain.nii.gz",
        "eve/JHU_MNI_SS_WMPM_Type-II.nii.gz",
        _numbers((59, 124), (60, 125), (62, 127), (61, 126)),
        "GPL-2 of the package that it is distributed with",
        "Eve, one person, with labels edited by hand (Oishi et al., NeuroImage 2009;46:486).",
    ),
    "civm": LabeledScan(
        "CIVM_mouse.ISO.nii.gz",
        CIVM_LABELS,
        _civm_numbers,
        "Allen Institute terms of use (labels); Duke Center for In Vivo Microscopy (image)",
        "The diffusion MRI template of the adult mouse brain of the Duke Center for In Vivo "
        "Microscopy (isotropic diffusion), with the labels of the Allen CCFv3 warped onto it.",
        MOUSE,
        "sagittal",
        "diffusion MRI",
    ),
}


def read_scan(name: str, raw: Path, structures: Path | None = None) -> RawSet:
    """A scan of the raw folder as sections; the orientation is that of its header.

    Args:
        name: of SCANS.
        raw: folder of its files.
        structures: table of the Allen structures, for "civm"; None looks for it in `raw`, and in
            `ccf` beside it.
    """
    scan = SCANS[name]
    numbers = scan.numbers(raw, structures) if callable(scan.numbers) else scan.numbers
    cells = {"subject": name, "scan": name, "marker": scan.marker}
    return VolumeCutter(scan.regions, numbers, scan.plane, None, MIN_MASK_PX).cut(
        [Scan(raw / scan.image, raw / scan.labels, cells, "val")],
        name=name,
        license=scan.license,
        card=f"# {name}\n\n{scan.card}",
        split="test",
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments of the command line and write the data set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("scan", choices=SCANS)
    parser.add_argument("--raw", type=Path, required=True, help="folder of the raw scans")
    parser.add_argument("--structures", type=Path, help="table of the Allen structures (civm)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    command = f"python -m sebre.trials.labeled_scans {args.scan} --raw RAW --out {args.out}"
    build(read_scan(args.scan, args.raw, args.structures), args.out, command=command)


if __name__ == "__main__":
    run_module(main)
