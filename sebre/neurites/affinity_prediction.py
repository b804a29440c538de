"""A trained network of affinities, and what it predicts for a cell of a volume."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mrcnn.errors import MissingFileError, UserError, reading
from mrcnn.io.files import file_sha256
from mrcnn.weights.loading import load_weights, quiet_keras
from sebre.networks.training_run import SETTINGS_FILE
from sebre.networks.weights_store import find_weights
from sebre.neurites.affinity_graph import Offset, graph_offsets
from sebre.neurites.affinity_unet import (
    build_network,
    network_step,
    plan_levels,
    receptive_margin,
)
from sebre.neurites.cells import Lattice

NAME = "neurites"  # of the shipped network, and what the manifest calls its kind
LAST_FILE = "last.keras"
_CELL = (64, 96, 96)
_MARGIN = 16  # voxels around a cell that are predicted and thrown away
_SAMPLED = 64  # sections that mean and deviation of a volume are taken from
_LEAST_SD = 1.0  # of gray values


@dataclass
class AffinityNetwork:
    """A network with what it needs to be used.

    Attributes:
        model: standardized gray values [B, z, y, x, 1] -> logits [B, z, y, x, edges].
        offsets: of the edges.
        voxel_nm: along z, y, x, that it was trained on.
        levels: how many it has.
        sha256: of its file.
        thresholds: affinity at which each method joins, by method.
    """

    model: keras.Model
    offsets: tuple[Offset, ...]
    voxel_nm: tuple[float, float, float]
    levels: int
    sha256: str
    thresholds: dict[str, float] = field(default_factory=dict)

    @property
    def step(self) -> tuple[int, int, int]:
        """What the sides of its volumes are multiples of."""
        return network_step(plan_levels(self.voxel_nm, self.levels))

    @property
    def margin(self) -> tuple[int, int, int]:
        """Voxels around a cell that are looked at, along z, y, x."""
        reach = receptive_margin(plan_levels(self.voxel_nm, self.levels))
        least = zip(reach, self.step, strict=True)
        return tuple(min(full, -(-_MARGIN // step) * step) for full, step in least)

    def lattice(self, shape: Sequence[int]) -> Lattice:
        """The cells of a volume of this shape."""
        sides = zip(shape, _CELL, self.step, strict=True)
        return Lattice(tuple(shape), tuple(min(cell, -(-n // s) * s) for n, cell, s in sides))

    def predict_cell(
        self, raw: np.ndarray, lattice: Lattice, place: tuple[int, int, int], gray: "GrayValues"
    ) -> np.ndarray:
        """Affinities of a cell.

        What is looked at always has the same shape, so that the numbers are always the same ones;
        beyond the faces of the volume it is mirrored.

        Args:
            raw: uint8 [z, y, x], the whole volume, or what gives a part of it for an index.
            lattice: of the volume.
            place: of the cell.
            gray: of the volume.

        Returns:
            uint8 [edges, z, y, x], 255 for 1; 0 where an edge leaves the volume.
        """
        core = lattice.box(place)
        seen, rooms = [], []
        for part, margin, step, size in zip(
            core, self.margin, lattice.cell, lattice.shape, strict=True
        ):
            low, high = part.start - margin, part.start + step + margin
            seen.append(slice(max(low, 0), min(high, size)))
            rooms.append((max(-low, 0), max(high - size, 0)))
        part = gray.standardized(np.asarray(raw[tuple(seen)]))
        values = np.pad(part, rooms, mode="symmetric")[None, ..., None]
        logits = keras.ops.convert_to_numpy(self.model(values, training=False))[0]
        inner = tuple(
            slice(margin, margin + here.stop - here.start)
            for margin, here in zip(self.margin, core, strict=True)
        )
        logits = np.moveaxis(logits[inner], -1, 0)
        affinities = np.rint(255 / (1 + np.exp(-logits))).astype(np.uint8)
        for edges, offset in zip(affinities, self.offsets, strict=True):
            for axis, (move, here) in enumerate(zip(offset, core, strict=True)):
                edges[(slice(None),) * axis + (slice(0, max(0, -move - here.start)),)] = 0
        return affinities


@dataclass(frozen=True)
class GrayValues:
    """Mean and standard deviation of the gray values of a volume."""

    mean: float
    sd: float

    @classmethod
    def of(cls, raw: np.ndarray) -> "GrayValues":
        """Of a volume uint8 [z, y, x], or of what gives a part of it for an index; from 64
        sections evenly spread, as whole numbers."""
        sections = np.unique(np.linspace(0, raw.shape[0] - 1, _SAMPLED).round().astype(int))
        counts = sum(
            np.bincount(np.asarray(raw[n : n + 1]).ravel(), minlength=256)
            for n in sections.tolist()
        )
        values = np.arange(256)
        mean = float((counts * values).sum() / counts.sum())
        variance = float((counts * (values - mean) ** 2).sum() / counts.sum())
        return cls(mean, max(variance**0.5, _LEAST_SD))

    def standardized(self, raw: np.ndarray) -> np.ndarray:
        """Less the mean, by the deviation; float32."""
        return (raw.astype(np.float32) - np.float32(self.mean)) / np.float32(self.sd)


def load_network(given: str | Path) -> AffinityNetwork:
    """The network of a run's folder, of a file that such a run kept, or of a name in the store.

    Args:
        given: folder that `sebre neurites train` wrote, a file step_N.keras of it, or a name.

    Raises:
        UserError: there is none, or it is of another kind.
    """
    path = Path(given)
    if path.is_dir() or path.suffix == ".keras":
        folder, file = (path, path / LAST_FILE) if path.is_dir() else (path.parent, path)
        for needed in (folder / SETTINGS_FILE, file):
            if not needed.is_file():
                raise MissingFileError(
                    f"{needed}: is missing. Give the folder of a run of `sebre neurites train` "
                    "that has made its first check."
                )
        settings = json.loads((folder / SETTINGS_FILE).read_text("utf-8"))
        model = _build(settings)
        with reading(file, "this network"), quiet_keras():
            stored = keras.models.load_model(file, compile=False)
            model.set_weights(stored.get_weights())
        return _network(model, settings, file_sha256(file))
    found = find_weights(str(given))
    if found.entry.get("network") != NAME or found.config is None:
        raise UserError(
            f"{given}: is not a network of affinities. Leave --weights out for the one that is "
            "shipped, or give the folder of a run of `sebre neurites train`."
        )
    settings = json.loads(found.config.read_text("utf-8"))
    model = _build(settings)
    load_weights(model, found.path)
    return _network(model, settings, found.sha256)


def _build(settings: dict[str, Any]) -> keras.Model:
    voxel_nm = tuple(settings["voxel_nm"])
    edges = len(graph_offsets(settings["long_range"], voxel_nm))
    keras.mixed_precision.set_global_policy("float32")  # also of what was trained in another one
    return build_network(edges, voxel_nm, settings["widths"])


def _network(model: keras.Model, settings: dict[str, Any], sha256: str) -> AffinityNetwork:
    voxel_nm = tuple(settings["voxel_nm"])
    return AffinityNetwork(
        model,
        graph_offsets(settings["long_range"], voxel_nm),
        voxel_nm,
        len(settings["widths"]),
        sha256,
        settings.get("thresholds", {}),
    )
