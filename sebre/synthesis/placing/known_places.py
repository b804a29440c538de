"""Sections whose plane and place are known: synthetic ones, and real ones of `zeroshot`."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sebre.data.csv_tables import read_table
from sebre.place.atlas_frame import MIDDLE_MM, PLANES, SIZE_MM
from sebre.place.error_bars import angle_between
from sebre.place.section_place import SectionPlace
from sebre.synthesis.placing.placed_sections import PlacedSection

_QUICKNII_MM = 0.025
_BREGMA_MM = 5.4  # from the front end of the atlas
# Of the coronal Allen Reference Atlas: bregma of plate 0, and from plate to plate.
_PLATE_MM, _PLATE_STEP_MM = 5.345, 0.10115
_PLATE = re.compile(r"ara(\d+)\.jpg$|ARA plate (\d+)")
_ANCHORING = re.compile(r"\[[-\d., ]+\]")


@dataclass(frozen=True)
class KnownPlace:
    """What is known of where a section lies.

    Attributes:
        plane: the nearest of PLANES.
        anchoring: float64 [3, 3]. From (x, y, 1), px, to ap, dv, ml in mm, ml with its side;
            None if only plane and position are known.
        position_mm: of a section without anchoring, along the axis of its plane; None if it is
            not known either.
    """

    plane: str
    anchoring: np.ndarray | None = None
    position_mm: float | None = None

    @property
    def normal(self) -> np.ndarray:
        """Through the section, [3]."""
        if self.anchoring is None:
            return np.eye(3)[PLANES.index(self.plane)]
        normal = np.cross(self.anchoring[:, 0], self.anchoring[:, 1])
        return normal / np.linalg.norm(normal)

    def angle_error(self, found: SectionPlace) -> float:
        """Degrees between the planes."""
        return angle_between(self.normal, np.array(found.normal))

    def position_error(self, found: SectionPlace, center: np.ndarray) -> float | None:
        """Distance of a place of the picture from the true plane, mm.

        Args:
            found: place of the section.
            center: (x, y) of the middle of the tissue, px.
        """
        if self.anchoring is None:
            known = self.position_mm
            return None if known is None else abs(found.position_mm - known)
        true = self.anchoring @ np.append(center, 1.0)
        said = np.array(found.center_mm) * [1, 1, 1 if true[2] >= 0 else -1]
        return abs(float(self.normal @ (said - true)))

    def turn_error(self, found: SectionPlace) -> float | None:
        """Degrees between what is found to be up and what is, in the picture."""
        if self.anchoring is None:
            return None
        axis = 0 if self.plane == "horizontal" else 1
        true, said = self.anchoring[axis, :2], found.anchoring[axis, :2]
        cosine = true @ said / max(np.linalg.norm(true) * np.linalg.norm(said), 1e-12)
        return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def known_place(placed: PlacedSection) -> KnownPlace:
    """Of a synthetic section: the plane nearest to the places of its tissue."""
    rows, columns = np.nonzero(placed.tissue)
    design = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], axis=1)
    places = placed.places[rows, columns].astype(float)
    matrix = np.linalg.lstsq(design, places, rcond=None)[0].T
    normal = np.cross(matrix[:, 0], matrix[:, 1])
    return KnownPlace(PLANES[int(np.abs(normal).argmax())], matrix)


@dataclass(frozen=True)
class RealPlace:
    """A real section, and what is known of its place."""

    image: str
    source: str
    picture: np.ndarray  # [H, W], gray values
    known: KnownPlace


def real_places(data: Path) -> Iterator[RealPlace]:
    """Sections of `zeroshot` of a named plane, with their anchoring where one was found by a
    registration, and the position of plates of the coronal Allen Reference Atlas."""
    folder = data / "zeroshot"
    for row in read_table(folder / "sections.csv", ("image", "source", "plane", "registration")):
        plane = next((name for name in PLANES if row["plane"].startswith(name)), None)
        if plane is None or "embryo" in row["source"]:
            continue
        with Image.open(folder / row["image"]) as image:
            picture = np.asarray(image.convert("RGB"), np.float32).mean(axis=-1)
        yield RealPlace(row["image"], row["source"], picture, _known(row, plane, picture.shape))


def _known(row: dict[str, str], plane: str, shape: tuple[int, int]) -> KnownPlace:
    if found := _ANCHORING.search(row["registration"]):
        values = json.loads(found[0])
        if len(values) == 9:
            return KnownPlace(plane, anchoring_of(values, shape))
    if found := _PLATE.search(row["image"]) or _PLATE.search(row["registration"]):
        plate = int(found[1] or found[2])
        return KnownPlace(plane, None, _BREGMA_MM - (_PLATE_MM - plate * _PLATE_STEP_MM))
    return KnownPlace(plane)


def anchoring_of(values: list[float], shape: tuple[int, int]) -> np.ndarray:
    """Anchoring of QuickNII (ox, oy, oz, ux, uy, uz, vx, vy, vz, voxels of 25 um) of a picture of
    this shape, as from px to ap, dv, ml in mm: inverse of `SectionPlace.quicknii`."""
    origin, across, down = np.array(values, float).reshape(3, 3)
    matrix = np.stack([across / shape[1], down / shape[0], origin], axis=1) * _QUICKNII_MM
    ml, ap, dv = matrix
    ends = np.array([[0, 0, 1]], float)
    return np.concatenate(
        [SIZE_MM[0] * ends - ap, SIZE_MM[1] * ends - dv, ml[None] - MIDDLE_MM * ends]
    )
