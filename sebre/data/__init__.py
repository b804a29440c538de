"""Prepared data sets: sections, regions, splits, and checks of them."""
