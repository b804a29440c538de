"""Sections in, regions out: label maps, overlays, tables of regions."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from mrcnn.config import Config
from mrcnn.files import replace_text
from mrcnn.model import MaskRCNN
from mrcnn.utils import Dataset
from sebre.config import with_settings
from sebre.experiments import EXPERIMENTS, Experiment
from sebre.pictures import label_map, overlay, save_png
from sebre.regions import RegionSet
from sebre.unet import UNetSegmenter, load_unet
from sebre.weights_store import WeightsFile, find_weights, network_of

TABLE_COLUMNS = ("image", "region_id", "region", "score", "area_px", "y1", "x1", "y2", "x2")
_IMAGE_TYPES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


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

    def detect(self, images: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """See `MaskRCNN.detect`."""
        return self.model.detect(images)


def load_segmenter(
    weights: str | Path,
    experiment: Experiment | None = None,
    folder: Path | None = None,
    **overrides: Any,
) -> Segmenter | UNetSegmenter:
    """Build the network of a weights file, of either kind, and load it.

    Args:
        weights: name in the manifest, or path.
        experiment: that the weights belong to; None takes it from the manifest.
        folder: of the manifest; None for the shipped one.
        **overrides: settings that differ.

    Raises:
        FileNotFoundError: no such weights.
        ValueError: damaged weights, weights of another network, or an unknown experiment.
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
    if network_of(found) == "unet":
        return load_unet(found, experiment, **overrides)
    variant = experiment.variants.get(found.entry.get("variant", ""), experiment.default)
    config = variant.config.load(found.config) if found.config else variant.config()
    settings = {"IMAGES_PER_GPU": 1, "GPU_COUNT": 1, **overrides}
    model = MaskRCNN("inference", with_settings(config, **settings), model_dir=".")
    model.load_weights(found.path)
    return Segmenter(model, experiment.regions, found)


def demand_mask_rcnn(segmenter: Segmenter | UNetSegmenter) -> Segmenter:
    """The segmenter itself, for what shows the stages of Mask R-CNN.

    Raises:
        ValueError: it is another network.
    """
    if not isinstance(segmenter, Segmenter):
        raise ValueError(
            f"{segmenter.weights.path}: the weights of a {segmenter.network}, which has none of "
            f"the stages that are shown here. Give those of a {Segmenter.network}."
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
    rows = []
    for class_id, i in best_per_region(result).items():
        y1, x1, y2, x2 = (int(v) for v in result["rois"][i])
        rows.append(
            {
                "image": name,
                "region_id": class_id,
                "region": regions[class_id].name,
                "score": round(float(result["scores"][i]), 4),
                "area_px": int(result["masks"][..., i].sum()),
                **{"y1": y1, "x1": x1, "y2": y2, "x2": x2},
            }
        )
    return rows


def best_labels(result: dict[str, Any], shape: Sequence[int]) -> np.ndarray:
    """Label map of the best detection of each region."""
    rows = list(best_per_region(result).values())
    return label_map(
        result["class_ids"][rows], result["scores"][rows], result["masks"][..., rows], shape
    )


def save_section(
    name: str, image: np.ndarray, result: dict[str, Any], regions: RegionSet, out: Path
) -> list[Path]:
    """Write `<name>_labels.png` and `<name>_overlay.png`.

    Pixels of the label map are class ids, at the size of the section.

    Returns:
        The two paths.
    """
    labels = best_labels(result, image.shape)
    paths = [out / f"{name}_labels.png", out / f"{name}_overlay.png"]
    save_png(labels, paths[0])
    save_png(overlay(image, labels, regions), paths[1])
    return paths


def save_table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write rows of `region_rows` as CSV, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, TABLE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_text(path, text.getvalue())


def image_files(inputs: Sequence[str | Path]) -> list[Path]:
    """Image files among files and folders (not their sub-folders), in natural order of names.

    Raises:
        FileNotFoundError: an input does not exist, or a folder has no image.
    """
    files = []
    for entry in map(Path, inputs):
        if entry.is_dir():
            found = [p for p in entry.iterdir() if p.suffix.lower() in _IMAGE_TYPES]
            if not found:
                raise FileNotFoundError(f"{entry}: no image in it ({', '.join(_IMAGE_TYPES)}).")
            files += sorted(found, key=_natural)
        elif entry.is_file():
            files.append(entry)
        else:
            raise FileNotFoundError(f"{entry}: no such file or folder.")
    return files


def detect_files(
    segmenter: Segmenter | UNetSegmenter, files: Sequence[Path], out: str | Path
) -> tuple[list[dict[str, Any]], list[str]]:
    """Segment image files and write label maps, overlays and `regions.csv`.

    A file that cannot be read does not stop the others. Two files of one name get
    different output names.

    Args:
        segmenter: the network.
        files: images.
        out: folder to write.

    Returns:
        The rows of regions.csv, and a message for each file that failed.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    rows, failed, used = [], [], set()
    for path in files:
        try:
            image = read_image(path)
        except ValueError as error:
            failed.append(str(error))
            continue
        name, copy = path.stem, 2
        while name in used:
            name, copy = f"{path.stem}-{copy}", copy + 1
        used.add(name)
        result = segmenter.detect([image])[0]
        save_section(name, image, result, segmenter.regions, out)
        rows += region_rows(name, result, segmenter.regions)
    save_table(rows, out / "regions.csv")
    return rows, failed


def _natural(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]
