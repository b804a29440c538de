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
# **What is shown.** Of the authors' sections and drawings, four are in a figure of their released
# code; the one that no network here learned from comes first, with what a shipped U-Net finds in
# it. No Mask R-CNN for P14 is shipped, so the stages are those of an embedded section of another
# collection, sagittal too, with six regions drawn by hand, and of a small network (ResNet-18 of
# half width; the paper has ResNet-101) that was trained on other sections of that collection.
#
# **Your own sections:** set `DATASET` to a prepared folder (`sebre prepare`), and `WEIGHTS` to
# what you trained on it. Everything below then shows a section of yours.

# %%
from sebre.experiments import EXPERIMENTS
from sebre.inspect import panels, section_figures, stage_figures
from sebre.inspect.examples import DATASETS, open_walk
from sebre.networks.segmenter import load_segmenter

DATASET = None  # such as "../datasets/mine"
WEIGHTS = None  # such as "../logs/<run>/<file>.h5"

# %% [markdown]
# ## A section of the authors
#
# In-situ hybridization of the developing mouse, cut sagittally; the figure does not state the age.
# Five of the eight regions are drawn. The U-Net learned from the three other sections of the
# figure, so this is a test on one section, from which nothing follows. Printed is the Dice of each
# region. (Figure: MIT, (c) 2019 Asim Iqbal; the section is material of the Allen Institute;
# `datasets/shown/README.md`.)

# %%
sections = EXPERIMENTS["p14_mouse"].load(DATASETS / "shown" / "sebre_figures", "val")
section_figures.show_drawn(load_segmenter("p14_mouse_unet"), sections)

# %% [markdown]
# ## The section whose stages are shown

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
# fine ones, so that each of P2 to P5 has both detail and context. P6 serves the largest anchors.
# Bright means a high activation, averaged over channels.

# %%
stage_figures.show_features(walk)

# %% [markdown]
# ## a. What the region proposal network learns from
#
# Solid: the boxes of the drawn regions. Dashed: anchors that count as objects, because they
# overlap a box by an IoU of at least 0.7, or more than any other anchor does. Gray: some of those
# that count as background, with an IoU under 0.3. (The paper says 0.5; the released code has 0.7
# and 0.3, and so has this one.)

# %%
panels.show(walk, "a")

# %% [markdown]
# ## b. Anchors by score
#
# The network gives each anchor a probability that it holds an object of any kind. Here and in the
# next panels a box has the color of the region whose box it overlaps by an IoU of at least 0.5; a
# box that overlaps none is gray and dashed.

# %%
panels.show(walk, "b")

# %% [markdown]
# ## c, d. Refined, clipped
#
# It also says how to move and stretch each anchor. The best anchors gather at the regions. What
# reaches beyond the picture is cut off.

# %%
panels.show(walk, "cd")

# %% [markdown]
# ## e, f. One of many similar boxes, in normalized coordinates
#
# Of boxes that overlap by an IoU of more than 0.7, non-maximum suppression keeps the best; it
# returns the first 1,000. They leave this stage in coordinates from 0 to 1:
# `mrcnn/modeling/proposals.py` is all of b to f.

# %%
panels.show(walk, "ef")

# %% [markdown]
# ## g. What the heads say
#
# Each proposal is pooled from the pyramid level of its size, and classified: one of the regions
# (thick, with its probability, where it is the best of its region) or background (gray). Most are
# background.

# %%
panels.show(walk, "g")

# %% [markdown]
# ## h. Refined once more, one detection per region
#
# Each class has a refinement of its own. Then the most probable box of a region suppresses the
# others. (The released code suppresses overlapping boxes only; keeping one per region is a setting
# of the small networks, as is their cut-off on the score, 0.3 instead of 0.9.)

# %%
panels.show(walk, "h")

# %% [markdown]
# ## i. Masks
#
# The mask head draws each detection's region on 28 x 28 px, which is pasted into its box.

# %%
panels.show(walk, "i")

# %% [markdown]
# ## Mini masks
#
# In training, each mask is cut out at its box and shrunk, to save memory. What is lost by that is
# red below, and given in percent of the mask.

# %%
stage_figures.show_mini_masks(walk)

# %% [markdown]
# ## The run that made the network
#
# Stored losses of the training, which does not run here. There are five, two of the region proposal
# network and three of the heads. They are summed without weights; a small penalty on large weights
# is added.

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
# The mAP is the mean over sections of the area under this curve, all regions pooled, where a region
# counts as found from a mask IoU of 0.5. (So the released code computes it; the paper does not
# say.)

# %%
stage_figures.show_precision_recall(walk)

# %%
stage_figures.show_overlaps(walk)

# %% [markdown]
# ## Turned sections (Fig. 4)
#
# The paper turns each section by up to 20 degrees to either side. No atlas is registered; the
# network has seen turned sections in training. `RESULTS.md` has the scores by angle: on two of the
# stand-in data sets they fall.

# %%
stage_figures.show_rotations(walk)

# %% [markdown]
# ## All stages as arrays
#
# `walk.stages` has every intermediate by name; `sebre inspect` writes it, and the nine panels, for
# any picture.

# %%
{name: array.shape for name, array in vars(walk.stages).items() if name != "feature_maps"}
