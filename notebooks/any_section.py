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
# # Any section: nine regions with no training
#
# The network `any_section` looks for nine regions in a section of the mouse brain, of any plane,
# angle and stain. It is a U-Net, not the Mask R-CNN of the other notebooks, and never saw a real
# section: it learned from synthetic ones. This notebook goes the whole way with real sections of
# four laboratories: the square that it sees, eight views of it, how probable each region is, what
# is found, and what happens when a section is turned, mirrored or inverted.
#
# How good it is, with numbers: `docs/any_section.md` and the card `weights/any_section.md`. No
# regions are drawn in the sections here, so that nothing below is a score.
#
# **Your own sections:** let `PICTURES` be their paths.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

import sebre
from sebre.inspect import section_figures
from sebre.networks.segmenter import load_segmenter, read_image

DATASETS = Path("../datasets")
PICTURES = [
    DATASETS / "any_section/images/abba_s004.jpg",
    DATASETS / "any_section/images/glta_s124.jpg",
    DATASETS / "any_section/images/bg_horizontal_s221.jpg",
    DATASETS / "slicemap/mrcnn_val_dataset_images/section_img_4.png",
]

# %%
network = load_segmenter("any_section")
images = [read_image(path) for path in PICTURES]
print(network.network, "for", ", ".join(network.regions.names))

# %% [markdown]
# ## What it learned from
#
# Labeled volumes - templates from P4 to adult, and scans - are cut in any plane, bent and grown,
# and given the gray values of no stain in particular: the volume's own in another order, or random
# ones for each of about 600 structures. Then come shading, blur, noise, tears, holes, missing
# pieces, glass. Each picture lies beside its labels; `sebre synthesize` makes more.

# %%
figure = plt.figure(figsize=(9, 9), dpi=75)
plt.imshow(Image.open("../docs/images/synthetic_sections.jpg"))
plt.axis("off")

# %% [markdown]
# ## The square that it sees
#
# Tissue (orange) is told from glass by its distance from the color of the border. The square (blue)
# lies around it, turned so that the longest axis of the tissue is level: how a section lies on the
# slide does not matter any more. Below, what the network gets: gray, stretched between its
# percentiles 1 and 99.

# %%
section_figures.show_framing(network, images)

# %% [markdown]
# ## Eight views
#
# Which way is up, and which side is left, it cannot know. So it looks at all four quarter turns and
# their mirror images, and the mean of its probabilities counts. Where views disagree, do not
# trust it: the share on which each view agrees with the mean is above it.

# %%
section_figures.show_views(network, images[0]).round(3)

# %% [markdown]
# ## How probable each region is

# %%
section_figures.show_probabilities(network, images[0])

# %% [markdown]
# ## What is found

# %%
section_figures.show_found(network, images)

# %% [markdown]
# ## Turned, mirrored, inverted
#
# The share of the tissue that keeps its label. (That is no score: labels may be kept and wrong.)

# %%
section_figures.show_changed(network, images[0])

# %%
section_figures.show_changed(network, images[3])

# %% [markdown]
# ## In a program
#
# The same in three lines; `sebre predict PICTURE --out DIR` writes files.

# %%
result = sebre.load("any_section").predict(PICTURES[0])
result.regions[["area_px", "tissue_share", "score", "found"]].round(3)
