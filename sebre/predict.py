"""Sections in, regions out: label maps, overlays, tables of regions."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
from PIL import Image

from mrcnn.config import Config
from mrcnn.exported import load_exported
from mrcnn.files import replace_text
from mrcnn.mask_formats import mask_areas, rle_to_contours, rle_to_text, select_masks, to_rles
from mrcnn.model import MaskRCNN
from mrcnn.reduced import read_for, read_reduced
from mrcnn.resizing import ReducedPicture
from mrcnn.tiles import detect_tiled
from mrcnn.utils import Dataset
from sebre.config import with_settings
from sebre.experiments import EXPERIMENTS, Experiment
from sebre.pictures import label_map, overlay, reduced_labels, save_png
from sebre.regions import RegionSet
from sebre.unet import UNetSegmenter, load_unet, unet_config
from sebre.weights_store import WeightsFile, find_weights, network_of

TABLE_COLUMNS = ("image", "region_id", "region", "score", "area_px", "y1", "x1", "y2", "x2")
OVERLAY_PX = 2048  # longest side of an overlay
_STACK_PX = 2048**2  # of larger sections, masks are kept as run lengths


@dataclass
class Segmenter:
    """A Mask R-CNN ready to segment sections; `sebre.unet.UNetSegmenter` is its counterpart.

    Attributes:
        model: in inference mode, with weights.
        regions: its region set.
        weights: where the weights came from.
        network: its kind, in words.
    """

    model: MaskRCNN
    regions: RegionSet
    weights: WeightsFile
    network: ClassVar[str] = "Mask R-CNN"

    @property
    def config(self) -> Config:
        """Its settings."""
        return self.model.config

    @property
    def keras_model(self) -> keras.Model:
        """The network alone."""
        return self.model.keras_model

    def detect(self, images: Sequence[Any], masks: str = "full") -> list[dict[str, Any]]:
        """See `MaskRCNN.detect`."""
        return self.model.detect(images, masks=masks)


def load_segmenter(
    weights: str | Path,
    experiment: Experiment | None = None,
    folder: Path | None = None,
    typical: Sequence[np.ndarray] | None = None,
    **overrides: Any,
) -> Segmenter | UNetSegmenter:
    """Build the network of a weights file, of either kind, and load it.

    Args:
        weights: name in the manifest, or path; also of an ONNX file of `sebre export`.
        experiment: that the weights belong to; None takes it from the manifest.
        folder: of the manifest; None for the shipped one.
        typical: training sections [H, W, C] to measure the ranges on that PRECISION "int8" needs.
        **overrides: settings that differ.

    Raises:
        FileNotFoundError: no such weights.
        ValueError: damaged weights, weights of another network, an unknown experiment, or int8
            without typical sections.
    """
    ranges = typical is not None
    found, experiment, config = find_network(weights, experiment, folder, ranges, **overrides)
    if _is_exported(found):
        model = _open_exported(found, experiment, overrides)
    elif network_of(found) == "unet":
        return load_unet(found, experiment, **overrides)
    else:
        model = MaskRCNN("inference", config, model_dir=".")
        model.load_weights(found.path)
        if config.PRECISION == "int8":
            model.calibrate(typical)
    return Segmenter(model, experiment.regions, found)


def find_network(
    weights: str | Path,
    experiment: Experiment | None = None,
    folder: Path | None = None,
    ranges: bool = False,
    **overrides: Any,
) -> tuple[WeightsFile, Experiment, Config]:
    """The weights file, experiment and settings that `load_segmenter` takes.

    Arguments and errors are those of `load_segmenter`; no network is built. `ranges`: those for
    int8 will be measured.
    """
    found = find_weights(weights, folder)
    if experiment is None:
        name = found.entry.get("experiment")
        if name not in EXPERIMENTS:
            raise ValueError(
                f"{weights}: which experiment the weights belong to is not known (found {name!r});"
                f" give one of {', '.join(EXPERIMENTS)}."
            )
        experiment = EXPERIMENTS[name]
    if _is_exported(found):
        return found, experiment, _open_exported(found, experiment, overrides).config
    if network_of(found) == "unet":
        config = with_settings(unet_config(experiment).load(found.config), **overrides)
        if config.RUNTIME != "keras":
            raise ValueError(f"{found.path}: a U-Net runs on Keras alone; leave RUNTIME out.")
        return found, experiment, config
    variant = experiment.variants.get(found.entry.get("variant", ""), experiment.default)
    config = variant.config.load(found.config) if found.config else variant.config()
    config = with_settings(config, **{"IMAGES_PER_GPU": 1, "GPU_COUNT": 1, **overrides})
    if config.PRECISION == "int8" and not ranges:
        raise ValueError(
            f"{found.path}: int8 needs a network whose ranges were measured. Write one with "
            "`sebre export --precision int8`, and give that file as weights."
        )
    return found, experiment, config


def _is_exported(found: WeightsFile) -> bool:
    return found.path.suffix == ".onnx"


def _open_exported(
    found: WeightsFile, experiment: Experiment, overrides: Mapping[str, Any]
) -> MaskRCNN:
    model = load_exported(found.path, overrides.get("RUNTIME"), **overrides)
    if model.config.NUM_CLASSES != experiment.regions.num_classes:
        raise ValueError(
            f"{found.path}: this network is for {model.config.NUM_CLASSES - 1} regions, but "
            f"{experiment.name} has {len(experiment.regions)}. Give the experiment that it was "
            "exported for."
        )
    return model


def demand_mask_rcnn(segmenter: Segmenter | UNetSegmenter) -> Segmenter:
    """The segmenter itself, for what needs the Keras network of a Mask R-CNN and its stages.

    Raises:
        ValueError: it is another network, or an exported file.
    """
    if not isinstance(segmenter, Segmenter):
        raise ValueError(
            f"{segmenter.weights.path}: the weights of a {segmenter.network}, which has none of "
            f"the stages that are needed here. Give those of a {Segmenter.network}."
        )
    if _is_exported(segmenter.weights):
        raise ValueError(
            f"{segmenter.weights.path}: an exported network, whose stages cannot be seen. Give "
            "the weights that it was exported from."
        )
    return segmenter


def read_image(path: str | Path) -> np.ndarray:
    """An image file as uint8 [H, W, 3]; see `Dataset.load_image`."""
    reader = Dataset()
    reader.add_image("file", 0, path)
    return reader.load_image(0)


def best_per_region(result: dict[str, Any]) -> dict[int, int]:
    """Row of the best-scoring detection of each class id found, in the order of the ids."""
    best: dict[int, int] = {}
    for row in np.argsort(-np.asarray(result["scores"]), kind="stable"):
        best.setdefault(int(result["class_ids"][row]), int(row))
    return dict(sorted(best.items()))


def region_rows(name: str, result: dict[str, Any], regions: RegionSet) -> list[dict[str, Any]]:
    """Table rows of one section, in the order of the class ids: see TABLE_COLUMNS.

    `area_px` counts the whole mask, before overlaps are resolved.
    """
    rows, areas = [], mask_areas(result["masks"])
    for class_id, i in best_per_region(result).items():
        y1, x1, y2, x2 = (int(v) for v in result["rois"][i])
        rows.append(
            {
                "image": name,
                "region_id": class_id,
                "region": regions[class_id].name,
                "score": round(float(result["scores"][i]), 4),
                "area_px": int(areas[i]),
                **{"y1": y1, "x1": x1, "y2": y2, "x2": x2},
            }
        )
    return rows


def best_labels(result: dict[str, Any], shape: Sequence[int]) -> np.ndarray:
    """Label map of the best detection of each region."""
    rows = list(best_per_region(result).values())
    masks = select_masks(result["masks"], rows)
    return label_map(result["class_ids"][rows], result["scores"][rows], masks, shape)


def output_paths(name: str, out: Path, shapes: str | None = None) -> list[Path]:
    """Where the label map, the overlay and, if there are any, the shapes of a section go."""
    paths = [out / f"{name}_labels.png", out / f"{name}_overlay.png"]
    return paths if shapes is None else [*paths, out / f"{name}_regions.json"]


def save_section(
    name: str,
    image: np.ndarray | ReducedPicture,
    result: dict[str, Any],
    regions: RegionSet,
    out: Path,
    overlay_px: int = OVERLAY_PX,
) -> list[Path]:
    """Write `<name>_labels.png` and `<name>_overlay.png`.

    Pixels of the label map are class ids, at the size of the section. The overlay of a
    larger section is reduced by a whole factor.

    Args:
        name: of the section.
        image: uint8 [H, W, 3], or read at a reduced scale.
        result: of `detect`.
        regions: the region set.
        out: folder to write.
        overlay_px: longest side of the overlay.

    Returns:
        The two paths.
    """
    labels = best_labels(result, image.shape)
    paths = output_paths(name, out)
    save_png(labels, paths[0])
    pixels = image.pixels if isinstance(image, ReducedPicture) else image
    factor = -(-max(pixels.shape) // overlay_px)
    if factor > 1:
        pixels = np.asarray(Image.fromarray(pixels).reduce(factor))
    save_png(overlay(pixels, reduced_labels(labels, pixels.shape), regions), paths[1])
    return paths


def save_shapes(
    rows: Sequence[dict[str, Any]], result: dict[str, Any], shapes: str, path: Path
) -> None:
    """Write the masks of a section's regions as JSON, each beside its row of the table.

    Args:
        rows: of `region_rows` of the result.
        result: of `detect`.
        shapes: "rle", run lengths as in COCO's annotation files ("size" [H, W], "counts"
            text), or "contours", "polygons" of (y, x) px, 0 being the centre of a pixel.
        path: file to write.
    """
    best = best_per_region(result)
    masks = to_rles(select_masks(result["masks"], list(best.values())))
    written = [rle_to_text(mask) if shapes == "rle" else _polygons(mask) for mask in masks]
    entries = [{**row, shapes: shape} for row, shape in zip(rows, written, strict=True)]
    replace_text(path, json.dumps(entries, indent=1) + "\n")


def segment_picture(
    segmenter: Segmenter | UNetSegmenter,
    path: Path,
    name: str,
    out: Path,
    tile: int | None = None,
    overlap: int | None = None,
    overlay_px: int = OVERLAY_PX,
    shapes: str | None = None,
) -> list[dict[str, Any]]:
    """Segment an image file and write its label map and overlay.

    Args:
        segmenter: the network. With its setting REDUCED_DECODE a large picture is read at a
            reduced scale where the format allows.
        path: image file.
        name: of the outputs, see `save_section`.
        out: folder to write.
        tile: side of the tiles that are segmented one by one, px; None for the whole picture.
        overlap: of neighbouring tiles, px; None takes a quarter of a tile.
        overlay_px: longest side of the overlay.
        shapes: also write the masks to `<name>_regions.json`, see `save_shapes`.

    Returns:
        Its `region_rows`.

    Raises:
        ValueError: the file cannot be read.
        OSError: the outputs cannot be written.
    """
    if tile is not None:
        picture = read_reduced(path, overlay_px)
        result = detect_tiled(segmenter, path, tile, overlap)
    else:
        reduced = segmenter.config.REDUCED_DECODE
        picture = read_for(path, segmenter.config) if reduced else read_image(path)
        large = picture.shape[0] * picture.shape[1] > _STACK_PX
        result = segmenter.detect([picture], masks="rle" if large or shapes else "full")[0]
    rows = region_rows(name, result, segmenter.regions)
    save_section(name, picture, result, segmenter.regions, out, overlay_px)
    if shapes is not None:
        save_shapes(rows, result, shapes, output_paths(name, out, shapes)[-1])
    return rows


def _polygons(mask: dict[str, Any]) -> dict[str, Any]:
    contours = rle_to_contours(mask)
    polygons = [np.round(polygon, 2).tolist() for polygon in contours["polygons"]]
    return {"size": list(contours["size"]), "polygons": polygons}


def save_table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write rows of `region_rows` as CSV, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, TABLE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_text(path, text.getvalue())
