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
# # P14 mouse: one section, stage by stage
#
# The first experiment of the paper: eight regions in sagittal sections of the mouse brain at
# postnatal day 14. This notebook stops at every stage of the network, as Fig. 2 of the paper does:
# anchors, their scores, refinement, clipping, suppression, proposals, heads, masks.
#
# The authors' sections are not public. Without a data set of your own the notebook shows an
# embedded section of another collection, sagittal too, with six regions drawn by hand, and a small
# network that was trained on other sections of that collection.
#
# **Your own sections:** set `DATASET` to a prepared folder (`sebre prepare`), and `WEIGHTS` to
# what you trained on it. Everything below then shows a section of yours.

# %%
from sebre.inspect import panels as stages
from sebre.inspect import stage_figures
from sebre.inspect.examples import open_walk

DATASET = None  # such as "../datasets/mine"
WEIGHTS = None  # such as "../logs/<run>/<file>.h5"

# %%
walk = open_walk("p14_mouse", DATASET, WEIGHTS, features=True)
print(walk.note)

# %% [markdown]
# ## How many boxes at each stage
#
# The numbers follow from the settings (`sebre/config.py`): pictures of 384 px, five
# scales of anchors, three shapes. The released notebook prints the same ones for its section:
# 36,828 anchors, a sample of 256 to learn from, 6,000 before non-maximum suppression, 1,000
# proposals, at most 8 detections.

# %%
walk.facts()

# %% [markdown]
# ## Feature maps
#
# The backbone (`mrcnn/modeling/backbone.py`) halves the picture five times; C2 to C5 are its
# last four outputs. The feature pyramid (`mrcnn/modeling/fpn.py`) adds the coarse maps to the
# fine ones, so that P2 to P5 all know what is where. P6 serves the largest anchors. Bright: high
# mean activation.

# %%
stage_figures.show_features(walk)

# %% [markdown]
# ## a. What the region proposal network learns from
#
# Solid: the boxes of the drawn regions. Dashed: anchors that count as objects, because they
# overlap a box by an IoU of 0.7 or best of all. Gray: some of those that count as background, with
# an IoU under 0.3. (The paper says 0.5; the released code has 0.7 and 0.3, and so has this one.)

# %%
stages.show(walk, "a")

# %% [markdown]
# ## b. Anchors by score
#
# The network gives each anchor a probability to hold an object, whichever. Here and in what
# follows a box has the color of the region whose box it overlaps by an IoU of 0.5; gray and
# dashed: none.

# %%
stages.show(walk, "b")

# %% [markdown]
# ## c, d. Refined, clipped
#
# It also says how to move and stretch each anchor. The best ones gather at the regions. What
# reaches out of the picture is cut off.

# %%
stages.show(walk, "cd")

# %% [markdown]
# ## e, f. One box of many alike, in normalized coordinates
#
# Non-maximum suppression keeps the best of boxes that overlap by more than 0.7 and returns the
# first 1,000. They leave this stage in coordinates from 0 to 1: `mrcnn/modeling/proposals.py` is
# all of b to f.

# %%
stages.show(walk, "ef")

# %% [markdown]
# ## g. What the heads say
#
# Each proposal is pooled from the pyramid level of its size, and classified: one of the regions
# (thick, with its probability, where it is the best of its region) or background (gray). Most are
# background.

# %%
stages.show(walk, "g")

# %% [markdown]
# ## h. Refined once more, one detection a region
#
# Each class has a refinement of its own. Then the most probable box of a region suppresses the
# others.

# %%
stages.show(walk, "h")

# %% [markdown]
# ## i. Masks
#
# The mask head draws each detection's region on 28 x 28 px, which is pasted into its box.

# %%
stages.show(walk, "i")

# %% [markdown]
# ## Mini masks
#
# While training, masks are kept in their boxes at a small size to save memory. What is lost by
# that is red below, and written in per cent of the mask.

# %%
stage_figures.show_mini_masks(walk)

# %% [markdown]
# ## The run that made the network
#
# Five losses, two of the region proposal network and three of the heads. They are added without
# weights; a small penalty on large weights comes on top.

# %%
stage_figures.show_losses(walk.segmenter.weights)

# %% [markdown]
# ## Drawn and found
#
# Numbers in the legend are Dice coefficients, 1 where both agree.

# %%
stage_figures.show_detections(walk)

# %% [markdown]
# ## Precision, recall, overlaps
#
# The paper's mAP is the mean over sections of the area under this curve, all regions pooled, where
# a region counts as found from a mask IoU of 0.5.

# %%
stage_figures.show_precision_recall(walk)

# %%
stage_figures.show_overlaps(walk)

# %% [markdown]
# ## Turned sections (Fig. 4)
#
# The paper turns each section by up to 20 degrees to either side. No atlas is registered, so a
# turned section is a section like any other.

# %%
stage_figures.show_rotations(walk)

# %% [markdown]
# ## All stages as arrays
#
# `walk.stages` has every intermediate by name; `sebre inspect` writes it, and the nine panels, for
# any picture.

# %%
{name: array.shape for name, array in vars(walk.stages).items() if name != "feature_maps"}
