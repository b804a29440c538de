"""Sections of any plane, age and stain, made from labelled volumes.

A labelled volume is cut in a random plane (`planes`), bent and grown (`deform`), painted with
any contrast (`intensity`), and damaged (`damage`); `stream` makes an endless, seeded stream of
such sections, as hard as a `curriculum` wants. `network` and `train` learn from it, `zeroshot`
scores the network on real sections that no training saw, and `gallery` shows what it learns from.
"""
