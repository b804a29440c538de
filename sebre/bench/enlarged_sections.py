"""Sections to measure with: real ones of datasets/slicemap, enlarged."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

DATASETS = Path(__file__).resolve().parents[2] / "datasets"
FORMATS = ("png", "jpeg", "tiff")
_GRAIN = 256  # px, period of the grain


def slicemap() -> Any:
    """The training part, prepared, its class ids taken for those of SeBRe's eight regions.

    What is learned is wrong, then, and takes the time that it takes.
    """
    from sebre.data.dataset import SOURCE, SectionDataset
    from sebre.data.regions import SLICEMAP

    dataset = SectionDataset()
    for info in SectionDataset(SLICEMAP).load(DATASETS / "slicemap", "train").image_info:
        facts = {key: value for key, value in info.items() if key not in ("source", "id", "path")}
        dataset.add_image(SOURCE, info["id"], info["path"], **facts)
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


@contextmanager
def large_sections(
    side: int, count: int, formats: Sequence[str], seed: int
) -> Iterator[Callable[[str], Any]]:
    """Sections of slicemap (count) enlarged to square files (side in px) of formats, a subset of
    FORMATS, with PNG masks, while the context lasts.

    Yields:
        Gives the sections in one format as a prepared data set.
    """
    from PIL import Image

    from sebre.data.dataset import SectionDataset
    from sebre.data.regions import MOUSE

    source = slicemap()
    chosen = np.random.default_rng(seed).choice(source.image_ids, count, replace=False)
    with tempfile.TemporaryDirectory(prefix="sebre-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for number, image_id in enumerate(map(int, chosen)):
            masks = folder / f"masks_{number}"
            masks.mkdir()
            for class_id, path in source.image_info[image_id]["masks"].items():
                with Image.open(path) as mask:
                    large = mask.convert("L").resize((side, side), Image.Resampling.NEAREST)
                name = f"section_{number}_{MOUSE[class_id].name}_m{class_id}.png"
                large.save(masks / name, compress_level=1)
            image = enlarge(source.load_image(image_id), (side, side))
            for form in formats:
                _save(image, folder / f"{form}_{number}.{form}")

        def dataset(form: str) -> SectionDataset:
            sections = SectionDataset()
            for number in range(count):
                image, masks = folder / f"{form}_{number}.{form}", folder / f"masks_{number}"
                sections.add_section(f"{form}/{number}", image, masks, number=number)
            sections.prepare()
            return sections

        yield dataset


def _save(image: np.ndarray, path: Path) -> None:
    import tifffile
    from PIL import Image

    if path.suffix == ".tiff":
        tifffile.imwrite(path, image, photometric="rgb")
    elif path.suffix == ".jpeg":
        Image.fromarray(image).save(path, quality=90)
    else:
        Image.fromarray(image).save(path, compress_level=1)
