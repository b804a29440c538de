"""Writing the prepared layout: images, masks, sections.csv, dataset.json, SHA256SUMS."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mrcnn.errors import UserError
from mrcnn.io.files import file_sha256
from mrcnn.io.own_files import demand_place, new_folder
from sebre.data.csv_tables import write_table
from sebre.data.regions import RegionSet

SECTION_COLUMNS = tuple(
    "section subset subject marker age plate angle flipped source_row regions".split()
)


def demand_empty(out: str | Path) -> None:
    """Raise a UserError unless a data set can be written to a folder: none, or an empty one."""
    out = Path(out)
    if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
        raise UserError(
            f"{out}: exists and is not an empty folder. Remove it, or choose another --out."
        )
    demand_place(out.parent)


@contextmanager
def new_data_set(out: str | Path, regions: RegionSet) -> Iterator["LayoutWriter"]:
    """A writer of a data set that appears at its place when it is complete; on an error nothing is
    left behind. The folder `out` must not exist, or be empty."""
    demand_empty(out)
    with new_folder(out) as part:
        writer = LayoutWriter(part, regions)
        yield writer
        writer.finish()


class LayoutWriter:
    """Writes a prepared data set to an empty folder, `part`; see `new_data_set`."""

    def __init__(self, part: Path, regions: RegionSet):
        self.part, self.regions = part, regions
        self.rows: list[dict[str, Any]] = []

    def finish(self) -> None:
        """Write sections.csv and SHA256SUMS, when all else is there."""
        columns = dict.fromkeys([*SECTION_COLUMNS, *(key for row in self.rows for key in row)])
        write_table(self.part / "sections.csv", list(columns), self.rows)
        self._write_checksums()

    def add(
        self,
        subset: str,
        number: int,
        image: np.ndarray,
        masks: Mapping[int, np.ndarray],
        /,
        **facts: Any,
    ) -> None:
        """Write a section: image, uint8 [H, W] or [H, W, 3], and masks, bool [H, W] by class id.

        It has a number in its subset, "train" or "val"; facts are cells of its row in sections.csv.

        Raises:
            UserError: a mask of another size than the image.
        """
        for class_id, mask in masks.items():
            if mask.shape != image.shape[:2]:
                raise UserError(
                    f"{self.part.parent}: the mask of {self.regions[class_id].name} in section "
                    f"{number} ({subset}) has {' x '.join(map(str, mask.shape))} px, its image "
                    f"{' x '.join(map(str, image.shape[:2]))}. Give drawings of the size of their "
                    "pictures."
                )
        images = self.part / f"mrcnn_{subset}_dataset_images"
        folder = self.part / f"mrcnn_{subset}_dataset_masks" / f"section_masks_{number}"
        images.mkdir(exist_ok=True)
        folder.mkdir(parents=True)
        Image.fromarray(image).save(images / f"section_img_{number}.png", optimize=True)
        for class_id, mask in sorted(masks.items()):
            name = f"section_masks_{number}_{self.regions[class_id].name}_m{class_id}.png"
            Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(
                folder / name, optimize=True
            )
        names = " ".join(self.regions[class_id].name for class_id in sorted(masks))
        self.rows.append({"section": number, "subset": subset, "regions": names, **facts})

    def write_text(self, name: str, text: str) -> None:
        """Write a text file at the top of the data set."""
        (self.part / name).write_text(text, encoding="utf-8")

    def write_facts(self, **facts: Any) -> None:
        """Write dataset.json: the regions, and what is given."""
        record = {**facts, **self.regions.to_json()}
        self.write_text("dataset.json", json.dumps(record, indent=1) + "\n")

    def _write_checksums(self) -> None:
        files = sorted(path for path in self.part.rglob("*") if path.is_file())
        lines = [f"{file_sha256(path)}  {path.relative_to(self.part).as_posix()}" for path in files]
        self.write_text("SHA256SUMS", "\n".join(lines) + "\n")
