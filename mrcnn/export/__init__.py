"""Whole networks for other programs: ONNX files, SavedModels, eight-bit arithmetic.

`sebre export` and scripts call it; the rest of `mrcnn` does not.
"""

from mrcnn.export.formats import FORMAT_VERSION, FORMATS, METADATA, export_model

__all__ = ["FORMATS", "FORMAT_VERSION", "METADATA", "export_model"]
