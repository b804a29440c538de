"""What is written for a segmented section: tables, overlays, label maps, shapes."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mrcnn.data.resizing import read_for
from mrcnn.imageio.header import Choice
from mrcnn.imageio.reading import open_source, read_header
from mrcnn.imageio.reduced import ReducedPicture, read_reduced
from mrcnn.imageio.tiles import detect_tiled
from mrcnn.io.own_files import replace_own_text
from mrcnn.structures.mask_formats import Contours, Masks, count_masks, rle_to_text
from sebre.data.csv_tables import write_table
from sebre.data.regions import RegionSet
from sebre.drawing.overlay import LONGEST_PX, overlay, reduced_labels, save_png
from sebre.networks.segmenter import Segmenter, best_labels, best_per_region, read_image
from sebre.predict.exchange import FoundSection, format_paths, found_section, write_formats

logger = logging.getLogger(__name__)

TABLE_COLUMNS = ("image", "region_id", "region", "score", "area_px", "y1", "x1", "y2", "x2")
OVERLAY_PX = LONGEST_PX  # longest side of an overlay
_STACK_PX = 2048**2  # of larger sections, masks are kept as run lengths


def region_rows(
    name: str, result: dict[str, Any], regions: RegionSet, labels: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """Table rows of one section, in the order of the class ids: see TABLE_COLUMNS.

    A region has the pixels that the label map (`best_labels`) gives it, so that overlaps count
    once; one without a pixel has no row. The box is that of the network.

    Args:
        name: of the section.
        result: of `detect`.
        regions: the region set.
        labels: the label map, uint8 or uint16 [H, W]; None makes it.
    """
    if labels is None:
        labels = best_labels(result, _shape_of(result["masks"]))
    areas = np.zeros(regions.num_classes, int)
    for strip in np.array_split(labels, max(1, labels.size // _STACK_PX)):  # counted as int64
        areas += np.bincount(strip.ravel(), minlength=regions.num_classes)
    rows = []
    for class_id, i in best_per_region(result).items():
        if not areas[class_id]:
            continue
        y1, x1, y2, x2 = (int(v) for v in result["rois"][i])
        rows.append(
            {
                "image": name,
                "region_id": class_id,
                "region": regions[class_id].name,
                "score": round(float(result["scores"][i]), 4),
                "area_px": int(areas[class_id]),
                **{"y1": y1, "x1": x1, "y2": y2, "x2": x2},
            }
        )
    return rows


def _shape_of(masks: Masks) -> tuple[int, int]:
    if isinstance(masks, np.ndarray):
        return masks.shape[:2]
    return tuple(masks[0]["size"]) if count_masks(masks) else (0, 0)


def label_path(out: Path, name: str) -> Path:
    """Where the label map of a section goes."""
    return out / f"{name}_labels.png"


def output_paths(
    name: str, out: Path, shapes: str | None = None, formats: Sequence[str] = ()
) -> list[Path]:
    """Where the label map, the overlay, the shapes if there are any, and the files of other
    programs go for a section."""
    paths = [label_path(out, name), out / f"{name}_overlay.png"]
    paths += [] if shapes is None else [out / f"{name}_regions.json"]
    return paths + format_paths(name, out, formats)


def save_section(
    name: str,
    image: np.ndarray | ReducedPicture,
    result: dict[str, Any],
    regions: RegionSet,
    out: Path,
    overlay_px: int = OVERLAY_PX,
    labels: np.ndarray | None = None,
) -> list[Path]:
    """Write `<name>_labels.png` and `<name>_overlay.png`.

    Pixels of the label map are class ids, at the size of the section. The overlay of a section
    with a side above `overlay_px` is reduced by a whole factor. `labels` as of `region_rows`.

    Returns:
        The two paths.
    """
    labels = best_labels(result, image.shape) if labels is None else labels
    paths = output_paths(name, out)
    save_png(labels, paths[0])
    pixels = image.pixels if isinstance(image, ReducedPicture) else image
    factor = -(-max(pixels.shape) // overlay_px)
    if factor > 1:
        pixels = np.asarray(Image.fromarray(pixels).reduce(factor))
    shown = reduced_labels(labels, pixels.shape)
    save_png(overlay(pixels, shown, regions, longest=overlay_px), paths[1])
    return paths


def save_shapes(
    rows: Sequence[dict[str, Any]], found: FoundSection, shapes: str, path: Path
) -> None:
    """Write the regions of a section as JSON, each beside its row of the table.

    `shapes` is "rle", run lengths as in COCO's annotation files ("size" [H, W], "counts" text),
    or "contours", "polygons" of (y, x) px, 0 being the center of a pixel.
    """
    entries = [
        {**row, shapes: rle_to_text(one.rle) if shapes == "rle" else _polygons(one.contours)}
        for row, one in zip(rows, found.regions, strict=True)
    ]
    replace_own_text(path, json.dumps(entries, indent=1) + "\n")


def segment_picture(
    segmenter: Segmenter,
    path: Path,
    name: str,
    out: Path,
    tile: int | None = None,
    overlap: int | None = None,
    overlay_px: int = OVERLAY_PX,
    shapes: str | None = None,
    formats: Sequence[str] = (),
    channel: int | None = None,
    z: int | str | None = None,
    before_writing: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Segment an image file and write its label map and overlay.

    The file is read by the CONTRAST of the network; what is converted or passed over is logged.

    Args:
        segmenter: the network. With its setting REDUCED_DECODE a large picture is read at a
            reduced scale where the format allows.
        path: image file.
        name: of the outputs, see `save_section`.
        out: folder to write.
        tile: side of the tiles that are segmented one by one, px; None for the whole picture.
        overlap: of neighboring tiles, px; None takes a quarter of a tile.
        overlay_px: longest side of the overlay.
        shapes: also write the regions to `<name>_regions.json`, see `save_shapes`.
        formats: also write them for other programs, see `sebre.predict.exchange`.
        channel: of a file with channels, see `mrcnn.imageio.header.Choice`.
        z: of a file with pages.
        before_writing: called when all is known, before the first file is replaced.

    Returns:
        Its `region_rows`.
    """
    choice, config = Choice(channel, z), segmenter.config
    header = read_header(path, choice)
    for note in header.notes:
        logger.info("%s: %s.", path, note)
    if tile is not None:
        picture = read_reduced(path, overlay_px, choice, config.CONTRAST)
        with open_source(path, choice=choice, rule=config.CONTRAST) as source:
            result = detect_tiled(segmenter, source, tile, overlap)
    else:
        if config.REDUCED_DECODE:
            picture = read_for(path, config, choice)
        else:
            picture = read_image(path, config.CONTRAST, choice)
        large = picture.shape[0] * picture.shape[1] > _STACK_PX
        result = segmenter.detect([picture], masks="rle" if large else "full")[0]
    labels = best_labels(result, picture.shape)
    rows = region_rows(name, result, segmenter.regions, labels)
    before_writing()
    save_section(name, picture, result, segmenter.regions, out, overlay_px, labels)
    if shapes is None and not formats:
        return rows
    scores = {row["region_id"]: row["score"] for row in rows}
    found = found_section(name, labels, scores, segmenter.regions, header.pixel_um)
    if shapes is not None:
        save_shapes(rows, found, shapes, output_paths(name, out, shapes)[-1])
    write_formats(found, out, formats, path.name)
    return rows


def _polygons(contours: Contours) -> dict[str, Any]:
    polygons = [np.round(polygon, 2).tolist() for polygon in contours["polygons"]]
    return {"size": list(contours["size"]), "polygons": polygons}


def save_table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write rows of `region_rows` as CSV, whole or not at all."""
    write_table(path, TABLE_COLUMNS, rows, replace_own_text)
