"""The experiments, one module each: settings, sections, schedule; `EXPERIMENTS` by name.

`custom` makes one for other regions.
"""

from sebre.experiments import extended_mouse, hippocampus, ibsr, p14_mouse, slicemap

EXPERIMENTS = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (p14_mouse, extended_mouse, hippocampus, ibsr, slicemap)
}

__all__ = ["EXPERIMENTS"]
