"""SeBRe: segmentation of brain regions in tissue sections."""

from typing import Any

__version__ = "0.2.0"  # of the package: setup.py and `sebre --version` take it from here

__all__ = ["load"]


def load(name: str, **overrides: Any) -> Any:
    """Load shipped weights by name, ready to segment.

    Args:
        name: in weights/manifest.json, such as "slicemap"; or the path of a weights file
            beside its manifest's experiment.
        **overrides: settings that differ, such as DETECTION_MIN_CONFIDENCE=0.5.

    Returns:
        A `sebre.networks.segmenter.Segmenter`, whose `detect([image])` gives regions, scores
        and masks.

    Raises:
        FileNotFoundError: no such weights.
        UserError: damaged weights.

    Example:
        >>> segmenter = sebre.load("slicemap")  # doctest: +SKIP
        >>> segmenter.detect([image])[0]["class_ids"]  # doctest: +SKIP
    """
    # The network is heavy to import; `import sebre` alone must not pay for it.
    from sebre.networks.segmenter import load_segmenter

    return load_segmenter(name, **overrides)
