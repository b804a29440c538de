"""Sections and structures of the Allen Institute: its API, its drawings, their placement."""
