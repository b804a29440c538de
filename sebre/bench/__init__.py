"""Measures how fast the network and its data path are, in units of a reference network.

`python -m sebre.bench` (or `make bench`) writes a JSON file and prints a table. Absolute times
mean nothing on shared machines; so every case is timed between rounds of a fixed reference,
the forward pass R of `sebre.bench.timing`, and its result is a ratio. (asv and pyperf time a
case by itself, and cannot interleave it with a reference.)
"""
