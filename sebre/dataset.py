"""Prepared data sets: folders of section images and region masks.

    <root>/
      mrcnn_<subset>_dataset_images/<anything>_<k>.png
      mrcnn_<subset>_dataset_masks/<anything>_<k>/<anything>_m<id>.png

The number k joins an image and its mask folder. The class id is the number at the end of the
mask's name, of any length: `..._cortex_m1.png`, `..._m_12.png` and `..._3.png` are all read.
Folders made for the released SeBRe code are of this form.
"""

import re
from collections.abc import Collection
from pathlib import Path

import imageio.v3
import numpy as np
from PIL import Image

from mrcnn.utils import Dataset
from sebre.regions import MOUSE, RegionSet

SOURCE = "brain"  # as in the released SeBRe code
_IMAGE_TYPES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_NUMBER = re.compile(r"(?:^|.*\D)(\d+)")


class SectionDataset(Dataset):
    """Sections of a prepared data set.

    Args:
        regions: the region set that the mask numbers refer to.
    """

    def __init__(self, regions: RegionSet = MOUSE):
        super().__init__()
        self.regions = regions
        for region in regions:
            self.add_class(SOURCE, region.id, region.name)

    def load(
        self, root: str | Path, subset: str, numbers: Collection[int] | None = None
    ) -> "SectionDataset":
        """Add the sections of one subset, in the order of their numbers. Call `prepare` after.

        Every name is checked now, pixels when they are read.

        Args:
            root: folder of the data set.
            subset: "train", "val" or another one that the folder has.
            numbers: add these section numbers only.

        Returns:
            The data set itself.

        Raises:
            ValueError: a folder or file is missing, double, or has a name without a number,
                or a mask has a class id that the region set lacks.
        """
        root = Path(root)
        images_dir = root / f"mrcnn_{subset}_dataset_images"
        masks_dir = root / f"mrcnn_{subset}_dataset_masks"
        for folder in (images_dir, masks_dir):
            if not folder.is_dir():
                raise ValueError(
                    f"{folder}: no such folder. A prepared data set has "
                    f"mrcnn_{subset}_dataset_images and mrcnn_{subset}_dataset_masks; check the "
                    "path, or make it with `sebre prepare`."
                )
        images = _numbered(images_dir, "file")
        folders = _numbered(masks_dir, "folder")
        if not images:
            raise ValueError(f"{images_dir}: no images ({', '.join(_IMAGE_TYPES)}) in it.")
        alone = sorted(folders.keys() - images.keys())
        if alone:
            raise ValueError(
                f"{folders[alone[0]]}: no image in {images_dir} ends in _{alone[0]}. "
                "Add the image, or remove the masks."
            )
        wanted = sorted(images if numbers is None else numbers)
        for number in wanted:
            if number not in images:
                raise ValueError(f"{images_dir}: no image ends in _{number}.")
            if number not in folders:
                raise ValueError(
                    f"{images[number]}: no folder in {masks_dir} ends in _{number}. Add it; "
                    "leave it empty if the section shows no region."
                )
            self.add_image(
                SOURCE,
                f"{subset}/{number}",
                images[number],
                number=number,
                subset=subset,
                masks=self._mask_files(folders[number]),
            )
        return self

    def _mask_files(self, folder: Path) -> dict[int, Path]:
        files = _numbered(folder, "file")
        for class_id, path in files.items():
            if not 1 <= class_id <= len(self.regions):
                raise ValueError(
                    f"{path}: class id {class_id} is not in the region set "
                    f"{self.regions.name!r} (1-{len(self.regions)}). Rename the file, or use "
                    "the region set that it was drawn for."
                )
        return dict(sorted(files.items()))

    def image_reference(self, image_id: int) -> str:
        """Name of the section, such as "val/3"."""
        return self.image_info[image_id]["id"]

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Masks of a section; empty ones are left out.

        Any value above 0 is inside (above half of the range in a JPEG, which is not exact).

        Returns:
            bool [H, W, N], and class ids int32 [N].

        Raises:
            ValueError: a file cannot be read, or differs in size from the image.
        """
        info = self.image_info[image_id]
        try:
            with Image.open(info["path"]) as image:
                shape = image.size[::-1]
        except OSError as error:
            raise ValueError(f"{info['path']}: cannot read this image ({error}).") from error
        masks, class_ids = [], []
        for class_id, path in info["masks"].items():
            mask = _read_mask(path)
            if mask.shape != shape:
                raise ValueError(
                    f"{path}: the mask has {mask.shape[0]} x {mask.shape[1]} px, its image "
                    f"{info['path']} has {shape[0]} x {shape[1]}. Export both at the same size."
                )
            if mask.any():
                masks.append(mask)
                class_ids.append(self.map_source_class_id(f"{SOURCE}.{class_id}"))
        if not masks:
            return np.zeros((*shape, 0), bool), np.zeros(0, np.int32)
        return np.stack(masks, axis=-1), np.array(class_ids, np.int32)


def _numbered(folder: Path, kind: str) -> dict[int, Path]:
    """Files or folders in `folder` by the number at the end of their names."""
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in ("Thumbs.db", "desktop.ini"):
            continue
        fits = path.is_dir() if kind == "folder" else path.suffix.lower() in _IMAGE_TYPES
        match = _NUMBER.fullmatch(path.name if kind == "folder" else path.stem)
        if not fits or match is None:
            wanted = (
                "folders named <anything>_<number>"
                if kind == "folder"
                else f"images named <anything>_<number> ({', '.join(_IMAGE_TYPES)})"
            )
            raise ValueError(f"{path}: only {wanted} belong here. Rename it or move it away.")
        number = int(match[1])
        if number in found:
            raise ValueError(
                f"{path}: {found[number].name} has the number {number} too. Keep one of them."
            )
        found[number] = path
    return found


def _read_mask(path: Path) -> np.ndarray:
    try:
        # The file is opened here, so that it is closed when a decoder fails.
        with path.open("rb") as file:
            mask = imageio.v3.imread(file, index=0)
    # Decoders raise whatever a damaged file leads them to.
    except Exception as error:
        raise ValueError(
            f"{path}: cannot read this mask ({type(error).__name__}: {error}). Replace the file."
        ) from error
    if mask.ndim == 3:
        mask = (mask[..., :-1] if mask.shape[-1] in (2, 4) else mask).max(axis=-1)
    if mask.ndim != 2:
        raise ValueError(f"{path}: an array of shape {mask.shape} is not a mask; save it as PNG.")
    lossy = path.suffix.lower() in (".jpg", ".jpeg")
    return mask > (127 if lossy else 0)
