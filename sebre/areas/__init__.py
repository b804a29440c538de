"""Cytoarchitectonic areas of the cortex in stacks of sections with few annotated ones.

After the methods of the Forschungszentrum Jülich: `docs/areas.md` says which.
"""
