"""A network computed as a case asks for it: by Keras, or as exported files.

The cases of detection and of accuracy call it. A way is a dict of settings; one with a RUNTIME
is an exported network of this PRECISION, whose graph is made of the other settings.
"""

import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from sebre.bench.worker import NotAvailable

TIMED = "resnet101 of width 1 at 384 px"  # `kind_of` the network that all times are of


def configuration(way: Mapping[str, Any], seed: int = 0) -> Any:
    """SeBRe's configuration with every detection kept, and the settings over it; NotAvailable
    where one of them, or the package of a RUNTIME, is not there."""
    from sebre.experiments.base import SeBReConfig, with_settings

    runtime = way.get("RUNTIME", "keras")
    if find_spec(runtime) is None:
        raise NotAvailable(f"the package is not installed: pip install {runtime}")
    fixed = {"NAME": "bench", "SEED": seed, "DETECTION_MIN_CONFIDENCE": 0.0}
    try:
        return with_settings(SeBReConfig(), **{**fixed, **of_keras(way)})
    except ValueError as error:
        raise NotAvailable(str(error)) from error


def kind_of(config: Any) -> str:
    """In words, what a network costs and keeps by: its backbone, and the size of its input."""
    side = config.IMAGE_MAX_DIM
    return f"{config.BACKBONE} of width {config.BACKBONE_WIDTH:g} at {side} px"


def of_keras(way: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the Keras network, which is in float32 where it is exported."""
    exported = ("RUNTIME", "PRECISION") if "RUNTIME" in way else ()
    return {name: value for name, value in way.items() if name not in exported}


def computed(model: Any, way: Mapping[str, Any], typical: Sequence[np.ndarray]) -> Any:
    """A `MaskRCNN` with the settings `of_keras`, or exported files of it with the same `detect`;
    ranges for int8 are measured on the typical sections."""
    return (
        _Exported(model, way["RUNTIME"], way["PRECISION"], typical) if "RUNTIME" in way else model
    )


class _Exported:
    """One file for every shape of molded images that is met."""

    def __init__(self, model: Any, runtime: str, precision: str, typical: Sequence[np.ndarray]):
        self.config = model.config
        self._model, self._runtime, self._precision = model, runtime, precision
        self._typical = typical
        self._networks: dict[tuple[int, ...], Any] = {}

    def detect(self, images: Sequence[np.ndarray], masks: str = "full") -> list[dict[str, Any]]:
        return [self._network(image).detect([image], masks=masks)[0] for image in images]

    def _network(self, image: np.ndarray) -> Any:
        from mrcnn.export.exported_model import load_exported
        from mrcnn.export.formats import export_model

        shape = self._model.mold_inputs([image])[0].shape[1:]
        if shape not in self._networks:
            kind = "int8" if self._precision == "int8" else "float32"
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "network.onnx"
                export_model(self._model, path, "onnx", kind, self._typical, None, shape)
                network = load_exported(path, self._runtime, PRECISION=self._precision)
            self._networks[shape] = network
        return self._networks[shape]
