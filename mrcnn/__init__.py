"""Mask R-CNN on Keras 3, with the module paths and names of Matterport's package."""

# Makes `import imgaug` work on NumPy 2, in whatever order a program imports.
from mrcnn.compat import imgaug as imgaug_compat  # noqa: F401
