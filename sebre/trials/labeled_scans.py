"""Colin27 and Eve, two human T1 scans with labels of other definitions, as prepared data sets.

    python -m sebre.trials.labeled_scans colin27 --raw raw/extra_t1 --out datasets/colin27
    sebre evaluate ibsr --dataset datasets/colin27 --weights ibsr --draws 0 \
        --out results/cross_dataset/colin27.json

Each is one person, all of it a test part. They are cut as `malc2012` is, in the same plane.
"""

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sebre.data.regions import SUBCORTICAL
from sebre.prepare.build import build
from sebre.prepare.raw import RawSet
from sebre.prepare.sources.malc2012 import MIN_MASK_PX
from sebre.prepare.volume_source import Scan, VolumeCutter

PLANE = "horizontal"


@dataclass(frozen=True)
class LabeledScan:
    """A scan of the folder: image, labels, their numbers by class id, and what is known of it.

    `numbers` gives the class id of SUBCORTICAL by number in the label volume.
    """

    image: str
    labels: str
    numbers: Mapping[int, int]
    license: str
    card: str


def _numbers(*pairs: tuple[int, int]) -> dict[int, int]:
    """Class ids by number, of (left, right) of caudate, putamen, pallidum and thalamus."""
    flat = [number for pair in pairs for number in pair]
    return {number: region.id for number, region in zip(flat, SUBCORTICAL, strict=True)}


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
}


def read_scan(name: str, raw: Path) -> RawSet:
    """A scan of the raw folder as sections; the orientation is that of its header."""
    scan = SCANS[name]
    cells = {"subject": name, "scan": name, "marker": "T1"}
    return VolumeCutter(SUBCORTICAL, scan.numbers, PLANE, None, MIN_MASK_PX).cut(
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
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    command = f"python -m sebre.trials.labeled_scans {args.scan} --raw RAW --out {args.out}"
    build(read_scan(args.scan, args.raw), args.out, command=command)


if __name__ == "__main__":
    main()
