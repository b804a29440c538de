"""Files as layers of napari, and back: what `napari.yaml` names as reader, writer and samples.

Pictures come through the reader of the house (`mrcnn.imageio`), at full depth, with the size of a
pixel where the file says it. Label maps that `sebre predict` wrote come with their names and
colors, and are written in the same form. Of volumes `sebre.viewer.volume_layers` takes care.
"""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mrcnn.errors import MissingFileError, UserError
from mrcnn.imageio.header import EVERYTHING, PICTURE_TYPES, Choice, PictureHeader
from mrcnn.imageio.label_files import read_labels
from mrcnn.imageio.reading import count_pictures, open_source, read_header
from mrcnn.imageio.reduced import read_reduced
from mrcnn.io.own_files import replace_own
from sebre.data.dataset import SectionDataset
from sebre.data.region_names import recorded_regions
from sebre.data.regions import Region, RegionSet, distinct_colors
from sebre.drawing.overlay import drawn_labels
from sebre.predict.exchange import found_section, tiff
from sebre.predict.label_maps import save_labels
from sebre.viewer.label_layers import (
    LayerData,
    demand_ids,
    facts_of,
    labels_layer,
    pixel_of,
    scale_of,
)
from sebre.viewer.volume_layers import is_volume, volume_layer

logger = logging.getLogger(__name__)

_LARGE_PX = 2**27  # of a picture that is read whole; larger ones come at a reduced scale
_REDUCED_PX = 4096  # their longer side, at least
_MOST_CHANNELS = 16  # of a file, each of which becomes a layer
_NAMES = "regions"  # entry of a label map with the names of its numbers
_ENDINGS = (".png", ".tif")


# --- Reader ------------------------------------------------------------------------------


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """What reads a path, or paths, as layers; None if one is neither a picture nor a volume by its
    ending."""
    paths = [Path(one) for one in ([path] if isinstance(path, str | Path) else path)]
    known = (one.suffix.lower() in PICTURE_TYPES or is_volume(one) for one in paths)
    return read_layers if all(known) else None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """The layers of a file or of several.

    A label map that says its regions is a layer of labels, any other picture an image; of a picture
    with channels or pages each is a layer.

    Raises:
        UserError: a damaged file, or one of too many pictures.
    """
    paths = [path] if isinstance(path, str | Path) else path
    return [layer for one in paths for layer in _layers_of(Path(one))]


def _layers_of(path: Path) -> list[LayerData]:
    if is_volume(path):
        return [volume_layer(path)]
    count = count_pictures(path)
    if count == 1:
        header = read_header(path)
        if names := _region_names(path, header):
            regions = _regions_of(names, header, path)
            labels = read_labels(path)
            demand_ids(labels, regions, str(path))
            facts = {"label_map": str(path)}
            return [labels_layer(labels, regions, path.stem, header.pixel_um, **facts)]
        # A file of channels that are colors is one picture, too.
        return [_image_layer(path, EVERYTHING, path.stem)]
    if count > _MOST_CHANNELS:
        raise UserError(
            f"{path}: holds {count} pictures (channels, pages); at most {_MOST_CHANNELS} are "
            "opened. Save those that are wanted as a file of their own."
        )
    names = [f"{path.stem} {number}" for number in range(1, count + 1)]
    return [_image_layer(path, Choice(index=k), name) for k, name in enumerate(names)]


def _image_layer(path: Path, choice: Choice, name: str) -> LayerData:
    with open_source(path, choice=choice) as source:
        header, shape = source.header, source.shape[:2]
        for note in header.notes:
            logger.info("%s: %s.", path, note)
        pixel = header.pixel_um
        if math.prod(shape) <= _LARGE_PX:
            values = source.read_raw(0, 0, *shape)
        else:
            reduced = read_reduced(path, _REDUCED_PX, choice)
            values = reduced.pixels
            pixel = pixel and (pixel[0] * reduced.step[0], pixel[1] * reduced.step[1])
            name = f"{name} (1/{reduced.step[0]:g})"
            text = "%s: so large that it is opened at 1/%g of its size; so are its regions."
            logger.warning(text, path, reduced.step[0])
    values = np.ascontiguousarray(values)
    return values, {"name": name, "rgb": values.ndim == 3, **scale_of(pixel)}, "image"


def _region_names(path: Path, header: PictureHeader) -> dict[int, str]:
    """Names by class id that a label map of ours has; empty of any other picture."""
    try:
        if header.format == "TIFF":
            import tifffile

            with tifffile.TiffFile(path) as file:
                names = json.loads(file.pages[0].description)[_NAMES]
        else:
            with Image.open(path) as image:
                names = json.loads(image.info[_NAMES])
        return {int(number): str(name) for number, name in names.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _regions_of(names: Mapping[int, str], header: PictureHeader, path: Path) -> RegionSet:
    """The regions of a label map, in the colors of its palette if it has one."""
    colors = distinct_colors(len(names))
    if header.palette is not None:
        colors = [tuple(map(int, header.palette[number][:3])) for number in sorted(names)]
    pairs = zip(sorted(names.items()), colors, strict=True)
    regions = tuple(Region(number, name, name, color) for (number, name), color in pairs)
    return RegionSet(path.stem, regions)


# --- Writer ------------------------------------------------------------------------------


def write_labels(path: str, labels: np.ndarray, attributes: Mapping[str, Any]) -> list[str]:
    """Write a layer of labels as a label map: what `sebre predict` writes, by the ending.

    Args:
        path: PNG or TIFF file. One that is there and was not written here is not replaced.
        labels: class ids [H, W].
        attributes: of the layer; its metadata name the regions.

    Returns:
        What was written.

    Raises:
        UserError: a layer that is none of ours, or a file in the way.
    """
    name = str(attributes.get("name", "The layer"))
    regions = facts_of(attributes.get("metadata", {}), name)["regions"]
    labels = np.asarray(labels)
    demand_ids(labels, regions, name)
    labels = labels.astype(np.min_scalar_type(regions.num_classes - 1))
    pixel = pixel_of(attributes.get("scale", (1, 1)), attributes.get("units"))
    file = Path(path)
    if file.suffix.lower() not in _ENDINGS:
        raise UserError(f"{file}: wanted the ending {' or '.join(_ENDINGS)} for a label map.")
    if file.suffix.lower() == ".png":
        save_labels(labels, regions, file, pixel)
    else:
        scores = {region.id: 0.0 for region in regions}  # which a label map does not hold
        packed = tiff(found_section(file.stem, labels, scores, regions, pixel))
        replace_own(file, lambda part: part.write_bytes(packed))
    return [str(file)]


# --- Samples -----------------------------------------------------------------------------


def coronal_sample() -> list[LayerData]:
    """A coronal section, brown immunostain."""
    return read_layers(str(_samples() / "any_section" / "images" / "glta_s124.jpg"))


def sections_sample() -> list[LayerData]:
    """Five real sections of three laboratories; the first one is seen."""
    pictures = sorted((_samples() / "any_section" / "images").glob("*.jpg"))
    layers = read_layers([str(path) for path in pictures])
    return [
        (data, attributes | {"visible": not k}, kind)
        for k, (data, attributes, kind) in enumerate(layers)
    ]


def drawn_sample() -> list[LayerData]:
    """A sagittal section, and the regions that were drawn on it."""
    root = _samples() / "slicemap"
    regions = recorded_regions(root)
    sections = SectionDataset(regions).load(root, "val", numbers=[0])
    sections.prepare()
    masks, class_ids = sections.load_mask(0)
    image = (sections.load_image(0), {"name": "slicemap val 0", "rgb": True}, "image")
    return [image, labels_layer(drawn_labels(class_ids, masks), regions, "slicemap val 0, drawn")]


def _samples() -> Path:
    """The folder of the sections that ship: `sebre/shipped_sections` of an installed wheel, or
    `datasets` of a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "shipped_sections", package.parent / "datasets"):
        if (folder / "any_section" / "README.md").is_file():
            return folder
    raise MissingFileError(f"{package.parent / 'datasets'}: the sections that ship are not there.")
