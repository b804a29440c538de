"""Sources of raw data: one module each, with a function `read_source(raw, **options) -> RawSet`.

`SOURCES` lists them for the command line; `sebre.prepare.raw_download` fetches their files. The
options mean the same everywhere:

    raw          folder of the raw data
    plane        to cut; of pictures, what they show (None takes it from sections.csv)
    orientation  of the arrays of volumes, instead of their headers'
    structures   structure table of the Allen atlas; None looks in `raw` and in `ccf` beside it;
                 of the Nissl plates "areas" or "layers" of the cortex
    regions      CSV of the regions; None takes that of the folder
    downsample   divides the sides of images and masks
    channel, z   what is read of images with channels or pages
    smallest     mask that is kept, px; those of fewer are the ends of a structure
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrcnn.errors import MissingFileError, UserError
from sebre.prepare.raw import RawSet


@dataclass(frozen=True)
class Source:
    """What the command line must know of a source; its module is heavy to import."""

    summary: str  # for the help
    options: tuple[str, ...] = ()  # keywords of its `read_source`
    download_options: tuple[str, ...] = ()  # of its `download`, if its files are not in a list
    module: str = ""  # that reads it, if not that of its name
    given: Mapping[str, str] = field(default_factory=dict)  # keywords that are always the same


SOURCES = {
    "allen-ish": Source(
        "experimental: in-situ hybridization sections and atlases of the Allen Institute's API, "
        "never run against the live service",
        ("regions", "gene", "age", "plane", "downsample"),
        ("gene", "age", "plane", "downsample"),
    ),
    "annotations": Source(
        "sections with outlines: GeoJSON of QuPath, COCO, labelme, ROIs of ImageJ",
        ("regions", "plane", "downsample", "channel", "z"),
    ),
    "ara-nissl": Source(
        "Nissl plates and drawings of the Allen Reference Atlas (JPEG, SVG)", ("structures",)
    ),
    "ccf": Source(
        "Allen CCFv3 annotation and one registered brain (NRRD, TIFF)",
        ("plane", "structures", "smallest"),
    ),
    "colour-code": Source(
        "sections with color-coded overlays, your own or of the released notebook",
        ("regions", "plane", "downsample", "tolerance", "exact", "channel", "z"),
    ),
    "demba": Source(
        "mouse brain templates from P4 to adult (npz)", ("plane", "structures", "smallest")
    ),
    "fiji": Source(
        "sections with regions drawn or corrected in Fiji or ImageJ: ROIs of the ROI Manager",
        ("regions", "plane", "downsample", "channel", "z"),
        module="annotations",
        given={"program": "fiji"},
    ),
    "ibsr": Source("IBSR 18, human MRI (NIfTI or Analyze)", ("plane", "orientation")),
    "labels": Source(
        "sections with label maps (pixel value = id)",
        ("regions", "plane", "downsample", "channel", "z"),
    ),
    "malc2012": Source(
        "human T1 scans of the MICCAI 2012 multi-atlas challenge (NIfTI)",
        ("plane", "orientation", "smallest"),
    ),
    "mouse-mri": Source("in-vivo MRI of adult mice (NIfTI)", ("plane", "orientation", "smallest")),
    "prepared": Source("a prepared data set, for other regions (--map) or another split"),
    "qupath": Source(
        "sections with regions drawn or corrected in QuPath: its annotations as GeoJSON",
        ("regions", "plane", "downsample", "channel", "z"),
        module="annotations",
        given={"program": "qupath"},
    ),
    "sebre-figures": Source("four sections with masks from a figure of the released code (PNG)"),
    "slicemap": Source("sagittal mouse sections of Barbier et al. 2018 (NumPy arrays)"),
}


def source_name(text: str) -> str:
    """Name of a source as `SOURCES` has it: `color-code` is `colour-code`, its old spelling."""
    name = text.replace("_", "-")
    return "colour-code" if name == "color-code" else name


def source_module(name: str) -> str:
    """Name of the module of a source, and of its list of files: `color_code`."""
    if (source := SOURCES.get(name)) and source.module:
        return source.module
    return name.replace("-", "_").replace("colour", "color")


def import_source(name: str) -> Any:
    """The module of a source."""
    return importlib.import_module(f"{__name__}.{source_module(name)}")


def read_source(name: str, raw: str | Path, options: Mapping[str, Any]) -> RawSet:
    """Read the raw data of a source in a folder, with the options given by the user."""
    source = SOURCES.get(source_name(name))
    if source is None:
        raise UserError(f"No source {name!r}; there are {', '.join(SOURCES)}.")
    raw = Path(raw)
    if not raw.is_dir():
        raise MissingFileError(f"{raw}: no such folder of raw data.")
    if unknown := sorted(set(options) - set(source.options)):
        can = ", ".join(f"--{option}" for option in sorted(source.options)) or "no options"
        raise UserError(f"The source {name} does not take --{unknown[0]}; it takes {can}.")
    return import_source(name).read_source(raw, **options, **source.given)
