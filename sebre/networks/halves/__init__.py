"""Whole sections for networks that know one half, and halves for those that know whole ones."""
