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
# # Extended mouse: three ages, three stains
#
# The second experiment of the paper: the same eight regions at postnatal days 4, 14 and 56, in
# sections with three markers; the network is tested on a marker that it did not see. Here one
# section goes through the network, stage by stage (Fig. 2 of the paper); `p14_mouse` explains the
# stages at length.
#
# The stand-in is `mouse_mri`: sagittal slices of in vivo MRI of adult mice, seven of the eight
# regions, one age and no stain. One slice is embedded, of an animal that the network was not
# trained on (Ma et al. 2014, 2019; GPL-3; `datasets/shown/README.md`). `sebre prepare mouse-mri
# --raw DIR --download --out datasets/mouse_mri` makes the whole set, from which a slice is taken
# then.
#
# **Your own sections:** set `DATASET` to a prepared folder, and `WEIGHTS` if you trained on it.

# %%
from sebre.inspect import panels, stage_figures
from sebre.inspect.examples import open_walk

DATASET = None  # such as "../datasets/mine"
WEIGHTS = None  # such as "../logs/<run>/<file>.h5"

# %%
walk = open_walk("extended_mouse", DATASET, WEIGHTS, features=True)
print(walk.note)

# %%
walk.facts()

# %% [markdown]
# ## From drawings to anchors (a)
#
# Brains of different ages differ in size; the anchors come in five scales. Solid are the boxes of
# the drawn regions, dashed the anchors that fit them, gray a few of those that count as
# background.

# %%
panels.show(walk, "a")

# %% [markdown]
# ## From anchors to proposals (b to f)
#
# By score (b), moved (c), clipped (d), after suppression (e), and in coordinates from 0 to 1 (f).
# Colors tell which region a box overlaps (IoU of at least 0.5); the region proposal network itself
# does not tell regions apart, it only knows objects.

# %%
panels.show(walk, "bc")

# %%
panels.show(walk, "de")

# %%
panels.show(walk, "f")

# %% [markdown]
# ## From proposals to regions (g, h, i)
#
# The heads name each proposal (g) and move it once more; the most probable box of each region
# remains (h), and gets its mask (i).

# %%
panels.show(walk, "gh")

# %%
panels.show(walk, "i")

# %% [markdown]
# ## Drawn and found
#
# No unseen marker is shown here, as no data with one could be had. With data of your own: if
# regions are missed at one age or marker only, look first at the feature maps of such a section.
# Where C2 and C3 do not follow the borders that you see, training did not cover the contrast
# (`gamma` and `brightness` of the augmentation widen it).

# %%
stage_figures.show_detections(walk)

# %%
stage_figures.show_features(walk)

# %% [markdown]
# ## How sure, how exact
#
# Precision over recall of this section, and the overlap of each region found with each drawn. A
# wrong name shows as a high IoU in the wrong column.

# %%
stage_figures.show_precision_recall(walk)

# %%
stage_figures.show_overlaps(walk)

# %% [markdown]
# ## Masks while training
#
# The mask head learns from mini masks; what these lose is red.

# %%
stage_figures.show_mini_masks(walk)

# %% [markdown]
# ## Losses of the run

# %%
stage_figures.show_losses(walk.segmenter.weights)

# %% [markdown]
# ## Turned sections (Fig. 4)

# %%
stage_figures.show_rotations(walk, angles=(-20, -10, 0, 10, 20))
