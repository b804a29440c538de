"""Chapters of RESULTS.md on systems beside the brain sections of the paper."""
