"""Sections to measure with: real ones of datasets/slicemap, enlarged."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

DATASETS = Path(__file__).resolve().parents[2] / "datasets"
FORMATS = ("png", "jpeg", "tiff")
_GRAIN = 256  # px, period of the grain


def slicemap() -> Any:
    """The training part, prepared, with the classes of SeBRe."""
    from sebre.data.dataset import SectionDataset

    dataset = SectionDataset().load(DATASETS / "slicemap", "train")
    dataset.prepare()
    return dataset


def sections(shapes: Sequence[Sequence[int]], seed: int) -> list[np.ndarray]:
    """Sections drawn at random, enlarged to the shapes, uint8 [H, W, 3] each."""
    dataset = slicemap()
    chosen = np.random.default_rng(seed).choice(dataset.image_ids, len(shapes))
    return [
        enlarge(dataset.load_image(int(image_id)), shape)
        for shape, image_id in zip(shapes, chosen, strict=True)
    ]


def enlarge(image: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A picture uint8 [h, w, 3] at another size [H, W, 3], with the grain of a real one.

    Without the grain a decoder would have less to do than with pictures of a microscope.
    """
    import cv2

    height, width = shape
    large = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    grain = np.random.default_rng(0).integers(0, 8, (_GRAIN, _GRAIN, 3), np.uint8)
    for top in range(0, height, _GRAIN):
        for left in range(0, width, _GRAIN):
            cell = large[top : top + _GRAIN, left : left + _GRAIN]
            cv2.add(cell, grain[: cell.shape[0], : cell.shape[1]], dst=cell)
    return large


class LargeSections:
    """Sections of slicemap enlarged to files in a temporary folder, with their masks.

    Args:
        side: px of a picture, which is square.
        count: sections.
        formats: of the pictures, a subset of FORMATS; masks are PNG.
        seed: which sections.
    """

    def __init__(self, side: int, count: int, formats: Sequence[str], seed: int):
        self.folder = Path(tempfile.mkdtemp(prefix="sebre-bench-sections-"))
        self.paths: dict[str, list[tuple[Path, Path]]] = {name: [] for name in formats}
        try:
            self._write(side, count, seed)
        except BaseException:
            self.close()
            raise

    def _write(self, side: int, count: int, seed: int) -> None:
        from PIL import Image

        source = slicemap()
        chosen = np.random.default_rng(seed).choice(source.image_ids, count, replace=False)
        for number, image_id in enumerate(map(int, chosen)):
            image = enlarge(source.load_image(image_id), (side, side))
            masks = self.folder / f"masks_{number}"
            masks.mkdir()
            for class_id, path in source.image_info[image_id]["masks"].items():
                with Image.open(path) as mask:
                    large = mask.convert("L").resize((side, side), Image.Resampling.NEAREST)
                large.save(masks / f"{number}_m{class_id}.png", compress_level=1)
            for name, files in self.paths.items():
                path = self.folder / f"{name}_{number}.{name}"
                _save(image, path)
                files.append((path, masks))

    def dataset(self, name: str) -> Any:
        """The sections in one format as a prepared data set."""
        from sebre.data.dataset import SectionDataset

        dataset = SectionDataset()
        for number, (image, masks) in enumerate(self.paths[name]):
            dataset.add_section(f"{name}/{number}", image, masks, number=number)
        dataset.prepare()
        return dataset

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _save(image: np.ndarray, path: Path) -> None:
    import tifffile
    from PIL import Image

    if path.suffix == ".tiff":
        tifffile.imwrite(path, image, photometric="rgb")
    elif path.suffix == ".jpeg":
        Image.fromarray(image).save(path, quality=90)
    else:
        Image.fromarray(image).save(path, compress_level=1)
