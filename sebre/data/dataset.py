"""Prepared data sets (`sebre.data.section_files` has their layout) as data sets of the network."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn.data.dataset import Dataset
from mrcnn.errors import UserError
from mrcnn.imageio.label_files import read_mask
from mrcnn.imageio.reading import read_header
from sebre.data.region_names import demand_regions
from sebre.data.regions import MOUSE, RegionSet
from sebre.data.section_files import (
    demand_same_size,
    list_subset,
    numbered,
    part_folder,
    read_mask_at,
)

SOURCE = "brain"  # as in the released SeBRe code


class SectionDataset(Dataset):
    """Sections of a prepared data set, whose mask numbers refer to a region set."""

    thread_safe = True
    cacheable = True

    def __init__(self, regions: RegionSet = MOUSE):
        super().__init__()
        self.regions = regions
        for region in regions:
            self.add_class(SOURCE, region.id, region.name)

    def load(
        self, root: str | Path, subset: str, numbers: Collection[int] | None = None
    ) -> "SectionDataset":
        """Add the sections of one subset, in the order of their numbers. Call `prepare` after.

        The subset is "train", "val" or another one that the folder has; of it all sections are
        added, or those of some numbers. Names are checked now, pixels when they are read: those of
        the regions, in dataset.json and of the masks, must be those of the region set.
        """
        sections, refused = list_subset(Path(root), subset)
        wanted = sorted(sections if numbers is None else numbers)
        if stop := next((r for r in refused if r.number is None or r.number in wanted), None):
            raise UserError(str(stop))
        files = (sections[number] for number in wanted if number in sections)
        masks = (pair for section in files for pair in section.masks.items())
        demand_regions(Path(root), masks, self.regions)
        for number in wanted:
            if number not in sections:
                folder = part_folder(Path(root), subset, "images")
                raise UserError(f"{folder}: no image ends in _{number}.")
            files = sections[number]
            facts = {"number": number, "subset": subset}
            self._add(f"{subset}/{number}", files.image, files.masks, facts)
        return self

    def add_section(self, name: str, image: Path, masks: Path, **facts: Any) -> None:
        """Add one section.

        Its name is what `image_reference` says; the names of the masks in the folder end in their
        class ids, and may name no other regions; facts are further entries of `image_info`.
        """
        files = dict(sorted(numbered(masks, "file").items()))
        prepared = masks.resolve().parent
        # Masks of one's own may lie anywhere; those of a prepared set two folders below its root.
        root = prepared.parent if prepared.name.endswith("_dataset_masks") else masks
        demand_regions(root, files.items(), self.regions, str(masks))
        self._add(name, image, files, facts)

    def _add(
        self, name: str, image: Path, masks: Mapping[int, Path], facts: Mapping[str, Any]
    ) -> None:
        for class_id, path in masks.items():
            if not 1 <= class_id <= len(self.regions):
                raise UserError(
                    f"{path}: class id {class_id} is not in the region set "
                    f"{self.regions.name!r} (1-{len(self.regions)}). Rename the file, or use "
                    "the region set that it was drawn for."
                )
        self.add_image(SOURCE, name, image, masks=masks, **facts)

    def image_reference(self, image_id: int) -> str:
        """Name of the section, such as "val/3"."""
        return self.image_info[image_id]["id"]

    def load_mask(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Masks of a section, bool [H, W, N], and class ids int32 [N]; empty ones are left out.

        See `mrcnn.imageio.label_files.read_mask` for what is inside.
        """
        info = self.image_info[image_id]
        shape = read_header(info["path"]).shape

        def read(path: Path) -> np.ndarray:
            mask = read_mask(path)
            demand_same_size(path, mask.shape, info["path"], shape)
            return mask

        return self._stacked(info, shape, read)

    def load_mask_at(
        self, image_id: int, shape: Sequence[int], rows: np.ndarray, columns: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Some rows and columns of the masks, which are read one by one."""
        if type(self).load_mask is not SectionDataset.load_mask:
            return super().load_mask_at(image_id, shape, rows, columns)
        info = self.image_info[image_id]
        size = tuple(shape[:2])

        def read(path: Path) -> np.ndarray:
            return read_mask_at(path, info["path"], size, rows, columns)

        return self._stacked(info, (len(rows), len(columns)), read)

    def _stacked(
        self, info: dict[str, Any], shape: Sequence[int], read: Callable[[Path], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The masks of a section that are not empty, bool [*shape, N], and their class ids."""
        masks, class_ids = [], []
        for class_id, path in info["masks"].items():
            mask = read(path)
            if mask.any():
                masks.append(mask)
                class_ids.append(self.map_source_class_id(f"{SOURCE}.{class_id}"))
        if not masks:
            return np.zeros((*shape, 0), bool), np.zeros(0, np.int32)
        return np.stack(masks, axis=-1), np.array(class_ids, np.int32)
