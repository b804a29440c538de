"""Faster forms of the network: folded, Winograd, compiled. `modeling` does not import it."""
