"""Sagittal mouse brain sections with six hand-drawn regions, from NumPy arrays.

The raw folder holds `features.npy` [N, 84, 84] and one `labels_<xx>.npy` [N, 84, 84] per region,
its `LICENSE`, and `rows.csv` if rows were selected (Barbier et al. 2018).
"""

import functools
from pathlib import Path

import numpy as np

from mrcnn.errors import MissingFileError, UserError
from sebre.data.csv_tables import read_table
from sebre.data.regions import SLICEMAP
from sebre.prepare.raw import RawSection, RawSet, card

MIN_MASK_PX = 20  # a region torn off is marked in the source by a blot of 1 to 7 px
WHITE_PERCENTILE = 99.0

_FILES = {1: "cx", 2: "hp", 3: "th", 4: "mb", 5: "bs", 6: "cb"}  # class id -> file of the source


def read_source(raw: Path) -> RawSet:
    """Sections of the arrays in a raw folder."""
    images, labels = _read_arrays(raw)
    upstream = _upstream_rows(raw, len(images))

    def read(row: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        masks = {i: array[row] for i, array in labels.items()}
        masks = {i: mask for i, mask in masks.items() if mask.sum() >= MIN_MASK_PX}
        return to_8_bit(images[row]), masks

    names = ["features.npy", *(f"labels_{name}.npy" for name in _FILES.values())]
    return RawSet(
        name="slicemap",
        regions=SLICEMAP,
        sections=[
            RawSection(
                functools.partial(read, row),
                {"marker": "fluorescence", "source_row": row, "upstream_row": upstream[row]},
            )
            for row in range(len(images))
        ],
        plane="sagittal",
        pixel_size_um=None,
        background=0,
        license="Apache-2.0",
        card=card(
            "slicemap",
            count=len(images),
            side=images.shape[1],
            white=WHITE_PERCENTILE,
            min_px=MIN_MASK_PX,
        ),
        files=[raw / name for name in names],
        split="section:1/4",
        processing={
            "image": "square root, then 0 .. white_percentile to 0 .. 255",
            "white_percentile": WHITE_PERCENTILE,
            "min_mask_px": MIN_MASK_PX,
        },
        also_read=[raw / "LICENSE", raw / "rows.csv"],
        texts={"LICENSE": _file(raw, "LICENSE").read_text(encoding="utf-8")},
    )


def to_8_bit(image: np.ndarray) -> np.ndarray:
    """Raw fluorescence, at least 0, as uint8 of the same shape.

    The square root lifts the tissue, which is dark beside the cerebellar granule layer.
    """
    root = np.sqrt(image)
    white = np.percentile(root, WHITE_PERCENTILE) or root.max() or 1.0
    return np.rint(np.clip(root / white, 0, 1) * 255).astype(np.uint8)


def _file(raw: Path, name: str) -> Path:
    path = raw / name
    if not path.is_file():
        raise MissingFileError(
            f"{path}: no such file. The raw folder must hold features.npy, LICENSE and "
            + ", ".join(f"labels_{name}.npy" for name in _FILES.values())
            + "."
        )
    return path


def _load(raw: Path, name: str) -> np.ndarray:
    path = _file(raw, name)
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    # The reader raises whatever a damaged header leads it to.
    except Exception as error:
        raise UserError(f"{path}: not a NumPy array ({error}). Fetch the file again.") from error


def _read_arrays(raw: Path) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    images = _load(raw, "features.npy")
    if images.ndim != 3 or len(images) < 2 or images.dtype.kind != "f":
        raise UserError(
            f"{raw / 'features.npy'}: {images.dtype} {images.shape}; wanted floats [N, H, W]."
        )
    if not np.isfinite(images).all() or images.min() < 0:
        raise UserError(f"{raw / 'features.npy'}: values must be finite and at least 0.")
    labels = {}
    for class_id, name in _FILES.items():
        array = _load(raw, f"labels_{name}.npy")
        if array.shape != images.shape or not np.isin(array, (0, 1)).all():
            raise UserError(
                f"{raw / f'labels_{name}.npy'}: {array.dtype} {array.shape}; wanted 0 and 1 in "
                f"the shape of features.npy, {images.shape}."
            )
        labels[class_id] = array.astype(bool)
    return images, labels


def _upstream_rows(raw: Path, count: int) -> list[int]:
    """Rows in the source arrays, from rows.csv; without it nothing was selected."""
    path = raw / "rows.csv"
    if not path.is_file():
        return list(range(count))
    table = read_table(path, ("upstream_row",))
    try:
        rows = [int(row["upstream_row"]) for row in table]
    except ValueError as error:
        raise UserError(f"{path}: upstream_row must be a number ({error}).") from error
    if len(rows) != count:
        raise UserError(f"{path}: {len(rows)} rows for {count} sections in features.npy.")
    return rows
