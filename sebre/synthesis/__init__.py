"""Sections of any plane, age and stain, made from labeled volumes.

`sources` reads a `labeled_volume`. It is cut in a random plane (`planes`), bent and grown
(`deform`), painted with any contrast (`intensity`), and damaged (`damage`); `stream` makes an
endless, seeded stream of such sections, as hard as a `curriculum` wants. `learn` teaches the
network `any_section`, `zeroshot` scores it on real sections that no training saw, and `gallery`
shows what it learned from.
"""
