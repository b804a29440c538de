"""Faster forms of a finished model: folded, Winograd, compiled. `modeling` does not import it."""
