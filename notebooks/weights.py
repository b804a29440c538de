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
# # What a weights file holds
#
# A look into the weights of a network: which layers there are, what their numbers look like and
# whether any of them is suspicious, how the file is laid out, and what loading it reports when
# the network is not the one that wrote it. Useful when a training went wrong, or before you load a
# file of unknown origin.
#
# **Data**: `slicemap`, the network that is shipped for the six regions of `datasets/slicemap`.
#
# **For your own**: put the path of your file in place of `"slicemap"`, with its `config.json`
# beside it (`sebre train` writes both into the folder of the run):
# `load_segmenter("logs/.../mask_rcnn_mine_0012.h5", experiment)`.

# %%
import tempfile
from pathlib import Path

import numpy as np

import sebre
from mrcnn import visualize
from mrcnn.model import MaskRCNN
from mrcnn.weights.hdf5 import open_hdf5, read_layers
from mrcnn.weights.layer_match import CLASS_LAYERS
from sebre.config import SlicemapConfig

# %%
segmenter = sebre.load("slicemap")
model = segmenter.model

# %% [markdown]
# ## Where it comes from
#
# `weights/manifest.json` has an entry for each shipped network; the checksum is compared whenever
# the file is loaded. The model card, `weights/slicemap.md`, says more.

# %%
entry = segmenter.weights.entry
_ = visualize.display_table([name, entry[name]] for name in ("experiment", "dataset", "command"))
_ = visualize.display_table([name, entry[name]] for name in ("licence", "bytes", "sha256"))

# %% [markdown]
# ## Layers
#
# A layer has the name that Matterport's Mask R-CNN gives it, so that files of that layout load by
# name (tested with files made for the tests; none of the released files was at hand): `res...` and
# `bn...` are the backbone, `fpn_...` the feature pyramid, `rpn_...` the region proposals,
# `mrcnn_...` the heads.

# %%
layers = model.get_trainable_layers()
print(f"{len(layers)} layers with weights, {model.keras_model.count_params():,} numbers")
print(" ".join(layer.name for layer in layers))

# %% [markdown]
# ## Statistics
#
# Minimum, maximum and standard deviation of each weight, here of the layers that name, place and
# outline a region. (`visualize.display_weight_stats(model)` shows those of all layers.)

# %%
heads = "rpn_class_raw|rpn_bbox_pred|mrcnn_class_logits|mrcnn_bbox_fc|mrcnn_mask"
_ = visualize.display_table(visualize.weight_stats(model, heads))

# %% [markdown]
# Two things are marked in the table: numbers that are all the same ("dead?", a layer that learned
# nothing), and numbers beyond 1000 ("Overflow?", a training that ran away). Kernels and biases of
# a healthy network have neither. Variances that batch normalization has collected are squares of
# activations, and may be large.

# %%
table = visualize.weight_stats(model)
_ = visualize.display_table([table[0], *(row for row in table if "***" in row[0])])

# %% [markdown]
# ## Histograms
#
# Kernels of trained convolutions are bell-shaped around 0. A spike at 0 is a layer that weight
# decay has emptied, two separate humps are a layer that saturates. First the region proposals,
# then the heads.

# %%
_ = visualize.plot_weight_histograms(model, "rpn_.*")

# %%
_ = visualize.plot_weight_histograms(model, "mrcnn_class_conv.*|mrcnn_class_logits|mrcnn_bbox_fc")

# %%
_ = visualize.plot_weight_histograms(model, "mrcnn_mask_conv1|mrcnn_mask_deconv|mrcnn_mask")

# %% [markdown]
# ## Batch normalization
#
# Four numbers per filter: scale (gamma), shift (beta), and the mean and variance that training has
# collected. The settings of the paper freeze them (`TRAIN_BN = False`); the small network trains
# them. Gammas near 0 are filters that the network has switched off, means and variances of
# exactly 0 and 1 are statistics that were never collected.

# %%
_ = visualize.plot_weight_histograms(model, "bn_conv1|bn3a_branch2a|bn5b_branch2b|mrcnn_mask_bn1")

# %%
norms = [layer for layer in layers if "bn" in layer.name]
means = np.concatenate([np.asarray(layer.moving_mean) for layer in norms])
variances = np.concatenate([np.asarray(layer.moving_variance) for layer in norms])
print(f"{len(norms)} layers, {len(means):,} filters")
print(f"never collected: {np.count_nonzero((means == 0) & (variances == 1))}")

# %% [markdown]
# ## The file
#
# HDF5, in the layout of Keras 2: one group per layer, in a fixed order, with the layer's weights in
# it, also in a fixed order. Groups of layers without weights are left out. What lies in `rpn_model`
# shows that the region proposals are a model of their own inside the network.

# %%
with open_hdf5(segmenter.weights.path) as file:
    stored = read_layers(file, segmenter.weights.path)
    names = [layer.name for layer in stored]
    rpn = stored[names.index("rpn_model")]
    rows = [[a.name, a.dataset.shape, a.dataset.dtype] for a in rpn.arrays]
print(f"{len(names)} groups: {', '.join(names[:6])}, ..., {', '.join(names[-3:])}")
_ = visualize.display_table([["WEIGHT IN rpn_model", "SHAPE", "TYPE"], *rows])

# %% [markdown]
# ## Loading
#
# `load_weights` says what it did with each layer. Into the network that wrote the file, every
# layer is loaded.

# %%
report = model.load_weights(segmenter.weights.path)
print(f"{len(report.loaded)} loaded, {len(report.missing)} missing, {len(report.unused)} unused")

# %% [markdown]
# A network for three regions has other output layers. The file is refused as a whole, and the
# message names the cure:

# %%
config = SlicemapConfig(NAME="mine", NUM_CLASSES=4)
other = MaskRCNN("inference", config, model_dir=".")
try:
    other.load_weights(segmenter.weights.path)
except ValueError as error:
    print(str(error).replace(str(segmenter.weights.path), segmenter.weights.path.name))

# %% [markdown]
# Without those layers everything else is taken over: what `sebre train` does when it starts from
# a network for other regions. Excluded layers keep their random values until they are trained.

# %%
report = other.load_weights(segmenter.weights.path, exclude=CLASS_LAYERS)
for name in ("loaded", "excluded", "missing", "unused"):
    print(f"{name:9} {len(getattr(report, name)):3}  {', '.join(getattr(report, name)[:4])}")

# %% [markdown]
# ## Half precision
#
# Shipped files hold float16, which halves them. A float16 number has 11 significant bits:
# rounding changes a weight by at most 1/2048 of it, and the smallest ones by at most 3e-8. The
# shipped weights are rounded already, so this takes the network with the new, random output
# layers.

# %%
before = other.keras_model.get_weights()
with tempfile.TemporaryDirectory() as folder:
    other.save_weights(Path(folder) / "half.h5", dtype="float16")
    other.load_weights(Path(folder) / "half.h5")
after = other.keras_model.get_weights()

# %%
errors = [np.abs(a - b).max() for a, b in zip(before, after, strict=True)]
largest = int(np.argmax(errors))
name = other.keras_model.weights[largest].path
print(f"{np.count_nonzero(errors)} of {len(errors)} weights were changed, most of all {name}:")
print(f"by {errors[largest]:.1e}; its largest number is {np.abs(before[largest]).max():.3f}")
