"""Segmenting new sections: files, folders, clusters, and what is written for each."""

from sebre.networks.segmenter import load_segmenter, read_image

__all__ = ["load_segmenter", "read_image"]
