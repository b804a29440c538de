"""Neurites in volumes of electron microscopy: 3-D affinities, and the segments they make.

After M. Wiese, "Segmenting brain images: a deep learning approach" (webKnossos, 2018).
"""
