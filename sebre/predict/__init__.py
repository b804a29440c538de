"""Segmenting new sections: files, folders, clusters, and what is written for each."""

from typing import Any

__all__ = ["load_segmenter", "read_image"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Networks are heavy to import; who reads or writes label maps alone must not pay for it.
    from sebre.networks import segmenter

    return getattr(segmenter, name)
