"""Places of sections, made up."""

from typing import Any

from sebre.place.brain_atlas import BrainAtlas
from sebre.place.section_place import SectionPlace


def coronal_place(atlas: BrainAtlas, **others: Any) -> SectionPlace:
    """An upright coronal section 3 mm from the front; `others` are `anchoring`, `shape`,
    `age_range`."""
    return SectionPlace(
        plane="coronal",
        normal=(1.0, 0.0, 0.0),
        tilt_deg=0.0,
        angle_error_deg=5.0,
        center_mm=(3.0, 4.0, 0.0),
        position_error_mm=0.4,
        turn_deg=0.0,
        front="",
        age_days=56.0,
        atlas=atlas,
        **others,
    )
