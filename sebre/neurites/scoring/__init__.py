"""How good segments are, and which thresholds are best, on clean sections and on bad ones."""
