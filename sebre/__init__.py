"""SeBRe: segmentation of brain regions in tissue sections."""

from typing import Any

__version__ = "0.2.0"  # of the package: setup.py and `sebre --version` take it from here

__all__ = ["load"]


def load(name: str, **overrides: Any) -> Any:
    """Load a network by name, ready to find regions.

    Args:
        name: of `sebre models`, such as "slicemap"; or the path of a weights file.
        **overrides: settings that differ, such as DETECTION_MIN_CONFIDENCE=0.5 of a Mask R-CNN.

    Returns:
        A `sebre.predict.prediction.Network`: `predict(picture)` gives a table of regions, the
        label map and files; `detect([image])` what `MaskRCNN.detect` does.

    Raises:
        FileNotFoundError: no such weights.
        UserError: damaged weights.

    Example:
        >>> network = sebre.load("slicemap")  # doctest: +SKIP
        >>> found = network.predict("section.tif")  # doctest: +SKIP
        >>> found.regions[["score", "area_px"]]  # doctest: +SKIP
        >>> found.save("results", formats=["geojson"])  # doctest: +SKIP
    """
    # Networks are heavy to import; `import sebre` alone must not pay for it.
    from sebre.networks.segmenter import load_segmenter
    from sebre.predict.prediction import Network

    return Network(load_segmenter(name, **overrides))
