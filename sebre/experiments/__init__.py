"""The experiments of the paper: settings, regions, schedules."""

from sebre.experiments.base import EXPERIMENTS

__all__ = ["EXPERIMENTS"]
