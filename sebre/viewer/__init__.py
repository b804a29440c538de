"""A plugin of napari: look at what a network finds, correct it, and let the network learn from it.

No other room imports this one, and only `parts`, `session`, `tabs` and `widget` import Qt; the
manifest `napari.yaml` names what napari calls.
"""
