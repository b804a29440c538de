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
# # Human MRI: left and right
#
# The fourth experiment of the paper: caudate, putamen, pallidum and thalamus on either side, in
# slices of T1-weighted MRI. Left and right are regions of their own, which forbids mirrored
# training sections. One slice goes through the network, stage by stage (Fig. 2); `p14_mouse`
# explains the stages at length.
#
# The IBSR scans need registration at NITRC. The stand-in is `malc2012`; a slice of it is embedded,
# of a person that the network was not trained on (CC BY-NC 3.0, not for commercial use; scans from
# OASIS, labels "provided by Neuromorphometrics, Inc. under academic subscription";
# `datasets/shown/README.md`). `sebre prepare malc2012 --raw DIR --download --out datasets/malc2012`
# makes the whole set, from which a slice is taken then. The shipped network was trained at 256 px
# and is shown at 384.
#
# **Your own scans:** prepare them with `sebre prepare` and set `DATASET` to the folder; `WEIGHTS`
# if you trained on it.

# %%
from sebre.inspect import panels, stage_figures
from sebre.inspect.examples import open_walk

DATASET = None  # such as "../datasets/mine"
WEIGHTS = None  # such as "../logs/<run>/<file>.h5"

# %%
walk = open_walk("ibsr", DATASET, WEIGHTS, features=True)
print(walk.note)

# %%
walk.facts()

# %% [markdown]
# ## a, b. Targets and scores
#
# Two regions of the same shape, one on either side, look alike to the region proposal network: it
# only tells objects from background.

# %%
panels.show(walk, "ab")

# %% [markdown]
# ## c, d. Moved and clipped

# %%
panels.show(walk, "cd")

# %% [markdown]
# ## e, f. After suppression, in normalized coordinates

# %%
panels.show(walk, "ef")

# %% [markdown]
# ## g, h. Named, and one detection per region
#
# Here the sides are told apart: the heads see 7 x 7 cells of a proposal's features, and each cell
# has seen what lies around the proposal too. A swap of sides would show in the overlaps below.

# %%
panels.show(walk, "gh")

# %% [markdown]
# ## i. Masks

# %%
panels.show(walk, "i")

# %% [markdown]
# ## Drawn and found
#
# In a human slice, left regions are drawn lighter than right ones. As radiologists do, the right of
# the person is shown on the left of the picture; `sebre prepare` turns all slices so. A slice that
# is mirrored swaps the names without a warning.

# %%
stage_figures.show_detections(walk)

# %%
stage_figures.show_overlaps(walk)

# %%
stage_figures.show_precision_recall(walk)

# %% [markdown]
# ## Feature maps

# %%
stage_figures.show_features(walk)

# %% [markdown]
# ## Mini masks

# %%
stage_figures.show_mini_masks(walk)

# %% [markdown]
# ## Losses of the run

# %%
stage_figures.show_losses(walk.segmenter.weights)

# %% [markdown]
# ## A tilted head (Fig. 4)

# %%
stage_figures.show_rotations(walk)
