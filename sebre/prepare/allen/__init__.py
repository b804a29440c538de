"""Sections and structures of the Allen Institute: drawings, placement, and the experimental API."""
