# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Hippocampus: four subregions
#
# The third experiment of the paper: CA1, CA2, CA3 and the dentate gyrus in coronal sections. The
# regions are thin, curved and lie close together, which makes boxes overlap more than anywhere
# else. One section goes through the network, stage by stage (Fig. 2); `p14_mouse` explains the
# stages at length.
#
# The stand-in is `ara_nissl`: Nissl plates of the Allen Reference Atlas with their drawn layers.
# By its terms it is not embedded: `sebre prepare ara-nissl --raw DIR --download --out
# datasets/ara_nissl` makes it. What can be shown comes first: two coronal sections of another
# laboratory, in a nuclear stain, with the fields that the shipped network finds in them. The
# stages, as published, are those of an embedded sagittal section, with a network that knows the
# hippocampus as one region. The shipped network for the four subregions was trained at 320 px and
# is shown at 384.
#
# **Your own sections:** set `DATASET` to a prepared folder, and `WEIGHTS` if you trained on it.

# %%
import logging

import sebre
from sebre.inspect import panels, section_figures, stage_figures
from sebre.inspect.examples import DATASETS, open_walk

DATASET = None  # such as "../datasets/mine"
WEIGHTS = None  # such as "../logs/<run>/<file>.h5"

# %% [markdown]
# ## CA1, CA3 and dentate gyrus in sections of another laboratory
#
# Nothing is drawn on these sections, so there is no score: look whether the outlines follow the
# bright layers of cells. The network learned from inverted Nissl plates of one brain, right halves
# only; whole sections are cut at their midline. It says itself that these are not of the kind that
# it knows. CA2 is not found, and in the second section pieces of CA3 and of the dentate gyrus are
# misplaced. (BIOP/ijp-imagetoatlas, MIT; `datasets/shown/README.md`.)

# %%
logging.getLogger("sebre").setLevel(logging.ERROR)  # what it says stands in the warnings below
network = sebre.load("hippocampus")
shown = [
    network.predict(DATASETS / "shown" / "abba_mouse_project" / f"abbaproj_{number}_ch1.jpg")
    for number in (13, 17)
]
section_figures.show_predicted(shown)

# %%
shown[1].warnings

# %% [markdown]
# ## The section whose stages are shown

# %%
walk = open_walk("hippocampus", DATASET, WEIGHTS, features=True)
print(walk.note)

# %%
walk.facts()

# %% [markdown]
# ## a. Thin regions and the anchors for them
#
# An anchor is positive from an IoU of 0.7. A long thin box seldom has such an anchor (shapes are
# 1:2, 1:1 and 2:1). Then a second rule helps: the best anchor of a box is positive whatever its
# IoU.

# %%
panels.show(walk, "a")

# %% [markdown]
# ## b, c. The best anchors, and where they move

# %%
panels.show(walk, "bc")

# %% [markdown]
# ## d, e. Clipped, and after suppression
#
# Suppression takes away boxes that overlap a better one by more than 0.7. Neighboring regions
# overlap by less, so both survive.

# %%
panels.show(walk, "de")

# %% [markdown]
# ## f, g. Proposals and what the heads say of them

# %%
panels.show(walk, "fg")

# %% [markdown]
# ## h, i. Detections and masks
#
# Within a class, boxes that overlap by an IoU of more than 0.3 are suppressed. Between classes they
# are not: the box of one subregion may lie inside that of another, and their masks still tell them
# apart. Where masks overlap, the more probable one is drawn.

# %%
panels.show(walk, "hi")

# %% [markdown]
# ## Drawn and found
#
# A thin region loses Dice quickly: a mask that is one pixel too wide on either side of a band of
# ten pixels costs 0.09.

# %%
stage_figures.show_detections(walk)

# %%
stage_figures.show_precision_recall(walk)

# %%
stage_figures.show_overlaps(walk)

# %% [markdown]
# ## Is a mini mask fine enough?
#
# The share of a mask that its mini mask loses, in percent. Where it is large, raise
# `MINI_MASK_SHAPE` or set `USE_MINI_MASK` to False.

# %%
stage_figures.show_mini_masks(walk)

# %% [markdown]
# ## Feature maps
#
# Small regions are found and drawn from P2, at a quarter of the picture's resolution.

# %%
stage_figures.show_features(walk)

# %% [markdown]
# ## Losses of the run

# %%
stage_figures.show_losses(walk.segmenter.weights)

# %% [markdown]
# ## Turned sections (Fig. 4)

# %%
stage_figures.show_rotations(walk)
