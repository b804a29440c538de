"""Scores: per section, per region, per volume, with intervals."""
