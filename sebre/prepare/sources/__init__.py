"""Sources of raw data: one module each.

A source has a function `read_source(raw, **options) -> RawSet`; the options that the command
line passes are those in its signature.
"""

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrcnn.errors import MissingFileError, UserError
from sebre.prepare.raw import RawSet

# What the help says of each; the modules are heavy to import.
SOURCES = {
    "allen-ish": "in-situ hybridisation sections and atlases of the Allen Institute's API",
    "ara-nissl": "Nissl plates and drawings of the Allen Reference Atlas (JPEG, SVG)",
    "ccf": "Allen CCFv3 annotation and one registered brain (NRRD, TIFF)",
    "colour-code": "sections with colour-coded overlays, your own or of the released notebook",
    "demba": "mouse brain templates from P4 to adult (npz)",
    "ibsr": "IBSR 18, human MRI (NIfTI or Analyze)",
    "labels": "sections with label maps (pixel value = id)",
    "malc2012": "human T1 scans of the MICCAI 2012 multi-atlas challenge (NIfTI)",
    "mouse-mri": "in-vivo MRI of adult mice (NIfTI)",
    "sebre-figures": "four sections with masks from a figure of the released code (PNG)",
    "slicemap": "sagittal mouse sections of Barbier et al. 2018 (NumPy arrays)",
}


def module_name(source: str) -> str:
    """The module of a source: `colour-code` is `color_code`."""
    return source.replace("-", "_").replace("colour", "color")


def read_source(name: str, raw: str | Path, options: Mapping[str, Any]) -> RawSet:
    """Read the raw data of a source.

    Args:
        name: of the source, as on the command line.
        raw: folder of the raw data.
        options: those given by the user.

    Raises:
        FileNotFoundError, ValueError: the raw data do not fit, there is no such source, or it
            does not take an option.
    """
    if name not in SOURCES:
        raise UserError(f"No source {name!r}; there are {', '.join(SOURCES)}.")
    raw = Path(raw)
    if not raw.is_dir():
        raise MissingFileError(f"{raw}: no such folder of raw data.")
    module = importlib.import_module(f"{__name__}.{module_name(name)}")
    takes = set(inspect.signature(module.read_source).parameters) - {"raw"}
    unknown = sorted(set(options) - takes)
    if unknown:
        can = ", ".join(f"--{option}" for option in sorted(takes)) or "no options"
        raise UserError(f"The source {name} does not take --{unknown[0]}; it takes {can}.")
    return module.read_source(raw, **options)
