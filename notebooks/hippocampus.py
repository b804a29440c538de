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
# datasets/ara_nissl` makes it. Where it is not there, as in the published notebook, an embedded
# sagittal section stands in, with a network that knows the hippocampus as one region: no CA1 to be
# seen. The shipped network for the four subregions was trained at 320 px and is shown at 384.
#
# **Your own sections:** set `DATASET` to a prepared folder, and `WEIGHTS` if you trained on it.

# %%
from sebre.inspect import panels, stage_figures
from sebre.inspect.examples import open_walk

DATASET = None  # such as "../datasets/mine"
WEIGHTS = None  # such as "../logs/<run>/<file>.h5"

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
