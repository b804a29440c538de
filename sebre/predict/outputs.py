"""What is written for a segmented section: table, overlay, label map, shapes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mrcnn.imageio.reduced import ReducedPicture, held_pixels
from mrcnn.io.own_files import replace_own_text
from mrcnn.structures.mask_formats import Contours, Rle, rle_to_contours, rle_to_text
from sebre.data.csv_tables import write_table
from sebre.data.regions import RegionSet
from sebre.drawing.annotate import annotated
from sebre.drawing.overlay import LONGEST_PX, overlay, reduced_labels, save_png
from sebre.predict.exchange import format_paths
from sebre.predict.label_maps import save_labels
from sebre.predict.measures import TABLE_COLUMNS

OVERLAY_PX = LONGEST_PX  # longest side of an overlay


def label_paths(out: Path, name: str) -> list[Path]:
    """Where the label map goes, of a section and of a volume."""
    return [out / f"{name}_labels.png", out / f"{name}_labels.nii.gz"]


def output_paths(
    name: str, out: Path, shapes: str | None = None, formats: Sequence[str] = ()
) -> list[Path]:
    """Where the label map, the overlay, the shapes if there are any, and the files of other
    programs go for a section."""
    paths = [label_paths(out, name)[0], out / f"{name}_overlay.png"]
    paths += [] if shapes is None else [out / f"{name}_regions.json"]
    return paths + format_paths(name, out, formats)


def save_section(
    name: str,
    image: np.ndarray | ReducedPicture,
    labels: np.ndarray,
    regions: RegionSet,
    out: Path,
    overlay_px: int = OVERLAY_PX,
    pixel_um: tuple[float, float] | None = None,
) -> list[Path]:
    """Write `<name>_labels.png` and `<name>_overlay.png`.

    Pixels of the label map are class ids, at the size of the section. The overlay of a section
    with a side above `overlay_px` is reduced by a whole factor; below it stands a legend.

    Args:
        name: of the section.
        image: uint8 [H, W, 3], or at reduced scale.
        labels: class ids [H, W].
        regions: the region set.
        out: folder.
        overlay_px: longest side of the overlay.
        pixel_um: (rows, columns) um from one pixel to the next, for label map and scale bar.

    Returns:
        The two paths.
    """
    paths = output_paths(name, out)
    save_labels(labels, regions, paths[0], pixel_um)
    pixels = held_pixels(image)
    factor = -(-max(pixels.shape) // overlay_px)
    if factor > 1:
        pixels = np.asarray(Image.fromarray(pixels).reduce(factor))
    shown = reduced_labels(labels, pixels.shape)
    picture = overlay(pixels, shown, regions, longest=overlay_px)
    um = None if pixel_um is None else pixel_um[1] * labels.shape[1] / picture.shape[1]
    save_png(annotated(picture, shown, regions, um), paths[1])
    return paths


def save_shapes(
    rows: Sequence[dict[str, Any]], pixels: Sequence[Rle], shapes: str, path: Path
) -> None:
    """Write the regions of a section that were found as JSON, each beside its row of the table.

    `pixels` are those of each row, as run lengths.
    `shapes` is "rle", run lengths as in COCO's annotation files ("size" [H, W], "counts" text),
    or "contours", "polygons" of (y, x) px, 0 being the center of a pixel.
    """
    entries = [
        {**row, shapes: rle_to_text(one) if shapes == "rle" else _polygons(rle_to_contours(one))}
        for row, one in zip(rows, pixels, strict=True)
    ]
    replace_own_text(path, json.dumps(entries, indent=1) + "\n")


def _polygons(contours: Contours) -> dict[str, Any]:
    polygons = [np.round(polygon, 2).tolist() for polygon in contours["polygons"]]
    return {"size": list(contours["size"]), "polygons": polygons}


def save_table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write rows of `region_rows` as CSV, whole or not at all."""
    write_table(path, TABLE_COLUMNS, rows, replace_own_text)
