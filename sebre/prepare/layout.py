"""Writing the prepared layout: images, masks, sections.csv, dataset.json, SHA256SUMS."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mrcnn.errors import UserError
from mrcnn.io.download import file_sha256
from sebre.data.csv_tables import write_table
from sebre.data.regions import RegionSet

SECTION_COLUMNS = tuple(
    "section subset subject marker age plate angle flipped source_row regions".split()
)


class LayoutWriter:
    """Writes a prepared data set; it appears at its place when it is complete.

    Use it as a context manager; on an error nothing is left behind. The folder `out` must not
    exist, or be empty.
    """

    def __init__(self, out: str | Path, regions: RegionSet):
        self.out = Path(out)
        self.regions = regions
        self.rows: list[dict[str, Any]] = []
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise UserError(
                f"{self.out}: exists and is not an empty folder. Remove it, or choose another "
                "--out."
            )
        self.part = self.out.with_name(self.out.name + ".part")

    def __enter__(self) -> "LayoutWriter":
        shutil.rmtree(self.part, ignore_errors=True)
        self.part.mkdir(parents=True)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            shutil.rmtree(self.part, ignore_errors=True)
            return
        columns = dict.fromkeys([*SECTION_COLUMNS, *(key for row in self.rows for key in row)])
        write_table(self.part / "sections.csv", list(columns), self.rows)
        self._write_checksums()
        if self.out.exists():
            self.out.rmdir()
        self.part.replace(self.out)

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
        """
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
