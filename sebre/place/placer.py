"""Says where a section lies: `Placer`, which `load_placer` reads from the store of weights.

It stands on the weights of the network of any section. Beside them lies `<name>.place.npz` with
the head that `sebre.synthesis.placing` trained, the small atlas, and the error bars.
"""

import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mrcnn.errors import UserError
from mrcnn.io.files import file_sha256
from sebre.data.regions import ANY_SECTION
from sebre.networks.any_section import AnySectionSegmenter, small_gray, tissue_of_gray
from sebre.networks.segmenter import load_segmenter
from sebre.networks.weights_store import find_weights, is_here, known_networks
from sebre.place.atlas_frame import ADULT_DAYS, PLANES
from sebre.place.brain_atlas import BrainAtlas
from sebre.place.cell_places import CellPlaces, cell_places
from sebre.place.error_bars import bars_of, signs_of
from sebre.place.place_network import build_head, feature_model, load_head
from sebre.place.plane_fit import FlatPlane
from sebre.place.section_place import SectionPlace

SPECIES = "mouse"

_log = logging.getLogger(__name__)


class Placer:
    """Says where sections lie.

    Args:
        segmenter: the network of any section.
        arrays: of the file, see the module.

    Raises:
        KeyError, ValueError: arrays that do not fit the network.
    """

    def __init__(self, segmenter: AnySectionSegmenter, arrays: Mapping[str, np.ndarray]):
        features = feature_model(segmenter.keras_model)
        head = build_head(features, int(arrays["width"]))
        load_head(head, arrays)
        self._segmenter = segmenter
        self._network = keras.Model(features.inputs[0], head(features.outputs))
        self._bars = bars_of(arrays)
        self.age_bar = float(arrays["age_bar"])
        self.atlas = BrainAtlas.from_arrays(arrays)

    def cells(self, picture: np.ndarray) -> CellPlaces:
        """What the network says of the cells of a picture uint8 [H, W, 3] or gray [H, W]."""
        return cell_places(self._segmenter, self._network, picture)

    def place(self, picture: np.ndarray, shape: Sequence[int] | None = None) -> SectionPlace | None:
        """Where a section lies; None where hardly any tissue is seen.

        Args:
            picture: uint8 [H, W, 3], or gray values [H, W].
            shape: (height, width) of the picture whose px are meant, where the array is one at
                reduced scale.
        """
        if not tissue_of_gray(small_gray(picture, self._network.input_shape[1])).any():
            return None
        cells = self.cells(picture)
        plane = cells.plane()
        return None if plane is None else self.tell(cells, plane, picture.shape, shape)

    def tell(
        self,
        cells: CellPlaces,
        plane: FlatPlane,
        seen: Sequence[int],
        shape: Sequence[int] | None = None,
    ) -> SectionPlace:
        """What is to be told of a plane through cells.

        Args:
            cells: of the picture.
            plane: of `cells.plane()`.
            seen: (height, width) of the picture that was looked at.
            shape: as of `place`.
        """
        height, width = (int(n) for n in (shape or seen)[:2])
        shown = np.diag([seen[1] / width, seen[0] / height, 1.0])
        anchoring, normal = plane.matrix @ cells.frame.to_square() @ shown, plane.normal
        name = PLANES[int(np.abs(normal).argmax())]
        turn, front = _lies(anchoring, name)
        if name != "sagittal":
            # Whichever side is which: by custom, the right of the animal is on the left of an
            # upright picture.
            anchoring, normal = _sided(anchoring, normal, name)
        signs = signs_of(cells, plane)[None]
        age, error = age_of_views(cells)
        ages = np.exp(age + self.age_bar * error * np.array([-1, 0, 1]))
        low, age, high = (float(min(value, ADULT_DAYS)) for value in ages)
        return SectionPlace(
            plane=name,
            normal=tuple(float(v) for v in normal),
            tilt_deg=float(np.degrees(np.arccos(min(np.abs(normal).max(), 1.0)))),
            angle_error_deg=float(self._bars["angle"].bar(signs)[0]),
            center_mm=tuple(float(v) for v in plane.center_mm),
            position_error_mm=float(self._bars["position"].bar(signs)[0]),
            anchoring=anchoring,
            shape=(height, width),
            turn_deg=turn,
            front=front,
            age_days=age,
            age_range=(low, high),
            atlas=self.atlas,
        )


def age_of_views(cells: CellPlaces) -> tuple[float, float]:
    """Logarithm of the age in days, and of what the network expects as its error."""
    spread = float(np.exp(np.clip(cells.ages[:, 1], -4, 2)).mean())
    return float(cells.ages[:, 0].mean()), spread + float(cells.ages[:, 0].std())


def _lies(anchoring: np.ndarray, plane: str) -> tuple[float, str]:
    """How far to turn a picture counterclockwise until it is upright, degrees, and where the front
    is then."""
    down = anchoring[0 if plane == "horizontal" else 1, :2]
    turn = -float(np.degrees(np.arctan2(down[0], down[1])))
    if plane != "sagittal":
        return turn, ""
    backward = anchoring[0, :2] @ [down[1], -down[0]]
    return turn, "left" if backward > 0 else "right"


def _sided(anchoring: np.ndarray, normal: np.ndarray, plane: str) -> tuple[np.ndarray, np.ndarray]:
    down = anchoring[0 if plane == "horizontal" else 1, :2]
    sideward = anchoring[2, :2] @ [down[1], -down[0]]
    mirror = np.array([1, 1, -1 if sideward > 0 else 1])
    return anchoring * mirror[:, None], normal * mirror


def load_placer(name: str = ANY_SECTION.name) -> Placer | None:
    """The placer of the network of any section; None where there is none. It is read once.

    Raises:
        UserError: a damaged file.
    """
    checksum = placer_sha256(name)
    return None if checksum is None else _read(name, checksum)


def placer_sha256(name: str = ANY_SECTION.name) -> str | None:
    """Checksum of the place file of the network of any section; None where there is none."""
    path = _path(name)
    return file_sha256(path) if path is not None and path.is_file() else None


def _path(name: str) -> Path | None:
    """Of the place file, as the manifest has it; it is never fetched."""
    store, entry = known_networks().get(name, (Path(), {}))
    if "place" not in entry or not is_here(store, entry):
        return None
    return store / entry["place"]["file"]


@functools.lru_cache(maxsize=1)
def _read(name: str, checksum: str) -> Placer | None:
    weights, path = find_weights(name), _path(name)
    recorded = weights.entry["place"].get("sha256")
    cure = "Restore it, or train it anew (docs/place.md)."
    if checksum != recorded:
        raise UserError(f"{path}: its SHA-256 differs from the manifest's {recorded}. {cure}")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, Any] = dict(file)
        if str(arrays["weights_sha256"]) != weights.sha256:
            _log.warning("%s: was made for other weights, and is not used. %s", path, cure)
            return None
        return Placer(load_segmenter(name), arrays)
    except (ValueError, KeyError, OSError) as error:
        raise UserError(f"{path}: not a place file ({error!r}). {cure}") from error
