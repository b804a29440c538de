"""Where a section lies in the brain: what is told of it, in numbers and in words."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sebre.place.atlas_frame import ADULT_DAYS, AXES, MIDDLE_MM, PLANES, SIZE_MM
from sebre.place.brain_atlas import BrainAtlas

_QUICKNII_UM = 25.0
_MARGIN_MM = 0.3  # by which brains differ from the atlas, beside the error of the place
_LEAST_SHARE = 0.002  # of the tissue of a plane: less than this is not expected to be found
_UPRIGHT_DEG = 30.0  # within which a picture counts as upright
_CLEAR_DEG = 30.0  # a plane this far from another, its error taken off, is another one
_LITTLE_DEG = 35.0  # an error above it says that the plane is not known


@dataclass(frozen=True)
class SectionPlace:
    """Plane and place of one section, in the frame of the Allen CCFv3.

    Errors are such that nine of ten sections lie within them.

    Attributes:
        plane: "coronal", "sagittal" or "horizontal": the nearest one.
        normal: unit vector through the section along ap, dv, ml. The side of ml is not known.
        tilt_deg: between the section and that plane.
        angle_error_deg: of the direction of the plane.
        center_mm: ap, dv, ml of the middle of the tissue; ml from the middle plane, without side.
        position_error_mm: of the place along `normal`.
        anchoring: float64 [3, 3]. From (x, y, 1) of the picture, px, to ap, dv, ml in mm.
        shape: (height, width) of the picture.
        turn_deg: by which the picture is to be turned counterclockwise to lie with the top of the
            brain upward; of a horizontal section with the front upward.
        front: of a sagittal section that is turned so, the side of the front: "left" or "right";
            empty for other planes, which do not show it.
        age_days: estimated; 56 stands for adult.
        age_range: that nine of ten are in.
        atlas: that says what occurs where.
    """

    plane: str
    normal: tuple[float, float, float]
    tilt_deg: float
    angle_error_deg: float
    center_mm: tuple[float, float, float]
    position_error_mm: float
    anchoring: np.ndarray
    shape: tuple[int, int]
    turn_deg: float
    front: str
    age_days: float
    age_range: tuple[float, float]
    atlas: BrainAtlas = field(repr=False, compare=False)

    @property
    def position_mm(self) -> float:
        """Along the axis that the plane cuts: ap, dv, or distance from the middle plane."""
        return self.center_mm[PLANES.index(self.plane)]

    def at(self, x: float, y: float) -> tuple[float, float, float]:
        """Place of a point of the picture, px from its upper left corner: ap, dv, ml in mm."""
        ap, dv, ml = (float(v) for v in self.anchoring @ [x, y, 1.0])
        return ap, dv, abs(ml)

    @property
    def sure(self) -> bool:
        """Whether the plane is known at all."""
        return self.angle_error_deg <= _LITTLE_DEG

    def differs_from(self, plane: str) -> bool:
        """Whether the section is clearly of another plane than a named one; not, if the name is
        not that of a plane."""
        if plane not in PLANES or not self.sure:
            return False
        part = abs(self.normal[PLANES.index(plane)])
        angle = float(np.degrees(np.arccos(min(part, 1.0))))
        return angle - self.angle_error_deg > _CLEAR_DEG

    def lacks(self, numbers: Iterable[int]) -> bool:
        """Whether a region does not occur at this place, nor near it.

        Args:
            numbers: Allen numbers of the structures that the region consists of; without any it
                is not known.
        """
        rows = self.atlas.rows_of(numbers)
        if not self.sure or not rows.any():
            return False
        return all(shares[rows].sum() < _LEAST_SHARE for shares in self._planes)

    @functools.cached_property
    def _planes(self) -> list[np.ndarray]:
        """What the plane shows, and those at the ends of its errors."""
        normal, center = np.array(self.normal), np.array(self.center_mm)
        # On the side of the anchoring: the center has none, as either half may be meant.
        sides = center, center * (1, 1, -1)
        center = min(sides, key=lambda c: abs(normal @ (c - self.anchoring[:, 2])))
        reach = self.position_error_mm + _MARGIN_MM
        first = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
        first /= np.linalg.norm(first)
        second = np.cross(normal, first)
        slope = np.tan(np.radians(min(self.angle_error_deg, 60.0)))
        places = [(normal, shift * reach) for shift in (-1.0, -0.5, 0.0, 0.5, 1.0)]
        tilts = [normal + slope * tilt for tilt in (first, -first, second, -second)]
        places += [(tilted / np.linalg.norm(tilted), 0.0) for tilted in tilts]
        return [self.atlas.shares(n, center + shift * n) for n, shift in places]

    @property
    def quicknii(self) -> list[float]:
        """Anchoring for QuickNII in voxels of 25 um of the Allen atlas: ox, oy, oz, ux, uy, uz, vx,
        vy, vz, corner of the picture and its two edges."""
        height, width = self.shape
        corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1]], float)
        ap, dv, ml = (corners @ self.anchoring.T).T
        size = SIZE_MM * 1000 / _QUICKNII_UM
        scaled = 1000 / _QUICKNII_UM * np.stack([ml + MIDDLE_MM, ap, dv], axis=1)
        # There the axes run across, from the back to the front, and upward.
        scaled[:, 1:] = [size[0], size[1]] - scaled[:, 1:]
        origin = scaled[0]
        values = [*origin, *(scaled[1] - origin), *(scaled[2] - origin)]
        return [round(float(value), 2) for value in values]

    def text(self) -> str:
        """In words."""
        if not self.sure:
            return "plane not known"
        parts = [
            f"{self.plane}, tilted by {self.tilt_deg:.0f} \u00b1 {self.angle_error_deg:.0f} "
            "degrees",
            f"{_WHERE[self.plane].format(f'{self.position_mm:.1f}')} \u00b1 "
            f"{self.position_error_mm:.1f} mm",
        ]
        top = "front" if self.plane == "horizontal" else "top of the brain"
        if abs(self.turn_deg) > _UPRIGHT_DEG:
            way = "counterclockwise" if self.turn_deg > 0 else "clockwise"
            parts.append(f"to be turned by {abs(self.turn_deg):.0f} degrees {way}, {top} upward")
        if self.front:
            parts.append(f"front on the {self.front}")
        low, high = (f"P{age:.0f}" for age in self.age_range)
        high = "adult" if self.age_range[1] >= ADULT_DAYS else high
        parts.append(high if low == high or self.age_range[0] >= ADULT_DAYS else f"{low} to {high}")
        return "; ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "plane": self.plane if self.sure else None,
            "text": self.text(),
            "tilt_deg": round(self.tilt_deg, 1),
            "angle_error_deg": round(self.angle_error_deg, 1),
            "position_mm": round(self.position_mm, 2),
            "position_error_mm": round(self.position_error_mm, 2),
            "center_mm": {a: round(v, 2) for a, v in zip(AXES, self.center_mm, strict=True)},
            "normal": {a: round(v, 3) for a, v in zip(AXES, self.normal, strict=True)},
            "turn_deg": round(self.turn_deg, 1),
            "front": self.front or None,
            "age_days": round(self.age_days, 1),
            "age_range_days": [round(age, 1) for age in self.age_range],
            "quicknii": self.quicknii,
        }


_WHERE = {
    "coronal": "{} mm (AP) from the front end of the Allen atlas",
    "horizontal": "{} mm below the top of the Allen atlas",
    "sagittal": "{} mm from the middle plane",
}
